//! What the package brings for the admin besides the daemon, judged by the programs that read it.
#![allow(clippy::unwrap_used)]

#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../../examples/manual.rs"]
mod manual;
#[path = "../support/skip.rs"]
mod skip;
mod tool;

mod completions;
mod pages;
