//! Rank 2: who may have a relay.
#![forbid(unsafe_code)]

mod settings;

pub use settings::{Secret, Settings};
