//! A world without sockets and clocks: one server, its ledger, and clients that speak through our
//! own codec. Ports open and close in a set, time moves by hand.
#![allow(dead_code, unreachable_pub, clippy::wrong_self_convention)]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use turnstone::auth::{self, Authenticator, CredentialId, Secret};
use turnstone::base::{Family, Now, Random, Timestamp, Transport, UnixTime};
use turnstone::metrics::Dropped;
use turnstone::turn::{
    AllocationId, ClientAddr, ConnectionId, Effect, Ended, Ledger, LedgerSettings, OpenError, OpenRequest,
    Opened, OpenedRelay, OwnAddresses, PeerConnection, PeerPolicy, PeerRules, PortRange, REPLY_BYTES_MAX,
    RelayAddress, RelayId, Server, Settings, Verdict,
};
use turnstone::wire::channel_data::{self, ChannelNumber};
use turnstone::wire::stun::attribute::{self, Icmp};
use turnstone::wire::stun::{
    AttributeType, Class, IntegrityAlgorithm, IntegrityKey, Message, MessageWriter, Method, RequestedFamily,
    TransactionId,
};

pub const EPOCH: UnixTime = UnixTime(1_800_000_000);
pub const SECRET: &str = "a-secret-of-at-least-32-characters-00001";

/// What left the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Out {
    ToClient {
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    /// A connection to a peer is being made.
    Connecting {
        connection: PeerConnection,
        from: SocketAddr,
        peer: SocketAddr,
    },
    ToPeer {
        from: SocketAddr,
        peer: SocketAddr,
        payload: Vec<u8>,
        dont_fragment: bool,
    },
    Dropped(Dropped),
}

pub struct Options {
    pub settings: Settings,
    pub rules: PeerRules,
    pub ports: PortRange,
    pub quarantine: Duration,
    pub addresses: Vec<RelayAddress>,
    pub allocations_per_user: u32,
    pub allocations_total: u32,
    pub users: Vec<(String, String)>,
    /// Shared secrets.
    pub secrets: Vec<&'static str>,
    /// Offer what RFC 8489 has beyond RFC 5389.
    pub modern: bool,
    /// How long the monotonic clock has run.
    pub clock_s: u64,
}

impl Default for Options {
    fn default() -> Self {
        let same = |ip: IpAddr| RelayAddress { internal: ip, external: ip };
        Self {
            settings: Settings::default(),
            rules: PeerRules::default(),
            ports: PortRange { first: 50_000, last: 50_999 },
            quarantine: Duration::from_secs(30),
            addresses: vec![same(RELAY_V4.into()), same(RELAY_V6.into())],
            allocations_per_user: 16,
            allocations_total: 0,
            users: ["alice", "bob"].map(|name| (name.into(), format!("{name}-password"))).to_vec(),
            secrets: vec![SECRET],
            modern: is_modern(),
            clock_s: 1000,
        }
    }
}

/// Whether worlds offer RFC 8489 unless a test says otherwise: whole test binaries run both ways.
pub fn is_modern() -> bool {
    std::env::var_os(MODERN).is_some()
}

/// The variable that says so.
pub const MODERN: &str = "TURNSTONE_TEST_MODERN";

/// Public addresses, so that the default policy lets the relay be used at all.
pub const RELAY_V4: Ipv4Addr = Ipv4Addr::new(192, 31, 196, 10);
pub const RELAY_V6: Ipv6Addr = Ipv6Addr::new(0x2620, 0, 0, 0, 0, 0, 0, 0x10);
pub const SERVER_V4: SocketAddr = SocketAddr::new(IpAddr::V4(RELAY_V4), 3478);
pub const SERVER_V6: SocketAddr = SocketAddr::new(IpAddr::V6(RELAY_V6), 3478);

pub fn peer(n: u8) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(8, 8, 4, n).into(), 4000 + u16::from(n))
}

pub fn peer_v6(n: u16) -> SocketAddr {
    SocketAddr::new(Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0, 0, 0, n).into(), 4000 + n)
}

