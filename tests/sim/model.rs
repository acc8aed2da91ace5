//! The reference: what RFC 8656 and the settings promise, in plain lists that are searched from end to
//! end. It has no timers: whether something lives is worked out from its time each time it is asked.
//!
//! What chance decides (ports, tokens) and what is only bounded (the moment at which a relay socket
//! closes after its lifetime) is taken over from the server once it was found to be permitted.

use crate::book::Book;
use crate::opening::Pending;
use crate::peers::Rules;
use crate::request::{Body, Request, User};
use crate::world::Answer;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use turnstone::base::{Now, Timestamp};
use turnstone::turn::OpenError;
use turnstone::wire::stun::TransactionId;

/// What the operator decided.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) rules: Rules,
    pub(crate) max_lifetime_s: u32,
    pub(crate) legacy_channels: bool,
    pub(crate) strict_expiry: bool,
    pub(crate) permissions_max: usize,
    pub(crate) channels_max: usize,
    pub(crate) allocations_per_user: u32,
    pub(crate) allocations_total: u32,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) config: Config,
    pub(crate) users: Vec<User>,
    pub(crate) allocations: Vec<Allocation>,
    /// Requests whose ports are being opened, in order.
    pub(crate) pending: Vec<Pending>,
    pub(crate) book: Book,
    pub(crate) draining: bool,
    pub(crate) refuse: Option<OpenError>,
    pub(crate) hold: bool,
    /// Sockets that the server closed in this step before their time, not explained yet.
    pub(crate) unexplained: Vec<SocketAddr>,
    /// Allocations (client, user) that lost a socket to its lifetime in this step.
    pub(crate) ran_out: Vec<(usize, usize)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Allocation {
    pub(crate) client: usize,
    pub(crate) user: usize,
    pub(crate) halves: Vec<Half>,
    pub(crate) permissions: Vec<(IpAddr, Timestamp)>,
    pub(crate) channels: Vec<(u16, SocketAddr, Timestamp)>,
    pub(crate) heard: Timestamp,
    pub(crate) made_by: TransactionId,
    pub(crate) answer: Answer,
}

/// One relay socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Half {
    pub(crate) internal: SocketAddr,
    pub(crate) until: Timestamp,
}

/// What a request must lead to.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    Dropped,
    /// The answer comes when the ports are open.
    Later,
    Error {
        code: u16,
        signed: bool,
    },
    /// Success; LIFETIME when the method has one.
    Done {
        lifetime_s: Option<u32>,
    },
    /// The very answer of before.
    Same(Answer),
    /// Ports are opened at once: the last pending one is to be judged with its answer.
    Opens,
}

const PERMISSION: Duration = Duration::from_secs(300);
const CHANNEL: Duration = Duration::from_secs(600);
const CHANNEL_REST: Duration = Duration::from_secs(300);
/// How late a timer may be: two ticks of the wheel.
const LATE: Duration = Duration::from_millis(270);

impl Model {
    pub(crate) fn new(config: Config, users: Vec<User>, book: Book) -> Self {
        Self {
            config,
            users,
            allocations: Vec::new(),
            pending: Vec::new(),
            book,
            draining: false,
            refuse: None,
            hold: false,
            unexplained: Vec::new(),
            ran_out: Vec::new(),
        }
    }

    /// Sockets that the server closed in this step: those whose time was over are explained by that.
    pub(crate) fn note_closings(&mut self, closings: &[(Timestamp, SocketAddr)]) {
        self.ran_out.clear();
        for (at, internal) in closings {
            let (nth, half) = self.half(*internal);
            if half.until > *at {
                self.unexplained.push(*internal);
            } else {
                assert!(half.until.after(LATE) >= *at, "{internal} closed late");
                let allocation = &self.allocations[nth];
                self.ran_out.push((allocation.client, allocation.user));
                self.remove(*at, *internal);
            }
        }
    }

    /// Nothing closed without a reason, and nothing is open that should not be.
    pub(crate) fn check_closings(&self, now: Now) {
        assert!(self.unexplained.is_empty(), "closed for no reason: {:?}", self.unexplained);
        for half in self.allocations.iter().flat_map(|a| &a.halves) {
            assert!(half.until.after(LATE) > now.at, "{} is open beyond its time", half.internal);
        }
    }

