//! Limits of bandwidth on real sockets: two workers, clients over UDP and TCP, and a flood.

use crate::caller::{Caller, peer, receive};
use crate::daemon::{Config, Daemon, PATIENCE, eventually};
use crate::tcp_relay;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// 8 Mbit/s in bytes.
const BYTES_PER_SECOND: f64 = 1_000_000.0;
const PAYLOAD: [u8; 1_000] = [7; 1_000];
const CHANNEL: u16 = 0x4000;

/// A bucket, and what each of the four drivers of two workers may have drawn and not spent.
const AT_ONCE: f64 = 0.2 * BYTES_PER_SECOND + 4.0 * 2_000.0;

/// How long a flood lasts.
const FLOOD: Duration = Duration::from_secs(3);

/// A longer silence of the flood is no demand: this thread was not let run.
const GAP_MAX: f64 = 0.1;

/// Floods that are tried until one meets its lower bound, since other processes want the machine, too.
const TRIES: usize = 3;

/// Somebody who sends to a peer of its own as fast as he is asked to.
enum Flooder {
    Udp(Box<Caller>),
    Tcp(TcpStream),
    /// The peer of a client over UDP, who hears it.
    Peer(UdpSocket, SocketAddr),
}

impl Flooder {
    fn send(&mut self) {
        match self {
            Self::Udp(caller) => caller.send_on(CHANNEL, &PAYLOAD),
            Self::Tcp(stream) => {
                let mut message =
                    [&CHANNEL.to_be_bytes()[..], &(PAYLOAD.len() as u16).to_be_bytes()].concat();
                message.extend_from_slice(&PAYLOAD);
                stream.write_all(&message).unwrap();
            }
            Self::Peer(socket, relayed) => _ = socket.send_to(&PAYLOAD, *relayed).unwrap(),
        }
    }
}

/// Flooders, and the sockets where what passes arrives.
#[derive(Default)]
struct Scene {
    flooders: Vec<Flooder>,
    ends: Vec<UdpSocket>,
}

impl Scene {
    fn udp(&mut self, daemon: &Daemon) {
        let (mut caller, peer) = (Caller::new(daemon.server), peer());
        caller.allocate();
        assert_eq!(caller.bind(CHANNEL, peer.local_addr().unwrap()).code, 0);
        self.flooders.push(Flooder::Udp(Box::new(caller)));
        self.ends.push(peer);
    }

    fn tcp(&mut self, daemon: &Daemon) {
        let peer = peer();
        self.flooders.push(Flooder::Tcp(tcp_relay::bound(daemon, CHANNEL, peer.local_addr().unwrap())));
        self.ends.push(peer);
    }

    fn peer(&mut self, daemon: &Daemon) {
        let (mut caller, peer) = (Caller::new(daemon.server), peer());
        let relayed = caller.allocate();
        assert_eq!(caller.bind(CHANNEL, peer.local_addr().unwrap()).code, 0);
        self.flooders.push(Flooder::Peer(peer, relayed));
        self.ends.push(caller.socket);
    }

    /// Payload that the kernel has dropped at full sockets until now, since whoever reads them was not let run.
    fn dropped(&self) -> f64 {
        let table = std::fs::read_to_string("/proc/net/udp").expect("proc");
        let drops = |end: &UdpSocket| {
            let local = format!(" 0100007F:{:04X} ", end.local_addr().unwrap().port());
            let line = table.lines().find(|line| line.contains(&local)).expect("each socket has a line");
            line.split_whitespace().last().and_then(|drops| drops.parse::<f64>().ok()).expect("its drops")
        };
        self.ends.iter().map(drops).sum::<f64>() * PAYLOAD.len() as f64
    }

    /// Payload that has come since somebody read last.
    fn late(&self) -> f64 {
        let mut buffer = [0; 2_000];
        let came = |end: &UdpSocket| {
            end.set_nonblocking(true).unwrap();
            let count = std::iter::from_fn(|| end.recv(&mut buffer).ok()).count();
            end.set_nonblocking(false).unwrap();
            count
        };
        self.ends.iter().map(came).sum::<usize>() as f64 * PAYLOAD.len() as f64
    }