pub struct World {
    pub server: Server,
    pub ledger: Ledger,
    pub now: Now,
    pub settings: Arc<Settings>,
    pub auth: auth::Settings,
    pub authenticator: Arc<Authenticator>,
    /// Relay sockets that are open: who, and where.
    pub sockets: Vec<(RelayId, OpenedRelay)>,
    /// The next opens fail with this.
    pub refuse: Option<OpenError>,
    /// Opens wait until `open_pending` is called.
    pub hold_opens: bool,
    pub held: Vec<(AllocationId, OpenRequest)>,
    pub effects: Vec<Effect>,
    /// Relay sockets in the order in which they closed, and when.
    pub closings: Vec<(Timestamp, SocketAddr)>,
    pub ports_total: usize,
    /// Connections to peers that are being made, wait or are bound, and who may still come for them.
    pub connections: Vec<(PeerConnection, Option<CredentialId>)>,
    /// What left while time passed.
    pub told: Vec<Out>,
    rules: PeerRules,
    next_transaction: u64,
}

impl World {
    pub fn seeded(seed: u64) -> Self {
        Self::with(seed, Options::default())
    }

    pub fn with(seed: u64, options: Options) -> Self {
        let mut random = Random::seeded(seed);
        let settings = Arc::new(options.settings);
        let auth = auth::Settings {
            realm: settings.realm.clone(),
            secrets: options.secrets.into_iter().map(Secret::new).collect(),
            users: options
                .users
                .iter()
                .map(|(name, password)| (name.clone(), Secret::new(password)))
                .collect(),
            modern: options.modern,
            strict_expiry: settings.strict_expiry,
            ttl: Duration::from_secs(3600),
            max_ttl: Duration::from_secs(86_400),
        };
        let authenticator = Arc::new(Authenticator::new(&auth));
        let ledger = Ledger::new(
            &LedgerSettings {
                addresses: options.addresses.clone(),
                ports: options.ports,
                quarantine: options.quarantine,
                allocations_per_user: options.allocations_per_user,
                allocations_total: options.allocations_total,
            },
            random.fork(),
        );
        let policy = policy(&ledger, options.rules.clone());
        let now = Now { at: Timestamp::from_secs(options.clock_s), unix: EPOCH };
        let server = Server::new(
            Arc::clone(&settings),
            Arc::clone(&authenticator),
            policy,
            random.bytes(),
            random.fork(),
            now,
        );
        Self {
            server,
            ledger,
            now,
            settings,
            auth,
            authenticator,
            sockets: Vec::new(),
            refuse: None,
            hold_opens: false,
            held: Vec::new(),
            effects: Vec::new(),
            closings: Vec::new(),
            ports_total: options.ports.len() * options.addresses.len(),
            connections: Vec::new(),
            told: Vec::new(),
            rules: options.rules,
            next_transaction: seed << 32,
        }
    }

    /// Swaps settings and rules as a reload does.
    pub fn reload(&mut self, settings: Settings, rules: PeerRules) {
        self.settings = Arc::new(settings);
        self.rules = rules;
        let policy = policy(&self.ledger, self.rules.clone());
        self.server.reload(Arc::clone(&self.settings), Arc::clone(&self.authenticator), policy);
        self.run_effects();
    }

    /// Swaps `auth.modern` as a reload does.
    pub fn set_modern(&mut self, modern: bool) {
        self.auth.modern = modern;
        self.authenticator = Arc::new(Authenticator::new(&self.auth));
        self.reload(Settings::clone(&self.settings), self.rules.clone());
    }

    /// Hands a datagram in and gives back all that leaves.
    pub fn datagram(&mut self, from: ClientAddr, bytes: &[u8]) -> Vec<Out> {
        let mut reply = [0xA5; REPLY_BYTES_MAX];
        let verdict = self.server.on_client_datagram(self.now, &from, bytes, &mut reply);
        let mut out = self.run_effects();
        match verdict {
            Verdict::Nothing => {}
            Verdict::Dropped(reason) => out.push(Out::Dropped(reason)),
            Verdict::Reply { length } => {
                out.push(Out::ToClient { to: from.remote, bytes: reply[..length].to_vec() });
            }
            Verdict::ReplyVia(told) => {
                out.push(Out::ToClient { to: told.client.remote, bytes: reply[..told.length].to_vec() });
            }
            Verdict::ToPeer { relay, peer, payload, dont_fragment } => {
                let from = self.socket(relay).expect("verdicts name open sockets").internal;
                out.push(Out::ToPeer { from, peer, payload: bytes[payload].to_vec(), dont_fragment });
            }
            Verdict::ToClient { .. } => panic!("a client's datagram does not go to a client"),
        }
        out
    }

