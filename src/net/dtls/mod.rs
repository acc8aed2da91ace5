//! DTLS 1.2 sessions without I/O, behind a gate that keeps nothing for an unproven address.
//!
//! ```text
//! datagram -+- ClientHello with nothing in common -> alert, no state
//!           +- ClientHello without a good cookie -> HelloVerifyRequest, no state
//!           +- ClientHello with one --------------> a session (half-open)
//!           +- record of a session ---------------> that session
//!           +- anything else ---------------------> dropped
//! ```
//! The driver hands in what arrived with [`Sessions::on_datagram`], and time with
//! [`Sessions::on_deadline`]; then it polls the session that they name for what to send and what the
//! client said, and asks which sessions ended.
//!
//! Handshakes and records are `dimpl`'s. It has cookies of its own, but only one session at a time
//! knows them, so a table of its sessions would be state for strangers. `admission` says how a
//! session is made to begin where our gate stopped. DTLS 1.3 is not offered: its cookie holds the
//! transcript of the first hello, which `dimpl` computes inside; clients of 1.3 agree on 1.2.

mod admission;
mod config;
mod events;
mod session;
mod sessions;
#[cfg(test)]
mod sessions_tests;
#[cfg(test)]
mod testing;

pub use config::{DtlsConfig, Limits, NotEcdsa};
pub use events::{Answer, EndReason, Ended, Host, Inbound, Output, Path, Refusal, SessionId};
pub use sessions::Sessions;