    pub(crate) fn request(&mut self, now: Now, request: &Request, remote: SocketAddr) -> Expected {
        if self.pending.iter().any(|p| p.client == request.client) {
            return Expected::Dropped;
        }
        let plain = |code| Expected::Error { code, signed: false };
        let signed = |code| Expected::Error { code, signed: true };
        let Some(sign) = &request.sign else { return plain(401) };
        if sign.incomplete {
            return plain(400);
        }
        if !sign.nonce.is_good(now, remote) {
            return plain(438);
        }
        let user = self.users[sign.user].clone();
        let sound = sign.right_password && user.exists;
        let expired = user.expires.is_some_and(|expires| expires <= now.unix.0);
        let is_allocate = matches!(request.body, Body::Allocate(_));
        let owned = self.live(now, request.client);
        match owned.map(|at| self.allocations[at].user == sign.user) {
            Some(true) if !sound || (self.config.strict_expiry && expired) => return plain(401),
            Some(true) => {}
            _ if !sound || expired => return plain(401),
            Some(false) => return signed(if is_allocate { 437 } else { 441 }),
            None => {}
        }
        if request.unknown_attribute {
            return signed(420);
        }
        if let Some(at) = owned {
            self.allocations[at].heard = now.at;
        }
        let result = match (&request.body, owned) {
            (Body::Allocate(_), Some(at)) if self.allocations[at].made_by == request.id => {
                return Expected::Same(self.allocations[at].answer.clone());
            }
            (Body::Allocate(_), Some(_)) | (_, None) if !(is_allocate && owned.is_none()) => Err(437),
            (Body::Allocate(spec), _) => return self.allocate(now, request, sign.user, spec),
            (Body::Refresh { lifetime_s, family }, Some(at)) => self.refresh(now, at, *lifetime_s, *family),
            (Body::Permit { peers }, Some(at)) => self.create_permission(now, at, peers),
            (Body::Bind { number, peer }, Some(at)) => self.channel_bind(now, at, *number, *peer),
            (_, None) => unreachable!("answered with 437 above"),
        };
        match result {
            Ok(lifetime_s) => Expected::Done { lifetime_s },
            Err(code) => signed(code),
        }
    }

    pub(crate) fn lifetime(&self, now: Now, user: usize, asked_s: Option<u32>) -> u32 {
        let granted = asked_s.unwrap_or(600).min(self.config.max_lifetime_s).max(600);
        match self.users[user].expires {
            Some(expires) if self.config.strict_expiry => granted.min((expires - now.unix.0) as u32),
            _ => granted,
        }
    }

    fn refresh(
        &mut self,
        now: Now,
        at: usize,
        lifetime_s: Option<Result<u32, ()>>,
        family: Option<u8>,
    ) -> Result<Option<u32>, u16> {
        let lifetime_s = lifetime_s.transpose().map_err(|()| 400u16)?;
        let user = self.allocations[at].user;
        let granted = self.lifetime(now, user, lifetime_s);
        let halves = &mut self.allocations[at].halves;
        let mut named: Vec<&mut Half> = match family {
            None => halves.iter_mut().filter(|h| h.until > now.at).collect(),
            Some(1) => halves.iter_mut().filter(|h| h.until > now.at && h.internal.is_ipv4()).collect(),
            Some(2) => halves.iter_mut().filter(|h| h.until > now.at && h.internal.is_ipv6()).collect(),
            Some(_) => Vec::new(),
        };
        if named.is_empty() {
            return Err(443);
        }
        if lifetime_s == Some(0) {
            let internals: Vec<_> = named.iter().map(|h| h.internal).collect();
            internals.into_iter().for_each(|internal| self.close(now, internal));
            return Ok(Some(0));
        }
        for half in &mut named {
            half.until = now.at.after(Duration::from_secs(u64::from(granted)));
        }
        Ok(Some(granted))
    }

    fn create_permission(&mut self, now: Now, at: usize, peers: &[SocketAddr]) -> Result<Option<u32>, u16> {
        if peers.is_empty() {
            return Err(400);
        }
        for peer in peers {
            if !self.allocations[at].reaches(now, *peer) {
                return Err(443);
            }
            if !self.config.rules.admits_address(peer.ip()) {
                return Err(403);
            }
        }
        self.permit(now, at, peers)?;
        Ok(None)
    }

    fn permit(&mut self, now: Now, at: usize, peers: &[SocketAddr]) -> Result<(), u16> {
        let permissions = &mut self.allocations[at].permissions;
        let mut after = permissions.clone();
        after.retain(|(_, until)| *until > now.at);
        let before = after.len();
        for peer in peers {
            after.retain(|(ip, _)| *ip != peer.ip());
            after.push((peer.ip(), now.at.after(PERMISSION)));
        }
        if after.len() > before && after.len() > self.config.permissions_max {
            return Err(508);
        }
        *permissions = after;
        Ok(())
    }