    /// The client's connection closes.
    pub fn close(&mut self, client: &Client) {
        assert_eq!(self.server.on_closed(self.now, &client.address), None, "nothing waits for ports");
        let told = self.run_effects();
        self.told.extend(told);
    }

    /// A peer's datagram arrives at the relay socket bound to `to`.
    pub fn from_peer(&mut self, to: SocketAddr, peer: SocketAddr, payload: &[u8]) -> Vec<Out> {
        let Some(relay) = self.sockets.iter().find(|(_, socket)| socket.internal == to).map(|(id, _)| *id)
        else {
            return vec![Out::Dropped(Dropped::NoAllocation)];
        };
        match self.server.on_peer_datagram(self.now, relay, peer, payload.len()) {
            Verdict::ToClient { client, header, padding } => {
                let mut bytes = header.as_slice().to_vec();
                bytes.extend_from_slice(payload);
                bytes.resize(bytes.len() + usize::from(padding), 0);
                vec![Out::ToClient { to: client.remote, bytes }]
            }
            Verdict::Dropped(reason) => vec![Out::Dropped(reason)],
            other => panic!("not for a peer's datagram: {other:?}"),
        }
    }

    /// The network reports an error about a datagram from `relay` to `peer`.
    pub fn icmp(&mut self, relay: SocketAddr, peer: SocketAddr, icmp: Icmp) -> Option<Vec<u8>> {
        let id = self.sockets.iter().find(|(_, socket)| socket.internal == relay).map(|(id, _)| *id)?;
        let mut reply = [0xA5; REPLY_BYTES_MAX];
        let told = self.server.on_icmp(self.now, id, peer, icmp, &mut reply)?;
        Some(reply[..told.length].to_vec())
    }

    /// Both clocks move, and timers fire as a driver would let them.
    pub fn pass(&mut self, span: Duration) {
        let begin = self.now;
        let end = begin.at.after(span);
        let unix = begin.unix.after(span);
        while let Some(next) = self.server.next_deadline().filter(|next| *next <= end) {
            let at = self.now.at.max(next);
            self.now = Now { at, unix: begin.unix.after(at.since(begin.at)) };
            self.server.on_deadline(self.now);
            let told = self.run_effects();
            self.told.extend(told);
        }
        self.now = Now { at: end, unix };
        self.server.on_deadline(self.now);
        let told = self.run_effects();
        self.told.extend(told);
    }

    /// Opens what was held back.
    pub fn open_pending(&mut self) -> Vec<Out> {
        let held = std::mem::take(&mut self.held);
        held.into_iter().flat_map(|(allocation, request)| self.open(allocation, &request)).collect()
    }

    pub fn socket(&self, relay: RelayId) -> Option<OpenedRelay> {
        self.sockets.iter().find(|(id, _)| *id == relay).map(|(_, socket)| *socket)
    }

    pub fn transaction(&mut self) -> TransactionId {
        self.next_transaction += 1;
        let mut id = [7; 12];
        id[..8].copy_from_slice(&self.next_transaction.to_be_bytes());
        TransactionId(id)
    }

    /// Does what the server wants done after something that was no datagram.
    pub fn settle(&mut self) {
        let told = self.run_effects();
        self.told.extend(told);
    }

    /// Allocations that have ended so far.
    pub fn ended(&self) -> Vec<&Ended> {
        let ended = self.effects.iter().filter_map(|effect| match effect {
            Effect::Ended(ended) => Some(&**ended),
            _ => None,
        });
        ended.collect()
    }

