//! Opens and closes relay sockets as the core wants it.

use super::shard::Shard;
use crate::base::{Family, Now};
use crate::metrics::port_early_reuse;
use crate::net::UdpSocket;
use crate::turn::{
    AllocationId, Effect, Grant, Lease, OpenError, OpenRequest, Opened, OpenedRelay, PortParity, RelayId,
};
use crate::wire::stun::RequestedFamily;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

/// Ports that are tried when the kernel says that another process holds them.
const BIND_TRIES: usize = 16;

/// One bound relay port.
#[derive(Debug)]
pub(super) struct RelaySocket {
    pub(super) id: RelayId,
    pub(super) socket: UdpSocket,
    /// The kernel's count of datagrams lost at this socket, as last seen.
    pub(super) overflow: u32,
}

/// An allocation that waits until other shards have looked for an idle predecessor.
#[derive(Debug)]
pub(super) struct Waiting {
    allocation: AllocationId,
    request: OpenRequest,
    answers_due: usize,
}

impl Shard {
    /// Does what the core wants done; called after each input, before its reply is sent.
    pub(super) fn drain_effects(&mut self, now: Now) {
        while let Some(effect) = self.server.next_effect() {
            match effect {
                Effect::Open { allocation, request } => self.open(now, allocation, request),
                Effect::ClosePort { relay, internal } => {
                    if let Some(slot) = self.relays.get_mut(slot_of(relay)) {
                        *slot = None;
                    }
                    self.registry.close_port(now.at, internal);
                }
                Effect::Ended { subject, .. } => self.registry.end(self.index, &subject),
            }
        }
    }

    /// Another shard has ended an idle allocation, or found none.
    pub(super) fn on_eviction_tried(&mut self, now: Now, allocation: AllocationId) {
        let Some(at) = self.waiting.iter().position(|w| w.allocation == allocation) else { return };
        self.waiting[at].answers_due -= 1;
        match self.registry.open(now.at, self.index, &self.waiting[at].request) {
            Err(OpenError::Quota) if self.waiting[at].answers_due > 0 => {}
            result => {
                let waiting = self.waiting.swap_remove(at);
                let opened = result.and_then(|grant| self.bind(now, allocation, &waiting.request, grant));
                self.finish_open(now, allocation, opened);
            }
        }
    }

    fn open(&mut self, now: Now, allocation: AllocationId, request: OpenRequest) {
        let mut result = self.registry.open(now.at, self.index, &request);
        if result == Err(OpenError::Quota)
            && let Some(credential) = self.server.credential_of(allocation)
        {
            if self.server.evict_idle(now, &request.subject, credential) {
                self.drain_effects(now);
                result = self.registry.open(now.at, self.index, &request);
            } else {
                let subject = Arc::clone(&request.subject);
                let answers_due = self.registry.ask_to_evict(self.index, &subject, credential, allocation);
                if answers_due > 0 {
                    self.waiting.push(Waiting { allocation, request, answers_due });
                    return;
                }
            }
        }
        let opened = result.and_then(|grant| self.bind(now, allocation, &request, grant));
        self.finish_open(now, allocation, opened);
    }

    /// Tells the core and sends its answer.
    fn finish_open(&mut self, now: Now, allocation: AllocationId, opened: Result<Opened, OpenError>) {
        if let Some(reply) = self.server.on_opened(now, allocation, opened, &mut self.reply[..]) {
            self.send_reply(&reply.client, reply.length);
        }
    }

    /// Binds the leased ports. A dual allocation may lose one family; without any, all is given back.
    fn bind(
        &mut self,
        now: Now,
        allocation: AllocationId,
        request: &OpenRequest,
        grant: Grant,
    ) -> Result<Opened, OpenError> {
        let mut opened = Opened {
            reservation: grant.reservation,
            missing: grant.missing.map(|(family, error)| missing(family, error)),
            ..Opened::default()
        };
        for family in Family::ALL {
            let Some(lease) = grant.leases[family as usize] else { continue };
            let relay = RelayId { allocation, family };
            match self.bind_one(now, relay, request, lease) {
                Some(bound) => opened.relays[family as usize] = Some(bound),
                None => opened.missing = Some(missing(family, OpenError::NoPort)),
            }
        }
        if opened.relays.iter().any(Option::is_some) {
            return Ok(opened);
        }
        if let Some(token) = grant.reservation {
            self.registry.cancel_reservation(now.at, token);
        }
        self.registry.end(self.index, &request.subject);
        Err(OpenError::NoPort)
    }

    /// Binds one lease, or another port in its place where the client does not need this very one.
    fn bind_one(
        &mut self,
        now: Now,
        relay: RelayId,
        request: &OpenRequest,
        mut lease: Lease,
    ) -> Option<OpenedRelay> {
        let exchangeable = request.token.is_none() && request.parity != PortParity::EvenAndReserveNext;
        let even = request.parity == PortParity::Even;
        for _ in 0..BIND_TRIES {
            match UdpSocket::relay(lease.internal.ip(), lease.internal.port(), self.relay_buffers) {
                Ok(socket) => return self.install(now, relay, lease, socket),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && exchangeable => {
                    match self.registry.exchange(now.at, lease, even) {
                        Some(other) => lease = other,
                        None => break,
                    }
                }
                Err(_) => break,
            }
        }
        self.registry.close_port(now.at, lease.internal);
        None
    }

    fn install(&mut self, now: Now, relay: RelayId, lease: Lease, socket: UdpSocket) -> Option<OpenedRelay> {
        let slot = slot_of(relay);
        if self.poller.add(socket.as_fd(), relay_token(slot)).is_err() {
            self.registry.close_port(now.at, lease.internal);
            return None;
        }
        if slot >= self.relays.len() {
            self.relays.resize_with(slot + 1, || None);
        }
        self.relays[slot] = Some(RelaySocket { id: relay, socket, overflow: 0 });
        self.registry.bound(&lease);
        if lease.early {
            self.server.counters().increment(port_early_reuse());
        }
        Some(OpenedRelay { internal: lease.internal, external: lease.external })
    }
}

/// Two places for each allocation, one per family.
fn slot_of(relay: RelayId) -> usize {
    relay.allocation.index as usize * 2 + relay.family as usize
}

/// Tokens below are doors.
const RELAY_TOKENS: u64 = 1 << 32;

fn relay_token(slot: usize) -> u64 {
    RELAY_TOKENS + slot as u64
}

/// The relay slot of a poller token, or the door as `Err`.
pub(super) fn place_of(token: u64) -> Result<usize, usize> {
    match token.checked_sub(RELAY_TOKENS) {
        Some(slot) => Ok(slot as usize),
        None => Err(token as usize),
    }
}

fn missing(family: Family, error: OpenError) -> (RequestedFamily, u16) {
    let family = match family {
        Family::V4 => RequestedFamily::V4,
        Family::V6 => RequestedFamily::V6,
    };
    (family, error.reject().code())
}
