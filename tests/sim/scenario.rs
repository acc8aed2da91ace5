//! Chooses what happens next. It looks at the model only to make interesting things likely.

use crate::model::{Config, Model};
use crate::peers::{PORTS, Rules, foreign};
use crate::request::{AllocateSpec, Body, Nonce, Request, Sign, Style, User};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use turnstone::base::{Now, Random};
use turnstone::turn::{OpenError, RelayAddress};
use turnstone::wire::stun::TransactionId;

/// One input.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Request(Request),
    /// A request of before, byte for byte; counted from the end.
    Again(usize),
    /// One of those, cut.
    Torn(usize),
    Binding {
        client: usize,
    },
    Send {
        client: usize,
        peer: SocketAddr,
        length: usize,
        dont_fragment: bool,
    },
    ChannelData {
        client: usize,
        number: u16,
        length: usize,
    },
    FromPeer {
        internal: SocketAddr,
        peer: SocketAddr,
        length: usize,
    },
    Icmp {
        internal: SocketAddr,
        peer: SocketAddr,
        icmp_type: u8,
    },
    Pass(Duration),
    Drain(bool),
    Reload(Config),
    Refuse(Option<OpenError>),
    /// Opens wait from now on, or are carried out.
    Hold(bool),
}

pub(crate) struct Chooser {
    pub(crate) random: Random,
    pub(crate) remotes: Vec<SocketAddr>,
    pub(crate) relays: Vec<RelayAddress>,
    /// Whether RFC 8489's algorithms are offered.
    modern: bool,
    /// All nonces that were seen, the newest last.
    pub(crate) nonces: Vec<Nonce>,
    /// When which source guessed wrong for which user: kept below the budget of guesses.
    guesses: Vec<(IpAddr, usize, u64)>,
}

impl Chooser {
    pub(crate) fn new(
        random: Random,
        remotes: Vec<SocketAddr>,
        relays: Vec<RelayAddress>,
        modern: bool,
    ) -> Self {
        Self { random, remotes, relays, modern, nonces: Vec::new(), guesses: Vec::new() }
    }

    pub(crate) fn next(&mut self, now: Now, model: &Model, id: TransactionId) -> Action {
        // What stops new allocations does not last, or nothing else would happen.
        if self.one_in(6) {
            if model.refuse.is_some() {
                return Action::Refuse(None);
            }
            if model.draining {
                return Action::Drain(false);
            }
            if model.hold {
                return Action::Hold(false);
            }
        }
        let mut client = self.below(self.remotes.len() as u32) as usize;
        let roll = self.below(100);
        if (56..=71).contains(&roll) && !self.one_in(10) {
            // Payload comes from somebody with an allocation.
            let nth = self.below(model.allocations.len() as u32) as usize;
            client = model.allocations.get(nth).map_or(client, |a| a.client);
        }
        match roll {
            0..=49 => Action::Request(self.request(now, model, client, id)),
            50..=53 => Action::Again(self.below(6) as usize),
            54 => Action::Torn(self.below(6) as usize),
            55 => Action::Binding { client },
            56..=63 => {
                let peer = self.permitted_peer(now, model, client);
                Action::Send { client, peer, length: self.length(), dont_fragment: self.one_in(4) }
            }
            64..=71 => Action::ChannelData {
                client,
                number: self.bound_number(now, model, client),
                length: self.length(),
            },
            72..=79 => match self.socket(model) {
                Some((internal, owner)) => {
                    let peer = self.likely_peer(now, model, owner);
                    Action::FromPeer { internal, peer, length: self.length() }
                }
                None => Action::Pass(Duration::from_millis(1)),
            },
            80..=81 => match self.socket(model) {
                Some((internal, owner)) => {
                    let peer = self.likely_peer(now, model, owner);
                    Action::Icmp { internal, peer, icmp_type: [1, 2, 3, 4, 5, 8, 11][self.below(7) as usize] }
                }
                None => Action::Binding { client },
            },
            82..=91 => Action::Pass(self.span()),
            92 => {
                let end = model.next_end(now).unwrap_or(now.at);
                Action::Pass(end.since(now.at) + Duration::from_nanos(u64::from(self.below(1 << 27))))
            }
            93 => Action::Drain(true),
            94..=95 => Action::Reload(self.config(&model.config)),
            96 => {
                let error = [OpenError::NoPort, OpenError::Total, OpenError::Family][self.below(3) as usize];
                Action::Refuse(Some(error))
            }
            _ => Action::Hold(true),
        }
    }

