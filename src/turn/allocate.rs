//! Allocate (RFC 8656 section 7).

use super::accounts::Tally;
use super::address::{AllocationId, ClientAddr, PeerProtocol};
use super::allocation::{Allocation, Opening, Relay, Slot};
use super::authenticate::Requester;
use super::bandwidth::Bucket;
use super::channel::Channels;
use super::connections::Connections;
use super::error::{OpenError, Reject};
use super::ledger::{OpenRequest, PortParity};
use super::permission::Permissions;
use super::request::Request;
use super::respond::{Allocated, Body, Signer};
use super::server::{Outcome, Server};
use super::settings::Settings;
use super::verdict::{Effect, Opened, Reply};
use crate::auth::Identity;
use crate::base::{Family, Now, Transport};
use crate::metrics::{AllocationFailure, allocation_failures, allocations_started};
use crate::wire::stun::{RequestedFamily, attribute};
use std::time::Duration;

/// IANA's numbers of the transports towards peers.
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_TCP: u8 = 6;

impl Server {
    pub(super) fn allocate(
        &mut self,
        now: Now,
        from: &ClientAddr,
        requester: Requester,
        signer: Signer,
        request: &Request<'_>,
    ) -> Outcome {
        let identity = match requester {
            Requester::Owner(index) => return self.allocate_again(now, index, signer, request),
            Requester::Newcomer(identity) => identity,
        };
        let wanted = match wanted(request, from.transport, self.settings.tcp_relay) {
            Ok(wanted) => wanted,
            Err(reject) => {
                self.counters.increment(allocation_failures(AllocationFailure::BadRequest));
                return Outcome::rejected(reject, Some(signer));
            }
        };
        if self.draining {
            self.counters.increment(allocation_failures(AllocationFailure::Draining));
            return Outcome::rejected(OpenError::Draining.reject(), Some(signer));
        }
        self.begin(now, from, identity, signer, wanted, request);
        Outcome::Pending
    }

    /// A second Allocate on a live 5-tuple: the same request gets the same answer, another 437
    /// (RFC 8656 section 7.2 item 2).
    fn allocate_again(&mut self, now: Now, index: usize, signer: Signer, request: &Request<'_>) -> Outcome {
        let allocation = self.allocations[index].live_mut();
        allocation.heard_s = now.at.as_secs();
        let signer = Some(signer);
        if allocation.created_by == request.message.transaction_id() {
            return Outcome::Respond { body: Body::Allocated(allocation.answer), signer };
        }
        self.counters.increment(allocation_failures(AllocationFailure::Mismatch));
        Outcome::rejected(Reject::AllocationMismatch, signer)
    }

    fn begin(
        &mut self,
        now: Now,
        from: &ClientAddr,
        identity: Identity,
        signer: Signer,
        wanted: Wanted,
        request: &Request<'_>,
    ) {
        let request_for_ports = OpenRequest {
            subject: identity.subject.clone(),
            allocations_max: identity.allocations_max,
            families: wanted.families,
            protocol: wanted.protocol,
            parity: wanted.parity,
            token: wanted.token,
            local: from.local.ip(),
        };
        let generation = self.next_generation();
        let opening = Opening {
            client: *from,
            protocol: wanted.protocol,
            lifetime: self.granted_lifetime(now, wanted.lifetime, &identity),
            identity,
            signer,
            asked: request.asked(),
            generation,
        };
        let index = self.allocations.insert(Slot::Opening(Box::new(opening))) as u32;
        self.by_tuple.insert(from.five_tuple(), index);
        let allocation = AllocationId { index, generation };
        self.effects.push_back(Effect::Open { allocation, request: request_for_ports });
    }

    /// The driver's answer to [`Effect::Open`]: makes the allocation live, or gives it up. Writes the
    /// response into `reply`. `None` when the request is gone, or was never made.
    pub fn on_opened(
        &mut self,
        now: Now,
        id: AllocationId,
        result: Result<Opened, OpenError>,
        reply: &mut [u8],
    ) -> Option<Reply> {
        let slot = self.allocations.get(id.index as usize).filter(|s| s.generation() == id.generation)?;
        let Slot::Opening(opening) = slot else { return None };
        let (client, asked) = (opening.client, opening.asked);
        let signer = opening.signer.clone();
        let body = match result {
            Ok(opened) => {
                let allocation = self.install(now, id, &opened);
                let answer = allocation.answer;
                let void = self.revoking.void(now, &allocation.identity, &self.authenticator);
                self.allocations[id.index as usize] = Slot::Live(Box::new(allocation));
                // Revoked while it waited for its ports.
                if let Some(reason) = void {
                    self.end_at(now, id.index as usize, reason);
                }
                Body::Allocated(answer)
            }
            Err(error) => {
                self.counters.increment(allocation_failures(error.label()));
                self.by_tuple.remove(&client.five_tuple());
                self.allocations.remove(id.index as usize);
                Body::Rejected(error.reject())
            }
        };
        let length = self.respond(&asked, &body, None, Some(&signer), reply)?;
        Some(Reply { client, length })
    }

