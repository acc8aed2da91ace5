//! What one outgoing datagram is made of.
//!
//! ```text
//! | header: 0-56 bytes, made here | payload: a range of a received slot | padding: 0-3 zero bytes |
//! ```

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

/// One datagram to send, with its payload still where it was received.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Where to.
    pub to: SocketAddr,
    /// Local address to send from; for wildcard sockets, of the same family as `to`.
    pub source: Option<IpAddr>,
    /// ECN bits, 0 to 3 (RFC 3168 section 5); higher bits are ignored.
    pub ecn: u8,
    /// Bytes in front of the payload.
    pub header: Header,
    /// The slot with the payload, from [`Received::slot`](super::Received::slot).
    pub slot: u16,
    /// The payload's bytes in that slot, counted from the start of the slot.
    pub payload: Range<u32>,
    /// Zero bytes after the payload, 0 to 3; more are taken as 3.
    pub pad: u8,
}

impl Outgoing {
    /// The padding as bytes.
    pub(super) fn padding(&self) -> &'static [u8] {
        const ZEROS: [u8; 3] = [0; 3];
        &ZEROS[..usize::from(self.pad).min(ZEROS.len())]
    }
}

/// Memory that the payloads of a run lie in: a [`RecvBatch`](super::RecvBatch), or the bytes of a stream as the
/// one slot 0.
pub trait Payloads {
    /// Bytes `range` of what was received into `slot`, or `None` if that is not so much.
    fn payload(&self, slot: u16, range: &Range<u32>) -> Option<&[u8]>;
}

impl Payloads for [u8] {
    fn payload(&self, slot: u16, range: &Range<u32>) -> Option<&[u8]> {
        self.get(range.start as usize..range.end as usize).filter(|_| slot == 0)
    }
}

/// Up to 56 bytes that go in front of a payload, held in place.
///
/// The longest that TURN needs is a Data indication up to its DATA value: 48 bytes with an IPv6 peer
/// (RFC 8656 section 11.3); a channel header is 4 bytes (section 12.4).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Header {
    bytes: [u8; Self::CAPACITY],
    len: u8,
}

impl Header {
    /// No header.
    pub const EMPTY: Self = Self { bytes: [0; Self::CAPACITY], len: 0 };
    /// Most bytes that a header holds.
    pub const CAPACITY: usize = 56;

    /// A header with a copy of `bytes`, or `None` if they are more than [`Self::CAPACITY`].
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut header = Self::EMPTY;
        header.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        header.len = bytes.len() as u8;
        Some(header)
    }

    /// A header of a length that is known when compiling; more than [`Self::CAPACITY`] does not compile.
    pub const fn of<const N: usize>(bytes: &[u8; N]) -> Self {
        const { assert!(N <= Self::CAPACITY, "a header holds at most 56 bytes") };
        let mut header = Self::EMPTY;
        header.bytes.split_at_mut(N).0.copy_from_slice(bytes);
        header.len = N as u8;
        header
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Header({:02x?})", self.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_holds_up_to_its_capacity_and_refuses_more() {
        let bytes = [7; Header::CAPACITY + 1];
        for len in 0..=Header::CAPACITY {
            assert_eq!(Header::new(&bytes[..len]).unwrap().as_slice(), &bytes[..len]);
        }
        assert_eq!(Header::new(&bytes), None);
    }

    #[test]
    fn a_header_from_an_array_equals_one_from_a_slice() {
        let channel = [0x40, 0, 0, 9];
        assert_eq!(Some(Header::of(&channel)), Header::new(&channel));
        assert_eq!(Header::of(&[]), Header::EMPTY);
    }
}
