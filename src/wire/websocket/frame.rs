//! Frames (RFC 6455 section 5.2): the header that a client sends, and the one that we write.

use super::{CONTROL_BYTES_MAX, Violation};
use std::ops::Deref;

/// What a frame is (RFC 6455 section 5.2); all other numbers are reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opcode {
    /// More of a message.
    Continuation = 0x0,
    /// The first frame of a text.
    Text = 0x1,
    /// The first frame of a message of bytes.
    Binary = 0x2,
    /// The last frame of all.
    Close = 0x8,
    /// To be answered.
    Ping = 0x9,
    /// The answer to a ping, or a sign of life.
    Pong = 0xA,
}

impl Opcode {
    const fn new(bits: u8) -> Option<Self> {
        match bits {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xA => Some(Self::Pong),
            _ => None,
        }
    }

    /// Whether it is about the connection and may stand inside of a fragmented message (section 5.4).
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The longest header: length of 64 bits and masking key.
pub(super) const CLIENT_HEADER_BYTES_MAX: usize = 14;

/// The header of a frame from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientHeader {
    pub(super) opcode: Opcode,
    pub(super) is_final: bool,
    pub(super) masking_key: [u8; 4],
    /// Below 2^63.
    pub(super) payload_bytes: u64,
    /// Bytes of the header itself, 6 to 14.
    pub(super) length: usize,
}

impl ClientHeader {
    /// The header at the front of `bytes`; `None` when its end has not come yet. An error stays the same
    /// whatever follows.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, Violation> {
        let Some((&[first, second], rest)) = bytes.split_first_chunk() else { return Ok(None) };
        let (opcode, is_final) = (opcode(first, second)?, first & FIN != 0);
        let Some((payload_bytes, rest)) = payload_bytes(second & !MASK, rest)? else { return Ok(None) };
        let Some((&masking_key, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let length = bytes.len() - rest.len();
        Ok(Some(Self { opcode, is_final, masking_key, payload_bytes, length }))
    }
}

/// What the first two bytes alone decide.
fn opcode(first: u8, second: u8) -> Result<Opcode, Violation> {
    if first & RESERVED != 0 {
        return Err(Violation::ReservedBits);
    }
    let opcode = Opcode::new(first & 0x0F).ok_or(Violation::ReservedOpcode)?;
    if second & MASK == 0 {
        return Err(Violation::Unmasked);
    }
    if opcode.is_control() {
        if first & FIN == 0 {
            return Err(Violation::FragmentedControl);
        }
        if usize::from(second & !MASK) > CONTROL_BYTES_MAX {
            return Err(Violation::ControlTooLong);
        }
    }
    Ok(opcode)
}

/// The length, and what is behind it. RFC 6455 section 5.2: in as few bytes as it can be said, and
/// with a top bit of zero in 64 bits.
fn payload_bytes(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, Violation> {
    let (bytes, shortest, rest) = match short {
        LENGTH_16 => {
            let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
            (u64::from(u16::from_be_bytes(*length)), u64::from(LENGTH_16), rest)
        }
        LENGTH_64 => {
            let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
            (u64::from_be_bytes(*length), 1 << 16, rest)
        }
        short => (u64::from(short), 0, rest),
    };
    if bytes < shortest || bytes >> 63 != 0 {
        return Err(Violation::LengthForm);
    }
    Ok(Some((bytes, rest)))
}

/// The header of a whole message in one frame to a client, without a mask (RFC 6455 section 5.1): 2, 4 or
/// 10 bytes.
#[derive(Clone, Copy, Debug)]
pub struct FrameHeader {
    bytes: [u8; 10],
    length: u8,
}

impl Deref for FrameHeader {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// What goes in front of a payload of this many bytes; at most 125 for a control frame.
pub fn frame_header(opcode: Opcode, payload_bytes: usize) -> FrameHeader {
    debug_assert!(!opcode.is_control() || payload_bytes <= CONTROL_BYTES_MAX);
    let mut bytes = [0; 10];
    bytes[0] = FIN | opcode as u8;
    let length = match payload_bytes {
        0..=125 => {
            bytes[1] = payload_bytes as u8;
            2
        }
        126..=0xFFFF => {
            bytes[1] = LENGTH_16;
            bytes[2..4].copy_from_slice(&(payload_bytes as u16).to_be_bytes());
            4
        }
        _ => {
            bytes[1] = LENGTH_64;
            bytes[2..].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
            10
        }
    };
    FrameHeader { bytes, length }
}

/// Appends a whole message, or a ping or pong of at most 125 bytes, in one frame.
pub fn write_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    let header = frame_header(opcode, payload.len());
    out.reserve(header.len() + payload.len());
    out.extend_from_slice(&header);
    out.extend_from_slice(payload);
}

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASK: u8 = 0x80;
/// Values of the short length that say how many bytes of length follow.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &[u8]) -> Result<Option<ClientHeader>, Violation> {
        ClientHeader::parse(bytes)
    }

