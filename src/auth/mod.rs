//! Rank 2: who may have a relay.

mod settings;

pub use settings::{Secret, Settings};
