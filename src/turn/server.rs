//! The server: tables, dispatch, and the answer to each request.

use super::accounts::Books;
use super::address::{ClientAddr, FiveTuple};
use super::allocation::{Allocation, Slot};
use super::authenticate::{Refused, Requester};
use super::connect::Binding;
use super::discovery::Place;
use super::error::Reject;
use super::peer_policy::PeerPolicy;
use super::request::{REQUEST_BYTES_MAX, Request, Understood};
use super::respond::{Asked, Body, Challenge, Signer};
use super::revoking::Revoking;
use super::session::EndReason;
use super::settings::Settings;
use super::shares::{Shareholder, Shares};
use super::strangers::Strangers;
use super::subjects::Subjects;
use super::verdict::{Effect, Verdict};
use crate::auth::{Authenticator, CredentialId, Nonces};
use crate::base::{Now, Random, Timestamp, Wheel};
use crate::metrics::{self, CounterSet, Dropped, MethodLabel};
use crate::turn::AllocationId;
use crate::wire::demux::{Kind, classify};
use crate::wire::stun::{Class, Message, Method};
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

/// One STUN and TURN server without I/O.
#[derive(Debug)]
pub struct Server {
    pub(super) settings: Arc<Settings>,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) policy: PeerPolicy,
    pub(super) nonces: Nonces,
    pub(super) random: Random,
    pub(super) allocations: Slab<Slot>,
    pub(super) by_tuple: HashMap<FiveTuple, u32, ahash::RandomState>,
    pub(super) subjects: Subjects,
    pub(super) shareholder: Shareholder,
    /// Live allocations whose credential has a limit of bandwidth.
    pub(super) throttled: u32,
    pub(super) wheel: Wheel<AllocationId>,
    pub(super) effects: VecDeque<Effect>,
    pub(super) strangers: Strangers,
    pub(super) counters: CounterSet,
    pub(super) draining: bool,
    pub(super) books: Books,
    pub(super) revoking: Revoking,
    /// A ConnectionBind that the driver looks into, until its answer.
    pub(super) binding: Option<Binding>,
    generation: u32,
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// This is the answer.
    Respond { body: Body, signer: Option<Signer> },
    /// The answer follows when the driver has opened ports.
    Pending,
}

impl Outcome {
    pub(super) fn rejected(reject: Reject, signer: Option<Signer>) -> Self {
        Self::Respond { body: Body::Rejected(reject), signer }
    }
}

impl Server {
    /// A server without allocations.
    ///
    /// `nonce_master`: the same for all servers of a daemon, so that a client may change shards.
    /// `random`: where hash keys and ids come from.
    pub fn new(
        settings: Arc<Settings>,
        authenticator: Arc<Authenticator>,
        policy: PeerPolicy,
        nonce_master: [u8; 32],
        mut random: Random,
        now: Now,
    ) -> Self {
        let hasher = ahash::RandomState::with_seeds(
            random.next_u64(),
            random.next_u64(),
            random.next_u64(),
            random.next_u64(),
        );
        Self {
            nonces: Nonces::new(nonce_master, now.unix),
            strangers: Strangers::new(&settings, &mut random),
            settings,
            authenticator,
            policy,
            random,
            allocations: Slab::new(),
            books: Books::new(hasher.clone()),
            revoking: Revoking::new(hasher.clone()),
            by_tuple: HashMap::with_hasher(hasher),
            subjects: Subjects::default(),
            shareholder: Shareholder::new(Arc::new(Shares::new(1)), 0),
            throttled: 0,
            wheel: Wheel::new(now.at),
            effects: VecDeque::new(),
            counters: CounterSet::default(),
            draining: false,
            binding: None,
            generation: 0,
        }
    }

    /// A datagram of a client, or a whole message of a stream.
    ///
    /// `bytes`: 0 to 65,535, not kept. `reply`: at least [`super::REPLY_BYTES_MAX`] bytes, written only
    /// with [`Verdict::Reply`] and [`Verdict::ReplyVia`].
    pub fn on_client_datagram(
        &mut self,
        now: Now,
        from: &ClientAddr,
        bytes: &[u8],
        reply: &mut [u8],
    ) -> Verdict {
        if from.remote.port() == 0 {
            return self.drop(Dropped::BadSource);
        }
        match bytes.first().map(|first| classify(*first)) {
            Some(Kind::Channel) => self.on_channel_data(now, from, bytes),
            Some(Kind::LegacyChannel) if self.settings.legacy_channels => {
                self.on_channel_data(now, from, bytes)
            }
            Some(Kind::LegacyChannel) => self.drop(Dropped::ReservedChannel),
            Some(Kind::Stun) => self.on_stun(now, from, bytes, reply),
            Some(Kind::Dtls | Kind::Unknown) | None => self.drop(Dropped::UnknownProtocol),
        }
    }

