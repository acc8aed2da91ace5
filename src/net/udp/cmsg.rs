//! Control messages in the byte layout of the kernel, without unsafe code.
//!
//! ```text
//! | length: usize | level: i32 | type: i32 | data ... | padding to the size of a usize |
//! ```
//! The length counts header and data but not the padding.

use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const WORD: usize = size_of::<usize>();
const HEADER_BYTES: usize = WORD + 8;

const _: () = assert!(
    size_of::<libc::cmsghdr>() == HEADER_BYTES
        && offset_of!(libc::cmsghdr, cmsg_level) == WORD
        && offset_of!(libc::cmsghdr, cmsg_type) == WORD + 4
        && HEADER_BYTES.is_multiple_of(WORD)
        && size_of::<libc::in_pktinfo>() == 12
        && offset_of!(libc::in_pktinfo, ipi_spec_dst) == 4
        && offset_of!(libc::in_pktinfo, ipi_addr) == 8
        && size_of::<libc::in6_pktinfo>() == 20
);

/// Asks for and names the kernel's count of datagrams that did not fit the receive buffer. The libc
/// crate lacks it; it is 40 in the kernel's `asm-generic/socket.h`.
pub(super) const SO_RXQ_OVFL: libc::c_int = 40;

/// Room for control messages that the kernel writes, aligned as it wants them.
///
/// 128 bytes hold packet info (40), traffic class (24), overflow (24) and a segment size (24). The error
/// queue asks for 256: the error with its two addresses (64) beside those.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Control<const BYTES: usize>([u8; BYTES]);

/// Control buffer of one received datagram.
pub(super) type RecvControl = Control<128>;
/// Control buffer of one entry of the error queue.
pub(super) type ErrorControl = Control<256>;

impl<const BYTES: usize> Control<BYTES> {
    pub(super) const EMPTY: Self = Self([0; BYTES]);

    /// The part that the kernel says it wrote.
    pub(super) fn written(&self, len: usize) -> &[u8] {
        &self.0[..len.min(BYTES)]
    }

    /// All bytes, for the kernel to fill. Any content is allowed: [`messages`] checks it.
    pub(super) const fn as_bytes_mut(&mut self) -> &mut [u8; BYTES] {
        &mut self.0
    }
}

/// One control message: level, type and data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) level: i32,
    pub(super) kind: i32,
    pub(super) data: &'a [u8],
}

/// The whole messages at the start of `control`. Ends at the first one that is cut short, so a buffer that
/// was too small (`MSG_CTRUNC`) yields what did fit.
pub(super) fn messages(mut control: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let len = usize::from_ne_bytes(*control.first_chunk()?);
        let message = control.get(..len)?;
        let level = i32::from_ne_bytes(*message.get(WORD..)?.first_chunk()?);
        let kind = i32::from_ne_bytes(*message.get(WORD + 4..)?.first_chunk()?);
        let data = message.get(HEADER_BYTES..)?;
        control = control.get(len.next_multiple_of(WORD)..).unwrap_or_default();
        Some(Message { level, kind, data })
    })
}

/// What the kernel told beside a datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ancillary {
    /// Destination address in the IP header (packet info).
    pub(super) local_ip: Option<IpAddr>,
    /// ECN bits, 0 to 3 (RFC 3168 section 5).
    pub(super) ecn: u8,
    /// What this socket has lost since it was opened: datagrams, where several that were coalesced count as one.
    pub(super) overflow: Option<u32>,
    /// The payload is several datagrams of this length, of which the last may be shorter (`UDP_GRO`).
    pub(super) segment_bytes: Option<usize>,
}

impl Ancillary {
    /// Reads what the kernel wrote; unknown messages are skipped.
    pub(super) fn parse(control: &[u8]) -> Self {
        let mut found = Self::default();
        for Message { level, kind, data } in messages(control) {
            match (level, kind) {
                (libc::SOL_IP, libc::IP_TOS) | (libc::SOL_IPV6, libc::IPV6_TCLASS) => {
                    found.ecn = class(data).unwrap_or(0) & 3;
                }
                (libc::SOL_IP, libc::IP_PKTINFO) => {
                    // The header's destination, not the kernel's proposal for a source: it is the server
                    // address of the 5-tuple. A broadcast address cannot be sent from, so it gets no answer.
                    found.local_ip = chunk::<4>(data, 8).map(|ip| Ipv4Addr::from(ip).into());
                }
                (libc::SOL_IPV6, libc::IPV6_PKTINFO) => {
                    found.local_ip = chunk::<16>(data, 0).map(|ip| Ipv6Addr::from(ip).into());
                }
                (libc::SOL_SOCKET, SO_RXQ_OVFL) => found.overflow = chunk(data, 0).map(u32::from_ne_bytes),
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    let bytes = chunk(data, 0).map(i32::from_ne_bytes);
                    found.segment_bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
                }
                _ => {}
            }
        }
        found
    }
}

/// `N` bytes of `data` from `at` on, if it has them.
pub(super) fn chunk<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..)?.first_chunk().copied()
}

/// The traffic class: one byte from IPv4, a native integer from IPv6.
fn class(data: &[u8]) -> Option<u8> {
    match data {
        [one] => Some(*one),
        _ => chunk(data, 0).map(|int| (i32::from_ne_bytes(int) & 0xff) as u8),
    }
}

/// Control messages of what is sent in one go: the address to send from, ECN bits, and where to cut.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct SendControl {
    bytes: [u8; Self::BYTES],
    len: usize,
}

