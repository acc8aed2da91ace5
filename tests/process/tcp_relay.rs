//! RFC 6062 on real sockets: connections that leave from relayed addresses and arrive at them.

use crate::daemon::{Config, Daemon, PATIENCE};
use crate::world::{self, Answer, Attributes, TCP, UDP};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use turnstone::wire::stun::{AttributeType, Class, Message, Method, TransactionId, attribute};

/// A Connect that fails is answered after 30 s.
const FAILURE_MAX: Duration = Duration::from_secs(45);

/// A client's connection: its control connection, or one that becomes a data connection.
struct Caller {
    stream: TcpStream,
    known: world::Client,
    /// ConnectionAttempts that came while it waited for something else: id and peer.
    attempts: VecDeque<(u32, SocketAddr)>,
    next_transaction: u64,
}

impl Caller {
    fn new(daemon: &Daemon, username: &str) -> Self {
        let stream = TcpStream::connect(daemon.server).unwrap();
        stream.set_read_timeout(Some(FAILURE_MAX)).unwrap();
        let known = world::Client::at(stream.local_addr().unwrap(), username);
        Self { stream, known, attempts: VecDeque::new(), next_transaction: 0 }
    }

    /// With an allocation that relays TCP. Returns its relayed address, too.
    fn allocated(daemon: &Daemon, username: &str) -> (Self, SocketAddr) {
        let mut caller = Self::new(daemon, username);
        let answer = caller.ask(Method::ALLOCATE, &[(AttributeType::REQUESTED_TRANSPORT, TCP)]);
        assert_eq!(answer.code, 0, "{answer:?}");
        (caller, answer.relayed[0])
    }

    fn ask(&mut self, method: Method, attributes: Attributes<'_>) -> Answer {
        self.ask_with(method, |_| attributes.iter().map(|(kind, value)| (*kind, value.to_vec())).collect())
    }

    fn ask_with(
        &mut self,
        method: Method,
        attributes: impl Fn(TransactionId) -> Vec<(AttributeType, Vec<u8>)>,
    ) -> Answer {
        self.learn_nonce();
        let id = self.transaction();
        self.stream.write_all(&self.request(id, method, &attributes(id))).unwrap();
        self.answer()
    }

    fn learn_nonce(&mut self) {
        if self.known.nonce.is_empty() {
            let allocate = [(AttributeType::REQUESTED_TRANSPORT, UDP)];
            let challenge = world::bare(self.transaction(), Class::Request, Method::ALLOCATE, &allocate);
            self.stream.write_all(&challenge).unwrap();
            self.known.nonce = self.answer().nonce.expect("a challenge has a nonce");
        }
    }

    fn request(&self, id: TransactionId, method: Method, attributes: &[(AttributeType, Vec<u8>)]) -> Vec<u8> {
        let borrowed: Vec<_> = attributes.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
        self.known.request(id, method, &borrowed)
    }

    fn transaction(&mut self) -> TransactionId {
        self.next_transaction += 1;
        let mut id = [0; 12];
        id[..8].copy_from_slice(&self.next_transaction.to_be_bytes());
        TransactionId(id)
    }

    fn with_peer(&mut self, method: Method, peer: SocketAddr) -> Answer {
        self.ask_with(method, |id| vec![(AttributeType::XOR_PEER_ADDRESS, world::xor(peer, id))])
    }

    /// A Connect that succeeds. Returns CONNECTION-ID.
    fn connect(&mut self, peer: SocketAddr) -> u32 {
        let answer = self.with_peer(Method::CONNECT, peer);
        assert_eq!(answer.code, 0, "{answer:?}");
        answer.connection_id.expect("an id")
    }

    fn bind(&mut self, connection: u32) -> Answer {
        self.ask(Method::CONNECTION_BIND, &[(AttributeType::CONNECTION_ID, &connection.to_be_bytes())])
    }

    /// The next response; indications before it are kept.
    fn answer(&mut self) -> Answer {
        loop {
            let bytes = self.message();
            if !self.note(&bytes) {
                return Answer::read(&bytes);
            }
        }
    }

