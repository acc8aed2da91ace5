//! A TURN client: long-term credentials, retransmissions, payload both ways.

use crate::stun::{self, Attribute, Received, TransactionId, attribute};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Names and passwords of the daemons' users.
pub(crate) const USERS: [(&str, &str); 2] = [("alice", "alice-password"), ("bob", "bob-password")];

/// First wait for an answer; doubles up to [`WAIT_MAX`]. Shorter than RFC 8489 section 6.2.1 asks
/// for: the links are local.
const WAIT_FIRST: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_millis(400);
/// How often a request is sent until it counts as lost.
const SENDS_MAX: u32 = 25;

/// One client on one socket.
#[derive(Debug)]
pub(crate) struct Client {
    socket: UdpSocket,
    server: SocketAddr,
    user: (&'static str, &'static str),
    realm: String,
    nonce: Vec<u8>,
    inbox: VecDeque<Payload>,
    /// Datagrams that were sent more than once.
    pub(crate) retransmissions: u32,
    /// How often each request is sent although it was answered: 1 is once.
    pub(crate) copies: u32,
}

/// Relayed payload as it reached the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// A Data indication from this peer.
    Data(SocketAddr, Vec<u8>),
    /// ChannelData on this channel.
    Channel(u16, Vec<u8>),
}

impl Client {
    pub(crate) fn new(socket: UdpSocket, server: SocketAddr, user: (&'static str, &'static str)) -> Self {
        Self {
            socket,
            server,
            user,
            realm: String::new(),
            nonce: Vec::new(),
            inbox: VecDeque::new(),
            retransmissions: 0,
            copies: 1,
        }
    }

    /// For datagrams beside the relay.
    pub(crate) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Allocates; returns the relayed addresses.
    pub(crate) fn allocate(&mut self, more: &[Attribute]) -> Vec<SocketAddr> {
        let answer = self.try_allocate(more);
        assert_eq!(answer.code(), 0, "Allocate by {}", self.user.0);
        answer.addresses(attribute::XOR_RELAYED_ADDRESS)
    }

    /// Allocates; returns the answer.
    pub(crate) fn try_allocate(&mut self, more: &[Attribute]) -> Received {
        let mut attributes = vec![(attribute::REQUESTED_TRANSPORT, vec![17, 0, 0, 0])];
        attributes.extend(more.iter().cloned());
        self.request(stun::ALLOCATE, |_| attributes.clone())
    }

    /// CreatePermission for `peers`; returns the code.
    pub(crate) fn permit(&mut self, peers: &[SocketAddr]) -> u16 {
        let attributes = |id| {
            peers.iter().map(|peer| (attribute::XOR_PEER_ADDRESS, stun::xor_address(*peer, id))).collect()
        };
        self.request(stun::CREATE_PERMISSION, attributes).code()
    }

    /// ChannelBind; returns the code.
    pub(crate) fn bind(&mut self, number: u16, peer: SocketAddr) -> u16 {
        let attributes = |id| {
            let [high, low] = number.to_be_bytes();
            vec![
                (attribute::CHANNEL_NUMBER, vec![high, low, 0, 0]),
                (attribute::XOR_PEER_ADDRESS, stun::xor_address(peer, id)),
            ]
        };
        self.request(stun::CHANNEL_BIND, attributes).code()
    }

    /// Refresh; returns the code.
    pub(crate) fn refresh(&mut self, lifetime_s: u32) -> u16 {
        let lifetime = (attribute::LIFETIME, lifetime_s.to_be_bytes().to_vec());
        self.request(stun::REFRESH, |_| vec![lifetime.clone()]).code()
    }

    /// A Send indication.
    pub(crate) fn send(&self, peer: SocketAddr, payload: &[u8]) {
        let id = fresh_id();
        let attributes =
            [(attribute::XOR_PEER_ADDRESS, stun::xor_address(peer, id)), (attribute::DATA, payload.to_vec())];
        self.transmit(&stun::message(stun::SEND, id, &attributes));
    }

