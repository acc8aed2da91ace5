//! Calls as clients of the hub see them; their rules have tests of their own.

use crate::place::{Coming, Place};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use turnstone::auth::{Claimed, MintTimes, MintedName, Revocation, Revocations, Secret, Target, Variant};
use turnstone::base::{Transport, UnixTime};
use turnstone::metrics::{CallState, EndReason, calls_ended, calls_entered, calls_left};
use turnstone::signaling::{Advertised, Closing, RelayOffer, Settings};

#[test]
fn two_sessions_call_each_other_and_hang_up() {
    let relay = RelayOffer {
        doors: vec![Advertised::named(Transport::Udp, "turn.example.org", 3478)],
        secret: Secret::new("0123456789abcdef0123456789abcdef"),
        variant: Variant::Sha1,
    };
    let mut place = Place::with(Settings { relay: Some(relay), ..Settings::default() });
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    let tablet = place.connect(&Coming::of("bob").device("tablet")).unwrap();
    place.seen(&tablet);
    let started = place.ask(&alice, "call:start", r#"{"callee_id":"bob"}"#).unwrap();
    assert_eq!(started["devices"], 2);
    let username = started["ice_servers"][1]["username"].as_str().unwrap();
    assert!(
        username.contains(":alice") && username.contains(started["call_id"].as_str().unwrap()),
        "{username}"
    );
    place.say(&alice, "webrtc:offer", r#"{"to":"bob","offer":{"type":"offer","sdp":"v=0"}}"#);
    place.say(&alice, "webrtc:ice-candidate", r#"{"to":"bob","candidate":{"candidate":"c"}}"#);
    for client in [&bob, &tablet] {
        assert_eq!(place.events(client), ["call:incoming", "webrtc:offer", "webrtc:ice-candidate"]);
    }
    place.say(&bob, "webrtc:answer", r#"{"to":"alice","answer":{"type":"answer","sdp":"v=0"}}"#);
    assert_eq!(place.pushes(&tablet, "call:end")[0]["reason"], "answered_elsewhere");
    assert!(place.events(&alice).ends_with(&["webrtc:answer".into()]));
    place.say(&alice, "call:end", "{}");
    assert_eq!(place.pushes(&bob, "call:end")[0]["reason"], "hangup");
    assert_eq!(place.count(calls_ended(EndReason::Hangup)), 1);
    for state in CallState::ALL {
        assert_eq!(place.count(calls_entered(*state)), place.count(calls_left(*state)));
    }
}

#[test]
fn credentials_for_calls_keep_clear_of_revocations_and_a_banned_user_gets_none() {
    let relay = RelayOffer {
        doors: vec![Advertised::named(Transport::Udp, "turn.example.org", 3478)],
        secret: Secret::new("0123456789abcdef0123456789abcdef"),
        variant: Variant::Sha1,
    };
    let mut place = Place::with(Settings { relay: Some(relay), ..Settings::default() });
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    let now = place.now.unix;
    let order = |user: &str, until| Revocation { target: Target::Subject(user.into()), at: now, until };
    let orders = [order("alice", None), order("bob", Some(UnixTime(now.0 + 600)))];
    let orders = Arc::new(Revocations::new(&orders));
    let times = MintTimes::default().under(Arc::clone(&orders));
    place.hub.mint_by(times.clone());
    let started = place.ask(&alice, "call:start", r#"{"callee_id":"bob"}"#).unwrap();
    assert_eq!(started["ice_servers"], json!([{ "urls": ["stun:turn.example.org:3478"] }]));
    let accepted = place.ask(&bob, "call:accepted", "{}").unwrap();
    let username = accepted["ice_servers"][1]["username"].as_str().unwrap();
    let minted_at = MintedName::parse(username).expect("a name of ours").minted_at();
    assert_eq!((minted_at, times.latest()), (Some(UnixTime(now.0 + 1)), UnixTime(now.0 + 1)));
    let claimed = Claimed { id: None, subject: "bob", label: None, call_id: None, minted_at };
    assert!(!orders.deny(now, &claimed));
    place.say(&alice, "call:end", "{}");
    place.hub.mint_by(MintTimes::default().under(Arc::default()).under(Arc::default()));
    let started = place.ask(&alice, "call:start", r#"{"callee_id":"bob"}"#).unwrap();
    assert!(started["ice_servers"][1]["username"].is_string(), "the ban was lifted: {started}");
}

#[test]
fn a_call_outlives_a_lost_transport_and_a_failed_resume() {
    let mut place = Place::new();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    let call = place.ask(&alice, "call:start", r#"{"to":"bob"}"#).unwrap()["call_id"].clone();
    place.ask(&bob, "call:accepted", "{}").unwrap();
    place.lose(&bob);
    assert_eq!(place.pushes(&alice, "call:peer-state").last().unwrap()["state"], "reconnecting");
    place.wait(Duration::from_secs(20));
    let back = place.connect(&Coming::of("bob").resuming(&bob.pid, Some("another.1"))).unwrap();
    assert!(!back.recovered);
    assert_eq!(place.pushes(&alice, "call:peer-state").last().unwrap()["state"], "back");
    let snapshot = place.pushes(&back, "call:sync").remove(0);
    assert_eq!(snapshot["calls"][0]["call_id"], call);
    place.ask(&back, "call:end", &json!({ "call_id": call }).to_string()).unwrap();
    assert_eq!(place.pushes(&alice, "call:end").len(), 1);
}

#[test]
fn a_stop_ends_every_call_that_is_not_kept_before_the_transports_close() {
    let mut place = Place::new();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    place.ask(&alice, "call:start", r#"{"to":"bob"}"#).unwrap();
    place.hub.shutdown(place.now);
    place.settle();
    for client in [&alice, &bob] {
        assert!(place.closed.contains(&(client.session, Closing::Shutdown)));
    }
    assert_eq!(place.pushes(&bob, "call:end")[0]["reason"], "server_shutdown");
}

#[test]
fn a_stop_ends_no_call_that_the_next_start_goes_on_with() {
    let mut place = Place::keeping();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    place.ask(&alice, "call:start", r#"{"to":"bob"}"#).unwrap();
    place.ask(&bob, "call:accepted", "{}").unwrap();
    place.hub.shutdown(place.now);
    place.settle();
    for client in [&alice, &bob] {
        assert!(place.closed.contains(&(client.session, Closing::Shutdown)));
        assert_eq!(place.pushes(client, "server:shutdown").len(), 1);
        assert!(place.pushes(client, "call:end").is_empty());
    }
    assert_eq!(place.count(calls_ended(EndReason::ServerShutdown)), 0);
}

#[test]
fn a_group_call_is_for_the_members_of_its_room() {
    let mut place = Place::new();
    let clients = ["alice", "bob", "eve"].map(|user| place.client(user));
    for client in &clients[..2] {
        place.ask(client, "room:join", r#"{"room":"lobby"}"#).unwrap();
    }
    let call = place.ask(&clients[0], "call:start", r#"{"room":"lobby"}"#).unwrap();
    let join = json!({ "call_id": call["call_id"] }).to_string();
    assert_eq!(place.ask(&clients[1], "call:join", &join).unwrap()["members"].as_array().unwrap().len(), 1);
    assert!(place.ask(&clients[2], "call:join", &join).is_err());
}
