//! Calls of our own client. Its connections are without media (tests/foreign/node/fake_rtc.mjs); all else is real.

use crate::daemon::Daemon;
use crate::node::{Client, Node};
use crate::stage::{Stage, token};
use serde_json::{Value, json};

fn ok(answer: &Value) -> Value {
    assert_eq!(answer["ok"], true, "{answer}");
    answer["data"].clone()
}

#[track_caller]
fn until_state(client: &Client<'_>, state: &str) -> Value {
    loop {
        let report = client.await_seen("call.state");
        if report["args"][0]["told"] == state {
            return report["args"][0]["id"].clone();
        }
    }
}

#[track_caller]
fn look(client: &Client<'_>, id: &Value) -> Value {
    ok(&client.order("look", json!({ "id": id })))
}

/// One calls the other, who accepts; both are connected. Returns the id.
#[track_caller]
fn connected(alice: &Client<'_>, bob: &Client<'_>) -> Value {
    let call = ok(&alice.order("call", json!({ "user": bob.name })));
    bob.await_seen("incoming");
    ok(&bob.order("accept", json!({ "id": call["id"] })));
    for client in [alice, bob] {
        until_state(client, "connected");
    }
    call["id"].clone()
}

/// Both are connected by descriptions of the same generation; returns its ICE user fragments, the first one's first.
#[track_caller]
fn agreed(alice: &Client<'_>, bob: &Client<'_>, id: &Value) -> [Value; 2] {
    let (a, b) = (look(alice, id), look(bob, id));
    for side in [&a, &b] {
        let now = (&side["state"], &side["connection"], &side["signaling"]);
        assert_eq!(now, (&json!("connected"), &json!("connected"), &json!("stable")), "{a}\n{b}");
    }
    assert_eq!(
        (&a["fragments"][0], &a["fragments"][1]),
        (&b["fragments"][1], &b["fragments"][0]),
        "{a}\n{b}"
    );
    [a["fragments"][0].clone(), a["fragments"][1].clone()]
}

#[track_caller]
fn ended(client: &Client<'_>) -> Value {
    client.await_seen("call.ended")["args"][0]["told"].clone()
}

#[test]
fn a_call_rings_connects_and_ends_on_both_sides() {
    let Some(stage) = Stage::set("sdk_calls::a_call_rings_connects_and_ends_on_both_sides") else { return };
    let (alice, bob) = (stage.sdk("alice"), stage.sdk("bob"));
    let asked = json!({ "user": "bob", "options": { "type": "video", "data": { "topic": "été" } } });
    let call = ok(&alice.order("call", asked));
    assert_eq!(
        (&call["state"], &call["role"], &call["peer"]),
        (&json!("ringing"), &json!("caller"), &json!("bob"))
    );
    let incoming = bob.await_seen("incoming")["args"][0].clone();
    for (field, value) in [
        ("id", call["id"].clone()),
        ("peer", json!("alice")),
        ("type", json!("video")),
        ("role", json!("callee")),
        ("state", json!("ringing")),
        ("data", json!({ "topic": "été" })),
    ] {
        assert_eq!(incoming[field], value, "{incoming}");
    }
    let id = &call["id"];
    ok(&bob.order("accept", json!({ "id": id })));
    for client in [&alice, &bob] {
        assert_eq!(until_state(client, "connecting"), *id);
        client.await_seen("call.track");
        until_state(client, "connected");
    }
    agreed(&alice, &bob, id);
    let live = alice.get("call:sync", json!({}));
    assert_eq!((&live["calls"][0]["call_id"], &live["calls"][0]["state"]), (id, &json!("active")));
    // Each has a credential of its own, for this call.
    for (client, user) in [(&alice, ":alice;"), (&bob, ":bob;")] {
        let username = look(client, id)["username"].as_str().unwrap().to_owned();
        assert!(
            username.contains(user) && username.contains(&format!("c={}", id.as_str().unwrap())),
            "{username}"
        );
    }
    ok(&bob.order("hangUp", json!({ "id": id })));
    let end = ended(&alice);
    assert_eq!((&end["reason"], &end["endedBy"]), (&json!("hangup"), &json!("bob")));
    assert_eq!(ended(&bob)["reason"], "hangup");
    assert_eq!(look(&alice, id)["signaling"], "closed");
    for client in [&alice, &bob] {
        assert!(!client.story().contains(&"call.trouble".to_owned()), "{:?}", client.story());
    }
}