    fn run_effects(&mut self) -> Vec<Out> {
        let mut out = Vec::new();
        while let Some(effect) = self.server.next_effect() {
            self.effects.push(effect.clone());
            match effect {
                Effect::Open { allocation, request } if self.hold_opens => {
                    self.held.push((allocation, request))
                }
                Effect::Open { allocation, request } => out.extend(self.open(allocation, &request)),
                Effect::ClosePort { relay, internal } => {
                    let before = self.sockets.len();
                    self.sockets.retain(|(id, socket)| !(*id == relay && socket.internal == internal));
                    assert_eq!(self.sockets.len() + 1, before, "closed what was not open");
                    self.ledger.close_port(self.now.at, internal);
                    self.closings.push((self.now.at, internal));
                }
                Effect::Ended(ended) => self.ledger.end(&ended.session.subject),
                Effect::Connect { connection, local, peer, credential } => {
                    self.connections.push((connection, Some(credential)));
                    out.push(Out::Connecting { connection, from: local, peer });
                }
                Effect::BindConnection { connection, credential, .. } => {
                    out.extend(self.bind_connection(connection, credential));
                }
                Effect::CloseConnection { connection } => {
                    let before = self.connections.len();
                    self.connections.retain(|(c, _)| *c != connection);
                    assert_eq!(self.connections.len() + 1, before, "closed what was not there");
                }
                Effect::Send { client, message } => {
                    out.push(Out::ToClient { to: client.remote, bytes: message.into_vec() });
                }
            }
        }
        out
    }

    /// The network says how a connection to a peer went.
    pub fn connected(&mut self, connection: PeerConnection, connected: bool) -> Vec<Out> {
        if !self.server.on_connected(self.now, connection, connected) {
            self.connections.retain(|(c, _)| *c != connection);
        }
        self.run_effects()
    }

    /// A peer connects to the relay socket bound to `to`; `None` when it is turned away.
    pub fn connect_from_peer(
        &mut self,
        to: SocketAddr,
        peer: SocketAddr,
    ) -> Option<(PeerConnection, Vec<Out>)> {
        let relay = self.sockets.iter().find(|(_, socket)| socket.internal == to).map(|(id, _)| *id)?;
        let (connection, credential) = self.server.on_peer_connection(self.now, relay, peer)?;
        self.connections.push((connection, Some(credential)));
        Some((connection, self.run_effects()))
    }

    /// The peer or the client closes a connection.
    pub fn hang_up(&mut self, connection: PeerConnection) {
        self.connections.retain(|(c, _)| *c != connection);
        self.server.on_connection_closed(connection);
        self.run_effects();
    }

    /// As the registry of a daemon does it: a connection is for who has its credential, once.
    fn bind_connection(&mut self, id: ConnectionId, credential: CredentialId) -> Option<Out> {
        let found = self.connections.iter_mut().find(|(c, whose)| c.id == id && *whose == Some(credential));
        let mut reply = [0xA5; REPLY_BYTES_MAX];
        let told = self.server.on_bound(found.is_some(), &mut reply).expect("a bind waits");
        if let Some((connection, whose)) = found {
            *whose = None;
            self.server.on_connection_bound(*connection);
        }
        Some(Out::ToClient { to: told.client.remote, bytes: reply[..told.length].to_vec() })
    }

    fn open(&mut self, allocation: AllocationId, request: &OpenRequest) -> Vec<Out> {
        let mut result = match self.refuse {
            Some(error) => Err(error),
            None => self.ledger.open(self.now.at, request),
        };
        if result == Err(OpenError::Quota)
            && self.ledger.over_quota(request) == 1
            && let Some(credential) = self.server.credential_of(allocation)
            && self.server.evict_idle(self.now, &request.subject, credential)
        {
            self.run_effects();
            result = self.ledger.open(self.now.at, request);
        }
        let opened = result.map(|grant| {
            let mut opened =
                Opened { reservation: grant.reservation, total: grant.total.clone(), ..Opened::default() };
            opened.missing = grant.missing.map(|(family, error)| {
                let family = match family {
                    Family::V4 => RequestedFamily::V4,
                    Family::V6 => RequestedFamily::V6,
                };
                (family, error.reject().code())
            });
            for family in Family::ALL {
                if let Some(lease) = grant.leases[family as usize] {
                    let socket = OpenedRelay { internal: lease.internal, external: lease.external };
                    self.sockets.push((RelayId { allocation, family }, socket));
                    self.ledger.bound(&lease);
                    opened.relays[family as usize] = Some(socket);
                }
            }
            opened
        });
        let mut reply = [0xA5; REPLY_BYTES_MAX];
        let told = self.server.on_opened(self.now, allocation, opened, &mut reply);
        told.map(|told| Out::ToClient { to: told.client.remote, bytes: reply[..told.length].to_vec() })
            .into_iter()
            .collect()
    }

