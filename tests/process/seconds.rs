//! What the dashboard draws, by the second, against what `/metrics` counts.

use crate::caller::Caller;
use crate::daemon::{Config, Daemon, PATIENCE, eventually};
use crate::figures::Over;
use crate::minting;
use crate::traffic::Traffic;
use crate::verbs::{ask, ask_json};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// What samples come to.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sums {
    /// From clients and from peers.
    bytes: [u64; 2],
    packets: [u64; 2],
    drops: BTreeMap<String, u64>,
}

impl Sums {
    /// Adds the samples of an answer.
    fn add(&mut self, figures: &Value) {
        let samples =
            figures["last_sample"].as_u64().unwrap() + 1 - figures["first_sample"].as_u64().unwrap();
        let sum = |series: &Value| {
            let series = series.as_array().unwrap();
            assert_eq!(series.len() as u64, samples, "{figures}");
            series.iter().map(|count| count.as_u64().unwrap()).sum::<u64>()
        };
        for door in figures["doors"].as_array().unwrap() {
            let bits = ["bytes_in_bps", "bytes_out_bps"].map(|way| sum(&door[way]));
            assert_eq!(bits.map(|bits| bits % 8), [0; 2], "whole bytes");
            self.bytes = [0, 1].map(|way| self.bytes[way] + bits[way] / 8);
        }
        let packets = ["packets_in_pps", "packets_out_pps"].map(|way| sum(&figures[way]));
        self.packets = [0, 1].map(|way| self.packets[way] + packets[way]);
        for drops in figures["drops"].as_array().unwrap() {
            *self.drops.entry(drops["reason"].as_str().unwrap().to_owned()).or_default() +=
                sum(&drops["per_s"]);
        }
    }

    /// The same of `/metrics`.
    fn counted(daemon: &Daemon, reasons: impl Iterator<Item = String>) -> Self {
        let metrics = daemon.metrics();
        let ways = |family: &str| {
            ["from_client", "from_peer"].map(|way| {
                metrics.sum(&format!("turnstone_relay_{family}_total{{direction=\"{way}\"")) as u64
            })
        };
        let dropped = |reason: String| {
            let count = match &*reason {
                "receive_buffer_full" => metrics.get("turnstone_socket_receive_drops_total"),
                reason => metrics.get(&format!("turnstone_dropped_packets_total{{reason=\"{reason}\"}}")),
            };
            (reason, count as u64)
        };
        Self { bytes: ways("bytes"), packets: ways("packets"), drops: reasons.map(dropped).collect() }
    }
}

/// A page that asks for what is new, again and again.
#[derive(Default)]
struct Page {
    sums: Sums,
    last: Option<u64>,
}

impl Page {
    fn look(&mut self, daemon: &Daemon) -> Value {
        let figures = match self.last {
            None => get(daemon, "/v1/figures"),
            Some(last) => get(daemon, &format!("/v1/figures?since={last}")),
        };
        let first = figures["first_sample"].as_u64().unwrap();
        assert!(self.last.is_none_or(|last| first == last + 1), "each sample once: {figures}");
        self.last = figures["last_sample"].as_u64();
        self.sums.add(&figures);
        figures
    }
}

#[test]
fn the_seconds_of_the_dashboard_add_up_to_what_metrics_count() {
    let daemon = Daemon::start(&Config::default().relay("workers = 2"));
    let mut traffic = Traffic::start(daemon.server, "all", 5);
    let (round, begun, over) = (traffic.round_bytes(), AtomicU64::new(0), AtomicBool::new(false));
    let mut page = Page::default();
    page.look(&daemon);
    let begin = page.last.unwrap();
    std::thread::scope(|scope| {
        let _ends_with_us = Over(&over);
        scope.spawn(|| {
            while !over.load(SeqCst) {
                begun.fetch_add(1, SeqCst);
                traffic.round_without_loss();
            }
        });
        eventually(PATIENCE, "three seconds with traffic", || {
            page.look(&daemon);
            let sent = begun.load(SeqCst) * round;
            let is_true = page.sums.bytes.iter().all(|bytes| *bytes <= sent);
            assert!(is_true, "{:?} when {sent} were sent", page.sums);
            (page.last.unwrap() >= begin + 4).then_some(())
        });
    });
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..40 {
        stranger.send_to(&[0xff; 20], daemon.server).unwrap();
    }
    assert_eq!(Caller::of(daemon.server, "alice", "not hers").try_allocate(&[]).code, 401);
    let all = begun.load(SeqCst) * round;
    let told = eventually(PATIENCE, "the page has all of it", || {
        let told = page.look(&daemon);
        let counted = Sums::counted(&daemon, page.sums.drops.keys().cloned());
        (page.sums.bytes == [all; 2] && page.sums == counted).then_some(told)
    });
    assert_eq!(page.sums.drops["unknown_protocol"], 40, "{:?}", page.sums);
    let failures = told["failures"].as_array().unwrap();
    let wrong = failures.iter().find(|failure| failure["reason"] == "bad_integrity").unwrap();
    assert_eq!(
        (&wrong["kind"], &wrong["total"], &wrong["last_minute"]),
        (&json!("credential"), &json!(1), &json!(1))
    );
    let (mut whole, kept) = (Sums::default(), get(&daemon, "/v1/figures"));
    whole.add(&kept);
    assert_eq!(whole, page.sums, "in one answer");
    assert_eq!(kept["doors"][0]["door"], format!("udp {}", daemon.server));
    assert_eq!(kept["capacity"]["sessions"], json!({ "now": 5, "max": null }));
    assert_eq!(kept["capacity"]["ports"]["now"], 5);
}

#[test]
fn who_logs_in_sees_the_figures_by_their_cookie_until_the_key_goes() {
    let daemon = Daemon::start(&Config::default());
    let made = ask_json(&daemon, &["api-key", "new", "--name", "me", "--scope", "admin"]);
    let (host, body) = (daemon.admin, json!({ "key": made["key"] }).to_string());
    let head = format!(
        "POST /v1/login HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(host).unwrap();
    stream.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    let cookie = format!("Cookie: {}", cookie.split(';').next().unwrap());
    let figures = || {
        let stream = TcpStream::connect(daemon.admin).unwrap();
        let (status, _, figures) = minting::ask(stream, "GET", "/v1/figures", &[&cookie], "");
        (status, figures)
    };
    let (status, told) = figures();
    assert_eq!((status, &told["health"]["state"]), (200, &json!("serving")), "{told}");
    assert_eq!(ask(&daemon, &["api-key", "revoke", made["id"].as_str().unwrap()]).code, 0);
    assert_eq!(figures().0, 401);
}

#[track_caller]
fn get(daemon: &Daemon, path: &str) -> Value {
    let socket = UnixStream::connect(daemon.socket_path()).unwrap();
    let (status, _, answer) = minting::ask(socket, "GET", path, &[], "");
    assert_eq!(status, 200, "{answer}");
    answer
}
