//! The codec against published vectors, against the `stun` crate, and ChannelData against itself.
#![allow(clippy::unwrap_used)]

mod arbitrary;
mod channel_data;
mod differential;
mod published;
mod values;
#[path = "../vectors/mod.rs"]
mod vectors;
