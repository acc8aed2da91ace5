//! Messages that storage keeps: the test is the storage, and as slow or as broken as it likes.

use crate::place::{Coming, Place, identity};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use turnstone::metrics::{SignalingError, signaling_errors};
use turnstone::signaling::{
    Conversation, Deed, Outcome, SentBefore, StoredMessage, Unread, Unstored, Welcome,
};

fn pair(one: &str, other: &str) -> Conversation {
    Conversation::Pair(Arc::from(one), Arc::from(other))
}

fn stored(body: u64) -> String {
    format!(r#"{{"to":"bob","body":{body},"store":true,"client_ref":"r{body}"}}"#)
}

/// Says where the numbers stand, as it is asked first.
fn load(place: &mut Place, seq: u64, count: u64) {
    let (number, deed) = place.next_deed().expect("the numbers are asked for");
    assert_eq!(deed, Deed::Load(pair("alice", "bob")));
    place.stored(number, Ok(Outcome::Loaded { seq, count }));
}

fn next_write(place: &mut Place) -> (u64, StoredMessage) {
    match place.next_deed() {
        Some((number, Deed::Write(message))) => (number, *message),
        other => panic!("no message to write: {other:?}"),
    }
}

fn heard(place: &mut Place, client: &Welcome) -> Vec<Value> {
    place.pushes(client, "message:receive").iter().map(|data| data["body"].clone()).collect()
}

#[test]
fn nobody_hears_of_a_message_before_it_is_durable_and_then_it_has_the_next_number() {
    let mut place = Place::keeping();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    let ack = place.begin(&alice, "message:send", &stored(1));
    load(&mut place, 41, 7);
    let (number, message) = next_write(&mut place);
    assert_eq!((message.seq, message.count, &*message.from), (42, 8, "alice"));
    assert_eq!(place.answer(&alice, ack), None);
    assert!(place.events(&bob).is_empty());
    place.stored(number, Ok(Outcome::Done));
    let answer = place.answer(&alice, ack).expect("answered").expect("stored");
    assert_eq!((&answer["seq"], &answer["id"]), (&json!(42), &json!(message.id)));
    let pushes = place.pushes(&bob, "message:receive");
    assert_eq!(pushes, [serde_json::from_str::<Value>(&message.data).unwrap()]);
    let conversation = pair("alice", "bob");
    assert_eq!(place.met, [Deed::Meet { conversation, users: vec!["bob".into()], before: 42 }]);
}

#[test]
fn what_is_said_behind_a_message_that_is_being_written_waits_for_it_stored_or_not() {
    let mut place = Place::keeping();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    place.begin(&alice, "message:send", &stored(1));
    load(&mut place, 0, 0);
    place.begin(&bob, "message:send", r#"{"to":"alice","body":2}"#);
    place.begin(&alice, "message:send", &stored(3));
    let (first, _) = next_write(&mut place);
    let (third, message) = next_write(&mut place);
    assert_eq!((message.seq, message.count), (3, 2), "numbers are for all, counts for the stored");
    place.stored(third, Ok(Outcome::Done));
    assert!(place.events(&alice).is_empty() && place.events(&bob).is_empty());
    place.stored(first, Ok(Outcome::Done));
    assert_eq!(heard(&mut place, &bob), [json!(1), json!(3)]);
    assert_eq!(heard(&mut place, &alice), [json!(2)]);
}

#[test]
fn a_storage_that_cannot_refuses_what_was_to_be_stored_and_stops_nothing_else() {
    let mut place = Place::keeping();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    let ack = place.begin(&alice, "message:send", &stored(1));
    load(&mut place, 9, 9);
    let (number, _) = next_write(&mut place);
    place.begin(&alice, "message:send", r#"{"to":"bob","body":2}"#);
    place.stored(number, Err(Unstored::Unavailable));
    assert_eq!(place.answer(&alice, ack).unwrap().unwrap_err().0, "unavailable");
    assert_eq!(heard(&mut place, &bob), [json!(2)]);

    // Where even the numbers cannot be read, they run on in memory, and storage is asked again when it matters.
    let mut place = Place::keeping();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    place.begin(&alice, "message:send", r#"{"to":"bob","body":1}"#);
    let (number, _) = place.next_deed().unwrap();
    place.stored(number, Err(Unstored::Busy));
    assert_eq!(heard(&mut place, &bob), [json!(1)]);
    let ack = place.begin(&alice, "message:send", &stored(2));
    let (number, _) = place.next_deed().unwrap();
    place.stored(number, Err(Unstored::Unavailable));
    assert_eq!(place.answer(&alice, ack).unwrap().unwrap_err().0, "unavailable");
    let ack = place.begin(&alice, "message:send", &stored(2));
    load(&mut place, 0, 0);
    let (number, message) = next_write(&mut place);
    assert_eq!((message.seq, message.count), (2, 1));
    place.stored(number, Ok(Outcome::Done));
    assert!(place.answer(&alice, ack).unwrap().is_ok());
}

#[test]
fn a_refused_write_is_not_counted_and_what_comes_behind_has_the_numbers_that_storage_has() {
    let mut place = Place::keeping();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    place.begin(&alice, "message:send", &stored(1));
    place.begin(&alice, "message:send", &stored(2));
    load(&mut place, 9, 5);
    let (first, _) = next_write(&mut place);
    let (second, message) = next_write(&mut place);
    assert_eq!((message.seq, message.count), (11, 7));
    place.stored(first, Err(Unstored::Busy));
    place.begin(&alice, "message:send", &stored(3));
    assert_eq!(place.next_deed(), None, "the second is being written yet");
    place.stored(second, Err(Unstored::Busy));
    load(&mut place, 9, 5);
    let (third, message) = next_write(&mut place);
    assert_eq!(
        (message.seq, message.count),
        (12, 6),
        "neither of the two is stored, and no number is given twice"
    );
    place.stored(third, Ok(Outcome::Done));
    assert_eq!(heard(&mut place, &bob), [json!(3)]);
}

#[test]
fn without_a_storage_a_message_to_be_stored_is_refused() {
    let mut place = Place::new();
    let alice = place.client("alice");
    assert_eq!(place.refused(&alice, "message:send", &stored(1)), "unavailable");
    assert_eq!(place.refused(&alice, "message:unread", "{}"), "unavailable");
}

#[test]
fn the_same_message_sent_again_while_it_is_written_or_after_a_restart_is_one_message() {
    let mut place = Place::keeping();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    let first = place.begin(&alice, "message:send", &stored(1));
    load(&mut place, 0, 0);
    let again = place.begin(&alice, "message:send", &stored(1));
    let (number, _) = next_write(&mut place);
    assert_eq!(place.next_deed(), None);
    place.stored(number, Ok(Outcome::Done));
    assert_eq!(place.answer(&alice, first), place.answer(&alice, again));
    assert_eq!(heard(&mut place, &bob).len(), 1);

    let mut place = Place::keeping();
    let sent =
        SentBefore { user: "alice".into(), client_ref: "r1".into(), id: "01".into(), seq: 5, at_ms: 77 };
    place.hub.restore(place.now, Vec::new(), vec![sent]);
    let alice = place.client("alice");
    let answer = place.ask(&alice, "message:send", &stored(1)).unwrap();
    assert_eq!(answer, json!({"id":"01","seq":5,"at":77}));
    place.wait(Duration::from_secs(121));
    place.begin(&alice, "message:send", &stored(1));
    load(&mut place, 5, 5);
    assert_eq!(next_write(&mut place).1.seq, 6);
}

#[test]
fn one_session_and_one_conversation_have_only_so_much_waiting() {
    let mut place = Place::keeping();
    let alice = place.client("alice");
    let mut refused = Vec::new();
    for n in 0..80 {
        let ack = place.begin(&alice, "message:send", &stored(n));
        refused.extend(place.answer(&alice, ack).map(|answer| answer.unwrap_err()));
        place.wait(Duration::from_millis(150));
    }
    assert_eq!(refused.len(), 80 - 32);
    assert!(refused.iter().all(|(code, after)| code == "rate_limited" && after.is_some()));
    load(&mut place, 0, 0);
    for _ in 0..32 {
        let (number, _) = next_write(&mut place);
        place.stored(number, Ok(Outcome::Done));
    }
    let ack = place.begin(&alice, "message:send", &stored(100));
    assert_eq!(place.answer(&alice, ack), None, "there is place again");
}

#[test]
fn history_is_what_is_stored_and_what_is_in_memory_in_the_order_of_numbers() {
    let mut place = Place::keeping();
    let (alice, _bob) = (place.client("alice"), place.client("bob"));
    place.begin(&alice, "message:send", r#"{"to":"bob","body":"m7"}"#);
    load(&mut place, 6, 4);
    let ask = |place: &mut Place, query: &str, stored: &[u64], more: bool| {
        let ack = place.begin(&alice, "message:history", query);
        let (number, deed) = place.next_deed().unwrap();
        assert!(matches!(deed, Deed::History { .. }), "{deed:?}");
        let messages = stored.iter().map(|seq| (*seq, format!(r#"{{"body":"s{seq}"}}"#).into())).collect();
        place.stored(number, Ok(Outcome::History { messages, more }));
        let page = place.answer(&alice, ack).unwrap().unwrap();
        let bodies = page["messages"].as_array().unwrap().iter();
        (bodies.map(|one| one["body"].as_str().unwrap().to_owned()).collect::<Vec<_>>(), page["more"] == true)
    };
    assert_eq!(
        ask(&mut place, r#"{"with":"bob","limit":3}"#, &[4, 5, 6], true),
        (vec!["s5".into(), "s6".into(), "m7".into()], true)
    );
    assert_eq!(ask(&mut place, r#"{"with":"bob"}"#, &[1], false), (vec!["s1".into(), "m7".into()], false));
    assert_eq!(ask(&mut place, r#"{"with":"bob","before":7}"#, &[6], false), (vec!["s6".into()], false));
    assert_eq!(ask(&mut place, r#"{"with":"bob","thread":"t"}"#, &[2], false), (vec!["s2".into()], false));
    let ack = place.begin(&alice, "message:history", r#"{"with":"bob"}"#);
    let (number, _) = place.next_deed().unwrap();
    place.stored(number, Err(Unstored::Unavailable));
    let page = place.answer(&alice, ack).unwrap().expect("what is in memory, as without a storage");
    assert_eq!((&page["messages"][0]["body"], &page["more"]), (&json!("m7"), &json!(false)));
    let ack = place.begin(&alice, "message:history", r#"{"with":"bob"}"#);
    let (number, _) = place.next_deed().unwrap();
    place.stored(number, Err(Unstored::Busy));
    assert_eq!(place.answer(&alice, ack).unwrap().unwrap_err().0, "rate_limited");
}

#[test]
fn what_one_session_reads_is_bounded_until_storage_has_answered() {
    let mut place = Place::keeping();
    let alice = place.client("alice");
    let mut refused = 0;
    let mut ask = |place: &mut Place, event: &str, data: &str| {
        place.wait(Duration::from_secs(2));
        let ack = place.begin(&alice, event, data);
        refused += u32::from(place.answer(&alice, ack).is_some());
        refused
    };
    for n in 0..12 {
        ask(&mut place, "message:history", r#"{"with":"bob"}"#);
        ask(&mut place, "message:unread", "{}");
        ask(&mut place, "message:read", &format!(r#"{{"with":"user{n}","seq":1}}"#));
    }
    assert_eq!(ask(&mut place, "message:history", r#"{"with":"bob"}"#), 36 + 1 - 32);
    for _ in 0..32 {
        let (number, _) = place.next_deed().unwrap();
        place.stored(number, Err(Unstored::Busy));
    }
    assert_eq!(place.next_deed(), None);
    assert_eq!(ask(&mut place, "message:history", r#"{"with":"bob"}"#), 5, "there is place again");
}

#[test]
fn a_cursor_is_told_when_it_is_durable_and_those_read_meanwhile_are_written_together() {
    let mut place = Place::keeping();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    let read = |place: &mut Place, seq: u64| {
        place.begin(&bob, "message:read", &format!(r#"{{"with":"alice","seq":{seq}}}"#))
    };
    let first = read(&mut place, 1);
    let others = [read(&mut place, 5), read(&mut place, 3)];
    let (number, deed) = place.next_deed().unwrap();
    let expected = |seq| Deed::Read { user: "bob".into(), conversation: pair("alice", "bob"), seq };
    assert_eq!((deed, place.next_deed()), (expected(1), None));
    assert!(place.events(&alice).is_empty());
    place.stored(number, Ok(Outcome::Done));
    assert_eq!(place.answer(&bob, first), Some(Ok(json!({}))));
    let (number, deed) = place.next_deed().unwrap();
    assert_eq!(deed, expected(5));
    place.stored(number, Ok(Outcome::Done));
    for ack in others {
        assert_eq!(place.answer(&bob, ack), Some(Ok(json!({}))));
    }
    let told = place.pushes(&alice, "message:read");
    assert_eq!(told.last(), Some(&json!({"by":"bob","seq":5})));
    let ack = read(&mut place, 6);
    let (number, _) = place.next_deed().unwrap();
    place.stored(number, Err(Unstored::Busy));
    assert_eq!(place.answer(&bob, ack).unwrap().unwrap_err().0, "rate_limited");
    let ack = read(&mut place, 7);
    let (number, _) = place.next_deed().unwrap();
    place.stored(number, Err(Unstored::Unavailable));
    assert_eq!(place.answer(&bob, ack), Some(Ok(json!({}))));
    let told = place.pushes(&alice, "message:read");
    assert_eq!(told, [json!({"by":"bob","seq":7})], "as without a storage");
}

#[test]
fn unread_names_conversations_as_their_reader_does() {
    let mut place = Place::keeping();
    let bob = place.client("bob");
    let ack = place.begin(&bob, "message:unread", "{}");
    let (number, deed) = place.next_deed().unwrap();
    assert_eq!(deed, Deed::Unread { user: "bob".into(), rooms: identity("bob").opens(true) });
    let one = |conversation| Unread {
        conversation,
        unread: 2,
        head: 9,
        read: 7,
        last: ("01".into(), "alice".into(), 5),
    };
    let conversations = vec![one(pair("alice", "bob")), one(Conversation::Room("lobby".into()))];
    place.stored(number, Ok(Outcome::Unread { conversations, more: false }));
    let last = json!({"id":"01","from":"alice","at":5});
    let expected = json!({"conversations":[
        {"with":"alice","unread":2,"head":9,"read":7,"last":last},
        {"room":"lobby","unread":2,"head":9,"read":7,"last":last},
    ]});
    assert_eq!(place.answer(&bob, ack), Some(Ok(expected)));
}

#[test]
fn who_is_or_comes_into_a_room_with_stored_messages_takes_part_in_it() {
    let mut place = Place::keeping();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    for client in [&alice, &bob] {
        place.ask(client, "room:join", r#"{"room":"lobby"}"#).unwrap();
    }
    assert_eq!(place.next_deed(), None);
    place.met.clear();
    place.begin(&alice, "message:send", r#"{"room":"lobby","body":1,"store":true}"#);
    let (number, _) = place.next_deed().unwrap();
    place.stored(number, Ok(Outcome::Loaded { seq: 3, count: 3 }));
    let (number, _) = next_write(&mut place);
    place.stored(number, Ok(Outcome::Done));
    let room = Conversation::Room("lobby".into());
    let met =
        |user: &str, before| Deed::Meet { conversation: room.clone(), users: vec![user.into()], before };
    assert_eq!(place.met, [met("bob", 4)]);
    let carol = place.client("carol");
    place.ask(&carol, "room:join", r#"{"room":"lobby"}"#).unwrap();
    assert_eq!(place.next_deed(), None);
    assert_eq!(place.met[1..], [met("carol", u64::MAX)]);
}

#[test]
fn a_message_is_written_only_when_storage_knows_whom_it_is_for() {
    let mut place = Place::keeping();
    let alice = place.client("alice");
    let refused = place.begin(&alice, "message:send", &stored(1));
    load(&mut place, 0, 0);
    place.begin(&alice, "message:send", &stored(2));
    let (number, deed) = place.deeds.pop_front().unwrap();
    assert!(matches!(deed, Deed::Meet { .. }) && place.deeds.is_empty(), "{deed:?}");
    place.stored(number, Err(Unstored::Busy));
    assert_eq!(place.answer(&alice, refused).unwrap().unwrap_err().0, "rate_limited");
    assert!(matches!(place.deeds[0].1, Deed::Meet { .. }), "the one behind it tries anew");
    assert_eq!(next_write(&mut place).1.seq, 1);
}

#[test]
fn what_was_known_of_a_conversation_in_which_long_nothing_was_stored_is_asked_for_again() {
    let mut place = Place::keeping();
    let (alice, _bob) = (place.client("alice"), place.client("bob"));
    place.begin(&alice, "message:send", &stored(1));
    load(&mut place, 50, 50);
    let (number, message) = next_write(&mut place);
    assert_eq!((message.seq, message.count), (51, 51));
    place.stored(number, Ok(Outcome::Done));
    for _ in 0..6 {
        place.wait(Duration::from_secs(10 * 60));
        place.begin(&alice, "message:send", r#"{"to":"bob","body":"not stored"}"#);
    }
    assert_eq!(place.next_deed(), None);
    place.met.clear();
    place.begin(&alice, "message:send", &stored(2));
    // All messages were old, and the conversation has gone.
    load(&mut place, 0, 0);
    let (number, message) = next_write(&mut place);
    assert_eq!((message.seq, message.count), (58, 1), "no number is given twice");
    place.stored(number, Ok(Outcome::Done));
    let conversation = pair("alice", "bob");
    assert_eq!(place.met, [Deed::Meet { conversation, users: vec!["bob".into()], before: 58 }]);
    place.wait(Duration::from_secs(20 * 60));
    place.begin(&alice, "message:send", &stored(3));
    assert_eq!(next_write(&mut place).1.count, 2, "it is known for a while");
}

/// Alice sends a message to be stored to somebody with whom nothing is stored yet; storage does what it should.
fn begin_with(place: &mut Place, alice: &Welcome, name: &str) -> Result<Value, (String, Option<u64>)> {
    let ack = place.begin(alice, "message:send", &format!(r#"{{"to":"{name}","body":1,"store":true}}"#));
    while let Some((number, deed)) = place.next_deed() {
        let outcome = match deed {
            Deed::Load(_) => Outcome::Loaded { seq: 0, count: 0 },
            _ => Outcome::Done,
        };
        place.stored(number, Ok(outcome));
    }
    place.answer(alice, ack).expect("answered")
}

#[test]
fn one_user_begins_only_so_many_conversations_in_storage_and_goes_on_in_all_of_them() {
    let mut place = Place::keeping();
    let (alice, other) = (place.client("alice"), place.client("name-24"));
    let mut begun = 0;
    for n in 0..25 {
        match begin_with(&mut place, &alice, &format!("name-{n}")) {
            Ok(_) => begun += 1,
            Err(refused) => assert_eq!(refused, ("rate_limited".into(), Some(3_000))),
        }
        place.wait(Duration::from_millis(100));
    }
    assert_eq!(begun, 20);
    assert_eq!(place.count(signaling_errors(SignalingError::RateLimited)), 5);
    let before = place.met.len();
    assert!(begin_with(&mut place, &alice, "name-24").is_err());
    assert_eq!(place.met.len(), before, "nothing was written of who takes part");
    assert!(begin_with(&mut place, &alice, "name-3").is_ok(), "this one has begun");
    assert!(place.ask(&alice, "message:send", r#"{"to":"name-24","body":1}"#).is_ok(), "it is not stored");
    assert!(begin_with(&mut place, &other, "alice").is_ok(), "the other one begins it");
    assert!(begin_with(&mut place, &alice, "name-24").is_ok());
    assert!(begin_with(&mut place, &alice, "name-23").is_err());
    place.wait(Duration::from_secs(3));
    assert!(begin_with(&mut place, &alice, "name-23").is_ok());
}

#[test]
fn ten_thousand_names_in_a_quarter_of_an_hour_make_some_hundred_conversations() {
    let mut place = Place::keeping();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    let mut begun = 0;
    for n in 0..10_000 {
        begun += u32::from(begin_with(&mut place, &alice, &format!("name-{n}")).is_ok());
        place.wait(Duration::from_millis(101));
        if n % 100 == 0 {
            assert!(begin_with(&mut place, &bob, "carol").is_ok());
        }
    }
    assert!((340..=360).contains(&begun), "20, and one in 3 s of 1010: {begun}");
}

#[test]
fn who_leaves_a_room_with_the_last_session_takes_no_part_in_it_and_who_is_cut_off_does() {
    let mut place = Place::keeping();
    let [phone, laptop] = ["phone", "laptop"].map(|device| {
        let bob = place.connect(&Coming::of("bob").device(device)).unwrap();
        place.ask(&bob, "room:join", r#"{"room":"lobby"}"#).unwrap();
        bob
    });
    let send = |place: &mut Place, count: u64| {
        let alice = place.client("alice");
        place.ask(&alice, "room:join", r#"{"room":"lobby"}"#).unwrap();
        place.met.clear();
        place.begin(&alice, "message:send", r#"{"room":"lobby","body":1,"store":true}"#);
        let (mut number, mut deed) = place.next_deed().expect("a deed");
        if matches!(deed, Deed::Load(_)) {
            place.stored(number, Ok(Outcome::Loaded { seq: 0, count: 0 }));
            (number, deed) = place.next_deed().expect("a message to write");
        }
        assert!(matches!(&deed, Deed::Write(message) if message.count == count), "{deed:?}");
        place.stored(number, Ok(Outcome::Done));
        place.leave(&alice);
        place.met.iter().any(|deed| matches!(deed, Deed::Meet { users, .. } if users.contains(&"bob".into())))
    };
    assert!(send(&mut place, 1));
    place.ask(&phone, "room:leave", "{}").unwrap();
    assert_eq!(place.next_deed(), None, "the laptop is there");
    assert!(!send(&mut place, 2));
    place.ask(&laptop, "room:leave", "{}").unwrap();
    let conversation = Conversation::Room("lobby".into());
    let parted = place.next_deed().map(|(number, deed)| (place.stored(number, Ok(Outcome::Done)), deed).1);
    assert_eq!(parted, Some(Deed::Part { user: "bob".into(), conversation }));
    place.ask(&laptop, "room:join", r#"{"room":"lobby"}"#).unwrap();
    assert!(send(&mut place, 3), "bob is there again");
    place.leave(&laptop);
    assert_eq!(place.next_deed(), None, "bob comes back");
}
