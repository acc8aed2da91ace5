//! Clients that do not read, or write very slowly: they are closed or waited for, and nobody waits with them (F12).

use crate::daemon::{PATIENCE, eventually};
use crate::honest::Honest;
use crate::place::{Place, full_or, token};
use crate::raw::{Heard, PING, Raw, TEXT, frame};
use crate::tls_client::Link;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use std::io::Write;
use std::sync::Barrier;
use std::thread;

const MIB: u64 = 1 << 20;

/// A connection whose side of the buffers is as small as the kernel lets it be.
fn narrow(place: &Place) -> Link {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    socket.connect(&place.public.into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    Link::clear(socket.into())
}

/// In the room, by a narrow connection; with its private id and the offset of its greeting.
fn narrow_member(place: &Place, user: &str) -> (Raw, Value) {
    let subprotocol = "Sec-WebSocket-Protocol: turnstone.v1.json\r\n";
    let mut raw = Raw::upgrade(narrow(place), "/ws", subprotocol).unwrap();
    raw.text(&json!({ "hello": { "token": token(user) } }).to_string());
    let Heard::Text(welcome) = raw.hear() else { panic!("a welcome") };
    let welcome: Value = serde_json::from_str(&welcome).unwrap();
    raw.text(&json!({ "id": 1, "ev": "room:join", "data": { "room": "all" } }).to_string());
    let texts = raw.until(|text| text.contains("\"re\":1"));
    assert!(texts.last().unwrap().contains("\"ok\":true"), "{texts:?}");
    (raw, welcome["welcome"]["pid"].clone())
}

#[test]
fn who_does_not_read_is_closed_and_the_others_miss_nothing() {
    let (place, mut pair) = Place::with_pair();
    // No more of them than one turn of all may bring to each, and no more rounds than a rest has saved up for.
    let (count, each, bytes) = (full_or(100, 60), full_or(90, 25), full_or(1_000, 4_000));
    let slow_count = count / 10;
    let mut slow: Vec<_> = (0..slow_count).map(|n| narrow_member(&place, &format!("slow-{n}"))).collect();
    let mut readers: Vec<Honest> = (slow_count..count)
        .map(|number| {
            let mut one = match number % 2 {
                0 => Honest::plain(place.public, &format!("reader-{number}")),
                _ => Honest::socket_io(place.public, &format!("reader-{number}")),
            };
            let joined = one.ask("room:join", json!({ "room": "all" }));
            assert!(joined["members"].is_array(), "{joined}");
            one
        })
        .collect();
    place.await_connections(2 + count);
    let before = place.memory();
    let (members, start) = (readers.len(), Barrier::new(readers.len()));
    let text = "x".repeat(bytes);
    thread::scope(|scope| {
        for (number, one) in readers.iter_mut().enumerate() {
            let (text, start) = (&text, &start);
            scope.spawn(move || {
                start.wait();
                let mut seen = vec![0; members];
                for round in 0..each {
                    let data = json!({ "of": number, "round": round, "text": text });
                    let reliable = json!({ "room": "all", "name": "news", "data": data });
                    assert_eq!(one.ask("event:emit", reliable).get("code"), None);
                    let cursor =
                        json!({ "room": "all", "name": "cursor", "data": round, "class": "coalesce" });
                    one.ask("event:emit", cursor);
                    // In step with the others: what this one asks for is no more than it reads.
                    while seen.iter().enumerate().any(|(of, seen)| of != number && *seen <= round) {
                        let news = one.hear("event");
                        if news["name"] == "news" {
                            let of = news["data"]["of"].as_u64().unwrap() as usize;
                            assert_eq!(news["data"]["round"], seen[of], "in order, none missing, of {of}");
                            seen[of] += 1;
                        }
                    }
                }
            });
        }
        pair.goes_on();
    });
    pair.goes_on();
    place.await_connections(2 + members);
    let grown = place.memory().saturating_sub(before);
    assert!(grown < (8 + slow_count as u64 * 2) * MIB, "grown by {grown} bytes");
    // They may come back, with all of it or told that there is none: the offset is that of nothing.
    for (number, (raw, pid)) in slow.iter_mut().enumerate() {
        raw.until_closed();
        let mut again = Raw::plain(&place);
        let user = token(&format!("slow-{number}"));
        again.text(&json!({ "hello": { "token": user, "resume": { "pid": pid } } }).to_string());
        let Heard::Text(text) = again.hear() else { panic!("a welcome") };
        assert!(text.contains("\"recovered\":"), "{text}");
    }
    place.rests();
}

#[test]
fn pings_of_somebody_who_does_not_read_are_not_answered_for_ever() {
    let (place, mut pair) = Place::with_pair();
    let (mut raw, _) = narrow_member(&place, "pinger");
    let mut talker = Honest::plain(place.public, "talker");
    talker.ask("room:join", json!({ "room": "all" }));
    // Its way is full, but for less than it would be closed for.
    for _ in 0..120 {
        let news = json!({ "room": "all", "name": "news", "data": "x".repeat(2_500) });
        assert_eq!(talker.ask("event:emit", news).get("code"), None);
    }
    place.rests();
    let before = place.memory();
    let ping = frame(PING, &[b'x'; 125]);
    for _ in 0..full_or(1_000_000, 100_000) {
        raw.try_send(&ping).unwrap();
    }
    pair.goes_on();
    place.rests();
    let grown = place.memory().saturating_sub(before);
    assert!(grown < MIB, "grown by {grown} bytes");
    // Then it reads, and the last of them is answered.
    raw.text(&json!({ "id": 9, "ev": "heartbeat", "data": {} }).to_string());
    let mut pongs = 0;
    loop {
        match raw.hear() {
            Heard::Pong => pongs += 1,
            Heard::Text(text) if text.contains("\"re\":9") => break,
            Heard::Text(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!((1..=3).contains(&pongs), "{pongs} pongs waited");
    place.rests();
}

#[test]
fn who_writes_one_byte_at_a_time_is_understood_and_holds_nobody_up() {
    let (place, mut pair) = Place::with_pair();
    let mut raw = Raw::plain_in(&place, "slow-writer");
    let bytes = frame(TEXT, json!({ "id": 1, "ev": "heartbeat" }).to_string().as_bytes());
    for byte in bytes {
        raw.try_send(&[byte]).unwrap();
        pair.goes_on();
    }
    raw.until(|text| text.contains("\"re\":1"));
    place.rests();
}

#[test]
fn half_closed_and_reset_connections_are_gone_at_once() {
    let (place, mut pair) = Place::with_pair();
    for number in 0..40 {
        let mut raw = match number % 2 {
            0 => Raw::plain_in(&place, &format!("half-{number}")),
            _ => Raw::engine_in(&place, &format!("half-{number}")),
        };
        if number % 4 < 2 {
            raw.link.socket.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(raw.until_closed().1, None);
        } else {
            raw.link.flush().unwrap();
            raw.reset();
        }
    }
    pair.goes_on();
    place.await_connections(2);
    eventually(PATIENCE, "every session is kept for its client", || {
        (place.gauge("turnstone_signaling_sessions") == 42.0).then_some(())
    });
    place.rests();
}
