//! Connections that break, and clients that go on.

use crate::cutter::{Cut, Cutter};
use crate::node::Client;
use crate::stage::{Stage, in_by_plain, in_by_socketio, token};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};

/// Events of one conversation.
const EVENTS: usize = 200;
/// So many conversations share out the events at which a connection is broken: a user may connect only so often.
const SHARES: usize = 5;
/// Events under way at once, so that a break finds some of them sent and some not.
const WINDOW: usize = 8;

/// Where a connection is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The event has come, whole.
    Behind,
    /// Half of its text has come.
    Within,
}

#[test]
fn a_websocket_that_is_closed_behind_each_of_200_events_loses_nothing() {
    cut_at_every_event(
        "a_websocket_that_is_closed_behind_each_of_200_events_loses_nothing",
        "websocket",
        Cut::Fin,
        Place::Behind,
    );
}

#[test]
fn a_websocket_that_is_reset_behind_each_of_200_events_loses_nothing() {
    cut_at_every_event(
        "a_websocket_that_is_reset_behind_each_of_200_events_loses_nothing",
        "websocket",
        Cut::Reset,
        Place::Behind,
    );
}

#[test]
fn a_websocket_that_is_reset_within_each_of_200_events_loses_nothing() {
    cut_at_every_event(
        "a_websocket_that_is_reset_within_each_of_200_events_loses_nothing",
        "websocket",
        Cut::Reset,
        Place::Within,
    );
}

#[test]
fn a_poll_that_is_closed_behind_each_of_200_events_loses_nothing() {
    cut_at_every_event(
        "a_poll_that_is_closed_behind_each_of_200_events_loses_nothing",
        "polling",
        Cut::Fin,
        Place::Behind,
    );
}

#[test]
fn a_poll_that_is_reset_within_each_of_200_events_loses_nothing() {
    cut_at_every_event(
        "a_poll_that_is_reset_within_each_of_200_events_loses_nothing",
        "polling",
        Cut::Reset,
        Place::Within,
    );
}

#[test]
fn a_plain_client_that_is_closed_behind_each_of_200_events_loses_nothing() {
    cut_at_every_event(
        "a_plain_client_that_is_closed_behind_each_of_200_events_loses_nothing",
        "plain",
        Cut::Fin,
        Place::Behind,
    );
}

#[test]
fn a_plain_client_that_is_reset_behind_each_of_200_events_loses_nothing() {
    cut_at_every_event(
        "a_plain_client_that_is_reset_behind_each_of_200_events_loses_nothing",
        "plain",
        Cut::Reset,
        Place::Behind,
    );
}

fn cut_at_every_event(test: &str, wire: &str, how: Cut, place: Place) {
    let Some(stage) = Stage::set(&format!("recovery::{test}")) else { return };
    let cutters: Vec<_> =
        (0..SHARES).map(|share| Cutter::start(stage.public, how, rule(share, place))).collect();
    let mut conversations = HashMap::new();
    for (share, cutter) in cutters.iter().enumerate() {
        let sender = stage.plain(&format!("sender{share}"));
        let name = format!("receiver{share}");
        let receiver = receiver(&stage, &name, wire, cutter);
        conversations.insert(name, (sender, receiver, 0, Vec::new()));
    }
    for (sender, receiver, sent, _) in conversations.values_mut() {
        while *sent < WINDOW {
            send(sender, receiver, sent);
        }
    }
    let mut left = SHARES;
    while left > 0 {
        let report = stage.node.next();
        let Some((sender, receiver, sent, got)) = conversations.get_mut(report["as"].as_str().unwrap())
        else {
            continue;
        };
        take(&report, receiver, got);
        if report["event"] == "event" {
            // One more behind them tells that the last break is over.
            if *sent <= EVENTS {
                send(sender, receiver, sent);
            }
            left -= usize::from(got.len() == EVENTS + 1);
        }
    }
    for (name, (_, receiver, _, got)) in &conversations {
        assert!(got.iter().copied().eq(0..=EVENTS), "{name}: {got:?}");
        // Whatever is still under way would be a duplicate.
        let ack = receiver.begin("heartbeat", json!({}));
        loop {
            let report = stage.node.next();
            if report["as"] != **name {
                continue;
            }
            assert_ne!(report["event"], "event", "{report}");
            if report["what"] == "ack" && report["ack"] == ack {
                break;
            }
        }
    }
    for cutter in &cutters {
        assert_eq!(cutter.cuts(), EVENTS / SHARES);
    }
    if (wire, place) == ("polling", Place::Behind) {
        // Such an answer was whole: the client polls again over another connection, and has missed nothing.
        return;
    }
    let recovered = "turnstone_signaling_recoveries_total{outcome=\"recovered\"}";
    stage.daemon.await_metric(recovered, |count| count >= EVENTS as f64);
}

