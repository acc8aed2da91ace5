//! Calls that go well, word by word.

use super::stage::Stage;
use serde_json::{Value, json};
use turnstone::metrics::EndReason;
use turnstone::signaling::{Abilities, CallSettings, Callee};

const EXPLICIT: Abilities = Abilities { glare: false, report: false, explicit_accept: true };

pub(crate) fn offer() -> Value {
    json!({"type": "offer", "sdp": "v=0 o"})
}

pub(crate) fn answer() -> Value {
    json!({"type": "answer", "sdp": "v=0 a"})
}

/// "a1" calls "b" and offers at once, as an application does that takes the accept for granted.
pub(crate) fn ring(stage: &mut Stage) -> String {
    let id = start(stage);
    stage.say("a1", "webrtc:offer", json!({"to": "b", "offer": offer()})).unwrap();
    stage.heard.clear();
    id
}

/// "a1" calls "b".
pub(crate) fn start(stage: &mut Stage) -> String {
    let answer = stage.say("a1", "call:start", json!({"callee_id": "b"})).unwrap();
    stage.heard.clear();
    answer["call_id"].as_str().unwrap().to_owned()
}

/// "a1" and "b1" talk.
pub(crate) fn talk(stage: &mut Stage) -> String {
    let id = ring(stage);
    stage.say("b1", "webrtc:answer", json!({"to": "a", "answer": answer()})).unwrap();
    stage.heard.clear();
    id
}

#[test]
fn a_call_of_an_application_that_knows_no_call_ids_and_no_accept() {
    let mut stage = Stage::of(&["a1", "b1"]);
    let to_b = |field: &str, value| json!({"to": "b", field: value});
    let to_a = |field: &str, value| json!({"to": "a", field: value});
    stage.say("a1", "call:start", json!({"callee_id": "b"})).unwrap();
    stage.say("a1", "webrtc:offer", to_b("offer", offer())).unwrap();
    stage.say("a1", "webrtc:ice-candidate", to_b("candidate", json!(1))).unwrap();
    stage.say("b1", "webrtc:answer", to_a("answer", answer())).unwrap();
    stage.say("b1", "webrtc:ice-candidate", to_a("candidate", json!(2))).unwrap();
    stage.say("a1", "webrtc:ice-candidate", to_b("candidate", Value::Null)).unwrap();
    stage.secs(30);
    let ended = stage.say("a1", "call:end", json!({"to": "b"})).unwrap();
    assert_eq!(ended, json!({"duration_ms": 30_000}));
    let story = [
        "b1 call:incoming",
        "a1 call:ringing",
        "b1 webrtc:offer",
        "b1 webrtc:ice-candidate 1",
        "a1 call:accepted",
        "a1 webrtc:answer",
        "a1 webrtc:ice-candidate 2",
        "b1 webrtc:ice-candidate null",
        "b1 call:end hangup",
    ];
    assert_eq!(stage.events(), story);
    stage.close();
}

#[test]
fn the_same_with_call_ids_explicit_accept_and_a_report() {
    let mut stage = Stage::of(&["a1", "b1"]);
    stage.house.abilities.insert("b1".into(), Abilities { report: true, ..EXPLICIT });
    let id = start(&mut stage);
    let with = |field: &str, value: Value| json!({"call_id": id, field: value});
    stage.say("a1", "webrtc:offer", with("offer", offer())).unwrap();
    stage.say("a1", "webrtc:ice-candidate", with("candidate", json!(1))).unwrap();
    assert_eq!(stage.events(), [""; 0], "nothing of the caller is shown before the accept");
    let early = stage.say("b1", "webrtc:answer", with("answer", answer()));
    assert_eq!(early, Err("wrong_state"));
    let accepted = stage.say("b1", "call:accepted", json!({"call_id": id})).unwrap();
    assert_eq!((&accepted["role"], &accepted["polite"]), (&json!("callee"), &json!(true)));
    assert_eq!(stage.say("b1", "call:connected", json!({"call_id": id})), Err("wrong_state"));
    stage.say("b1", "webrtc:answer", with("answer", answer())).unwrap();
    stage.say("b1", "call:connected", json!({"call_id": id})).unwrap();
    stage.say("b1", "call:connected", json!({"call_id": id})).unwrap();
    let sync = stage.say("b1", "call:sync", json!({})).unwrap();
    assert_eq!(sync["calls"][0]["state"], "active");
    stage.say("b1", "call:end", json!({"call_id": id})).unwrap();
    let story = [
        "a1 call:accepted",
        "b1 webrtc:offer",
        "b1 webrtc:ice-candidate 1",
        "a1 webrtc:answer",
        "a1 call:end hangup",
    ];
    assert_eq!(stage.events(), story);
    stage.close();
}

