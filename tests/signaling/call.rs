//! A call between a client of Socket.IO and one of the plain wire, without a browser and with media through the relay.

use crate::daemon::PATIENCE;
use crate::node::Client;
use crate::stage::Stage;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::time::timeout;
use turn::client::{Client as TurnClient, ClientConfig};
use webrtc_util::Conn;

/// What the caller sees of a call that it ends, and the callee; both from their first moment.
const CALLER: [&str; 12] = [
    "connection:established",
    "ack of call:start",
    "call:ringing",
    "ack of webrtc:offer",
    "ack of webrtc:ice-candidate",
    "call:accepted",
    "webrtc:answer",
    "webrtc:ice-candidate",
    "ack of webrtc:ice-candidate",
    "ack of call:connected",
    "ack of call:sync",
    "ack of call:end",
];
const CALLEE: [&str; 9] = [
    "connection:established",
    "call:incoming",
    "webrtc:offer",
    "webrtc:ice-candidate",
    "ack of call:accepted",
    "ack of webrtc:answer",
    "ack of webrtc:ice-candidate",
    "webrtc:ice-candidate",
    "call:end",
];

#[test]
fn socket_io_calls_plain_and_media_goes_through_the_relay() {
    let Some(stage) = Stage::set("call::socket_io_calls_plain_and_media_goes_through_the_relay") else {
        return;
    };
    let (alice, bob) = (stage.socketio("alice"), stage.plain("bob"));
    a_whole_call(&stage, &alice, &bob);
    assert_eq!(alice.story()[..3], ["open websocket", "auth", "connect"]);
    assert_eq!(bob.story()[..2], ["open", "welcome"]);
    assert_eq!(alice.story()[3..], CALLER);
    assert_eq!(bob.story()[2..], CALLEE);
}

#[test]
fn plain_calls_socket_io_and_media_goes_through_the_relay() {
    let Some(stage) = Stage::set("call::plain_calls_socket_io_and_media_goes_through_the_relay") else {
        return;
    };
    let (alice, bob) = (stage.plain("alice"), stage.socketio("bob"));
    a_whole_call(&stage, &alice, &bob);
    assert_eq!(alice.story()[..2], ["open", "welcome"]);
    assert_eq!(bob.story()[..3], ["open websocket", "auth", "connect"]);
    assert_eq!(alice.story()[2..], CALLER);
    assert_eq!(bob.story()[3..], CALLEE);
}

/// From `call:start` to `call:end`, with every payload looked at.
fn a_whole_call(stage: &Stage, alice: &Client<'_>, bob: &Client<'_>) {
    let asked = json!({ "callee_id": "bob", "call_type": "audio", "data": { "topic": "été" } });
    let started = alice.get("call:start", asked);
    let id = started["call_id"].as_str().unwrap().to_owned();
    for (field, value) in [
        ("state", json!("ringing")),
        ("role", json!("caller")),
        ("polite", json!(false)),
        ("devices", json!(1)),
        ("push", json!(false)),
    ] {
        assert_eq!(started[field], value, "{started}");
    }
    assert_eq!(alice.hear("call:ringing"), json!({ "call_id": id, "devices": 1 }));

    let incoming = bob.hear("call:incoming");
    for (field, value) in [
        ("call_id", json!(id)),
        ("caller_id", json!("alice")),
        ("callee_id", json!("bob")),
        ("from", json!("alice")),
        ("call_type", json!("audio")),
        ("polite", json!(true)),
        ("data", json!({ "topic": "été" })),
        ("expires_at", started["expires_at"].clone()),
    ] {
        assert_eq!(incoming[field], value, "{incoming}");
    }
    assert_eq!(incoming["caller"]["device_id"], "alice");

    let offer = json!({ "type": "offer", "sdp": "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\n" });
    alice.get("webrtc:offer", json!({ "to": "bob", "offer": offer, "call_id": id }));
    let heard = bob.hear("webrtc:offer");
    assert_eq!((&heard["from"], &heard["offer"], &heard["call_id"]), (&json!("alice"), &offer, &json!(id)));
    alice.get("webrtc:ice-candidate", json!({ "to": "bob", "candidate": { "candidate": "a1" } }));
    assert_eq!(bob.hear("webrtc:ice-candidate")["candidate"], json!({ "candidate": "a1" }));

    let accepted = bob.get("call:accepted", json!({ "call_id": id }));
    assert_eq!((&accepted["role"], &accepted["polite"]), (&json!("callee"), &json!(true)));
    let told = alice.hear("call:accepted");
    assert_eq!(
        (&told["call_id"], &told["from"], &told["device_id"]),
        (&json!(id), &json!("bob"), &json!("bob"))
    );
    let answer = json!({ "type": "answer", "sdp": "v=0\r\n" });
    bob.get("webrtc:answer", json!({ "to": "alice", "answer": answer }));
    assert_eq!(alice.hear("webrtc:answer")["answer"], answer);
    bob.get("webrtc:ice-candidate", json!({ "to": "alice", "candidate": null, "call_id": id }));
    assert_eq!(alice.hear("webrtc:ice-candidate")["candidate"], Value::Null);
    alice.get("webrtc:ice-candidate", json!({ "to": "bob", "candidate": { "candidate": "a2" } }));
    assert_eq!(bob.hear("webrtc:ice-candidate")["candidate"], json!({ "candidate": "a2" }));

    alice.get("call:connected", json!({ "call_id": id }));
    let calls = alice.get("call:sync", json!({}));
    assert_eq!((&calls["calls"][0]["call_id"], &calls["calls"][0]["state"]), (&json!(id), &json!("active")));
    talk_through_the_relay(stage, &id, [(&started, "alice"), (&accepted, "bob")]);

    let ended = alice.get("call:end", json!({ "call_id": id }));
    assert!(ended["duration_ms"].is_u64(), "{ended}");
    let end = bob.hear("call:end");
    assert_eq!(
        (&end["call_id"], &end["from"], &end["reason"], &end["ended_by"]),
        (&json!(id), &json!("alice"), &json!("hangup"), &json!("alice"))
    );
    alice.expect_nothing_more();
    bob.expect_nothing_more();
}

