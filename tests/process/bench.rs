//! `turnstone bench` against real servers: the daemon, coturn, and a bare forwarder of the test.

use crate::daemon::{
    BINARY, Config, Daemon, Ended, Folder, PATIENCE, SECRET, eventually, free_port, loopback, run_to_end,
};
use crate::skip::skip;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Short and slow, so that nothing is lost on a busy machine.
const GENTLE: [&str; 10] =
    ["--clients", "4", "--rounds", "1", "--seconds", "0.3", "--warm-up", "0.1", "--rate", "400"];

#[track_caller]
fn bench(arguments: &[&str]) -> Ended {
    run_to_end(Command::new(BINARY).arg("bench").args(arguments), 4 * PATIENCE)
}

/// What `bench ARGUMENTS --json` prints.
#[track_caller]
fn bench_json(arguments: &[&str]) -> Value {
    let ended = bench(&[arguments, &["--json"]].concat());
    assert_eq!((ended.code, &*ended.stderr), (0, ""), "{arguments:?}: {ended:#?}");
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stdout))
}

/// The one round of a target: all that was sent has arrived, and its figures make sense.
#[track_caller]
fn assert_whole(told: &Value, target: usize, has_process: bool) {
    let target = &told["targets"][target];
    let round = &target["rounds"][0];
    let figure = |name: &str| round[name].as_f64().unwrap_or_else(|| panic!("{name}: {told:#}"));
    assert!(figure("delivered") > 0.0 && figure("sent") > 0.0, "{told:#}");
    assert_eq!(figure("loss"), 0.0, "{told:#}");
    assert!(figure("seconds") >= 0.3 && figure("packets_per_second") > 0.0, "{told:#}");
    let delay = |name: &str| round["delay_us"][name].as_f64().expect("a delay");
    assert!(delay("p50") > 0.0 && delay("p50") <= delay("p99") && delay("p99") <= delay("p999"), "{told:#}");
    assert_eq!(target["median"]["delivered"], round["delivered"]);
    if has_process {
        assert!(figure("cpu_seconds") > 0.0 && figure("cpu_us_per_packet") > 0.0, "{told:#}");
        assert!(figure("rss_bytes") > f64::from(1 << 20), "{told:#}");
        assert!(round["switches"]["voluntary"].is_u64() && round["switches"]["involuntary"].is_u64());
    } else {
        assert!(round.get("cpu_seconds").is_none() && round.get("switches").is_none(), "{told:#}");
    }
}

#[test]
fn bench_relays_by_every_transport_message_and_way() {
    let sections = "[tls]\nmode = \"self-signed\"\n".to_owned();
    let config = Config { transports: "\"udp\", \"tcp\", \"tls\"", sections, ..Config::default() };
    let daemon = Daemon::start(&config);
    let target = format!("{},pid={}", daemon.server, daemon.pid());
    let mut delivered = 0.0;
    for transport in ["udp", "tcp", "tls"] {
        for via in ["channel", "send"] {
            for way in ["up", "down", "both"] {
                let varied = ["relay", "--target", &target, "--secret", SECRET, "--insecure"];
                let varied = [&varied[..], &["--transport", transport, "--via", via, "--way", way]].concat();
                let told = bench_json(&[&varied[..], &GENTLE].concat());
                assert_eq!((&told["schema"], &told["command"]), (&1.into(), &"relay".into()));
                assert_eq!(
                    (&told["options"]["transport"], &told["options"]["via"]),
                    (&transport.into(), &via.into())
                );
                assert_whole(&told, 0, true);
                delivered += told["targets"][0]["median"]["delivered"].as_f64().unwrap();
            }
        }
    }
    daemon.await_allocations(0);
    let relayed = daemon.metrics().sum("turnstone_relay_packets_total{");
    assert!(relayed >= delivered, "the packets went through the relay: {relayed} of {delivered}");
}

