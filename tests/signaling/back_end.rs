//! What the application's back end says to clients and asks about them, over HTTP.

use crate::daemon::Daemon;
use crate::stage::Stage;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// Status and body, by the admin socket: who can open it needs no key.
fn ask(daemon: &Daemon, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut stream = UnixStream::connect(daemon.socket_path()).unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    let head = format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body.trim()).unwrap_or_else(|error| panic!("{error}: {text}")))
}

#[test]
fn the_back_end_reaches_users_and_rooms_and_knows_who_is_there() {
    let Some(stage) = Stage::set("back_end::the_back_end_reaches_users_and_rooms_and_knows_who_is_there")
    else {
        return;
    };
    let (alice, bob) = (stage.socketio("alice"), stage.plain("bob"));
    alice.get("room:join", json!({ "room": "lobby" }));
    alice.get("presence:set", json!({ "status": "idle" }));
    let publish = |body: Value| ask(&stage.daemon, "POST", "/v1/publish", &body.to_string());

    let told = publish(json!({ "to": { "user": "bob" }, "event": "order", "data": { "id": 7 } }));
    assert_eq!(told, (200, json!({ "sessions": 1 })));
    let heard = bob.hear("event");
    assert_eq!(heard, json!({ "from": null, "name": "order", "data": { "id": 7 } }));
    let told = publish(json!({ "to": { "room": "lobby" }, "event": "note", "class": "droppable" }));
    assert_eq!(told, (200, json!({ "sessions": 1 })));
    let heard = alice.await_seen("event")["args"][0].clone();
    assert_eq!(heard, json!({ "from": null, "room": "lobby", "name": "note", "data": null }));
    let told = publish(json!({ "to": { "user": "nobody" }, "event": "order" }));
    assert_eq!(told, (200, json!({ "sessions": 0 })));
    for (body, field) in [
        (json!({ "to": { "user": "bob" }, "event": "call:end" }), "event"),
        (json!({ "to": { "user": "bob" }, "event": "error" }), "event"),
        (json!({ "to": { "user": "bob" } }), "event"),
        (json!({ "to": "bob", "event": "x" }), "to"),
        (json!({ "to": { "user": "bob", "room": "lobby" }, "event": "x" }), "to"),
        (json!({ "to": { "user": "bob" }, "event": "x", "class": "gold" }), "class"),
        (json!({ "to": { "user": "bob" }, "event": "x", "date": 1 }), "date"),
    ] {
        let (status, problem) = publish(body.clone());
        assert_eq!((status, &problem["field"]), (400, &json!(field)), "{body}: {problem}");
    }

    let presence = |query: &str| ask(&stage.daemon, "GET", &format!("/v1/presence?{query}"), "");
    let (status, told) = presence("users=alice,bob,nobody");
    let seen: Vec<_> = ["alice", "bob", "nobody"].map(|user| told["users"][user]["online"].clone()).into();
    assert_eq!((status, seen), (200, vec![json!(true), json!(true), json!(false)]));
    assert_eq!(told["users"]["alice"]["status"], "idle");
    assert!(told["users"]["alice"]["last_seen"].as_str().is_some_and(|time| time.ends_with('Z')), "{told}");
    let (_, told) = presence("room=lobby");
    assert_eq!(told["users"].as_object().unwrap().keys().collect::<Vec<_>>(), ["alice"]);
    assert_eq!(presence("room=other").0, 404);
    assert_eq!(presence("").1["field"], "users");
    let (status, problem) = presence(&format!("users={}", vec!["u"; 257].join(",")));
    assert_eq!((status, &problem["field"]), (400, &json!("users")));
}
