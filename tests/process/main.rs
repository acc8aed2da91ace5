//! The real binary on loopback: started, told by signals, asked over HTTP, spoken to by sockets.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/skip.rs"]
mod skip;
#[path = "../support/world.rs"]
mod world;

mod client;
mod relaying;
mod shards;
mod start;
mod stop;
mod verbs;
