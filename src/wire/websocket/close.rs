//! Close codes and the Close that we send (RFC 6455 sections 5.5.1 and 7.4).

use super::{CONTROL_BYTES_MAX, Opcode, frame_header};
use std::fmt;

/// The longest reason of a Close: the code takes two bytes.
pub const CLOSE_REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// Why a connection is closed; always a number that may stand on the wire (RFC 6455 section 7.4 and the
/// registry of section 11.7).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// All is done.
    pub const NORMAL: Self = Self(1000);
    /// The server goes down, or the browser left the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// The other side broke the protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// A kind of data that is not taken.
    pub const UNSUPPORTED: Self = Self(1003);
    /// Data that does not fit its kind, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// Against the rules of this server.
    pub const POLICY: Self = Self(1008);
    /// A message that is too big.
    pub const TOO_BIG: Self = Self(1009);
    /// The client wanted an extension (only clients send it).
    pub const EXTENSION: Self = Self(1010);
    /// The server met something unexpected.
    pub const INTERNAL: Self = Self(1011);
    /// The server restarts: come again after a random delay.
    pub const RESTART: Self = Self(1012);
    /// The server is overloaded: come again later.
    pub const TRY_AGAIN: Self = Self(1013);
    /// What a gateway got from the server behind it made no sense.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// `None` for numbers that no Close may carry: 1004, 1005, 1006 and 1015 are for inside use, others
    /// are not defined (sections 7.4.1 and 7.4.2). 3000-3999 are registered by libraries, 4000-4999 free.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number itself.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

/// Appends a Close. Of `reason`, which should say what to do, as much is sent as fits 123 bytes.
pub fn write_close(out: &mut Vec<u8>, code: CloseCode, reason: &str) {
    let reason = &reason[..reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX)];
    out.extend_from_slice(&frame_header(Opcode::Close, 2 + reason.len()));
    out.extend_from_slice(&code.0.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // RFC 6455 sections 7.4.1 and 7.4.2
    fn only_codes_that_may_be_sent_exist() {
        let ends = [999, 1000, 1003, 1004, 1005, 1006, 1007, 1014, 1015, 1016, 2999, 3000, 4999, 5000];
        let legal: Vec<_> = ends.into_iter().filter_map(CloseCode::new).map(CloseCode::get).collect();
        assert_eq!(legal, [1000, 1003, 1007, 1014, 3000, 4999]);
        assert_eq!([0, u16::MAX].map(CloseCode::new), [None; 2]);
    }

    #[test] // RFC 6455 section 5.5.1
    fn a_close_is_a_code_and_a_reason_that_fits() {
        let mut out = Vec::new();
        write_close(&mut out, CloseCode::GOING_AWAY, "back soon");
        assert_eq!(out, b"\x88\x0b\x03\xe9back soon");
        out.clear();
        write_close(&mut out, CloseCode::NORMAL, "");
        assert_eq!(out, [0x88, 2, 0x03, 0xE8]);
    }

    #[test] // RFC 6455 section 5.5
    fn a_reason_that_is_too_long_is_cut_between_two_characters() {
        let mut out = Vec::new();
        write_close(&mut out, CloseCode::POLICY, &"ä".repeat(100));
        assert_eq!(out[..2], [0x88, 2 + 122]);
        assert_eq!(str::from_utf8(&out[4..]), Ok("ä".repeat(61).as_str()));
    }
}
