//! The twelve rules of transitions and races, in their order (reference: signaling, 3.4).

use super::flows::{answer, offer, ring, start, talk};
use super::stage::Stage;
use serde_json::json;
use turnstone::metrics::EndReason;
use turnstone::signaling::{Abilities, BusyPolicy, CallSettings, DeviceChange, RejectScope};

fn busy(policy: BusyPolicy) -> CallSettings {
    CallSettings { busy: policy, ..CallSettings::default() }
}

#[test] // rule 1
fn a_start_that_is_sent_again_is_the_same_call() {
    let mut stage = Stage::of(&["a1", "b1", "c1"]);
    let asked = json!({"to": "b", "client_ref": "7"});
    let first = stage.say("a1", "call:start", asked.clone()).unwrap();
    stage.heard.clear();
    assert_eq!(stage.say("a1", "call:start", asked.clone()).unwrap(), first);
    assert_eq!(stage.events(), [""; 0], "nobody rings twice");
    let other = json!({"to": "c", "client_ref": "7"});
    assert_eq!(stage.say("a1", "call:start", other), Err("duplicate"));
    stage.say("a1", "call:end", json!({})).unwrap();
    assert_eq!(stage.say("a1", "call:start", asked.clone()), Err("ended"));
    stage.secs(60);
    assert_ne!(stage.say("a1", "call:start", asked).unwrap()["call_id"], first["call_id"]);
    stage.close();
}

#[test] // rule 1
fn a_pair_has_one_call() {
    let mut stage = Stage::of(&["a1", "a2", "b1", "b2"]);
    let id = start(&mut stage);
    let again = stage.say("a1", "call:start", json!({"to": "b"})).unwrap();
    assert_eq!((&again["call_id"], &again["role"]), (&json!(id), &json!("caller")));
    assert_eq!(stage.say("a2", "call:start", json!({"to": "b"})), Err("answered_elsewhere"));
    stage.say("b1", "call:accepted", json!({})).unwrap();
    let back = stage.say("b1", "call:start", json!({"to": "a"})).unwrap();
    assert_eq!(
        (&back["call_id"], &back["role"], &back["state"]),
        (&json!(id), &json!("callee"), &json!("connecting"))
    );
    assert_eq!(stage.say("b2", "call:start", json!({"to": "a"})), Err("answered_elsewhere"));
    stage.close();
}

#[test] // rule 1
fn a_blocked_caller_hears_so_and_nobody_rings() {
    let mut stage = Stage::of(&["a1", "b1"]);
    stage.house.blocking.insert("b".into());
    assert_eq!(stage.say("a1", "call:start", json!({"to": "b"})), Err("blocked"));
    assert_eq!(stage.events(), ["a1 call:rejected blocked"]);
    assert_eq!(stage.reasons(), [EndReason::Blocked]);
    stage.close();
}

#[test] // rule 2
fn of_two_calls_at_once_the_earlier_stays_and_the_prompt_of_an_old_client_too() {
    let mut stage = Stage::of(&["a1", "b1"]);
    let id = ring(&mut stage);
    let second = stage.say("b1", "call:start", json!({"callee_id": "a"})).unwrap();
    assert_eq!(
        (&second["call_id"], &second["role"], &second["glare"]),
        (&json!(id), &json!("callee"), &json!(true))
    );
    assert_eq!(second["state"], "ringing");
    assert_eq!(stage.events(), [""; 0]);
    // It takes itself for a caller, and offers.
    assert_eq!(stage.say("b1", "webrtc:offer", json!({"to": "a", "offer": offer()})), Err("glare"));
    assert_eq!(stage.say("b1", "webrtc:ice-candidate", json!({"to": "a", "candidate": 1})), Err("glare"));
    stage.say("b1", "webrtc:answer", json!({"to": "a", "answer": answer()})).unwrap();
    assert_eq!(stage.events(), ["a1 call:accepted", "a1 webrtc:answer"]);
    stage.close();
}

#[test] // rule 2
fn a_client_that_knows_glare_takes_the_earlier_call_at_once() {
    let mut stage = Stage::of(&["a1", "b1", "b2"]);
    stage.house.abilities.insert("b1".into(), Abilities { glare: true, ..Abilities::default() });
    let id = ring(&mut stage);
    let second = stage.say("b1", "call:start", json!({"to": "a"})).unwrap();
    assert_eq!(
        (&second["call_id"], &second["state"], &second["polite"]),
        (&json!(id), &json!("connecting"), &json!(true))
    );
    assert_eq!(stage.events(), ["a1 call:accepted", "b2 call:end answered_elsewhere"]);
    stage.close();
}