    /// Bytes that arrived, the seconds that surely had demand, and those from the first byte to the last.
    fn flood(&mut self) -> (f64, f64, f64) {
        let (arrived, over) = (AtomicU64::new(0), AtomicBool::new(false));
        let begin = Instant::now();
        let flooded = std::thread::scope(|scope| {
            for end in &self.ends {
                end.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
                let (arrived, over) = (&arrived, &over);
                scope.spawn(move || count(end, arrived, over));
            }
            let flooded = pour(&mut self.flooders, begin + FLOOD);
            over.store(true, Relaxed);
            flooded
        });
        (arrived.load(Relaxed) as f64, flooded, begin.elapsed().as_secs_f64())
    }
}

/// Together they send at least eight datagrams in each millisecond or so, which is some eight times the limit. Returns
/// the seconds with demand.
#[expect(clippy::disallowed_methods, reason = "a flood has a pace, and nothing waits for it")]
fn pour(flooders: &mut [Flooder], end: Instant) -> f64 {
    let (mut flooded, mut before) = (0.0, Instant::now());
    while before < end {
        let each = 8_usize.div_ceil(flooders.len());
        (0..each).for_each(|_| flooders.iter_mut().for_each(Flooder::send));
        std::thread::sleep(Duration::from_millis(1));
        let gap = before.elapsed().as_secs_f64();
        flooded += if gap <= GAP_MAX { gap } else { 0.0 };
        before = Instant::now();
    }
    flooded
}

