//! The call flow of an application as it is, by an unmodified socket.io-client: the same events with and without
//! answers, with and without call ids, with and without an accept of its own.

use crate::node::Client;
use crate::stage::{Stage, token};
use serde_json::{Value, json};

/// What one run of the flow leaves out, or not.
#[derive(Clone, Copy, Debug)]
struct Way {
    asks: bool,
    names_calls: bool,
    accepts: bool,
}

impl Way {
    /// An event, with an answer where that is the way.
    #[track_caller]
    fn say(self, client: &Client<'_>, event: &str, data: Value) {
        if self.asks {
            client.get(event, data);
        } else {
            client.say(event, data);
        }
    }

    /// The payload with `call_id`, where that is the way.
    fn with(self, id: &Value, mut data: Value) -> Value {
        if self.names_calls {
            data["call_id"] = id.clone();
        }
        data
    }
}

fn offer() -> Value {
    json!({ "type": "offer", "sdp": "v=0\r\n" })
}

fn answer() -> Value {
    json!({ "type": "answer", "sdp": "v=0\r\na=recvonly\r\n" })
}

#[test]
fn the_call_flow_works_with_or_without_acks_call_ids_and_accept() {
    let Some(stage) = Stage::set("flow::the_call_flow_works_with_or_without_acks_call_ids_and_accept") else {
        return;
    };
    for number in 0..8 {
        let way = Way { asks: number & 1 > 0, names_calls: number & 2 > 0, accepts: number & 4 > 0 };
        // A user may start only so many calls a second.
        let (caller, callee) = (format!("caller{number}"), format!("callee{number}"));
        let (alice, bob) = (stage.socketio(&caller), stage.socketio(&callee));
        a_call(way, &alice, &bob);
        // No event without an acknowledgement came back as an error, and none came twice.
        for client in [&alice, &bob] {
            client.expect_nothing_more();
        }
        assert_eq!(events(&alice), caller_story(), "{way:?}");
        assert_eq!(events(&bob), callee_story(), "{way:?}");
        for client in [alice, bob] {
            client.tell("close", json!({}));
        }
    }
}

fn a_call(way: Way, alice: &Client<'_>, bob: &Client<'_>) {
    let (to_bob, to_alice) = (json!({ "to": bob.name }), json!({ "to": alice.name }));
    let and = |to: &Value, field: &str, value: Value| {
        let mut data = to.clone();
        data[field] = value;
        data
    };
    way.say(alice, "call:start", json!({ "callee_id": bob.name }));
    let id = alice.hear("call:ringing")["call_id"].clone();
    let incoming = bob.hear("call:incoming");
    assert_eq!((&incoming["call_id"], &incoming["caller_id"]), (&id, &json!(alice.name)));

    way.say(alice, "webrtc:offer", way.with(&id, and(&to_bob, "offer", offer())));
    assert_eq!(bob.hear("webrtc:offer")["offer"], offer());
    way.say(alice, "webrtc:ice-candidate", way.with(&id, and(&to_bob, "candidate", json!("a"))));
    assert_eq!(bob.hear("webrtc:ice-candidate")["candidate"], "a");

    if way.accepts {
        way.say(bob, "call:accepted", way.with(&id, to_alice.clone()));
        assert_eq!(alice.hear("call:accepted")["from"], bob.name.as_str());
    }
    way.say(bob, "webrtc:answer", way.with(&id, and(&to_alice, "answer", answer())));
    if !way.accepts {
        assert_eq!(alice.hear("call:accepted")["from"], bob.name.as_str());
    }
    let heard = alice.hear("webrtc:answer");
    assert_eq!((&heard["answer"], &heard["from"]), (&answer(), &json!(bob.name)));
    way.say(bob, "webrtc:ice-candidate", way.with(&id, and(&to_alice, "candidate", json!("b"))));
    assert_eq!(alice.hear("webrtc:ice-candidate")["candidate"], "b");

    way.say(alice, "call:end", way.with(&id, to_bob.clone()));
    let end = bob.hear("call:end");
    assert_eq!((&end["call_id"], &end["reason"]), (&id, &json!("hangup")));
}