#[test] // rule 3
fn all_devices_ring_and_the_first_accept_wins() {
    let mut stage = Stage::of(&["a1", "b1", "b2", "b3"]);
    let started = stage.say("a1", "call:start", json!({"to": "b"})).unwrap();
    assert_eq!(started["devices"], 3);
    stage.say("b2", "call:accepted", json!({})).unwrap();
    let story = [
        "b1 b2 b3 call:incoming",
        "a1 call:ringing",
        "a1 call:accepted",
        "b1 b3 call:end answered_elsewhere",
    ];
    assert_eq!(stage.events(), story);
    for (event, data) in [
        ("call:accepted", json!({"to": "a"})),
        ("webrtc:answer", json!({"to": "a", "answer": answer()})),
        ("webrtc:ice-candidate", json!({"to": "a", "candidate": 1})),
        ("call:end", json!({"to": "a"})),
    ] {
        assert_eq!(stage.say("b3", event, data), Err("answered_elsewhere"), "{event}");
    }
    assert!(stage.say("b2", "call:accepted", json!({})).is_ok(), "again by the winner is no news");
    assert_eq!(stage.events(), [""; 0]);
    stage.close();
}

#[test] // rule 3
fn the_first_of_two_answers_wins() {
    let mut stage = Stage::of(&["a1", "b1", "b2"]);
    ring(&mut stage);
    stage.say("b2", "webrtc:answer", json!({"to": "a", "answer": answer()})).unwrap();
    let late = stage.say("b1", "webrtc:answer", json!({"to": "a", "answer": answer()}));
    assert_eq!(late, Err("answered_elsewhere"));
    assert_eq!(stage.events(), ["a1 call:accepted", "b1 call:end answered_elsewhere", "a1 webrtc:answer"]);
    stage.close();
}

#[test] // rule 4
fn a_device_that_comes_late_gets_the_latest_offer_and_all_candidates() {
    let mut stage = Stage::of(&["a1", "b1"]);
    ring(&mut stage);
    for n in 1..=2 {
        stage.say("a1", "webrtc:ice-candidate", json!({"to": "b", "candidate": n})).unwrap();
    }
    stage.say("a1", "webrtc:offer", json!({"to": "b", "offer": {"sdp": "newer"}})).unwrap();
    stage.heard.clear();
    stage.device("b2", DeviceChange::Online);
    assert_eq!(stage.latest("webrtc:offer")["offer"]["sdp"], "newer");
    let story = [
        "b2 call:incoming",
        "b2 webrtc:offer",
        "b2 webrtc:ice-candidate 1",
        "b2 webrtc:ice-candidate 2",
        "a1 call:ringing",
    ];
    assert_eq!(stage.events(), story);
    stage.close();
}

#[test] // rule 4
fn a_device_with_explicit_accept_sees_no_offer_beside_one_without() {
    let mut stage = Stage::of(&["a1", "b1", "b2"]);
    let explicit = Abilities { explicit_accept: true, ..Abilities::default() };
    stage.house.abilities.insert("b2".into(), explicit);
    start(&mut stage);
    stage.say("a1", "webrtc:offer", json!({"to": "b", "offer": offer()})).unwrap();
    assert_eq!(stage.events(), ["b1 webrtc:offer"]);
    stage.say("b2", "call:accepted", json!({})).unwrap();
    assert_eq!(stage.events(), ["a1 call:accepted", "b1 call:end answered_elsewhere", "b2 webrtc:offer"]);
    stage.close();
}

#[test] // rule 4
fn an_answer_to_no_offer_accepts_nothing() {
    let mut stage = Stage::of(&["a1", "b1"]);
    start(&mut stage);
    assert_eq!(stage.say("b1", "webrtc:answer", json!({"to": "a", "answer": answer()})), Err("wrong_state"));
    assert_eq!(stage.say("a1", "webrtc:answer", json!({"to": "b", "answer": answer()})), Err("wrong_state"));
    assert_eq!(stage.say("b1", "webrtc:offer", json!({"to": "a", "offer": offer()})), Err("wrong_state"));
    assert_eq!(stage.events(), [""; 0]);
    stage.close();
}

