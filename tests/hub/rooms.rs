//! Rooms: who may enter, who is told, and when a room goes.

use crate::place::{Coming, Place, Seen};
use serde_json::json;
use std::time::Duration;
use turnstone::metrics::{rooms_made, rooms_removed};
use turnstone::signaling::{RoomSettings, Settings};

const JOIN: &str = r#"{"room":"lobby"}"#;

#[test]
fn members_hear_who_joins_and_leaves_and_a_newcomer_gets_the_list() {
    let mut place = Place::new();
    let alice = place.client("alice");
    let bob = place.connect(&Coming::of("bob").device("phone")).unwrap();
    place.seen(&bob);
    let answer =
        place.ask(&alice, "room:join", r#"{"room":"lobby","role":"host","info":{"name":"A"}}"#).unwrap();
    assert_eq!(answer["room"], "lobby");
    place.ask(&bob, "presence:set", r#"{"meta":{"mood":"fine"}}"#).unwrap();
    let answer = place.ask(&bob, "room:join", JOIN).unwrap();
    let alice_there =
        json!({"user":"alice","device":*alice.device,"role":"host","info":{"name":"A"},"meta":null});
    let bob_there = json!({"user":"bob","device":"phone","role":null,"info":null,"meta":{"mood":"fine"}});
    assert_eq!(answer, json!({"room":"lobby","members":[alice_there, bob_there]}));
    let joined = json!({"room":"lobby","user":"bob","device":"phone","members":2});
    assert_eq!(place.pushes(&alice, "room:joined"), [joined]);
    place.ask(&bob, "room:leave", "{}").unwrap();
    let left = json!({"room":"lobby","user":"bob","device":"phone","members":1});
    assert_eq!(place.pushes(&alice, "room:left"), [left]);
    assert!(place.pushes(&bob, "room:left").is_empty());
}

#[test]
fn joining_again_changes_role_and_info_and_takes_no_second_place() {
    let mut place = Place::new();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    place.ask(&alice, "room:join", JOIN).unwrap();
    place.ask(&bob, "room:join", JOIN).unwrap();
    let answer = place.ask(&bob, "room:join", r#"{"room":"lobby","role":"guest","info":7}"#).unwrap();
    assert_eq!(answer["members"].as_array().unwrap().len(), 2);
    let told = place.pushes(&alice, "room:joined");
    assert_eq!((told.len(), &told[1]["role"], &told[1]["info"]), (2, &json!("guest"), &json!(7)));
}

#[test]
fn a_lost_session_keeps_its_rooms_until_its_window_is_over() {
    let mut place = Place::new();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    place.ask(&alice, "room:join", JOIN).unwrap();
    place.ask(&bob, "room:join", JOIN).unwrap();
    place.lose(&bob);
    place.wait(Duration::from_secs(110));
    assert!(place.pushes(&alice, "room:left").is_empty());
    let back = place.connect(&Coming::of("bob").resuming(&bob.pid, None)).unwrap();
    assert!(back.recovered);
    place.ask(&back, "event:emit", r#"{"room":"lobby","name":"x"}"#).expect("a member still");
    place.lose(&back);
    place.wait(Duration::from_secs(121));
    assert_eq!(place.pushes(&alice, "room:left").len(), 1);
}

#[test]
fn a_token_opens_its_rooms_and_gives_its_roles_and_no_others() {
    let mut place = Place::new();
    let coming = Coming::of("alice").rooms(&["lobby", "team-*"]).roles(&["learner"]);
    let alice = place.connect(&coming).unwrap();
    place.ask(&alice, "room:join", r#"{"room":"team-7"}"#).expect("opened by a pattern");
    let answer = place.ask(&alice, "room:join", JOIN).unwrap();
    assert_eq!(answer["members"][0]["role"], "learner");
    assert_eq!(place.refused(&alice, "room:join", r#"{"room":"lobby2"}"#), "forbidden");
    assert_eq!(place.refused(&alice, "room:join", r#"{"room":"lobby","role":"instructor"}"#), "forbidden");
    let mut closed = Place::with(Settings {
        rooms: RoomSettings { open: false, ..RoomSettings::default() },
        ..Settings::default()
    });
    let bob = closed.client("bob");
    assert_eq!(closed.refused(&bob, "room:join", JOIN), "forbidden");
}

#[test]
fn a_renewed_token_that_opens_fewer_rooms_takes_the_session_out_of_the_others() {
    let mut place = Place::new();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    for room in ["lobby", "cellar"] {
        place.ask(&alice, "room:join", &format!(r#"{{"room":"{room}"}}"#)).unwrap();
        place.ask(&bob, "room:join", &format!(r#"{{"room":"{room}"}}"#)).unwrap();
    }
    place.lose(&bob);
    let coming = Coming::of("bob").rooms(&["lobby"]).resuming(&bob.pid, None);
    assert!(place.connect(&coming).unwrap().recovered);
    let left = place.pushes(&alice, "room:left");
    assert_eq!((left.len(), &left[0]["room"]), (1, &json!("cellar")));
}

#[test]
fn rooms_have_bounds_that_say_so() {
    let rooms = RoomSettings { per_session: 2, members_max: 2, total: 3, ..RoomSettings::default() };
    let mut place = Place::with(Settings { rooms, ..Settings::default() });
    let clients = ["alice", "bob", "carol"].map(|user| place.client(user));
    for client in &clients[..2] {
        place.ask(client, "room:join", JOIN).unwrap();
    }
    assert_eq!(place.refused(&clients[2], "room:join", JOIN), "room_full");
    assert_eq!(place.seen(&clients[2]), []);
    place.ask(&clients[0], "room:join", r#"{"room":"2"}"#).unwrap();
    assert_eq!(place.refused(&clients[0], "room:join", r#"{"room":"3"}"#), "too_large");
    place.ask(&clients[2], "room:join", r#"{"room":"3"}"#).unwrap();
    assert_eq!(place.refused(&clients[2], "room:join", r#"{"room":"4"}"#), "too_large");
    let long = format!(r#"{{"room":"lobby","info":"{}"}}"#, "x".repeat(4096));
    assert_eq!(place.refused(&clients[1], "room:join", &long), "too_large");
    let long = format!(r#"{{"room":"{}"}}"#, "x".repeat(129));
    assert_eq!(place.refused(&clients[1], "room:join", &long), "too_large");
}

#[test]
fn a_room_without_a_name_is_the_only_one_that_a_session_is_in() {
    let mut place = Place::new();
    let alice = place.client("alice");
    assert_eq!(place.refused(&alice, "room:leave", "null"), "not_found");
    place.ask(&alice, "room:join", JOIN).unwrap();
    place.ask(&alice, "room:join", r#"{"room":"2"}"#).unwrap();
    assert_eq!(place.refused(&alice, "room:leave", "null"), "bad_request");
    place.ask(&alice, "room:leave", r#"{"room":"2"}"#).unwrap();
    place.ask(&alice, "room:leave", "null").unwrap();
}

#[test]
fn a_room_in_which_nobody_says_anything_is_closed_and_its_members_are_told() {
    let mut place = Place::new();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    place.ask(&alice, "room:join", JOIN).unwrap();
    place.ask(&bob, "room:join", JOIN).unwrap();
    for _ in 0..4 {
        place.wait(Duration::from_secs(29 * 60));
        place.say(&bob, "heartbeat", "{}");
    }
    assert!(place.pushes(&alice, "room:left").is_empty(), "a member is alive, so the room is");
    place.wait(Duration::from_secs(31 * 60));
    for client in [&alice, &bob] {
        let left = place.pushes(client, "room:left");
        assert_eq!((left.len(), &left[0]["reason"]), (1, &json!("idle")));
        assert_eq!(place.refused(client, "room:leave", JOIN), "not_found");
    }
    assert_eq!((place.count(rooms_made()), place.count(rooms_removed())), (1, 1));
}

#[test]
fn an_empty_room_goes_at_once_unless_it_has_messages_to_keep() {
    let mut place = Place::new();
    let alice = place.client("alice");
    place.ask(&alice, "room:join", JOIN).unwrap();
    place.ask(&alice, "room:leave", JOIN).unwrap();
    assert_eq!(place.count(rooms_removed()), 1);
    place.ask(&alice, "room:join", JOIN).unwrap();
    place.ask(&alice, "message:send", r#"{"room":"lobby","body":1}"#).unwrap();
    place.ask(&alice, "room:leave", JOIN).unwrap();
    assert_eq!(place.count(rooms_removed()), 1);
    place.wait(Duration::from_secs(29 * 60));
    let answer = place.ask(&alice, "room:join", JOIN).unwrap();
    assert_eq!(answer["members"].as_array().unwrap().len(), 1);
    let page = place.ask(&alice, "message:history", JOIN).unwrap();
    assert_eq!(page["messages"].as_array().unwrap().len(), 1);
    place.leave(&alice);
    place.wait(Duration::from_secs(31 * 60));
    assert_eq!(place.count(rooms_made()) - place.count(rooms_removed()), 0);
}

#[test]
fn a_session_that_ends_leaves_all_its_rooms() {
    let mut place = Place::new();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    for room in ["1", "2", "3"] {
        place.ask(&alice, "room:join", &format!(r#"{{"room":"{room}"}}"#)).unwrap();
        place.ask(&bob, "room:join", &format!(r#"{{"room":"{room}"}}"#)).unwrap();
    }
    place.seen(&alice);
    place.leave(&bob);
    let left = place.pushes(&alice, "room:left");
    let rooms: Vec<_> = left.iter().map(|data| data["room"].as_str().unwrap()).collect();
    assert_eq!(rooms, ["1", "2", "3"]);
    assert!(!place.seen(&alice).iter().any(|seen| matches!(seen, Seen::Answer { .. })));
}