#[test]
fn a_call_that_nobody_takes_says_why() {
    let Some(stage) = Stage::set("sdk_calls::a_call_that_nobody_takes_says_why") else { return };
    let (alice, bob) = (stage.sdk("alice"), stage.sdk("bob"));
    assert_eq!(alice.order("call", json!({ "user": "nobody" }))["code"], "offline");
    let id = ok(&alice.order("call", json!({ "user": "bob" })))["id"].clone();
    bob.await_seen("incoming");
    ok(&bob.order("reject", json!({ "id": id })));
    assert_eq!(ended(&alice)["reason"], "rejected");
    ended(&bob);
    let id = ok(&alice.order("call", json!({ "user": "bob" })))["id"].clone();
    bob.await_seen("incoming");
    ok(&alice.order("hangUp", json!({ "id": id })));
    assert_eq!(ended(&bob)["reason"], "cancelled");
    assert_eq!(bob.order("accept", json!({ "id": id }))["code"], "wrong_state");
    // The caller leaves for good while it rings.
    ok(&alice.order("call", json!({ "user": "bob" })));
    bob.await_seen("incoming");
    alice.tell("close", json!({}));
    ended(&bob);
}

#[test]
fn both_call_at_once_and_have_one_call() {
    let Some(stage) = Stage::set("sdk_calls::both_call_at_once_and_have_one_call") else { return };
    let (alice, bob) = (stage.sdk("alice"), stage.sdk("bob"));
    for _ in 0..5 {
        alice.tell("call", json!({ "user": "bob" }));
        bob.tell("call", json!({ "user": "alice" }));
        let id = until_state(&alice, "connected");
        assert_eq!(until_state(&bob, "connected"), id);
        agreed(&alice, &bob, &id);
        ok(&alice.order("hangUp", json!({ "id": id })));
        ended(&alice);
        assert_eq!(ended(&bob)["reason"], "hangup");
    }
    for client in [&alice, &bob] {
        assert!(!client.story().contains(&"incoming".to_owned()), "{:?}", client.story());
    }
}

#[test]
fn a_way_that_fails_is_replaced_with_fresh_credentials() {
    let Some(stage) = Stage::set("sdk_calls::a_way_that_fails_is_replaced_with_fresh_credentials") else {
        return;
    };
    let (alice, bob) = (stage.sdk("alice"), stage.sdk("bob"));
    let id = connected(&alice, &bob);
    let mut before = agreed(&alice, &bob, &id);
    for (failing, state) in [
        (&[&alice][..], "failed"),
        (&[&bob], "failed"),
        (&[&alice, &bob], "failed"),
        (&[&bob], "disconnected"),
    ] {
        let configurations = look(&bob, &id)["configurations"].as_u64().unwrap();
        for client in failing {
            client.tell("media", json!({ "id": id, "state": state }));
        }
        for client in failing {
            until_state(client, "reconnecting");
        }
        for client in failing {
            until_state(client, "connected");
        }
        let after = settled(&alice, &bob, &id, &before);
        assert!(look(&bob, &id)["configurations"].as_u64().unwrap() > configurations);
        before = after;
    }
    ok(&alice.order("hangUp", json!({ "id": id })));
    ended(&bob);
}

/// Both have new user fragments, and have agreed on them.
#[track_caller]
fn settled(alice: &Client<'_>, bob: &Client<'_>, id: &Value, before: &[Value; 2]) -> [Value; 2] {
    crate::daemon::eventually(crate::daemon::PATIENCE, "both sides agree anew", || {
        let (a, b) = (look(alice, id), look(bob, id));
        let is_up = |side: &Value| side["connection"] == "connected" && side["signaling"] == "stable";
        let crossed = a["fragments"][0] == b["fragments"][1] && a["fragments"][1] == b["fragments"][0];
        (is_up(&a) && is_up(&b) && crossed && a["fragments"][0] != before[0]).then_some(())
    });
    let after = agreed(alice, bob, id);
    assert!(after[0] != before[0] && after[1] != before[1], "{before:?} {after:?}");
    after
}