#[test] // rule 5
fn a_candidate_waits_for_the_description_of_its_sender() {
    let mut stage = Stage::of(&["a1", "b1"]);
    start(&mut stage);
    let candidate = |to: &str, n: u32| json!({"to": to, "candidate": n});
    stage.say("a1", "webrtc:ice-candidate", candidate("b", 1)).unwrap();
    stage.say("a1", "webrtc:offer", json!({"to": "b", "offer": offer()})).unwrap();
    stage.say("b1", "webrtc:ice-candidate", candidate("a", 2)).unwrap();
    assert_eq!(stage.events(), ["b1 webrtc:offer", "b1 webrtc:ice-candidate 1"]);
    stage.say("b1", "webrtc:answer", json!({"to": "a", "answer": answer()})).unwrap();
    assert_eq!(stage.events(), ["a1 call:accepted", "a1 webrtc:answer", "a1 webrtc:ice-candidate 2"]);
    stage.close();
}

#[test] // rule 5
fn a_candidate_waits_for_the_description_of_its_generation() {
    let mut stage = Stage::of(&["a1", "b1"]);
    let again = |neg: u32| json!({"to": "b", "candidate": neg, "neg": neg});
    start(&mut stage);
    stage.say("a1", "webrtc:offer", json!({"to": "b", "offer": offer(), "neg": 1})).unwrap();
    stage.say("b1", "webrtc:answer", json!({"to": "a", "answer": answer(), "neg": 1})).unwrap();
    stage.heard.clear();
    stage.say("a1", "webrtc:ice-candidate", again(2)).unwrap();
    stage.say("a1", "webrtc:ice-candidate", again(1)).unwrap();
    stage.say("a1", "webrtc:offer", json!({"to": "b", "offer": offer(), "neg": 2})).unwrap();
    let story = ["b1 webrtc:ice-candidate 1", "b1 webrtc:offer", "b1 webrtc:ice-candidate 2"];
    assert_eq!(stage.events(), story);
    stage.close();
}

#[test] // rule 5
fn a_description_without_generation_stands_for_all_of_them() {
    let mut stage = Stage::of(&["a1", "b1"]);
    talk(&mut stage);
    stage.say("a1", "webrtc:ice-candidate", json!({"to": "b", "candidate": 1, "neg": 9})).unwrap();
    assert_eq!(stage.events(), ["b1 webrtc:ice-candidate 1"]);
    stage.close();
}

