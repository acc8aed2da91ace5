//! Any sequence of inputs: raw datagrams, requests that are nearly right, peers, time, the operator.
//!
//! The first byte chooses the world, then each input is a byte that says what, and its arguments:
//! what ends early goes on with zeros.

#[path = "../../support/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use turnstone::auth::Login;
use turnstone::base::Transport;
use turnstone::turn::{Discovery, OpenError, PeerRules, PortRange, RelayAddress, Settings, embedded_v4};
use turnstone::wire::stun::attribute::{Icmp, decode_xor_address};
use turnstone::wire::stun::{
    AttributeType as A, Class, IntegrityAlgorithm, IntegrityKey, Message, MessageWriter, Method,
    TransactionId,
};
use world::{Client, Options, Out, RELAY_V4, RELAY_V6, TCP, UDP, World, bare, xor};

const INPUTS_MAX: usize = 256;

/// The input that is a discovery; all others are told apart by their remainder of 16.
const DISCOVER: u8 = 16;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut bench = Bench::new(input.byte());
    for _ in 0..INPUTS_MAX {
        if input.0.is_empty() {
            break;
        }
        bench.step(&mut input);
        bench.check();
    }
    bench.finish();
}

struct Bench {
    world: World,
    clients: Vec<Client>,
    /// The last signed request, and the last RESERVATION-TOKEN that somebody got.
    last: Vec<u8>,
    token: [u8; 8],
    /// Who was told last that this relay port is his; ports are the same inside and outside of a NAT.
    owners: BTreeMap<(bool, u16), SocketAddr>,
}