#[test]
fn a_line_that_breaks_while_both_agree_loses_nothing() {
    let Some(stage) = Stage::set("sdk_calls::a_line_that_breaks_while_both_agree_loses_nothing") else {
        return;
    };
    let (alice, bob) = (stage.sdk("alice"), stage.sdk("bob"));
    for breaking in [&alice, &bob] {
        let id = ok(&alice.order("call", json!({ "user": "bob" })))["id"].clone();
        bob.await_seen("incoming");
        bob.tell("accept", json!({ "id": id }));
        breaking.tell("break", json!({}));
        for client in [&alice, &bob] {
            until_state(client, "connected");
        }
        // Whoever was away looks for a new way when it is back.
        let agree = || {
            let (a, b) = (look(&alice, &id), look(&bob, &id));
            let is_up = |side: &Value| side["connection"] == "connected" && side["signaling"] == "stable";
            (is_up(&a) && is_up(&b) && a["fragments"][0] == b["fragments"][1]).then_some(())
        };
        crate::daemon::eventually(crate::daemon::PATIENCE, "both sides agree", agree);
        ok(&alice.order("hangUp", json!({ "id": id })));
        ended(&alice);
        assert_eq!(ended(&bob)["reason"], "hangup");
    }
}

/// Two clients in a process of their own, so that the daemon can be restarted below them.
fn apart<'n>(node: &'n Node, stage: &Stage, user: &str) -> Client<'n> {
    let options = json!({ "device": user, "from": stage.url(), "timeoutMs": 20_000 });
    let client = Client::open(node, user, "sdk", &stage.url(), json!({ "token": token(user) }), options);
    client.await_seen("connected");
    client
}

#[test]
fn a_call_goes_on_by_itself_when_the_daemon_crashes_below_it() {
    goes_on("sdk_calls::a_call_goes_on_by_itself_when_the_daemon_crashes_below_it", Daemon::crash_and_start);
}

#[test]
fn a_call_goes_on_by_itself_when_the_daemon_is_stopped_and_started_below_it() {
    let name = "sdk_calls::a_call_goes_on_by_itself_when_the_daemon_is_stopped_and_started_below_it";
    goes_on(name, Daemon::stop_and_start);
}

fn goes_on(name: &'static str, end_and_start: impl Fn(&mut Daemon)) {
    let Some(mut stage) = Stage::set(name) else { return };
    let node = Node::start(name).expect("it did before");
    let (alice, bob) = (apart(&node, &stage, "alice"), apart(&node, &stage, "bob"));
    let id = connected(&alice, &bob);
    let before = agreed(&alice, &bob, &id);
    let configurations = [&alice, &bob].map(|client| look(client, &id)["configurations"].clone());
    // What is stored is stored in order: with this, the call is.
    alice.get("message:send", json!({ "to": "bob", "body": 1, "store": true }));
    end_and_start(&mut stage.daemon);
    for client in [&alice, &bob] {
        let snapshot = client.await_seen("snapshot")["args"][0].clone();
        assert_eq!(snapshot["calls"][0]["call_id"], id, "{snapshot}");
    }
    settled(&alice, &bob, &id, &before);
    for (client, before) in [&alice, &bob].into_iter().zip(&configurations) {
        // Their text may be the same, within a second.
        assert_ne!(look(client, &id)["configurations"], *before, "the credentials are fresh");
    }
    let live = alice.get("call:sync", json!({}));
    assert_eq!((&live["calls"][0]["call_id"], &live["calls"][0]["state"]), (&id, &json!("active")));
    ok(&bob.order("hangUp", json!({ "id": id })));
    assert_eq!(ended(&alice)["reason"], "hangup");
}

#[test]
fn a_call_that_rings_rings_on_when_the_daemon_crashes_below_it() {
    let name = "sdk_calls::a_call_that_rings_rings_on_when_the_daemon_crashes_below_it";
    let Some(mut stage) = Stage::set(name) else { return };
    let node = Node::start(name).expect("it did before");
    let (alice, bob) = (apart(&node, &stage, "alice"), apart(&node, &stage, "bob"));
    let id = ok(&alice.order("call", json!({ "user": "bob" })))["id"].clone();
    bob.await_seen("incoming");
    alice.get("message:send", json!({ "to": "bob", "body": 1, "store": true }));
    stage.daemon.crash_and_start();
    for client in [&alice, &bob] {
        client.await_seen("snapshot");
    }
    assert_eq!(look(&bob, &id)["state"], "ringing");
    ok(&bob.order("accept", json!({ "id": id })));
    for client in [&alice, &bob] {
        until_state(client, "connected");
    }
    agreed(&alice, &bob, &id);
    assert!(
        !bob.story().iter().skip_while(|word| *word != "incoming").skip(1).any(|word| word == "incoming")
    );
}