    fn length_of(bytes: &[u8]) -> Result<Option<(u64, usize)>, Violation> {
        Ok(parsed(bytes)?.map(|header| (header.payload_bytes, header.length)))
    }

    #[test] // RFC 6455 section 5.2
    fn a_header_is_read_when_its_last_byte_has_come() {
        let bytes = [0x01, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0, 9, 8, 7, 6];
        for end in 0..bytes.len() {
            assert_eq!(parsed(&bytes[..end]), Ok(None), "{end}");
        }
        let header = ClientHeader {
            opcode: Opcode::Text,
            is_final: false,
            masking_key: [9, 8, 7, 6],
            payload_bytes: 65_536,
            length: 14,
        };
        assert_eq!(parsed(&bytes), Ok(Some(header)));
    }

    #[test] // RFC 6455 section 5.2: the minimal number of bytes MUST be used
    fn a_length_in_more_bytes_than_it_needs_is_refused() {
        assert_eq!(length_of(&[0x82, 0xFD, 1, 2, 3, 4]), Ok(Some((125, 6))));
        assert_eq!(length_of(&[0x82, 0xFE, 0, 126, 1, 2, 3, 4]), Ok(Some((126, 8))));
        assert_eq!(length_of(&[0x82, 0xFE, 0, 125]), Err(Violation::LengthForm));
        assert_eq!(length_of(&[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]), Err(Violation::LengthForm));
    }

    #[test] // RFC 6455 section 5.2: the most significant bit MUST be 0
    fn a_length_of_sixty_four_bits_is_refused() {
        let largest = [0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4];
        assert_eq!(length_of(&largest), Ok(Some((u64::MAX >> 1, 14))));
        assert_eq!(length_of(&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]), Err(Violation::LengthForm));
    }

    #[test] // RFC 6455 sections 5.1, 5.2 and 5.5
    fn two_bytes_are_enough_to_refuse_what_no_client_may_send() {
        for bit in [0x40, 0x20, 0x10] {
            assert_eq!(parsed(&[0x81 | bit, 0x80]), Err(Violation::ReservedBits));
        }
        for opcode in (0x3..=0x7).chain(0xB..=0xF) {
            assert_eq!(parsed(&[0x80 | opcode, 0x80]), Err(Violation::ReservedOpcode), "{opcode}");
        }
        assert_eq!(parsed(&[0x81, 0x05]), Err(Violation::Unmasked));
        for control in [0x8, 0x9, 0xA] {
            assert_eq!(parsed(&[control, 0x80]), Err(Violation::FragmentedControl));
            assert_eq!(parsed(&[0x80 | control, 0xFE]), Err(Violation::ControlTooLong));
            assert_eq!(parsed(&[0x80 | control, 0xFD]), Ok(None));
        }
    }

    #[test] // RFC 6455 section 5.7
    fn our_frames_are_those_of_the_examples() {
        let mut out = Vec::new();
        write_frame(&mut out, Opcode::Text, b"Hello");
        assert_eq!(out, [0x81, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F]);
        out.clear();
        write_frame(&mut out, Opcode::Ping, b"Hello");
        assert_eq!(out, [0x89, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F]);
        assert_eq!(frame_header(Opcode::Binary, 256)[..], [0x82, 0x7E, 0x01, 0x00]);
        assert_eq!(frame_header(Opcode::Binary, 65_536)[..], [0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn our_lengths_are_in_their_shortest_form() {
        let lengths = [0, 125, 126, 65_535, 65_536].map(|bytes| frame_header(Opcode::Binary, bytes).len());
        assert_eq!(lengths, [2, 2, 4, 4, 10]);
    }
}
