//! Rank 1: protocol codecs. They borrow from the input and never panic; on the heap is only what must wait
//! for its rest.
#![forbid(unsafe_code)]

pub mod channel_data;
pub mod demux;
pub mod dtls;
pub mod engine_io;
pub mod json;
pub mod plain;
pub mod proxy_protocol;
pub mod socket_io;
pub mod stun;
pub mod websocket;

/// Why bytes are not a message of the protocol: dropped in silence, counted, never answered
/// (RFC 8489 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than its header, or than the length that the header claims.
    TooShort,
    /// Longer than the length that the header claims.
    TooLong,
    /// The two top bits of the first byte are not zero, or the magic cookie is not there.
    NotStun,
    /// A length field that is no multiple of four or lies outside the protocol's range.
    BadLength,
    /// An attribute reaches over the end of its message.
    AttributeOverrun,
    /// An attribute's value has the wrong size or form.
    AttributeValue,
    /// FINGERPRINT is there and wrong (RFC 8489 section 14.7).
    BadFingerprint,
    /// A channel number outside 0x4000-0x7FFF.
    NotAChannel,
    /// A connection that should begin with a PROXY protocol header and does not.
    NotProxyProtocol,
    /// A PROXY protocol header that breaks its format or a bound.
    BadProxyHeader,
}
