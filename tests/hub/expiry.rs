//! Tokens end, and so does the daemon.

use crate::place::{Coming, Place, START_UNIX, identity};
use serde_json::json;
use std::time::Duration;
use turnstone::base::UnixTime;
use turnstone::metrics::SignalingError;
use turnstone::signaling::{Closing, Refusal, Welcome};

fn ending_in(place: &mut Place, user: &str, secs: u64) -> Welcome {
    let mut coming = Coming::of(user);
    coming.identity.expires = UnixTime(START_UNIX + secs);
    let welcome = place.connect(&coming).unwrap();
    place.seen(&welcome);
    welcome
}

#[test] // security.md S3: closed at most 60 s after exp
fn a_token_that_is_not_renewed_costs_the_transport_and_not_the_session() {
    let mut place = Place::new();
    let alice = ending_in(&mut place, "alice", 600);
    place.wait(Duration::from_secs(538));
    assert!(place.events(&alice).is_empty());
    place.wait(Duration::from_secs(4));
    assert_eq!(place.pushes(&alice, "auth:expiring"), [json!({"exp": START_UNIX + 600})]);
    place.wait(Duration::from_secs(80));
    assert!(place.closed.is_empty());
    place.wait(Duration::from_secs(10));
    assert_eq!(place.events(&alice), ["auth:expired"]);
    assert_eq!(place.closed, [(alice.session, Closing::TokenExpired)]);
    let back = place.connect(&Coming::of("alice").resuming(&alice.pid, None)).unwrap();
    assert!(back.recovered, "with a fresh token");
    assert_eq!(place.events(&back), ["connection:established"], "what was said of the old token is over");
}

#[test]
fn a_renewed_token_counts_from_then_on() {
    let mut place = Place::new();
    let alice = ending_in(&mut place, "alice", 120);
    place.wait(Duration::from_secs(70));
    assert_eq!(place.events(&alice), ["auth:expiring"]);
    place.event(alice.session, "auth:refresh", r#"{"token":"fresh"}"#, Some(5));
    let (session, ack, token) = place.verify.pop_front().unwrap();
    assert_eq!((session, ack, token.as_str()), (alice.session, Some(5), "fresh"));
    let mut renewed = identity("alice");
    renewed.expires = UnixTime(START_UNIX + 3600);
    place.hub.on_verified(place.now, session, ack, Ok(renewed));
    place.settle();
    let seen = format!("{:?}", place.seen(&alice));
    assert!(
        seen.contains("Answer { ack: 5, result: Ok") && seen.contains(&(START_UNIX + 3600).to_string()),
        "{seen}"
    );
    place.wait(Duration::from_secs(3000));
    assert!(place.events(&alice).is_empty() && place.closed.is_empty());
    place.wait(Duration::from_secs(700));
    assert_eq!(place.events(&alice), ["auth:expiring", "auth:expired"]);
}

#[test]
fn a_token_of_somebody_else_or_a_bad_one_renews_nothing() {
    let mut place = Place::new();
    let alice = ending_in(&mut place, "alice", 100);
    let refusal = Refusal::new(SignalingError::Unauthorized, "The token is not good.");
    for result in [Ok(identity("bob")), Err(refusal)] {
        place.event(alice.session, "auth:refresh", r#"{"token":"t"}"#, Some(1));
        let (session, ack, _) = place.verify.pop_front().unwrap();
        place.hub.on_verified(place.now, session, ack, result);
        place.settle();
        assert!(format!("{:?}", place.seen(&alice)).contains("Err"));
    }
    place.wait(Duration::from_secs(140));
    assert_eq!(place.closed, [(alice.session, Closing::TokenExpired)]);
}

#[test]
fn a_verdict_that_comes_after_the_transport_is_gone_answers_nobody() {
    let mut place = Place::new();
    let alice = ending_in(&mut place, "alice", 600);
    place.event(alice.session, "auth:refresh", r#"{"token":"t"}"#, Some(1));
    place.lose(&alice);
    let back = place.connect(&Coming::of("alice").resuming(&alice.pid, None)).unwrap();
    place.seen(&back);
    place.hub.on_verified(place.now, alice.session, Some(1), Ok(identity("alice")));
    place.settle();
    assert_eq!(place.seen(&back), []);
}

#[test]
fn oversized_and_missing_tokens_are_not_verified() {
    let mut place = Place::new();
    let alice = place.client("alice");
    let long = format!(r#"{{"token":"{}"}}"#, "x".repeat(8193));
    assert_eq!(place.refused(&alice, "auth:refresh", &long), "too_large");
    assert_eq!(place.refused(&alice, "auth:refresh", "{}"), "bad_request");
    assert!(place.verify.is_empty());
}

#[test]
fn a_stop_tells_everybody_when_to_come_back_and_lets_nobody_in() {
    let mut place = Place::new();
    let clients: Vec<_> = (0..20).map(|n| place.client(&format!("user {n}"))).collect();
    place.hub.shutdown(place.now);
    place.settle();
    let mut waits = Vec::new();
    for client in &clients {
        waits.push(place.pushes(client, "server:shutdown")[0]["retry_after_ms"].as_u64().unwrap());
    }
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 10, "they do not come back all at once: {waits:?}");
    assert!(place.closed.iter().all(|(_, why)| *why == Closing::Shutdown) && place.closed.len() == 20);
    let refusal = place.connect(&Coming::of("late")).unwrap_err();
    assert!(refusal.retry_after_ms.is_some());
}
