//! The codec against published vectors, against the `stun`, `proxy-header` and `tungstenite` crates, and
//! ChannelData against itself.
#![allow(clippy::unwrap_used)]

mod arbitrary;
mod channel_data;
mod differential;
mod proxy_protocol;
mod published;
mod signaling;
mod values;
#[path = "../vectors/mod.rs"]
mod vectors;
mod websocket;
