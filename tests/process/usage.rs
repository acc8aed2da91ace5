//! The books against the wire: what was relayed is what the ledger says, also after the daemon was killed.

use crate::caller::{Caller, Incoming, peer, receive};
use crate::daemon::{Config, Daemon, PATIENCE, eventually};
use crate::verbs::{ask, ask_json};
use serde_json::Value;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// A client with a peer that it may reach, and what they sent each other.
struct Pair {
    caller: Caller,
    relayed: SocketAddr,
    peer: UdpSocket,
    sent: u64,
    got: u64,
}

impl Pair {
    fn new(daemon: &Daemon, user: &str) -> Self {
        let mut caller = Caller::of(daemon.server, user, &format!("{user}-password"));
        let (relayed, peer) = (caller.allocate(), peer());
        assert_eq!(caller.permit(peer.local_addr().unwrap()).code, 0);
        Self { caller, relayed, peer, sent: 0, got: 0 }
    }

    /// Both ways, one after the other, so that loopback drops nothing.
    fn talk(&mut self, rounds: usize) {
        let to = self.peer.local_addr().unwrap();
        for round in 0..rounds {
            let (there, back) = (vec![1; 1 + round * 37 % 1200], vec![2; 1 + round * 53 % 1200]);
            self.caller.send(to, &there);
            assert_eq!(receive(&self.peer).0, there);
            self.peer.send_to(&back, self.relayed).unwrap();
            assert_eq!(self.caller.receive(), Incoming::Data(to, back.clone()));
            self.sent += there.len() as u64;
            self.got += back.len() as u64;
        }
    }
}

fn total(usage: &Value) -> (u64, u64) {
    let figure = |name: &str| usage["total"][name].as_u64().unwrap();
    (figure("bytes_from_client"), figure("bytes_from_peer"))
}

/// Waits until the ledger says what was sent, to the byte.
#[track_caller]
fn await_total(daemon: &Daemon, right: (u64, u64)) -> Value {
    let mut last = Value::Null;
    eventually(PATIENCE, "the ledger has every byte", || {
        last = ask_json(daemon, &["usage", "--since", "1h"]);
        (total(&last) == right).then(|| last.clone())
    })
}