impl Bench {
    fn new(choice: u8) -> Self {
        let same = |ip: IpAddr| RelayAddress { internal: ip, external: ip };
        let behind_nat = RelayAddress { internal: [192, 168, 7, 7].into(), external: RELAY_V4.into() };
        let v4 = if choice & 1 == 0 { same(RELAY_V4.into()) } else { behind_nat };
        let options = Options {
            settings: settings(choice),
            ports: PortRange { first: 50_000, last: 50_007 },
            quarantine: Duration::from_secs(if choice & 2 == 0 { 30 } else { 0 }),
            addresses: if choice & 4 == 0 { vec![v4, same(RELAY_V6.into())] } else { vec![v4] },
            allocations_per_user: if choice & 8 == 0 { 2 } else { 16 },
            allocations_total: if choice & 16 == 0 { 0 } else { 3 },
            ..Options::default()
        };
        let udp = [(1, "alice"), (2, "bob"), (3, "alice"), (4, "mallory")];
        let udp = udp.map(|(n, user)| Client::new(n, user));
        let tcp = [(5, "alice"), (6, "bob"), (7, "alice")].map(|(n, user)| {
            let mut client = Client::new(n, user);
            client.address.transport = Transport::Tcp;
            client.address.door = u32::from(n);
            client
        });
        Self {
            world: World::with(u64::from(choice), options),
            clients: udp.into_iter().chain(tcp).collect(),
            last: Vec::new(),
            token: [7; 8],
            owners: BTreeMap::new(),
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let choice = input.byte();
        if choice == DISCOVER {
            return self.discover(input);
        }
        match choice % 16 {
            0 => {
                let (client, length) = (self.client(input), input.byte());
                let bytes = input.bytes(usize::from(length));
                self.datagram(client, &bytes);
            }
            1 => {
                let client = self.client(input);
                let request = self.clients[client].bare(
                    self.world.transaction(),
                    Class::Request,
                    Method::ALLOCATE,
                    &[(A::REQUESTED_TRANSPORT, UDP)],
                );
                self.datagram(client, &request);
            }
            2 | 3 => self.allocate(input),
            4 => {
                let (client, lifetime) = (self.client(input), u32::from(input.byte()) * 16);
                let attributes = [(A::LIFETIME, lifetime.to_be_bytes().to_vec())];
                self.request(client, Method::REFRESH, &attributes, input);
            }
            5 => {
                let (client, peers) = (self.client(input), input.byte() % 4);
                let list: Vec<_> = (0..peers).map(|_| self.peer(input)).collect();
                self.with_peers(client, Method::CREATE_PERMISSION, Vec::new(), &list, input);
            }
            6 => {
                let (client, peer) = (self.client(input), self.peer(input));
                let number = [0x40 | input.byte() & 0x0F, input.byte() & 3, 0, 0];
                let attributes = vec![(A::CHANNEL_NUMBER, number.to_vec())];
                self.with_peers(client, Method::CHANNEL_BIND, attributes, &[peer], input);
            }
            7 => {
                let (client, peer, length) = (self.client(input), self.peer(input), input.byte());
                let (id, payload) = (self.world.transaction(), input.bytes(usize::from(length)));
                let peer = xor(peer, id);
                let attributes: [(A, &[u8]); 2] = [(A::XOR_PEER_ADDRESS, &peer), (A::DATA, &payload)];
                let send = bare(id, Class::Indication, Method::SEND, &attributes);
                self.datagram(client, &send);
            }
            8 => {
                let (client, payload) = (self.client(input), input.bytes(3));
                let mut bytes = vec![0x40 | input.byte() & 0x3F, input.byte() & 3, 0, payload.len() as u8];
                bytes.extend_from_slice(&payload);
                self.datagram(client, &bytes);
            }
            9 => {
                let (to, peer, length) = (self.socket(input), self.peer(input), input.byte());
                let out = self.world.from_peer(to, peer, &input.bytes(usize::from(length)));
                if let [Out::ToClient { to: client, .. }] = &out[..] {
                    assert_eq!(self.owner(to), Some(*client), "to somebody else's client");
                }
                self.judge(&out);
            }
            10 => {
                let (relay, peer) = (self.socket(input), self.peer(input));
                let icmp = Icmp { icmp_type: input.byte() & 0x7F, code: input.byte(), data: 0 };
                if let Some(bytes) = self.world.icmp(relay, peer, icmp) {
                    assert!(Message::parse(&bytes).is_ok_and(|m| m.method() == Method::DATA));
                }
            }
            11 => {
                let (unit_ns, count) = (1_u64 << (input.byte() % 36), u64::from(input.byte()));
                self.world.pass(Duration::from_nanos(unit_ns * count));
            }
            12 => self.operator(input),
            13 => {
                let (client, bytes) = (self.client(input), self.last.clone());
                self.datagram(client, &bytes);
            }
            14 => {
                let (client, mut bytes) = (self.client(input), self.last.clone());
                bytes.truncate(usize::from(input.byte()) * 4);
                self.datagram(client, &bytes);
            }
            _ => match input.byte() {
                choice @ (0 | 1) => {
                    self.world.hold_opens = choice == 1;
                    let out = self.world.open_pending();
                    self.judge(&out);
                }
                choice => self.connection(choice, input),
            },
        }
    }

    /// RFC 6062: the client asks, the network answers, a peer comes, a client comes, somebody goes.
    fn connection(&mut self, choice: u8, input: &mut Input<'_>) {
        let nth = usize::from(choice >> 4) % self.world.connections.len().max(1);
        let known = self.world.connections.get(nth).map(|(connection, _)| *connection);
        match (choice % 5, known) {
            (0, _) => {
                let (client, peer) = (self.client(input), self.peer(input));
                self.with_peers(client, Method::CONNECT, Vec::new(), &[peer], input);
            }
            (1, Some(connection)) => {
                let out = self.world.connected(connection, input.byte() & 1 == 1);
                self.judge(&out);
            }
            (2, _) => {
                let (to, peer) = (self.socket(input), self.peer(input));
                if let Some((_, out)) = self.world.connect_from_peer(to, peer) {
                    self.judge(&out);
                }
            }
            (3, Some(connection)) => {
                let id = connection.id.0 ^ u32::from(input.byte() & 1);
                let attributes = [(A::CONNECTION_ID, id.to_be_bytes().to_vec())];
                let client = self.client(input);
                self.request(client, Method::CONNECTION_BIND, &attributes, input);
            }
            (4, Some(connection)) => self.world.hang_up(connection),
            _ => {
                let client = self.clients[self.client(input)].clone();
                if client.address.transport == Transport::Tcp && self.world.held.is_empty() {
                    self.world.close(&client);
                }
            }
        }
    }

    fn allocate(&mut self, input: &mut Input<'_>) {
        let (client, choice) = (self.client(input), input.byte());
        let protocol = if choice & 64 == 0 { UDP } else { TCP };
        let mut attributes = vec![(A::REQUESTED_TRANSPORT, protocol.to_vec())];
        let mut add = |on: bool, kind: A, value: &[u8]| {
            if on {
                attributes.push((kind, value.to_vec()));
            }
        };
        add(choice & 1 != 0, A::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]);
        add(choice & 2 != 0, A::REQUESTED_ADDRESS_FAMILY, &[1 + (choice >> 7), 0, 0, 0]);
        add(choice & 4 != 0, A::EVEN_PORT, &[choice << 1 & 0x80]);
        add(choice & 8 != 0, A::RESERVATION_TOKEN, &self.token);
        add(choice & 16 != 0, A::LIFETIME, &[0, 0, choice, choice]);
        add(choice & 32 != 0, A::DONT_FRAGMENT, &[]);
        self.request(client, Method::ALLOCATE, &attributes, input);
    }

