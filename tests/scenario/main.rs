//! The pure core, driven by hand: exact answers and exact effects.
//!
//! "Point N" and "security U1" are numbers in the project's lists of traps in TURN and of attacks on
//! systems like this one; a test that names one proves it. Points that are about parts which this
//! daemon does not have (RFC 7635, 8016, ALTERNATE-SERVER, the iceServers
//! answer) have no test here; framing (16) is tested with the codec, key derivation (21) and nonces
//! (22) with `auth`, and what only real sockets show (2, 24, 25) with `net` and the process tests.
#![allow(clippy::unwrap_used, clippy::type_complexity)]

#[path = "../support/world.rs"]
mod world;

mod accounts;
mod allocate;
mod auth;
mod bandwidth;
mod discovery;
mod hostile;
mod limits;
mod modern;
mod peers;
mod refresh;
mod relaying;
mod revocations;
mod sessions;
mod split_view;
mod streams;
mod tcp_relay;
