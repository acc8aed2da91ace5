//! What outlives a daemon that is killed: stored messages, read cursors and live calls.

use crate::daemon::{PATIENCE, eventually};
use crate::node::Client;
use crate::record::{api_key, request};
use crate::stage::{Stage, in_by_socketio, token, with};
use serde_json::{Value, json};

/// A user's client in a new process of the daemon; `run` tells it from those before.
fn comes<'s>(stage: &'s Stage, user: &str, run: u32) -> Client<'s> {
    let options = json!({ "transports": ["websocket"], "reconnection": false });
    let auth = with(token(user), user, json!({}));
    let client = stage.opening(&format!("{user}-{run}"), &stage.url(), auth, options);
    in_by_socketio(&client);
    client
}

fn bodies(page: &Value) -> Vec<Value> {
    page["messages"].as_array().expect("a list").iter().map(|one| one["body"].clone()).collect()
}

#[test]
fn a_stored_message_is_there_once_after_a_crash_and_unread_until_it_is_read() {
    let name = "kept::a_stored_message_is_there_once_after_a_crash_and_unread_until_it_is_read";
    let Some(mut stage) = Stage::set(name) else { return };
    let message = json!({ "to": "bob", "body": "kept", "store": true, "client_ref": "r1" });
    let sent = {
        let alice = comes(&stage, "alice", 1);
        alice.get("message:send", json!({ "to": "bob", "body": "not kept" }));
        alice.get("message:send", message.clone())
    };
    stage.daemon.crash_and_start();
    {
        let (alice, bob) = (comes(&stage, "alice", 2), comes(&stage, "bob", 2));
        let page = bob.get("message:history", json!({ "with": "alice" }));
        assert_eq!(bodies(&page), ["kept"]);
        assert_eq!(page["messages"][0]["id"], sent["id"]);
        // Whose answer was lost with the connection sends it again.
        assert_eq!(alice.get("message:send", message)["id"], sent["id"]);
        let reply = json!({ "to": "bob", "body": "reply", "store": true, "thread": sent["id"],
            "attachments": [{ "url": "https://files.example/a", "size": 3 }] });
        let second = alice.get("message:send", reply);
        assert_eq!(second["seq"].as_u64(), sent["seq"].as_u64().map(|seq| seq + 1));
        assert_eq!(bob.await_seen("message:receive")["args"][0]["id"], second["id"]);
        let unread = bob.get("message:unread", json!({}));
        let one = &unread["conversations"][0];
        assert_eq!(
            (&one["with"], &one["unread"], &one["last"]["id"]),
            (&json!("alice"), &json!(2), &second["id"])
        );
        bob.get("message:read", json!({ "with": "alice", "seq": sent["seq"] }));
        alice.await_seen("message:read");
    }
    stage.daemon.crash_and_start();
    let bob = comes(&stage, "bob", 3);
    let unread = bob.get("message:unread", json!({}));
    let one = &unread["conversations"][0];
    assert_eq!((&one["unread"], &one["read"]), (&json!(1), &sent["seq"]));
    let thread = bob.get("message:history", json!({ "with": "alice", "thread": sent["id"] }));
    assert_eq!(bodies(&thread), ["reply"]);
    assert_eq!(thread["messages"][0]["attachments"][0]["size"], 3);
    let eve = comes(&stage, "eve", 3);
    assert_eq!(bodies(&eve.get("message:history", json!({ "with": "bob" }))), [] as [Value; 0]);
}