#[test]
fn usage_is_what_went_over_the_wire_and_what_metrics_say() {
    let mut daemon = Daemon::start(&Config::default().relay("workers = 2"));
    let mut pairs = [Pair::new(&daemon, "alice"), Pair::new(&daemon, "bob")];
    pairs[0].talk(400);
    pairs[1].talk(100);
    let both = pairs.iter().fold((0, 0), |sum, pair| (sum.0 + pair.sent, sum.1 + pair.got));
    let usage = await_total(&daemon, both);
    let rows = usage["usage"].as_array().unwrap();
    let told: Vec<_> = rows.iter().map(|row| (&row["subject"], &row["bytes_from_client"])).collect();
    let right =
        [("alice", pairs[0].sent), ("bob", pairs[1].sent)].map(|(name, sent)| (name.into(), sent.into()));
    assert_eq!(told, right.each_ref().map(|(name, sent): &(Value, Value)| (name, sent)));
    assert_eq!((&usage["partial"], &rows[0]["packets_from_client"]), (&false.into(), &400.into()));
    eventually(PATIENCE, "metrics say the same", || {
        let metrics = daemon.metrics();
        let way = |way: &str| metrics.sum(&format!("turnstone_relay_bytes_total{{direction=\"{way}\""));
        ((way("from_client"), way("from_peer")) == (both.0 as f64, both.1 as f64)).then_some(())
    });
    let by_door = ask_json(&daemon, &["usage", "--by", "door", "--period", "hour"]);
    assert_eq!(by_door["usage"][0]["door"], format!("udp {}", daemon.server));
    let csv = ask(&daemon, &["usage", "--format", "csv", "--since", "1h"]);
    assert!(
        csv.stdout.contains(&format!(",alice,{},{},400,400,false,false", pairs[0].sent, pairs[0].got)),
        "{csv:#?}"
    );
    let page = ask(&daemon, &["usage"]);
    assert!(
        page.stdout.contains("alice") && page.stdout.lines().all(|line| line.chars().count() <= 80),
        "{page:#?}"
    );
    let refused = ask(&daemon, &["usage", "--since", "soon"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.starts_with("turnstone: since: "), "{refused:#?}");

    // A clean stop in the middle of a minute, with sessions that live.
    daemon.signal(libc::SIGINT);
    assert_eq!(daemon.exit_code(PATIENCE), 0);
    daemon.start_again();
    let usage = await_total(&daemon, both);
    assert_eq!(usage["gaps"], Value::Array(Vec::new()));
}

#[test]
fn a_killed_daemon_misses_its_open_minute_at_most_and_says_so() {
    let mut daemon = Daemon::start(&Config::default());
    let mut pair = Pair::new(&daemon, "alice");
    pair.talk(50);
    let settled = (pair.sent, pair.got);
    await_total(&daemon, settled);
    // What marks the run is one record, a page the second.
    let records = "turnstone_storage_records{table=\"usage_minutes\"}";
    eventually(Duration::from_secs(90), "the minute is over and on the disk", || {
        (daemon.metrics().get(records) >= 2.0).then_some(())
    });
    pair.talk(50);
    let all = (pair.sent, pair.got);
    await_total(&daemon, all);
    daemon.signal(libc::SIGKILL);
    daemon.exit_code(PATIENCE);
    daemon.start_again();
    let usage = ask_json(&daemon, &["usage", "--since", "1h"]);
    let (sent, got) = total(&usage);
    assert!((settled.0..=all.0).contains(&sent) && (settled.1..=all.1).contains(&got), "{usage:#}");
    assert_eq!((&usage["partial"], usage["gaps"].as_array().unwrap().len()), (&true.into(), 1));
    daemon.await_logged("usage of its last minute may be missing");

    // From here on nothing is missing any more.
    let mut pair = Pair::new(&daemon, "bob");
    pair.talk(10);
    await_total(&daemon, (sent + pair.sent, got + pair.got));
}

#[test]
fn events_are_followed_by_verb_and_by_http_until_the_daemon_ends() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let mut daemon = Daemon::start(&Config::default());
    let mut follower = Command::new(crate::daemon::BINARY)
        .args(["events", "--follow", "--json", "--types", "session.started,session.ended", "--config"])
        .arg(daemon.config_path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines().map_while(Result::ok);
    // It may come after the first ones: a session is made and ended until it hears of one.
    let (stop, stopped) = std::sync::mpsc::sync_channel::<()>(1);
    let server = daemon.server;
    let sessions = std::thread::spawn(move || {
        while stopped.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
            let mut caller = Caller::new(server);
            caller.allocate();
            assert_eq!(caller.refresh(0).code, 0);
        }
    });
    let mut next = |kind: &str| loop {
        let event: Value = serde_json::from_str(&lines.next().expect("it follows")).unwrap();
        if event["event"] == kind {
            return event;
        }
    };
    let started = next("session.started");
    assert_eq!(
        (&started["session"]["subject"], &started["session"]["transport"]),
        (&"alice".into(), &"udp".into())
    );
    let ended = next("session.ended");
    assert_eq!((&ended["reason"], &ended["session"]["bytes_from_client"]), (&"released".into(), &0.into()));
    drop(stop);
    sessions.join().unwrap();
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.exit_code(PATIENCE), 0);
    assert_eq!(follower.wait().unwrap().code(), Some(1), "the stream ended, and it says so");
    assert_eq!(ask(&daemon, &["events"]).code, 2, "without --follow there is nothing to show");
    assert_eq!(ask(&daemon, &["events", "--follow"]).code, 3, "the daemon is gone");
}
