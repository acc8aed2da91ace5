//! A client on a connection that says exactly what it is told to, in pieces of its own choice.

use crate::daemon::{Config, Daemon, PATIENCE, eventually};
use crate::tls::Link;
use crate::world::{self, Answer, Attributes, UDP};
use rustls::SupportedProtocolVersion;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};
use turnstone::wire::channel_data::{self, ChannelData, ChannelNumber, Frame, frame};
use turnstone::wire::stun::{AttributeType, Class, Message, Method, TransactionId};

/// How long an answer may take on a machine under load.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(8);

/// What the server says on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A response: method, and 0 or its error code.
    Response(Method, u16),
    /// Data from a peer by indication.
    Data(SocketAddr, Vec<u8>),
    /// Data from a peer on a channel.
    Channel(u16, Vec<u8>),
}

pub(crate) struct Client {
    pub(crate) stream: Link,
    pub(crate) known: world::Client,
    /// What has arrived and is no whole message yet.
    pending: Vec<u8>,
    /// Responses in full, in the order of their arrival.
    pub(crate) answers: VecDeque<Answer>,
    next_transaction: u32,
}

impl Client {
    /// Connects as the static user alice.
    #[track_caller]
    pub(crate) fn connect(server: SocketAddr) -> Self {
        Self::on(TcpStream::connect(server).expect("connects"))
    }

    /// The same from another loopback address.
    #[track_caller]
    pub(crate) fn connect_from(source: Ipv4Addr, server: SocketAddr) -> Self {
        Self::on(connect_from(source, server))
    }

    pub(crate) fn on(stream: TcpStream) -> Self {
        Self::over(Link::clear(stream))
    }

    /// Connects under TLS.
    #[track_caller]
    pub(crate) fn secure(server: SocketAddr, version: &'static SupportedProtocolVersion) -> Self {
        let socket = TcpStream::connect(server).expect("connects");
        Self::over(Link::secure(socket, version, "localhost", &[]).expect("shakes hands"))
    }

    pub(crate) fn over(stream: Link) -> Self {
        stream.socket.set_nodelay(true).unwrap();
        stream.socket.set_read_timeout(Some(ANSWER_MAX)).unwrap();
        let mut known = world::Client::at(stream.socket.local_addr().unwrap(), "alice");
        known.password = "alice-password".into();
        Self { stream, known, pending: Vec::new(), answers: VecDeque::new(), next_transaction: 0 }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the connection is open");
    }

    /// The next thing that the server says.
    #[track_caller]
    pub(crate) fn read(&mut self) -> Said {
        self.try_read().expect("the server said nothing and closed")
    }

    /// The same; `None` when the server has closed instead.
    #[track_caller]
    pub(crate) fn try_read(&mut self) -> Option<Said> {
        let mut buffer = [0; 16_384];
        loop {
            if let Some(message) = self.next_message() {
                return Some(self.understood(&message));
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(length) => self.pending.extend_from_slice(&buffer[..length]),
                Err(error) if is_reset(&error) => return None,
                Err(error) => panic!("{error} after {} pending bytes", self.pending.len()),
            }
        }
    }

    fn next_message(&mut self) -> Option<Vec<u8>> {
        let (length, total) = match frame(&self.pending, 65_556).expect("the server frames what it says") {
            Frame::Incomplete { .. } => return None,
            Frame::Stun { total } => (total, total),
            Frame::ChannelData { length, total } => (length, total),
        };
        assert!(self.pending[length..total].iter().all(|byte| *byte == 0), "padding says nothing");
        let mut message: Vec<u8> = self.pending.drain(..total).collect();
        message.truncate(length);
        Some(message)
    }

    fn understood(&mut self, bytes: &[u8]) -> Said {
        if let Ok(data) = ChannelData::parse(bytes) {
            return Said::Channel(data.number.get(), data.payload.to_vec());
        }
        let message = Message::parse(bytes).expect("the server speaks STUN");
        if message.class() == Class::Indication {
            let (peer, data) = world::data_indication(bytes);
            return Said::Data(peer, data);
        }
        let answer = Answer::read(bytes);
        let said = Said::Response(message.method(), answer.code);
        self.answers.push_back(answer);
        said
    }

    /// A Binding there and back: what this runtime had to do before, it has done.
    #[track_caller]
    pub(crate) fn round_trip(&mut self) {
        let request = self.binding();
        self.write(&request);
        assert_eq!(self.read(), Said::Response(Method::BINDING, 0));
        self.answers.clear();
    }

    /// Gets a nonce, so that requests can be signed.
    #[track_caller]
    pub(crate) fn log_in(&mut self) {
        let request = self.bare_allocate();
        self.write(&request);
        assert_eq!(self.read(), Said::Response(Method::ALLOCATE, 401));
        self.known.nonce = self.answers.pop_back().unwrap().nonce.expect("a challenge has a nonce");
    }

    /// Logs in and allocates. Returns the relayed address.
    #[track_caller]
    pub(crate) fn allocate(&mut self) -> SocketAddr {
        self.log_in();
        let request = self.allocate_request();
        self.write(&request);
        assert_eq!(self.read(), Said::Response(Method::ALLOCATE, 0));
        self.answers.pop_back().unwrap().relayed[0]
    }