fn caller_story() -> [&'static str; 5] {
    ["connection:established", "call:ringing", "call:accepted", "webrtc:answer", "webrtc:ice-candidate"]
}

fn callee_story() -> [&'static str; 5] {
    ["connection:established", "call:incoming", "webrtc:offer", "webrtc:ice-candidate", "call:end"]
}

/// The events that a client looked at; not how it came in, and no answers.
fn events(client: &Client<'_>) -> Vec<String> {
    let is_event = |word: &String| word.contains(':') || word == "error";
    client.story().into_iter().filter(|word| is_event(word) && !word.starts_with("ack of")).collect()
}

#[test]
fn the_first_of_two_devices_wins_and_the_other_stops_ringing() {
    let Some(stage) = Stage::set("flow::the_first_of_two_devices_wins_and_the_other_stops_ringing") else {
        return;
    };
    let alice = stage.socketio("alice");
    let (phone, laptop) =
        (stage.socketio_as("bob", "phone", json!({})), stage.socketio_as("bob", "laptop", json!({})));
    let started = alice.get("call:start", json!({ "callee_id": "bob" }));
    assert_eq!(started["devices"], 2);
    alice.hear("call:ringing");
    alice.say("webrtc:offer", json!({ "to": "bob", "offer": offer() }));
    for device in [&phone, &laptop] {
        device.hear("call:incoming");
        device.hear("webrtc:offer");
    }
    laptop.get("webrtc:answer", json!({ "to": "alice", "answer": answer() }));
    let end = phone.hear("call:end");
    assert_eq!((&end["reason"], &end["ended_by"]), (&json!("answered_elsewhere"), &json!("bob")));
    assert_eq!(alice.hear("call:accepted")["device_id"], "laptop");
    alice.hear("webrtc:answer");
    // Too late.
    let late = phone.refused("webrtc:answer", json!({ "to": "alice", "answer": answer() }));
    assert_eq!(late, "answered_elsewhere");
    phone.say("call:accepted", json!({ "call_id": started["call_id"] }));
    let error = phone.hear("call:error");
    assert_eq!((&error["event"], &error["code"]), (&json!("call:accepted"), &json!("answered_elsewhere")));
    laptop.get("call:end", json!({ "to": "alice" }));
    alice.hear("call:end");
    for client in [&alice, &phone, &laptop] {
        client.expect_nothing_more();
    }
}

#[test]
fn two_who_call_each_other_are_in_one_call() {
    let Some(stage) = Stage::set("flow::two_who_call_each_other_are_in_one_call") else { return };
    let (alice, bob) = (stage.socketio("alice"), stage.socketio("bob"));
    let first = alice.get("call:start", json!({ "callee_id": "bob" }));
    // It has not looked yet, and calls.
    let second = bob.get("call:start", json!({ "callee_id": "alice" }));
    assert_eq!(second["call_id"], first["call_id"]);
    assert_eq!((&second["role"], &second["glare"]), (&json!("callee"), &json!(true)));
    // And its offer for the call that never was goes nowhere.
    bob.say("webrtc:offer", json!({ "to": "alice", "offer": offer() }));
    bob.hear("call:incoming");
    assert_eq!(bob.hear("call:error")["code"], "glare");
    alice.hear("call:ringing");
    alice.say("webrtc:offer", json!({ "to": "bob", "offer": offer() }));
    bob.hear("webrtc:offer");
    bob.say("webrtc:answer", json!({ "to": "alice", "answer": answer() }));
    alice.hear("call:accepted");
    alice.hear("webrtc:answer");
    for client in [&alice, &bob] {
        client.expect_nothing_more();
    }
}