    /// The next ConnectionAttempt.
    fn attempt(&mut self) -> (u32, SocketAddr) {
        while self.attempts.is_empty() {
            let bytes = self.message();
            assert!(self.note(&bytes), "no response is due");
        }
        self.attempts.pop_front().unwrap()
    }

    fn note(&mut self, bytes: &[u8]) -> bool {
        let message = Message::parse(bytes).expect("the server speaks STUN");
        if message.class() != Class::Indication {
            return false;
        }
        let value = |kind| message.first(kind).expect("a ConnectionAttempt has it");
        let peer = value(AttributeType::XOR_PEER_ADDRESS);
        let peer = attribute::decode_xor_address(peer, message.transaction_id()).unwrap();
        let id = attribute::decode_connection_id(value(AttributeType::CONNECTION_ID)).unwrap();
        self.attempts.push_back((id, peer));
        true
    }

    fn message(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 20];
        self.stream.read_exact(&mut bytes).expect("a whole header");
        let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
        bytes.resize(20 + length, 0);
        self.stream.read_exact(&mut bytes[20..]).expect("a whole message");
        bytes
    }

    /// A new connection of the same user that is bound.
    fn data(daemon: &Daemon, username: &str, connection: u32) -> TcpStream {
        let mut caller = Self::new(daemon, username);
        assert_eq!(caller.bind(connection).code, 0);
        caller.stream
    }
}

/// A client over TCP whose allocation relays datagrams, with a channel to `peer`.
pub(crate) fn bound(daemon: &Daemon, channel: u16, peer: SocketAddr) -> TcpStream {
    let mut caller = Caller::new(daemon, "alice");
    assert_eq!(caller.ask(Method::ALLOCATE, &[(AttributeType::REQUESTED_TRANSPORT, UDP)]).code, 0);
    let number = [&channel.to_be_bytes()[..], &[0, 0]].concat();
    let bound = caller.ask_with(Method::CHANNEL_BIND, |id| {
        let peer = world::xor(peer, id);
        vec![(AttributeType::CHANNEL_NUMBER, number.clone()), (AttributeType::XOR_PEER_ADDRESS, peer)]
    });
    assert_eq!(bound.code, 0);
    caller.stream
}

/// A client's connection with an allocation, one to a peer of it, and the peer's end.
pub(crate) fn connected(daemon: &Daemon) -> (TcpStream, TcpStream, TcpStream) {
    let (mut alice, _) = Caller::allocated(daemon, "alice");
    let (listener, peer) = listener();
    let connection = alice.connect(peer);
    let (peer, _) = accept(&listener);
    let data = Caller::data(daemon, "alice", connection);
    (alice.stream, data, peer)
}

fn daemon() -> Daemon {
    Daemon::start(&Config::default().relay("tcp = true\nworkers = 4"))
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let (stream, from) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    (stream, from)
}

#[track_caller]
fn assert_passes(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).unwrap();
    let mut got = vec![0; bytes.len()];
    to.read_exact(&mut got).unwrap();
    assert_eq!(got, bytes);
}

/// The other side has ended, in order or not.
#[track_caller]
fn assert_ended(stream: &mut TcpStream) {
    match stream.read(&mut [0; 16]) {
        Ok(count) => assert_eq!(count, 0),
        Err(error) => assert!(
            matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
            "still open: {error}"
        ),
    }
}

