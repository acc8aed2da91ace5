//! Presence, rooms, typing and messages by their native names, between an unmodified socket.io-client and the plain
//! wire.

use crate::stage::Stage;
use serde_json::{Value, json};

#[test]
fn members_of_a_room_hear_who_comes_speaks_types_and_goes() {
    let Some(stage) = Stage::set("people::members_of_a_room_hear_who_comes_speaks_types_and_goes") else {
        return;
    };
    let (alice, bob) = (stage.socketio("alice"), stage.plain("bob"));
    assert_eq!(bob.refused("message:send", json!({ "room": "r", "body": 1 })), "not_found");
    let joined = alice.get("room:join", json!({ "room": "r", "role": "host", "info": { "seat": 1 } }));
    assert_eq!(joined["members"].as_array().unwrap().len(), 1);
    let joined = bob.get("room:join", json!({ "room": "r" }));
    assert_eq!(joined["members"][0]["user"], "alice");
    assert_eq!(
        (&joined["members"][0]["role"], &joined["members"][0]["info"]["seat"]),
        (&json!("host"), &json!(1))
    );
    let heard = alice.hear("room:joined");
    assert_eq!((&heard["room"], &heard["user"], &heard["members"]), (&json!("r"), &json!("bob"), &json!(2)));

    let sent = alice.get("message:send", json!({ "room": "r", "body": { "text": "hi" }, "thread": "t" }));
    let heard = bob.hear("message:receive");
    for field in ["id", "seq", "at"] {
        assert_eq!(heard[field], sent[field], "{field}");
    }
    assert_eq!(
        (&heard["from"], &heard["room"], &heard["body"], &heard["thread"]),
        (&json!("alice"), &json!("r"), &json!({ "text": "hi" }), &json!("t"))
    );
    assert_eq!(alice.hear("message:delivered")["id"], sent["id"]);
    assert_eq!(bob.get("message:history", json!({ "room": "r" }))["messages"][0]["id"], sent["id"]);
    bob.get("message:read", json!({ "room": "r", "seq": sent["seq"] }));
    let read = alice.hear("message:read");
    assert_eq!((&read["by"], &read["room"], &read["seq"]), (&json!("bob"), &json!("r"), &sent["seq"]));

    bob.say("message:typing", json!({ "room": "r" }));
    assert_eq!(alice.hear("message:typing"), json!({ "from": "bob", "room": "r" }));
    bob.get("room:leave", json!({}));
    assert_eq!(alice.hear("room:left")["user"], "bob");
    alice.expect_nothing_more();
    bob.expect_nothing_more();
}

#[test]
fn typing_ends_by_itself() {
    let Some(stage) = Stage::set("people::typing_ends_by_itself") else { return };
    let (alice, bob) = (stage.socketio("alice"), stage.socketio("bob"));
    bob.say("message:typing", json!({ "to": "alice" }));
    assert_eq!(alice.hear("message:typing"), json!({ "from": "bob" }));
    // Nobody says so: three seconds without another word do.
    assert_eq!(alice.hear("message:stop_typing"), json!({ "from": "bob" }));
    bob.say("message:typing", json!({ "to": "alice" }));
    bob.say("message:stop_typing", json!({ "to": "alice" }));
    alice.hear("message:typing");
    alice.hear("message:stop_typing");
    alice.expect_nothing_more();
}

#[test]
fn a_message_is_received_by_all_devices_of_both_users_but_the_senders_own() {
    let test = "people::a_message_is_received_by_all_devices_of_both_users_but_the_senders_own";
    let Some(stage) = Stage::set(test) else { return };
    let [phone, laptop] = ["phone", "laptop"].map(|device| stage.socketio_as("alice", device, json!({})));
    let [desk, tablet] = ["desk", "tablet"].map(|device| stage.socketio_as("bob", device, json!({})));
    let sent = phone.get("message:send", json!({ "to": "bob", "body": "hi", "client_ref": "c1" }));
    for device in [&laptop, &desk, &tablet] {
        let heard = device.hear("message:receive");
        assert_eq!(
            (&heard["id"], &heard["from"], &heard["client_ref"]),
            (&sent["id"], &json!("alice"), &json!("c1"))
        );
    }
    assert_eq!(phone.hear("message:delivered")["devices"], 2);
    assert_eq!(
        phone.get("message:send", json!({ "to": "bob", "body": "hi", "client_ref": "c1" }))["id"],
        sent["id"]
    );
    for client in [&phone, &laptop, &desk, &tablet] {
        client.expect_nothing_more();
    }
}

