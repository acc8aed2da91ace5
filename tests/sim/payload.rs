//! The reference for payload: permissions, channels and the policy at the moment of a datagram.

use crate::model::Model;
use std::net::SocketAddr;
use turnstone::base::Now;

/// Where a client's payload goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Up {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
}

/// How a peer's datagram reaches the client.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Down {
    Channel { client: usize, number: u16 },
    Data { client: usize, peer: SocketAddr },
}

impl Model {
    /// Where a Send indication goes: from which relay socket to which address.
    pub(crate) fn send(&mut self, now: Now, client: usize, peer: SocketAddr) -> Option<Up> {
        let at = self.live(now, client)?;
        self.up(now, at, peer)
    }

    /// The same for ChannelData.
    pub(crate) fn channel_data(&mut self, now: Now, client: usize, number: u16) -> Option<Up> {
        let at = self.live(now, client)?;
        if number > 0x4FFF && !self.config.legacy_channels {
            return None;
        }
        let channels = &self.allocations[at].channels;
        let (_, peer, _) = *channels.iter().find(|(n, _, until)| *n == number && *until > now.at)?;
        self.up(now, at, peer)
    }

    fn up(&mut self, now: Now, at: usize, peer: SocketAddr) -> Option<Up> {
        let allocation = &self.allocations[at];
        let passes = allocation.permits(now, peer.ip())
            && allocation.reaches(now, peer)
            && self.config.rules.admits_port(peer, &self.book.live);
        let half = allocation.halves.iter().find(|h| h.internal.is_ipv4() == peer.is_ipv4())?;
        let up = Up { from: half.internal, to: self.book.to_internal(peer) };
        if passes {
            self.allocations[at].heard = now.at;
        }
        passes.then_some(up)
    }

    /// What a datagram from `from` at the relay socket `internal` becomes.
    pub(crate) fn from_peer(&self, now: Now, internal: SocketAddr, from: SocketAddr) -> Option<Down> {
        let peer = self.book.to_external(from);
        let allocation = self.relaying(now, internal)?;
        let passes = peer.port() != 0
            && allocation.permits(now, peer.ip())
            && self.config.rules.admits_port(peer, &self.book.live);
        let bound = allocation.channels.iter().find(|(_, p, until)| *p == peer && *until > now.at);
        let client = allocation.client;
        passes.then_some(match bound {
            Some((number, _, _)) => Down::Channel { client, number: *number },
            None => Down::Data { client, peer },
        })
    }

    /// Who is told about an ICMP error and about which peer.
    pub(crate) fn icmp(
        &self,
        now: Now,
        internal: SocketAddr,
        to: SocketAddr,
        icmp_type: u8,
    ) -> Option<(usize, SocketAddr)> {
        let peer = self.book.to_external(to);
        let allocation = self.relaying(now, internal)?;
        let types: &[u8] = if internal.is_ipv4() { &[3, 11] } else { &[1, 2, 3] };
        (types.contains(&icmp_type) && allocation.permits(now, peer.ip()))
            .then_some((allocation.client, peer))
    }
}
