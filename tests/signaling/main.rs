//! Clients of signaling that others wrote, against the real daemon; and what only the wire shows.
#![allow(clippy::unwrap_used)]

#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/skip.rs"]
mod skip;
#[path = "../support/token.rs"]
mod token;

mod call;
mod connect;
mod cutter;
mod expiry;
mod flow;
mod node;
mod people;
mod recovery;
mod stage;
mod traps;
