//! Hostile and unlucky streams against the real binary on loopback: cut anywhere, never finished, never
//! read, or not TURN at all.
#![allow(clippy::unwrap_used)]

#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/skip.rs"]
mod skip;
#[path = "../support/tls.rs"]
mod tls;
#[path = "../support/world.rs"]
mod world;

mod client;
mod garbage;
mod limits;
mod memory;
mod proxied;
mod secure;
mod slow;
mod splits;
