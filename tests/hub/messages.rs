//! Messages between users and in rooms.

use crate::place::{Coming, Place, START_UNIX};
use serde_json::json;
use std::time::Duration;

fn send(to: &str, body: &str) -> String {
    format!(r#"{{"to":"{to}","body":"{body}"}}"#)
}

#[test]
fn a_message_goes_to_every_device_of_a_user_and_to_the_senders_others() {
    let mut place = Place::new();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    let tablet = place.connect(&Coming::of("alice").device("tablet")).unwrap();
    let phone = place.connect(&Coming::of("bob").device("phone")).unwrap();
    let answer = place
        .ask(
            &alice,
            "message:send",
            r#"{"to":"bob","body":{"text":"hi"},"thread":"t1","client_ref":"r1",
            "attachments":[{"url":"https://x/y","name":"y","type":"image/png","size":3}]}"#,
        )
        .unwrap();
    assert_eq!((&answer["seq"], &answer["at"]), (&json!(1), &json!(START_UNIX * 1000)));
    let expected = json!({
        "id": answer["id"], "from": "alice", "to": "bob", "body": {"text":"hi"}, "thread": "t1", "client_ref": "r1",
        "attachments": [{"url":"https://x/y","name":"y","type":"image/png","size":3}],
        "at": answer["at"], "seq": 1,
    });
    for client in [&bob, &phone, &tablet] {
        assert_eq!(place.pushes(client, "message:receive"), std::slice::from_ref(&expected));
    }
    let delivered = json!({"id": answer["id"], "to": "bob", "seq": 1, "devices": 2});
    assert_eq!(place.pushes(&alice, "message:delivered"), [delivered]);
}

#[test]
fn nobody_is_told_that_a_message_was_delivered_to_nobody() {
    let mut place = Place::new();
    let alice = place.client("alice");
    place.ask(&alice, "message:send", &send("nobody", "hi")).expect("as for somebody");
    assert!(place.events(&alice).is_empty());
}

