//! Clients on connections, and TCP towards peers (RFC 6062).

use crate::daemon::{PATIENCE, eventually};
use crate::house::{House, relayed_by_counters};
use crate::world::{self, Answer, Attributes, TCP, UDP};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use turnstone::base::Traffic;
use turnstone::http::api::Control;
use turnstone::turn::{EndReason, PeerProtocol};
use turnstone::wire::stun::{AttributeType, Class, Method, TransactionId};

pub(crate) struct Caller {
    stream: TcpStream,
    known: world::Client,
    next_transaction: u64,
}

impl Caller {
    pub(crate) fn of(house: &House, username: &str, password: &str) -> Self {
        let stream = TcpStream::connect(house.server).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut known = world::Client::at(stream.local_addr().unwrap(), username);
        known.password = password.into();
        let mut caller = Self { stream, known, next_transaction: 0 };
        let id = caller.transaction();
        let challenge =
            world::bare(id, Class::Request, Method::ALLOCATE, &[(AttributeType::REQUESTED_TRANSPORT, UDP)]);
        caller.known.nonce = caller.exchange(&challenge).nonce.expect("a challenge has a nonce");
        caller
    }

    pub(crate) fn try_allocate(&mut self) -> Answer {
        self.ask(Method::ALLOCATE, &[(AttributeType::REQUESTED_TRANSPORT, UDP)])
    }

    fn ask(&mut self, method: Method, attributes: Attributes<'_>) -> Answer {
        let id = self.transaction();
        let request = self.known.request(id, method, attributes);
        self.exchange(&request)
    }

    fn connect(&mut self, peer: SocketAddr) -> u32 {
        let id = self.transaction();
        let peer = world::xor(peer, id);
        let request = self.known.request(id, Method::CONNECT, &[(AttributeType::XOR_PEER_ADDRESS, &peer)]);
        self.exchange(&request).connection_id.expect("connected")
    }

    fn exchange(&mut self, request: &[u8]) -> Answer {
        self.stream.write_all(request).unwrap();
        let mut bytes = vec![0; 20];
        self.stream.read_exact(&mut bytes).expect("a whole header");
        bytes.resize(20 + usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 0);
        self.stream.read_exact(&mut bytes[20..]).expect("a whole message");
        Answer::read(&bytes)
    }

    fn transaction(&mut self) -> TransactionId {
        self.next_transaction += 1;
        let mut id = [0; 12];
        id[..8].copy_from_slice(&self.next_transaction.to_be_bytes());
        TransactionId(id)
    }
}

#[test] // RFC 6062: the client may come for its connection on any runtime
fn bytes_between_connections_are_counted_for_their_allocation_on_whichever_thread_they_pass() {
    const BYTES: usize = 300_000;
    let house = House::start("tcp = true\nworkers = 4");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut told = Traffic::default();
    for round in 1..=4u64 {
        let mut alice = Caller::of(&house, "alice", "alice-password");
        let answer = alice.ask(Method::ALLOCATE, &[(AttributeType::REQUESTED_TRANSPORT, TCP)]);
        assert_eq!(answer.code, 0);
        let connection = alice.connect(listener.local_addr().unwrap());
        let (mut peer, _) = listener.accept().unwrap();
        let mut data = Caller::of(&house, "alice", "alice-password");
        let id = [(AttributeType::CONNECTION_ID, &connection.to_be_bytes()[..])];
        assert_eq!(data.ask(Method::CONNECTION_BIND, &id).code, 0);
        let mut data = data.stream;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                data.write_all(&vec![7; BYTES]).unwrap();
                data.shutdown(Shutdown::Write).unwrap();
            });
            let mut got = Vec::new();
            peer.read_to_end(&mut got).unwrap();
            assert_eq!(got.len(), BYTES);
        });
        peer.write_all(b"an answer").unwrap();
        let mut answer = [0; 9];
        data.read_exact(&mut answer).unwrap();

        let session = house.sessions(|session| session.protocol == PeerProtocol::Tcp).remove(0);
        let (up, down) = (session.traffic.bytes_from_client, session.traffic.bytes_from_peer);
        assert_eq!((up, down), (BYTES as u64, 9));
        // These may still pass when the allocation has ended; then they are told all the same.
        drop(alice);
        peer.write_all(b"too late?").unwrap();
        let _cut_off = data.read_to_end(&mut Vec::new());
        eventually(PATIENCE, "it has ended", || (house.relays.registry().allocations() == 0).then_some(()));
        let counted = eventually(PATIENCE, "each byte is told", || {
            told.add(&house.accounts());
            let counted = relayed_by_counters(&house, round * (BYTES as u64 + 9));
            (counted == told.bytes()).then_some(counted)
        });
        println!("{counted} bytes so far, by counters and by accounts");
        assert_eq!(told.bytes_from_client, round * BYTES as u64);
    }
}

#[test]
fn a_killed_session_closes_its_connections_to_peers() {
    let house = House::start("tcp = true\nworkers = 2");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut alice = Caller::of(&house, "alice", "alice-password");
    alice.ask(Method::ALLOCATE, &[(AttributeType::REQUESTED_TRANSPORT, TCP)]);
    alice.connect(listener.local_addr().unwrap());
    let (mut peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let seen = house.wait(house.control.sessions(&|_| true)).sessions;
    let (driver, session) = &seen[0];
    assert_eq!(house.wait(house.control.end(*driver, session.allocation, EndReason::Killed)), Ok(true));
    let mut rest = Vec::new();
    let _reset_or_closed = peer.read_to_end(&mut rest);
    assert!(rest.is_empty());
}
