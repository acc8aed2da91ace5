//! Free events and typing.

use crate::place::{Place, Seen};
use bytes::Bytes;
use serde_json::json;
use std::time::Duration;
use turnstone::metrics::{Overflow, signaling_dropped};
use turnstone::signaling::{Inbound, Outgoing, Welcome};

fn pair(place: &mut Place) -> (Welcome, Welcome) {
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    for client in [&alice, &bob] {
        place.ask(client, "room:join", r#"{"room":"lobby"}"#).unwrap();
    }
    place.wait(Duration::from_millis(100));
    place.seen(&alice);
    place.seen(&bob);
    (alice, bob)
}

#[test]
fn a_free_event_reaches_the_others_with_its_name_and_sender() {
    let mut place = Place::new();
    let (alice, bob) = pair(&mut place);
    let answer =
        place.ask(&alice, "event:emit", r#"{"room":"lobby","name":"draw","data":[1,{"x":"é"}]}"#).unwrap();
    assert_eq!(answer, json!({}));
    place.ask(&alice, "event:emit", r#"{"to":"bob","name":"poke"}"#).unwrap();
    let expected = [
        json!({"from":"alice","room":"lobby","name":"draw","data":[1,{"x":"é"}]}),
        json!({"from":"alice","name":"poke","data":null}),
    ];
    assert_eq!(place.pushes(&bob, "event"), expected);
    assert!(place.seen(&alice).is_empty());
}

#[test]
fn names_of_the_servers_own_and_unknown_classes_are_refused() {
    let mut place = Place::new();
    let (alice, _) = pair(&mut place);
    for data in [
        r#"{"to":"bob","name":"call:incoming"}"#,
        r#"{"to":"bob","name":"disconnect"}"#,
        r#"{"to":"bob","name":""}"#,
        r#"{"to":"bob"}"#,
        r#"{"to":"bob","name":"x","class":"urgent"}"#,
        r#"{"name":"x"}"#,
    ] {
        assert_eq!(place.refused(&alice, "event:emit", data), "bad_request", "{data}");
    }
}

#[test] // issue: cursors and the like coalesce to the latest
fn of_coalescing_events_the_first_goes_at_once_then_one_each_50_ms_and_the_last_always() {
    let mut place = Place::new();
    let (alice, bob) = pair(&mut place);
    let mut sent = 0;
    let mut arrived = Vec::new();
    for _ in 0..100 {
        let data = format!(r#"{{"room":"lobby","name":"cursor","data":{sent},"class":"coalesce"}}"#);
        place.say(&alice, "event:emit", &data);
        sent += 1;
        let at = place.now.at;
        arrived
            .extend(place.pushes(&bob, "event").into_iter().map(|data| (at, data["data"].as_u64().unwrap())));
        place.wait(Duration::from_millis(5));
    }
    place.wait(Duration::from_millis(100));
    assert_eq!(arrived[0].1, 0);
    assert!((8..=11).contains(&arrived.len()), "{} in 500 ms", arrived.len());
    assert!(arrived.windows(2).all(|pair| pair[0].1 < pair[1].1));
    assert_eq!(place.pushes(&bob, "event").last().unwrap()["data"], sent - 1);
}

#[test]
fn streams_of_other_names_receivers_and_senders_do_not_disturb_each_other() {
    let mut place = Place::new();
    let (alice, bob) = pair(&mut place);
    let carol = place.client("carol");
    place.ask(&carol, "room:join", r#"{"room":"lobby"}"#).unwrap();
    for (client, goal, name) in
        [(&alice, "room", "a"), (&alice, "room", "b"), (&carol, "room", "a"), (&carol, "to", "a")]
    {
        let to = if goal == "to" { "bob" } else { "lobby" };
        let data = format!(r#"{{"{goal}":"{to}","name":"{name}","data":1,"class":"coalesce"}}"#);
        place.say(client, "event:emit", &data);
    }
    assert_eq!(place.pushes(&bob, "event").len(), 4);
}

#[test]
fn the_last_of_a_stream_arrives_even_if_its_sender_leaves() {
    let mut place = Place::new();
    let (alice, bob) = pair(&mut place);
    for n in 0..2 {
        let data = format!(r#"{{"room":"lobby","name":"cursor","data":{n},"class":"coalesce"}}"#);
        place.say(&alice, "event:emit", &data);
    }
    place.leave(&alice);
    assert_eq!(place.pushes(&bob, "event").last().unwrap()["data"], 1);
}

#[test]
fn a_client_that_does_not_read_gets_the_latest_of_a_stream_and_loses_the_droppable() {
    let mut place = Place::new();
    let (alice, bob) = pair(&mut place);
    place.stick(&bob);
    for n in 0..200 {
        let data = format!(r#"{{"room":"lobby","name":"cursor","data":{n},"class":"coalesce"}}"#);
        place.say(&alice, "event:emit", &data);
        let data = format!(r#"{{"room":"lobby","name":"spark","data":{n},"class":"droppable"}}"#);
        place.say(&alice, "event:emit", &data);
        place.wait(Duration::from_millis(60));
    }
    assert!(place.closed.is_empty(), "neither is worth a transport");
    assert!(place.count(signaling_dropped(Overflow::Droppable)) > 100);
    assert!(place.count(signaling_dropped(Overflow::Coalescing)) > 100);
    let mut cursors = Vec::new();
    while let Some(out) = place.hub.next_outgoing(bob.session) {
        if let Outgoing::Push(push) = out
            && push.data.contains("cursor")
        {
            cursors.push(push.data.clone());
        }
    }
    assert_eq!(cursors.len(), 1);
    assert!(cursors[0].contains(":199"));
}

#[test]
fn binary_attachments_pass_through_and_nobody_is_sent_a_placeholder_that_points_nowhere() {
    let mut place = Place::new();
    let (alice, bob) = pair(&mut place);
    let attachments = [Bytes::from_static(b"\x00\xff")];
    let emit = |place: &mut Place, num: u32| {
        let data = format!(r#"{{"to":"bob","name":"blob","data":{{"_placeholder":true,"num":{num}}}}}"#);
        let event =
            Inbound { name: "event:emit", data: &data, more: "", attachments: &attachments, ack: Some(77) };
        place.stick(&bob);
        place.hub.on_event(place.now, alice.session, event);
        place.settle();
        place.seen(&alice)
    };
    assert!(matches!(&emit(&mut place, 1)[..], [Seen::Answer { result: Err(_), .. }]));
    assert!(place.hub.next_outgoing(bob.session).is_none());
    assert!(matches!(&emit(&mut place, 0)[..], [Seen::Answer { result: Ok(_), .. }]));
    let Some(Outgoing::Push(push)) = place.hub.next_outgoing(bob.session) else { panic!("nothing came") };
    assert_eq!(push.attachments, attachments);
}

#[test] // signaling.md 1c: typing ends after 3 s
fn typing_ends_by_itself_after_three_seconds_or_when_said() {
    let mut place = Place::new();
    let (alice, bob) = pair(&mut place);
    place.say(&alice, "message:typing", r#"{"room":"lobby"}"#);
    place.wait(Duration::from_millis(2900));
    place.say(&alice, "message:typing", r#"{"room":"lobby"}"#);
    place.wait(Duration::from_millis(2900));
    assert_eq!(place.events(&bob), ["message:typing", "message:typing"]);
    place.wait(Duration::from_millis(200));
    let stopped = json!({"from":"alice","room":"lobby"});
    assert_eq!(place.pushes(&bob, "message:stop_typing"), [stopped]);
    place.say(&alice, "message:typing", r#"{"to":"bob"}"#);
    place.say(&alice, "message:stop_typing", r#"{"to":"bob"}"#);
    place.wait(Duration::from_secs(10));
    assert_eq!(place.events(&bob), ["message:typing", "message:stop_typing"]);
}

#[test]
fn typing_ends_with_its_session() {
    let mut place = Place::new();
    let (alice, bob) = pair(&mut place);
    place.say(&alice, "message:typing", r#"{"room":"lobby"}"#);
    place.leave(&alice);
    assert_eq!(place.events(&bob), ["message:typing", "message:stop_typing", "room:left"]);
}