#[test]
fn members_get_the_messages_of_a_room_in_the_order_of_their_numbers() {
    let mut place = Place::new();
    let clients = ["alice", "bob", "carol"].map(|user| place.client(user));
    for client in &clients {
        place.ask(client, "room:join", r#"{"room":"lobby"}"#).unwrap();
    }
    for n in 0..9 {
        let answer =
            place.ask(&clients[n % 3], "message:send", &format!(r#"{{"room":"lobby","body":{n}}}"#)).unwrap();
        assert_eq!(answer["seq"], n as u64 + 1);
    }
    let got = place.pushes(&clients[0], "message:receive");
    let bodies: Vec<_> = got.iter().map(|data| (data["body"].clone(), data["seq"].clone())).collect();
    let expected: Vec<_> = [1, 2, 4, 5, 7, 8].map(|n| (json!(n), json!(n + 1))).into();
    assert_eq!(bodies, expected, "all but its own");
    assert!(got.iter().all(|data| data["room"] == "lobby"));
}

#[test]
fn a_message_that_is_sent_again_under_its_name_is_not_sent_twice() {
    let mut place = Place::new();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    let message = r#"{"to":"bob","body":1,"client_ref":"r1"}"#;
    let first = place.ask(&alice, "message:send", message).unwrap();
    let tablet = place.connect(&Coming::of("alice").device("tablet")).unwrap();
    assert_eq!(place.ask(&tablet, "message:send", message).unwrap(), first);
    assert_eq!(place.pushes(&bob, "message:receive").len(), 1);
    // Another user's names are another's.
    place.ask(&bob, "message:send", r#"{"to":"alice","body":2,"client_ref":"r1"}"#).unwrap();
    place.wait(Duration::from_secs(121));
    assert_ne!(place.ask(&alice, "message:send", message).unwrap(), first);
    assert_eq!(place.pushes(&bob, "message:receive").len(), 1);
}

#[test]
fn history_is_there_on_request_for_those_whom_it_concerns() {
    let mut place = Place::new();
    let clients = ["alice", "bob", "eve"].map(|user| place.client(user));
    for n in 0..5 {
        let (from, to) = if n % 2 == 0 { (0, "bob") } else { (1, "alice") };
        place.ask(&clients[from], "message:send", &send(to, &n.to_string())).unwrap();
    }
    let bodies = |place: &mut Place, who: usize, query: &str| {
        let page = place.ask(&clients[who], "message:history", query).unwrap();
        let messages = page["messages"].as_array().unwrap().clone();
        let bodies: Vec<_> =
            messages.iter().map(|message| message["body"].as_str().unwrap().to_owned()).collect();
        (bodies.concat(), page["more"].as_bool().unwrap())
    };
    assert_eq!(bodies(&mut place, 0, r#"{"with":"bob"}"#), ("01234".into(), false));
    assert_eq!(bodies(&mut place, 1, r#"{"with":"alice","limit":2}"#), ("34".into(), true));
    assert_eq!(bodies(&mut place, 1, r#"{"with":"alice","before":3,"limit":2}"#), ("01".into(), false));
    assert_eq!(bodies(&mut place, 2, r#"{"with":"bob"}"#), (String::new(), false));
    assert_eq!(place.refused(&clients[0], "message:history", r#"{"with":"bob","limit":201}"#), "bad_request");
    place.wait(Duration::from_secs(31 * 60));
    assert_eq!(bodies(&mut place, 0, r#"{"with":"bob"}"#), (String::new(), false));
}

#[test]
fn the_latest_hundred_messages_of_a_room_are_kept() {
    let mut place = Place::new();
    let alice = place.client("alice");
    place.ask(&alice, "room:join", r#"{"room":"lobby"}"#).unwrap();
    for n in 0..130 {
        place.ask(&alice, "message:send", &format!(r#"{{"room":"lobby","body":{n}}}"#)).unwrap();
        place.wait(Duration::from_millis(120));
    }
    let page = place.ask(&alice, "message:history", r#"{"room":"lobby","limit":200}"#).unwrap();
    let messages = page["messages"].as_array().unwrap();
    assert_eq!((messages.len(), &messages[0]["seq"], &messages[99]["seq"]), (100, &json!(31), &json!(130)));
}

#[test]
fn who_read_what_is_told_to_the_others() {
    let mut place = Place::new();
    let clients = ["alice", "bob"].map(|user| place.client(user));
    for client in &clients {
        place.ask(client, "room:join", r#"{"room":"lobby"}"#).unwrap();
    }
    place.ask(&clients[1], "message:read", r#"{"room":"lobby","seq":7}"#).unwrap();
    place.ask(&clients[1], "message:read", r#"{"with":"alice","seq":3}"#).unwrap();
    let expected = [json!({"by":"bob","room":"lobby","seq":7}), json!({"by":"bob","seq":3})];
    assert_eq!(place.pushes(&clients[0], "message:read"), expected);
}

#[test]
fn what_cannot_be_kept_or_carried_is_refused_in_words() {
    let mut place = Place::new();
    let alice = place.client("alice");
    for data in [
        r#"{"to":"bob"}"#,
        r#"{"body":1}"#,
        r#"{"to":"bob","room":"x","body":1}"#,
        r#"{"to":"bob","body":1,"attachments":{}}"#,
        r#"{"to":"bob","body":1,"attachments":[{"name":"no url"}]}"#,
        r#"{"to":"bob","body":1,"attachments":[["u","n","t",1]]}"#,
        r#"{"to":"bob","body":1,"attachments":[{"url":"u","size":-1}]}"#,
        r#"{"to":"bob","body":1,"client_ref":""}"#,
    ] {
        assert_eq!(place.refused(&alice, "message:send", data), "bad_request", "{data}");
    }
    let eleven = [r#"{"url":"u"}"#; 11].join(",");
    let data = format!(r#"{{"to":"bob","body":1,"attachments":[{eleven}]}}"#);
    // More than ten a second: the budget of messages is spent by now.
    place.wait(Duration::from_secs(5));
    assert_eq!(place.refused(&alice, "message:send", &data), "bad_request");
}