#[test]
fn an_operator_can_make_every_accept_explicit() {
    let mut stage =
        Stage::with(&["a1", "b1"], CallSettings { explicit_accept: true, ..CallSettings::default() });
    ring(&mut stage);
    assert_eq!(stage.say("b1", "webrtc:answer", json!({"to": "a", "answer": answer()})), Err("wrong_state"));
    stage.say("b1", "call:accepted", json!({"to": "a"})).unwrap();
    assert_eq!(stage.events(), ["a1 call:accepted", "b1 webrtc:offer"]);
    stage.close();
}

#[test]
fn payloads_carry_the_known_names_and_the_new_ones() {
    let mut stage = Stage::of(&["a1", "b1"]);
    let data = json!({"topic": "Grüße \"x\""});
    let asked = json!({"to": "b", "call_type": "audio", "data": data, "timeout_ms": 20_000});
    let start = stage.say("a1", "call:start", asked).unwrap();
    let id = start["call_id"].clone();
    let ice = |user: &str| {
        let name = format!("{}:{user};c={}", 1_700_000_000 + 675, id.as_str().unwrap());
        json!([{"urls": ["turn:t"], "username": name, "credential": "x"}])
    };
    let expected = json!({
        "call_id": id, "state": "ringing", "role": "caller", "polite": false, "devices": 1, "push": false,
        "expires_at": 1_700_000_020_000u64, "ice_servers": ice("a"), "ice_ttl": 675,
    });
    assert_eq!(start, expected);
    let incoming = json!({
        "call_id": id, "caller_id": "a", "callee_id": "b", "from": "a", "call_type": "audio", "polite": true,
        "caller": {"id": "a", "name": "Name of \"a\"", "device_id": "a1"}, "data": data,
        "expires_at": 1_700_000_020_000u64, "ice_servers": ice("b"), "ice_ttl": 675,
    });
    assert_eq!(*stage.latest("call:incoming"), incoming);
    assert_eq!(*stage.latest("call:ringing"), json!({"call_id": id, "devices": 1}));
    stage.say("a1", "webrtc:offer", json!({"to": "b", "offer": offer(), "neg": 4})).unwrap();
    let offered =
        json!({"from": "a", "from_device": "a1", "call_id": id, "offer": offer(), "neg": 4, "seq": 1});
    assert_eq!(*stage.latest("webrtc:offer"), offered);
    stage.say("b1", "webrtc:answer", json!({"to": "a", "answer": answer(), "neg": 4})).unwrap();
    let accepted = json!({"call_id": id, "from": "b", "device_id": "b1", "callee_id": "b"});
    assert_eq!(*stage.latest("call:accepted"), accepted);
    stage.secs(3);
    stage.say("a1", "call:end", json!({"to": "b"})).unwrap();
    let end = json!({"call_id": id, "from": "a", "reason": "hangup", "ended_by": "a", "duration_ms": 3000});
    assert_eq!(*stage.latest("call:end"), end);
}

