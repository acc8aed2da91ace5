//! Opens and closes relay sockets as the core wants it.

use super::mailbox::Command;
use super::shard::Shard;
use crate::auth::CredentialId;
use crate::base::{Family, Now, Timestamp};
use crate::metrics::port_early_reuse;
use crate::net::UdpSocket;
use crate::turn::{
    AllocationId, Effect, Grant, Lease, OpenError, OpenRequest, Opened, OpenedRelay, PortParity, RelayId,
};
use crate::wire::stun::RequestedFamily;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

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

/// Allocations of one shard that wait at once; one more gets 486.
pub(super) const WAITING_MAX: usize = 16;

/// How long one waits.
const WAITING_TIMEOUT: Duration = Duration::from_secs(1);

/// An allocation that waits until another shard has looked for an idle predecessor.
#[derive(Debug)]
pub(super) struct Waiting {
    allocation: AllocationId,
    request: OpenRequest,
    credential: CredentialId,
    /// Shards that were not asked yet: one after another, so that one predecessor gives way, not one each.
    unasked: std::ops::Range<usize>,
    deadline: Timestamp,
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
                Effect::Ended { subject, .. } => self.registry.end(&subject),
            }
        }
    }

    fn open(&mut self, now: Now, allocation: AllocationId, request: OpenRequest) {
        let mut result = self.registry.open(now.at, &request);
        if result == Err(OpenError::Quota)
            && self.registry.is_one_too_many(&request)
            && let Some(credential) = self.server.credential_of(allocation)
        {
            if self.server.evict_idle(now, &request.subject, credential) {
                self.drain_effects(now);
                result = self.registry.open(now.at, &request);
            } else if self.waiting.len() < WAITING_MAX {
                let (unasked, deadline) = (0..self.registry.shards(), now.at.after(WAITING_TIMEOUT));
                self.ask_next(now, Waiting { allocation, request, credential, unasked, deadline });
                return;
            }
        }
        self.finish_open(now, allocation, &request, result);
    }

    /// Asks the next shard to end an idle allocation; without one the quota stands.
    fn ask_next(&mut self, now: Now, mut waiting: Waiting) {
        while let Some(shard) = waiting.unasked.next() {
            let (subject, credential) = (Arc::clone(&waiting.request.subject), waiting.credential);
            let ask =
                Command::EvictIdle { subject, credential, asker: self.index, allocation: waiting.allocation };
            if shard != self.index && self.registry.post(shard, ask) {
                self.waiting.push(waiting);
                return;
            }
        }
        self.finish_open(now, waiting.allocation, &waiting.request, Err(OpenError::Quota));
    }

    /// Another shard has ended an idle allocation, or found none.
    pub(super) fn on_eviction_tried(&mut self, now: Now, allocation: AllocationId) {
        let Some(at) = self.waiting.iter().position(|w| w.allocation == allocation) else { return };
        let waiting = self.waiting.swap_remove(at);
        match self.registry.open(now.at, &waiting.request) {
            Err(OpenError::Quota) => self.ask_next(now, waiting),
            result => self.finish_open(now, allocation, &waiting.request, result),
        }
    }

    /// When the first of those that wait has waited long enough.
    pub(super) fn waiting_deadline(&self) -> Option<Timestamp> {
        self.waiting.iter().map(|waiting| waiting.deadline).min()
    }

    /// Refuses those whose answer did not come in time.
    pub(super) fn give_up_waiting(&mut self, now: Now) {
        while let Some(at) = self.waiting.iter().position(|waiting| waiting.deadline <= now.at) {
            let waiting = self.waiting.swap_remove(at);
            self.finish_open(now, waiting.allocation, &waiting.request, Err(OpenError::Quota));
        }
    }

    /// Binds what was granted, tells the core and sends its answer.
    fn finish_open(
        &mut self,
        now: Now,
        allocation: AllocationId,
        request: &OpenRequest,
        granted: Result<Grant, OpenError>,
    ) {
        let opened = granted.and_then(|grant| self.bind(now, allocation, request, grant));
        if let Some(reply) = self.server.on_opened(now, allocation, opened, &mut self.reply[..]) {
            self.send_reply(&reply.client, reply.length);
        }
    }

    /// Binds the leased ports. A dual allocation may lose one family; a pair is tried with other ports;
    /// when nothing can be bound, all is given back.
    fn bind(
        &mut self,
        now: Now,
        allocation: AllocationId,
        request: &OpenRequest,
        mut grant: Grant,
    ) -> Result<Opened, OpenError> {
        let total = grant.total.clone();
        for _ in 0..BIND_TRIES {
            let opened = self.bind_granted(now, allocation, request, &grant);
            if opened.relays.iter().any(Option::is_some) {
                return Ok(Opened { total, ..opened });
            }
            let Some(token) = grant.reservation else { break };
            self.registry.cancel_reservation(now.at, token);
            match self.registry.lease_again(now.at, request) {
                Ok(other) => grant = other,
                Err(_) => break,
            }
        }
        if let Some(token) = grant.reservation {
            self.registry.cancel_reservation(now.at, token);
        }
        self.registry.end(&request.subject);
        Err(OpenError::NoPort)
    }

    fn bind_granted(
        &mut self,
        now: Now,
        allocation: AllocationId,
        request: &OpenRequest,
        grant: &Grant,
    ) -> Opened {
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
        opened
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
