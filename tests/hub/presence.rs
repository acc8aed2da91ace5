//! Who is online, and who hears of it.

use crate::place::{Coming, Place, START_UNIX};
use serde_json::{Value, json};
use std::time::Duration;
use turnstone::signaling::{PresenceSettings, Scope, Settings, Welcome};

fn in_room(place: &mut Place, users: &[&str]) -> Vec<Welcome> {
    let clients: Vec<_> = users.iter().map(|user| place.client(user)).collect();
    for client in &clients {
        place.ask(client, "room:join", r#"{"room":"lobby"}"#).unwrap();
    }
    place.wait(Duration::from_millis(100));
    for client in &clients {
        place.seen(client);
    }
    clients
}

fn record(place: &mut Place, asker: &Welcome, user: &str) -> Value {
    let answer = place.ask(asker, "presence:get", &format!(r#"{{"users":["{user}"]}}"#)).unwrap();
    answer["users"][user].clone()
}

#[test]
fn a_user_is_offline_when_the_last_device_is_gone_and_the_grace_is_over() {
    let mut place = Place::new();
    let clients = in_room(&mut place, &["alice", "bob"]);
    let tablet = place.connect(&Coming::of("bob").device("tablet")).unwrap();
    place.lose(&clients[1]);
    place.wait(Duration::from_secs(60));
    assert_eq!(place.events(&clients[0]), Vec::<String>::new(), "the tablet is there");
    place.leave(&tablet);
    place.wait(Duration::from_millis(4900));
    assert_eq!(place.events(&clients[0]), Vec::<String>::new(), "within the grace");
    place.wait(Duration::from_millis(300));
    let updates = place.pushes(&clients[0], "presence:update");
    assert_eq!((updates.len(), &updates[0]["online"]), (1, &json!(false)));
    assert_eq!(updates[0]["last_seen"], json!((START_UNIX + 60) * 1000));
    // It may still resume, and is online at once.
    let back = place.connect(&Coming::of("bob").resuming(&clients[1].pid, None)).unwrap();
    assert!(back.recovered);
    let events = place.events(&clients[0]);
    assert_eq!(events, ["presence:update", "user_online"]);
}

#[test]
fn a_short_loss_is_nobodys_business() {
    let mut place = Place::new();
    let clients = in_room(&mut place, &["alice", "bob"]);
    for _ in 0..5 {
        place.lose(&clients[1]);
        place.wait(Duration::from_secs(4));
        place.connect(&Coming::of("bob").resuming(&clients[1].pid, None)).unwrap();
        place.wait(Duration::from_secs(20));
    }
    assert_eq!(place.events(&clients[0]), Vec::<String>::new());
}

#[test]
fn room_mates_hear_the_end_of_a_user_who_said_goodbye() {
    let mut place = Place::new();
    let clients = in_room(&mut place, &["alice", "bob"]);
    place.leave(&clients[1]);
    place.wait(Duration::from_secs(6));
    assert_eq!(place.events(&clients[0]), ["room:left", "presence:update", "user_offline"]);
}

#[test]
fn strangers_hear_nothing_unless_they_subscribe() {
    let mut place = Place::new();
    let (alice, eve) = (place.client("alice"), place.client("eve"));
    place.ask(&eve, "presence:subscribe", r#"{"users":["bob","nobody"]}"#).unwrap();
    let bob = place.client("bob");
    assert_eq!(place.events(&alice), Vec::<String>::new());
    assert_eq!(place.events(&eve), ["presence:update", "user_online"]);
    place.wait(Duration::from_secs(1));
    place.ask(&eve, "presence:subscribe", r#"{"users":[]}"#).unwrap();
    place.leave(&bob);
    place.wait(Duration::from_secs(10));
    assert_eq!(place.events(&eve), Vec::<String>::new());
}

#[test] // what applications with one list of all users need
fn with_scope_all_everybody_hears_of_everybody_but_of_themselves() {
    let presence = PresenceSettings { scope: Scope::All, ..PresenceSettings::default() };
    let mut place = Place::with(Settings { presence, ..Settings::default() });
    let alice = place.client("alice");
    let bob = place.client("bob");
    assert_eq!(place.pushes(&alice, "user_online"), [json!({"user":"bob"})]);
    assert_eq!(place.events(&bob), Vec::<String>::new());
    assert_eq!(record(&mut place, &alice, "bob")["online"], true);
}

#[test] // security.md S11
fn a_user_who_is_not_there_and_one_who_is_nobodys_business_look_the_same() {
    let mut place = Place::new();
    let eve = place.client("eve");
    in_room(&mut place, &["alice", "bob"]);
    let hidden = record(&mut place, &eve, "alice");
    assert_eq!(hidden, record(&mut place, &eve, "nobody"));
    let none = json!({"online":false,"devices":0,"last_seen":null,"status":null,"meta":null});
    assert_eq!(hidden, none);
    let room = |place: &mut Place, room| place.ask(&eve, "presence:get", &format!(r#"{{"room":"{room}"}}"#));
    let foreign = room(&mut place, "lobby").unwrap_err();
    assert_eq!(foreign, room(&mut place, "nowhere").unwrap_err());
}

#[test]
fn members_of_a_room_read_each_other() {
    let mut place = Place::new();
    let clients = in_room(&mut place, &["alice", "bob"]);
    place.ask(&clients[1], "presence:set", r#"{"status":"idle","meta":{"tool":"pen"}}"#).unwrap();
    let bob = record(&mut place, &clients[0], "bob");
    let expected = json!({
        "online": true, "devices": 1, "last_seen": START_UNIX * 1000, "status": "idle", "meta": {"tool":"pen"},
    });
    assert_eq!(bob, expected);
    let all = place.ask(&clients[0], "presence:get", r#"{"room":"lobby"}"#).unwrap();
    assert_eq!(all["users"]["bob"], expected);
    assert_eq!(all["users"]["alice"]["status"], "active");
    let updates = place.pushes(&clients[0], "presence:update");
    assert_eq!(updates.last().unwrap()["meta"], json!({"tool":"pen"}));
}

#[test] // signaling.md 1c: at most 20 updates a second
fn updates_of_a_user_come_at_most_every_50_ms_and_the_last_one_always() {
    let mut place = Place::new();
    let clients = in_room(&mut place, &["alice", "bob"]);
    for x in 0..40 {
        place.ask(&clients[1], "presence:set", &format!(r#"{{"meta":{{"x":{x}}}}}"#)).unwrap();
        place.wait(Duration::from_millis(10));
    }
    place.wait(Duration::from_millis(100));
    let updates = place.pushes(&clients[0], "presence:update");
    assert!((6..=9).contains(&updates.len()), "{} updates in 400 ms", updates.len());
    assert_eq!(updates[0]["meta"]["x"], 0);
    assert_eq!(updates.last().unwrap()["meta"]["x"], 39);
}

#[test]
fn what_a_user_says_about_itself_is_bounded_and_of_the_right_shape() {
    let mut place = Place::new();
    let alice = place.client("alice");
    let long = format!(r#"{{"meta":"{}"}}"#, "x".repeat(4095));
    assert_eq!(place.refused(&alice, "presence:set", &long), "too_large");
    assert_eq!(place.refused(&alice, "presence:set", r#"{"status":"asleep"}"#), "bad_request");
    let many: Vec<String> = (0..257).map(|n| format!("\"{n}\"")).collect();
    let many = format!(r#"{{"users":[{}]}}"#, many.join(","));
    assert_eq!(place.refused(&alice, "presence:subscribe", &many), "too_large");
    let known = format!(r#"{{"users":[{}"u0"]}}"#, r#""u0","#.repeat(256));
    place.ask(&alice, "presence:subscribe", r#"{"users":["u0"]}"#).unwrap();
    assert_eq!(place.refused(&alice, "presence:subscribe", &known), "too_large", "known ones, many times");
    assert_eq!(place.refused(&alice, "presence:get", &many), "too_large");
    assert_eq!(place.refused(&alice, "presence:get", "{}"), "bad_request");
}

#[test]
fn a_heartbeat_is_answered_with_the_time() {
    let mut place = Place::new();
    let alice = place.client("alice");
    place.say(&alice, "heartbeat", "null");
    assert_eq!(place.pushes(&alice, "heartbeat:ack"), [json!({"at": START_UNIX * 1000})]);
    let answer = place.ask(&alice, "heartbeat", "{}").unwrap();
    assert_eq!(answer, json!({"at": START_UNIX * 1000}));
}