#[test]
fn an_event_of_an_application_goes_through_with_its_binary_data() {
    let Some(stage) = Stage::set("people::an_event_of_an_application_goes_through_with_its_binary_data")
    else {
        return;
    };
    let (alice, bob) = (stage.socketio("alice"), stage.plain("bob"));
    let data =
        json!({ "to": "alice", "name": "code_change", "data": { "line": 3, "__proto__": { "x": 1 } } });
    bob.get("event:emit", data);
    let heard = alice.hear("event");
    assert_eq!(
        (&heard["from"], &heard["name"], &heard["data"]["line"]),
        (&json!("bob"), &json!("code_change"), &json!(3))
    );
    // Node's client makes two attachments of these.
    let blob = |text: &str| json!({ "$bytes": text });
    let data = json!({ "to": "alice", "name": "draw", "data": [blob("first"), { "and": blob("second") }] });
    let other = stage.socketio("carol");
    other.get("event:emit", data);
    let heard = alice.hear("event");
    let bytes = |value: &Value| value["$bytes"].as_str().unwrap().to_owned();
    assert_eq!(bytes(&heard["data"][0]), "first");
    assert_eq!(bytes(&heard["data"][1]["and"]), "second");
    for reserved in ["call:start", "connect", "error"] {
        let code = bob.refused("event:emit", json!({ "to": "alice", "name": reserved, "data": 1 }));
        assert_eq!(code, "bad_request", "{reserved}");
    }
    alice.expect_nothing_more();
}

#[test]
fn watchers_hear_when_somebody_comes_changes_and_goes() {
    let Some(stage) = Stage::set("people::watchers_hear_when_somebody_comes_changes_and_goes") else {
        return;
    };
    let alice = stage.socketio("alice");
    alice.get("presence:subscribe", json!({ "users": ["bob"] }));
    let before = alice.get("presence:get", json!({ "users": ["bob"] }));
    assert_eq!(before["users"]["bob"]["online"], false);
    let bob = stage.socketio("bob");
    let update = alice.hear("presence:update");
    assert_eq!(
        (&update["user"], &update["online"], &update["devices"]),
        (&json!("bob"), &json!(true), &json!(1))
    );
    assert_eq!(alice.hear("user_online"), json!({ "user": "bob" }));
    bob.get("presence:set", json!({ "status": "idle", "meta": { "tool": "pen" } }));
    let update = alice.hear("presence:update");
    assert_eq!((&update["status"], &update["meta"]["tool"]), (&json!("idle"), &json!("pen")));
    assert!(update["last_seen"].is_u64(), "{update}");
    bob.tell("close", json!({}));
    // After a grace of five seconds.
    assert_eq!(alice.hear("presence:update")["online"], false);
    assert_eq!(alice.hear("user_offline"), json!({ "user": "bob" }));
    alice.expect_nothing_more();
}

#[test]
fn what_no_client_should_say_is_told_to_it_alone() {
    let Some(stage) = Stage::set("people::what_no_client_should_say_is_told_to_it_alone") else { return };
    let (alice, bob) = (stage.socketio("alice"), stage.plain("bob"));
    for (client, event, data, told, code) in [
        (&alice, "no:such:event", json!({}), "error", "bad_request"),
        (&alice, "message:send", json!([1]), "error", "bad_request"),
        (&alice, "call:start", json!({ "to": 7 }), "call:error", "bad_request"),
        (&alice, "webrtc:offer", json!({ "to": "bob", "offer": {} }), "call:error", "no_call"),
        (&alice, "call:end", json!({ "call_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV" }), "call:error", "no_call"),
        (&bob, "room:join", json!({}), "error", "bad_request"),
    ] {
        client.say(event, data.clone());
        let error = client.hear(told);
        assert_eq!((&error["event"], &error["code"]), (&json!(event), &json!(code)), "{error}");
        assert_eq!(client.refused(event, data), code);
    }
    alice.expect_nothing_more();
    bob.expect_nothing_more();
}