#[test] // RFC 6062 sections 4.3 and 5.2; every data connection may come to another runtime
fn a_client_connects_to_peers_from_its_relayed_address() {
    let daemon = daemon();
    let (mut alice, relayed) = Caller::allocated(&daemon, "alice");
    let mut open = Vec::new();
    for n in 0..12_u8 {
        let (listener, peer) = listener();
        let connection = alice.connect(peer);
        let (mut peer, from) = accept(&listener);
        assert_eq!(from, relayed);
        // What the peer says first waits for the client.
        peer.write_all(b"banner").unwrap();
        let mut data = Caller::data(&daemon, "alice", connection);
        let mut banner = [0; 6];
        data.read_exact(&mut banner).unwrap();
        assert_eq!(&banner, b"banner");
        assert_passes(&mut data, &mut peer, &[n; 1000]);
        assert_passes(&mut peer, &mut data, &[n; 2000]);
        open.push((data, peer));
    }
    let bytes = |direction: &str| {
        let series = format!("turnstone_relay_bytes_total{{direction=\"{direction}\",transport=\"tcp\"}}");
        daemon.await_metric(&series, |value| value >= 12.0 * 1000.0)
    };
    assert_eq!((bytes("from_client"), bytes("to_peer")), (12_000.0, 12_000.0));
    daemon.await_metric("turnstone_relay_bytes_total{direction=\"to_client\",transport=\"tcp\"}", |value| {
        value == 12.0 * 2006.0
    });
    for (mut data, mut peer) in open {
        assert_passes(&mut data, &mut peer, b"none took another's place");
    }
}

#[test] // RFC 6062 sections 4.4 and 5.3
fn a_peer_with_a_permission_connects_and_one_without_is_turned_away() {
    let daemon = daemon();
    let (mut alice, relayed) = Caller::allocated(&daemon, "alice");
    assert_ended(&mut accept_nothing(relayed));
    assert_eq!(alice.with_peer(Method::CREATE_PERMISSION, "127.0.0.1:9".parse().unwrap()).code, 0);
    let mut peer = TcpStream::connect(relayed).unwrap();
    let (connection, from) = alice.attempt();
    assert_eq!(from, peer.local_addr().unwrap());
    assert_passes(&mut peer, &mut Caller::data(&daemon, "alice", connection), b"hello");
    daemon.await_metric("turnstone_peer_connections_total{result=\"refused\"}", |value| value == 1.0);
}

/// A connection that is taken in by the kernel and refused by the daemon.
fn accept_nothing(relayed: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(relayed).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test] // security R7
fn two_clients_connect_to_each_other() {
    let daemon = daemon();
    let (mut alice, from) = Caller::allocated(&daemon, "alice");
    let (mut bob, to) = Caller::allocated(&daemon, "bob");
    assert_eq!(bob.with_peer(Method::CREATE_PERMISSION, from).code, 0);
    let hers = alice.connect(to);
    let (his, peer) = bob.attempt();
    assert_eq!(peer, from);
    let mut hers = Caller::data(&daemon, "alice", hers);
    let mut his = Caller::data(&daemon, "bob", his);
    assert_passes(&mut hers, &mut his, &[7; 100_000]);
    assert_passes(&mut his, &mut hers, &[8; 100_000]);
}

#[test] // RFC 6062 section 5.4
fn a_connection_is_only_for_the_user_who_asked_for_it() {
    let daemon = daemon();
    let (mut alice, _) = Caller::allocated(&daemon, "alice");
    let (listener, peer) = listener();
    let connection = alice.connect(peer);
    let (mut peer, _) = accept(&listener);
    assert_eq!(Caller::new(&daemon, "bob").bind(connection).code, 400);
    assert_eq!(Caller::new(&daemon, "alice").bind(connection ^ 1).code, 400);
    let mut data = Caller::data(&daemon, "alice", connection);
    assert_eq!(Caller::new(&daemon, "alice").bind(connection).code, 400, "taken");
    assert_passes(&mut data, &mut peer, b"hers");
}

#[test] // RFC 6062 section 5.4: data received on it is sent as it is
fn bytes_behind_a_connection_bind_are_for_the_peer() {
    let daemon = daemon();
    let (mut alice, _) = Caller::allocated(&daemon, "alice");
    let (listener, peer) = listener();
    let connection = alice.connect(peer);
    let (mut peer, _) = accept(&listener);
    let mut data = Caller::new(&daemon, "alice");
    data.learn_nonce();
    let attributes = [(AttributeType::CONNECTION_ID, connection.to_be_bytes().to_vec())];
    let id = data.transaction();
    let mut bytes = data.request(id, Method::CONNECTION_BIND, &attributes);
    // Looks like a message, and is none any more.
    bytes.extend_from_slice(b"\0\x01\0\0 already");
    data.stream.write_all(&bytes).unwrap();
    assert_eq!(data.answer().code, 0);
    let mut got = [0; 12];
    peer.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"\0\x01\0\0 already");
}