impl SendControl {
    /// The most that is written: IPv6 packet info (40), traffic class (24) and segment size (24).
    const BYTES: usize = 88;

    /// No control message.
    pub(super) const EMPTY: Self = Self { bytes: [0; Self::BYTES], len: 0 };

    /// Control messages for a datagram to an address of `v4` or IPv6 that leaves from `source`, or from
    /// where the socket is bound, with `ecn` (0 to 3; 0 is what the kernel sends by itself).
    pub(super) fn new(v4: bool, source: Option<IpAddr>, ecn: u8) -> Self {
        let mut control = Self::EMPTY;
        match source {
            Some(IpAddr::V4(ip)) => {
                let mut info = [0; 12];
                info[4..8].copy_from_slice(&ip.octets());
                control.push(libc::SOL_IP, libc::IP_PKTINFO, &info);
            }
            Some(IpAddr::V6(ip)) => {
                let mut info = [0; 20];
                info[..16].copy_from_slice(&ip.octets());
                control.push(libc::SOL_IPV6, libc::IPV6_PKTINFO, &info);
            }
            None => {}
        }
        let class = i32::from(ecn & 3).to_ne_bytes();
        match (ecn & 3, v4) {
            (0, _) => {}
            (_, true) => control.push(libc::SOL_IP, libc::IP_TOS, &class),
            (_, false) => control.push(libc::SOL_IPV6, libc::IPV6_TCLASS, &class),
        }
        control
    }

    /// Has the kernel cut what is sent into datagrams of `bytes` each (`UDP_SEGMENT`). Once, on a new one.
    pub(super) fn cut(&mut self, bytes: u16) {
        self.push(libc::SOL_UDP, libc::UDP_SEGMENT, &bytes.to_ne_bytes());
    }

    /// The messages, for the kernel to read.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Appends one message; 40 and 24 bytes by [`Self::new`] and 24 by [`Self::cut`] fit.
    fn push(&mut self, level: i32, kind: i32, data: &[u8]) {
        let message = &mut self.bytes[self.len..];
        let len = HEADER_BYTES + data.len();
        message[..WORD].copy_from_slice(&len.to_ne_bytes());
        message[WORD..WORD + 4].copy_from_slice(&level.to_ne_bytes());
        message[WORD + 4..HEADER_BYTES].copy_from_slice(&kind.to_ne_bytes());
        message[HEADER_BYTES..len].copy_from_slice(data);
        self.len += len.next_multiple_of(WORD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_for_sending_reads_back_as_messages() {
        let control = SendControl::new(false, Some("::1".parse().unwrap()), 3);
        assert_eq!(control.as_bytes().len(), 64);
        let found = Ancillary::parse(control.as_bytes());
        let local_ip = Some("::1".parse().unwrap());
        assert_eq!(found, Ancillary { local_ip, ecn: 3, ..Ancillary::default() });
        let v4 = SendControl::new(true, Some("127.0.0.2".parse().unwrap()), 2);
        let [info, class]: [Message<'_>; 2] = messages(v4.as_bytes()).collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(
            (info.level, info.kind, &info.data[4..8]),
            (libc::SOL_IP, libc::IP_PKTINFO, &[127, 0, 0, 2][..])
        );
        assert_eq!((class.kind, class.data), (libc::IP_TOS, &2_i32.to_ne_bytes()[..]));
    }

    #[test]
    fn where_to_cut_fits_behind_everything_else() {
        let mut control = SendControl::new(false, Some("::1".parse().unwrap()), 3);
        control.cut(1204);
        assert_eq!(control.as_bytes().len(), SendControl::BYTES);
        let last = messages(control.as_bytes()).last().unwrap();
        assert_eq!(
            (last.level, last.kind, last.data),
            (libc::SOL_UDP, libc::UDP_SEGMENT, &1204_u16.to_ne_bytes()[..])
        );
    }

    #[test]
    fn the_length_of_segments_is_read_unless_it_is_none() {
        for (written, read) in [(1204, Some(1204)), (1, Some(1)), (0, Some(0)), (-1, None)] {
            let mut control = SendControl::EMPTY;
            control.push(libc::SOL_UDP, libc::UDP_GRO, &i32::to_ne_bytes(written));
            assert_eq!(Ancillary::parse(control.as_bytes()).segment_bytes, read);
        }
    }

    #[test]
    fn nothing_asked_for_writes_nothing() {
        assert!(SendControl::new(true, None, 0).as_bytes().is_empty());
        assert!(SendControl::new(false, None, 4).as_bytes().is_empty(), "only the two ECN bits count");
    }

    #[test]
    fn any_cut_of_a_control_buffer_yields_only_whole_messages() {
        let control = SendControl::new(false, Some("::1".parse().unwrap()), 1);
        let bytes = control.as_bytes();
        for len in 0..=bytes.len() {
            let whole = usize::from(len >= 36) + usize::from(len >= 40 + 20);
            assert_eq!(messages(&bytes[..len]).count(), whole, "cut at {len}");
        }
    }

    #[test]
    fn lying_lengths_end_the_walk() {
        for len in [0_usize, 1, 15, 17, usize::MAX, usize::MAX - 6] {
            let mut bytes = [0_u8; 16];
            bytes[..WORD].copy_from_slice(&len.to_ne_bytes());
            assert_eq!(messages(&bytes).count(), 0, "length {len}");
        }
    }
}
