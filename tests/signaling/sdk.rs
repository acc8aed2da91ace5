//! Our own client, as the daemon serves it: its session, rooms and presence.

use crate::cutter::{Cut, Cutter};
use crate::daemon::{PATIENCE, eventually};
use crate::node::Client;
use crate::stage::{KEY, Stage, now_s, token, token_until};
use crate::token::Signer;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

fn ok(answer: &Value) -> Value {
    assert_eq!(answer["ok"], true, "{answer}");
    answer["data"].clone()
}

fn data(report: &Value) -> &Value {
    &report["args"][0]
}

/// Looks until it hears this event with this in a field of its data.
#[track_caller]
fn hear_of(client: &Client<'_>, event: &str, field: &str, value: &Value) -> Value {
    loop {
        let report = client.await_seen(event);
        if data(&report)[field] == *value {
            return data(&report).clone();
        }
    }
}

/// Head and body.
fn get(server: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(server).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {server}\r\nOrigin: https://app.example\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

#[test]
fn it_is_served_to_pages_of_every_origin_with_its_types() {
    let Some(stage) = Stage::set("sdk::it_is_served_to_pages_of_every_origin_with_its_types") else { return };
    for (path, content_type) in [
        ("/sdk/turnstone.js", "text/javascript; charset=utf-8"),
        ("/sdk/turnstone.d.ts", "application/typescript; charset=utf-8"),
    ] {
        let (head, body) = get(stage.public, path);
        assert!(head.starts_with("http/1.0 200") && body.contains("createClient"), "{head}\n{body}");
        for line in [
            &format!("content-type: {content_type}"),
            "access-control-allow-origin: *",
            "cross-origin-resource-policy: cross-origin",
            "cache-control: no-cache",
            "x-content-type-options: nosniff",
            "content-security-policy: default-src 'none'; frame-ancestors 'none'",
        ] {
            assert!(head.lines().any(|one| one == line), "no {line} in {head}");
        }
    }
    assert!(get(stage.public, "/sdk/").0.starts_with("http/1.0 404"));
}

#[test]
fn what_was_missed_comes_once_and_in_order_behind_a_cut() {
    let name = "sdk::what_was_missed_comes_once_and_in_order_behind_a_cut";
    let Some(stage) = Stage::set(name) else { return };
    let (alice, bob) = (stage.sdk("alice"), stage.sdk("bob"));
    // No more than the budget of messages takes at once.
    for body in 0..9 {
        if body % 4 == 2 {
            bob.tell("break", json!({}));
        }
        alice.get("message:send", json!({ "to": "bob", "body": body }));
    }
    let mut recovered = 0;
    for body in 0..9 {
        loop {
            let report = bob.look();
            if report["event"] == "connected" {
                assert_eq!(data(&report)["recovered"], true, "{report}");
                recovered += 1;
            }
            if report["event"] == "message:receive" {
                assert_eq!(data(&report)["body"], body);
                break;
            }
        }
    }
    assert!(recovered > 0);
}

#[test]
fn what_was_asked_when_the_line_broke_is_answered_behind_it_and_happens_once() {
    let name = "sdk::what_was_asked_when_the_line_broke_is_answered_behind_it_and_happens_once";
    let Some(stage) = Stage::set(name) else { return };
    // Breaks the line whenever an answer is on its way: what was asked was heard, and nobody knows.
    let cutter = Cutter::start(stage.public, Cut::Reset, {
        let mut cuts = 0;
        move |heard, from| {
            let at = heard[from..].windows(5).position(|part| part == b"\"re\":")?;
            cuts += 1;
            (cuts <= 2).then_some(from + at)
        }
    });
    let bob = stage.sdk("bob");
    let options = json!({ "device": "alice", "timeoutMs": 20_000 });
    let url = format!("http://{}", cutter.address);
    let alice = stage.opening_sdk("alice", &url, json!({ "token": token("alice") }), options);
    let message = json!({ "to": "bob", "body": "once", "client_ref": "r" });
    let sent = alice.get("message:send", message);
    let heard = bob.await_seen("message:receive");
    assert_eq!((&data(&heard)["body"], &data(&heard)["id"]), (&json!("once"), &sent["id"]));
    alice.get("message:send", json!({ "to": "bob", "body": "next" }));
    assert_eq!(data(&bob.await_seen("message:receive"))["body"], "next");
}

#[test]
fn a_new_session_behind_a_restart_has_its_rooms_and_who_it_watches_and_says_that_something_is_missing() {
    let name = "sdk::a_new_session_behind_a_restart_has_its_rooms_and_who_it_watches_and_says_that_something_is_missing";
    let Some(mut stage) = Stage::set(name) else { return };
    let node = crate::node::Node::start(name).expect("it did before");
    let url = stage.url();
    let open = |user: &str| {
        let options = json!({ "device": user, "from": url });
        let client = Client::open(&node, user, "sdk", &url, json!({ "token": token(user) }), options);
        client.await_seen("connected");
        client
    };
    let (alice, bob) = (open("alice"), open("bob"));
    ok(&alice.order("join", json!({ "room": "lobby", "options": { "role": "host" } })));
    let joined = ok(&bob.order("join", json!({ "room": "lobby" })));
    let host = joined["participants"].as_array().unwrap().iter().find(|member| member["user"] == "alice");
    assert_eq!(host.unwrap()["role"], "host");
    ok(&alice.order("watch", json!({ "users": ["carol"] })));
    stage.daemon.crash_and_start();
    for client in [&alice, &bob] {
        assert_eq!(hear_of(client, "connected", "recovered", &json!(false))["user"], client.name);
        assert_eq!(data(&client.await_seen("snapshot")), &json!({ "calls": [] }));
    }
    // Whoever came first heard of the other then.
    let everybody = |client: &Client<'_>| {
        ok(&client.order("members", json!({ "room": "lobby" })))["participants"].as_array().unwrap().len()
    };
    while everybody(&alice) < 2 {
        alice.await_seen("room.participants");
    }
    ok(&bob.order("say", json!({ "room": "lobby", "body": "again" })));
    assert_eq!(data(&alice.await_seen("room.message"))["body"], "again");
    let carol = open("carol");
    hear_of(&alice, "presence:update", "user", &json!("carol"));
    assert_eq!(ok(&alice.order("presence", json!({ "user": "carol" })))["online"], true);
    carol.tell("close", json!({}));
}