#[test]
fn a_client_that_was_away_for_too_much_gets_a_snapshot_and_no_part_of_what_it_missed() {
    let test = "recovery::a_client_that_was_away_for_too_much_gets_a_snapshot_and_no_part_of_what_it_missed";
    let Some(stage) = Stage::set(test) else { return };
    for wire in ["websocket", "plain"] {
        let talkers = ["one", "two", "caller"].map(|name| stage.plain(&format!("{name}-{wire}")));
        let cutter = Cutter::patient(stage.public);
        let name = format!("by-{wire}");
        let client = receiver(&stage, &name, wire, &cutter);
        // A call that is there when it comes back.
        let id = talkers[2].get("call:start", json!({ "to": name }))["call_id"].clone();
        assert_eq!(client.hear("call:incoming")["call_id"], id);
        cutter.shut();
        client.await_seen(if wire == "plain" { "close" } else { "disconnect" });
        // More than 256 events, by two users: each may say 200 at once.
        for number in 0..260 {
            talkers[number % 2].say("event:emit", json!({ "to": name, "name": "line", "data": number }));
        }
        talkers[..2].iter().for_each(Client::expect_nothing_more);
        cutter.open();
        if wire == "plain" {
            client.tell("reconnect", json!({}));
        }
        let entry = client.await_seen(if wire == "plain" { "welcome" } else { "connect" });
        assert_eq!(entry["body"]["recovered"], false, "{entry}");
        assert_eq!(client.hear("connection:established")["recovered"], false);
        let snapshot = client.hear("call:sync");
        assert_eq!(snapshot["calls"].as_array().map(Vec::len), Some(1), "{snapshot}");
        assert_eq!(
            (&snapshot["calls"][0]["call_id"], &snapshot["calls"][0]["role"]),
            (&id, &json!("callee"))
        );
        client.expect_nothing_more();
        client.get("call:rejected", json!({ "call_id": id }));
        talkers[2].await_seen("call:end");
    }
}

#[test]
fn a_message_whose_answer_is_lost_is_sent_again_and_comes_once() {
    let test = "recovery::a_message_whose_answer_is_lost_is_sent_again_and_comes_once";
    let Some(stage) = Stage::set(test) else { return };
    let bob = stage.plain("bob");
    for (name, how) in [("by-fin", Cut::Fin), ("by-rst", Cut::Reset)] {
        // The first answer of each message is lost with its connection.
        let mut lost = BTreeSet::new();
        let cutter = Cutter::start(stage.public, how, move |heard, begin| {
            const FIELD: &[u8] = b"\"ok\":true,\"id\":\"";
            let at = heard[begin..].windows(FIELD.len()).position(|window| window == FIELD)? + begin;
            let id = heard[at + FIELD.len()..].split(|byte| *byte == b'"').next().map(<[u8]>::to_vec);
            lost.insert(id).then_some(at)
        });
        let options = json!({ "transports": ["websocket"], "retries": 20, "ackTimeout": 2000 });
        let url = format!("http://{}", cutter.address);
        let client = stage.opening(name, &url, json!({ "token": token(name) }), options);
        in_by_socketio(&client);
        let acks: Vec<u64> = (0..5)
            .map(|number| {
                let reference = format!("{name} {number}");
                client.begin("message:send", json!({ "to": "bob", "body": number, "client_ref": reference }))
            })
            .collect();
        for ack in acks {
            let answer = loop {
                let report = client.await_seen("ack");
                if report["ack"] == ack {
                    break report["body"].clone();
                }
            };
            assert_eq!(answer["ok"], true, "{answer}");
        }
        for number in 0..5 {
            assert_eq!(bob.hear("message:receive")["body"], number);
        }
        bob.expect_nothing_more();
        assert_eq!(cutter.cuts(), 5);
    }
}

fn receiver<'s>(stage: &'s Stage, name: &str, wire: &str, cutter: &Cutter) -> Client<'s> {
    let auth = json!({ "token": token(name) });
    if wire == "plain" {
        let client = stage.opening_plain(name, cutter.address, auth);
        in_by_plain(&client);
        return client;
    }
    let url = format!("http://{}", cutter.address);
    let client = stage.opening(name, &url, auth, json!({ "transports": [wire] }));
    in_by_socketio(&client);
    client
}

fn send(sender: &Client<'_>, receiver: &Client<'_>, sent: &mut usize) {
    let data = format!("#{sent}#");
    sender.say("event:emit", json!({ "to": receiver.name, "name": "line", "data": data }));
    *sent += 1;
}

fn take(report: &Value, receiver: &Client<'_>, got: &mut Vec<usize>) {
    match report["what"].as_str().unwrap() {
        "event" if report["event"] == "event" => {
            let text = report["args"][0]["data"].as_str().unwrap();
            got.push(text.trim_matches('#').parse().unwrap());
        }
        "connect" | "welcome" => assert_eq!(report["body"]["recovered"], true, "{report}"),
        // The client of Socket.IO comes back by itself.
        "close" => receiver.tell("reconnect", json!({})),
        "connect_error" => assert_eq!(report["body"]["active"], true, "{report}"),
        _ => {}
    }
}

/// Breaks the connection at each event of this share, the first time that it goes by.
fn rule(share: usize, place: Place) -> impl FnMut(&[u8], usize) -> Option<usize> + Send + 'static {
    let mut left: BTreeSet<usize> = (0..EVENTS).filter(|number| number % SHARES == share).collect();
    move |heard, begin| {
        // A part may begin within a text.
        let from = begin.saturating_sub(8);
        let found = left.iter().copied().find_map(|number| {
            let text = format!("#{number}#");
            let at = heard[from..].windows(text.len()).position(|window| window == text.as_bytes())?;
            Some((number, from + at))
        });
        let (number, at) = found?;
        left.remove(&number);
        // The next frame of text, or packet of a poll, begins with a byte that no text here has.
        let next = || heard[at..].iter().position(|byte| matches!(byte, 0x81 | 0x1e));
        Some(match place {
            Place::Within => at + 1,
            Place::Behind => next().map_or(heard.len(), |length| at + length),
        })
    }
}
