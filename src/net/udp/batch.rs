//! Received datagrams, in the buffers that they stay in until they are sent on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::os::fd::BorrowedFd;

use super::address::RawAddress;
use super::cmsg::{Ancillary, RecvControl};
use super::outgoing::Payloads;
use super::sys::{self, Headers};

/// Most datagrams that the kernel coalesces into one slot: 64 from a network, 128 that were sent in one go on this host.
const SEGMENTS_MAX: usize = 128;

/// Received datagrams and the memory for them, reused by every receive.
///
/// A *slot* is one buffer that the kernel fills, with one datagram or, where a socket lets it, with up to 128 of one sender
/// (`UDP_GRO`); a *datagram* is a range of a slot. [`Received::slot`] and [`Received::start`] tell which, for building an
/// [`Outgoing`](super::Outgoing).
pub struct RecvBatch {
    headers: Headers,
    addresses: Box<[RawAddress]>,
    controls: Box<[RecvControl]>,
    slots: Box<[u8]>,
    slot_bytes: usize,
    arrivals: [Arrival; Self::SLOTS_MAX],
    /// How many slots the last receive wanted to fill, and how many it did.
    slots_wanted: usize,
    slots_used: usize,
    datagrams: Vec<Datagram>,
    overflow: Option<u32>,
}

/// One datagram of a [`RecvBatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// Who sent it. Link-local addresses carry their scope id.
    pub from: SocketAddr,
    /// The address that it was sent to; known on wildcard listeners only.
    pub local_ip: Option<IpAddr>,
    /// ECN bits, 0 to 3 (RFC 3168 section 5).
    pub ecn: u8,
    /// The payload.
    pub bytes: &'a [u8],
    /// The datagram was longer than the slot, and the rest is lost.
    pub truncated: bool,
    /// The slot that `bytes` lie in, for [`Outgoing::slot`](super::Outgoing::slot).
    pub slot: u16,
    /// Where `bytes` start in the slot, for [`Outgoing::payload`](super::Outgoing::payload).
    pub start: u32,
}

/// What is kept of what came into a slot.
#[derive(Clone, Copy)]
struct Arrival {
    from: SocketAddr,
    local_ip: Option<IpAddr>,
    ecn: u8,
    /// Bytes; 0 in slots that the last receive did not use.
    filled: u16,
    truncated: bool,
}

impl Arrival {
    const NONE: Self = Self {
        from: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        local_ip: None,
        ecn: 0,
        filled: 0,
        truncated: false,
    };
}

/// A datagram: a range of a slot.
#[derive(Clone, Copy)]
struct Datagram {
    slot: u16,
    start: u16,
    end: u16,
}

impl Payloads for RecvBatch {
    fn payload(&self, slot: u16, range: &Range<u32>) -> Option<&[u8]> {
        let slot = usize::from(slot);
        let start = slot * self.slot_bytes;
        let filled = usize::from(self.arrivals.get(slot)?.filled);
        self.slots[start..start + filled].get(range.start as usize..range.end as usize)
    }
}

impl RecvBatch {
    /// Most slots that one receive fills.
    pub const SLOTS_MAX: usize = sys::BATCH_MAX;

    /// Most datagrams that one receive returns.
    pub const DATAGRAMS_MAX: usize = Self::SLOTS_MAX * SEGMENTS_MAX;

    /// An empty batch with 32 slots of `slot_bytes` each, taken as 1 to 65,536.
    ///
    /// 65,536 holds every datagram, and the kernel backs only pages that were once written to.
    pub fn new(slot_bytes: usize) -> Self {
        let slot_bytes = slot_bytes.clamp(1, 65_536);
        Self {
            headers: Headers::new(),
            addresses: vec![RawAddress::EMPTY; Self::SLOTS_MAX].into(),
            controls: vec![RecvControl::EMPTY; Self::SLOTS_MAX].into(),
            slots: vec![0; Self::SLOTS_MAX * slot_bytes].into(),
            slot_bytes,
            arrivals: [Arrival::NONE; Self::SLOTS_MAX],
            slots_wanted: 0,
            slots_used: 0,
            datagrams: Vec::with_capacity(Self::DATAGRAMS_MAX),
            overflow: None,
        }
    }