    /// The connection of a client is gone, and its allocation with it (RFC 8656 section 5: a
    /// 5-tuple ends with its connection). Returns a request that still waited for its ports: the driver must
    /// open none for it.
    pub fn on_closed(&mut self, now: Now, from: &ClientAddr) -> Option<AllocationId> {
        let index = *self.by_tuple.get(&from.five_tuple())? as usize;
        match self.allocations.get(index)? {
            Slot::Live(_) => {
                self.end_at(now, index, EndReason::Disconnected);
                None
            }
            Slot::Opening(opening) => {
                let generation = opening.generation;
                self.by_tuple.remove(&from.five_tuple());
                self.allocations.remove(index);
                Some(AllocationId { index: index as u32, generation })
            }
        }
    }

    /// Whether the driver may answer somebody unproven by itself, at this moment: what it says in front of
    /// STUN has the same budget. Takes it, or counts a drop.
    pub fn may_answer_stranger(&mut self, now: Now, source: IpAddr) -> bool {
        let may = self.strangers.may_reply(now, source);
        if !may {
            self.drop(Dropped::ReplyBudget);
        }
        may
    }

    /// Whether this 5-tuple has an allocation, or will have one when its ports are open.
    pub fn has_allocation(&self, from: &ClientAddr) -> bool {
        self.by_tuple.contains_key(&from.five_tuple())
    }