#[test]
fn a_room_tells_who_is_there_what_is_said_and_who_types() {
    let Some(stage) = Stage::set("sdk::a_room_tells_who_is_there_what_is_said_and_who_types") else { return };
    let (alice, bob) = (stage.sdk("alice"), stage.sdk("bob"));
    let users = |data: &Value| {
        let mut users: Vec<_> =
            data.as_array().unwrap().iter().map(|one| one["user"].as_str().unwrap().to_owned()).collect();
        users.sort();
        users
    };
    ok(&alice.order("join", json!({ "room": "lobby" })));
    let joined = ok(&bob.order("join", json!({ "room": "lobby", "options": { "info": { "seat": 2 } } })));
    assert_eq!(users(&joined["participants"]), ["alice", "bob"]);
    let newcomer = alice.await_seen("room.joined");
    assert_eq!((&data(&newcomer)["user"], &data(&newcomer)["info"]["seat"]), (&json!("bob"), &json!(2)));
    assert_eq!(users(data(&alice.await_seen("room.participants"))), ["alice", "bob"]);
    bob.tell("typing", json!({ "room": "lobby" }));
    assert_eq!(data(&alice.await_seen("room.typing")), &json!({ "from": "bob", "isTyping": true }));
    let said = ok(&bob.order("say", json!({ "room": "lobby", "body": { "text": "<b>" } })));
    let heard = alice.await_seen("room.message");
    assert_eq!((&data(&heard)["id"], &data(&heard)["body"]["text"]), (&said["id"], &json!("<b>")));
    // Of another room nothing is heard here.
    ok(&bob.order("join", json!({ "room": "attic" })));
    ok(&bob.order("say", json!({ "room": "attic", "body": 1 })));
    ok(&bob.order("leave", json!({ "room": "lobby" })));
    bob.await_seen("room.closed");
    assert_eq!(data(&alice.await_seen("room.left"))["user"], "bob");
    assert_eq!(users(data(&alice.await_seen("room.participants"))), ["alice"]);
    assert_eq!(alice.story().iter().filter(|word| *word == "room.message").count(), 1);
}

