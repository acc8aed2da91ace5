//! STUN messages (RFC 8489) with the attributes of TURN (RFC 8656).
//!
//! [`Message`] is a checked view of received bytes; [`MessageWriter`] fills a buffer of the caller.
//! Nothing here allocates, and nothing panics on any input.

pub mod attribute;
mod header;
mod integrity;
mod message;
mod writer;

pub use attribute::{AttributeType, RequestedFamily};
pub use header::{Class, HEADER_BYTES, MAGIC_COOKIE, Method, TransactionId};
pub use integrity::{IntegrityAlgorithm, IntegrityKey};
pub use message::{Attribute, Attributes, Message};
pub use writer::MessageWriter;
