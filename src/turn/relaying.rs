//! Payload both ways: ChannelData, Send and Data indications, and ICMP (RFC 8656 sections 11, 12).

use super::address::{AllocationId, ClientAddr, PeerProtocol, RelayId, plain};
use super::allocation::{Allocation, Slot};
use super::discovery::is_of_discovery;
use super::peer_path::PeerPath;
use super::server::Server;
use super::verdict::{Header, Reply, Verdict};
use crate::base::{Family, Now};
use crate::metrics::{Direction, Dropped, peer_denied, relay_bytes, relay_packets};
use crate::wire::channel_data::{self, ChannelData};
use crate::wire::stun::attribute::{self, Icmp};
use crate::wire::stun::{AttributeType, Class, Message, MessageWriter, Method, TransactionId};
use std::net::SocketAddr;
use std::ops::Range;

/// Payload of the largest datagram: 65,535 less the IPv4 and UDP headers.
const DATAGRAM_BYTES_MAX: usize = 65_507;

impl Server {
    /// ChannelData from a client (section 12.6).
    pub(super) fn on_channel_data(&mut self, now: Now, from: &ClientAddr, bytes: &[u8]) -> Verdict {
        let Ok(data) = ChannelData::parse(bytes) else { return self.drop(Dropped::Malformed) };
        let Some((index, allocation)) = self.allocation_of(from) else {
            return self.drop(Dropped::NoAllocation);
        };
        if allocation.tcp.is_some() {
            return self.drop(Dropped::NoDatagrams);
        }
        let Some(channel) = allocation.channels.by_number(data.number).filter(|c| c.is_bound(now.at)) else {
            return self.drop(Dropped::NoChannel);
        };
        if !channel.passes(now.at) {
            return self.drop(Dropped::NoPermission);
        }
        let mut peer = channel.peer;
        if channel.moving {
            if let Some(denied) = self.denied(PeerPath::ChannelData, peer) {
                return denied;
            }
            peer = self.policy.to_internal(PeerProtocol::Udp, peer);
        }
        let start = channel_data::HEADER_BYTES;
        self.forward(now, index, peer, start..start + data.payload.len(), false)
    }

    /// A Send indication (section 11.2): never answered, and it refreshes nothing.
    pub(super) fn on_send(&mut self, now: Now, from: &ClientAddr, message: &Message<'_>) -> Verdict {
        let Some((index, _)) = self.allocation_of(from) else { return self.drop(Dropped::NoAllocation) };
        let Some(send) = Send::read(message) else { return self.drop(Dropped::BadIndication) };
        if self.allocations[index].live().tcp.is_some() {
            return self.drop(Dropped::NoDatagrams);
        }
        let permitted = self.allocations[index].live().permissions.until(now.at, send.peer.ip());
        if permitted.is_none() {
            return self.drop(Dropped::NoPermission);
        }
        if let Some(denied) = self.denied(PeerPath::Send, send.peer) {
            return denied;
        }
        let wire_peer = self.policy.to_internal(PeerProtocol::Udp, send.peer);
        self.forward(now, index, wire_peer, send.payload, send.dont_fragment)
    }

    fn forward(
        &mut self,
        now: Now,
        index: usize,
        peer: SocketAddr,
        payload: Range<usize>,
        dont_fragment: bool,
    ) -> Verdict {
        let allocation = self.allocations[index].live_mut();
        let family = Family::of(peer.ip());
        if allocation.relay(now.at, family).is_none() {
            return self.drop(Dropped::NoAllocation);
        }
        allocation.heard_s = now.at.as_secs();
        let transport = allocation.client.transport;
        let relay = RelayId { allocation: allocation.id(index), family };
        if !self.subjects.take_packet(now, &self.settings, allocation.subject) {
            return self.drop(Dropped::RateLimit);
        }
        if let Some(dropped) = self.take_bytes(now, index, payload.len()) {
            return dropped;
        }
        let traffic = &mut self.allocations[index].live_mut().tally.traffic;
        traffic.bytes_from_client += payload.len() as u64;
        traffic.packets_from_client += 1;
        self.counters.increment(relay_packets(Direction::FromClient, transport));
        self.counters.add(relay_bytes(Direction::FromClient, transport), payload.len() as u64);
        Verdict::ToPeer { relay, peer, payload, dont_fragment }
    }

