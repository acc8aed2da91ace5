//! A client on a real socket that speaks through our own codec, so that a test can say exactly what
//! it sends.

use crate::daemon::PATIENCE;
use crate::world::{self, Answer, Attributes, UDP};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use turnstone::wire::channel_data::{self, ChannelData, ChannelNumber};
use turnstone::wire::stun::attribute::{self, Icmp};
use turnstone::wire::stun::{AttributeType, Class, Message, Method, TransactionId};

/// RFC 8489 section 6.2.1 with a constant interval: the same bytes again.
const RETRANSMIT_EVERY: Duration = Duration::from_millis(500);

/// What came from a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    Data(SocketAddr, Vec<u8>),
    Channel(u16, Vec<u8>),
    Icmp(SocketAddr, Icmp),
}

pub(crate) struct Caller {
    pub(crate) socket: UdpSocket,
    pub(crate) server: SocketAddr,
    pub(crate) known: world::Client,
    inbox: VecDeque<Incoming>,
    next_transaction: u64,
}

impl Caller {
    /// A client of the static user alice, on the loopback address of the server's family.
    pub(crate) fn new(server: SocketAddr) -> Self {
        Self::of(server, "alice", "alice-password")
    }

    pub(crate) fn of(server: SocketAddr, username: &str, password: &str) -> Self {
        let ip: IpAddr =
            if server.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        Self::on(UdpSocket::bind((ip, 0)).unwrap(), server, username, password)
    }

    pub(crate) fn on(socket: UdpSocket, server: SocketAddr, username: &str, password: &str) -> Self {
        let address = socket.local_addr().unwrap();
        let mut known = world::Client::at(address, username);
        known.password = password.into();
        // Retransmissions are told apart by it, also between tests that share a port in turn.
        let next_transaction = u64::from(std::process::id()) << 32 | u64::from(address.port());
        Self { socket, server, known, inbox: VecDeque::new(), next_transaction }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Sends a signed request and waits for its answer; gets a nonce first and after 438.
    #[track_caller]
    pub(crate) fn ask(&mut self, method: Method, attributes: Attributes<'_>) -> Answer {
        self.ask_with(method, |_| attributes.iter().map(|(kind, value)| (*kind, value.to_vec())).collect())
    }

    /// The same with attributes that depend on the transaction id.
    #[track_caller]
    pub(crate) fn ask_with(
        &mut self,
        method: Method,
        attributes: impl Fn(TransactionId) -> Vec<(AttributeType, Vec<u8>)>,
    ) -> Answer {
        if self.known.nonce.is_empty() {
            let answer = self.challenge();
            assert_eq!(answer.code, 401, "{answer:?}");
            self.known.nonce = answer.nonce.expect("a challenge has a nonce");
        }
        for _ in 0..3 {
            let id = self.transaction();
            let owned = attributes(id);
            let borrowed: Vec<_> = owned.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
            let request = self.known.request(id, method, &borrowed);
            let answer = self.exchange(id, &request);
            if answer.code != 438 {
                return answer;
            }
            self.known.nonce = answer.nonce.expect("a stale nonce comes with a fresh one");
        }
        panic!("438 again and again");
    }

    /// An Allocate without credentials.
    #[track_caller]
    pub(crate) fn challenge(&mut self) -> Answer {
        let id = self.transaction();
        let allocate = [(AttributeType::REQUESTED_TRANSPORT, UDP)];
        let request = world::bare(id, Class::Request, Method::ALLOCATE, &allocate);
        self.exchange(id, &request)
    }

    #[track_caller]
    pub(crate) fn binding(&mut self) -> Answer {
        let id = self.transaction();
        let request = world::bare(id, Class::Request, Method::BINDING, &[]);
        self.exchange(id, &request)
    }

    /// An allocation that must succeed. Returns its relayed address.
    #[track_caller]
    pub(crate) fn allocate(&mut self) -> SocketAddr {
        let answer = self.try_allocate(&[]);
        assert_eq!(answer.code, 0, "{answer:?}");
        answer.relayed[0]
    }

    #[track_caller]
    pub(crate) fn try_allocate(&mut self, more: Attributes<'_>) -> Answer {
        let mut attributes = vec![(AttributeType::REQUESTED_TRANSPORT, UDP)];
        attributes.extend_from_slice(more);
        self.ask(Method::ALLOCATE, &attributes)
    }

    #[track_caller]
    pub(crate) fn refresh(&mut self, lifetime_s: u32) -> Answer {
        self.ask(Method::REFRESH, &[(AttributeType::LIFETIME, &lifetime_s.to_be_bytes())])
    }

    #[track_caller]
    pub(crate) fn permit(&mut self, peer: SocketAddr) -> Answer {
        self.ask_with(Method::CREATE_PERMISSION, |id| {
            vec![(AttributeType::XOR_PEER_ADDRESS, world::xor(peer, id))]
        })
    }

    #[track_caller]
    pub(crate) fn bind(&mut self, number: u16, peer: SocketAddr) -> Answer {
        let mut channel = number.to_be_bytes().to_vec();
        channel.extend_from_slice(&[0, 0]);
        self.ask_with(Method::CHANNEL_BIND, |id| {
            vec![
                (AttributeType::CHANNEL_NUMBER, channel.clone()),
                (AttributeType::XOR_PEER_ADDRESS, world::xor(peer, id)),
            ]
        })
    }

    pub(crate) fn send(&mut self, peer: SocketAddr, payload: &[u8]) {
        let id = self.transaction();
        let attributes: [(AttributeType, &[u8]); 2] =
            [(AttributeType::XOR_PEER_ADDRESS, &world::xor(peer, id)), (AttributeType::DATA, payload)];
        self.transmit(&world::bare(id, Class::Indication, Method::SEND, &attributes));
    }

    pub(crate) fn send_on(&self, number: u16, payload: &[u8]) {
        let number = ChannelNumber::new(number).unwrap();
        let mut bytes = channel_data::header(number, payload.len() as u16).to_vec();
        bytes.extend_from_slice(payload);
        self.transmit(&bytes);
    }

    pub(crate) fn transmit(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.server).unwrap();
    }

