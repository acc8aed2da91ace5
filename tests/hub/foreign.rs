//! Ids that are none of theirs: every verb answers as if they did not exist (security.md S11).

use crate::place::Place;

#[test]
fn a_foreign_room_or_call_and_an_absent_one_get_the_same_answer_to_every_verb() {
    let mut place = Place::new();
    let (alice, bob, eve) = (place.client("alice"), place.client("bob"), place.client("eve"));
    for client in [&alice, &bob] {
        place.ask(client, "room:join", r#"{"room":"theirs"}"#).unwrap();
    }
    place.ask(&alice, "message:send", r#"{"room":"theirs","body":1}"#).unwrap();
    let call = place.ask(&alice, "call:start", r#"{"to":"bob"}"#).unwrap();
    let call = call["call_id"].as_str().unwrap().to_owned();
    for client in [&alice, &bob] {
        place.seen(client);
    }
    let verbs = [
        ("room:leave", r#"{"room":"ROOM"}"#),
        ("presence:get", r#"{"room":"ROOM"}"#),
        ("message:send", r#"{"room":"ROOM","body":1}"#),
        ("message:history", r#"{"room":"ROOM"}"#),
        ("message:read", r#"{"room":"ROOM","seq":1}"#),
        ("message:typing", r#"{"room":"ROOM"}"#),
        ("message:stop_typing", r#"{"room":"ROOM"}"#),
        ("event:emit", r#"{"room":"ROOM","name":"x"}"#),
        ("event:emit", r#"{"room":"ROOM","name":"x","class":"coalesce"}"#),
        ("call:start", r#"{"room":"ROOM"}"#),
        ("call:join", r#"{"call_id":"CALL"}"#),
        ("call:leave", r#"{"call_id":"CALL"}"#),
        ("call:accepted", r#"{"call_id":"CALL"}"#),
        ("call:rejected", r#"{"call_id":"CALL"}"#),
        ("call:connected", r#"{"call_id":"CALL"}"#),
        ("call:stats", r#"{"call_id":"CALL","digest":{}}"#),
        ("call:restart", r#"{"call_id":"CALL"}"#),
        ("call:end", r#"{"call_id":"CALL"}"#),
        ("webrtc:offer", r#"{"to":"bob","call_id":"CALL","offer":{"type":"offer","sdp":""}}"#),
        ("webrtc:answer", r#"{"to":"bob","call_id":"CALL","answer":{"type":"answer","sdp":""}}"#),
        ("webrtc:ice-candidate", r#"{"to":"bob","call_id":"CALL","candidate":null}"#),
    ];
    for (verb, data) in verbs {
        let mut answer =
            |room: &str, call: &str| place.ask(&eve, verb, &data.replace("ROOM", room).replace("CALL", call));
        let theirs = answer("theirs", &call);
        let absent = answer("nowhere", "01ARZ3NDEKTSV4RRFFQ69G5FAV");
        assert_eq!(theirs, absent, "{verb} {data}");
        let (code, _) = theirs.expect_err(verb);
        assert!(["not_found", "no_call", "forbidden"].contains(&code.as_str()), "{verb}: {code}");
    }
    for client in [&alice, &bob] {
        assert_eq!(place.seen(client), [], "nobody else notices");
    }
}

#[test]
fn who_one_is_comes_from_the_token_and_never_from_a_payload() {
    let mut place = Place::new();
    let (eve, bob) = (place.client("eve"), place.client("bob"));
    let data = r#"{"to":"bob","body":1,"from":"alice","user":"alice","__proto__":{"from":"alice"}}"#;
    place.ask(&eve, "message:send", data).unwrap();
    place.ask(&eve, "event:emit", r#"{"to":"bob","name":"x","from":"alice"}"#).unwrap();
    let text = format!("{:?}", place.seen(&bob));
    assert!(text.contains("eve") && !text.contains("alice"), "{text}");
}