/// Each party allocates with what it was given, and what one sends to the other's relayed address arrives there.
fn talk_through_the_relay(stage: &Stage, id: &str, parties: [(&Value, &str); 2]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let [(alice, a), (bob, b)] = parties;
        let (alice, bob) = (connect(stage, alice, id, a).await, connect(stage, bob, id, b).await);
        let one = timeout(PATIENCE, alice.allocate()).await.unwrap().unwrap();
        let other = timeout(PATIENCE, bob.allocate()).await.unwrap().unwrap();
        stage.daemon.await_allocations(2);
        let (to, from) = (other.local_addr().unwrap(), one.local_addr().unwrap());
        let mut buffer = [0; 64];
        // The first one opens the other's permission, and nobody is there to let it in yet.
        timeout(PATIENCE, other.send_to(b"opens", from)).await.unwrap().unwrap();
        for text in [&b"hello"[..], b"and again"] {
            timeout(PATIENCE, one.send_to(text, to)).await.unwrap().unwrap();
            let (length, source) = timeout(PATIENCE, other.recv_from(&mut buffer)).await.unwrap().unwrap();
            assert_eq!((&buffer[..length], source), (text, from));
        }
        for client in [alice, bob] {
            timeout(PATIENCE, client.close()).await.unwrap().unwrap();
        }
        one.close().await.unwrap();
        other.close().await.unwrap();
    });
}

/// The `turn` crate's client with the credentials out of an answer, which name the call and the user.
pub(crate) async fn connect(stage: &Stage, given: &Value, id: &str, user: &str) -> TurnClient {
    assert!(given["ice_ttl"].as_u64().is_some_and(|ttl_s| ttl_s > 60), "{given}");
    let servers = given["ice_servers"].as_array().expect("ice_servers");
    let relay = servers.iter().find(|server| server["username"].is_string()).expect("one with a name");
    let username = relay["username"].as_str().unwrap();
    assert!(username.contains(&format!(":{user};")) && username.contains(&format!("c={id}")), "{username}");
    let url = relay["urls"].as_array().unwrap().iter().filter_map(Value::as_str);
    let url = url.filter(|url| url.starts_with("turn:")).find(|url| url.contains("udp")).expect("a URL");
    let server: SocketAddr = url["turn:".len()..].split('?').next().unwrap().parse().expect("an address");
    assert_eq!(server, stage.daemon.server);
    let client = TurnClient::new(ClientConfig {
        stun_serv_addr: server.to_string(),
        turn_serv_addr: server.to_string(),
        username: username.into(),
        password: relay["credential"].as_str().expect("a credential").into(),
        realm: String::new(),
        software: String::new(),
        rto_in_ms: 0,
        conn: Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap()),
        vnet: None,
    })
    .await
    .unwrap();
    client.listen().await.unwrap();
    client
}
