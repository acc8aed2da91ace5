//! Much in one write: what stands behind an event in the same read finds that event done, and what is said in one go
//! harms nobody who reads.

use crate::place::{Place, config, token};
use crate::raw::{Raw, TEXT, frame};

impl Raw {
    /// Packets of Engine.IO in one write.
    fn texts(&mut self, packets: &[String]) {
        let bytes: Vec<u8> = packets.iter().flat_map(|packet| frame(TEXT, packet.as_bytes())).collect();
        self.try_send(&bytes).unwrap();
    }
}

/// Between two texts.
fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    text.split_once(start).unwrap().1.split_once(end).unwrap().0
}

/// The private id of a namespace, and the offset of its greeting.
fn seat(packets: &[String], namespace: &str) -> (String, String) {
    let of = |start: String| packets.iter().find(|packet| packet.starts_with(&start)).unwrap();
    let offset = of(format!("42{namespace}[")).rsplit('"').nth(1).unwrap();
    (between(of(format!("40{namespace}{{")), "\"pid\":\"", "\"").to_owned(), offset.to_owned())
}

#[test]
fn two_namespaces_that_are_taken_over_in_one_write_both_go_on() {
    let place = Place::of(config("namespaces = [\"/\", \"/queue\"]\n"));
    let token = token("alice");
    let auth = |more: &str| format!("{{\"token\":\"{token}\",\"deviceId\":\"d\"{more}}}");
    let mut first = Raw::engine(&place);
    first.texts(&[format!("40{}", auth("")), format!("40/queue,{}", auth(""))]);
    let mut heard = first.until(|packet| packet.starts_with("42/queue,"));
    if !heard.iter().any(|packet| packet.starts_with("42[")) {
        heard.extend(first.until(|packet| packet.starts_with("42[")));
    }
    let with = |(pid, offset): (String, String)| auth(&format!(",\"pid\":\"{pid}\",\"offset\":\"{offset}\""));
    // The first connection is still there, as after a change of networks.
    let mut second = Raw::engine(&place);
    second.texts(&[
        format!("40{}", with(seat(&heard, ""))),
        format!("40/queue,{}", with(seat(&heard, "/queue,"))),
    ]);
    second.texts(&[
        "421[\"room:leave\",{\"room\":\"none\"}]".into(),
        "42/queue,2[\"room:leave\",{\"room\":\"none\"}]".into(),
    ]);
    let mut missing = vec!["431[", "43/queue,2["];
    second.until(|packet| {
        missing.retain(|start| !packet.starts_with(start));
        missing.is_empty()
    });
    assert_eq!(first.until_closed().1, Some(1008));
}

#[test]
fn a_room_is_entered_before_the_next_event_of_the_same_write() {
    let place = Place::new();
    let mut alice = Raw::engine_in(&place, "alice");
    let room = |n: u8, event: &str, more: &str| format!("42{n}[\"{event}\",{{\"room\":\"r\"{more}}}]");
    alice.texts(&[
        room(1, "room:join", ""),
        room(2, "message:send", ",\"body\":\"hi\""),
        room(3, "room:leave", ""),
        room(4, "message:send", ",\"body\":\"gone\""),
    ]);
    // The number of a first message comes from the store, so its answer may be the last.
    let mut answers = 0;
    let heard = alice.until(|packet| {
        answers += u32::from(packet.starts_with("43"));
        answers == 4
    });
    for (n, ok) in [(1, true), (2, true), (3, true), (4, false)] {
        let answer = heard.iter().find(|packet| packet.starts_with(&format!("43{n}["))).unwrap();
        assert_eq!(answer.contains("\"ok\":true"), ok, "{answer}");
    }
}

#[test]
fn two_hundred_events_in_one_write_are_all_answered() {
    let place = Place::new();
    let mut alice = Raw::engine_in(&place, "alice");
    let ask = |n: usize| format!("42{n}[\"presence:get\",{{\"users\":[]}}]");
    alice.texts(&(1..=190).map(ask).collect::<Vec<_>>());
    let heard = alice.until(|packet| packet.starts_with("43190["));
    assert_eq!(heard.iter().filter(|packet| packet.starts_with("43")).count(), 190);
}

#[test]
fn a_burst_of_one_closes_nobody_who_reads() {
    let place = Place::new();
    let mut victim = Raw::engine_in(&place, "victim");
    let mut sender = Raw::engine_in(&place, "sender");
    let emit = |n: usize| format!("42[\"event:emit\",{{\"to\":\"victim\",\"name\":\"x\",\"data\":{n}}}]");
    sender.texts(&(1..=190).map(emit).collect::<Vec<_>>());
    let heard = victim.until(|packet| packet.contains("\"data\":190"));
    assert_eq!(heard.iter().filter(|packet| packet.starts_with("42[\"event\"")).count(), 190);
}

#[test]
fn what_a_refused_plain_client_says_next_does_not_hide_why() {
    let place = Place::new();
    for hello in ["{\"hello\":{\"token\":\"x.y.z\"}}", "{\"hello\":7}"] {
        let mut raw = Raw::plain(&place);
        raw.texts(&[hello.into(), format!("{{\"hello\":{{\"token\":\"{}\"}}}}", token("alice"))]);
        let (heard, code) = raw.until_closed();
        assert_eq!((heard.len(), code), (1, Some(1008)), "{heard:?}");
        assert!(heard[0].starts_with("{\"error\":{\"code\":"), "{heard:?}");
    }
}