#[test]
fn a_page_stays_in_a_room_that_another_page_of_its_device_leaves() {
    let Some(stage) = Stage::set("sdk::a_page_stays_in_a_room_that_another_page_of_its_device_leaves") else {
        return;
    };
    let page = |name: &str| {
        let auth = json!({ "token": token("alice") });
        let client = stage.opening_sdk(name, &stage.url(), auth, json!({ "device": "laptop" }));
        client.await_seen("connected");
        ok(&client.order("join", json!({ "room": "lobby" })));
        client
    };
    let (one, other, bob) = (page("one"), page("other"), stage.sdk("bob"));
    ok(&bob.order("join", json!({ "room": "lobby" })));
    ok(&other.order("leave", json!({ "room": "lobby" })));
    ok(&bob.order("say", json!({ "room": "lobby", "body": "still there?" })));
    assert_eq!(data(&one.await_seen("room.message"))["body"], "still there?");
    assert!(!one.story().contains(&"room.closed".to_owned()));
}

#[test]
fn presence_is_known_of_whom_it_watches() {
    let Some(stage) = Stage::set("sdk::presence_is_known_of_whom_it_watches") else { return };
    let alice = stage.sdk("alice");
    ok(&alice.order("watch", json!({ "users": ["bob"] })));
    assert_eq!(ok(&alice.order("presence", json!({ "user": "bob" })))["online"], false);
    let bob = stage.sdk("bob");
    assert_eq!(hear_of(&alice, "presence:update", "user", &json!("bob"))["online"], true);
    bob.get("presence:set", json!({ "status": "idle", "meta": { "mood": "calm" } }));
    hear_of(&alice, "presence:update", "status", &json!("idle"));
    let known = ok(&alice.order("presence", json!({ "user": "bob" })));
    assert_eq!((&known["status"], &known["meta"]["mood"]), (&json!("idle"), &json!("calm")));
}

#[test]
fn a_token_that_ends_is_renewed_in_band() {
    let Some(stage) = Stage::set("sdk::a_token_that_ends_is_renewed_in_band") else { return };
    // Over, and good for some seconds of leeway more; the next one is about to end as well, and the server says so.
    let second = now_s() + 40;
    let tokens = json!([token_until("alice", now_s() - 20), token_until("alice", second), token("alice")]);
    let auth = json!({ "tokens": tokens });
    let alice = stage.opening_sdk("alice", &stage.url(), auth, json!({ "device": "alice" }));
    alice.await_seen("connected");
    assert!(data(&alice.await_seen("auth:expiring"))["exp"].as_u64().unwrap() < now_s());
    assert_eq!(data(&alice.await_seen("auth:expiring"))["exp"], second);
    let count = |word: &str| alice.story().iter().filter(|seen| *seen == word).count();
    assert_eq!((count("asked for a token"), count("connected")), (3, 1), "{:?}", alice.story());
}