    /// A Binding request with attributes of RFC 5780, by a door of any kind: each answer goes to the
    /// address that asked, and amplifies no more than its addresses do.
    fn discover(&mut self, input: &mut Input<'_>) {
        let (mut from, choice) = (self.clients[self.client(input)].address, input.byte());
        from.door = u32::from(choice >> 4 & 7);
        let (flags, port, padding) = (input.byte(), [input.byte(), input.byte()], input.byte());
        let padding = vec![flags; usize::from(padding) * 8];
        let all: [(A, &[u8]); 3] = [
            (A::CHANGE_REQUEST, &[0, 0, 0, flags][usize::from(choice >> 7)..]),
            (A::RESPONSE_PORT, &port),
            (A::PADDING, &padding),
        ];
        let chosen: Vec<_> = (0..3).filter(|n| choice >> n & 1 == 1).map(|n| all[n]).collect();
        let request = bare(self.world.transaction(), Class::Request, Method::BINDING, &chosen);
        for out in self.world.datagram(from, &request) {
            let Out::ToClient { to, bytes } = out else { continue };
            assert_eq!(to.ip(), from.remote.ip(), "to somebody else");
            assert!(to == from.remote || choice & 2 != 0 && to.port() == u16::from_be_bytes(port));
            assert!(bytes.len() <= request.len().max(68 + 4), "{} for {}", bytes.len(), request.len());
            assert!(Message::parse(&bytes).is_ok_and(|m| m.method() == Method::BINDING));
        }
    }

    fn operator(&mut self, input: &mut Input<'_>) {
        match input.byte() % 5 {
            0 => self.world.server.set_draining(input.byte() & 1 == 1),
            1 => {
                self.world.refuse =
                    [None, Some(OpenError::NoPort), Some(OpenError::Total)][usize::from(input.byte() % 3)]
            }
            2 => self.world.ledger.set_limits(u32::from(input.byte() % 4), u32::from(input.byte() % 4)),
            4 => self.world.set_modern(input.byte() & 1 == 1),
            _ => {
                let rules = PeerRules { min_port: u16::from(input.byte()) * 256, ..PeerRules::default() };
                self.world.reload(settings(input.byte()), rules);
            }
        }
    }

    fn with_peers(
        &mut self,
        client: usize,
        method: Method,
        mut attributes: Vec<(A, Vec<u8>)>,
        peers: &[SocketAddr],
        input: &mut Input<'_>,
    ) {
        // An address is XOR'ed with the id of its message, so the id of the next one is needed here.
        let id = self.world.transaction();
        attributes.extend(peers.iter().map(|peer| (A::XOR_PEER_ADDRESS, xor(*peer, id))));
        let borrowed: Vec<_> = attributes.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
        let known = &self.clients[client];
        let request = match known.nonce.starts_with(b"obMatJos2") && client > 0 {
            true => modern_request(known, id, method, &borrowed, client % 2 == 1),
            false => known.request(id, method, &borrowed),
        };
        self.signed(client, request, input);
    }

