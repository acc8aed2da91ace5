//! Live allocations, as they are told of; in pages, so that no packet waits for long.

use super::address::{AllocationId, ClientAddr, PeerProtocol};
use super::allocation::{Allocation, Slot};
use super::server::Server;
use super::session::{EndReason, Session};
use crate::base::Now;
use std::net::SocketAddr;
use std::ops::Range;

/// A part of all sessions of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionsPage {
    /// Without their peers.
    pub sessions: Vec<Session>,
    /// Where to go on; `None` at the end.
    pub next: Option<u32>,
}

impl Server {
    /// Places of the table that one page looks at: some tens of microseconds.
    pub const PAGE_SLOTS: u32 = 256;

    /// A part of what lives. Call with 0, then with `next` of the page before until there is none. Other inputs may come
    /// between: what lives all the while is told once.
    pub fn sessions(&self, from: u32) -> SessionsPage {
        let (slots, next) = self.page(from);
        let live = slots.filter_map(|index| match self.allocations.get(index as usize)? {
            Slot::Live(allocation) => Some(allocation.session(index as usize)),
            Slot::Opening(_) => None,
        });
        SessionsPage { sessions: live.collect(), next }
    }

    /// One of them, with the peers that have a permission.
    pub fn session(&self, now: Now, id: AllocationId) -> Option<Session> {
        let index = self.index_of(id)?;
        let allocation = self.allocations[index].live();
        Some(Session { peers: allocation.permissions.peers(now.at).collect(), ..allocation.session(index) })
    }

    /// Ends an allocation by order of somebody. `false` when there is none.
    pub fn end(&mut self, now: Now, id: AllocationId, reason: EndReason) -> bool {
        let Some(index) = self.index_of(id) else { return false };
        self.end_at(now, index, reason);
        true
    }

    /// The places of the page that begins at `from`, and where the next one begins.
    pub(super) fn page(&self, from: u32) -> (Range<u32>, Option<u32>) {
        let all = self.allocations.capacity() as u32;
        let end = from.saturating_add(Self::PAGE_SLOTS).min(all);
        (from.min(end)..end, (end < all).then_some(end))
    }
}

impl Allocation {
    /// As it is now, without its peers.
    pub(super) fn session(&self, index: usize) -> Session {
        let ClientAddr { remote, local, transport, .. } = self.client;
        let expires = self.relays.iter().flatten().map(|relay| relay.expires).max();
        Session {
            allocation: self.id(index),
            subject: self.identity.subject.clone(),
            label: self.identity.label.clone(),
            call_id: self.identity.call_id.clone(),
            credential_id: self.identity.credential_id.clone(),
            client: remote,
            door: local,
            transport,
            protocol: if self.tcp.is_some() { PeerProtocol::Tcp } else { PeerProtocol::Udp },
            relayed: self.relayed(),
            peers: Vec::new(),
            created_at: self.created_at,
            expires_at: expires.unwrap_or(self.created_at),
            credential_expires: self.identity.expires,
            traffic: self.traffic(),
            rate: self.tally.rate,
        }
    }

    /// What peers see; once all is closed, what they saw.
    fn relayed(&self) -> Vec<SocketAddr> {
        let open: Vec<_> = self.relays.iter().flatten().map(|relay| relay.address.external).collect();
        if open.is_empty() { self.answer.relayed.iter().flatten().copied().collect() } else { open }
    }
}