    /// The allocation that the opening request at `id` becomes, with its timer and its counts.
    fn install(&mut self, now: Now, id: AllocationId, opened: &Opened) -> Allocation {
        let Slot::Opening(opening) = &self.allocations[id.index as usize] else {
            unreachable!("on_opened has just looked")
        };
        let expires = now.at.after(opening.lifetime);
        for family in Family::ALL.into_iter().filter(|f| opened.relays[*f as usize].is_some()) {
            self.counters.increment(allocations_started(opening.client.transport, family));
        }
        self.revoking.join(&opening.identity, id.index);
        self.throttled += u32::from(opening.identity.bits_per_second.is_some());
        let (subject, member) = self.subjects.join(&opening.identity.subject, id.index, &opened.total);
        Allocation {
            client: opening.client,
            identity: opening.identity.clone(),
            subject,
            member,
            generation: opening.generation,
            relays: opened.relays.map(|relay| relay.map(|address| Relay { address, expires })),
            permissions: Permissions::default(),
            channels: Channels::default(),
            tcp: (opening.protocol == PeerProtocol::Tcp).then(Box::<Connections>::default),
            created_by: opening.asked.transaction,
            created_at: now.at,
            answer: Allocated {
                mapped: opening.client.remote,
                relayed: opened.relays.map(|relay| relay.map(|relay| relay.external)),
                lifetime_s: opening.lifetime.as_secs() as u32,
                reservation: opened.reservation,
                missing: opened.missing,
            },
            bucket: Bucket::default(),
            heard_s: now.at.as_secs(),
            tally: Tally::new(now.at),
            ends_at: None,
            timer: Some(self.wheel.schedule(expires, id)),
        }
    }

    /// RFC 8656 section 7.2: at least the default, at most the configured maximum; with strict expiry
    /// no longer than the credential.
    pub(super) fn granted_lifetime(
        &self,
        now: Now,
        wanted: Option<Duration>,
        identity: &Identity,
    ) -> Duration {
        let granted = wanted
            .unwrap_or(Settings::LIFETIME_DEFAULT)
            .clamp(Settings::LIFETIME_DEFAULT, self.settings.max_lifetime.max(Settings::LIFETIME_DEFAULT));
        match identity.expires.filter(|_| self.settings.strict_expiry) {
            Some(expires) => granted.min(Duration::from_secs(expires.secs_since(now.unix))),
            None => granted,
        }
    }
}

/// What an Allocate asks for, checked.
struct Wanted {
    families: [bool; 2],
    protocol: PeerProtocol,
    parity: PortParity,
    token: Option<[u8; 8]>,
    lifetime: Option<Duration>,
}

/// The checks of RFC 8656 section 7.2 in their order.
fn wanted(request: &Request<'_>, client: Transport, tcp_relay: bool) -> Result<Wanted, Reject> {
    let bad = |_| Reject::BadRequest;
    let protocol = protocol(request, client, tcp_relay)?;
    let token = request.token.map(attribute::decode_reservation_token).transpose().map_err(bad)?;
    let family = request.family.map(attribute::decode_requested_family).transpose().map_err(bad)?;
    let additional =
        request.additional_family.map(attribute::decode_requested_family).transpose().map_err(bad)?;
    let even_port = request.even_port.map(attribute::decode_even_port).transpose().map_err(bad)?;
    let lifetime = request.lifetime.map(attribute::decode_lifetime).transpose().map_err(bad)?;

    if token.is_some() && (even_port.is_some() || family.is_some() || additional.is_some()) {
        return Err(Reject::BadRequest);
    }
    let families = families(family, additional)?;
    if even_port == Some(true) && additional.is_some() {
        return Err(Reject::BadRequest);
    }
    let parity = match even_port {
        None => PortParity::Any,
        Some(false) => PortParity::Even,
        Some(true) => PortParity::EvenAndReserveNext,
    };
    Ok(Wanted { families, protocol, parity, token, lifetime })
}

/// REQUESTED-TRANSPORT. RFC 6062 section 5.1: TCP is for clients that come over TCP or TLS, and goes
/// with nothing that is about datagrams or pairs of ports.
fn protocol(request: &Request<'_>, client: Transport, tcp_relay: bool) -> Result<PeerProtocol, Reject> {
    let transport = request.transport.ok_or(Reject::BadRequest)?;
    match attribute::decode_requested_transport(transport).map_err(|_| Reject::BadRequest)? {
        PROTOCOL_UDP => Ok(PeerProtocol::Udp),
        PROTOCOL_TCP if tcp_relay => {
            let odd = request.even_port.or(request.token).or(request.dont_fragment);
            let sound = client.is_stream() && odd.is_none();
            sound.then_some(PeerProtocol::Tcp).ok_or(Reject::BadRequest)
        }
        _ => Err(Reject::UnsupportedTransport),
    }
}

/// `[IPv4, IPv6]`. RFC 8656 section 7.2 item 7: without REQUESTED-ADDRESS-FAMILY it is IPv4, even for
/// a client that came over IPv6; ADDITIONAL-ADDRESS-FAMILY can only be IPv6 and stands alone.
fn families(
    requested: Option<RequestedFamily>,
    additional: Option<RequestedFamily>,
) -> Result<[bool; 2], Reject> {
    match (requested, additional) {
        (Some(_), Some(_)) => Err(Reject::BadRequest),
        (None, Some(RequestedFamily::V6)) => Ok([true, true]),
        (None, Some(RequestedFamily::V4)) => Err(Reject::BadRequest),
        (Some(RequestedFamily::Other(_)), None) | (None, Some(RequestedFamily::Other(_))) => {
            Err(Reject::FamilyNotSupported)
        }
        (Some(RequestedFamily::V6), None) => Ok([false, true]),
        (Some(RequestedFamily::V4) | None, None) => Ok([true, false]),
    }
}