    fn request(&mut self, now: Now, model: &Model, client: usize, id: TransactionId) -> Request {
        let owned = model.live(now, client).map(|at| model.allocations[at].user);
        let body = match (owned, self.below(20)) {
            (None, 0..=15) | (Some(_), 0) => Body::Allocate(self.allocate(model)),
            (_, 1..=4 | 16) => self.refresh(),
            (_, 5..=11 | 17) => {
                let count = [1, 1, 1, 2, 3, 0][self.below(6) as usize];
                Body::Permit { peers: (0..count).map(|_| self.likely_peer(now, model, client)).collect() }
            }
            _ => self.bind(now, model, client),
        };
        let sign = self.sign(now, model, client, owned);
        Request { client, id, sign, body, unknown_attribute: self.one_in(60) }
    }

    /// Nearly always what the owner of the 5-tuple would sign.
    fn sign(&mut self, now: Now, model: &Model, client: usize, owned: Option<usize>) -> Option<Sign> {
        let remote = self.remotes[client];
        let own = self.nonces.iter().rev().find(|n| n.issued.is_some_and(|(to, _)| to == remote)).cloned();
        let nonce = match self.below(30) {
            0 => Nonce { bytes: b"obMatJos2AAACf//".to_vec(), issued: None },
            1 if !self.nonces.is_empty() => {
                let nth = self.below(self.nonces.len() as u32) as usize;
                self.nonces[nth].clone()
            }
            2 => return None,
            _ => own?,
        };
        let home = client % 4;
        let user = match (owned, self.below(12)) {
            (_, 0) => self.below(model.users.len() as u32) as usize,
            (Some(owner), _) => owner,
            (None, _) => home,
        };
        let mut right_password = !self.one_in(25);
        if !right_password || !model.users[user].exists {
            let recent =
                |g: &&(IpAddr, usize, u64)| (g.0, g.1) == (remote.ip(), user) && g.2 + 60 > now.unix.0;
            if self.guesses.iter().filter(recent).count() >= 9 {
                right_password = true;
                if !model.users[user].exists {
                    return None;
                }
            } else {
                self.guesses.push((remote.ip(), user, now.unix.0));
            }
        }
        let incomplete = self.one_in(60);
        let style = self.style(&model.users[user]);
        Some(Sign { user, right_password, nonce, incomplete, style })
    }

    fn style(&mut self, user: &User) -> Style {
        match if self.modern { self.below(3) } else { 0 } {
            0 => Style::Classic,
            1 if user.expires.is_none() => Style::Hashed,
            _ => Style::Sha256,
        }
    }

    fn allocate(&mut self, model: &Model) -> AllocateSpec {
        let mut spec =
            AllocateSpec { transport: Some(17), dont_fragment: self.one_in(5), ..Default::default() };
        spec.lifetime_s = self.lifetime();
        match self.below(10) {
            0 => spec.family = Some(1),
            1..=2 => spec.family = Some(2),
            3..=4 => spec.additional = Some(2),
            _ => {}
        }
        if self.one_in(4) {
            spec.even_port = Some(self.one_in(2));
        }
        let tokens = model.book.tokens();
        if !tokens.is_empty() && self.one_in(2) {
            let token = tokens[self.below(tokens.len() as u32) as usize];
            spec = AllocateSpec { transport: Some(17), token: Some(token), ..Default::default() };
        }
        // And now and then something that does not fit together.
        match self.below(40) {
            0 => spec.transport = None,
            1 => spec.transport = Some(6),
            2 => spec.additional = Some(1),
            3 => spec.family = Some(3),
            4 => spec.additional = Some(0),
            5 => (spec.family, spec.additional) = (Some(1), Some(2)),
            6 => (spec.even_port, spec.additional) = (Some(true), Some(2)),
            7 => spec.token = Some([7; 8]),
            8 => spec.lifetime_s = Some(Err(())),
            9 => (spec.token, spec.even_port) = (Some([7; 8]), Some(false)),
            _ => {}
        }
        spec
    }

    fn refresh(&mut self) -> Body {
        let lifetime_s = if self.one_in(5) { Some(Ok(0)) } else { self.lifetime() };
        let family = match self.below(8) {
            0 => Some(1),
            1 => Some(2),
            2 if self.one_in(4) => Some(9),
            _ => None,
        };
        Body::Refresh { lifetime_s, family }
    }

    fn bind(&mut self, now: Now, model: &Model, client: usize) -> Body {
        // A few numbers only, so that bindings meet again.
        let number = match self.below(20) {
            0 => None,
            1 => Some(0x3FFF),
            2 => Some(0x8000),
            3 => Some(0x5000),
            4 => Some(0x7FFF),
            5 => Some(0x4FFF),
            n => Some(0x4000 + (n % 3) as u16),
        };
        let peer = self.likely_peer(now, model, client);
        let bound = self.bound(now, model, client);
        match bound.first() {
            Some(channel) if self.one_in(2) => Body::Bind { number: Some(channel.0), peer: Some(channel.1) },
            _ => Body::Bind { number, peer: Some(peer).filter(|_| !self.one_in(30)) },
        }
    }