    #[track_caller]
    pub(crate) fn bind(&mut self, number: u16, peer: SocketAddr) {
        let request = self.bind_request(number, peer);
        self.write(&request);
        assert_eq!(self.read(), Said::Response(Method::CHANNEL_BIND, 0));
    }

    pub(crate) fn binding(&mut self) -> Vec<u8> {
        world::bare(self.transaction(), Class::Request, Method::BINDING, &[])
    }

    /// An Allocate without credentials, to be challenged.
    pub(crate) fn bare_allocate(&mut self) -> Vec<u8> {
        let allocate = [(AttributeType::REQUESTED_TRANSPORT, UDP)];
        world::bare(self.transaction(), Class::Request, Method::ALLOCATE, &allocate)
    }

    pub(crate) fn allocate_request(&mut self) -> Vec<u8> {
        self.signed(Method::ALLOCATE, &[(AttributeType::REQUESTED_TRANSPORT, UDP)])
    }

    pub(crate) fn permit_request(&mut self, peer: SocketAddr) -> Vec<u8> {
        let id = self.transaction();
        let peer = world::xor(peer, id);
        self.known.request(id, Method::CREATE_PERMISSION, &[(AttributeType::XOR_PEER_ADDRESS, &peer)])
    }

    pub(crate) fn bind_request(&mut self, number: u16, peer: SocketAddr) -> Vec<u8> {
        let id = self.transaction();
        let (peer, [high, low]) = (world::xor(peer, id), number.to_be_bytes());
        let attributes: Attributes<'_> =
            &[(AttributeType::CHANNEL_NUMBER, &[high, low, 0, 0]), (AttributeType::XOR_PEER_ADDRESS, &peer)];
        self.known.request(id, Method::CHANNEL_BIND, attributes)
    }

    pub(crate) fn send_indication(&mut self, peer: SocketAddr, payload: &[u8]) -> Vec<u8> {
        let id = self.transaction();
        let peer = world::xor(peer, id);
        let attributes: Attributes<'_> =
            &[(AttributeType::XOR_PEER_ADDRESS, &peer), (AttributeType::DATA, payload)];
        world::bare(id, Class::Indication, Method::SEND, attributes)
    }

    fn signed(&mut self, method: Method, attributes: Attributes<'_>) -> Vec<u8> {
        let id = self.transaction();
        self.known.request(id, method, attributes)
    }

    fn transaction(&mut self) -> TransactionId {
        self.next_transaction += 1;
        let mut id = [0x5A; 12];
        id[..4].copy_from_slice(&self.next_transaction.to_be_bytes());
        TransactionId(id)
    }

    /// Waits until the server closes, and returns how long that took from now on.
    #[track_caller]
    pub(crate) fn await_close(&mut self, bound: Duration) -> Duration {
        let started = Instant::now();
        self.stream.socket.set_read_timeout(Some(bound)).unwrap();
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return started.elapsed(),
                Ok(_) => {}
                Err(error) if is_reset(&error) => return started.elapsed(),
                Err(error) => panic!("still open after {:?}: {error}", started.elapsed()),
            }
        }
    }
}

/// ChannelData as a stream wants it: padded to four bytes.
pub(crate) fn channel_data(number: u16, payload: &[u8]) -> Vec<u8> {
    let number = ChannelNumber::new(number).unwrap();
    let mut bytes = channel_data::header(number, payload.len() as u16).to_vec();
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len() + channel_data::padding(payload.len()), 0);
    bytes
}

/// The address that a Binding response names.
pub(crate) fn mapped(answer: &Answer) -> SocketAddr {
    answer.mapped.expect("a Binding response has a mapped address")
}

/// A connection from another loopback address.
#[track_caller]
pub(crate) fn connect_from(source: Ipv4Addr, server: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).expect("all of 127.0.0.0/8 is ours");
    socket.connect(&server.into()).expect("connects");
    socket.into()
}

/// A peer: a plain socket with a time-out.
pub(crate) fn peer() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(ANSWER_MAX)).unwrap();
    socket
}

/// A daemon with one worker and a TCP listener, and this in `[limits]`. Ports do not rest, and one user
/// may have them all.
#[track_caller]
pub(crate) fn daemon(limits: &str) -> Daemon {
    Daemon::start(&config(limits))
}

pub(crate) fn config(limits: &str) -> Config {
    Config::default()
        .relay("workers = 1\nport_quarantine = \"0s\"")
        .limits(&format!("allocations_per_user = 0\n{limits}"))
}

/// Connections that ended for this reason.
#[track_caller]
pub(crate) fn closed(daemon: &Daemon, reason: &str) -> f64 {
    daemon.metrics().get(&format!("turnstone_connections_closed_total{{reason=\"{reason}\"}}"))
}

/// Waits until every connection has ended, with a reason each.
#[track_caller]
pub(crate) fn await_no_connections(daemon: &Daemon) {
    eventually(PATIENCE, "every connection has a reason why it ended", || {
        let metrics = daemon.metrics();
        let ended = metrics.sum("turnstone_connections_closed_total{");
        (metrics.get("turnstone_connections_total") == ended).then_some(())
    });
}

fn is_reset(error: &std::io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), ConnectionReset | BrokenPipe | ConnectionAborted | UnexpectedEof)
}
