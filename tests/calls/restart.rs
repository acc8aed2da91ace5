//! Live calls when the daemon is killed and starts again.

use super::stage::Stage;
use serde_json::{Value, json};
use std::time::Duration;
use turnstone::metrics::EndReason;
use turnstone::signaling::{CallSettings, DeviceChange, Output};

const SHORTLY: Duration = Duration::from_secs(3);

fn active() -> (Stage, String) {
    let mut stage = Stage::of(&["a1", "b1"]);
    let id =
        stage.say("a1", "call:start", json!({"to":"b"})).unwrap()["call_id"].as_str().unwrap().to_owned();
    stage.say("a1", "webrtc:offer", json!({"to":"b","offer":{"sdp":"o"}})).unwrap();
    stage.say("b1", "webrtc:answer", json!({"to":"a","answer":{"sdp":"a"}})).unwrap();
    for device in ["a1", "b1"] {
        stage.say(device, "webrtc:ice-candidate", json!({"call_id":id,"candidate":{"c":1}})).unwrap();
    }
    stage.events();
    (stage, id)
}

fn sync(stage: &mut Stage, device: &str) -> Value {
    stage.say(device, "call:sync", json!({})).unwrap()["calls"].clone()
}

#[test]
fn both_sides_come_back_to_their_call_and_go_on() {
    let (mut stage, id) = active();
    let before = sync(&mut stage, "a1");
    assert_eq!((&before[0]["state"], &before[0]["rev"]), (&json!("active"), &json!(2)));
    stage.pass(Duration::from_secs(20));
    stage.restart(SHORTLY);
    stage.device("a1", DeviceChange::Online);
    let waiting = sync(&mut stage, "a1");
    assert_eq!((&waiting[0]["call_id"], &waiting[0]["state"]), (&json!(id), &json!("reconnecting")));
    stage.device("b1", DeviceChange::Online);
    assert_eq!(stage.events(), ["b1 call:peer-state back", "a1 call:peer-state back"]);
    assert_eq!(sync(&mut stage, "a1"), before);
    // No description is awaited: the media of the call never stopped.
    stage.say("b1", "webrtc:ice-candidate", json!({"call_id":id,"candidate":{"c":2}})).unwrap();
    assert_eq!(stage.events(), [r#"a1 webrtc:ice-candidate {"c":2}"#]);
    let end = stage.say("a1", "call:end", json!({})).unwrap();
    assert_eq!(end["duration_ms"], 23_000);
    assert_eq!(stage.reasons(), [EndReason::Hangup]);
    let record = &stage.records[0];
    assert_eq!(record.ended.0 - record.answered.unwrap().0, 23);
    stage.close();
}

#[test]
fn a_lost_call_lasted_until_the_daemon_ended_and_one_that_somebody_came_back_to_beyond() {
    for is_back in [false, true] {
        let (mut stage, _) = active();
        stage.pass(Duration::from_secs(120));
        let ran_until = stage.clock().unix;
        stage.restart_known(Duration::from_secs(3600), Some(ran_until));
        if is_back {
            stage.device("a1", DeviceChange::Online);
        }
        stage.secs(61);
        assert_eq!(stage.reasons(), [EndReason::Lost]);
        let record = &stage.records[0];
        assert_eq!(record.ended.0 - ran_until.0, 3660, "its credentials are void from then on");
        assert_eq!(record.duration_ms / 1000, if is_back { 3780 } else { 120 });
        stage.close();
    }
}

#[test]
fn a_call_that_nobody_comes_back_to_is_lost_after_its_grace() {
    let (mut stage, _) = active();
    stage.restart(SHORTLY);
    stage.secs(59);
    assert_eq!(stage.reasons(), []);
    stage.secs(2);
    assert_eq!(stage.reasons(), [EndReason::Lost]);
    stage.close();
}

#[test]
fn one_side_alone_is_told_that_the_other_was_lost() {
    let (mut stage, _) = active();
    stage.restart(SHORTLY);
    stage.device("b1", DeviceChange::Online);
    stage.events();
    stage.secs(61);
    assert_eq!(stage.reasons(), [EndReason::Lost]);
    assert!(stage.events().contains(&"b1 call:end lost".to_owned()));
    stage.close();
}

#[test]
fn an_accepted_call_still_waits_for_its_answer_after_the_grace() {
    let mut stage = Stage::of(&["a1", "b1"]);
    stage.say("a1", "call:start", json!({"to":"b"})).unwrap();
    stage.say("b1", "call:accepted", json!({})).unwrap();
    stage.restart(SHORTLY);
    for device in ["a1", "b1"] {
        stage.device(device, DeviceChange::Online);
    }
    stage.secs(40);
    stage.say("a1", "webrtc:offer", json!({"to":"b","offer":{"sdp":"o"}})).unwrap();
    stage.say("b1", "webrtc:answer", json!({"to":"a","answer":{"sdp":"a"}})).unwrap();
    stage.secs(30);
    assert_eq!(sync(&mut stage, "b1")[0]["state"], "active");
    stage.close();
}

#[test]
fn a_ringing_call_rings_on_for_the_rest_of_its_time_and_never_longer() {
    let mut stage = Stage::of(&["a1", "b1"]);
    stage.say("a1", "call:start", json!({"to":"b"})).unwrap();
    stage.say("a1", "webrtc:offer", json!({"to":"b","offer":{"sdp":"o"}})).unwrap();
    stage.secs(20);
    stage.events();
    stage.restart(SHORTLY);
    stage.device("b1", DeviceChange::Online);
    assert_eq!(stage.events(), ["b1 call:incoming", "a1 call:ringing"]);
    stage.device("a1", DeviceChange::Online);
    // It had the offer before.
    stage.say("b1", "webrtc:answer", json!({"to":"a","answer":{"sdp":"a"}})).unwrap();
    stage.close();

    let mut stage = Stage::of(&["a1", "b1"]);
    stage.say("a1", "call:start", json!({"to":"b"})).unwrap();
    stage.restart(SHORTLY);
    for device in ["a1", "b1"] {
        stage.device(device, DeviceChange::Online);
    }
    stage.secs(43);
    assert_eq!(stage.reasons(), [EndReason::NoAnswer]);
    stage.close();

    let mut stage = Stage::of(&["a1", "b1"]);
    stage.say("a1", "call:start", json!({"to":"b"})).unwrap();
    stage.restart(Duration::from_secs(3600));
    stage.secs(1);
    assert_eq!(stage.reasons(), [EndReason::Lost], "long over when the daemon came back");
    stage.close();
}

#[test]
fn the_members_of_a_group_come_back_and_those_who_do_not_leave() {
    let mut stage = Stage::of(&["a1", "b1", "c1"]);
    for device in ["a1", "b1", "c1"] {
        stage.house.rooms.insert(("r".to_owned(), device.to_owned()));
        stage
            .say(device, "call:join", json!({"room":"r"}))
            .or_else(|_| stage.say(device, "call:start", json!({"room":"r"})))
            .unwrap();
    }
    for to in ["a", "c"] {
        stage.say("b1", "webrtc:offer", json!({"to":to,"offer":{"sdp":"o"}})).unwrap();
    }
    stage.restart(SHORTLY);
    for device in ["a1", "b1"] {
        stage.device(device, DeviceChange::Online);
    }
    stage.events();
    stage.say("b1", "webrtc:ice-candidate", json!({"to":"a","candidate":{"c":1}})).unwrap();
    assert_eq!(stage.events(), [r#"a1 webrtc:ice-candidate {"c":1}"#]);
    stage.secs(61);
    let events = stage.events();
    assert!(events.contains(&"a1 b1 call:member c1 left".to_owned()), "{events:?}");
    assert_eq!(sync(&mut stage, "a1")[0]["members"], json!([{"user":"b","device":"b1"}]));
    stage.close();
}

#[test]
fn what_was_kept_reads_back_as_it_was_and_what_has_no_place_has_ended_as_lost() {
    let (mut stage, id) = active();
    let text = serde_json::to_string(&stage.kept[&id]).unwrap();
    assert!(text.contains(r#""state":"answered""#) && text.contains(r#""step":"active""#), "{text}");
    assert_eq!(serde_json::from_str::<turnstone::signaling::LiveCall>(&text).unwrap(), stage.kept[&id]);
    let mut strange = stage.kept[&id].clone();
    strange.id = "no id".into();
    let twin = stage.kept[&id].clone();
    let mut one_too_many = stage.kept[&id].clone();
    one_too_many.id = "01ARZ3NDEKTSV4RRFFQ69G5FAV".into();
    let calls = [strange, twin.clone(), twin, one_too_many];
    let mut fresh = Stage::with(&[], CallSettings { calls_total: 1, ..CallSettings::default() });
    fresh.calls.restore(fresh.clock(), calls);
    assert_eq!(fresh.calls.census().calls, 1);
    let mut lost = Vec::new();
    while let Some(output) = fresh.calls.next_output() {
        if let Output::Ended(record) = output {
            assert_eq!((record.reason, record.ended), (EndReason::Lost, fresh.clock().unix));
            assert!(record.answered.is_some_and(|at| at >= record.started));
            lost.push(record.id);
        }
    }
    assert_eq!(lost, ["no id".into(), Box::<str>::from("01ARZ3NDEKTSV4RRFFQ69G5FAV")]);
    stage.close();
}
