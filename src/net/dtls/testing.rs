//! A client of `dimpl`, and a wire between it and the sessions under test.

use super::{DtlsConfig, Ended, Host, Inbound, Limits, Output, Path, SessionId, Sessions};
use crate::auth::Cookies;
use crate::base::{Now, Random, Timestamp, UnixTime};
use arc_swap::ArcSwap;
use dimpl::crypto::Dtls12CipherSuite;
use dimpl::{Config, Dtls, DtlsCertificate};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Sessions with a clock that tests move.
pub(super) struct World {
    pub(super) sessions: Sessions,
    pub(super) now: Now,
    pub(super) host: TestHost,
    pub(super) ended: Vec<Ended>,
    origin: Instant,
    buffer: Vec<u8>,
}

/// A driver that treats all clients alike.
pub(super) struct TestHost {
    pub(super) has_allocations: bool,
    pub(super) admits: bool,
}

impl Host for TestHost {
    fn has_allocation(&self, _id: SessionId) -> bool {
        self.has_allocations
    }

    fn admit(&mut self, _path: &Path) -> bool {
        self.admits
    }
}

/// What the server did with one input.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) sent: Vec<Vec<u8>>,
    pub(super) plain: Vec<Vec<u8>>,
    pub(super) session: Option<SessionId>,
    pub(super) inbound: Option<Inbound>,
}

pub(super) struct Client {
    pub(super) dtls: Dtls,
    pub(super) path: Path,
    /// Datagrams that it sent.
    pub(super) sent: VecDeque<Vec<u8>>,
    pub(super) heard: Vec<Vec<u8>>,
    pub(super) connected: bool,
    pub(super) told_to_close: bool,
}

impl World {
    pub(super) fn new(limits: Limits) -> Self {
        let now = Now { at: Timestamp::from_secs(100), unix: UnixTime(1_700_000_000) };
        let origin = Instant::now();
        let cookies = Cookies::new([3; 32], now.unix);
        let config = Arc::new(ArcSwap::from_pointee(server_config()));
        let sessions = Sessions::new(config, cookies, limits, &mut Random::seeded(1), origin, now);
        let buffer = vec![0; Limits::DATAGRAM_BYTES_MAX];
        Self {
            sessions,
            now,
            host: TestHost { has_allocations: false, admits: true },
            ended: Vec::new(),
            origin,
            buffer,
        }
    }

    pub(super) fn deliver(&mut self, path: Path, datagram: &[u8]) -> Answer {
        let inbound = self.sessions.on_datagram(self.now, path, datagram, &mut self.host);
        let mut answer = match &inbound {
            Inbound::Answer(reply) => Answer { sent: vec![reply.as_slice().to_vec()], ..Answer::default() },
            Inbound::Session(id) => self.drain(*id),
            Inbound::Refused(_) => Answer::default(),
        };
        self.ended.extend(std::iter::from_fn(|| self.sessions.next_ended()));
        answer.inbound = Some(inbound);
        answer
    }

    /// All that a session wants done.
    pub(super) fn drain(&mut self, id: SessionId) -> Answer {
        let mut answer = Answer { session: Some(id), ..Answer::default() };
        while let Some(output) = self.sessions.poll(self.now, id, &mut self.buffer) {
            match output {
                Output::Send { length, .. } => answer.sent.push(self.buffer[..length].to_vec()),
                Output::Plain { length, .. } => answer.plain.push(self.buffer[..length].to_vec()),
                Output::Connected => {}
            }
        }
        self.ended.extend(std::iter::from_fn(|| self.sessions.next_ended()));
        answer
    }

    /// Lets time pass and timers fire. Returns what is sent.
    pub(super) fn pass(&mut self, span: Duration) -> Vec<Vec<u8>> {
        self.now.at = self.now.at.after(span);
        self.now.unix = self.now.unix.after(span);
        let mut sent = Vec::new();
        while let Some(id) = self.sessions.on_deadline(self.now, &self.host) {
            sent.extend(self.drain(id).sent);
        }
        sent
    }

    pub(super) fn client(&self, port: u16) -> Client {
        Client::new(port, Config::builder(), self.instant())
    }

    /// A client that has a session.
    pub(super) fn connected(&mut self, port: u16) -> (Client, SessionId) {
        let mut client = self.client(port);
        let id = self.shake(&mut client);
        assert!(client.connected);
        (client, id)
    }

    /// Carries datagrams until both sides are silent. Returns the session that answered last.
    pub(super) fn shake(&mut self, client: &mut Client) -> SessionId {
        client.poll(self.instant());
        let mut session = None;
        while let Some(datagram) = client.sent.pop_front() {
            let answer = self.deliver(client.path, &datagram);
            session = answer.session.or(session);
            client.take(self.instant(), &answer.sent);
        }
        session.expect("a session")
    }

    pub(super) fn instant(&self) -> Instant {
        self.origin + Duration::from_nanos(self.now.at.as_nanos())
    }
}

impl Client {
    pub(super) fn new(port: u16, config: dimpl::ConfigBuilder, at: Instant) -> Self {
        let config = config.build().expect("a configuration");
        let (leaf, key) = certificate();
        let certificate = DtlsCertificate { certificate: leaf, private_key: key };
        let mut dtls = Dtls::new_12(Arc::new(config), certificate, at);
        dtls.set_active(true);
        let path = Path {
            door: 0,
            local: "192.0.2.1:5349".parse().expect("an address"),
            remote: ([198, 51, 100, 1], port).into(),
        };
        let sent = VecDeque::new();
        Self { dtls, path, sent, heard: Vec::new(), connected: false, told_to_close: false }
    }

    /// One that offers this cipher suite alone.
    pub(super) fn of_suite(port: u16, suite: Dtls12CipherSuite, at: Instant) -> Self {
        Self::new(port, Config::builder().dtls12_cipher_suites(&[suite]), at)
    }

    /// The hello that it sends next.
    pub(super) fn hello(&mut self, at: Instant) -> Vec<u8> {
        self.poll(at);
        self.sent.pop_front().expect("a hello")
    }

    pub(super) fn take(&mut self, at: Instant, datagrams: &[Vec<u8>]) {
        for datagram in datagrams {
            self.dtls.handle_packet(datagram).expect("a sound server");
            self.poll(at);
        }
    }

    pub(super) fn say(&mut self, at: Instant, plain: &[u8]) -> Vec<u8> {
        self.dtls.send_application_data(plain).expect("connected");
        self.poll(at);
        self.sent.pop_front().expect("a record")
    }

    pub(super) fn poll(&mut self, at: Instant) {
        self.dtls.handle_timeout(at).expect("in time");
        let mut buffer = vec![0; 1 << 16];
        loop {
            match self.dtls.poll_output(&mut buffer) {
                dimpl::Output::Packet(packet) => self.sent.push_back(packet.to_vec()),
                dimpl::Output::ApplicationData(plain) => self.heard.push(plain.to_vec()),
                dimpl::Output::Connected => self.connected = true,
                dimpl::Output::CloseNotify => self.told_to_close = true,
                dimpl::Output::Timeout(_) => return,
                _ => {}
            }
        }
    }
}

pub(super) fn server_config() -> DtlsConfig {
    let (leaf, key) = certificate();
    DtlsConfig::new(leaf, key).expect("an ECDSA key")
}

/// A certificate of its own and its key, both in DER.
pub(super) fn certificate() -> (Vec<u8>, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(["turn.example".to_owned()]).expect("a certificate");
    (made.cert.der().to_vec(), made.signing_key.serialize_der())
}
