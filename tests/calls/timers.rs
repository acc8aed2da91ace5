//! Each timer of the reference (signaling, 3.5), and devices that come and go.

use super::flows::{answer, offer, ring, start, talk};
use super::stage::Stage;
use serde_json::json;
use std::time::Duration;
use turnstone::metrics::EndReason;
use turnstone::signaling::{Abilities, CallSettings, DeviceChange};

const REPORT: Abilities = Abilities { glare: false, report: true, explicit_accept: false };

/// Nothing happens before `secs`, and then this; the wheel may be a tick late.
fn after(stage: &mut Stage, secs: u64, story: &[&str]) {
    stage.pass(Duration::from_millis(secs * 1000 - 1));
    assert_eq!(stage.events(), [""; 0], "before {secs} s");
    stage.pass(Duration::from_millis(10));
    assert_eq!(stage.events(), story, "after {secs} s");
}

#[test]
fn a_call_that_nobody_takes_ends_after_the_ring_time() {
    let mut stage = Stage::of(&["a1", "b1", "b2"]);
    start(&mut stage);
    let story = ["b1 b2 call:end no_answer", "a1 call:rejected no_answer", "a1 call:end no_answer"];
    after(&mut stage, 45, &story);
    stage.close();
}

#[test]
fn the_caller_says_how_long_it_rings_within_bounds() {
    for (asked_ms, secs) in [(0, 5), (9000, 9), (u64::MAX, 120)] {
        let mut stage = Stage::of(&["a1", "b1"]);
        stage.say("a1", "call:start", json!({"to": "b", "timeout_ms": asked_ms})).unwrap();
        stage.heard.clear();
        let story = ["b1 call:end no_answer", "a1 call:rejected no_answer", "a1 call:end no_answer"];
        after(&mut stage, secs, &story);
    }
}

#[test]
fn an_accept_without_answer_fails() {
    let mut stage = Stage::of(&["a1", "b1"]);
    start(&mut stage);
    stage.say("b1", "call:accepted", json!({})).unwrap();
    stage.heard.clear();
    after(&mut stage, 30, &["b1 call:end ice_timeout", "a1 call:end ice_timeout"]);
    stage.close();
}

#[test]
fn a_client_that_promised_to_report_media_must() {
    let mut stage = Stage::of(&["a1", "b1"]);
    stage.house.abilities.insert("a1".into(), REPORT);
    talk(&mut stage);
    after(&mut stage, 20, &["b1 call:end media_failed", "a1 call:end media_failed"]);
    stage.close();
}

#[test]
fn candidates_both_ways_do_not_stand_for_a_report() {
    let mut stage = Stage::of(&["a1", "b1"]);
    stage.house.abilities.insert("b1".into(), REPORT);
    for reports in [false, true] {
        talk(&mut stage);
        stage.say("a1", "webrtc:ice-candidate", json!({"candidate": 1})).unwrap();
        stage.say("b1", "webrtc:ice-candidate", json!({"candidate": 1})).unwrap();
        assert_eq!(stage.say("a1", "call:sync", json!({})).unwrap()["calls"][0]["state"], "active");
        if reports {
            stage.say("b1", "call:connected", json!({})).unwrap();
        }
        stage.heard.clear();
        stage.secs(21);
        assert_eq!(stage.events().is_empty(), reports);
    }
    stage.close();
}

#[test]
fn a_call_whose_clients_report_nothing_is_active_after_a_while() {
    let mut stage = Stage::of(&["a1", "b1"]);
    talk(&mut stage);
    let state =
        |stage: &mut Stage| stage.say("a1", "call:sync", json!({})).unwrap()["calls"][0]["state"].clone();
    assert_eq!(state(&mut stage), "connecting");
    stage.secs(21);
    assert_eq!(state(&mut stage), "active");
    assert_eq!(stage.events(), [""; 0]);
    stage.close();
}

#[test]
fn a_caller_that_is_away_while_it_rings_cancels() {
    let mut stage = Stage::of(&["a1", "b1"]);
    start(&mut stage);
    stage.device("a1", DeviceChange::Lost);
    stage.secs(9);
    stage.device("a1", DeviceChange::Back);
    stage.secs(9);
    stage.device("a1", DeviceChange::Lost);
    after(&mut stage, 10, &["b1 call:end cancelled", "a1 call:end cancelled"]);
    stage.close();
}

#[test]
fn a_side_of_a_talk_may_be_away_for_a_minute() {
    let mut stage = Stage::of(&["a1", "b1"]);
    talk(&mut stage);
    stage.secs(30);
    stage.device("b1", DeviceChange::Lost);
    stage.secs(59);
    stage.device("b1", DeviceChange::Back);
    assert_eq!(stage.events(), ["a1 call:peer-state reconnecting", "a1 call:peer-state back"]);
    stage.device("a1", DeviceChange::Lost);
    assert_eq!(stage.events(), ["b1 call:peer-state reconnecting"]);
    after(&mut stage, 60, &["b1 call:end lost", "a1 call:end lost"]);
    stage.close();
}