#[test]
fn the_record_tells_who_when_how_long_and_the_last_digests() {
    let mut stage = Stage::of(&["a1", "b1"]);
    ring(&mut stage);
    stage.secs(4);
    stage.say("b1", "webrtc:answer", json!({"to": "a", "answer": answer()})).unwrap();
    for rtt in [1, 2] {
        stage.say("a1", "call:stats", json!({"digest": {"rtt": rtt}})).unwrap();
    }
    stage.secs(60);
    stage.say("b1", "call:end", json!({})).unwrap();
    let record = &stage.records[0];
    assert_eq!((&*record.caller.user, &*record.caller.device), ("a", "a1"));
    assert_eq!(record.callee, Callee::User { user: "b".into(), device: Some("b1".into()) });
    assert_eq!((record.reason, record.duration_ms), (EndReason::Hangup, 60_000));
    assert_eq!(record.ended_by.as_ref().map(|party| &*party.device), Some("b1"));
    let times = (record.started.0, record.answered.map(|time| time.0), record.ended.0);
    assert_eq!(times, (1_700_000_000, Some(1_700_000_004), 1_700_000_064));
    assert_eq!(record.stats, [(record.caller.clone(), r#"{"rtt":2}"#.into())]);
}

#[test]
fn a_restart_gives_fresh_credentials_to_both() {
    let mut stage = Stage::of(&["a1", "b1"]);
    let id = start(&mut stage);
    assert_eq!(stage.say("a1", "call:restart", json!({"call_id": id})), Err("wrong_state"));
    stage.say("b1", "call:accepted", json!({"call_id": id})).unwrap();
    stage.secs(10);
    let own = stage.say("b1", "call:restart", json!({"call_id": id})).unwrap();
    let other = stage.latest("call:restart");
    let expiry = 1_700_000_000 + 10 + 675;
    assert_eq!(own["ice_servers"][0]["username"], format!("{expiry}:b;c={id}"));
    assert_eq!(other["ice_servers"][0]["username"], format!("{expiry}:a;c={id}"));
    assert_eq!((&other["from"], &other["ice_ttl"]), (&json!("b"), &json!(675)));
}

#[test]
fn a_snapshot_tells_each_device_its_own_calls() {
    let mut stage = Stage::of(&["a1", "a2", "b1"]);
    let id = start(&mut stage);
    let sync =
        |stage: &mut Stage, device| stage.say(device, "call:sync", json!({})).unwrap()["calls"].clone();
    let expected = json!([{"call_id": id, "state": "ringing", "rev": 0, "call_type": "video", "peer": "a",
        "role": "callee", "expires_at": 1_700_000_045_000u64}]);
    assert_eq!(sync(&mut stage, "b1"), expected);
    assert_eq!(sync(&mut stage, "a1")[0]["role"], "caller");
    assert_eq!(sync(&mut stage, "a2"), json!([]));
    stage.say("b1", "call:accepted", json!({})).unwrap();
    assert_eq!(sync(&mut stage, "a1")[0]["rev"], 1);
}

#[test]
fn credentials_are_renewed_at_half_their_time_while_the_call_lives() {
    let mut stage = Stage::of(&["a1", "b1"]);
    talk(&mut stage);
    stage.secs(337);
    assert_eq!(stage.events(), [""; 0]);
    stage.secs(1);
    assert_eq!(stage.events(), ["a1 call:ice-servers", "b1 call:ice-servers"]);
    stage.secs(338);
    assert_eq!(stage.events().len(), 2);
}

#[test]
fn without_a_relay_the_list_of_servers_is_empty() {
    let mut stage = Stage::of(&["a1", "b1"]);
    stage.house.has_no_relay = true;
    let started = stage.say("a1", "call:start", json!({"to": "b"})).unwrap();
    assert_eq!(started["ice_servers"], json!([]));
    assert_eq!(stage.latest("call:incoming")["ice_servers"], json!([]));
}