#[test]
fn a_refused_token_is_asked_for_anew_and_the_same_one_is_given_up() {
    let Some(stage) = Stage::set("sdk::a_refused_token_is_asked_for_anew_and_the_same_one_is_given_up")
    else {
        return;
    };
    let over = token_until("alice", now_s() - 3600);
    let auth = json!({ "tokens": [over, "x.y.z", token("alice")] });
    let alice = stage.opening_sdk("alice", &stage.url(), auth, json!({}));
    for _ in 0..3 {
        alice.await_seen("asked for a token");
    }
    assert_eq!(data(&alice.await_seen("connected"))["user"], "alice");

    let stubborn = stage.opening_sdk("stubborn", &stage.url(), json!({ "tokens": [over] }), json!({}));
    assert_eq!(data(&stubborn.await_seen("failed")), &json!({ "code": "token_expired" }));
    let fixed = stage.opening_sdk("fixed", &stage.url(), json!({ "token": "x.y.z" }), json!({}));
    assert_eq!(data(&fixed.await_seen("failed")), &json!({ "code": "unauthorized" }));
    assert_eq!(fixed.refused("heartbeat", json!({})), "closed");
}

#[test]
fn ice_servers_are_kept_until_four_fifths_of_their_life() {
    let Some(stage) = Stage::set("sdk::ice_servers_are_kept_until_four_fifths_of_their_life") else { return };
    let alice = stage.sdk("alice");
    let username = |answer: &Value| {
        let servers = ok(answer)["servers"].as_array().unwrap().clone();
        servers.iter().find_map(|server| server["username"].as_str().map(str::to_owned)).unwrap()
    };
    let first = username(&alice.order("ice", json!({})));
    assert!(first.contains(":alice"), "{first}");
    for (later_s, is_same) in [(2_800, true), (100, false)] {
        alice.order("later", json!({ "ms": later_s * 1000 }));
        assert_eq!(username(&alice.order("ice", json!({}))) == first, is_same);
    }
    assert_eq!(alice.story().iter().filter(|word| *word == "fetched").count(), 0, "they are looked at below");
    let mut fetched = 0;
    alice.tell("close", json!({}));
    while let report = alice.look()
        && report["event"] != "failed"
    {
        fetched += u32::from(report["what"] == "fetched");
    }
    assert_eq!(fetched, 2);
}

#[test]
fn what_is_asked_at_the_moment_of_entry_happens_once() {
    let Some(stage) = Stage::set("sdk::what_is_asked_at_the_moment_of_entry_happens_once") else { return };
    let bob = stage.sdk("bob");
    let greet = json!({ "event": "message:send", "data": { "to": "bob", "body": "hello" } });
    let options = json!({ "device": "alice", "greet": greet });
    let alice = stage.opening_sdk("alice", &stage.url(), json!({ "token": token("alice") }), options);
    alice.await_seen("connected");
    alice.get("message:send", json!({ "to": "bob", "body": "next" }));
    for body in ["hello", "next"] {
        assert_eq!(data(&bob.await_seen("message:receive"))["body"], body);
    }
}

#[test]
fn only_another_kind_of_network_is_another_network() {
    let Some(stage) = Stage::set("sdk::only_another_kind_of_network_is_another_network") else { return };
    let alice = stage.sdk("alice");
    for kind in ["wifi", "wifi", "cellular", "cellular"] {
        ok(&alice.order("network", json!({ "type": kind })));
    }
    alice.tell("close", json!({}));
    alice.await_seen("failed");
    assert_eq!(alice.story().iter().filter(|word| *word == "network").count(), 1);
}

#[test]
fn an_address_that_is_none_is_a_failure_and_not_a_wait() {
    let Some(stage) = Stage::set("sdk::an_address_that_is_none_is_a_failure_and_not_a_wait") else { return };
    let alice = stage.opening_sdk("alice", "http://[", json!({ "token": token("alice") }), json!({}));
    assert_eq!(data(&alice.await_seen("failed")), &json!({ "code": "bad_request" }));
}

