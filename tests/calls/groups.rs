//! Group calls (reference: signaling, 3.8).

use super::flows::{answer, offer, talk};
use super::stage::Stage;
use serde_json::{Value, json};
use turnstone::metrics::EndReason;
use turnstone::signaling::{CallSettings, Callee, DeviceChange, GROUP_MEMBERS_HARD_MAX};

/// All devices there, and in the room "r".
fn room_of(devices: &[&str], members_max: usize) -> Stage {
    let settings = CallSettings { group_members: members_max, ..CallSettings::default() };
    let mut stage = Stage::with(devices, settings);
    stage.house.rooms = devices.iter().map(|device| ("r".to_owned(), (*device).to_owned())).collect();
    stage
}

fn join(stage: &mut Stage, device: &str) -> Result<Value, &'static str> {
    stage.say(device, "call:join", json!({"room": "r"}))
}

#[test]
fn a_room_has_a_call_that_rings_nobody_and_the_newer_member_learns_who_is_there() {
    let mut stage = room_of(&["a1", "b1", "b2"], 6);
    let opened = stage.say("a1", "call:start", json!({"room": "r"})).unwrap();
    assert_eq!((&opened["role"], &opened["members"]), (&json!("member"), &json!([])));
    assert_eq!(opened["ice_ttl"], 675);
    assert_eq!(stage.events(), [""; 0]);
    let second = stage.say("b1", "call:join", json!({"call_id": opened["call_id"]})).unwrap();
    assert_eq!(second["members"], json!([{"user": "a", "device": "a1"}]));
    let third = stage.say("b2", "call:start", json!({"room": "r"})).unwrap();
    assert_eq!(third["call_id"], opened["call_id"], "a room has one call");
    assert_eq!(third["members"].as_array().unwrap().len(), 2);
    assert_eq!(stage.events(), ["a1 call:member b1 joined", "a1 b1 call:member b2 joined"]);
    assert_eq!(join(&mut stage, "b2").unwrap(), third, "a member that joins again is no news");
    assert_eq!(stage.events(), [""; 0]);
    stage.close();
}

#[test]
fn who_joins_or_leaves_raises_the_number_of_the_call_and_it_began_only_once() {
    let mut stage = room_of(&["a1", "b1", "b2"], 6);
    let rev = |stage: &Stage| stage.kept.values().map(|call| call.rev).collect::<Vec<_>>();
    let mut seen = Vec::new();
    for device in ["a1", "b1", "b2"] {
        stage.say(device, "call:start", json!({"room": "r"})).unwrap();
        seen.extend(rev(&stage));
    }
    for device in ["a1", "b2"] {
        stage.say(device, "call:leave", json!({})).unwrap();
        seen.extend(rev(&stage));
    }
    assert_eq!(seen, [0, 1, 2, 3, 4]);
    stage.close();
}

#[test]
fn messages_go_to_one_member_and_candidates_wait_for_their_description() {
    let mut stage = room_of(&["a1", "b1", "b2"], 6);
    for device in ["a1", "b1", "b2"] {
        stage.say(device, "call:start", json!({"room": "r"})).unwrap();
    }
    stage.heard.clear();
    let to = |device: &str, field: &str, value: Value| json!({"to": "b", "to_device": device, field: value});
    stage.say("a1", "webrtc:ice-candidate", to("b1", "candidate", json!(1))).unwrap();
    stage.say("a1", "webrtc:offer", to("b2", "offer", offer())).unwrap();
    stage.say("a1", "webrtc:ice-candidate", to("b2", "candidate", json!(2))).unwrap();
    stage.say("a1", "webrtc:offer", to("b1", "offer", offer())).unwrap();
    stage.say("b1", "webrtc:answer", json!({"to": "a", "answer": answer()})).unwrap();
    let story = [
        "b2 webrtc:offer",
        "b2 webrtc:ice-candidate 2",
        "b1 webrtc:offer",
        "b1 webrtc:ice-candidate 1",
        "a1 webrtc:answer",
    ];
    assert_eq!(stage.events(), story);
    assert_eq!(stage.say("a1", "webrtc:offer", json!({"to": "b", "offer": offer()})), Err("bad_request"));
    let stranger = json!({"to": "b", "to_device": "b9", "offer": offer()});
    assert_eq!(stage.say("a1", "webrtc:offer", stranger), Err("not_found"));
    stage.close();
}

#[test]
fn who_is_not_in_the_room_learns_nothing_of_its_call() {
    let mut stage = room_of(&["a1", "b1", "c1"], 6);
    let id = stage.say("a1", "call:start", json!({"room": "r"})).unwrap()["call_id"].clone();
    stage.house.rooms.remove(&("r".to_owned(), "c1".to_owned()));
    let absent = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    for id in [&id, &json!(absent)] {
        for event in ["call:join", "call:leave", "call:end", "call:restart", "call:accepted"] {
            assert_eq!(stage.say("c1", event, json!({"call_id": id})), Err("no_call"), "{event}");
        }
    }
    assert_eq!(stage.say("c1", "call:join", json!({"room": "r"})), Err("no_call"));
    assert_eq!(stage.say("c1", "call:join", json!({"room": "q"})), Err("no_call"));
    assert_eq!(stage.say("c1", "call:start", json!({"room": "q"})), Err("forbidden"));
    assert_eq!(stage.events(), [""; 0]);
    stage.close();
}

