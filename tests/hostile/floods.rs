//! Very much of what is allowed.

use crate::honest::Honest;
use crate::place::{Place, full_or, token};
use crate::raw::{PING, Raw, TEXT, frame, header_and};
use serde_json::json;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

#[test]
fn a_flood_of_events_is_slowed_refused_and_then_kept_out() {
    let (place, mut pair) = Place::with_pair();
    let before = place.memory();
    let mut raw = Raw::engine_in(&place, "flooder");
    let events: Vec<u8> =
        (0..100).flat_map(|n| frame(TEXT, format!("42{n}[\"heartbeat\",{{}}]").as_bytes())).collect();
    for _ in 0..1000 {
        if raw.try_send(&events).is_err() {
            break;
        }
    }
    let (texts, code) = raw.until_closed();
    let refused = texts.iter().filter(|text| text.contains("\"retry_after_ms\":")).count();
    assert!(refused > 0 && texts.len() < 2_000, "{refused} of {}", texts.len());
    // A reset may overtake the last bytes of a connection whose input nobody read.
    assert!(matches!(code, Some(1008) | None), "{code:?}");
    pair.goes_on();
    for _ in 0..200 {
        let mut again = Raw::engine(&place);
        again.text(&format!("40{}", json!({ "token": token("flooder") })));
        // No CONNECT_ERROR, after which an honest client of that user would stay away for good.
        assert_eq!(again.until_closed(), (Vec::new(), Some(1013)));
    }
    let mut plain = Raw::plain(&place);
    plain.text(&json!({ "hello": { "token": token("flooder") } }).to_string());
    let (texts, _) = plain.until_closed();
    assert!(
        texts[0].contains("\"code\":\"rate_limited\"") && texts[0].contains("retry_after_ms"),
        "{texts:?}"
    );
    pair.goes_on();
    assert!(place.memory().saturating_sub(before) < 16 * MIB);
    place.await_connections(2);
    place.rests();
}

#[test]
fn tiny_frames_without_number_cost_no_memory_and_nobody_waits() {
    let (place, mut pair) = Place::with_pair();
    let count = full_or(1_000_000, 100_000);
    let before = place.memory();
    let pings = frame(PING, &[b'x'; 125]);
    let kinds = [frame(TEXT, b"6"), header_and(0x8a, 0, b""), pings.clone(), frame(TEXT, b"430[]")];
    let floods = kinds.map(|one| {
        let mut raw = Raw::engine_in(&place, "tiny");
        std::thread::spawn(move || {
            let many = one.repeat(100);
            // Nothing is read meanwhile.
            for _ in 0..count / 100 {
                raw.try_send(&many).unwrap();
            }
            raw
        })
    });
    while floods.iter().any(|flood| !flood.is_finished()) {
        pair.goes_on();
    }
    for flood in floods {
        let mut raw = flood.join().unwrap();
        raw.text("421[\"heartbeat\",{}]");
        raw.until(|text| text.starts_with("431["));
    }
    let grown = place.memory().saturating_sub(before);
    assert!(grown < 8 * MIB, "grown by {grown} bytes");
    place.await_connections(2);
    place.rests();
}

#[test]
fn a_message_in_very_many_fragments_is_cut_off() {
    let (place, mut pair) = Place::with_pair();
    let before = place.memory();
    let mut many: Vec<Raw> = (0..100).map(|n| Raw::plain_in(&place, &format!("fragments-{n}"))).collect();
    let fragment = header_and(0, 0, b"");
    for raw in &mut many {
        let mut bytes = header_and(TEXT, 60_000, &[b' '; 60_000]);
        bytes.extend(fragment.repeat(900));
        raw.try_send(&bytes).unwrap();
    }
    pair.goes_on();
    let grown = place.memory().saturating_sub(before);
    assert!(grown < 24 * MIB, "100 open messages: {grown} bytes");
    for raw in &mut many {
        let _closed = raw.try_send(&fragment.repeat(1_000));
        assert_eq!(raw.until_closed().1, Some(1008));
    }
    pair.goes_on();
    place.await_connections(2);
    place.rests();
}

