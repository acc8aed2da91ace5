//! Rank 5: looks at a server from outside, as a stranger would, through client code that shares
//! nothing with ours (the `turn` crate). `demo` proves its relay with it, and `bench` measures any server.

pub mod bench;
mod relay_check;

pub use relay_check::{CheckFailed, Relayed, check_relay};