#[test]
fn who_was_away_finds_the_messages_of_a_room_by_what_is_unread() {
    let Some(stage) = Stage::set("kept::who_was_away_finds_the_messages_of_a_room_by_what_is_unread") else {
        return;
    };
    let room = json!({ "room": "lobby" });
    let alice = comes(&stage, "alice", 1);
    alice.get("room:join", room.clone());
    alice.get("message:send", json!({ "room": "lobby", "body": 1, "store": true }));
    let bob = comes(&stage, "bob", 1);
    bob.get("room:join", room.clone());
    alice.await_seen("room:joined");
    bob.tell("close", json!({}));
    alice.await_seen("room:left");
    for body in 2..=4 {
        alice.get("message:send", json!({ "room": "lobby", "body": body, "store": true }));
    }
    let bob = comes(&stage, "bob", 2);
    let unread = bob.get("message:unread", json!({}));
    assert_eq!(
        (&unread["conversations"][0]["room"], &unread["conversations"][0]["unread"]),
        (&json!("lobby"), &json!(3))
    );
    assert_eq!(
        bob.refused("message:history", room.clone()),
        "not_found",
        "a room is for those who are in it"
    );
    bob.get("room:join", room.clone());
    let page = bob.get("message:history", json!({ "room": "lobby", "limit": 3 }));
    assert_eq!((bodies(&page), &page["more"]), (vec![json!(2), json!(3), json!(4)], &json!(true)));
}

/// Two who talk.
fn active(stage: &Stage) -> Value {
    let (alice, bob) = (comes(stage, "alice", 1), comes(stage, "bob", 1));
    let id = alice.get("call:start", json!({ "to": "bob" }))["call_id"].clone();
    alice.get("webrtc:offer", json!({ "to": "bob", "offer": { "type": "offer", "sdp": "v=0\r\n" } }));
    bob.get("webrtc:answer", json!({ "to": "alice", "answer": { "type": "answer", "sdp": "v=0\r\n" } }));
    for (client, to) in [(&alice, "bob"), (&bob, "alice")] {
        client.get("webrtc:ice-candidate", json!({ "to": to, "candidate": { "candidate": "c" } }));
    }
    // What is stored is stored in order: with this, the call is.
    alice.get("message:send", json!({ "to": "bob", "body": 1, "store": true }));
    id
}

#[test]
fn two_who_come_back_after_a_crash_go_on_in_their_call() {
    let Some(mut stage) = Stage::set("kept::two_who_come_back_after_a_crash_go_on_in_their_call") else {
        return;
    };
    let id = active(&stage);
    stage.daemon.crash_and_start();
    let alice = comes(&stage, "alice", 2);
    let call = &alice.get("call:sync", json!({}))["calls"][0];
    assert_eq!(
        (&call["call_id"], &call["state"], &call["peer"]),
        (&id, &json!("reconnecting"), &json!("bob"))
    );
    let bob = comes(&stage, "bob", 2);
    assert_eq!(alice.await_seen("call:peer-state")["args"][0]["state"], "back");
    assert_eq!(bob.get("call:sync", json!({}))["calls"][0]["state"], "active");
    bob.get("webrtc:ice-candidate", json!({ "call_id": id, "candidate": { "candidate": "new" } }));
    let heard = alice.await_seen("webrtc:ice-candidate");
    assert_eq!(heard["args"][0]["candidate"]["candidate"], "new");
    alice.get("call:end", json!({ "call_id": id }));
    assert_eq!(bob.await_seen("call:end")["args"][0]["reason"], "hangup");
    // Ended is ended, for the next start as well, from the moment that the record is there.
    let key = api_key(&stage);
    eventually(PATIENCE, "the call is recorded", || {
        let path = format!("/v1/calls/{}", id.as_str().unwrap());
        (request(stage.daemon.admin, "GET", &path, &key, "").1["state"] == "ended").then_some(())
    });
    stage.daemon.crash_and_start();
    let alice = comes(&stage, "alice", 3);
    assert_eq!(alice.get("call:sync", json!({}))["calls"], json!([]));
}

#[test]
fn a_call_to_which_nobody_comes_back_after_a_crash_is_lost() {
    let name = "kept::a_call_to_which_nobody_comes_back_after_a_crash_is_lost";
    let Some(mut stage) = Stage::with(name, "[signaling.calls]\ngrace = \"1s\"\n") else { return };
    active(&stage);
    stage.daemon.crash_and_start();
    stage.daemon.await_metric("turnstone_calls_ended_total{reason=\"lost\"}", |ended| ended == 1.0);
}