    fn request(&mut self, client: usize, method: Method, attributes: &[(A, Vec<u8>)], input: &mut Input<'_>) {
        self.with_peers(client, method, attributes.to_vec(), &[], input);
    }

    /// Sends a sound request, or one with a changed byte.
    fn signed(&mut self, client: usize, mut request: Vec<u8>, input: &mut Input<'_>) {
        let (change, at, with) = (input.byte() % 8 == 1, input.byte(), input.byte());
        if change {
            let at = usize::from(at) % request.len();
            request[at] ^= with;
        }
        self.datagram(client, &request);
        self.last = request;
    }

    fn datagram(&mut self, client: usize, bytes: &[u8]) {
        let address = self.clients[client].address;
        let out = self.world.datagram(address, bytes);
        self.judge(&out);
        for out in out {
            if let Out::ToPeer { from, .. } = out {
                assert_eq!(self.owner(from), Some(address.remote), "through somebody else's relay");
            }
        }
    }

    /// What leaves is sound, and nothing goes to a peer that the default policy denies.
    fn judge(&mut self, out: &[Out]) {
        for out in out {
            match out {
                Out::ToClient { to, bytes } => {
                    let client = self.clients.iter_mut().find(|c| c.address.remote == *to);
                    let client = client.expect("only clients get replies");
                    let Ok(message) = Message::parse(bytes) else { continue };
                    if let Some(nonce) = message.first(A::NONCE) {
                        client.nonce = nonce.to_vec();
                    }
                    for relayed in message.attributes().filter(|a| a.kind == A::XOR_RELAYED_ADDRESS) {
                        let relayed = decode_xor_address(relayed.value, message.transaction_id());
                        let relayed = relayed.expect("our own answer");
                        self.owners.insert((relayed.is_ipv6(), relayed.port()), *to);
                    }
                    if let Some(token) = message.first(A::RESERVATION_TOKEN) {
                        self.token = token.try_into().expect("eight bytes");
                    }
                }
                Out::ToPeer { from, peer, .. } | Out::Connecting { from, peer, .. } => {
                    let open = self.world.open_ports();
                    assert!(open.contains(from) && from.is_ipv4() == peer.is_ipv4());
                    assert!(open.contains(peer) || is_public(peer.ip()), "{peer}");
                }
                Out::Dropped(_) => {}
            }
        }
    }

    fn owner(&self, relay: SocketAddr) -> Option<SocketAddr> {
        self.owners.get(&(relay.is_ipv6(), relay.port())).copied()
    }

    fn check(&mut self) {
        self.world.assert_ports_add_up();
        let relays: BTreeSet<_> = self.world.sockets.iter().map(|(id, _)| *id).collect();
        assert_eq!(
            (relays.len(), self.world.open_ports().len()),
            (self.world.sockets.len(), self.world.sockets.len())
        );
        let connected = self.world.connections.iter().map(|(connection, _)| connection.allocation);
        let owners: BTreeSet<_> = relays.iter().map(|id| id.allocation).collect();
        assert!(connected.into_iter().all(|allocation| owners.contains(&allocation)));
        assert_eq!(self.world.ledger.allocations() as usize, owners.len());
        assert_eq!(self.world.server.allocations(), owners.len() + self.world.held.len());
        let by_subject = ["alice", "bob", "mallory"].map(|subject| self.world.ledger.allocations_of(subject));
        assert_eq!(by_subject.iter().sum::<u32>(), self.world.ledger.allocations());
    }