#[test]
fn a_device_with_a_new_session_goes_on_with_its_call() {
    let mut stage = Stage::of(&["a1", "b1"]);
    talk(&mut stage);
    stage.device("b1", DeviceChange::Gone);
    stage.secs(5);
    stage.device("b1", DeviceChange::Online);
    stage.secs(100);
    assert_eq!(stage.events(), ["a1 call:peer-state reconnecting", "a1 call:peer-state back"]);
    stage.say("b1", "webrtc:offer", json!({"to": "a", "offer": offer()})).unwrap();
    stage.close();
}

#[test]
fn who_accepts_while_the_caller_is_away_is_told_and_waits_as_in_a_talk() {
    let mut stage = Stage::of(&["a1", "b1"]);
    ring(&mut stage);
    stage.device("a1", DeviceChange::Lost);
    stage.secs(5);
    stage.say("b1", "webrtc:answer", json!({"to": "a", "answer": answer()})).unwrap();
    let story = ["a1 call:accepted", "b1 call:peer-state reconnecting", "a1 webrtc:answer"];
    assert_eq!(stage.events(), story);
    after(&mut stage, 60, &["b1 call:end lost", "a1 call:end lost"]);
    stage.close();
}

#[test]
fn a_callee_whose_last_device_goes_may_come_back_for_a_moment() {
    let mut stage = Stage::of(&["a1", "b1"]);
    ring(&mut stage);
    stage.device("b1", DeviceChange::Gone);
    stage.secs(9);
    stage.device("b1", DeviceChange::Online);
    assert_eq!(stage.events(), ["b1 call:incoming", "b1 webrtc:offer", "a1 call:ringing"]);
    stage.device("b1", DeviceChange::Gone);
    after(&mut stage, 10, &["a1 call:rejected offline", "a1 call:end offline"]);
    stage.close();
}

#[test]
fn a_device_that_rings_may_lose_its_connection() {
    let mut stage = Stage::of(&["a1", "b1"]);
    ring(&mut stage);
    stage.device("b1", DeviceChange::Lost);
    stage.secs(30);
    stage.device("b1", DeviceChange::Back);
    stage.say("b1", "webrtc:answer", json!({"to": "a", "answer": answer()})).unwrap();
    assert_eq!(stage.events(), ["a1 call:accepted", "a1 webrtc:answer"]);
    stage.close();
}

#[test]
fn a_candidate_without_description_is_forgotten_after_five_seconds() {
    let mut stage = Stage::of(&["a1", "b1"]);
    start(&mut stage);
    stage.say("a1", "webrtc:ice-candidate", json!({"candidate": "old"})).unwrap();
    stage.secs(3);
    stage.say("a1", "webrtc:ice-candidate", json!({"candidate": "young"})).unwrap();
    stage.secs(3);
    stage.say("a1", "webrtc:offer", json!({"offer": offer()})).unwrap();
    assert_eq!(stage.events(), ["b1 webrtc:offer", "b1 webrtc:ice-candidate young"]);
    stage.close();
}

#[test]
fn an_ended_call_is_forgotten_after_a_minute() {
    let mut stage = Stage::of(&["a1", "b1"]);
    let id = start(&mut stage);
    stage.say("a1", "call:end", json!({})).unwrap();
    stage.secs(59);
    assert_eq!(stage.say("b1", "call:accepted", json!({"call_id": id})), Err("ended"));
    stage.secs(2);
    assert_eq!(stage.say("b1", "call:accepted", json!({"call_id": id})), Err("no_call"));
    stage.close();
}

#[test]
fn a_longest_time_counts_from_the_accept() {
    let settings = CallSettings { max_duration: Some(Duration::from_secs(100)), ..CallSettings::default() };
    let mut stage = Stage::with(&["a1", "b1"], settings);
    ring(&mut stage);
    stage.secs(40);
    stage.say("b1", "webrtc:answer", json!({"to": "a", "answer": answer()})).unwrap();
    stage.heard.clear();
    after(&mut stage, 100, &["b1 call:end max_duration", "a1 call:end max_duration"]);
    stage.close();
}

#[test]
fn a_token_that_is_over_ends_the_calls_of_its_device() {
    let mut stage = Stage::of(&["a1", "a2", "b1", "c1"]);
    talk(&mut stage);
    stage.end_user("a2", EndReason::Expired);
    assert_eq!(stage.events(), [""; 0], "another device of the user has no part in it");
    stage.end_user("a1", EndReason::Expired);
    assert_eq!(stage.events(), ["b1 call:end expired", "a1 call:end expired"]);
    stage.say("c1", "call:start", json!({"to": "a"})).unwrap();
    stage.heard.clear();
    stage.end_user("a1", EndReason::Expired);
    assert_eq!(stage.events(), ["a1 call:end expired"]);
    stage.say("a2", "call:accepted", json!({})).unwrap();
    stage.close();
}

#[test]
fn when_the_daemon_stops_everybody_hears_it() {
    let mut stage = Stage::of(&["a1", "b1", "c1", "d1", "d2"]);
    talk(&mut stage);
    stage.say("c1", "call:start", json!({"to": "d"})).unwrap();
    stage.heard.clear();
    stage.shutdown();
    let story = [
        "b1 call:end server_shutdown",
        "a1 call:end server_shutdown",
        "d1 d2 call:end server_shutdown",
        "c1 call:end server_shutdown",
    ];
    assert_eq!(stage.events(), story);
    stage.close();
}
