//! Events that make no sense, or that are about what is not the sender's.

use crate::honest::Honest;
use crate::place::Place;
use crate::raw::Raw;
use serde_json::{Value, json};

/// Both wires.
fn strangers(place: &Place) -> [Honest; 2] {
    [Honest::plain(place.public, "stranger"), Honest::socket_io(place.public, "stranger")]
}

#[test]
fn an_event_that_makes_no_sense_gets_an_answer_that_says_so() {
    let (place, mut pair) = Place::with_pair();
    for mut stranger in strangers(&place) {
        for (event, data) in [
            ("no:such:event", json!({})),
            ("call:no-such-event", json!({})),
            ("webrtc:", json!({})),
            ("", json!({})),
            ("__proto__", json!({})),
            ("constructor", json!({})),
            ("call:start", json!({ "to": 7 })),
            ("call:start", json!({ "to": "" })),
            ("call:start", json!({ "to": "x".repeat(10_000) })),
            ("call:start", json!([["to", "honest-caller"]])),
            ("call:start", json!("honest-caller")),
            ("call:accepted", json!({ "call_id": { "$ne": null } })),
            ("webrtc:offer", json!({ "to": "honest-caller", "offer": 7 })),
            ("webrtc:ice-candidate", json!({ "to": ["honest-caller"], "candidate": 1 })),
            ("room:join", json!({ "room": {} })),
            ("room:join", json!({ "room": "a\r\nb" })),
            ("presence:set", json!({ "status": ["online"] })),
            ("presence:set", json!({ "meta": "x".repeat(60_000) })),
            ("presence:subscribe", json!({ "users": "all" })),
            ("message:send", json!({ "to": true, "text": "x" })),
            ("event:emit", json!({ "to": "honest-caller", "name": "call:end", "data": 1 })),
            ("event:emit", json!({ "to": "honest-caller", "name": "disconnect" })),
            ("event:emit", json!({ "to": "honest-caller", "name": "x", "class": "reliable-and-free" })),
            ("auth:refresh", json!({ "token": null })),
            ("auth:refresh", json!({ "token": "x".repeat(20_000) })),
            ("heartbeat", json!([1])),
        ] {
            let answer = stranger.ask(event, data.clone());
            let code = answer["code"].as_str();
            assert!(code.is_some_and(|code| code != "internal"), "{event} {data}: {answer}");
            assert!(
                answer["message"].as_str().is_some_and(|message| message.len() < 300),
                "{event}: {answer}"
            );
        }
    }
    pair.goes_on();
}

#[test]
fn without_an_acknowledgement_the_error_comes_as_an_event() {
    let (place, mut pair) = Place::with_pair();
    let mut raw = Raw::engine_in(&place, "stranger");
    for (sent, expected) in [
        ("42[\"no:such:event\",{}]", "42[\"error\",{"),
        ("42[\"call:no-such-event\",{}]", "42[\"call:error\",{"),
        ("42[\"room:join\",{\"room\":\"a\",\"room\":\"b\"}]", "42[\"error\",{"),
        ("42[\"call:start\",{\"to\":\"a\",\"to\":\"b\"}]", "42[\"call:error\",{"),
        ("42[\"room:join\",{\"room\":\"\\ud800\"}]", "42[\"error\",{"),
        ("42[\"call:end\",{\"call_id\":\"\\udfff\"}]", "42[\"call:error\",{"),
        ("42[\"room:join\",\"{}\"]", "42[\"error\",{"),
    ] {
        raw.text(sent);
        let texts = raw.until(|text| text.starts_with("42"));
        let error = texts.last().unwrap();
        assert!(error.starts_with(expected) && error.contains("\"code\":"), "{sent}: {error}");
    }
    pair.goes_on();
}

#[test]
fn a_call_of_others_is_answered_like_one_that_there_is_not() {
    let (place, mut pair) = Place::with_pair();
    let nobodys = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    for mut stranger in strangers(&place) {
        for (event, more) in [
            ("call:accepted", json!({})),
            ("call:rejected", json!({ "reason": "busy" })),
            ("call:connected", json!({})),
            ("call:stats", json!({ "data": {} })),
            ("call:end", json!({})),
            ("call:restart", json!({})),
            ("call:join", json!({})),
            ("call:leave", json!({})),
            ("call:sync", json!({})),
            ("webrtc:offer", json!({ "offer": { "type": "offer", "sdp": "v=0" } })),
            ("webrtc:offer", json!({ "to": "honest-caller", "offer": { "type": "offer", "sdp": "v=0" } })),
            ("webrtc:answer", json!({ "to": "honest-caller", "answer": { "type": "answer", "sdp": "v=0" } })),
            ("webrtc:ice-candidate", json!({ "to": "honest-callee", "candidate": 7 })),
        ] {
            let mut ask = |call: &str| {
                let mut data = more.clone();
                data["call_id"] = call.into();
                let mut answer = stranger.ask(event, data);
                answer.as_object_mut().unwrap().remove("re");
                answer.to_string().replace(call, "CALL")
            };
            let (theirs, made_up) = (ask(&pair.call), ask(nobodys));
            assert_eq!(theirs, made_up, "{event}");
            assert!(event == "call:sync" || theirs.contains("\"code\""), "{event}: {theirs}");
        }
    }
    pair.goes_on();
}

#[test]
fn names_that_are_special_in_javascript_are_data_like_any_other() {
    let (place, mut pair) = Place::with_pair();
    let [mut stranger, _] = strangers(&place);
    let data: Value = serde_json::from_str(
        r#"{"__proto__":{"isAdmin":true},"constructor":{"prototype":{}},"x":"</script>"}"#,
    )
    .unwrap();
    let sent = json!({ "to": "honest-callee", "name": "toString", "data": data });
    assert_eq!(stranger.ask("event:emit", sent).get("code"), None);
    let heard = pair.callee.hear("event");
    assert_eq!(
        (&heard["data"], &heard["name"], &heard["from"]),
        (&data, &json!("toString"), &json!("stranger"))
    );
    // Who says it comes from the token.
    let forged =
        json!({ "to": "honest-callee", "name": "x", "from": "honest-caller", "sender": "honest-caller" });
    stranger.ask("event:emit", forged);
    assert_eq!(pair.callee.hear("event")["from"], "stranger");
    pair.goes_on();
}