    /// ChannelData.
    pub(crate) fn send_channel(&self, number: u16, payload: &[u8]) {
        self.transmit(&stun::channel_data(number, payload));
    }

    /// The next relayed payload within `patience`.
    pub(crate) fn receive(&mut self, patience: Duration) -> Option<Payload> {
        let deadline = Instant::now() + patience;
        while self.inbox.is_empty() {
            self.next_message(deadline)?;
        }
        self.inbox.pop_front()
    }

    /// A signed request until it is answered; a challenge or a stale nonce is followed once each.
    pub(crate) fn request(
        &mut self,
        method: u16,
        attributes: impl Fn(TransactionId) -> Vec<Attribute>,
    ) -> Received {
        let mut answer = self.transact(method, &attributes);
        for code in [401, 438] {
            if answer.code() == code {
                self.learn(&answer);
                answer = self.transact(method, &attributes);
            }
        }
        answer
    }

    fn learn(&mut self, challenge: &Received) {
        let text = |kind| challenge.value(kind).expect("a challenge has both").to_vec();
        self.realm = String::from_utf8(text(attribute::REALM)).expect("a realm is text");
        self.nonce = text(attribute::NONCE);
    }

    fn transact(&mut self, method: u16, attributes: impl Fn(TransactionId) -> Vec<Attribute>) -> Received {
        let id = fresh_id();
        let mut attributes = attributes(id);
        let (name, password) = self.user;
        if !self.nonce.is_empty() {
            attributes.push((attribute::USERNAME, name.as_bytes().to_vec()));
            attributes.push((attribute::REALM, self.realm.as_bytes().to_vec()));
            attributes.push((attribute::NONCE, self.nonce.clone()));
        }
        let mut bytes = stun::message(method, id, &attributes);
        if !self.nonce.is_empty() {
            stun::sign(&mut bytes, name, &self.realm, password);
        }
        let mut wait = WAIT_FIRST;
        for sends in 0..SENDS_MAX {
            for _ in 0..self.copies {
                self.transmit(&bytes);
            }
            self.retransmissions += u32::from(sends > 0);
            let deadline = Instant::now() + wait;
            while let Some(message) = self.next_message(deadline) {
                if message.as_ref().is_some_and(|m| m.id == id) {
                    return message.expect("looked at above");
                }
            }
            wait = (wait * 2).min(WAIT_MAX);
        }
        panic!("method {method:#05x} of {name} to {} was never answered", self.server)
    }

    fn transmit(&self, bytes: &[u8]) {
        match self.socket.send_to(bytes, self.server) {
            Ok(_) => {}
            // A filter that drops on the way out says so; to the protocol it is loss as any other.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            Err(error) => panic!("sending to {}: {error}", self.server),
        }
    }

    /// `None` at the deadline, `Some(None)` for payload, which went to the inbox.
    fn next_message(&mut self, deadline: Instant) -> Option<Option<Received>> {
        let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        self.socket.set_read_timeout(Some(left)).expect("not zero");
        let mut buffer = [0; 2048];
        let length = match self.socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(_) => return None,
        };
        let bytes = &buffer[..length];
        if let [0x40..0x50, _, _, _, payload @ ..] = bytes {
            let number = u16::from_be_bytes([bytes[0], bytes[1]]);
            self.inbox.push_back(Payload::Channel(number, payload.to_vec()));
            return Some(None);
        }
        let message = Received::parse(bytes)?;
        if message.kind == stun::DATA {
            let peer = message.addresses(attribute::XOR_PEER_ADDRESS)[0];
            let data = message.value(attribute::DATA).unwrap_or_default().to_vec();
            self.inbox.push_back(Payload::Data(peer, data));
            return Some(None);
        }
        Some(Some(message))
    }
}

/// Unique in this process, which is all that a transaction of a test needs.
pub(crate) fn fresh_id() -> TransactionId {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let mut id = [0x7e; 12];
    id[4..].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    id
}