    /// A datagram of `length` bytes arrived on a relay socket (sections 11.3 and 12.7).
    ///
    /// `from`: as the kernel saw it. The payload itself is not needed.
    pub fn on_peer_datagram(&mut self, now: Now, relay: RelayId, from: SocketAddr, length: usize) -> Verdict {
        let peer = self.policy.to_external(PeerProtocol::Udp, plain(from));
        if peer.port() == 0 {
            return self.drop(Dropped::BadSource);
        }
        let Some(allocation) = self.relaying(now, relay) else { return self.drop(Dropped::NoAllocation) };
        let (client, subject) = (allocation.client, allocation.subject);
        let header = match allocation.channels.by_peer(peer).filter(|c| c.is_bound(now.at)) {
            Some(channel) => {
                if !channel.passes(now.at) {
                    return self.drop(Dropped::NoPermission);
                }
                let (number, moving) = (channel.number, channel.moving);
                if moving && let Some(denied) = self.denied(PeerPath::InboundDatagram, peer) {
                    return denied;
                }
                u16::try_from(length).ok().map(|l| Header::channel(channel_data::header(number, l)))
            }
            None => {
                if allocation.permissions.until(now.at, peer.ip()).is_none() {
                    return self.drop(Dropped::NoPermission);
                }
                if let Some(denied) = self.denied(PeerPath::InboundDatagram, peer) {
                    return denied;
                }
                let id = self.indication_id();
                Header::written(|buffer| data_header(buffer, id, peer, length))
            }
        };
        // STUN attributes are padded on every transport, ChannelData only on streams (section 12.5).
        let is_indication = header.is_some_and(|h| h.as_slice().len() > channel_data::HEADER_BYTES);
        let is_padded = is_indication || client.transport.is_stream();
        let padding = if is_padded { channel_data::padding(length) } else { 0 };
        // A stream carries whatever the length fields can say.
        let is_bounded = !client.transport.is_stream();
        let is_too_long =
            |h: &Header| is_bounded && h.as_slice().len() + length + padding > DATAGRAM_BYTES_MAX;
        let Some(header) = header.filter(|h| !is_too_long(h)) else { return self.drop(Dropped::TooBig) };
        if !self.subjects.take_packet(now, &self.settings, subject) {
            return self.drop(Dropped::RateLimit);
        }
        if let Some(dropped) = self.take_bytes(now, relay.allocation.index as usize, length) {
            return dropped;
        }
        let traffic = &mut self.allocations[relay.allocation.index as usize].live_mut().tally.traffic;
        traffic.bytes_from_peer += length as u64;
        traffic.packets_from_peer += 1;
        self.counters.increment(relay_packets(Direction::FromPeer, client.transport));
        self.counters.add(relay_bytes(Direction::FromPeer, client.transport), length as u64);
        Verdict::ToClient { client, header, padding: padding as u8 }
    }

    /// The network refused a datagram that left through `relay` for `peer`, which is the destination
    /// of the embedded packet, never the sender of the ICMP message (section 11.5).
    ///
    /// Writes a Data indication with the ICMP attribute into `reply`; `None` when nobody may know.
    pub fn on_icmp(
        &mut self,
        now: Now,
        relay: RelayId,
        peer: SocketAddr,
        icmp: Icmp,
        reply: &mut [u8],
    ) -> Option<Reply> {
        let peer = self.policy.to_external(PeerProtocol::Udp, plain(peer));
        let relevant = match relay.family {
            Family::V4 => matches!(icmp.icmp_type, 3 | 11),
            Family::V6 => matches!(icmp.icmp_type, 1..=3),
        };
        let allocation = self.relaying(now, relay).filter(|_| relevant)?;
        allocation.permissions.until(now.at, peer.ip())?;
        let client = allocation.client;
        let id = self.indication_id();
        let mut writer = MessageWriter::new(reply, Class::Indication, Method::DATA, id);
        writer.xor_address(AttributeType::XOR_PEER_ADDRESS, peer);
        writer.attribute(AttributeType::ICMP, &attribute::encode_icmp(icmp));
        let length = writer.finish()?;
        Some(Reply { client, length })
    }

    fn relaying(&self, now: Now, relay: RelayId) -> Option<&Allocation> {
        match self.allocations.get(relay.allocation.index as usize)? {
            Slot::Live(allocation) if allocation.generation == relay.allocation.generation => {
                allocation.relay(now.at, relay.family).map(|_| &**allocation)
            }
            _ => None,
        }
    }

    /// The live allocation of this client, for the driver that serves its relay sockets.
    pub fn allocation_at(&self, from: &ClientAddr) -> Option<AllocationId> {
        self.allocation_of(from).map(|(index, allocation)| allocation.id(index))
    }

    fn allocation_of(&self, from: &ClientAddr) -> Option<(usize, &Allocation)> {
        let index = *self.by_tuple.get(&from.five_tuple())? as usize;
        match self.allocations.get(index)? {
            Slot::Live(allocation) => Some((index, allocation)),
            Slot::Opening(_) => None,
        }
    }

    fn denied(&mut self, path: PeerPath, peer: SocketAddr) -> Option<Verdict> {
        let rule = self.policy.admit(path, peer).err()?;
        self.counters.increment(peer_denied(rule));
        Some(self.drop(Dropped::PeerDenied))
    }

    fn indication_id(&mut self) -> TransactionId {
        TransactionId(self.random.bytes())
    }
}

/// The attributes of a Send indication.
struct Send {
    peer: SocketAddr,
    payload: Range<usize>,
    dont_fragment: bool,
}

impl Send {
    /// `None` when one is missing or broken, or when one that must be understood is not (RFC 8489
    /// section 6.3.2: ignore the indication).
    fn read(message: &Message<'_>) -> Option<Self> {
        let (mut peer, mut payload, mut dont_fragment) = (None, None, false);
        for attribute in message.attributes() {
            match attribute.kind {
                AttributeType::XOR_PEER_ADDRESS => {
                    peer = peer.or(Some(attribute.value));
                }
                AttributeType::DATA => {
                    let range = attribute.offset..attribute.offset + attribute.value.len();
                    payload = payload.or(Some(range));
                }
                AttributeType::DONT_FRAGMENT => dont_fragment = true,
                kind if is_of_discovery(kind) => return None,
                kind if kind.is_comprehension_required() && !kind.is_known() => return None,
                _ => {}
            }
        }
        let peer = attribute::decode_xor_address(peer?, message.transaction_id()).ok()?;
        Some(Self { peer, payload: payload?, dont_fragment })
    }
}

/// A Data indication up to where its payload of `length` bytes begins (section 11.4).
fn data_header(buffer: &mut [u8], id: TransactionId, peer: SocketAddr, length: usize) -> Option<usize> {
    let mut writer = MessageWriter::new(buffer, Class::Indication, Method::DATA, id);
    writer.xor_address(AttributeType::XOR_PEER_ADDRESS, peer);
    writer.finish_before(AttributeType::DATA, length)
}