#[test] // rule 5
fn a_batch_of_candidates_goes_out_one_by_one_in_order() {
    let mut stage = Stage::of(&["a1", "b1"]);
    talk(&mut stage);
    stage.say("a1", "webrtc:ice-candidate", json!({"to": "b", "candidates": [1, 2, null]})).unwrap();
    let seqs: Vec<_> = stage.heard.iter().map(|(_, _, data)| data["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b));
    let story = ["b1 webrtc:ice-candidate 1", "b1 webrtc:ice-candidate 2", "b1 webrtc:ice-candidate null"];
    assert_eq!(stage.events(), story);
    stage.close();
}

#[test] // rule 6
fn one_device_that_rejects_ends_it_for_all() {
    let mut stage = Stage::of(&["a1", "b1", "b2"]);
    start(&mut stage);
    stage.say("b1", "call:rejected", json!({"to": "a"})).unwrap();
    let story = ["b2 call:end rejected_elsewhere", "a1 call:rejected declined", "a1 call:end rejected"];
    assert_eq!(stage.events(), story);
    assert_eq!(stage.reasons(), [EndReason::Rejected]);
    stage.close();
}

#[test] // rule 6
fn an_old_client_declines_by_ending_and_a_busy_one_says_so() {
    let mut stage = Stage::of(&["a1", "b1"]);
    start(&mut stage);
    stage.say("b1", "call:end", json!({"to": "a"})).unwrap();
    assert_eq!(stage.events(), ["a1 call:rejected declined", "a1 call:end rejected"]);
    start(&mut stage);
    stage.say("b1", "call:rejected", json!({"to": "a", "reason": "busy"})).unwrap();
    assert_eq!(stage.events(), ["a1 call:rejected busy", "a1 call:end busy"]);
    stage.close();
}

#[test] // rule 6
fn where_a_device_rejects_for_itself_the_others_ring_on_until_the_last() {
    let settings = CallSettings { reject_scope: RejectScope::Device, ..CallSettings::default() };
    let mut stage = Stage::with(&["a1", "b1", "b2"], settings);
    start(&mut stage);
    stage.say("b1", "call:rejected", json!({})).unwrap();
    assert_eq!(stage.events(), [""; 0]);
    assert_eq!(stage.say("b1", "call:accepted", json!({"to": "a"})), Err("ended"));
    stage.say("a1", "webrtc:offer", json!({"to": "b", "offer": offer()})).unwrap();
    stage.device("b1", DeviceChange::Online);
    assert_eq!(stage.events(), ["b2 webrtc:offer"], "who said no hears nothing more");
    stage.say("b2", "call:rejected", json!({})).unwrap();
    assert_eq!(stage.events(), ["a1 call:rejected declined", "a1 call:end rejected"]);
    stage.close();
}

#[test] // rule 6
fn a_reject_that_comes_after_the_accept_changes_nothing() {
    let mut stage = Stage::of(&["a1", "b1", "b2"]);
    start(&mut stage);
    stage.say("b1", "call:accepted", json!({})).unwrap();
    stage.heard.clear();
    assert_eq!(stage.say("b2", "call:rejected", json!({"to": "a"})), Err("answered_elsewhere"));
    assert_eq!(stage.say("b1", "call:rejected", json!({"to": "a"})), Err("wrong_state"));
    assert_eq!(stage.events(), [""; 0]);
    stage.close();
}

#[test] // rule 7
fn of_cancel_and_accept_the_first_counts() {
    let mut stage = Stage::of(&["a1", "b1", "b2"]);
    let id = start(&mut stage);
    stage.say("a1", "call:end", json!({"to": "b"})).unwrap();
    assert_eq!(stage.events(), ["b1 b2 call:end cancelled"]);
    assert_eq!(stage.say("b1", "call:accepted", json!({"call_id": id})), Err("ended"));
    assert_eq!(stage.say("b1", "call:accepted", json!({"to": "a"})), Err("ended"));
    start(&mut stage);
    stage.say("b1", "call:accepted", json!({"to": "a"})).unwrap();
    stage.heard.clear();
    stage.say("a1", "call:end", json!({"to": "b"})).unwrap();
    assert_eq!(stage.events(), ["b1 call:end hangup"]);
    assert_eq!(stage.reasons(), [EndReason::Cancelled, EndReason::Hangup]);
    stage.close();
}

#[test] // rule 8
fn a_user_in_a_call_is_busy() {
    let mut stage = Stage::of(&["a1", "b1", "b2", "c1"]);
    talk(&mut stage);
    assert_eq!(stage.say("c1", "call:start", json!({"to": "b"})), Err("busy"));
    assert_eq!(stage.events(), ["c1 call:rejected busy"]);
    assert_eq!(stage.say("c1", "webrtc:offer", json!({"to": "b", "offer": offer()})), Err("ended"));
    assert_eq!(stage.reasons(), [EndReason::Busy]);
    stage.close();
}

#[test] // rule 8
fn by_device_only_idle_devices_ring() {
    let mut stage = Stage::with(&["a1", "b1", "b2", "c1", "d1"], busy(BusyPolicy::Device));
    talk(&mut stage);
    stage.say("c1", "call:start", json!({"to": "b"})).unwrap();
    assert_eq!(stage.events(), ["b2 call:incoming", "c1 call:ringing"]);
    assert_eq!(stage.say("d1", "call:start", json!({"to": "b"})), Err("busy"));
    stage.close();
}

#[test] // rule 8
fn with_waiting_a_busy_user_rings_and_is_told() {
    let mut stage = Stage::with(&["a1", "b1", "c1"], busy(BusyPolicy::Waiting));
    talk(&mut stage);
    stage.say("c1", "call:start", json!({"to": "b"})).unwrap();
    assert_eq!(stage.latest("call:incoming")["waiting"], true);
    stage.heard.clear();
    assert_eq!(stage.say("b1", "call:end", json!({})), Err("call_id_required"));
    stage.say("b1", "call:rejected", json!({"to": "c"})).unwrap();
    assert_eq!(stage.events(), ["c1 call:rejected declined", "c1 call:end rejected"]);
    stage.close();
}

#[test] // rule 9
fn offers_that_cross_are_both_relayed() {
    let mut stage = Stage::of(&["a1", "b1"]);
    talk(&mut stage);
    stage.say("a1", "webrtc:offer", json!({"to": "b", "offer": offer(), "neg": 2})).unwrap();
    stage.say("b1", "webrtc:offer", json!({"to": "a", "offer": offer(), "neg": 2})).unwrap();
    stage.say("b1", "webrtc:answer", json!({"to": "a", "answer": answer(), "neg": 2})).unwrap();
    assert_eq!(stage.events(), ["b1 webrtc:offer", "a1 webrtc:offer", "a1 webrtc:answer"]);
    stage.close();
}

#[test] // rule 10
fn an_end_that_comes_again_is_no_error_and_all_else_hears_ended() {
    let mut stage = Stage::of(&["a1", "b1"]);
    let id = talk(&mut stage);
    stage.secs(2);
    let first = stage.say("b1", "call:end", json!({"call_id": id})).unwrap();
    stage.heard.clear();
    for (device, to) in [("a1", "b"), ("b1", "a")] {
        assert_eq!(stage.say(device, "call:end", json!({"call_id": id})).unwrap(), first);
        assert_eq!(stage.say(device, "call:end", json!({"to": to})).unwrap(), first);
        for (event, more) in [
            ("webrtc:offer", json!({"offer": offer()})),
            ("webrtc:answer", json!({"answer": answer()})),
            ("webrtc:ice-candidate", json!({"candidate": null})),
            ("call:accepted", json!({})),
            ("call:rejected", json!({})),
            ("call:connected", json!({})),
            ("call:stats", json!({"digest": 1})),
            ("call:restart", json!({})),
        ] {
            for target in [json!({"call_id": id}), json!({"to": to})] {
                let mut data = more.clone();
                data.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
                assert_eq!(stage.say(device, event, data), Err("ended"), "{event} {target}");
            }
        }
    }
    assert_eq!(stage.events(), [""; 0]);
    stage.close();
}

#[test] // rule 11
fn a_user_may_call_itself_on_another_device() {
    let mut stage = Stage::of(&["a1", "a2", "a3"]);
    stage.say("a1", "call:start", json!({"to": "a"})).unwrap();
    stage.say("a1", "webrtc:offer", json!({"to": "a", "offer": offer()})).unwrap();
    stage.say("a3", "webrtc:answer", json!({"to": "a", "answer": answer()})).unwrap();
    stage.say("a1", "webrtc:ice-candidate", json!({"to": "a", "candidate": 1})).unwrap();
    stage.say("a3", "webrtc:ice-candidate", json!({"to": "a", "candidate": 2})).unwrap();
    stage.say("a3", "call:end", json!({"to": "a"})).unwrap();
    let story = [
        "a2 a3 call:incoming",
        "a1 call:ringing",
        "a2 a3 webrtc:offer",
        "a1 call:accepted",
        "a2 call:end answered_elsewhere",
        "a1 webrtc:answer",
        "a3 webrtc:ice-candidate 1",
        "a1 webrtc:ice-candidate 2",
        "a1 call:end hangup",
    ];
    assert_eq!(stage.events(), story);
    assert_eq!(stage.say("a3", "call:end", json!({"to": "a"})).unwrap()["duration_ms"], 0);
    stage.close();
}

#[test] // rule 11
fn a_user_with_one_device_cannot_reach_itself() {
    let mut stage = Stage::of(&["a1"]);
    assert_eq!(stage.say("a1", "call:start", json!({"to": "a"})), Err("offline"));
}

#[test] // rule 12
fn a_callee_without_device_is_offline_at_once() {
    let mut stage = Stage::of(&["a1"]);
    assert_eq!(stage.say("a1", "call:start", json!({"to": "b"})), Err("offline"));
    assert_eq!(stage.events(), ["a1 call:rejected offline"]);
    assert_eq!(stage.say("a1", "webrtc:offer", json!({"to": "b", "offer": offer()})), Err("ended"));
    assert_eq!(stage.reasons(), [EndReason::Offline]);
    stage.close();
}