#[test]
fn a_call_that_the_server_knows_no_more_is_over() {
    let name = "sdk_calls::a_call_that_the_server_knows_no_more_is_over";
    let Some(mut stage) = Stage::with(name, "[signaling.calls]\ngrace = \"1s\"\n") else { return };
    let (node, other) = (Node::start(name).unwrap(), Node::start(name).unwrap());
    let (alice, bob) = (apart(&node, &stage, "alice"), apart(&other, &stage, "bob"));
    let id = connected(&alice, &bob);
    alice.get("message:send", json!({ "to": "bob", "body": 1, "store": true }));
    // Bob's app is gone, and nobody says goodbye for it.
    let _ = bob;
    drop(other);
    stage.daemon.crash_and_start();
    assert_eq!(ended(&alice)["reason"], "lost");
    assert_eq!(look(&alice, &id)["signaling"], "closed");
}

#[test]
fn a_client_of_socket_io_calls_it_and_is_called_by_it() {
    let Some(stage) = Stage::set("sdk_calls::a_client_of_socket_io_calls_it_and_is_called_by_it") else {
        return;
    };
    let (alice, bob) = (stage.socketio("alice"), stage.sdk("bob"));
    let sdp = |fragment: &str| format!("v=0\r\na=ice-ufrag:{fragment}\r\n");
    let id = alice.get("call:start", json!({ "callee_id": "bob" }))["call_id"].clone();
    let offer = json!({ "type": "offer", "sdp": sdp("s1") });
    alice.get("webrtc:offer", json!({ "to": "bob", "offer": offer }));
    let candidate = json!({ "candidate": "candidate:1", "sdpMid": "0", "sdpMLineIndex": 0 });
    alice.get("webrtc:ice-candidate", json!({ "to": "bob", "candidate": candidate }));
    bob.await_seen("incoming");
    ok(&bob.order("accept", json!({ "id": id })));
    let answer = alice.await_seen("webrtc:answer")["args"][0].clone();
    assert_eq!((&answer["from"], &answer["answer"]["type"]), (&json!("bob"), &json!("answer")));
    let heard = alice.await_seen("webrtc:ice-candidate")["args"][0].clone();
    assert!(heard["candidate"]["candidate"].is_string(), "{heard}");
    until_state(&bob, "connected");
    assert_eq!(look(&bob, &id)["fragments"][1], "s1");
    // The other client restarts nothing by itself: ours does, and the other answers.
    bob.tell("media", json!({ "id": id, "state": "failed" }));
    let again = alice.await_seen("webrtc:offer")["args"][0].clone();
    let answer = json!({ "type": "answer", "sdp": sdp("s2") });
    alice.get("webrtc:answer", json!({ "to": "bob", "answer": answer, "call_id": id }));
    alice.get("webrtc:ice-candidate", json!({ "to": "bob", "candidate": candidate }));
    until_state(&bob, "connected");
    assert!(
        again["offer"]["sdp"].as_str().unwrap().contains(look(&bob, &id)["fragments"][0].as_str().unwrap())
    );
    alice.get("call:end", json!({ "to": "bob" }));
    let end = ended(&bob);
    assert_eq!((&end["reason"], &end["endedBy"]), (&json!("hangup"), &json!("alice")));

    let id = ok(&bob.order("call", json!({ "user": "alice" })))["id"].clone();
    alice.await_seen("webrtc:offer");
    let answer = json!({ "type": "answer", "sdp": sdp("s3") });
    alice.get("webrtc:answer", json!({ "to": "bob", "answer": answer }));
    alice.get("webrtc:ice-candidate", json!({ "to": "bob", "candidate": candidate }));
    until_state(&bob, "connected");
    ok(&bob.order("hangUp", json!({ "id": id })));
    assert_eq!(alice.await_seen("call:end")["args"][0]["reason"], "hangup");
}

