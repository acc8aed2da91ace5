//! Rank 7: the daemon as a whole.

pub mod log;
