//! Tokens that end while their client is there.

use crate::stage::{Stage, in_by_socketio, now_s, token, token_until, websocket};
use serde_json::json;

/// A token that is over, and good for some seconds of leeway more.
fn ending_token() -> String {
    token_until("alice", now_s() - 23)
}

#[test]
fn a_client_that_renews_its_token_in_band_stays() {
    let Some(stage) = Stage::set("expiry::a_client_that_renews_its_token_in_band_stays") else { return };
    let auth = json!({ "token": ending_token() });
    let alice = stage.opening("alice", &stage.url(), auth, websocket());
    in_by_socketio(&alice);
    assert!(alice.hear("auth:expiring")["exp"].as_u64().unwrap() < now_s());
    assert_eq!(alice.refused("auth:refresh", json!({ "token": token("mallory") })), "forbidden");
    assert_eq!(alice.refused("auth:refresh", json!({ "token": "x.y.z" })), "unauthorized");
    let renewed = alice.get("auth:refresh", json!({ "token": token("alice") }));
    assert!(renewed["exp"].as_u64().unwrap() > now_s() + 3000);
    // Another client with such a token has lost its connection meanwhile: the time was over for both.
    let auth = json!({ "token": ending_token() });
    let other = stage.opening("other", &stage.url(), auth, websocket());
    other.await_seen("auth:expired");
    alice.expect_nothing_more();
    assert!(!alice.story().contains(&"disconnect".into()));
}

#[test]
fn a_client_that_does_not_comes_back_with_what_its_auth_function_says_then() {
    let Some(stage) =
        Stage::set("expiry::a_client_that_does_not_comes_back_with_what_its_auth_function_says_then")
    else {
        return;
    };
    for transport in ["websocket", "polling"] {
        let options = json!({ "transports": [transport] });
        let alice = stage.opening(transport, &stage.url(), json!({ "token": ending_token() }), options);
        in_by_socketio(&alice);
        alice.hear("auth:expiring");
        alice.tell("auth", json!({ "auth": { "token": token("alice") } }));
        alice.hear("auth:expired");
        // A DISCONNECT packet would be "io server disconnect", and the client would stay away.
        let lost = alice.see("disconnect");
        assert_eq!(lost, json!({ "reason": "transport close", "active": true }), "{transport}");
        alice.see("open");
        assert_eq!(alice.see("auth"), json!({ "recovers": true }));
        assert_eq!(alice.see("connect")["recovered"], true);
        assert_eq!(alice.hear("connection:established")["recovered"], true);
        alice.expect_nothing_more();
    }
}

#[test]
fn a_client_that_comes_back_with_the_stale_token_is_told_once_and_stays_away() {
    let Some(stage) =
        Stage::set("expiry::a_client_that_comes_back_with_the_stale_token_is_told_once_and_stays_away")
    else {
        return;
    };
    let alice = stage.opening("alice", &stage.url(), json!({ "token": ending_token() }), websocket());
    in_by_socketio(&alice);
    for event in ["auth:expiring", "auth:expired"] {
        alice.hear(event);
    }
    assert_eq!(alice.see("disconnect")["reason"], "transport close");
    let error = alice.await_seen("connect_error")["body"].clone();
    assert_eq!((&error["data"]["code"], &error["active"]), (&json!("token_expired"), &json!(false)));
}
