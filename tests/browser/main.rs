//! Pages and calls in Chromium, against the real daemon on loopback.
//!
//! A test starts the daemon and a script of this folder, which drives the browser by playwright-core. Pictures of the
//! pages are in target/test-logs.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "shared; this target needs some of it")]
#[path = "../process/caller.rs"]
mod caller;
#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/skip.rs"]
mod skip;
#[path = "../support/world.rs"]
mod world;

mod calls;
mod dashboard;
mod house;
mod script;
mod test_page;