#[test] // RFC 6062 section 5.5
fn an_end_is_passed_on_in_its_direction_and_a_close_closes_both() {
    let daemon = daemon();
    let (mut alice, _) = Caller::allocated(&daemon, "alice");
    let (listener, address) = listener();
    let connection = alice.connect(address);
    let (mut peer, _) = accept(&listener);
    let mut data = Caller::data(&daemon, "alice", connection);
    data.write_all(b"question").unwrap();
    data.shutdown(Shutdown::Write).unwrap();
    let mut asked = Vec::new();
    peer.read_to_end(&mut asked).unwrap();
    assert_eq!(asked, b"question");
    assert_passes(&mut peer, &mut data, b"answer");
    drop(peer);
    assert_ended(&mut data);
    // The pair is free again when the daemon has heard of it.
    let again = alice.connect_again(address);
    let (mut peer, _) = accept(&listener);
    drop(Caller::data(&daemon, "alice", again));
    assert_ended(&mut peer);
}

impl Caller {
    /// Connects as soon as the connection before is forgotten.
    fn connect_again(&mut self, peer: SocketAddr) -> u32 {
        crate::daemon::eventually(PATIENCE, "the connection before is gone", || {
            let answer = self.with_peer(Method::CONNECT, peer);
            assert!([0, 446].contains(&answer.code), "{answer:?}");
            answer.connection_id
        })
    }
}

#[test] // RFC 6062 section 5.5
fn the_end_of_an_allocation_closes_all_its_connections() {
    let daemon = daemon();
    let ends: [fn(Caller); 2] = [
        |mut alice| assert_eq!(alice.ask(Method::REFRESH, &[(AttributeType::LIFETIME, &[0; 4])]).code, 0),
        drop,
    ];
    for end in ends {
        let (mut alice, relayed) = Caller::allocated(&daemon, "alice");
        let (listener, peer) = listener();
        let bound = alice.connect(peer);
        let (mut peer, _) = accept(&listener);
        let mut data = Caller::data(&daemon, "alice", bound);
        assert_passes(&mut data, &mut peer, b"up");
        assert_eq!(alice.with_peer(Method::CREATE_PERMISSION, peer.peer_addr().unwrap()).code, 0);
        let mut waiting = TcpStream::connect(relayed).unwrap();
        waiting.set_read_timeout(Some(PATIENCE)).unwrap();
        alice.attempt();
        end(alice);
        for stream in [&mut data, &mut peer, &mut waiting] {
            assert_ended(stream);
        }
        daemon.await_allocations(0);
        crate::daemon::eventually(PATIENCE, "the relayed address is closed", || {
            TcpStream::connect(relayed).is_err().then_some(())
        });
    }
}

#[test] // RFC 6062 section 5.2; security R8
fn a_connect_to_a_closed_port_is_answered_late_and_with_447() {
    let daemon = daemon();
    let (mut alice, _) = Caller::allocated(&daemon, "alice");
    let (listener, closed) = listener();
    drop(listener);
    assert_eq!(alice.with_peer(Method::CONNECT, closed).code, 447);
    daemon.await_metric("turnstone_peer_connections_total{result=\"failed\"}", |value| value == 1.0);
}

#[test] // security R6: not even where all of loopback is allowed
fn the_daemons_own_doors_are_no_peers() {
    let daemon = daemon();
    let (mut alice, relayed) = Caller::allocated(&daemon, "alice");
    for own in [daemon.admin, daemon.server, relayed] {
        assert_eq!(alice.with_peer(Method::CONNECT, own).code, 403, "{own}");
    }
}

#[test]
fn without_relay_tcp_there_is_none() {
    let daemon = Daemon::start(&Config::default());
    let mut alice = Caller::new(&daemon, "alice");
    let answer = alice.ask(Method::ALLOCATE, &[(AttributeType::REQUESTED_TRANSPORT, TCP)]);
    assert_eq!(answer.code, 442);
}
