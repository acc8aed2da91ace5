//! The real binary on loopback: what only real sockets, signals and clocks show.
#![allow(clippy::unwrap_used)]

#[cfg(feature = "dtls")]
#[path = "../support/certificate.rs"]
mod certificate;
#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/skip.rs"]
mod skip;
#[path = "../support/tls.rs"]
mod tls_client;
#[path = "../support/world.rs"]
mod world;

mod activation;
mod addresses;
mod admin_key;
mod admin_socket;
mod bandwidth;
mod bench;
mod bursts;
mod caller;
mod credentials;
mod demo;
#[cfg(feature = "dtls")]
mod dtls;
mod events;
mod example;
mod figures;
mod hostile;
mod metrics;
mod minting;
mod network;
mod orders;
mod output;
#[allow(dead_code, reason = "shared; this target needs some of it")]
mod party;
mod polling;
mod prompt;
mod public;
mod reload;
mod rights;
mod seconds;
mod secrets;
mod service_manager;
mod sessions;
mod shards;
mod signaling;
mod start;
mod stop;
mod tcp_relay;
mod test_page;
mod tls;
mod token;
mod top;
mod traffic;
mod usage;
mod verbs;
