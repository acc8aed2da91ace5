//! Memory, with nobody doing much and with somebody doing far too much.

use crate::counting::{allocations_in, heap};
use crate::place::{Coming, Place};
use std::time::Duration;
use turnstone::signaling::{Effect, Hello, Inbound, Settings, Welcome};
use turnstone::{base::Random, signaling::Abilities, signaling::Hub};

/// DESIGN section 8 gives a connection 8 KB; the hub's part of it.
const SESSION_BYTES_MAX: i64 = 2_048;

#[test]
fn an_idle_session_takes_little_memory() {
    const SESSIONS: i64 = 4_096;
    let now = Place::new().now;
    let mut hub = Hub::new(Settings::default(), Random::seeded(1), now);
    let identities: Vec<_> =
        (0..SESSIONS).map(|n| Coming::of(&format!("user number {n:08}")).identity).collect();
    let before = heap().live_bytes;
    for identity in identities {
        let source = [127, 0, 0, 1].into();
        let hello =
            Hello { identity, namespace: 0, device: None, resume: None, caps: Abilities::default(), source };
        let welcome = hub.connect(now, hello).unwrap();
        while let Some(effect) = hub.next_effect() {
            if let Effect::Publish(message) = effect {
                hub.on_bus(now, message);
            }
        }
        while hub.next_outgoing(welcome.session).is_some() {}
    }
    let each = (heap().live_bytes - before) / SESSIONS;
    println!("an idle session takes {each} bytes of the hub's memory, beside its token's texts");
    assert!(each <= SESSION_BYTES_MAX, "{each}");
}

