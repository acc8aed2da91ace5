//! Clients come in: by every transport, at every path, with and without a token.

use crate::node::Client;
use crate::stage::{Stage, in_by_socketio, now_s, token, token_until, websocket};
use crate::token::Signer;
use serde_json::{Value, json};

/// A message there and back, so that the transport has carried something both ways.
#[track_caller]
fn greet_oneself(client: &Client<'_>) {
    let text = "grüße \u{1F44B} \u{2028}".repeat(50);
    let sent = client.get("message:send", json!({ "to": "nobody", "body": { "text": text } }));
    assert!(sent["id"].is_string(), "{sent}");
    client.expect_nothing_more();
}

#[test]
fn socket_io_client_comes_in_by_polling_by_websocket_and_by_upgrade_at_both_paths() {
    let Some(stage) =
        Stage::set("connect::socket_io_client_comes_in_by_polling_by_websocket_and_by_upgrade_at_both_paths")
    else {
        return;
    };
    for path in ["/socket.io", "/api/socket"] {
        let open = |name: &str, options: Value| {
            stage.opening(name, &stage.url(), json!({ "token": token(name) }), options)
        };
        let only = |transport: &str| json!({ "path": path, "transports": [transport] });
        let polls = open(&format!("polls{path}"), only("polling"));
        in_by_socketio(&polls);
        greet_oneself(&polls);
        assert_eq!(polls.story()[..4], ["open polling", "auth", "connect", "connection:established"]);
        assert!(!polls.story().contains(&"upgrade websocket".into()));

        let direct = open(&format!("direct{path}"), only("websocket"));
        in_by_socketio(&direct);
        greet_oneself(&direct);
        assert_eq!(direct.story()[..4], ["open websocket", "auth", "connect", "connection:established"]);

        // The default of the library: polling at first, and then something better.
        let upgrades = open(&format!("upgrades{path}"), json!({ "path": path }));
        while !upgrades.story().contains(&"upgrade websocket".into()) {
            upgrades.look();
        }
        assert_eq!(upgrades.story()[0], "open polling");
        let sent = upgrades.get("heartbeat", json!({}));
        assert!(sent["at"].is_u64());
        let beat = upgrades.await_seen("heartbeat:ack");
        assert_eq!(beat["transport"], "websocket");
        let words = upgrades.story();
        assert_eq!(words.iter().filter(|word| *word == "connection:established").count(), 1, "{words:?}");
        for client in [polls, direct, upgrades] {
            client.tell("close", json!({}));
            assert_eq!(client.await_seen("disconnect")["body"]["reason"], "io client disconnect");
        }
    }
    // The upgrades count as WebSockets, and nothing is left.
    stage.daemon.await_metric("turnstone_ws_connections{carrier=\"polling\"}", |count| count == 0.0);
    stage.daemon.await_metric("turnstone_ws_connections{carrier=\"websocket\"}", |count| count == 0.0);
}

#[test]
fn a_token_that_is_bad_missing_or_expired_is_a_connect_error_with_its_code() {
    let Some(stage) =
        Stage::set("connect::a_token_that_is_bad_missing_or_expired_is_a_connect_error_with_its_code")
    else {
        return;
    };
    let forged = Signer::secret("some-other-key-of-the-same-length-000001")
        .token(&json!({ "sub": "alice", "exp": now_s() + 600 }));
    let cases = [
        ("missing", json!({}), "unauthorized"),
        ("bad", json!({ "token": "no.such.token" }), "unauthorized"),
        ("forged", json!({ "token": forged }), "unauthorized"),
        ("expired", json!({ "token": token_until("alice", now_s() - 600) }), "token_expired"),
        ("of-no-text", json!({ "token": 7 }), "bad_request"),
    ];
    for (case, auth, code) in cases {
        for transport in ["polling", "websocket"] {
            let options = json!({ "transports": [transport] });
            let name = format!("{case} by {transport}");
            let client = stage.opening(&name, &stage.url(), auth.clone(), options);
            let error = client.await_seen("connect_error")["body"].clone();
            assert_eq!(error["data"]["code"], code, "{name}: {error}");
            assert!(error["message"].as_str().is_some_and(|text| text.len() > 8), "{name}: {error}");
            // It does not come again by itself, with the same token, in a loop.
            assert_eq!(error["active"], false, "{name}");
            assert_eq!(client.story().last().unwrap(), "connect_error");
        }
        let client = stage.opening_plain(&format!("{case} in plain"), stage.public, auth);
        client.see("open");
        assert_eq!(client.see("refused")["code"], code, "{case}");
        assert_eq!(client.see("close")["code"], 1008, "{case}");
    }
}

