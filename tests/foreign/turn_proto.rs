//! The client of `turn-client-proto` against the daemon: it speaks SHA-256 and USERHASH (RFC 8489
//! section 9.2), and its own code judges the integrity of each answer.

use crate::daemon::{Config, Daemon, PATIENCE, eventually};
use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use turn_client_proto::api::{TurnConfig, TurnEvent, TurnRecvRet};
use turn_client_proto::prelude::*;
use turn_client_proto::stun;
use turn_client_proto::stun::agent::Transmit;
use turn_client_proto::stun::types::TransportType;
use turn_client_proto::types::TurnCredentials;
use turn_client_proto::types::stun::message::IntegrityAlgorithm as Integrity;
use turn_client_proto::udp::TurnClientUdp;
use turnstone::wire::stun::{AttributeType as A, Message};

const USERS_ALONE: &str = "modern = true\n";

#[test]
fn a_client_of_rfc_8489_does_a_whole_session_with_sha256() {
    let sent = a_whole_session(&Config::default().auth("modern = true"), Integrity::Sha256);
    let wanted = [A::USERNAME, A::PASSWORD_ALGORITHMS, A::PASSWORD_ALGORITHM, A::MESSAGE_INTEGRITY_SHA256];
    assert!(wanted.iter().all(|kind| sent.contains(kind)), "{sent:?}");
    assert!(!sent.contains(&A::MESSAGE_INTEGRITY) && !sent.contains(&A::USERHASH), "{sent:?}");
}

#[test]
fn a_client_of_rfc_8489_hides_its_name_where_all_users_are_static() {
    let config = Config { auth: USERS_ALONE.into(), ..Config::default() };
    let sent = a_whole_session(&config, Integrity::Sha256);
    assert!(sent.contains(&A::USERHASH) && !sent.contains(&A::USERNAME), "{sent:?}");
}

#[test]
fn a_client_of_rfc_8489_that_is_offered_nothing_falls_back() {
    let sent = a_whole_session(&Config::default(), Integrity::Sha1);
    assert!(sent.contains(&A::MESSAGE_INTEGRITY) && sent.contains(&A::USERNAME), "{sent:?}");
    assert!(!sent.contains(&A::PASSWORD_ALGORITHM), "{sent:?}");
}

#[test]
fn a_client_of_rfc_8489_with_a_wrong_password_is_refused() {
    let config = Config { auth: USERS_ALONE.into(), ..Config::default() };
    let daemon = Daemon::start(&config);
    let mut session = Session::new(daemon.server, "a guess", Integrity::Sha256);
    let event = session.event();
    assert!(matches!(event, TurnEvent::AllocationCreateFailed(_)), "{event:?}");
    daemon.await_metric("turnstone_auth_failures_total{reason=\"bad_integrity\"}", |count| count >= 1.0);
}

/// Allocates, permits, relays both ways, by Send and over a channel, and deletes. Returns the types of
/// all attributes that the client sent.
fn a_whole_session(config: &Config, integrity: Integrity) -> BTreeSet<A> {
    let daemon = Daemon::start(config);
    let mut session = Session::new(daemon.server, "alice-password", integrity);
    let TurnEvent::AllocationCreated(_, relayed) = session.event() else { panic!("no allocation") };
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = peer.local_addr().unwrap();

    session.client.create_permission(TransportType::Udp, address.ip(), session.now()).unwrap();
    let event = session.event();
    assert!(matches!(event, TurnEvent::PermissionCreated(..)), "{event:?}");
    session.echo(&peer, relayed, b"in an indication");
    session.client.bind_channel(TransportType::Udp, address, session.now()).unwrap();
    let event = session.event();
    assert!(matches!(event, TurnEvent::ChannelCreated(..)), "{event:?}");
    session.echo(&peer, relayed, b"over a channel");

    daemon.await_allocations(1);
    session.client.delete(session.now()).unwrap();
    // The client spaces its requests 50 ms apart, so that this one may leave at a later look only.
    eventually(PATIENCE, "the end of the allocation", || {
        session.flush();
        session.receive();
        (daemon.allocations() == 0.0).then_some(())
    });
    session.sent
}

struct Session {
    client: TurnClientUdp,
    socket: UdpSocket,
    started: Instant,
    sent: BTreeSet<A>,
}

impl Session {
    fn new(server: SocketAddr, password: &str, integrity: Integrity) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut config = TurnConfig::new(TurnCredentials::new("alice", password));
        config.set_supported_integrity(integrity);
        let client = TurnClientUdp::allocate(socket.local_addr().unwrap(), server, config);
        Self { client, socket, started: Instant::now(), sent: BTreeSet::new() }
    }

    fn now(&self) -> stun::Instant {
        stun::Instant::from_std(self.started)
    }

    /// Sends what the client wants to send.
    fn flush(&mut self) {
        self.client.poll(self.now());
        while let Some(transmit) = self.client.poll_transmit(self.now()) {
            if let Ok(message) = Message::parse(&transmit.data) {
                self.sent.extend(message.attributes().map(|attribute| attribute.kind));
            }
            self.socket.send_to(&transmit.data, transmit.to).unwrap();
        }
    }

    /// Hands one datagram to the client, if one comes. Returns what a peer sent.
    fn receive(&mut self) -> Option<(Vec<u8>, SocketAddr)> {
        let mut buffer = [0; 2048];
        let (length, from) = self.socket.recv_from(&mut buffer).ok()?;
        let (data, to) = (buffer[..length].to_vec(), self.socket.local_addr().unwrap());
        match self.client.recv(Transmit::new(data, TransportType::Udp, from, to), self.now()) {
            TurnRecvRet::PeerData(data) => Some((data.data().to_vec(), data.peer)),
            _ => None,
        }
    }

    #[track_caller]
    fn event(&mut self) -> TurnEvent {
        let waited = Instant::now();
        while waited.elapsed() < PATIENCE {
            self.flush();
            if let Some(event) = self.client.poll_event() {
                return event;
            }
            self.receive();
        }
        panic!("nothing happened");
    }

    /// One datagram to the peer, and one back.
    #[track_caller]
    fn echo(&mut self, peer: &UdpSocket, relayed: SocketAddr, payload: &[u8]) {
        let address = peer.local_addr().unwrap();
        let now = self.now();
        let transmit = self.client.send_to(TransportType::Udp, address, payload, now).unwrap();
        let transmit = transmit.expect("a datagram for the server").build();
        self.socket.send_to(&transmit.data, transmit.to).unwrap();
        let mut buffer = [0; 2048];
        let (length, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (payload, relayed));
        peer.send_to(&buffer[..length], from).unwrap();
        let waited = Instant::now();
        let back =
            std::iter::from_fn(|| (waited.elapsed() < PATIENCE).then(|| self.receive())).flatten().next();
        assert_eq!(back, Some((payload.to_vec(), address)));
    }
}
