//! A runtime on loopback with little patience: what ends a connection, and what does not.

use super::connection::Connection;
use super::{Deadlines, Prepared, Setup, StreamDoorSettings, adopt_stream_doors};
use crate::auth::Authenticator;
use crate::base::Random;
use crate::metrics::{Closed, Published, Snapshot, connections_accepted, connections_closed};
use crate::net::Clock;
use crate::net::{UdpOptions, tcp};
use crate::relay::{Admission, Command, ConnectionLimits, Mailbox, Registry};
use crate::turn::{
    Ledger, LedgerSettings, OwnAddresses, PeerPolicy, PeerRules, PortRange, RelayAddress, Server, Settings,
};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Long enough that only a broken server needs it.
const PATIENCE: Duration = Duration::from_secs(20);

const BINDING: [u8; 20] = [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

struct Running {
    address: SocketAddr,
    mailbox: Mailbox,
    published: Arc<Published>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Running {
    fn start(deadlines: Deadlines, limits: ConnectionLimits) -> Self {
        let ip = Ipv4Addr::LOCALHOST.into();
        let listener = tcp::listen(SocketAddr::new(ip, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let settings = StreamDoorSettings { address, tcp: true, tls: false, proxies: Vec::new() };
        let ledger = LedgerSettings {
            addresses: vec![RelayAddress { internal: ip, external: ip }],
            ports: PortRange { first: 49_152, last: 65_535 },
            quarantine: Duration::ZERO,
            allocations_per_user: 1,
            allocations_total: 0,
        };
        let registry = Arc::new(Registry::new(Ledger::new(&ledger, Random::seeded(1))));
        let own = OwnAddresses { relays: registry.live_ports(), hosts: vec![ip], endpoints: vec![address] };
        let clock = Clock::start();
        let server = Server::new(
            Arc::new(Settings::default()),
            Arc::new(Authenticator::new(&crate::auth::Settings::of_nobody())),
            PeerPolicy::new(PeerRules::default(), own),
            [7; 32],
            Random::seeded(2),
            clock.now(),
        );
        let (prepared, handle) = Prepared::new(Setup {
            index: 0,
            drivers: 1,
            server,
            doors: adopt_stream_doors(&settings, &[listener], 1).expect("a descriptor"),
            tls: None,
            dtls: None,
            deadlines,
            relay_options: UdpOptions::default(),
            registry: Arc::clone(&registry),
            admission: Arc::new(Admission::new(limits, Random::seeded(3))),
            http: mpsc::channel(1).0,
            clock,
        });
        registry.connect(vec![handle.mailbox.clone()]);
        let thread = prepared.spawn(crossbeam_channel::bounded(0).0).expect("a thread");
        Self { address, mailbox: handle.mailbox, published: handle.published, thread: Some(thread) }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream
    }

    /// A connection whose first message was answered, and how many before it were closed instead: this thread was not
    /// let run for as long as a message may take.
    fn answered(&self) -> (TcpStream, u64) {
        let (started, mut late) = (Instant::now(), 0);
        loop {
            let mut stream = self.connect();
            if stream.write_all(&BINDING).and_then(|()| stream.read_exact(&mut [0; 32])).is_ok() {
                return (stream, late);
            }
            late += 1;
            assert!(started.elapsed() < PATIENCE, "{late} connections, and no answer");
        }
    }

    /// Waits until so many connections have ended for this reason.
    #[track_caller]
    fn expect_closed(&self, reason: Closed, count: u64) {
        let started = Instant::now();
        loop {
            let sum = Snapshot::sum([&*self.published]);
            if sum.value(connections_closed(reason)) == count {
                return;
            }
            let all = Closed::ALL.iter().map(|reason| (reason, sum.value(connections_closed(*reason))));
            let all: Vec<_> = all.filter(|(_, count)| *count > 0).collect();
            let accepted = sum.value(connections_accepted());
            assert!(started.elapsed() < PATIENCE, "{reason:?}: of {accepted} accepted, ended: {all:?}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        assert!(self.mailbox.post(Command::Stop));
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(Ok(())))), "{ended:?}");
    }
}

/// The close, orderly or not, which is the condition that tests wait for.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the server closes");
    }
    bytes
}

fn hasty() -> Deadlines {
    let hasty = Duration::from_millis(150);
    Deadlines { message: hasty, handshake: hasty, idle: hasty }
}

fn patient() -> Deadlines {
    Deadlines { message: PATIENCE * 9, handshake: PATIENCE * 9, idle: PATIENCE * 9 }
}

const NO_LIMIT: ConnectionLimits = ConnectionLimits { per_source: u32::MAX, total: u32::MAX };

#[test]
fn who_says_nothing_and_who_never_ends_a_message_is_closed() {
    let server = Running::start(Deadlines { idle: PATIENCE * 9, ..hasty() }, NO_LIMIT);
    let mut silent = server.connect();
    let mut slow = server.connect();
    slow.write_all(&BINDING[..19]).expect("open");
    assert!(rest(&mut silent).is_empty() && rest(&mut slow).is_empty());
    server.expect_closed(Closed::MessageTimeout, 2);
}

#[test]
fn the_deadline_of_a_message_is_absolute_and_not_per_byte() {
    let server = Running::start(Deadlines { idle: PATIENCE * 9, ..hasty() }, NO_LIMIT);
    let (mut stream, late) = server.answered();
    // The start of a long one, then a byte whenever there is room for it.
    stream.write_all(&[0, 3, 4, 0]).expect("open");
    let mut writer = stream.try_clone().expect("a descriptor");
    let trickle = std::thread::spawn(move || {
        let started = Instant::now();
        while writer.write_all(&[0]).is_ok() && started.elapsed() < PATIENCE {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    });
    assert!(rest(&mut stream).is_empty());
    trickle.join().expect("no panic");
    server.expect_closed(Closed::MessageTimeout, 1 + late);
}

#[test]
fn who_is_done_is_closed_as_idle_and_who_asks_again_stays() {
    let server = Running::start(Deadlines { message: PATIENCE * 9, ..hasty() }, NO_LIMIT);
    let (started, mut late) = (Instant::now(), 0);
    let mut stream = loop {
        let mut stream = server.connect();
        match talk(&mut stream, hasty().idle * 4) {
            Ok(()) => break stream,
            Err(silent) => assert!(silent >= hasty().idle, "closed after {silent:?} of silence"),
        }
        late += 1;
        assert!(started.elapsed() < PATIENCE, "{late} connections, and this thread was never let run");
    };
    assert!(rest(&mut stream).is_empty());
    server.expect_closed(Closed::Idle, 1 + late);
}

/// Asks again and again for so long. `Err`: it was closed, with the longest that it can have been silent for.
fn talk(stream: &mut TcpStream, span: Duration) -> Result<(), Duration> {
    let started = Instant::now();
    let mut asked = started;
    while started.elapsed() < span {
        // The server heard the question before later than this.
        let before = std::mem::replace(&mut asked, Instant::now());
        let answered = stream.write_all(&BINDING).and_then(|()| stream.read_exact(&mut [0; 32]));
        answered.map_err(|_| before.elapsed())?;
    }
    Ok(())
}

#[test]
fn what_is_no_turn_is_closed_without_an_answer() {
    let server = Running::start(patient(), NO_LIMIT);
    let strangers: [(&[u8], Closed); 6] = [
        (b"GET / HTTP/1.1\r\n\r\n", Closed::UnknownProtocol),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Closed::UnknownProtocol),
        (&[0x16, 3, 1, 2, 0, 1], Closed::UnknownProtocol),
        (&[0x40, 0, 0, 4, 1, 2, 3, 4], Closed::UnknownProtocol),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", Closed::ProxyStranger),
        // An Allocate of 65,532 bytes (CVE-2026-68552).
        (&[0, 3, 0xff, 0xfc, 0x21, 0x12, 0xa4, 0x42], Closed::Framing),
    ];
    for (bytes, _) in strangers {
        let mut stream = server.connect();
        stream.write_all(bytes).expect("open");
        assert!(rest(&mut stream).is_empty(), "{bytes:?}");
    }
    for reason in [Closed::UnknownProtocol, Closed::ProxyStranger, Closed::Framing] {
        let count = strangers.iter().filter(|(_, closed)| *closed == reason).count();
        server.expect_closed(reason, count as u64);
    }
}

#[test]
fn what_came_before_garbage_is_answered() {
    let server = Running::start(patient(), NO_LIMIT);
    let mut stream = server.connect();
    stream.write_all(&[&BINDING[..], &BINDING[..], b"garbage"].concat()).expect("open");
    assert_eq!(rest(&mut stream).len(), 64);
    server.expect_closed(Closed::Framing, 1);
}

#[test]
fn a_stranger_cannot_announce_a_long_message() {
    let server = Running::start(patient(), NO_LIMIT);
    for long in [&[0x40, 0, 0xff, 0xff][..], &[0, 0x16, 0xff, 0xf0]] {
        let mut stream = server.connect();
        stream.write_all(&[&BINDING, long].concat()).expect("open");
        assert_eq!(rest(&mut stream).len(), 32, "the Binding is answered");
    }
    server.expect_closed(Closed::Framing, 2);
}

#[test]
fn one_connection_over_the_limit_is_closed_and_one_that_ends_makes_room() {
    let server = Running::start(patient(), ConnectionLimits { per_source: 1, total: 2 });
    let mut held = [server.connect(), server.connect()];
    for stream in &mut held {
        stream.write_all(&BINDING).expect("loopback is no source of its own");
        stream.read_exact(&mut [0; 32]).expect("an answer");
    }
    assert!(rest(&mut server.connect()).is_empty());
    server.expect_closed(Closed::TotalLimit, 1);
    drop(held);
    server.expect_closed(Closed::Client, 2);
    let mut stream = server.connect();
    stream.write_all(&BINDING).expect("there is room");
    stream.read_exact(&mut [0; 32]).expect("an answer");
}

#[test]
fn a_client_that_never_reads_is_bounded_and_others_go_on() {
    let server = Running::start(patient(), NO_LIMIT);
    let mut rude = server.connect();
    rude.set_write_timeout(Some(Duration::from_millis(300))).expect("a socket");
    let many = BINDING.repeat(1000);
    let mut written = 0;
    // It is read from until what it is owed fills the queue and the kernel; then its own writes block.
    let blocked = loop {
        match rude.write(&many) {
            Ok(count) => written += count,
            Err(error) => break error,
        }
        assert!(written < 64 << 20, "the server reads for ever from a client that takes no answer");
    };
    assert_eq!(blocked.kind(), std::io::ErrorKind::WouldBlock);
    let mut other = server.connect();
    other.write_all(&BINDING).expect("open");
    other.read_exact(&mut [0; 32]).expect("an answer");
}

#[test]
fn the_task_of_a_connection_fits_into_a_kilobyte() {
    fn bytes<F>(_task: impl FnOnce(Connection) -> F) -> usize {
        size_of::<F>()
    }
    assert!(bytes(Connection::run) <= 1024, "{} bytes", bytes(Connection::run));
}