#[test]
fn rooms_joined_and_left_in_a_storm_leave_nothing_behind() {
    let (place, mut pair) = Place::with_pair();
    let mut stranger = Honest::socket_io(place.public, "joiner");
    let mut refused = 0;
    for number in 0..150 {
        let answer = stranger.ask("room:join", json!({ "room": format!("room-{number}") }));
        refused += usize::from(answer["code"].is_string());
    }
    assert!(refused > 0, "one session is in so many rooms and no more");
    drop(stranger);
    pair.goes_on();
    place.rests();
}

#[test]
fn a_burst_for_somebody_who_reads_does_not_cut_them_off() {
    let (place, mut pair) = Place::with_pair();
    let emit = r#"["event:emit",{"to":"honest-callee","name":"x"}]"#;
    let mut raw = Raw::engine_in(&place, "burst");
    // As much as the limits allow, in one write.
    raw.try_send(&frame(TEXT, format!("42{emit}").as_bytes()).repeat(200)).unwrap();
    for _ in 0..200 {
        assert_eq!(pair.callee.hear("event")["from"], "burst");
    }
    pair.goes_on();
    let sid = crate::polling::enter(&place, "poller", "");
    let packets = vec![format!("42{emit}"); 200].join("\x1e");
    assert_eq!(crate::polling::post(&place, &sid, "", packets.as_bytes()), (200, "ok".into()));
    for _ in 0..200 {
        assert_eq!(pair.callee.hear("event")["from"], "poller");
    }
    pair.goes_on();
    let dropped = place.gauge("turnstone_signaling_dropped_total{");
    assert_eq!(dropped, 0.0);
}

#[test]
fn stored_messages_to_ten_thousand_invented_names_leave_few_conversations_behind() {
    let (place, mut pair) = Place::with_pair();
    let rows = |table: &str| place.gauge(&format!("turnstone_storage_records{{table=\"{table}\"}}"));
    let before = place.memory();
    for stranger in 0..50 {
        let mut raw = Raw::engine_in(&place, &format!("stranger-{stranger}"));
        let say = |n: usize| {
            let to = format!("name-{stranger}-{n}");
            format!("42{n}{}", json!(["message:send", { "to": to, "body": "x", "store": true }]))
        };
        let many: Vec<u8> = (0..200).flat_map(|n| frame(TEXT, say(n).as_bytes())).collect();
        let _closed = raw.try_send(&many);
        raw.until_closed();
        if stranger % 10 == 0 {
            pair.goes_on();
        }
    }
    // One that keeps to the rate of messages.
    let mut patient = Honest::plain(place.public, "patient");
    let (since, mut begun, mut refused) = (Instant::now(), 0.0, 0);
    for n in 0..200 {
        let name = format!("other-{n}");
        let answer = patient.ask("message:send", json!({ "to": name, "body": "x", "store": true }));
        match answer["retry_after_ms"].as_u64() {
            None => begun += 1.0,
            Some(after @ ..1_000) => std::thread::park_timeout(Duration::from_millis(after)),
            Some(_) => refused += 1,
        }
        if refused == 20 {
            break;
        }
    }
    assert!(begun <= 21.0 + since.elapsed().as_secs_f64() / 3.0 && refused == 20, "{begun}, {refused}");
    let message = json!({ "to": "honest-callee", "body": "still", "store": true });
    let answer = pair.caller.ask("message:send", message);
    assert!(answer["id"].is_string(), "{answer}");
    assert_eq!(pair.callee.hear("message:receive")["body"], "still");
    pair.goes_on();
    let (conversations, cursors) = (rows("conversations"), rows("read_cursors"));
    assert!((begun..=begun + 1.0 + 50.0 * 20.0).contains(&conversations), "{conversations}");
    assert!(cursors <= 2.0 * conversations, "{cursors}");
    assert!(place.memory().saturating_sub(before) < 32 * MIB);
    drop(patient);
    place.await_connections(2);
    place.rests();
}
