//! A call that owns its relay, from the outside: minted by API key, called by socket.io-client, relayed by the `turn`
//! crate, and recorded with every byte.

use crate::call::connect;
use crate::daemon::{BINARY, PATIENCE, eventually, run_to_end};
use crate::node::Client;
use crate::stage::Stage;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use tokio::time::timeout;
use webrtc_util::Conn;

#[test]
fn a_relayed_call_is_recorded_with_its_bytes_and_its_relay_ends_with_it() {
    let Some(stage) =
        Stage::set("record::a_relayed_call_is_recorded_with_its_bytes_and_its_relay_ends_with_it")
    else {
        return;
    };
    let key = api_key(&stage);
    let (status, minted) = request(stage.public, "POST", "/v1/ice-servers", &key, r#"{"user":"carol"}"#);
    assert_eq!((status, minted["iceServers"].is_array()), (201, true), "{minted}");

    let (alice, bob) = (stage.socketio("alice"), stage.socketio("bob"));
    let started = alice.get("call:start", json!({ "callee_id": "bob", "call_type": "audio" }));
    let id = started["call_id"].as_str().unwrap().to_owned();
    bob.hear("call:incoming");
    let accepted = bob.get("call:accepted", json!({ "call_id": id }));
    let shown = || request(stage.daemon.admin, "GET", &format!("/v1/calls/{id}"), &key, "").1;

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (sent, clients) = runtime.block_on(async {
        let one = connect(&stage, &started, &id, "alice").await;
        let other = connect(&stage, &accepted, &id, "bob").await;
        let alices = timeout(PATIENCE, one.allocate()).await.unwrap().unwrap();
        let bobs = timeout(PATIENCE, other.allocate()).await.unwrap().unwrap();
        let (from, to) = (alices.local_addr().unwrap(), bobs.local_addr().unwrap());
        // It opens the permission of its sender; whether the other end lets it in already is a matter of luck.
        timeout(PATIENCE, bobs.send_to(b"opens", from)).await.unwrap().unwrap();
        let (mut sent, mut buffer) = (0, [0; 1500]);
        for round in 0..100usize {
            let text = vec![7; 100 + round];
            timeout(PATIENCE, alices.send_to(&text, to)).await.unwrap().unwrap();
            let (length, _) = timeout(PATIENCE, bobs.recv_from(&mut buffer)).await.unwrap().unwrap();
            assert_eq!(length, text.len());
            sent += text.len() as u64;
        }
        (sent, [(one, Box::new(alices) as Box<dyn Conn + Send + Sync>), (other, Box::new(bobs))])
    });
    let live = eventually(PATIENCE, "the live call shows its bytes", || {
        let call = shown();
        (call["total"]["bytes_from_client"].as_u64() == Some(sent + 5)).then_some(call)
    });
    assert_eq!((&live["relayed"], live["sessions"].as_array().unwrap().len()), (&json!(true), 2), "{live:#}");
    assert!(live["sessions"].as_array().unwrap().iter().all(|session| session["call_id"] == *id));

    alice.get("call:end", json!({ "call_id": id }));
    bob.hear("call:end");
    let recorded = eventually(PATIENCE, "the call is recorded", || {
        let call = shown();
        (call["state"] == "ended").then_some(call)
    });
    assert_eq!((&recorded["reason"], &recorded["relayed"]), (&json!("hangup"), &json!(true)));
    // Its credentials are void at once, its sessions end after the grace, whatever their clients do.
    runtime.block_on(async {
        let late = connect(&stage, &accepted, &id, "bob").await;
        assert!(timeout(PATIENCE, late.allocate()).await.unwrap().is_err());
        late.close().await.unwrap();
    });
    stage.daemon.await_allocations(0);
    let call =
        eventually(PATIENCE, "the record is final", || Some(shown()).filter(|call| call["final"] == true));
    let parties = call["parties"].as_array().unwrap();
    let figures = |name: &str| {
        let party = parties.iter().find(|party| party["subject"] == name).expect("it relayed");
        (party["bytes_from_client"].as_u64().unwrap(), party["bytes_from_peer"].as_u64().unwrap())
    };
    assert_eq!((figures("alice").0, figures("bob")), (sent, (5, sent)), "{call:#}");
    assert!([0, 5].contains(&figures("alice").1), "the opening may come too early: {call:#}");
    assert_eq!(call["sessions"], json!([]));
    let (_, listed) = request(stage.daemon.admin, "GET", "/v1/calls?user=bob&state=ended", &key, "");
    assert_eq!((&listed["calls"][0]["id"], listed["calls"].as_array().unwrap().len()), (&json!(id), 1));
    runtime.block_on(async {
        for (client, _) in clients {
            let _its_session_is_gone = client.close().await;
        }
    });
}

#[test]
fn the_credentials_of_a_call_that_ended_are_void_for_the_next_process_too() {
    let name = "record::the_credentials_of_a_call_that_ended_are_void_for_the_next_process_too";
    let Some(mut stage) = Stage::set(name) else { return };
    let key = api_key(&stage);
    let (lasting, ended) = {
        let (_carol, lasting) = accepted(&stage, "carol", "dave");
        let (alice, ended) = accepted(&stage, "alice", "bob");
        assert!(allocates(&stage, &ended, "alice"));
        alice.get("call:end", json!({ "call_id": ended["call_id"] }));
        let path = format!("/v1/calls/{}", ended["call_id"].as_str().unwrap());
        eventually(PATIENCE, "the call is recorded", || {
            (request(stage.daemon.admin, "GET", &path, &key, "").1["state"] == "ended").then_some(())
        });
        (lasting, ended)
    };
    stage.daemon.crash_and_start();
    assert!(!allocates(&stage, &ended, "alice"), "its call has ended");
    assert!(allocates(&stage, &lasting, "carol"), "its call has not");
}

/// A call that was taken; and what the caller was told at its start.
fn accepted<'s>(stage: &'s Stage, caller: &str, callee: &str) -> (Client<'s>, Value) {
    let (one, other) = (stage.socketio(caller), stage.socketio(callee));
    let started = one.get("call:start", json!({ "callee_id": callee, "call_type": "audio" }));
    other.hear("call:incoming");
    other.get("call:accepted", json!({ "call_id": started["call_id"] }));
    (one, started)
}

/// Whether the relay takes the credentials that a caller was given.
fn allocates(stage: &Stage, started: &Value, user: &str) -> bool {
    let id = started["call_id"].as_str().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = connect(stage, started, id, user).await;
        let allocated = timeout(PATIENCE, client.allocate()).await.unwrap().is_ok();
        client.close().await.unwrap();
        allocated
    })
}

/// A key of an app's back end, made by the verb.
pub(crate) fn api_key(stage: &Stage) -> String {
    let mut command = Command::new(BINARY);
    command.args(["api-key", "new", "--name", "back end", "--scope", "mint,read", "--json", "--config"]);
    let ended = run_to_end(command.arg(stage.daemon.config_path()), PATIENCE);
    assert_eq!(ended.code, 0, "{ended:#?}");
    let made: Value = serde_json::from_str(&ended.stdout).unwrap();
    made["key"].as_str().unwrap().to_owned()
}

pub(crate) fn request(server: SocketAddr, method: &str, path: &str, key: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {server}\r\nAuthorization: Bearer {key}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}
