//! How fast and how many.

use crate::place::{Coming, Place, Seen};
use std::time::Duration;
use turnstone::metrics::{SignalingError, sessions_closed, sessions_opened, signaling_errors};
use turnstone::signaling::{Closing, Settings};

const CHAT: &str = r#"{"to":"bob","body":1}"#;

#[test] // signaling.md 1c: 10 messages per user per second
fn a_user_sends_ten_messages_a_second_over_all_sessions_and_is_told_when_to_go_on() {
    let mut place = Place::new();
    let alice = place.client("alice");
    let tablet = place.connect(&Coming::of("alice").device("tablet")).unwrap();
    for n in 0..10 {
        place.ask(if n % 2 == 0 { &alice } else { &tablet }, "message:send", CHAT).unwrap();
    }
    for client in [&alice, &tablet] {
        let (code, retry_after_ms) = place.ask(client, "message:send", CHAT).unwrap_err();
        assert_eq!((code.as_str(), retry_after_ms), ("rate_limited", Some(100)));
    }
    place.ask(&alice, "heartbeat", "{}").expect("another kind of event");
    place.wait(Duration::from_millis(110));
    place.ask(&alice, "message:send", CHAT).expect("a token is back");
    assert_eq!(place.count(signaling_errors(SignalingError::RateLimited)), 2);
}

#[test]
fn a_client_that_goes_on_regardless_is_closed_and_waits() {
    let mut place = Place::new();
    let alice = place.client("alice");
    let mut sent = 0;
    while place.closed.is_empty() {
        place.say(&alice, "no such event", "{}");
        sent += 1;
        assert!(sent < 1000, "never closed");
    }
    assert_eq!(place.closed, [(alice.session, Closing::CoolDown)]);
    for coming in [Coming::of("alice"), Coming::of("alice").resuming(&alice.pid, None)] {
        let refusal = place.connect(&coming).unwrap_err();
        assert_eq!(refusal.code, SignalingError::RateLimited);
        assert!(refusal.retry_after_ms.is_some_and(|ms| (9_000..=10_000).contains(&ms)));
    }
    // Saying goodbye does not help.
    place.leave(&alice);
    place.wait(Duration::from_secs(8));
    assert!(place.connect(&Coming::of("alice")).is_err());
    place.client("bob");
    place.wait(Duration::from_secs(3));
    place.client("alice");
}

#[test]
fn events_of_many_users_of_one_address_have_a_budget_and_loopback_has_none() {
    let mut settings = Settings::default();
    settings.rates.source.other.burst = 50;
    settings.rates.source.other.per_second = 1;
    for (source, expected) in
        [("192.0.2.7", 50), ("127.0.0.1", 100), ("::ffff:127.0.0.1", 100), ("2001:db8::1", 50)]
    {
        let mut place = Place::with(settings.clone());
        let mut fine = 0;
        for n in 0..10 {
            let mut coming = Coming::of(&format!("user {n}"));
            coming.source = source.parse().unwrap();
            let client = place.connect(&coming).unwrap();
            fine += (0..10).filter(|_| place.ask(&client, "heartbeat", "{}").is_ok()).count();
        }
        assert_eq!(fine, expected, "{source}");
    }
}

#[test]
fn sessions_are_bounded_by_user_by_address_and_in_all() {
    let settings =
        Settings { sessions_per_user: 3, sessions_per_source: 5, sessions_total: 8, ..Settings::default() };
    let mut place = Place::with(settings);
    let first = place.client("alice");
    for _ in 1..3 {
        place.client("alice");
    }
    let refusal = place.connect(&Coming::of("alice")).unwrap_err();
    assert_eq!(refusal.code, SignalingError::TooLarge);
    // One that is away makes room for one that is here.
    place.lose(&first);
    place.client("alice");
    assert!(place.connect(&Coming::of("bob")).is_ok() && place.connect(&Coming::of("carol")).is_ok());
    let refusal = place.connect(&Coming::of("dave")).unwrap_err();
    assert_eq!((refusal.code, refusal.retry_after_ms), (SignalingError::RateLimited, Some(5000)));
    let from = |user: &str, source: &str| {
        let mut coming = Coming::of(user);
        coming.source = source.parse().unwrap();
        coming
    };
    for n in 0..3 {
        place.connect(&from(&format!("user {n}"), "198.51.100.1")).unwrap();
    }
    assert!(place.connect(&from("late", "203.0.113.1")).is_err(), "eight in all");
    let open = place.count(sessions_opened()) - place.count(sessions_closed());
    assert_eq!(open, 8);
}

#[test]
fn a_session_that_is_replaced_takes_no_second_place() {
    let settings =
        Settings { sessions_per_user: 1, sessions_per_source: 1, sessions_total: 1, ..Settings::default() };
    let mut place = Place::with(settings);
    let alice = place.client("alice");
    let again = place.connect(&Coming::of("alice").resuming(&alice.pid, Some("x"))).unwrap();
    assert!(!again.recovered);
    assert!(place.connect(&Coming::of("alice").resuming(&again.pid, None)).unwrap().recovered);
}

#[test]
fn an_event_without_answer_that_fails_is_told_as_an_event() {
    let mut place = Place::new();
    let alice = place.client("alice");
    place.say(&alice, "no:such", "{}");
    place.say(&alice, "call:end", r#"{"call_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV"}"#);
    place.say(&alice, "webrtc:offer", r#"{"to":7}"#);
    place.say(&alice, "room:join", "[]");
    let seen: Vec<_> = place
        .seen(&alice)
        .into_iter()
        .map(|seen| match seen {
            Seen::Push { event, data, .. } => {
                assert!(!data["message"].as_str().unwrap().is_empty());
                (event, data["event"].as_str().unwrap().to_owned(), data["code"].as_str().unwrap().to_owned())
            }
            Seen::Answer { .. } => panic!("nobody asked"),
        })
        .collect();
    let expected = [
        ("error", "no:such", "bad_request"),
        ("call:error", "call:end", "no_call"),
        ("call:error", "webrtc:offer", "bad_request"),
        ("error", "room:join", "bad_request"),
    ];
    // Answers over the bus come after those that need none; clients tell them apart by event.
    let mut seen: Vec<_> = seen.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
    seen.sort_by_key(|(_, event, _)| expected.iter().position(|(_, other, _)| event == other));
    assert_eq!(seen, expected);
}

#[test]
fn a_client_cannot_call_its_device_anything_it_likes() {
    let mut place = Place::new();
    for device in [String::new(), "a\nb".into(), "x".repeat(129)] {
        let refusal = place.connect(&Coming::of("alice").device(&device)).unwrap_err();
        assert_eq!(refusal.code, SignalingError::BadRequest);
    }
    let mut coming = Coming::of("alice").device("its own idea");
    coming.identity.device = Some("by token".into());
    assert_eq!(&*place.connect(&coming).unwrap().device, "by token");
}
