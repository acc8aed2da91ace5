//! Four pages tell of the same bytes: `/metrics`, `/v1/status` (what `top` shows above), `/v1/sessions` (what it shows
//! below) and `/v1/usage`.

use crate::daemon::{Config, Daemon, PATIENCE, eventually};
use crate::minting;
use crate::traffic::Traffic;
use serde_json::Value;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// How far the pages may be apart.
const APART: Duration = Duration::from_secs(1);

/// Looks at all pages while traffic flows. Each waits for the slowest page, and so begins when that has just changed
/// and has the longest way to its next change.
const LOOKS: usize = 10;

/// Looks until the pages are not too far apart, since other processes want the machine, too.
const TRIES: usize = 10;

/// Bytes from clients and from peers.
type Bytes = [u64; 2];

/// A page, and how it is read.
type Page = (&'static str, fn(&Daemon) -> Bytes);

const PAGES: [Page; 4] =
    [("/metrics", metrics), ("/v1/status", status), ("/v1/sessions", sessions), ("/v1/usage", usage)];

#[test]
fn metrics_top_sessions_and_usage_show_the_same_bytes_within_a_second() {
    let daemon = Daemon::start(&Config::default().relay("workers = 2").limits("allocations_per_user = 0"));
    let mut traffic = Traffic::start(daemon.server, "all", 20);
    let (round, begun, over) = (traffic.round_bytes(), AtomicU64::new(0), AtomicBool::new(false));
    let mut last = [[0; 2]; 4];
    let apart = std::thread::scope(|scope| {
        let _ends_with_us = Over(&over);
        scope.spawn(|| {
            while !over.load(SeqCst) {
                begun.fetch_add(1, SeqCst);
                traffic.round_without_loss();
            }
        });
        let mut look = || look(&daemon, &mut last, || begun.load(SeqCst) * round);
        let mut try_to_look = |_| (0..TRIES).map(|_| look()).find(|apart| *apart <= APART);
        let apart: Option<Vec<_>> = (0..LOOKS).map(&mut try_to_look).collect();
        apart.expect("the pages are too far apart, each time").into_iter().max().unwrap()
    });
    println!("within {apart:?} of each other while traffic flows");
    let all = begun.load(SeqCst) * round;
    for (name, read) in PAGES {
        eventually(PATIENCE, name, || (read(&daemon) == [all; 2]).then_some(()));
    }
}

/// Reads all pages, and waits until each shows what one of them showed. Returns how long that took. `sent`: bytes that
/// were sent each way until now at most.
#[track_caller]
fn look(daemon: &Daemon, last: &mut [Bytes; 4], sent: impl Fn() -> u64) -> Duration {
    let mut read = |n: usize| {
        let (name, page) = PAGES[n];
        let shown = page(daemon);
        let most = sent();
        for (shown, last) in shown.into_iter().zip(last[n]) {
            assert!((last..=most).contains(&shown), "{name}: {shown} after {last}, and {most} were sent");
        }
        last[n] = shown;
        shown
    };
    let begin = Instant::now();
    let shown: [Bytes; 4] = std::array::from_fn(&mut read);
    let most: Bytes = std::array::from_fn(|way| shown.iter().map(|bytes| bytes[way]).max().unwrap());
    for (n, (name, _)) in PAGES.into_iter().enumerate() {
        let is_there = |shown: Bytes| shown[0] >= most[0] && shown[1] >= most[1];
        eventually(PATIENCE, name, || (is_there(shown[n]) || is_there(read(n))).then_some(()));
    }
    begin.elapsed()
}

/// Says that it is over, also when a test fails.
pub(crate) struct Over<'a>(pub(crate) &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

fn metrics(daemon: &Daemon) -> Bytes {
    let metrics = daemon.metrics();
    ["from_client", "from_peer"]
        .map(|way| metrics.sum(&format!("turnstone_relay_bytes_total{{direction=\"{way}\"")) as u64)
}

fn status(daemon: &Daemon) -> Bytes {
    bytes(&get(daemon, "/v1/status")["traffic"])
}

fn sessions(daemon: &Daemon) -> Bytes {
    let answer = get(daemon, "/v1/sessions");
    let sessions = answer["sessions"].as_array().unwrap();
    sessions.iter().map(bytes).fold([0; 2], |sum, one| [sum[0] + one[0], sum[1] + one[1]])
}

fn usage(daemon: &Daemon) -> Bytes {
    bytes(&get(daemon, "/v1/usage")["total"])
}

fn bytes(object: &Value) -> Bytes {
    ["bytes_from_client", "bytes_from_peer"].map(|name| object[name].as_u64().unwrap())
}

#[track_caller]
fn get(daemon: &Daemon, path: &str) -> Value {
    let socket = UnixStream::connect(daemon.socket_path()).unwrap();
    let (status, _, answer) = minting::ask(socket, "GET", path, &[], "");
    assert_eq!(status, 200, "{answer}");
    answer
}
