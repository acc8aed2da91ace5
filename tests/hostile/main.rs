//! What strangers and bad clients get from signaling of the real binary, and that nobody else notices: beside each of
//! them two honest clients are in a call that goes on.
//!
//! `TURNSTONE_SEEDS` above 200, as a full run sets it, makes the storms larger.
#![allow(clippy::unwrap_used)]

#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/tls.rs"]
mod tls_client;
#[path = "../support/token.rs"]
mod token;

mod doors;
mod events;
mod floods;
mod frames;
mod honest;
mod logs;
mod pipelines;
mod place;
mod polling;
mod raw;
mod silence;
mod slow;
mod stop;
mod storms;