    /// How many datagrams the last receive returned.
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Whether the last receive filled every slot that it was given: there may be more.
    pub fn is_full(&self) -> bool {
        self.slots_used == self.slots_wanted
    }

    /// How many slots the last receive filled.
    pub fn slots_used(&self) -> usize {
        self.slots_used
    }

    /// Whether the last receive returned none.
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// The `i`-th datagram in order of arrival.
    ///
    /// # Panics
    /// If `i` is not below [`Self::len`].
    pub fn datagram(&self, i: usize) -> Received<'_> {
        let Datagram { slot, start, end } = self.datagrams[i];
        let Arrival { from, local_ip, ecn, filled, truncated } = self.arrivals[usize::from(slot)];
        let range = u32::from(start)..u32::from(end);
        let bytes = self.payload(slot, &range).expect("`take` recorded a range of what the slot holds");
        // What was cut off is the end of the slot.
        let truncated = truncated && end == filled;
        Received { from, local_ip, ecn, bytes, truncated, slot, start: range.start }
    }

    /// What the socket lost since it was opened, to a full receive buffer or for a bad checksum: datagrams, where several that
    /// were coalesced count as one. Modulo 2^32, as of the
    /// last datagram of the last receive. `None` if no datagram carried the count, which is so until the first loss.
    pub fn overflow(&self) -> Option<u32> {
        self.overflow
    }

    /// Replaces the content by what `fd` has ready, in up to `slots_max` slots. Returns [`Self::len`].
    pub(super) fn fill(&mut self, fd: BorrowedFd<'_>, slots_max: usize) -> io::Result<usize> {
        self.datagrams.clear();
        self.arrivals[..self.slots_used].iter_mut().for_each(|arrival| arrival.filled = 0);
        self.slots_used = 0;
        self.slots_wanted = slots_max.clamp(1, Self::SLOTS_MAX);
        self.overflow = None;
        let slots_used = sys::recv_many(
            fd,
            &mut self.headers,
            &mut self.addresses[..self.slots_wanted],
            &mut self.controls,
            &mut self.slots,
            self.slot_bytes,
        )?;
        self.slots_used = slots_used;
        (0..slots_used).for_each(|slot| self.take(slot));
        Ok(self.len())
    }

    /// Records what the kernel put into `slot`. Without a sender's IP address it cannot be answered or matched to
    /// a permission, and is left out.
    fn take(&mut self, slot: usize) {
        let written = self.headers.filled(slot);
        let ancillary = Ancillary::parse(self.controls[slot].written(written.control_bytes));
        self.overflow = ancillary.overflow.or(self.overflow);
        let Some(from) = self.addresses[slot].parse(written.address_bytes) else { return };
        // A UDP length field counts 8 bytes of header, so neither one payload nor several that were coalesced ever
        // exceed 65,527 bytes.
        let filled = written.payload_bytes.min(self.slot_bytes).min(usize::from(u16::MAX)) as u16;
        let Ancillary { local_ip, ecn, .. } = ancillary;
        self.arrivals[slot] = Arrival { from, local_ip, ecn, filled, truncated: written.truncated };
        let whole = usize::from(filled).max(1);
        let step = ancillary.segment_bytes.filter(|bytes| *bytes > 0).unwrap_or(whole).min(whole) as u16;
        let mut start = 0_u16;
        // At least one, which may be empty; a kernel that told of more segments than there can be gets the rest dropped.
        for _ in 0..SEGMENTS_MAX {
            let end = start.saturating_add(step).min(filled);
            self.datagrams.push(Datagram { slot: slot as u16, start, end });
            if end == filled {
                break;
            }
            start = end;
        }
    }
}
