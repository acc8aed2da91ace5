//! ChannelData messages (RFC 8656 section 12.4) and the framing of TURN over streams (section 12.5).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! |         Channel Number        |            Length             |
//! /                       Application Data                        /
//! ```
//! The length counts application bytes only. A stream pads each message to four bytes outside of
//! that length; a datagram may be padded or not.

use super::Malformed;
use super::stun::HEADER_BYTES as STUN_HEADER_BYTES;

/// Bytes in front of the application data.
pub const HEADER_BYTES: usize = 4;

/// A channel number, 0x4000-0x7FFF on the wire; which part of it is accepted is policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelNumber(u16);

impl ChannelNumber {
    /// The lowest channel number.
    pub const FIRST: Self = Self(0x4000);
    /// The highest channel number of RFC 8656; RFC 5766 went on to 0x7FFF.
    pub const LAST: Self = Self(0x4FFF);

    /// `None` outside 0x4000-0x7FFF.
    pub const fn new(number: u16) -> Option<Self> {
        match number {
            0x4000..=0x7FFF => Some(Self(number)),
            _ => None,
        }
    }

    /// The number itself.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether RFC 8656 reserves the number, which RFC 5766 allowed (0x5000-0x7FFF).
    pub const fn is_legacy(self) -> bool {
        self.0 > Self::LAST.0
    }
}

/// A view of one ChannelData message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelData<'a> {
    /// The channel.
    pub number: ChannelNumber,
    /// Application data, 0 to 65,535 bytes, without padding.
    pub payload: &'a [u8],
}

impl<'a> ChannelData<'a> {
    /// Reads a whole datagram.
    ///
    /// # Errors
    /// `TooShort` when it ends before its claimed length (RFC 8656 section 12.6: dropped in
    /// silence), `TooLong` when more than padding follows, `NotAChannel`.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        let Some((header, rest)) = datagram.split_first_chunk::<HEADER_BYTES>() else {
            return Err(Malformed::TooShort);
        };
        let number =
            ChannelNumber::new(u16::from_be_bytes([header[0], header[1]])).ok_or(Malformed::NotAChannel)?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let payload = rest.get(..length).ok_or(Malformed::TooShort)?;
        if rest.len() - length > 3 {
            return Err(Malformed::TooLong);
        }
        Ok(Self { number, payload })
    }
}

/// The four bytes in front of `length` bytes of application data.
pub const fn header(number: ChannelNumber, length: u16) -> [u8; HEADER_BYTES] {
    let (n, l) = (number.0.to_be_bytes(), length.to_be_bytes());
    [n[0], n[1], l[0], l[1]]
}

/// Zero bytes that follow `length` bytes of application data on a stream.
pub const fn padding(length: usize) -> usize {
    length.wrapping_neg() & 3
}

/// What the front of a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The message is not whole yet; it needs this many bytes in all (4 before its header is here).
    Incomplete {
        /// Bytes from the start of the message.
        total: usize,
    },
    /// A STUN message of this many bytes.
    Stun {
        /// Header and attributes.
        total: usize,
    },
    /// A ChannelData message: `length` bytes with header, then padding up to `total`.
    ChannelData {
        /// Header and application data.
        length: usize,
        /// The same with padding: where the next message begins.
        total: usize,
    },
}

/// Finds the first message of a stream (RFC 8656 section 12.5; the 16-bit lengths cannot wrap here).
///
/// `stun_bytes_max`: the largest STUN message that the caller takes.
///
/// # Errors
/// Anything that is neither STUN nor ChannelData, or is too long: the stream is lost and must be
/// closed, since nothing says where the next message would begin.
pub fn frame(stream: &[u8], stun_bytes_max: usize) -> Result<Frame, Malformed> {
    let Some((&[b0, b1, b2, b3], _)) = stream.split_first_chunk::<HEADER_BYTES>() else {
        return match stream.first() {
            Some(&first) if first > 3 && !(64..=127).contains(&first) => Err(Malformed::NotStun),
            _ => Ok(Frame::Incomplete { total: HEADER_BYTES }),
        };
    };
    let length = usize::from(u16::from_be_bytes([b2, b3]));
    if ChannelNumber::new(u16::from_be_bytes([b0, b1])).is_some() {
        let length = HEADER_BYTES + length;
        let total = length + padding(length);
        return Ok(if stream.len() < total {
            Frame::Incomplete { total }
        } else {
            Frame::ChannelData { length, total }
        });
    }
    if b0 > 3 {
        return Err(Malformed::NotStun);
    }
    let total = STUN_HEADER_BYTES + length;
    if length % 4 != 0 || total > stun_bytes_max {
        return Err(Malformed::BadLength);
    }
    Ok(if stream.len() < total { Frame::Incomplete { total } } else { Frame::Stun { total } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_may_be_padded_or_not() {
        let view = ChannelData::parse(&[0x40, 1, 0, 3, 7, 8, 9]).expect("unpadded");
        assert_eq!((view.number.get(), view.payload), (0x4001, &[7u8, 8, 9][..]));
        assert_eq!(ChannelData::parse(&[0x40, 1, 0, 3, 7, 8, 9, 0]).expect("padded").payload, &[7, 8, 9]);
        assert_eq!(ChannelData::parse(&[0x40, 1, 0, 0]).expect("empty").payload, &[] as &[u8]);
    }

    #[test] // RFC 8656 section 12.6
    fn a_datagram_shorter_than_it_claims_is_refused() {
        assert_eq!(ChannelData::parse(&[0x40, 1, 0, 4, 1, 2, 3]), Err(Malformed::TooShort));
        assert_eq!(ChannelData::parse(&[0x40, 1, 0]), Err(Malformed::TooShort));
        assert_eq!(ChannelData::parse(&[0x40, 1, 0, 0, 0, 0, 0, 0]), Err(Malformed::TooLong));
        assert_eq!(ChannelData::parse(&[0x3f, 0xff, 0, 0]), Err(Malformed::NotAChannel));
        assert_eq!(ChannelData::parse(&[0x80, 0, 0, 0]), Err(Malformed::NotAChannel));
    }

    #[test] // point 16 of the traps: read four bytes, then as many as they say
    fn a_stream_is_framed_by_length_with_its_padding() {
        assert_eq!(frame(&[0x40], 2048), Ok(Frame::Incomplete { total: 4 }));
        assert_eq!(frame(&[0x40, 0, 0, 1, 9], 2048), Ok(Frame::Incomplete { total: 8 }));
        let whole = [0x40, 0, 0, 1, 9, 0, 0, 0, 0x40];
        assert_eq!(frame(&whole, 2048), Ok(Frame::ChannelData { length: 5, total: 8 }));
        let mut stun = [0u8; 20];
        stun[3] = 0;
        assert_eq!(frame(&stun, 2048), Ok(Frame::Stun { total: 20 }));
    }

    #[test] // CVE-2026-68552: a length near 65535 must neither wrap nor be waited for
    fn a_stun_length_near_the_maximum_closes_the_stream() {
        assert_eq!(frame(&[0, 3, 0xff, 0xfc, 0x21, 0x12], 2048), Err(Malformed::BadLength));
        assert_eq!(frame(&[0, 3, 0, 1], 2048), Err(Malformed::BadLength));
        assert_eq!(frame(&[0x16, 3, 1, 0], 2048), Err(Malformed::NotStun));
        assert_eq!(frame(&[0x16], 2048), Err(Malformed::NotStun));
        let whole = frame(&[0x4f, 0xff, 0xff, 0xff], 2048);
        assert_eq!(whole, Ok(Frame::Incomplete { total: 65_540 }));
    }
}
