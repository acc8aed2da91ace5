//! A client on a real socket that builds its messages with our codec.

use crate::world::{Answer, Attributes, Client, UDP, bare, xor};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;
use turnstone::wire::channel_data::{self, ChannelNumber};
use turnstone::wire::stun::{AttributeType as A, Class, Message, Method, TransactionId};

/// How long an answer may take before the request is sent again.
const RETRANSMIT: Duration = Duration::from_millis(500);
const TRIES: usize = 10;

pub(crate) struct Caller {
    pub(crate) socket: UdpSocket,
    pub(crate) server: SocketAddr,
    pub(crate) client: Client,
    pub(crate) relayed: Option<SocketAddr>,
    next: u64,
}

impl Caller {
    pub(crate) fn new(server: SocketAddr, username: &str) -> Self {
        let local: IpAddr =
            if server.is_ipv4() { [127, 0, 0, 1].into() } else { [0, 0, 0, 0, 0, 0, 0, 1].into() };
        Self::on(UdpSocket::bind((local, 0)).unwrap(), server, username)
    }

    pub(crate) fn on(socket: UdpSocket, server: SocketAddr, username: &str) -> Self {
        socket.set_read_timeout(Some(RETRANSMIT)).unwrap();
        let next = u64::from(socket.local_addr().unwrap().port()) << 32;
        Self {
            client: Client::at(socket.local_addr().unwrap(), username),
            socket,
            server,
            relayed: None,
            next,
        }
    }

    pub(crate) fn with_password(mut self, username: &str, password: &str) -> Self {
        self.client.username = username.into();
        self.client.password = password.into();
        self
    }

    pub(crate) fn id(&mut self) -> TransactionId {
        self.next += 1;
        let mut id = [9; 12];
        id[..8].copy_from_slice(&self.next.to_be_bytes());
        TransactionId(id)
    }

    /// Sends until an answer to this very request comes.
    #[track_caller]
    pub(crate) fn exchange(&self, request: &[u8]) -> Answer {
        let mut buffer = [0; 4096];
        for _ in 0..TRIES {
            self.socket.send_to(request, self.server).unwrap();
            while let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
                if from == self.server && buffer.get(8..20) == request.get(8..20) && buffer[0] < 4 {
                    return Answer::read(&buffer[..length]);
                }
            }
        }
        panic!("no answer from {}", self.server);
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, method: Method, attributes: Attributes<'_>) -> Answer {
        for _ in 0..3 {
            let id = self.id();
            let request = match self.client.nonce.is_empty() {
                true => bare(id, Class::Request, method, attributes),
                false => self.client.request(id, method, attributes),
            };
            let answer = self.exchange(&request);
            match (answer.code, &answer.nonce) {
                (401, Some(nonce)) if self.client.nonce.is_empty() => self.client.nonce = nonce.clone(),
                (438, Some(nonce)) => self.client.nonce = nonce.clone(),
                _ => return answer,
            }
        }
        panic!("challenged again and again");
    }

    #[track_caller]
    pub(crate) fn try_allocate(&mut self, more: Attributes<'_>) -> Answer {
        let mut attributes = vec![(A::REQUESTED_TRANSPORT, UDP)];
        attributes.extend_from_slice(more);
        let answer = self.ask(Method::ALLOCATE, &attributes);
        self.relayed = answer.relayed.first().copied();
        answer
    }

    #[track_caller]
    pub(crate) fn allocate(&mut self) -> SocketAddr {
        let answer = self.try_allocate(&[]);
        assert_eq!(answer.code, 0, "{answer:?}");
        self.relayed.unwrap()
    }

    #[track_caller]
    pub(crate) fn permit(&mut self, peer: SocketAddr) -> u16 {
        let id = self.id();
        let request =
            self.client.request(id, Method::CREATE_PERMISSION, &[(A::XOR_PEER_ADDRESS, &xor(peer, id))]);
        self.exchange(&request).code
    }

    #[track_caller]
    pub(crate) fn bind(&mut self, number: u16, peer: SocketAddr) -> u16 {
        let id = self.id();
        let mut value = number.to_be_bytes().to_vec();
        value.extend_from_slice(&[0, 0]);
        let attributes: [(A, &[u8]); 2] =
            [(A::CHANNEL_NUMBER, &value), (A::XOR_PEER_ADDRESS, &xor(peer, id))];
        let request = self.client.request(id, Method::CHANNEL_BIND, &attributes);
        self.exchange(&request).code
    }

    pub(crate) fn refresh(&mut self, lifetime_s: u32) -> u16 {
        self.ask(Method::REFRESH, &[(A::LIFETIME, &lifetime_s.to_be_bytes())]).code
    }

    pub(crate) fn send_channel(&self, number: u16, payload: &[u8]) {
        let number = ChannelNumber::new(number).unwrap();
        let mut bytes = channel_data::header(number, payload.len() as u16).to_vec();
        bytes.extend_from_slice(payload);
        self.socket.send_to(&bytes, self.server).unwrap();
    }

    pub(crate) fn send(&mut self, peer: SocketAddr, payload: &[u8]) {
        let id = self.id();
        let attributes: [(A, &[u8]); 2] = [(A::XOR_PEER_ADDRESS, &xor(peer, id)), (A::DATA, payload)];
        self.socket.send_to(&bare(id, Class::Indication, Method::SEND, &attributes), self.server).unwrap();
    }

    /// The next datagram from the server.
    #[track_caller]
    pub(crate) fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 65_536];
        for _ in 0..TRIES {
            if let Ok((length, from)) = self.socket.recv_from(&mut buffer)
                && from == self.server
            {
                buffer.truncate(length);
                return buffer;
            }
        }
        panic!("nothing came");
    }
}

/// A peer's socket that waits a bounded time.
pub(crate) fn peer() -> UdpSocket {
    peer_on([127, 0, 0, 1].into())
}

pub(crate) fn peer_on(ip: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

pub(crate) fn is_stun(bytes: &[u8], class: Class, method: Method) -> bool {
    Message::parse(bytes).is_ok_and(|message| message.class() == class && message.method() == method)
}
