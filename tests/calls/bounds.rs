//! Whatever a client can grow has an end, and a foreign call is no call.

use super::flows::{offer, start, talk};
use super::stage::Stage;
use serde_json::json;
use turnstone::signaling::{BusyPolicy, CallSettings};

#[test]
fn a_foreign_call_and_an_absent_one_look_the_same() {
    let mut stage = Stage::of(&["a1", "a2", "b1", "c1"]);
    let live = talk(&mut stage);
    let absent = "01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned();
    let ask = |stage: &mut Stage, id: &str| {
        for device in ["c1", "a2"] {
            for (event, data) in [
                ("call:accepted", json!({"call_id": id})),
                ("call:rejected", json!({"call_id": id})),
                ("call:end", json!({"call_id": id})),
                ("call:connected", json!({"call_id": id})),
                ("call:restart", json!({"call_id": id})),
                ("call:stats", json!({"call_id": id, "digest": 1})),
                ("call:join", json!({"call_id": id})),
                ("call:leave", json!({"call_id": id})),
                ("webrtc:offer", json!({"call_id": id, "to": "a", "offer": offer()})),
                ("webrtc:ice-candidate", json!({"call_id": id, "to": "a", "candidate": 1})),
            ] {
                assert_eq!(stage.say(device, event, data), Err("no_call"), "{device} {event} {id}");
            }
        }
    };
    for id in [&live, &absent, &"nonsense".to_owned()] {
        ask(&mut stage, id);
    }
    assert_eq!(stage.events(), [""; 0]);
    stage.say("a1", "call:end", json!({})).unwrap();
    assert_eq!(stage.say("c1", "call:end", json!({"call_id": live})), Err("no_call"), "nor when it is over");
    stage.close();
}

#[test]
fn a_device_and_a_user_have_so_many_calls_and_no_more() {
    let settings = CallSettings { calls_per_device: 2, calls_per_user: 3, ..CallSettings::default() };
    let mut stage = Stage::with(&["a1", "a2", "b1", "c1", "d1", "e1"], settings);
    stage.say("a1", "call:start", json!({"to": "b"})).unwrap();
    stage.say("a1", "call:start", json!({"to": "c"})).unwrap();
    assert_eq!(stage.say("a1", "call:start", json!({"to": "d"})), Err("too_large"));
    stage.say("a2", "call:start", json!({"to": "d"})).unwrap();
    assert_eq!(stage.say("a2", "call:start", json!({"to": "e"})), Err("too_large"));
    stage.close();
}

#[test]
fn callers_cannot_pile_up_calls_on_a_victim() {
    let settings = CallSettings { busy: BusyPolicy::Waiting, calls_per_user: 3, ..CallSettings::default() };
    let mut stage = Stage::with(&["a1", "b1", "c1", "d1", "z1"], settings);
    for caller in ["a1", "b1", "c1"] {
        stage.say(caller, "call:start", json!({"to": "z"})).unwrap();
    }
    assert_eq!(stage.say("d1", "call:start", json!({"to": "z"})), Err("busy"));
    stage.close();
}

#[test]
fn a_full_node_says_when_to_try_again() {
    let settings = CallSettings { calls_total: 1, ..CallSettings::default() };
    let mut stage = Stage::with(&["a1", "b1", "c1", "d1"], settings);
    start(&mut stage);
    assert_eq!(stage.say("c1", "call:start", json!({"to": "d"})), Err("rate_limited"));
    stage.close();
}

#[test]
fn candidates_that_are_kept_while_it_rings_are_counted_in_number_and_bytes() {
    let fits = |described: bool, bytes: usize| {
        let mut stage = Stage::of(&["a1", "b1"]);
        start(&mut stage);
        if described {
            stage.say("a1", "webrtc:offer", json!({"offer": offer()})).unwrap();
        }
        let candidate = json!({"candidate": "x".repeat(bytes)});
        let sent = |stage: &mut Stage| stage.say("a1", "webrtc:ice-candidate", candidate.clone());
        let fits = (0..1000).find(|_| sent(&mut stage).is_err());
        assert_eq!(sent(&mut stage), Err("too_large"));
        stage.close();
        fits
    };
    for described in [true, false] {
        assert_eq!(fits(described, 10), Some(128));
        assert_eq!(fits(described, 4000), Some(65));
    }
}

#[test]
fn candidates_of_devices_that_only_ring_are_few() {
    let mut stage = Stage::of(&["a1", "b1", "b2"]);
    start(&mut stage);
    let mut sent = 0;
    while stage.say(["b1", "b2"][sent % 2], "webrtc:ice-candidate", json!({"candidate": 1})).is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 32, "all devices together");
    stage.close();
}

#[test]
fn starts_that_come_to_nothing_leave_a_bounded_trace() {
    let settings = CallSettings { calls_total: 50, ..CallSettings::default() };
    let mut stage = Stage::with(&["a1", "b1"], settings);
    for n in 0..500 {
        stage.say("a1", "call:start", json!({"to": "b", "client_ref": n.to_string()})).unwrap();
        stage.say("a1", "call:end", json!({})).unwrap();
        assert_eq!(stage.say("a1", "call:start", json!({"to": "nobody"})), Err("offline"));
    }
    let census = stage.calls.census();
    assert!(census.ended <= 50 && census.client_refs <= 50, "{census:?}");
    assert_eq!(census.calls, 0);
    assert_eq!(census.timers, 0);
    stage.close();
}

#[test]
fn ids_are_in_the_order_of_time_and_not_to_be_guessed() {
    let mut stage = Stage::of(&["a1", "b1"]);
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(start(&mut stage));
        stage.say("a1", "call:end", json!({})).unwrap();
        stage.pass(std::time::Duration::from_millis(90));
    }
    assert!(ids.is_sorted());
    let ends: std::collections::BTreeSet<_> = ids.iter().map(|id| &id[10..]).collect();
    assert_eq!(ends.len(), 20);
}