    fn bound(&mut self, now: Now, model: &Model, client: usize) -> Vec<(u16, SocketAddr)> {
        let mut bound =
            model.live(now, client).map_or(Vec::new(), |at| model.allocations[at].channel_numbers());
        if !bound.is_empty() {
            let turn = self.below(bound.len() as u32) as usize;
            bound.rotate_left(turn);
        }
        bound
    }

    fn bound_number(&mut self, now: Now, model: &Model, client: usize) -> u16 {
        match self.bound(now, model, client).first() {
            Some((number, _)) if !self.one_in(6) => *number,
            _ => [0x4000, 0x4001, 0x4002, 0x4FFF, 0x5000, 0x7FFF][self.below(6) as usize],
        }
    }

    /// A peer of a channel, a relayed address of somebody, or anybody.
    fn likely_peer(&mut self, now: Now, model: &Model, client: usize) -> SocketAddr {
        let bound = self.bound(now, model, client);
        match (bound.first(), self.below(10)) {
            (Some((_, peer)), 0..=3) => return *peer,
            (_, 4) if !model.book.live.is_empty() => {
                return model.book.live[self.below(model.book.live.len() as u32) as usize];
            }
            (_, 5) => {
                let relay = {
                    let nth = self.below(self.relays.len() as u32) as usize;
                    self.relays[nth]
                };
                let port = [3478, 50_000, 50_001, 50_002][self.below(4) as usize];
                let ip = if self.one_in(2) { relay.internal } else { relay.external };
                return SocketAddr::new(ip, port);
            }
            _ => {}
        }
        // Half of all from the first six, so that permissions are met again.
        let foreign = foreign();
        let among = if self.one_in(2) { 6 } else { foreign.len() as u32 };
        let ip = foreign[self.below(among) as usize];
        let port = if self.one_in(40) { 0 } else { PORTS[self.below(PORTS.len() as u32) as usize] };
        SocketAddr::new(ip, port)
    }

    fn permitted_peer(&mut self, now: Now, model: &Model, client: usize) -> SocketAddr {
        let permitted = model.live(now, client).map_or(Vec::new(), |at| model.allocations[at].permitted());
        let nth = self.below(permitted.len() as u32) as usize;
        match permitted.get(nth) {
            Some(ip) if !self.one_in(4) => {
                SocketAddr::new(*ip, PORTS[self.below(PORTS.len() as u32) as usize])
            }
            _ => self.likely_peer(now, model, client),
        }
    }

    fn socket(&mut self, model: &Model) -> Option<(SocketAddr, usize)> {
        let sockets: Vec<_> =
            model.allocations.iter().flat_map(|a| a.halves.iter().map(|h| (h.internal, a.client))).collect();
        let nth = self.below(sockets.len() as u32) as usize;
        sockets.get(nth).copied()
    }

    fn lifetime(&mut self) -> Option<Result<u32, ()>> {
        match self.below(8) {
            0 => Some(Ok(1)),
            1 => Some(Ok(900)),
            2 => Some(Ok(3600)),
            3 => Some(Ok(u32::MAX)),
            4 if self.one_in(4) => Some(Err(())),
            _ => None,
        }
    }

    /// From less than a timer's tick to more than an hour; round ones meet the ends of lifetimes.
    fn span(&mut self) -> Duration {
        match self.below(40) {
            0..=9 => Duration::from_nanos(u64::from(self.below(1 << 28))),
            10..=16 => Duration::from_secs(1),
            17..=22 => Duration::from_secs(u64::from(self.below(20))),
            23..=28 => Duration::from_millis(u64::from(self.below(40_000))),
            29..=34 => Duration::from_secs(60),
            35..=36 => Duration::from_secs(299 + u64::from(self.below(3))),
            37 => Duration::from_secs(599 + u64::from(self.below(3))),
            38 => Duration::from_secs(1000),
            _ => Duration::from_secs(3599 + u64::from(self.below(3))),
        }
    }

    pub(crate) fn config(&mut self, config: &Config) -> Config {
        Config {
            rules: Rules::variant(self.below(8)),
            max_lifetime_s: [600, 3600, 1800][self.below(3) as usize],
            legacy_channels: self.one_in(2),
            strict_expiry: self.one_in(3),
            permissions_max: [2, 4, 256][self.below(3) as usize],
            channels_max: [2, 4, 256][self.below(3) as usize],
            ..config.clone()
        }
    }

    fn length(&mut self) -> usize {
        match self.below(4) {
            0 => 0,
            1 => self.below(8) as usize,
            _ => self.below(1300) as usize,
        }
    }

    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        self.random.below(bound)
    }

    pub(crate) fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }
}