/// Counts payload until there is no more.
fn count(end: &UdpSocket, arrived: &AtomicU64, over: &AtomicBool) {
    let mut buffer = [0; 2_000];
    loop {
        match end.recv(&mut buffer) {
            Ok(_) => _ = arrived.fetch_add(PAYLOAD.len() as u64, Relaxed),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if over.load(Relaxed) {
                    return;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn daemon(limits: &str) -> Daemon {
    let config = Config::default().relay("workers = 2\ntcp = true");
    Daemon::start(&config.limits(&format!("allocations_per_user = 100\n{limits}")))
}

/// Floods until the limit was met once; exceeded it must never be.
#[track_caller]
fn assert_limited(daemon: &Daemon, mut scene: Scene, scope: &str) {
    let limited = format!("turnstone_rate_limited_bytes_total{{scope=\"{scope}\"}}");
    let mut told = Vec::new();
    for _ in 0..TRIES {
        let (relayed, dropped) = (relayed_bytes(daemon), scene.dropped());
        let (mut arrived, flooded, span) = scene.flood();
        let most = BYTES_PER_SECOND * span + AT_ONCE;
        assert!(arrived <= most, "{arrived} bytes in {span} s, {most} at most");
        // The server says the same, and that it dropped the rest by its limit.
        let counted = eventually(PATIENCE, "the counters are published, and what they count arrived", || {
            arrived += scene.late();
            let counted = relayed_bytes(daemon) - relayed;
            let came = arrived + scene.dropped() - dropped;
            (counted >= arrived && came >= 0.95 * counted).then_some(counted)
        });
        assert!(counted <= most, "{counted} bytes in {span} s, {most} at most");
        assert!(daemon.metrics().get(&limited) > 0.0);
        if counted >= 0.95 * BYTES_PER_SECOND * flooded {
            println!("{scope}: {counted} bytes relayed, {arrived} arrived, {flooded:.2} s of demand");
            return;
        }
        told.push((counted, flooded));
    }
    panic!("less than the limit, and no flood that met it: {told:?}");
}

/// What the server took from clients and peers to relay.
fn relayed_bytes(daemon: &Daemon) -> f64 {
    let metrics = daemon.metrics();
    metrics.sum("turnstone_relay_bytes_total{direction=\"from_client\"")
        + metrics.sum("turnstone_relay_bytes_total{direction=\"from_peer\"")
}

#[test]
fn the_total_holds_over_both_workers_and_all_transports() {
    let daemon = daemon("bandwidth_total = \"8 Mbit/s\"");
    let mut scene = Scene::default();
    (0..4).for_each(|_| scene.udp(&daemon));
    (0..2).for_each(|_| scene.tcp(&daemon));
    (0..2).for_each(|_| scene.peer(&daemon));
    assert_limited(&daemon, scene, "total");
    let limit = "turnstone_bandwidth_limit_bytes_per_second{scope=\"total\"}";
    assert_eq!(daemon.metrics().get(limit), BYTES_PER_SECOND);
}

#[test]
fn one_client_alone_gets_the_whole_total() {
    let daemon = daemon("bandwidth_total = \"8 Mbit/s\"");
    let mut scene = Scene::default();
    scene.udp(&daemon);
    // Others are there and say nothing: their shares are idle.
    let mut silent = Scene::default();
    (0..4).for_each(|_| silent.udp(&daemon));
    assert_limited(&daemon, scene, "total");
}

#[test]
fn a_user_has_one_limit_over_both_workers() {
    let daemon = daemon("bandwidth_per_user = \"8 Mbit/s\"");
    let mut scene = Scene::default();
    (0..3).for_each(|_| scene.udp(&daemon));
    scene.tcp(&daemon);
    assert_limited(&daemon, scene, "user");
}

#[test]
fn a_reload_limits_a_live_session_and_frees_it_again() {
    let config = Config::default().relay("workers = 2");
    let daemon = Daemon::start(&config);
    let (mut caller, peer) = (Caller::new(daemon.server), peer());
    caller.allocate();
    assert_eq!(caller.bind(CHANNEL, peer.local_addr().unwrap()).code, 0);
    let limited = "turnstone_rate_limited_bytes_total{scope=\"allocation\"}";
    caller.send_on(CHANNEL, &PAYLOAD);
    receive(&peer);
    let series = "turnstone_bandwidth_limit_bytes_per_second{scope=\"allocation\"}";
    let reload = |limits: &str, shown: usize| {
        daemon.write_config(&config.clone().limits(limits).text());
        daemon.signal(libc::SIGHUP);
        eventually(PATIENCE, "the reload", || {
            (daemon.get("/metrics").1.matches(series).count() == shown).then_some(())
        });
    };
    reload("bandwidth_per_allocation = \"8 kbit/s\"", 1);
    // 8 kbit/s is one datagram a second.
    eventually(PATIENCE, "a datagram is dropped", || {
        caller.send_on(CHANNEL, &PAYLOAD);
        (daemon.metrics().get(limited) > 0.0).then_some(())
    });
    reload("", 0);
    // Far more than that limit would give in all this time.
    let mut heard = 0;
    eventually(PATIENCE, "a hundred datagrams pass", || {
        caller.send_on(CHANNEL, &PAYLOAD);
        peer.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        heard += usize::from(peer.recv(&mut [0; 2_000]).is_ok());
        (heard >= 100).then_some(())
    });
}

#[test] // RFC 6062: bytes of a connection are never dropped
fn a_connection_to_a_peer_slows_down_and_loses_nothing() {
    let daemon = daemon("bandwidth_per_allocation = \"8 Mbit/s\"");
    let sent: Vec<u8> = (0..2_000_000_u32).map(|n| (n / 7 % 251) as u8).collect();
    let (_control, mut data, mut peer) = tcp_relay::connected(&daemon);
    let begin = Instant::now();
    let heard = std::thread::scope(|scope| {
        scope.spawn(|| data.write_all(&sent).unwrap());
        let mut heard = vec![0; sent.len()];
        peer.read_exact(&mut heard).unwrap();
        heard
    });
    let span = begin.elapsed().as_secs_f64();
    assert!(heard == sent, "in order and whole");
    let least = (sent.len() as f64 - AT_ONCE - 2.0 * 16_384.0) / BYTES_PER_SECOND;
    assert!(span >= least, "{span} s, {least} s at least");
    let limited = daemon.metrics().sum("turnstone_rate_limited_bytes_total{");
    assert_eq!(limited, 0.0);
}