#[test]
fn ice_servers_are_asked_for_again_with_a_fresh_token_and_not_awaited_for_ever() {
    let name = "sdk::ice_servers_are_asked_for_again_with_a_fresh_token_and_not_awaited_for_ever";
    let Some(stage) = Stage::set(name) else { return };
    let foreign = Signer::secret("the-key-of-somebody-else-altogether-0001");
    let refused = foreign.token(&json!({ "sub": "alice", "exp": now_s() + 3600 }));
    let idle = json!({ "isIdle": true });
    let auth = json!({ "tokens": [refused, token("alice")] });
    let renewing = stage.opening_sdk("renewing", &stage.url(), auth, idle.clone());
    assert!(ok(&renewing.order("ice", json!({})))["servers"].is_array());
    let fixed = stage.opening_sdk("fixed", &stage.url(), json!({ "token": refused }), idle);
    assert_eq!(fixed.order("ice", json!({}))["code"], "unauthorized");
    // Takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let options = json!({ "isIdle": true, "timeoutMs": 100 });
    let waiting = stage.opening_sdk("waiting", &url, json!({ "token": token("alice") }), options);
    assert_eq!(waiting.order("ice", json!({}))["code"], "timeout");
}

#[test]
fn rooms_for_which_a_new_session_has_no_budget_are_joined_when_it_has() {
    let name = "sdk::rooms_for_which_a_new_session_has_no_budget_are_joined_when_it_has";
    let Some(mut stage) = Stage::with(name, "[signaling.limits]\nevents_per_session = \"2/s\"\n") else {
        return;
    };
    let node = crate::node::Node::start(name).expect("it did before");
    let url = stage.url();
    let options = json!({ "device": "alice", "from": url });
    let alice = Client::open(&node, "alice", "sdk", &url, json!({ "token": token("alice") }), options);
    alice.await_seen("connected");
    // It may go four seconds' worth ahead, which is less than all of them.
    let rooms = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    for room in rooms {
        eventually(PATIENCE, "there is budget for one more", || {
            let joined = alice.order("join", json!({ "room": room }));
            assert!(joined["ok"] == true || joined["code"] == "rate_limited", "{joined}");
            (joined["ok"] == true).then_some(())
        });
    }
    stage.daemon.crash_and_start();
    hear_of(&alice, "connected", "recovered", &json!(false));
    for _ in rooms {
        alice.await_seen("room.participants");
    }
    assert!(!alice.story().contains(&"room.closed".to_owned()));
}

#[test]
fn a_room_that_was_refused_is_not_joined_later() {
    let name = "sdk::a_room_that_was_refused_is_not_joined_later";
    let Some(mut stage) = Stage::set(name) else { return };
    let node = crate::node::Node::start(name).expect("it did before");
    let url = stage.url();
    let open = |user: &str, token: String| {
        let options = json!({ "device": user, "from": url });
        let client = Client::open(&node, user, "sdk", &url, json!({ "token": token }), options);
        client.await_seen("connected");
        client
    };
    let confined = json!({ "sub": "alice", "exp": now_s() + 3600, "rooms": ["lobby"] });
    let alice = open("alice", Signer::secret(KEY).token(&confined));
    let bob = open("bob", token("bob"));
    assert_eq!(alice.order("join", json!({ "room": "attic" }))["code"], "forbidden");
    ok(&bob.order("join", json!({ "room": "attic" })));
    ok(&alice.order("refresh", json!({ "token": token("alice") })));
    stage.daemon.crash_and_start();
    for client in [&alice, &bob] {
        client.await_seen("snapshot");
    }
    // Whoever joined before this answer is known here.
    bob.get("heartbeat", json!({}));
    let members = ok(&bob.order("members", json!({ "room": "attic" })))["participants"].clone();
    assert_eq!((members.as_array().unwrap().len(), &members[0]["user"]), (1, &json!("bob")));
    // It is the client that stays away, and not the server that keeps it out.
    ok(&alice.order("join", json!({ "room": "attic" })));
}
