//! What recovery has to mind in clients of Socket.IO as they are: they learn where they are from the last argument of
//! whatever event they got last.

use crate::cutter::Cutter;
use crate::node::Client;
use crate::stage::{Stage, in_by_socketio, token, websocket};
use serde_json::{Value, json};

/// A client that can be cut off, and one that talks to it.
#[track_caller]
fn pair<'s>(stage: &'s Stage, cutter: &Cutter) -> (Client<'s>, Client<'s>) {
    let url = format!("http://{}", cutter.address);
    let alice = stage.opening("alice", &url, json!({ "token": token("alice") }), websocket());
    in_by_socketio(&alice);
    (alice, stage.plain("bob"))
}

/// The connection breaks; `meanwhile` happens; the client comes back by itself and is told that it missed nothing.
#[track_caller]
fn come_back(client: &Client<'_>, cutter: &Cutter, meanwhile: impl FnOnce()) {
    cutter.shut();
    let lost = client.await_seen("disconnect");
    assert_eq!(lost["body"]["reason"], "transport close");
    meanwhile();
    cutter.open();
    let entry = client.await_seen("connect");
    assert_eq!(entry["body"]["recovered"], true);
    assert_eq!(client.hear("connection:established")["recovered"], true);
}

fn is_offset(argument: &Value) -> bool {
    let parts = argument.as_str().and_then(|text| text.split_once('.'));
    parts.is_some_and(|(epoch, number)| !epoch.is_empty() && number.parse::<u64>().is_ok())
}

#[test] // a client without any event would not ask for recovery
fn a_client_to_which_nothing_ever_happened_recovers() {
    let Some(stage) = Stage::set("traps::a_client_to_which_nothing_ever_happened_recovers") else { return };
    let cutter = Cutter::patient(stage.public);
    let (alice, bob) = pair(&stage, &cutter);
    come_back(&alice, &cutter, || {
        bob.get("message:send", json!({ "to": "alice", "body": "missed" }));
    });
    assert_eq!(alice.hear("message:receive")["body"], "missed");
    // And once more right after, with nothing but the greeting of the second connection.
    come_back(&alice, &cutter, || ());
    alice.expect_nothing_more();
}

#[test] // any text in the last place counts as the offset
fn an_event_that_is_not_kept_has_an_offset_too() {
    let Some(stage) = Stage::set("traps::an_event_that_is_not_kept_has_an_offset_too") else { return };
    let cutter = Cutter::patient(stage.public);
    let (alice, bob) = pair(&stage, &cutter);
    let events = [
        ("message:typing", "message:typing", json!({ "to": "alice" })),
        ("message:stop_typing", "message:stop_typing", json!({ "to": "alice" })),
        (
            "event:emit",
            "event",
            json!({ "to": "alice", "name": "n", "data": "a text", "class": "droppable" }),
        ),
        ("event:emit", "event", json!({ "to": "alice", "name": "c", "data": "a text", "class": "coalesce" })),
    ];
    for (said, heard, data) in events {
        bob.say(said, data);
        let arguments = alice.hear_all(heard);
        assert!(is_offset(arguments.last().unwrap()), "{heard}: {arguments:?}");
        come_back(&alice, &cutter, || {
            bob.get("message:send", json!({ "to": "alice", "body": "missed" }));
        });
        assert_eq!(alice.hear("message:receive")["body"], "missed");
    }
    alice.expect_nothing_more();
}

#[test] // the callback of an answer would see it in a place that is another's
fn an_answer_has_one_argument_and_no_offset() {
    let Some(stage) = Stage::set("traps::an_answer_has_one_argument_and_no_offset") else { return };
    let cutter = Cutter::patient(stage.public);
    let (alice, bob) = pair(&stage, &cutter);
    let cases = [
        ("heartbeat", json!({})),
        ("message:send", json!({ "to": "bob", "body": "a text" })),
        ("call:start", json!({ "to": "nobody" })),
        ("no:such:event", json!({})),
    ];
    for (event, data) in cases {
        alice.begin(event, data);
        let report = alice.await_seen("ack");
        assert_eq!((&report["more"], report["body"].is_object()), (&json!(0), true), "{event}: {report}");
    }
    // And it still knows where it is.
    come_back(&alice, &cutter, || {
        bob.get("message:send", json!({ "to": "alice", "body": "missed" }));
    });
    assert_eq!(alice.await_seen("message:receive")["args"][0]["body"], "missed");
}

#[test] // handlers are written for the data alone
fn a_handler_sees_the_data_first_and_the_offset_behind_it() {
    let Some(stage) = Stage::set("traps::a_handler_sees_the_data_first_and_the_offset_behind_it") else {
        return;
    };
    let cutter = Cutter::patient(stage.public);
    let (alice, bob) = pair(&stage, &cutter);
    let mut offsets = Vec::new();
    for body in [json!("text"), json!(false), json!([1, 2]), json!({ "a": "E.7" })] {
        bob.get("message:send", json!({ "to": "alice", "body": body }));
        let arguments = alice.hear_all("message:receive");
        let [data, offset] = &arguments[..] else { panic!("{arguments:?}") };
        assert_eq!(data["body"], body);
        assert!(is_offset(offset), "{offset}");
        offsets.push(offset.as_str().unwrap().split_once('.').unwrap().1.parse::<u64>().unwrap());
    }
    assert!(offsets.is_sorted_by(|one, next| one < next), "{offsets:?}");
    // A plain client has it beside the data, not in it.
    alice.get("message:send", json!({ "to": "bob", "body": 1 }));
    assert_eq!(bob.hear_all("message:delivered").len(), 1);
}
