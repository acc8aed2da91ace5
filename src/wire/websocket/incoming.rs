//! What a client said.

use super::{CloseCode, Opcode, Violation};
use std::borrow::Cow;

/// A whole message or control frame of a client, unmasked: lent out of the input, or owned when it came
/// in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// A message of bytes.
    Binary(Cow<'a, [u8]>),
    /// Up to 125 bytes that want to come back in a pong, unless we have closed (RFC 6455 section 5.5.2).
    Ping(Cow<'a, [u8]>),
    /// Up to 125 bytes: those of our ping, or a sign of life (section 5.5.3).
    Pong(Cow<'a, [u8]>),
    /// The last that is heard of this client; it wants a Close with the same code, unless we sent ours
    /// already (section 5.5.1).
    Close {
        /// `None` when it gave none.
        code: Option<CloseCode>,
        /// Up to 123 bytes for people who debug; the client's words, so never a line of a log.
        reason: Cow<'a, str>,
    },
}

impl<'a> Incoming<'a> {
    /// What the whole payload of a message or control frame says.
    pub(super) fn new(opcode: Opcode, payload: Cow<'a, [u8]>) -> Result<Self, Violation> {
        match opcode {
            Opcode::Text => Ok(Self::Text(utf8(payload)?)),
            Opcode::Binary => Ok(Self::Binary(payload)),
            Opcode::Ping => Ok(Self::Ping(payload)),
            Opcode::Pong => Ok(Self::Pong(payload)),
            Opcode::Close => Self::close(payload),
            Opcode::Continuation => Err(Violation::NothingToContinue),
        }
    }

    /// RFC 6455 section 5.5.1: nothing, or a code in two bytes and a reason in UTF-8.
    fn close(payload: Cow<'a, [u8]>) -> Result<Self, Violation> {
        let code = match *payload {
            [] => return Ok(Self::Close { code: None, reason: Cow::Borrowed("") }),
            [_] => return Err(Violation::CloseCode),
            [high, low, ..] => CloseCode::new(u16::from_be_bytes([high, low])),
        };
        let reason = match payload {
            Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[2..]),
            Cow::Owned(mut bytes) => Cow::Owned(bytes.split_off(2)),
        };
        Ok(Self::Close { code: Some(code.ok_or(Violation::CloseCode)?), reason: utf8(reason)? })
    }
}

fn utf8(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, str>, Violation> {
    let text = match bytes {
        Cow::Borrowed(bytes) => str::from_utf8(bytes).map(Cow::Borrowed).ok(),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).ok(),
    };
    text.ok_or(Violation::NotUtf8)
}
