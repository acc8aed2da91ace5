//! TURN over TCP and TLS (RFC 8656 section 3.1): one [`Prepared`] runtime beside each shard, with one task per
//! connection, which owns its allocation and ends it when it ends.
//!
//! A connection is a pipe of stages: a PROXY header where one is configured, TLS where the first byte says so,
//! then the first bytes decide between TURN and HTTP. A stage holds what is incomplete and nothing else:
//! received bytes lie in memory that all tasks of a runtime share, and a connection that says nothing keeps no
//! buffer. What cannot be written waits in a queue of its own, bounded in bytes; media that finds it full is
//! dropped, so a client that stops reading slows nobody down.
//!
//! A connection that a ConnectionBind ties to a peer (RFC 6062) becomes a pipe of plain bytes, bounded both ways, in
//! whichever runtime its client came to.
//!
//! HTTP is handed over to the control runtime whole ([`HandedOver`](crate::net::tls::HandedOver)); nothing of it runs here.

mod connection;
mod core;
mod door;
#[cfg(feature = "dtls")]
mod dtls;
mod intake;
mod leaving;
mod peers;
mod pipe;
mod queue;
mod runtime;
#[cfg(test)]
mod tests;

pub use door::{Deadlines, StreamDoor, StreamDoorSettings, Tls, adopt_stream_doors, bind_stream_doors};
#[cfg(feature = "dtls")]
pub use dtls::DtlsSetup;
/// There is none in this build.
#[cfg(not(feature = "dtls"))]
pub type DtlsSetup = std::convert::Infallible;

pub use runtime::{Prepared, Setup};