#[test]
fn an_unknown_namespace_is_a_connect_error_in_the_words_of_socket_io() {
    let Some(stage) =
        Stage::set("connect::an_unknown_namespace_is_a_connect_error_in_the_words_of_socket_io")
    else {
        return;
    };
    let auth = json!({ "token": token("alice") });
    let client = stage.opening("alice", &format!("{}/nowhere", stage.url()), auth, websocket());
    let error = client.await_seen("connect_error")["body"].clone();
    assert_eq!((&error["message"], &error["active"]), (&json!("Invalid namespace"), &json!(false)));
}

#[test]
fn ws_speaks_the_plain_wire_and_goes_on_where_it_was() {
    let Some(stage) = Stage::set("connect::ws_speaks_the_plain_wire_and_goes_on_where_it_was") else {
        return;
    };
    let bob = stage.plain("bob");
    let alice =
        stage.opening_plain("alice", stage.public, json!({ "token": token("alice"), "device": "phone" }));
    // `ws` offers permessage-deflate by default; we take none of it.
    assert_eq!(alice.see("open"), json!({ "protocol": "turnstone.v1.json", "extensions": "" }));
    let welcome = alice.see("welcome");
    assert_eq!((&welcome["user"], &welcome["device"]), (&json!("alice"), &json!("phone")));
    assert_eq!(welcome["recovered"], false);
    let private = welcome["pid"].as_str().unwrap();
    assert!(private.len() >= 22 && private != welcome["session"], "{welcome}");
    assert_eq!(alice.hear("connection:established")["recovered"], false);

    let big = "x".repeat(60_000);
    bob.get("message:send", json!({ "to": "alice", "body": big }));
    assert_eq!(alice.hear("message:receive")["body"], big.as_str());
    alice.tell("break", json!({}));
    assert_eq!(alice.see("close")["code"], 1006);
    for text in ["1", "2", "3"] {
        bob.get("message:send", json!({ "to": "alice", "body": text }));
    }
    alice.tell("reconnect", json!({}));
    alice.see("open");
    let back = alice.see("welcome");
    assert_eq!((&back["recovered"], &back["session"]), (&json!(true), &welcome["session"]));
    assert_eq!(alice.hear("connection:established")["recovered"], true);
    for text in ["1", "2", "3"] {
        assert_eq!(alice.hear("message:receive")["body"], text);
    }
    alice.expect_nothing_more();
    // A goodbye ends the session for good.
    alice.tell("close", json!({}));
    assert_eq!(alice.see("close")["code"], 1000);
    alice.tell("reconnect", json!({}));
    alice.see("open");
    assert_eq!(alice.see("welcome")["recovered"], false);
}

#[test]
fn an_offer_to_compress_is_declined_to_a_socket_io_client_that_would() {
    let Some(stage) =
        Stage::set("connect::an_offer_to_compress_is_declined_to_a_socket_io_client_that_would")
    else {
        return;
    };
    let options = json!({ "transports": ["websocket"], "perMessageDeflate": { "threshold": 0 } });
    let alice = stage.opening("alice", &stage.url(), json!({ "token": token("alice") }), options);
    assert_eq!(alice.await_seen("connect")["body"]["extensions"], "");
    alice.hear("connection:established");
    greet_oneself(&alice);
}