    /// Ports in use, free and resting, which must be the whole pool.
    pub fn assert_ports_add_up(&mut self) {
        self.ledger.expire_reservations(self.now.at);
        let ports = self.ledger.port_use();
        assert_eq!(ports.used + ports.free + ports.quarantined, self.ports_total, "{ports:?}");
    }

    pub fn open_ports(&self) -> BTreeSet<SocketAddr> {
        self.sockets.iter().map(|(_, socket)| socket.internal).collect()
    }
}

fn policy(ledger: &Ledger, rules: PeerRules) -> PeerPolicy {
    let relays = ledger.live_ports();
    let hosts = relays.iter().flat_map(|(relay, _)| [relay.internal, relay.external]).collect();
    PeerPolicy::new(rules, OwnAddresses { relays, hosts, endpoints: vec![SERVER_V4, SERVER_V6] })
}

/// A client with what it knows: its address, its user, its nonce.
#[derive(Clone)]
pub struct Client {
    pub address: ClientAddr,
    pub username: String,
    pub password: String,
    pub nonce: Vec<u8>,
    pub realm: String,
    pub relayed: Option<SocketAddr>,
    pub relayed_v6: Option<SocketAddr>,
}

pub type Attributes<'a> = &'a [(AttributeType, &'a [u8])];

pub const UDP: &[u8] = &[17, 0, 0, 0];
pub const TCP: &[u8] = &[6, 0, 0, 0];

impl Client {
    pub fn new(n: u16, username: &str) -> Self {
        let remote = SocketAddr::new(Ipv4Addr::new(198, 51, 100, 7).into(), 20_000 + n);
        Self::at(remote, username)
    }

    pub fn at(remote: SocketAddr, username: &str) -> Self {
        let local = if remote.is_ipv4() { SERVER_V4 } else { SERVER_V6 };
        Self {
            address: ClientAddr { remote, local, transport: Transport::Udp, door: 0 },
            username: username.into(),
            password: format!("{username}-password"),
            nonce: Vec::new(),
            realm: "turn".into(),
            relayed: None,
            relayed_v6: None,
        }
    }

    pub fn key(&self) -> IntegrityKey {
        IntegrityKey::long_term_md5(self.username.as_bytes(), self.realm.as_bytes(), self.password.as_bytes())
    }

    /// A signed request.
    pub fn request(&self, id: TransactionId, method: Method, attributes: Attributes<'_>) -> Vec<u8> {
        let mut buffer = [0; 2048];
        let mut writer = MessageWriter::new(&mut buffer, Class::Request, method, id);
        for (kind, value) in attributes {
            writer.attribute(*kind, value);
        }
        writer.attribute(AttributeType::USERNAME, self.username.as_bytes());
        writer.attribute(AttributeType::REALM, self.realm.as_bytes());
        writer.attribute(AttributeType::NONCE, &self.nonce);
        writer.integrity(IntegrityAlgorithm::Sha1, &self.key());
        let length = writer.finish().expect("fits");
        buffer[..length].to_vec()
    }

    /// An unsigned message.
    pub fn bare(
        &self,
        id: TransactionId,
        class: Class,
        method: Method,
        attributes: Attributes<'_>,
    ) -> Vec<u8> {
        bare(id, class, method, attributes)
    }

    /// Sends a signed request and reads the answer; gets a nonce first, and again after 438.
    pub fn ask(&mut self, world: &mut World, method: Method, attributes: Attributes<'_>) -> Answer {
        if self.nonce.is_empty() {
            let id = world.transaction();
            let allocate =
                self.bare(id, Class::Request, Method::ALLOCATE, &[(AttributeType::REQUESTED_TRANSPORT, UDP)]);
            let answer = Answer::only(&world.datagram(self.address, &allocate));
            assert_eq!(answer.code, 401);
            self.nonce = answer.nonce.expect("challenge");
        }
        let id = world.transaction();
        let request = self.request(id, method, attributes);
        let answer = Answer::only(&world.datagram(self.address, &request));
        if answer.code == 438 {
            self.nonce = answer.nonce.expect("fresh nonce");
            let id = world.transaction();
            let request = self.request(id, method, attributes);
            return Answer::only(&world.datagram(self.address, &request));
        }
        answer
    }

    /// A plain allocation over UDP that must succeed.
    pub fn allocate(&mut self, world: &mut World) -> Answer {
        self.allocate_with(world, &[])
    }

    pub fn allocate_with(&mut self, world: &mut World, more: Attributes<'_>) -> Answer {
        let answer = self.try_allocate(world, more);
        assert_eq!(answer.code, 0, "{answer:?}");
        answer
    }

    pub fn try_allocate(&mut self, world: &mut World, more: Attributes<'_>) -> Answer {
        self.try_allocate_over(world, UDP, more)
    }

    fn try_allocate_over(&mut self, world: &mut World, protocol: &[u8], more: Attributes<'_>) -> Answer {
        let mut attributes = vec![(AttributeType::REQUESTED_TRANSPORT, protocol)];
        attributes.extend_from_slice(more);
        let answer = self.ask(world, Method::ALLOCATE, &attributes);
        for relayed in &answer.relayed {
            match relayed {
                SocketAddr::V4(_) => self.relayed = Some(*relayed),
                SocketAddr::V6(_) => self.relayed_v6 = Some(*relayed),
            }
        }
        answer
    }

    /// An allocation that relays TCP.
    pub fn try_allocate_tcp(&mut self, world: &mut World, more: Attributes<'_>) -> Answer {
        self.try_allocate_over(world, TCP, more)
    }

    pub fn refresh(&mut self, world: &mut World, lifetime_s: u32) -> Answer {
        self.ask(world, Method::REFRESH, &[(AttributeType::LIFETIME, &lifetime_s.to_be_bytes())])
    }

    pub fn permit(&mut self, world: &mut World, peers: &[SocketAddr]) -> Answer {
        // The transaction id is part of an IPv6 address's XOR, so these are made for their request.
        if self.nonce.is_empty() {
            return self.ask(world, Method::CREATE_PERMISSION, &[]);
        }
        let id = world.transaction();
        let values: Vec<Vec<u8>> = peers.iter().map(|peer| xor(*peer, id)).collect();
        let attributes: Vec<_> =
            values.iter().map(|v| (AttributeType::XOR_PEER_ADDRESS, v.as_slice())).collect();
        let request = self.request(id, Method::CREATE_PERMISSION, &attributes);
        Answer::only(&world.datagram(self.address, &request))
    }

    pub fn bind(&mut self, world: &mut World, number: u16, peer: SocketAddr) -> Answer {
        let id = world.transaction();
        let mut value = number.to_be_bytes().to_vec();
        value.extend_from_slice(&[0, 0]);
        let attributes: [(AttributeType, &[u8]); 2] =
            [(AttributeType::CHANNEL_NUMBER, &value), (AttributeType::XOR_PEER_ADDRESS, &xor(peer, id))];
        let request = self.request(id, Method::CHANNEL_BIND, &attributes);
        Answer::only(&world.datagram(self.address, &request))
    }

    /// Sends a Connect and gives back all that leaves.
    pub fn connect(&self, world: &mut World, peer: SocketAddr) -> Vec<Out> {
        let id = world.transaction();
        let request = self.request(id, Method::CONNECT, &[(AttributeType::XOR_PEER_ADDRESS, &xor(peer, id))]);
        world.datagram(self.address, &request)
    }

    pub fn bind_connection(&mut self, world: &mut World, connection: u32) -> Answer {
        self.ask(world, Method::CONNECTION_BIND, &[(AttributeType::CONNECTION_ID, &connection.to_be_bytes())])
    }

    pub fn send(&self, world: &mut World, peer: SocketAddr, payload: &[u8]) -> Vec<Out> {
        let id = world.transaction();
        let message = bare(
            id,
            Class::Indication,
            Method::SEND,
            &[(AttributeType::XOR_PEER_ADDRESS, &xor(peer, id)), (AttributeType::DATA, payload)],
        );
        world.datagram(self.address, &message)
    }

    pub fn channel_data(&self, world: &mut World, number: u16, payload: &[u8]) -> Vec<Out> {
        let number = ChannelNumber::new(number).expect("a channel number");
        let mut bytes = channel_data::header(number, payload.len() as u16).to_vec();
        bytes.extend_from_slice(payload);
        world.datagram(self.address, &bytes)
    }
}

pub fn bare(id: TransactionId, class: Class, method: Method, attributes: Attributes<'_>) -> Vec<u8> {
    let mut buffer = vec![0; 70_000];
    let mut writer = MessageWriter::new(&mut buffer, class, method, id);
    for (kind, value) in attributes {
        writer.attribute(*kind, value);
    }
    let length = writer.finish().expect("fits");
    buffer.truncate(length);
    buffer
}

/// The value of an XOR'ed address attribute.
pub fn xor(address: SocketAddr, id: TransactionId) -> Vec<u8> {
    let mut buffer = [0; 64];
    let mut writer = MessageWriter::new(&mut buffer, Class::Request, Method::BINDING, id);
    writer.xor_address(AttributeType::XOR_PEER_ADDRESS, address);
    let length = writer.finish().expect("fits");
    buffer[24..length].to_vec()
}

/// A response, read.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// 0 for success.
    pub code: u16,
    pub bytes: Vec<u8>,
    pub nonce: Option<Vec<u8>>,
    pub relayed: Vec<SocketAddr>,
    pub mapped: Option<SocketAddr>,
    pub lifetime_s: Option<u32>,
    pub token: Option<Vec<u8>>,
    pub address_error: Option<(RequestedFamily, u16)>,
    pub unknown: Vec<u16>,
    pub connection_id: Option<u32>,
    pub signed: bool,
    /// Nothing came back, for this reason.
    pub dropped: Option<Dropped>,
}

impl Answer {
    /// The only thing that left.
    pub fn only(out: &[Out]) -> Self {
        match out {
            [Out::ToClient { bytes, .. }] => Self::read(bytes),
            [Out::Dropped(reason)] => Self { code: u16::MAX, dropped: Some(*reason), ..Self::default() },
            other => panic!("expected one answer: {other:?}"),
        }
    }

    pub fn read(bytes: &[u8]) -> Self {
        let message = Message::parse(bytes).expect("our own response is sound");
        let mut answer = Self { bytes: bytes.to_vec(), signed: message.has_integrity(), ..Self::default() };
        for a in message.attributes() {
            let address =
                || attribute::decode_xor_address(a.value, message.transaction_id()).expect("address");
            match a.kind {
                AttributeType::ERROR_CODE => {
                    answer.code = attribute::decode_error_code(a.value).expect("code").code
                }
                AttributeType::NONCE => answer.nonce = Some(a.value.to_vec()),
                AttributeType::XOR_RELAYED_ADDRESS => answer.relayed.push(address()),
                AttributeType::XOR_MAPPED_ADDRESS => answer.mapped = Some(address()),
                AttributeType::LIFETIME => {
                    answer.lifetime_s = Some(u32::from_be_bytes(a.value.try_into().expect("four bytes")));
                }
                AttributeType::CONNECTION_ID => {
                    answer.connection_id = attribute::decode_connection_id(a.value).ok();
                }
                AttributeType::RESERVATION_TOKEN => answer.token = Some(a.value.to_vec()),
                AttributeType::ADDRESS_ERROR_CODE => {
                    let error = attribute::decode_address_error_code(a.value).expect("sound");
                    answer.address_error = Some((error.family, error.code));
                }
                AttributeType::UNKNOWN_ATTRIBUTES => {
                    answer.unknown = attribute::decode_unknown_attributes(a.value).map(|k| k.0).collect();
                }
                _ => {}
            }
        }
        assert_eq!(message.class() == Class::Error, answer.code != 0);
        answer
    }
}

/// A Data indication, read: peer and payload.
pub fn data_indication(bytes: &[u8]) -> (SocketAddr, Vec<u8>) {
    let message = Message::parse(bytes).expect("our own indication is sound");
    assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
    let peer = message.first(AttributeType::XOR_PEER_ADDRESS).expect("peer");
    let data = message.first(AttributeType::DATA).expect("data");
    (attribute::decode_xor_address(peer, message.transaction_id()).expect("address"), data.to_vec())
}
