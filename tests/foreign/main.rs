//! Clients that share no code with this server, through the real binary or the real core.
#![allow(clippy::unwrap_used)]

#[path = "../support/certificate.rs"]
mod certificate;
#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/skip.rs"]
mod skip;
#[path = "../support/world.rs"]
mod world;

mod coturn;
mod nat;
mod natdiscovery;
mod openapi;
mod turn_crate;
mod turn_proto;
