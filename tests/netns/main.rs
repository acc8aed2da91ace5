//! The real daemon on real networks: namespaces joined by veth, with nftables for NAT, loss and
//! counting. Everything is made and removed by the test; no interface of this host is touched.
//!
//! Clients speak STUN from plain bytes, so that the codec under test does not judge itself.

mod client;
mod daemon;
mod denied;
mod discovery;
mod flood;
mod loops;
mod loss;
mod nat;
mod poll;
#[path = "../support/skip.rs"]
mod skip;
mod space;
mod stun;
