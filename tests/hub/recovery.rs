//! Sessions that lose their transport and go on, or do not.

use crate::place::{Coming, Place, Seen};
use serde_json::json;
use std::time::Duration;
use turnstone::metrics::{Overflow, Recovery, signaling_dropped, signaling_recoveries};
use turnstone::signaling::{Closing, Welcome};

/// The offset of the last event that a client saw.
fn offset(seen: &[Seen]) -> Option<String> {
    seen.iter().rev().find_map(|seen| match seen {
        Seen::Push { offset, .. } => Some(offset.clone()),
        Seen::Answer { .. } => None,
    })
}

fn chat(place: &mut Place, from: &Welcome, to: &str, text: &str) {
    place.say(from, "event:emit", &format!(r#"{{"to":"{to}","name":"chat","data":"{text}"}}"#));
}

/// The texts of `chat` among what a client saw.
fn texts(seen: &[Seen]) -> Vec<String> {
    let texts = seen.iter().filter_map(|seen| match seen {
        Seen::Push { event, data, .. } if event == "event" => data["data"].as_str().map(str::to_owned),
        _ => None,
    });
    texts.collect()
}

#[test]
fn a_client_that_comes_back_gets_every_missed_event_once_and_in_order() {
    let mut place = Place::new();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    for text in ["1", "2", "3"] {
        chat(&mut place, &alice, "bob", text);
    }
    let seen = place.seen(&bob);
    // The third was on its way when the line broke.
    let last = offset(&seen[..2]);
    place.lose(&bob);
    chat(&mut place, &alice, "bob", "4");
    place.wait(Duration::from_secs(119));
    let back = place.connect(&Coming::of("bob").resuming(&bob.pid, last.as_deref())).unwrap();
    assert_eq!(back, Welcome { recovered: true, ..bob.clone() });
    let seen = place.seen(&back);
    let Seen::Push { event, data, offset } = &seen[0] else { panic!("{seen:?}") };
    assert_eq!(event, "connection:established");
    assert_eq!(data["recovered"], true);
    assert_eq!(Some(offset), last.as_ref(), "the greeting does not leap over what follows");
    assert_eq!(texts(&seen), ["3", "4"]);
    assert_eq!(place.count(signaling_recoveries(Recovery::Recovered)), 1);
}

#[test] // signaling.md 3.6 trap (a)
fn a_client_that_never_saw_an_event_recovers_all_since_it_connected() {
    let mut place = Place::new();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    place.stick(&bob);
    chat(&mut place, &alice, "bob", "1");
    place.lose(&bob);
    let back = place.connect(&Coming::of("bob").resuming(&bob.pid, None)).unwrap();
    assert!(back.recovered);
    let seen = place.seen(&back);
    assert_eq!(texts(&seen), ["1"]);
    // Its offset after the greeting alone must still name everything behind the greeting.
    let Seen::Push { offset, .. } = &seen[0] else { panic!("{seen:?}") };
    place.lose(&back);
    let again = place.connect(&Coming::of("bob").resuming(&bob.pid, Some(offset))).unwrap();
    assert_eq!(texts(&place.seen(&again)), ["1"]);
}

#[test] // signaling.md 3.6 traps (b) and (c): also droppable ones, and answers have none
fn every_event_has_an_offset_from_which_the_client_can_go_on() {
    let mut place = Place::new();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    let emit = |class: &str| format!(r#"{{"to":"bob","name":"x","data":"{class}","class":"{class}"}}"#);
    chat(&mut place, &alice, "bob", "before");
    place.say(&alice, "event:emit", &emit("droppable"));
    let last = offset(&place.seen(&bob)).unwrap();
    place.lose(&bob);
    place.say(&alice, "event:emit", &emit("droppable"));
    place.say(&alice, "event:emit", &emit("coalesce"));
    place.wait(Duration::from_secs(1));
    let back = place.connect(&Coming::of("bob").resuming(&bob.pid, Some(&last))).unwrap();
    assert!(back.recovered);
    assert_eq!(texts(&place.seen(&back)), ["coalesce"]);
}

#[test]
fn a_client_that_cannot_go_on_gets_a_new_session_and_a_snapshot_and_no_part_of_the_past() {
    let far_ahead = |offset: &str| format!("{}.999999", offset.split('.').next().unwrap());
    type Return<'a> = &'a dyn Fn(&Welcome, &str) -> Coming;
    let cases: [(&str, Return<'_>, Recovery); 9] = [
        ("another epoch", &|w, _| Coming::of("bob").resuming(&w.pid, Some("AAAAAAAA.3")), Recovery::Gap),
        ("no number", &|w, _| Coming::of("bob").resuming(&w.pid, Some("x")), Recovery::Gap),
        ("a sign", &|w, o| Coming::of("bob").resuming(&w.pid, Some(&o.replace('.', ".+"))), Recovery::Gap),
        (
            "a zero in front",
            &|w, o| Coming::of("bob").resuming(&w.pid, Some(&o.replace('.', ".0"))),
            Recovery::Gap,
        ),
        ("the future", &|w, o| Coming::of("bob").resuming(&w.pid, Some(&far_ahead(o))), Recovery::Gap),
        ("another user", &|w, o| Coming::of("eve").resuming(&w.pid, Some(o)), Recovery::Unknown),
        (
            "another device",
            &|w, o| Coming::of("bob").device("tv").resuming(&w.pid, Some(o)),
            Recovery::Unknown,
        ),
        (
            "no such pid",
            &|_, o| Coming::of("bob").resuming("AAAAAAAAAAAAAAAAAAAAAA", Some(o)),
            Recovery::Unknown,
        ),
        ("the public id", &|w, o| Coming::of("bob").resuming(&w.public_id, Some(o)), Recovery::Unknown),
    ];
    for (name, coming, outcome) in cases {
        let mut place = Place::new();
        let (alice, bob) = (place.client("alice"), place.client("bob"));
        chat(&mut place, &alice, "bob", "1");
        let last = offset(&place.seen(&bob)).unwrap();
        place.lose(&bob);
        chat(&mut place, &alice, "bob", "2");
        let back = place.connect(&coming(&bob, &last)).unwrap();
        assert!(!back.recovered, "{name}");
        assert_ne!((&back.public_id, &back.pid), (&bob.public_id, &bob.pid), "{name}");
        assert_eq!(place.count(signaling_recoveries(outcome)), 1, "{name}");
        let seen = place.seen(&back);
        let Seen::Push { event, data, .. } = &seen[0] else { panic!("{seen:?}") };
        assert_eq!((event.as_str(), &data["recovered"]), ("connection:established", &json!(false)), "{name}");
        let Seen::Push { event, data, .. } = &seen[1] else { panic!("{seen:?}") };
        assert_eq!((event.as_str(), data), ("call:sync", &json!({ "calls": [] })), "{name}");
        assert_eq!(seen.len(), 2, "{name}");
    }
}

#[test]
fn after_the_window_there_is_nothing_to_go_on_with() {
    let mut place = Place::new();
    let bob = place.client("bob");
    place.lose(&bob);
    place.wait(Duration::from_secs(121));
    let back = place.connect(&Coming::of("bob").resuming(&bob.pid, None)).unwrap();
    assert!(!back.recovered);
    assert_eq!(place.count(signaling_recoveries(Recovery::Unknown)), 1);
}

#[test]
fn a_session_that_said_goodbye_is_over_for_good() {
    let mut place = Place::new();
    let bob = place.client("bob");
    place.leave(&bob);
    assert!(!place.connect(&Coming::of("bob").resuming(&bob.pid, None)).unwrap().recovered);
}

#[test] // socket.io#4880
fn a_client_takes_its_session_over_before_its_old_transport_is_known_to_be_dead() {
    let mut place = Place::new();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    chat(&mut place, &alice, "bob", "1");
    let last = offset(&place.seen(&bob)).unwrap();
    place.stick(&bob);
    chat(&mut place, &alice, "bob", "2");
    place.event(bob.session, "heartbeat", "{}", Some(900));
    let back = place.connect(&Coming::of("bob").resuming(&bob.pid, Some(&last))).unwrap();
    assert!(back.recovered && back.taken_over);
    let seen = place.seen(&back);
    assert_eq!(texts(&seen), ["2"]);
    assert!(
        !seen.iter().any(|seen| matches!(seen, Seen::Answer { .. })),
        "an answer of the old transport: {seen:?}"
    );
    // Alive still: nobody closed it, and nobody thinks that it was lost.
    place.wait(Duration::from_secs(200));
    chat(&mut place, &alice, "bob", "3");
    assert_eq!(texts(&place.seen(&back)), ["3"]);
}

#[test]
fn a_failed_resume_ends_the_old_session_but_keeps_the_device() {
    let mut place = Place::new();
    let bob = place.client("bob");
    let back = place.connect(&Coming::of("bob").resuming(&bob.pid, Some("nonsense"))).unwrap();
    assert_eq!(place.closed, [(bob.session, Closing::Replaced)]);
    assert_eq!(back.device, bob.device, "else the calls of the device would be nobody's");
    assert!(!place.connect(&Coming::of("bob").resuming(&bob.pid, None)).unwrap().recovered);
}

#[test]
fn a_client_that_does_not_read_is_closed_and_goes_on_without_loss() {
    let mut place = Place::new();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    chat(&mut place, &alice, "bob", "0");
    let last = offset(&place.seen(&bob)).unwrap();
    place.stick(&bob);
    let mut sent = 0;
    while place.closed.is_empty() {
        sent += 1;
        chat(&mut place, &alice, "bob", &sent.to_string());
        place.wait(Duration::from_millis(20));
        assert!(sent < 1000, "never closed");
    }
    assert_eq!(place.closed, [(bob.session, Closing::Overflow)]);
    assert_eq!(place.count(signaling_dropped(Overflow::Reliable)), 1);
    for _ in 0..20 {
        sent += 1;
        chat(&mut place, &alice, "bob", &sent.to_string());
    }
    let back = place.connect(&Coming::of("bob").resuming(&bob.pid, Some(&last))).unwrap();
    assert!(back.recovered);
    let expected: Vec<String> = (1..=sent).map(|n: u32| n.to_string()).collect();
    assert_eq!(texts(&place.seen(&back)), expected);
}

#[test] // signaling.md 3.5: 256 events
fn more_than_is_kept_is_a_gap_and_not_a_part_of_it() {
    let missed_and_back = |missed: u32| {
        let mut place = Place::new();
        let (alice, bob) = (place.client("alice"), place.client("bob"));
        chat(&mut place, &alice, "bob", "0");
        let last = offset(&place.seen(&bob)).unwrap();
        place.lose(&bob);
        for text in 0..missed {
            chat(&mut place, &alice, "bob", &text.to_string());
            place.wait(Duration::from_millis(20));
        }
        let back = place.connect(&Coming::of("bob").resuming(&bob.pid, Some(&last))).unwrap();
        (back.recovered, texts(&place.seen(&back)).len())
    };
    assert_eq!(missed_and_back(256), (true, 256));
    assert_eq!(missed_and_back(257), (false, 0));
}

#[test]
fn cutting_the_line_at_each_event_of_a_conversation_loses_and_doubles_nothing() {
    for cut in 0..60 {
        let mut place = Place::new();
        let (alice, bob) = (place.client("alice"), place.client("bob"));
        let (mut bob, mut last, mut got) = (bob, None, Vec::new());
        for n in 0..60 {
            if n == cut {
                place.stick(&bob);
            }
            chat(&mut place, &alice, "bob", &n.to_string());
            if n == cut + 2 || (n == 59 && n >= cut && n < cut + 2) {
                place.lose(&bob);
                bob = place.connect(&Coming::of("bob").resuming(&bob.pid, last.as_deref())).unwrap();
                assert!(bob.recovered, "cut at {cut}");
            }
            let seen = place.seen(&bob);
            last = offset(&seen).or(last);
            got.extend(texts(&seen));
        }
        let expected: Vec<String> = (0..60).map(|n: u32| n.to_string()).collect();
        assert_eq!(got, expected, "cut at {cut}");
    }
}
