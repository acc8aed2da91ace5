//! Clients of signaling that others wrote, against the real daemon; and what only the wire shows.
#![allow(clippy::unwrap_used)]

#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../conformance/fixture.rs"]
mod fixture;
#[path = "../support/skip.rs"]
mod skip;
#[path = "../support/token.rs"]
mod token;

mod back_end;
mod call;
mod connect;
mod cutter;
mod engine;
mod expiry;
mod flow;
mod kept;
mod node;
mod people;
mod raw;
mod record;
mod recovery;
mod sdk;
mod sdk_calls;
mod socket;
mod stage;
mod traps;