#[test]
fn those_who_say_that_they_know_glare_are_connected_without_a_prompt() {
    let Some(stage) = Stage::set("flow::those_who_say_that_they_know_glare_are_connected_without_a_prompt")
    else {
        return;
    };
    let alice = stage.socketio_as("alice", "alice", json!({ "caps": ["glare"] }));
    let bob = stage.socketio_as("bob", "bob", json!({ "caps": ["glare"] }));
    let first = alice.get("call:start", json!({ "callee_id": "bob" }));
    let second = bob.get("call:start", json!({ "callee_id": "alice" }));
    assert_eq!((&second["call_id"], &second["state"]), (&first["call_id"], &json!("connecting")));
    alice.hear("call:ringing");
    alice.hear("call:accepted");
    bob.hear("call:incoming");
    for client in [&alice, &bob] {
        client.expect_nothing_more();
    }
}

#[test]
fn a_callee_may_decline_and_one_in_a_call_is_busy() {
    let Some(stage) = Stage::set("flow::a_callee_may_decline_and_one_in_a_call_is_busy") else { return };
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| stage.socketio(name));
    alice.say("call:start", json!({ "callee_id": "bob" }));
    alice.hear("call:ringing");
    bob.hear("call:incoming");
    bob.say("call:rejected", json!({ "to": "alice" }));
    let rejected = alice.hear("call:rejected");
    assert_eq!((&rejected["from"], &rejected["reason"]), (&json!("bob"), &json!("declined")));
    assert_eq!(alice.hear("call:end")["reason"], "rejected");

    alice.say("call:start", json!({ "callee_id": "bob" }));
    alice.hear("call:ringing");
    bob.hear("call:incoming");
    carol.say("call:start", json!({ "callee_id": "bob" }));
    assert_eq!(carol.hear("call:error")["code"], "busy");
    assert_eq!(carol.hear("call:rejected")["reason"], "busy");
    assert_eq!(carol.refused("call:start", json!({ "callee_id": "bob" })), "busy");
    assert_eq!(carol.hear("call:rejected")["reason"], "busy");

    // The caller gives up, and the callee stops ringing.
    alice.say("call:end", json!({ "to": "bob" }));
    assert_eq!(bob.hear("call:end")["reason"], "cancelled");
    for client in [&alice, &bob, &carol] {
        client.expect_nothing_more();
    }
}

#[test]
fn a_callee_who_is_not_there_is_offline_and_one_who_comes_while_it_rings_hears_the_offer() {
    let Some(stage) = Stage::set(
        "flow::a_callee_who_is_not_there_is_offline_and_one_who_comes_while_it_rings_hears_the_offer",
    ) else {
        return;
    };
    let alice = stage.socketio("alice");
    assert_eq!(alice.refused("call:start", json!({ "callee_id": "bob" })), "offline");
    assert_eq!(alice.hear("call:rejected")["reason"], "offline");
    // An application that waits for no answer goes on for a while.
    alice.say("webrtc:offer", json!({ "to": "bob", "offer": offer() }));
    assert_eq!(alice.hear("call:error")["code"], "ended");

    let phone = stage.socketio_as("bob", "phone", json!({}));
    alice.get("call:start", json!({ "callee_id": "bob" }));
    alice.hear("call:ringing");
    alice.get("webrtc:offer", json!({ "to": "bob", "offer": offer() }));
    let auth = json!({ "token": token("bob"), "deviceId": "laptop" });
    let laptop = stage.opening("laptop", &stage.url(), auth, crate::stage::websocket());
    crate::stage::in_by_socketio(&laptop);
    laptop.hear("call:incoming");
    assert_eq!(laptop.hear("webrtc:offer")["offer"], offer());
    assert_eq!(alice.hear("call:ringing")["devices"], 2);
    phone.hear("call:incoming");
    phone.hear("webrtc:offer");
    laptop.get("webrtc:answer", json!({ "to": "alice", "answer": answer() }));
    assert_eq!(phone.hear("call:end")["reason"], "answered_elsewhere");
    alice.hear("call:accepted");
    alice.hear("webrtc:answer");
    for client in [&alice, &phone, &laptop] {
        client.expect_nothing_more();
    }
}