    /// The next thing from a peer.
    #[track_caller]
    pub(crate) fn receive(&mut self) -> Incoming {
        self.receive_within(PATIENCE).expect("nothing came from a peer")
    }

    pub(crate) fn receive_within(&mut self, bound: Duration) -> Option<Incoming> {
        let deadline = Instant::now() + bound;
        while self.inbox.is_empty() {
            let bytes = self.datagram(deadline)?;
            self.sort(&bytes, None);
        }
        self.inbox.pop_front()
    }

    /// Sends and waits for the response with this id; what peers sent meanwhile is kept.
    #[track_caller]
    fn exchange(&mut self, id: TransactionId, request: &[u8]) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.transmit(request);
            let again = Instant::now() + RETRANSMIT_EVERY;
            while let Some(bytes) = self.datagram(again) {
                if let Some(answer) = self.sort(&bytes, Some(id)) {
                    return answer;
                }
            }
        }
        panic!("no answer to {request:02x?} from {}", self.server);
    }

    fn sort(&mut self, bytes: &[u8], wanted: Option<TransactionId>) -> Option<Answer> {
        if let Ok(data) = ChannelData::parse(bytes) {
            self.inbox.push_back(Incoming::Channel(data.number.get(), data.payload.to_vec()));
            return None;
        }
        let message = Message::parse(bytes).expect("the server speaks STUN");
        if message.class() != Class::Indication {
            // Anything else is the second answer to a retransmission.
            return (wanted == Some(message.transaction_id())).then(|| Answer::read(bytes));
        }
        let peer = message.first(AttributeType::XOR_PEER_ADDRESS).expect("an indication names its peer");
        let peer = attribute::decode_xor_address(peer, message.transaction_id()).unwrap();
        let icmp = message.first(AttributeType::ICMP).map(|value| attribute::decode_icmp(value).unwrap());
        self.inbox.push_back(match icmp {
            Some(icmp) => Incoming::Icmp(peer, icmp),
            None => Incoming::Data(peer, message.first(AttributeType::DATA).expect("data").to_vec()),
        });
        None
    }

    /// The next datagram from the server's very address.
    fn datagram(&self, deadline: Instant) -> Option<Vec<u8>> {
        let mut buffer = [0; 65_536];
        loop {
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            self.socket.set_read_timeout(Some(left)).unwrap();
            match self.socket.recv_from(&mut buffer) {
                Ok((length, from)) if from == self.server => return Some(buffer[..length].to_vec()),
                Ok((_, from)) => panic!("an answer from {from}, asked was {}", self.server),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return None;
                }
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) fn transaction(&mut self) -> TransactionId {
        self.next_transaction += 1 << 16;
        let mut id = [0; 12];
        id[..8].copy_from_slice(&self.next_transaction.to_be_bytes());
        TransactionId(id)
    }
}

/// A peer: a plain socket with a time-out.
pub(crate) fn peer() -> UdpSocket {
    peer_on(Ipv4Addr::LOCALHOST.into())
}

pub(crate) fn peer_on(ip: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Payload and sender of the next datagram at a peer.
#[track_caller]
pub(crate) fn receive(peer: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 65_536];
    let (length, from) = peer.recv_from(&mut buffer).expect("nothing came to the peer");
    (buffer[..length].to_vec(), from)
}

/// Checks that a permitted `peer` and the client reach each other now.
#[track_caller]
pub(crate) fn assert_relays(caller: &mut Caller, relayed: SocketAddr, peer: &UdpSocket) {
    let peer_address = peer.local_addr().unwrap();
    caller.send(peer_address, b"there");
    assert_eq!(receive(peer), (b"there".to_vec(), relayed));
    peer.send_to(b"back", relayed).unwrap();
    assert_eq!(caller.receive(), Incoming::Data(peer_address, b"back".to_vec()));
}