    fn channel_bind(
        &mut self,
        now: Now,
        at: usize,
        number: Option<u16>,
        peer: Option<SocketAddr>,
    ) -> Result<Option<u32>, u16> {
        let highest = if self.config.legacy_channels { 0x7FFF } else { 0x4FFF };
        let number = number.filter(|n| (0x4000..=highest).contains(n)).ok_or(400u16)?;
        let peer = peer.ok_or(400u16)?;
        if !self.allocations[at].reaches(now, peer) {
            return Err(443);
        }
        if !self.admits(peer) {
            return Err(403);
        }
        let mut channels = self.allocations[at].channels.clone();
        channels.retain(|(_, _, until)| until.after(CHANNEL_REST) > now.at);
        if channels.iter().any(|(n, p, _)| (*n == number) != (*p == peer)) {
            return Err(400);
        }
        channels.retain(|(n, _, _)| *n != number);
        if channels.len() >= self.config.channels_max
            && !self.allocations[at]
                .channels
                .iter()
                .any(|(n, _, until)| *n == number && until.after(CHANNEL_REST) > now.at)
        {
            return Err(508);
        }
        self.permit(now, at, &[peer])?;
        channels.push((number, peer, now.at.after(CHANNEL)));
        self.allocations[at].channels = channels;
        Ok(None)
    }

    /// New settings: what is denied now is gone.
    pub(crate) fn reload(&mut self, config: Config) {
        self.config = config;
        let rules = self.config.rules;
        for allocation in &mut self.allocations {
            allocation.permissions.retain(|(ip, _)| rules.admits_address(*ip));
            // Ports of own relays come and go: they are judged with each datagram.
            allocation.channels.retain(|(_, peer, _)| {
                rules.admits_address(peer.ip())
                    && (rules.is_own(peer.ip()) || rules.admits_port(*peer, &self.book.live))
            });
        }
    }

    /// Allocations that count against the quota of a subject.
    pub(crate) fn held_by(&self, subject: &str) -> u32 {
        self.allocations.iter().filter(|a| self.users[a.user].subject == subject).count() as u32
    }

    fn admits(&self, peer: SocketAddr) -> bool {
        self.config.rules.admits_address(peer.ip()) && self.config.rules.admits_port(peer, &self.book.live)
    }

    /// When the first relay socket runs out that has not yet.
    pub(crate) fn next_end(&self, now: Now) -> Option<Timestamp> {
        let halves = self.allocations.iter().flat_map(|a| &a.halves);
        halves.map(|half| half.until).filter(|until| *until > now.at).min()
    }

    /// Whether a relay socket is over and waits for its timer.
    pub(crate) fn has_late_ones(&self, now: Now) -> bool {
        self.allocations.iter().flat_map(|a| &a.halves).any(|half| half.until <= now.at)
    }

    /// How many sockets ran out in this step.
    pub(crate) fn ran_out(&self) -> u32 {
        self.ran_out.len() as u32
    }

    pub(crate) fn live(&self, now: Now, client: usize) -> Option<usize> {
        self.allocations
            .iter()
            .position(|a| a.client == client && a.halves.iter().any(|half| half.until > now.at))
    }

    pub(crate) fn relaying(&self, now: Now, internal: SocketAddr) -> Option<&Allocation> {
        let lives = |half: &Half| half.internal == internal && half.until > now.at;
        self.allocations.iter().find(|a| a.halves.iter().any(lives))
    }

    fn half(&self, internal: SocketAddr) -> (usize, Half) {
        let mut halves =
            self.allocations.iter().enumerate().flat_map(|(n, a)| a.halves.iter().map(move |h| (n, h)));
        let (nth, half) =
            halves.find(|(_, h)| h.internal == internal).expect("the server closed what is open");
        (nth, *half)
    }

    /// The server must have closed this socket in this step.
    pub(crate) fn close(&mut self, now: Now, internal: SocketAddr) {
        let before = self.unexplained.len();
        self.unexplained.retain(|closed| *closed != internal);
        assert_eq!(self.unexplained.len() + 1, before, "{internal} must be closed now");
        self.remove(now.at, internal);
    }

    fn remove(&mut self, at: Timestamp, internal: SocketAddr) {
        self.book.rest(at, internal);
        for allocation in &mut self.allocations {
            allocation.halves.retain(|half| half.internal != internal);
        }
        self.allocations.retain(|a| !a.halves.is_empty());
    }
}

impl Allocation {
    pub(crate) fn permits(&self, now: Now, peer: IpAddr) -> bool {
        self.permissions.iter().any(|(ip, until)| *ip == peer && *until > now.at)
    }

    /// There is a relayed address of the peer's family.
    pub(crate) fn reaches(&self, now: Now, peer: SocketAddr) -> bool {
        self.halves.iter().any(|h| h.until > now.at && h.internal.is_ipv4() == peer.is_ipv4())
    }

    /// Peers that have, or had, a permission here.
    pub(crate) fn permitted(&self) -> Vec<IpAddr> {
        self.permissions.iter().map(|(ip, _)| *ip).collect()
    }

    /// Channel numbers that were bound here.
    pub(crate) fn channel_numbers(&self) -> Vec<(u16, SocketAddr)> {
        self.channels.iter().map(|(number, peer, _)| (*number, *peer)).collect()
    }
}