    /// When [`Server::on_deadline`] wants to be called next: constant time.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.wheel.next_deadline()
    }

    /// What the driver must do; call until `None` after each input.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The counters of this server, for its driver to add to and publish.
    pub fn counters(&mut self) -> &mut CounterSet {
        &mut self.counters
    }

    /// Allocations that live or wait for their ports.
    pub fn allocations(&self) -> usize {
        self.allocations.len()
    }

    /// With `true` new allocations get 508; what lives goes on.
    pub fn set_draining(&mut self, draining: bool) {
        self.draining = draining;
    }

    /// Judges new requests with another authenticator; what lives keeps its keys. An order about users who were taken away
    /// counts for those that it does not know, so all is looked at again where there is one.
    pub fn set_authenticator(&mut self, authenticator: Arc<Authenticator>) {
        self.authenticator = authenticator;
        if self.revoking.orders().take_users_away() {
            self.set_revocations(Arc::clone(self.revoking.orders()));
        }
    }

    /// Takes over changed settings. Allocations live on; permissions, channels and connections that the
    /// new policy denies are gone.
    pub fn reload(&mut self, settings: Arc<Settings>, authenticator: Arc<Authenticator>, policy: PeerPolicy) {
        if settings.replies != self.settings.replies {
            self.strangers = Strangers::new(&settings, &mut self.random);
        }
        self.settings = settings;
        self.authenticator = authenticator;
        self.policy = policy;
        let mut denied = Vec::new();
        for (index, slot) in &mut self.allocations {
            if let Slot::Live(allocation) = slot {
                allocation.permissions.revoke(|peer| self.policy.check_address(peer).is_err());
                allocation.channels.revoke(|peer| self.policy.check_kept(peer).is_err());
                if let Some(tcp) = &mut allocation.tcp {
                    denied.push((index, tcp.take(|c| self.policy.check_kept(c.peer).is_err())));
                }
            }
        }
        for (index, connections) in denied {
            self.give_up(index, connections);
        }
    }

    /// Ends the allocation of this credential that was idle longest, if one was idle long enough: a
    /// client that roamed must not lock itself out (security Q4).
    pub fn evict_idle(&mut self, now: Now, subject: &str, credential: CredentialId) -> bool {
        let Some(idle_since) = now.at.as_secs().checked_sub(Settings::IDLE_AFTER.as_secs()) else {
            return false;
        };
        let idlest = self
            .subjects
            .members(subject)
            .iter()
            .map(|index| (*index as usize, self.allocations[*index as usize].live()))
            .filter(|(_, a)| a.identity.credential == credential && a.heard_s <= idle_since)
            // What flows over a connection to a peer is not heard here.
            .filter(|(_, a)| a.tcp.as_ref().is_none_or(|tcp| tcp.len() == 0))
            .min_by_key(|(_, a)| a.heard_s);
        let Some((index, _)) = idlest else { return false };
        self.end_at(now, index, EndReason::Evicted);
        true
    }

    /// The credential behind an allocation that waits for its ports.
    pub fn credential_of(&self, id: AllocationId) -> Option<CredentialId> {
        match self.allocations.get(id.index as usize)? {
            Slot::Opening(opening) if opening.generation == id.generation => {
                Some(opening.identity.credential)
            }
            _ => None,
        }
    }

    fn on_stun(&mut self, now: Now, from: &ClientAddr, bytes: &[u8], reply: &mut [u8]) -> Verdict {
        let Ok(message) = Message::parse(bytes) else { return self.drop(Dropped::Malformed) };
        match (message.class(), message.method()) {
            (Class::Request, method) => match label(method) {
                Some(_) if bytes.len() > REQUEST_BYTES_MAX => self.drop(Dropped::TooBig),
                Some(label) if self.serves(label) => self.on_request(now, from, label, message, reply),
                _ => self.drop(Dropped::UnknownMethod),
            },
            (Class::Indication, Method::SEND) => self.on_send(now, from, &message),
            // RFC 8489 section 6.3.2: a Binding indication keeps a NAT binding alive and wants nothing.
            (Class::Indication, Method::BINDING) => Verdict::Nothing,
            _ => self.drop(Dropped::UnknownMethod),
        }
    }

    fn on_request(
        &mut self,
        now: Now,
        from: &ClientAddr,
        label: MethodLabel,
        message: Message<'_>,
        reply: &mut [u8],
    ) -> Verdict {
        self.counters.increment(metrics::stun_requests(label));
        let is_binding = label == MethodLabel::Binding;
        let place = Place::of(&self.settings.discovery, from).filter(|_| is_binding);
        let understood = Understood {
            legacy: self.settings.legacy_channels,
            discovery: place.is_some(),
            modern: self.authenticator.offer().is_modern(),
        };
        let request = Request::read(message, understood);
        if let Some(place) = place {
            return self.discover(now, from, place, &request, reply);
        }
        let outcome = match label {
            MethodLabel::Binding => binding(from, &request),
            _ if self.is_opening(from) => return self.drop(Dropped::Pending),
            _ => self.on_turn_request(now, from, label, &request),
        };
        match outcome {
            Outcome::Pending => Verdict::Nothing,
            Outcome::Respond { body, signer } => self.answer(now, from, &request, &body, signer, reply),
        }
    }

    fn on_turn_request(
        &mut self,
        now: Now,
        from: &ClientAddr,
        label: MethodLabel,
        request: &Request<'_>,
    ) -> Outcome {
        let (requester, signer) = match self.authenticate(now, from, request) {
            Ok(known) => known,
            Err(Refused { reject, signer }) => return Outcome::rejected(reject, signer),
        };
        if !request.unknown.is_empty() {
            return Outcome::rejected(Reject::UnknownAttribute, Some(signer));
        }
        if label == MethodLabel::Allocate {
            return self.allocate(now, from, requester, signer, request);
        }
        if label == MethodLabel::ConnectionBind {
            return self.connection_bind(from, requester, signer, request);
        }
        let index = match requester {
            Requester::Owner(index) => index,
            // RFC 8656 section 5: there is nothing to refresh, permit or bind.
            Requester::Newcomer(_) => {
                return Outcome::rejected(Reject::AllocationMismatch, Some(signer));
            }
        };
        self.allocations[index].live_mut().heard_s = now.at.as_secs();
        let result = match label {
            MethodLabel::Refresh => self.refresh(now, index, request),
            MethodLabel::CreatePermission => self.create_permission(now, index, request),
            MethodLabel::ChannelBind => self.channel_bind(now, index, request),
            MethodLabel::Connect => match self.connect(now, index, &signer, request) {
                Ok(()) => return Outcome::Pending,
                Err(reject) => Err(reject),
            },
            MethodLabel::Binding | MethodLabel::Allocate | MethodLabel::ConnectionBind => {
                Err(Reject::BadRequest)
            }
        };
        Outcome::Respond { body: result.unwrap_or_else(Body::Rejected), signer: Some(signer) }
    }

    /// Encodes and counts the response; one without integrity must fit the budget of strangers.
    pub(super) fn answer(
        &mut self,
        now: Now,
        from: &ClientAddr,
        request: &Request<'_>,
        body: &Body,
        signer: Option<Signer>,
        reply: &mut [u8],
    ) -> Verdict {
        let budgeted = signer.is_none() && !from.transport.proves_source();
        if budgeted && !self.strangers.may_reply(now, from.remote.ip()) {
            return self.drop(Dropped::ReplyBudget);
        }
        let settings = Arc::clone(&self.settings);
        let challenge = match body {
            Body::Rejected(Reject::Unauthorized | Reject::StaleNonce) => {
                let offer = self.authenticator.offer();
                let nonce = self.nonces.issue(now.unix, from.remote, offer);
                let algorithms = offer.password_algorithms();
                Some(Challenge { realm: &settings.realm, nonce, algorithms })
            }
            _ => None,
        };
        // RFC 8489 section 9.2.4: challenges carry no integrity.
        let signer = signer.filter(|_| challenge.is_none());
        match self.respond(&request.asked(), body, challenge, signer.as_ref(), reply) {
            Some(length) => Verdict::Reply { length },
            None => self.drop(Dropped::TooBig),
        }
    }

    /// Writes and counts a response. Returns its bytes.
    pub(super) fn respond(
        &mut self,
        asked: &Asked,
        body: &Body,
        challenge: Option<Challenge<'_>>,
        signer: Option<&Signer>,
        reply: &mut [u8],
    ) -> Option<usize> {
        if let Some(method) = label(asked.method) {
            self.counters.increment(metrics::stun_responses(method, body.label()));
        }
        body.encode(asked, challenge, signer, reply)
    }

    /// The live allocation on this 5-tuple. One that has just run out ends here, before its timer.
    pub(super) fn live_at(&mut self, now: Now, from: &ClientAddr) -> Option<usize> {
        let index = *self.by_tuple.get(&from.five_tuple())? as usize;
        if matches!(self.allocations.get(index)?, Slot::Live(_)) {
            self.close_expired(now, index);
        }
        matches!(self.allocations.get(index), Some(Slot::Live(_))).then_some(index)
    }

    /// Without TCP relaying its methods are unknown.
    fn serves(&self, label: MethodLabel) -> bool {
        self.settings.tcp_relay || !matches!(label, MethodLabel::Connect | MethodLabel::ConnectionBind)
    }

    fn is_opening(&self, from: &ClientAddr) -> bool {
        let index = self.by_tuple.get(&from.five_tuple());
        index.is_some_and(|index| matches!(self.allocations.get(*index as usize), Some(Slot::Opening(_))))
    }

    pub(super) fn next_generation(&mut self) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        self.generation
    }

    /// Counts a silent drop.
    pub(super) fn drop(&mut self, reason: Dropped) -> Verdict {
        self.counters.increment(metrics::dropped(reason));
        Verdict::Dropped(reason)
    }
}

impl Allocation {
    pub(super) fn id(&self, index: usize) -> AllocationId {
        AllocationId { index: index as u32, generation: self.generation }
    }
}

/// Binding (RFC 8489 section 3): where the request came from, and nothing else.
fn binding(from: &ClientAddr, request: &Request<'_>) -> Outcome {
    if !request.unknown.is_empty() {
        return Outcome::rejected(Reject::UnknownAttribute, None);
    }
    Outcome::Respond { body: Body::Mapped(from.remote), signer: None }
}

fn label(method: Method) -> Option<MethodLabel> {
    match method {
        Method::BINDING => Some(MethodLabel::Binding),
        Method::ALLOCATE => Some(MethodLabel::Allocate),
        Method::REFRESH => Some(MethodLabel::Refresh),
        Method::CREATE_PERMISSION => Some(MethodLabel::CreatePermission),
        Method::CHANNEL_BIND => Some(MethodLabel::ChannelBind),
        Method::CONNECT => Some(MethodLabel::Connect),
        Method::CONNECTION_BIND => Some(MethodLabel::ConnectionBind),
        _ => None,
    }
}