#[test]
fn a_full_call_takes_nobody_more_and_the_hard_cap_holds_for_any_setting() {
    let devices: Vec<String> = (0..14).map(|n| format!("{}1", (b'a' + n) as char)).collect();
    let devices: Vec<&str> = devices.iter().map(String::as_str).collect();
    for (setting, places) in [(6, 6), (1000, GROUP_MEMBERS_HARD_MAX)] {
        let mut stage = room_of(&devices, setting);
        let answers: Vec<_> = devices
            .iter()
            .map(|device| stage.say(device, "call:start", json!({"room": "r"})).err())
            .collect();
        assert_eq!(answers.iter().filter(|answer| answer.is_none()).count(), places);
        assert_eq!(answers[places..], vec![Some("room_full"); devices.len() - places]);
        stage.say("a1", "call:leave", json!({})).unwrap();
        assert!(join(&mut stage, devices[places]).is_ok());
        stage.close();
    }
}

#[test]
fn members_leave_and_the_last_one_ends_it() {
    let mut stage = room_of(&["a1", "b1"], 6);
    stage.say("a1", "call:start", json!({"room": "r"})).unwrap();
    join(&mut stage, "b1").unwrap();
    stage.heard.clear();
    stage.secs(7);
    assert_eq!(stage.say("a1", "call:leave", json!({})).unwrap(), json!({"duration_ms": 7000}));
    assert_eq!(stage.events(), ["b1 call:member a1 left"]);
    assert_eq!(stage.say("a1", "call:leave", json!({})), Err("no_call"));
    stage.say("b1", "call:end", json!({})).unwrap();
    assert_eq!(stage.events(), [""; 0]);
    assert_eq!(stage.reasons(), [EndReason::Hangup]);
    assert_eq!(stage.records[0].callee, Callee::Room("r".into()));
    stage.close();
}

#[test]
fn a_member_that_is_away_for_too_long_has_left() {
    let mut stage = room_of(&["a1", "b1", "c1"], 6);
    for device in ["a1", "b1", "c1"] {
        stage.say(device, "call:start", json!({"room": "r"})).unwrap();
    }
    stage.heard.clear();
    stage.device("c1", DeviceChange::Lost);
    stage.secs(61);
    let story = ["a1 b1 call:peer-state reconnecting", "c1 call:end lost", "a1 b1 call:member c1 left"];
    assert_eq!(stage.events(), story);
    stage.close();
}

#[test]
fn who_leaves_the_room_leaves_its_call() {
    let mut stage = room_of(&["a1", "b1"], 6);
    stage.say("a1", "call:start", json!({"room": "r"})).unwrap();
    join(&mut stage, "b1").unwrap();
    stage.heard.clear();
    stage.left_room("b1", "r");
    assert_eq!(stage.events(), ["b1 call:end hangup", "a1 call:member b1 left"]);
    assert_eq!(join(&mut stage, "b1"), Err("no_call"));
    stage.close();
}

#[test]
fn a_call_of_two_and_a_group_of_the_same_users_are_told_apart() {
    let mut stage = room_of(&["a1", "b1"], 6);
    let pair = talk(&mut stage);
    let group = stage.say("a1", "call:start", json!({"room": "r"})).unwrap()["call_id"].clone();
    join(&mut stage, "b1").unwrap();
    let candidate = |id: &Value| json!({"call_id": id, "to": "b", "candidate": 1});
    assert_eq!(
        stage.say("a1", "webrtc:ice-candidate", json!({"to": "b", "candidate": 1})),
        Err("call_id_required")
    );
    stage.say("a1", "webrtc:ice-candidate", candidate(&json!(pair))).unwrap();
    stage.say("a1", "webrtc:ice-candidate", candidate(&group)).unwrap();
    stage.say("a1", "call:end", json!({"to": "b"})).unwrap();
    assert!(stage.say("a1", "call:end", json!({"to": "b"})).is_ok(), "again, it does not mean the group");
    assert_eq!(stage.say("a1", "call:sync", json!({})).unwrap()["calls"][0]["call_id"], group);
    assert_eq!(stage.say("a1", "call:accepted", json!({"call_id": group})), Err("wrong_state"));
    stage.close();
}

#[test]
fn a_restart_reaches_all_members() {
    let mut stage = room_of(&["a1", "b1", "c1"], 6);
    for device in ["a1", "b1", "c1"] {
        stage.say(device, "call:start", json!({"room": "r"})).unwrap();
    }
    stage.heard.clear();
    stage.say("b1", "call:restart", json!({})).unwrap();
    assert_eq!(stage.events(), ["a1 call:restart", "c1 call:restart"]);
    stage.close();
}
