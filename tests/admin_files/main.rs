//! What the package brings for the admin besides the daemon, judged by the programs that read it.
#![allow(clippy::unwrap_used)]

#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../../examples/manual.rs"]
mod manual;
#[path = "../support/skip.rs"]
mod skip;
#[path = "../support/tls.rs"]
mod tls_client;
mod tool;

mod certbot;
mod completions;
mod firewall;
mod monitoring;
mod pages;
