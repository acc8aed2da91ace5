//! The codec against published vectors, against the `stun` crate, and ChannelData against itself.
#![allow(clippy::unwrap_used)]

mod published;
#[path = "../vectors/mod.rs"]
mod vectors;