#[test]
fn relaying_a_candidate_takes_few_allocations() {
    const CANDIDATES: u64 = 500;
    let mut place = Place::new();
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    place.ask(&alice, "call:start", r#"{"to":"bob"}"#).unwrap();
    place.ask(&bob, "call:accepted", "{}").unwrap();
    place.say(&alice, "webrtc:offer", r#"{"to":"bob","offer":{"type":"offer","sdp":"v=0"}}"#);
    place.say(&bob, "webrtc:answer", r#"{"to":"alice","answer":{"type":"answer","sdp":"v=0"}}"#);
    let candidate =
        format!(r#"{{"to":"bob","candidate":{{"candidate":"{}","sdpMid":"0"}}}}"#, "c".repeat(150));
    let (now, mut hub) = (place.now, place.hub);
    let mut sent = 0;
    let mut relay = |hub: &mut Hub| {
        let event =
            Inbound { name: "webrtc:ice-candidate", data: &candidate, more: "", attachments: &[], ack: None };
        hub.on_event(now, alice.session, event);
        while let Some(effect) = hub.next_effect() {
            match effect {
                Effect::Publish(message) => hub.on_bus(now, message),
                Effect::Ready(session) => {
                    while hub.next_outgoing(session).is_some() {
                        sent += 1
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    };
    // The ring of the receiver is full, as that of a busy session is.
    for _ in 0..300 {
        relay(&mut hub);
    }
    let taken = allocations_in(|| (0..CANDIDATES).for_each(|_| relay(&mut hub)));
    println!("{} heap allocations in {CANDIDATES} relayed candidates", taken);
    assert!(sent >= CANDIDATES + 300, "{sent} of them arrived");
    assert!(taken <= 10 * CANDIDATES, "{taken}");
}

/// Everything that a client can send, with numbers that change.
fn flood(place: &mut Place, client: &Welcome, n: u64) {
    let events = [
        (
            "event:emit",
            format!(r#"{{"to":"bob","name":"e{n}","data":"{}","class":"coalesce"}}"#, "x".repeat(100)),
        ),
        ("event:emit", format!(r#"{{"to":"u{n}","name":"e","data":1}}"#)),
        ("message:send", format!(r#"{{"to":"u{n}","body":1,"client_ref":"{n}"}}"#)),
        ("message:typing", format!(r#"{{"to":"u{n}"}}"#)),
        ("room:join", format!(r#"{{"room":"r{n}"}}"#)),
        ("room:leave", format!(r#"{{"room":"r{n}"}}"#)),
        ("presence:subscribe", format!(r#"{{"users":["u{n}"]}}"#)),
        ("presence:set", format!(r#"{{"meta":{n}}}"#)),
        ("call:start", format!(r#"{{"to":"bob","client_ref":"{n}"}}"#)),
        ("webrtc:ice-candidate", format!(r#"{{"to":"bob","candidate":{{"candidate":"{n}"}}}}"#)),
        ("auth:refresh", format!(r#"{{"token":"{n}"}}"#)),
        ("unknown", format!(r#"{{"n":{n}}}"#)),
        ("__proto__", "[".into()),
    ];
    let (name, data) = &events[(n % events.len() as u64) as usize];
    let ack = (n.is_multiple_of(3)).then_some(n);
    place.hub.on_event(place.now, client.session, Inbound { name, data, more: "", attachments: &[], ack });
    place.settle();
    place.seen(client);
    place.verify.clear();
}

#[test] // security.md S6: 10^5 events a second
fn a_flood_of_events_grows_nothing_without_end() {
    let mut place = Place::new();
    let (mut mallory, bob) = (place.client("mallory"), place.client("bob"));
    let (mut live, mut closed) = (Vec::new(), 0);
    for n in 0..100_000u64 {
        flood(&mut place, &mallory, n);
        if n % 100 == 0 {
            place.wait(Duration::from_millis(1));
            place.seen(&bob);
        }
        if !place.closed.is_empty() {
            closed += place.closed.len();
            place.closed.clear();
            place.wait(Duration::from_secs(11));
            mallory = place.connect(&Coming::of("mallory").resuming(&mallory.pid, None)).unwrap();
        }
        if n % 20_000 == 19_999 {
            live.push(heap().live_bytes);
        }
    }
    println!("live bytes every 20,000 events: {live:?}; closed {closed} times");
    assert!(closed > 10, "closed {closed} times");
    assert!(live[4] - live[1] < 256 << 10, "{live:?}");
    // An unbothered client still has what it needs.
    let carol = place.client("carol");
    place.ask(&carol, "event:emit", r#"{"to":"bob","name":"hi"}"#).unwrap();
    assert!(place.events(&bob).contains(&"event".to_owned()));
}

#[test]
fn a_crowd_that_comes_and_goes_leaves_nothing_behind() {
    let mut place = Place::new();
    let mut round = |n: u32| {
        let clients: Vec<_> = (0..40).map(|k| place.client(&format!("user {n} {k}"))).collect();
        for (k, client) in clients.iter().enumerate() {
            place.ask(client, "room:join", &format!(r#"{{"room":"r {n} {}"}}"#, k % 5)).unwrap();
            place.ask(client, "message:send", &format!(r#"{{"room":"r {n} {}","body":1}}"#, k % 5)).unwrap();
            place.ask(client, "message:send", &format!(r#"{{"to":"user {n} 0","body":{k}}}"#)).unwrap();
            place.ask(client, "presence:subscribe", &format!(r#"{{"users":["user {k}"]}}"#)).unwrap();
            place.say(client, "message:typing", &format!(r#"{{"to":"user {n} 1"}}"#));
        }
        for (k, client) in clients.iter().enumerate() {
            if k % 2 == 0 {
                place.leave(client)
            } else {
                place.lose(client)
            }
            place.seen(client);
        }
        place.wait(Duration::from_secs(4 * 3600));
        for client in &clients {
            place.seen(client);
        }
        heap().live_bytes
    };
    let live: Vec<_> = (0..6).map(&mut round).collect();
    println!("live bytes after each crowd: {live:?}");
    assert!(live[5] - live[1] < 64 << 10, "{live:?}");
}
