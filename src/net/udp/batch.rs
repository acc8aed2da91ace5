//! Received datagrams, in the buffers that they stay in until they are sent on.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::BorrowedFd;

use super::address::RawAddress;
use super::cmsg::{Ancillary, RecvControl};
use super::outgoing::Payloads;
use super::sys::{self, Headers};

/// Up to 32 received datagrams and the memory for them, reused by every receive.
///
/// A *slot* is one buffer that the kernel fills; a *datagram* is a range of a slot. They coincide one to one
/// as long as the kernel does not coalesce, but only [`Received::slot`] and [`Received::start`] may be relied
/// on for building an [`Outgoing`](super::Outgoing).
pub struct RecvBatch {
    headers: Headers,
    addresses: Box<[RawAddress]>,
    controls: Box<[RecvControl]>,
    slots: Box<[u8]>,
    slot_bytes: usize,
    /// How much of each slot the last receive filled; zero in slots that it did not use.
    slots_filled: [u16; Self::DATAGRAMS_MAX],
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

/// What is kept of a datagram; its bytes are in the slot.
struct Datagram {
    from: SocketAddr,
    local_ip: Option<IpAddr>,
    ecn: u8,
    slot: u16,
    range: Range<u32>,
    truncated: bool,
}

impl Payloads for RecvBatch {
    fn payload(&self, slot: u16, range: &Range<u32>) -> Option<&[u8]> {
        let slot = usize::from(slot);
        let start = slot * self.slot_bytes;
        let filled = usize::from(*self.slots_filled.get(slot)?);
        self.slots[start..start + filled].get(range.start as usize..range.end as usize)
    }
}

impl RecvBatch {
    /// Most datagrams that one receive returns.
    pub const DATAGRAMS_MAX: usize = sys::BATCH_MAX;

    /// An empty batch with 32 slots of `slot_bytes` each, taken as 1 to 65,536.
    ///
    /// 65,536 holds every datagram, and the kernel backs only pages that were once written to.
    pub fn new(slot_bytes: usize) -> Self {
        let slot_bytes = slot_bytes.clamp(1, 65_536);
        Self {
            headers: Headers::new(),
            addresses: vec![RawAddress::EMPTY; Self::DATAGRAMS_MAX].into(),
            controls: vec![RecvControl::EMPTY; Self::DATAGRAMS_MAX].into(),
            slots: vec![0; Self::DATAGRAMS_MAX * slot_bytes].into(),
            slot_bytes,
            slots_filled: [0; Self::DATAGRAMS_MAX],
            datagrams: Vec::with_capacity(Self::DATAGRAMS_MAX),
            overflow: None,
        }
    }

    /// How many datagrams the last receive returned.
    pub fn len(&self) -> usize {
        self.datagrams.len()
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
        let Datagram { from, local_ip, ecn, slot, ref range, truncated } = self.datagrams[i];
        let bytes = self.payload(slot, range).expect("`take` recorded a range of what the slot holds");
        Received { from, local_ip, ecn, bytes, truncated, slot, start: range.start }
    }

    /// Datagrams that the socket lost to a full receive buffer since it was opened, modulo 2^32, as of the
    /// last datagram of the last receive. `None` if no datagram carried the count, which is so until the first loss.
    pub fn overflow(&self) -> Option<u32> {
        self.overflow
    }

    /// Replaces the content by what `fd` has ready. Returns [`Self::len`].
    pub(super) fn fill(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        self.datagrams.clear();
        self.slots_filled = [0; Self::DATAGRAMS_MAX];
        self.overflow = None;
        let filled = sys::recv_many(
            fd,
            &mut self.headers,
            &mut self.addresses,
            &mut self.controls,
            &mut self.slots,
            self.slot_bytes,
        )?;
        (0..filled).for_each(|slot| self.take(slot));
        Ok(self.len())
    }

    /// Records what the kernel put into `slot`. Without a sender's IP address it cannot be answered or matched to
    /// a permission, and is left out.
    fn take(&mut self, slot: usize) {
        let filled = self.headers.filled(slot);
        let ancillary = Ancillary::parse(self.controls[slot].written(filled.control_bytes));
        self.overflow = ancillary.overflow.or(self.overflow);
        let Some(from) = self.addresses[slot].parse(filled.address_bytes) else { return };
        // A UDP length field counts 8 bytes of header, so a payload never exceeds 65,527 bytes.
        let len = filled.payload_bytes.min(self.slot_bytes).min(usize::from(u16::MAX)) as u16;
        self.slots_filled[slot] = len;
        self.datagrams.push(Datagram {
            from,
            local_ip: ancillary.local_ip,
            ecn: ancillary.ecn,
            slot: slot as u16,
            range: 0..u32::from(len),
            truncated: filled.truncated,
        });
    }
}