#[test]
fn its_digest_says_how_a_call_does() {
    let Some(stage) = Stage::set("sdk_calls::its_digest_says_how_a_call_does") else { return };
    let (alice, bob) = (stage.sdk("alice"), stage.sdk("bob"));
    let id = connected(&alice, &bob);
    let first = ok(&alice.order("stats", json!({ "id": id })));
    for (field, value) in [
        ("rtt_ms", json!(12)),
        ("in_bps", json!(0)),
        ("loss", json!(0.1)),
        ("local", json!("relay")),
        ("remote", json!("srflx")),
        ("relay_protocol", json!("tls")),
    ] {
        assert_eq!(first[field], value, "{first}");
    }
    // Its bytes grow by one a millisecond, and by two the other way.
    alice.order("later", json!({ "ms": 2000 }));
    let second = ok(&alice.order("stats", json!({ "id": id })));
    assert_eq!(
        (&second["in_bps"], &second["out_bps"], &second["loss"]),
        (&json!(16_000), &json!(8_000), &json!(0))
    );
    alice.get("call:stats", json!({ "call_id": id, "digest": second }));
}

#[test]
fn a_call_that_a_page_left_behind_ends_when_the_next_one_of_its_device_comes() {
    let name = "sdk_calls::a_call_that_a_page_left_behind_ends_when_the_next_one_of_its_device_comes";
    let Some(stage) = Stage::set(name) else { return };
    let bob = stage.sdk("bob");
    let pages = [(); 3].map(|()| Node::start(name).expect("it did before"));
    let [first, second, third] = pages;
    let alice = apart(&first, &stage, "alice");
    connected(&alice, &bob);
    // Nobody says goodbye for it.
    drop(first);
    let alice = apart(&second, &stage, "alice");
    let end = ended(&bob);
    assert_eq!((&end["reason"], &end["endedBy"]), (&json!("hangup"), &json!("alice")));
    // What rang for the page rings for the next one.
    let id = ok(&bob.order("call", json!({ "user": "alice" })))["id"].clone();
    alice.await_seen("incoming");
    drop(second);
    let alice = apart(&third, &stage, "alice");
    assert_eq!(alice.await_seen("incoming")["args"][0]["id"], id);
    ok(&alice.order("accept", json!({ "id": id })));
    until_state(&bob, "connected");
}

#[test]
fn a_call_whose_media_cannot_begin_is_over_for_both() {
    let Some(stage) = Stage::set("sdk_calls::a_call_whose_media_cannot_begin_is_over_for_both") else {
        return;
    };
    let (alice, bob) = (stage.sdk("alice"), stage.sdk("bob"));
    assert_eq!(alice.order("call", json!({ "user": "bob", "isBroken": true }))["code"], "thrown");
    bob.await_seen("incoming");
    ended(&bob);
    let id = ok(&alice.order("call", json!({ "user": "bob" })))["id"].clone();
    bob.await_seen("incoming");
    assert_eq!(bob.order("accept", json!({ "id": id, "isBroken": true }))["code"], "thrown");
    for client in [&alice, &bob] {
        assert_eq!(ended(client)["reason"], "media_failed");
        assert_eq!(client.get("call:sync", json!({})), json!({ "calls": [] }));
    }
}

#[test]
fn a_call_that_is_rejected_while_it_is_accepted_is_over_for_both() {
    let Some(stage) = Stage::set("sdk_calls::a_call_that_is_rejected_while_it_is_accepted_is_over_for_both")
    else {
        return;
    };
    let (alice, bob) = (stage.sdk("alice"), stage.sdk("bob"));
    let id = ok(&alice.order("call", json!({ "user": "bob" })))["id"].clone();
    bob.await_seen("incoming");
    assert_eq!(bob.order("acceptThenReject", json!({ "id": id }))["code"], "ended");
    assert_eq!(ended(&alice)["endedBy"], "bob");
    assert_eq!(bob.get("call:sync", json!({})), json!({ "calls": [] }));
}

#[test]
fn a_track_that_comes_later_is_sent_and_stays_as_silent_as_its_kind() {
    let Some(stage) =
        Stage::set("sdk_calls::a_track_that_comes_later_is_sent_and_stays_as_silent_as_its_kind")
    else {
        return;
    };
    let (alice, bob) = (stage.sdk("alice"), stage.sdk("bob"));
    let id = connected(&alice, &bob);
    let sending = || look(&alice, &id)["sending"].clone();
    assert_eq!(sending(), json!([{ "direction": "recvonly", "enabled": null, "streams": null }]));
    ok(&alice.order("mute", json!({ "id": id, "isMuted": true })));
    ok(&alice.order("replace", json!({ "id": id, "kind": "audio" })));
    assert_eq!(sending(), json!([{ "direction": "sendrecv", "enabled": false, "streams": [] }]));
    ok(&alice.order("mute", json!({ "id": id, "isMuted": false })));
    assert_eq!(sending()[0]["enabled"], true);
}