    fn finish(&mut self) {
        self.world.hold_opens = false;
        let out = self.world.open_pending();
        self.judge(&out);
        self.world.pass(Duration::from_secs(7200));
        self.check();
        assert_eq!((self.world.server.allocations(), self.world.ledger.port_use().used), (0, 0));
        assert_eq!(self.world.server.next_deadline(), None);
        assert!(self.world.connections.is_empty());
    }

    fn client(&self, input: &mut Input<'_>) -> usize {
        usize::from(input.byte()) % self.clients.len()
    }

    fn socket(&self, input: &mut Input<'_>) -> SocketAddr {
        let nth = usize::from(input.byte()) % self.world.sockets.len().max(1);
        self.world.sockets.get(nth).map_or(world::SERVER_V4, |(_, socket)| socket.internal)
    }

    /// Public, denied, own, or any at all.
    fn peer(&self, input: &mut Input<'_>) -> SocketAddr {
        let choice = input.byte();
        match choice % 8 {
            0..=2 => world::peer(choice >> 3 & 3),
            3 => world::peer_v6(u16::from(choice >> 3 & 3)),
            4 => SocketAddr::new([10, 0, 0, choice].into(), 80),
            5 => self.socket(input),
            6 => SocketAddr::new(RELAY_V4.into(), 50_000 + u16::from(choice >> 3)),
            _ => {
                let port = u16::from_be_bytes([input.byte(), input.byte()]);
                let ip: [u8; 16] = std::array::from_fn(|_| input.byte());
                SocketAddr::new(ip.into(), port)
            }
        }
    }
}

/// What a client makes of all that RFC 8489 lets a server offer (section 9.2.5).
fn modern_request(
    client: &Client,
    id: TransactionId,
    method: Method,
    attributes: &[(A, &[u8])],
    by_hash: bool,
) -> Vec<u8> {
    let [name, realm, password] =
        [&client.username, &client.realm, &client.password].map(|text| text.as_bytes());
    let mut buffer = [0; 2048];
    let mut writer = MessageWriter::new(&mut buffer, Class::Request, method, id);
    attributes.iter().for_each(|(kind, value)| writer.attribute(*kind, value));
    if by_hash {
        writer.attribute(A::USERHASH, &Login::Name(&client.username).hash(&client.realm));
    } else {
        writer.attribute(A::USERNAME, name);
    }
    writer.attribute(A::REALM, realm);
    writer.attribute(A::NONCE, &client.nonce);
    writer.attribute(A::PASSWORD_ALGORITHMS, &[0, 2, 0, 0, 0, 1, 0, 0]);
    writer.attribute(A::PASSWORD_ALGORITHM, &[0, 2, 0, 0]);
    writer.integrity(IntegrityAlgorithm::Sha256, &IntegrityKey::long_term_sha256(name, realm, password));
    let length = writer.finish().expect("fits");
    buffer[..length].to_vec()
}

/// Not exact: what the rules of these worlds let through at most, own addresses aside.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let inside = ip.is_private() || ip.is_loopback() || ip.is_link_local();
            !inside && !ip.is_multicast() && ip.octets()[0] != 0 && ip != RELAY_V4
        }
        IpAddr::V6(ip) => match embedded_v4(ip) {
            Some(inner) => is_public(inner.into()),
            None => {
                let inside = ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local();
                !inside && !ip.is_multicast() && !ip.is_unspecified() && ip != RELAY_V6
            }
        },
    }
}

fn settings(choice: u8) -> Settings {
    let ips = [RELAY_V4.into(), [192, 31, 196, 11].into()];
    Settings {
        discovery: vec![Discovery { doors: [1, 2, 3, 4], bound: ips, external: ips, ports: [3478, 3479] }],
        legacy_channels: choice & 32 != 0,
        tcp_relay: choice & 16 == 0,
        strict_expiry: choice & 64 != 0,
        permissions_max: if choice & 128 == 0 { 4 } else { 256 },
        channels_max: if choice & 128 == 0 { 4 } else { 256 },
        ..Settings::default()
    }
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let (now, later) = self.0.split_at(count.min(self.0.len()));
        self.0 = later;
        now.to_vec()
    }
}