#[test]
fn bench_sends_bursts_at_full_speed_to_one_peer() {
    let daemon = Daemon::start(&Config::default());
    let target = daemon.server.to_string();
    let told = bench_json(&[
        "relay",
        "--target",
        &target,
        "--secret",
        SECRET,
        "--clients",
        "4",
        "--rounds",
        "2",
        "--seconds",
        "0.3",
        "--burst",
        "8",
        "--size",
        "1200",
        "--peers",
        "one",
    ]);
    assert_eq!(told["options"]["window"], 16, "two bursts");
    let rounds = told["targets"][0]["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 2);
    assert!(rounds.iter().all(|round| round["delivered"].as_u64() > Some(100)), "{told:#}");
}

#[test]
fn bench_compares_the_first_target_with_each_other_one() {
    let daemon = Daemon::start(&Config::default());
    let target = |name: &str| format!("{name}={},pid={}", daemon.server, daemon.pid());
    let (a, b) = (target("first"), target("second"));
    let arguments = ["relay", "--target", &a, "--target", &b, "--secret", SECRET];
    let ended = bench(&[&arguments[..], &GENTLE].concat());
    assert_eq!((ended.code, &*ended.stderr), (0, ""), "{ended:#?}");
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert!(lines[2].starts_with("first ") && lines[3].starts_with("second "), "{ended:#?}");
    assert!(
        lines[4].starts_with("first / second: ") && lines[4].ends_with("x the CPU per packet"),
        "{ended:#?}"
    );
}

#[test]
fn bench_measures_coturn_alike() {
    let Some(coturn) = Coturn::start() else {
        return skip("bench::bench_measures_coturn_alike", "no `turnserver` (Debian package coturn)");
    };
    let daemon = Daemon::start(&Config::default());
    let ours = format!("turnstone={},pid={}", daemon.server, daemon.pid());
    let theirs = format!("coturn={},pid={}", coturn.server, coturn.child.id());
    for (transport, via) in [("udp", "channel"), ("udp", "send"), ("tcp", "channel")] {
        let arguments = ["relay", "--target", &ours, "--target", &theirs, "--secret", SECRET];
        let arguments = [&arguments[..], &["--transport", transport, "--via", via]].concat();
        let told = bench_json(&[&arguments[..], &GENTLE].concat());
        assert_eq!(told["targets"][1]["name"], "coturn");
        (0..2).for_each(|target| assert_whole(&told, target, true));
    }
    let both = ["--target", &ours, "--target", &theirs, "--rounds", "2"];
    let made = bench_json(&[&["allocate", "--secret", SECRET, "--count", "20"][..], &both].concat());
    assert_eq!(made["targets"][1]["median"]["allocated"], 20, "{made:#}");
    let asked = ["challenge", "--rate", "100", "--seconds", "0.3", "--warm-up", "0"];
    let asked = bench_json(&[&asked[..], &both].concat());
    assert!(asked["targets"][1]["median"]["challenges"].as_u64() > Some(0), "{asked:#}");
}

#[test]
fn bench_makes_allocations_and_ends_them() {
    let daemon = Daemon::start(&Config::default());
    let target = format!("{},pid={}", daemon.server, daemon.pid());
    let asked = ["allocate", "--target", &target, "--secret", SECRET, "--count", "40", "--rounds", "2"];
    let told = bench_json(&asked);
    assert_eq!((&told["schema"], &told["command"]), (&1.into(), &"allocate".into()));
    let rounds = told["targets"][0]["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 2);
    for round in rounds {
        assert_eq!(round["allocated"], 40);
        let named = ["allocations_per_second", "allocations_per_cpu_second", "cpu_seconds", "rss_bytes"];
        assert!(named.iter().all(|name| round[*name].as_f64() > Some(0.0)), "{told:#}");
        assert!(round["bytes_per_allocation"].is_f64(), "{told:#}");
    }
    daemon.await_allocations(0);
    daemon
        .await_metric("turnstone_allocations_total{transport=\"udp\",family=\"ipv4\"}", |made| made == 80.0);
    let table = bench(&asked);
    assert_eq!((table.code, &*table.stderr), (0, ""), "{table:#?}");
    assert!(table.stdout.starts_with("40 allocations over udp"), "{table:#?}");
}

#[test]
fn bench_asks_without_credentials_and_counts_who_is_challenged() {
    let daemon = Daemon::start(&Config::default());
    let target = format!("{},pid={}", daemon.server, daemon.pid());
    let asked = |rate| {
        let short =
            ["--rounds", "1", "--seconds", "0.3", "--warm-up", "0.1", "--sources", "4", "--rate", rate];
        let told = bench_json(&[&["challenge", "--target", &target][..], &short].concat());
        assert_eq!(told["command"], "challenge");
        let round = told["targets"][0]["median"].clone();
        assert!(round["requests"].as_u64() > Some(0) && round["challenges"].as_u64() > Some(0), "{told:#}");
        assert!(round["cpu_us_per_request"].as_f64() > Some(0.0), "{told:#}");
        assert!(round["delay_us"]["p50"].as_f64() > Some(0.0), "{told:#}");
        round
    };
    assert_eq!(asked("100")["unanswered"], 0.0);
    asked("full");
    assert_eq!(daemon.allocations(), 0.0);
}

#[test]
fn bench_measures_a_forwarder_that_knows_no_turn() {
    let forwarder = Forwarder::start();
    let target = format!("floor={},plain", forwarder.server);
    for way in ["up", "down", "both"] {
        let told = bench_json(&[&["relay", "--target", &target, "--way", way][..], &GENTLE].concat());
        assert_whole(&told, 0, false);
    }
}

#[test]
fn bench_says_what_to_do_when_it_is_refused() {
    let closed = Config { peers: String::new(), ..Config::default() };
    let daemon = Daemon::start(&closed);
    let target = daemon.server.to_string();
    let of_target = |more: &[&str]| bench(&[&["relay", "--target", &target][..], &GENTLE, more].concat());

    let wrong = of_target(&["--username", "alice", "--password", "wrong"]);
    assert_refused(&wrong, 1, &["Allocate 401", "check --username and --password"]);
    let forbidden = of_target(&["--secret", SECRET]);
    assert_refused(&forbidden, 1, &["403", "127.0.0.1", "relay.peers.allow"]);
    let applicant = ["allocate", "--target", &target, "--count", "3"];
    let applicant = bench(&[&applicant[..], &["--username", "alice", "--password", "wrong"]].concat());
    assert_refused(&applicant, 1, &["Allocate 401", "check --username and --password"]);
    let nobody = of_target(&[]);
    assert_refused(&nobody, 2, &["--username and --password, or --secret"]);
    let small = of_target(&["--secret", SECRET, "--size", "8"]);
    assert_refused(&small, 2, &["--size is 20"]);
    daemon.await_allocations(0);

    let absent = loopback(free_port()).to_string();
    let absent = bench(&[&["relay", "--target", &absent, "--secret", SECRET][..], &GENTLE].concat());
    assert_refused(&absent, 3, &["nobody listens there for UDP"]);
    for command in
        [&["allocate", "--secret", SECRET][..], &["challenge", "--rounds", "1", "--seconds", "0.2"]]
    {
        let absent = format!("127.0.0.1:{}", free_port());
        let ended = bench(&[command, &["--target", &absent]].concat());
        assert_refused(&ended, 3, &["nobody listens there for UDP"]);
    }
}

#[test]
fn bench_ends_the_allocations_of_a_user_who_may_have_no_more() {
    let daemon = Daemon::start(&Config::default());
    let target = daemon.server.to_string();
    let user = ["--username", "alice", "--password", "alice-password", "--clients", "40", "--seconds", "0.1"];
    let ended = bench(&[&["relay", "--target", &target][..], &user].concat());
    assert_refused(&ended, 1, &["Allocate 486", "limits.allocations_per_user", "--secret"]);
    daemon.await_allocations(0);
    let ended = bench(&[&["allocate", "--target", &target, "--count", "40"][..], &user[..4]].concat());
    assert_refused(&ended, 1, &["Allocate 486", "limits.allocations_per_user", "--secret"]);
    daemon.await_allocations(0);
}

/// It ended so, in one line that has these words.
#[track_caller]
fn assert_refused(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!((ended.code, &*ended.stdout, ended.stderr.lines().count()), (code, "", 1), "{ended:#?}");
    words.iter().for_each(|word| assert!(ended.stderr.contains(word), "{word}: {ended:#?}"));
}

/// A running coturn that takes the secret of the tests.
struct Coturn {
    child: Child,
    server: SocketAddr,
    _folder: Folder,
}

impl Coturn {
    /// `None` where it is not installed.
    fn start() -> Option<Self> {
        let (folder, server) = (Folder::new(), loopback(free_port()));
        let files = folder.path().display();
        let config = format!(
            "listening-ip={ip}\nlistening-port={}\nrelay-ip={ip}\nmin-port=30000\nmax-port=31000\n\
             use-auth-secret\nstatic-auth-secret={SECRET}\nrealm=turn\nuserdb={files}/turndb\n\
             allow-loopback-peers\nno-tls\nno-dtls\nno-cli\nlog-file=/dev/null\nsimple-log\nno-stdout-log\n\
             pidfile={files}/pid\n",
            server.port(),
            ip = server.ip(),
        );
        let path = folder.write("turnserver.conf", &config);
        let mut command = Command::new("turnserver");
        command.arg("-c").arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().ok()?;
        eventually(PATIENCE, "coturn listens", || std::net::TcpStream::connect(server).ok());
        Some(Self { child, server, _folder: folder })
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Forwards as the floor of `benches/peers` does: no check of anything.
struct Forwarder {
    server: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Flow {
    client: SocketAddr,
    peer: SocketAddr,
    socket: UdpSocket,
}

impl Forwarder {
    fn start() -> Self {
        let socket = UdpSocket::bind(loopback(0)).unwrap();
        let server = socket.local_addr().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = Some(std::thread::spawn(move || forward(&socket, &over)));
        Self { server, is_over, thread }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _panicked = self.thread.take().map(JoinHandle::join);
    }
}

fn forward(listener: &UdpSocket, is_over: &AtomicBool) {
    // Short waits at the listener, since what peers send waits behind them.
    listener.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let (mut flows, mut room) = (Vec::<Flow>::new(), [0; 2048]);
    while !is_over.load(Ordering::Relaxed) {
        if let Ok((length, client)) = listener.recv_from(&mut room) {
            match &room[..length] {
                [b'F', b'O', b'R', b'W', b'A', b'R', b'D', 0, peer @ ..] => {
                    let flow = Flow::open(client, peer.try_into().expect("18 bytes"));
                    listener.send_to(&flow.answer(flows.len()), client).unwrap();
                    flows.push(flow);
                }
                [0x40, number, _, _, payload @ ..] => {
                    let flow = &flows[usize::from(*number)];
                    flow.socket.send_to(payload, flow.peer).unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
        for (number, flow) in flows.iter().enumerate() {
            while let Ok((length, _)) = flow.socket.recv_from(&mut room[4..]) {
                room[..4].copy_from_slice(&[0x40, number as u8, (length >> 8) as u8, length as u8]);
                listener.send_to(&room[..4 + length], flow.client).unwrap();
            }
        }
    }
}

impl Flow {
    fn open(client: SocketAddr, peer: [u8; 18]) -> Self {
        let ip: [u8; 16] = peer[..16].try_into().unwrap();
        let IpAddr::V4(ip) = Ipv6Addr::from(ip).to_canonical() else { panic!("{ip:?}") };
        let socket = UdpSocket::bind(loopback(0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let peer = SocketAddr::from((ip, u16::from_be_bytes([peer[16], peer[17]])));
        Self { client, peer, socket }
    }

    fn answer(&self, number: usize) -> Vec<u8> {
        let port = self.socket.local_addr().unwrap().port().to_be_bytes();
        let ip = Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets();
        [&[0x40, number as u8][..], &ip, &port].concat()
    }
}
