//! The hub of signaling, driven by values and a virtual clock.
#![allow(clippy::unwrap_used, clippy::wrong_self_convention)]

mod place;
mod recovery;
