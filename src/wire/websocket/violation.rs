//! Why a connection must fail.

use super::CloseCode;
use std::fmt;

/// What a client did that ends its connection (RFC 6455 section 7.1.7: a Close with the code, then the
/// end of the stream).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    /// Section 5.2: a reserved bit, though no extension is known.
    ReservedBits,
    /// Section 5.2: opcode 3-7 or 11-15.
    ReservedOpcode,
    /// Section 5.1: what a client sends is masked.
    Unmasked,
    /// Section 5.5: a close, ping or pong in pieces.
    FragmentedControl,
    /// Section 5.5: a close, ping or pong of more than 125 bytes.
    ControlTooLong,
    /// Section 5.2: a length of more bytes than it needs, or of 64 bits.
    LengthForm,
    /// Section 5.4: a continuation of nothing.
    NothingToContinue,
    /// Section 5.4: a new message before the last one has ended.
    MessageInsideMessage,
    /// Section 7.4: a close payload of one byte, or with a code that nobody may send.
    CloseCode,
    /// Sections 5.6 and 5.5.1: a text or the reason of a close that is not UTF-8.
    NotUtf8,
    /// Section 10.4: more bytes than the reader takes for one message.
    MessageTooBig,
    /// Section 10.4: more frames than the reader takes for one message.
    TooManyFragments,
}

impl Violation {
    /// What the connection is closed with (section 7.4.1).
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::NotUtf8 => CloseCode::INVALID_PAYLOAD,
            Self::MessageTooBig => CloseCode::TOO_BIG,
            Self::TooManyFragments => CloseCode::POLICY,
            _ => CloseCode::PROTOCOL,
        }
    }

    /// A few words for the reason of the Close, for whoever wrote the client.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReservedBits => "a reserved bit is set, and no extension was agreed",
            Self::ReservedOpcode => "reserved opcode",
            Self::Unmasked => "a frame from a client must be masked",
            Self::FragmentedControl => "a control frame must not be fragmented",
            Self::ControlTooLong => "a control frame carries at most 125 bytes",
            Self::LengthForm => "the length is not in its shortest form",
            Self::NothingToContinue => "a continuation without a message",
            Self::MessageInsideMessage => "a new message before the last one ended",
            Self::CloseCode => "invalid close code",
            Self::NotUtf8 => "not UTF-8",
            Self::MessageTooBig => "message too big",
            Self::TooManyFragments => "too many fragments",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Violation {}
