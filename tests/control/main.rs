//! Real drivers on loopback, asked and told things while they relay.
#![allow(clippy::unwrap_used)]

#[path = "../process/caller.rs"]
#[allow(dead_code, reason = "shared; this target needs some of it")]
mod caller;
#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../process/party.rs"]
mod party;
#[path = "../process/traffic.rs"]
mod traffic;
#[path = "../support/world.rs"]
mod world;

mod house;
mod streams;

use house::{House, relayed_by_counters};
use party::Party;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use traffic::Traffic;
use turnstone::auth::{Revocation, Revocations, Secret, StoredUser, Target};
use turnstone::base::UnixTime;
use turnstone::http::api::Control;
use turnstone::turn::{EndReason, SessionEvent};

/// An order of this moment against a label.
fn order(house: &House, label: &str) -> Revocation {
    let at = house.control.now().unix;
    let until = Some(at.after(Duration::from_secs(86_400)));
    Revocation { target: Target::Label(label.into()), at, until }
}

#[test]
fn revoked_sessions_stop_within_a_second_and_the_others_lose_nothing() {
    let house = House::start("workers = 2");
    let mut red = Traffic::start(house.server, "red", 25);
    let mut blue = Traffic::start(house.server, "blue", 25);
    let stop = AtomicBool::new(false);
    let ended = std::thread::scope(|scope| {
        let blue = scope.spawn(|| {
            let mut rounds = 0;
            while !stop.load(Ordering::Relaxed) || rounds < 3 {
                blue.round_without_loss();
                rounds += 1;
            }
            rounds
        });
        // They are under way, both of them.
        (0..3).for_each(|_| red.round_without_loss());
        let revocations = Arc::new(Revocations::new(&[order(&house, "red")]));
        // It gives up by itself after a second.
        let ended = house.wait(house.control.revoke(revocations));
        red.expect_the_end(401);
        stop.store(true, Ordering::Relaxed);
        println!("{} rounds of 25 sessions beside it, no loss", blue.join().unwrap());
        ended
    });
    assert_eq!(ended, Some(25), "within a second");
    let left = house.sessions(|_| true);
    assert_eq!(left.len(), 25);
    assert!(left.iter().all(|session| session.label.as_deref() == Some("blue")));
    assert_eq!(house.relays.registry().allocations(), 25, "their places are free again");
    // The order outlives a reload, and new credentials of before it are refused by both workers.
    assert!(house.relays.reload(&house.plan));
    for n in 0..8 {
        assert_eq!(Party::labelled(house.server, 100 + n, "red").caller.try_allocate(&[]).code, 401);
    }
}

#[test]
fn reload_drain_undrain_and_questions_lose_no_packet_of_200_sessions() {
    let house = House::start("workers = 2");
    let mut traffic = Traffic::start(house.server, "all", 200);
    // The control run.
    (0..10).for_each(|_| traffic.round_without_loss());
    let done = AtomicBool::new(false);
    let (rounds, accounted) = std::thread::scope(|scope| {
        let told = scope.spawn(|| {
            let mut accounted = 0;
            for n in 0..20 {
                assert!(house.relays.reload(&house.plan));
                assert!(house.relays.drain(true));
                accounted += house.accounts().bytes_from_client;
                assert_eq!(house.sessions(|_| true).len(), 200);
                assert!(house.wait(house.control.set_users(vec![user(&format!("user-{n}"))])));
                let nobody = Arc::new(Revocations::new(&[order(&house, "nobody")]));
                assert_eq!(house.wait(house.control.revoke(nobody)), Some(0));
                assert!(house.relays.drain(false));
            }
            done.store(true, Ordering::Relaxed);
            accounted
        });
        let mut rounds = 0;
        while !done.load(Ordering::Relaxed) || rounds < 10 {
            traffic.round_without_loss();
            rounds += 1;
        }
        (rounds, told.join().unwrap())
    });
    println!("{rounds} rounds of 200 sessions while all of that happened 20 times, no loss");
    // 10 rounds of the control run, and all that came since: each byte once.
    let rest = house.accounts();
    assert_eq!(accounted + rest.bytes_from_client, (10 + rounds) * traffic.round_bytes());
    let of_sessions: u64 = house.sessions(|_| true).iter().map(|session| session.traffic.bytes()).sum();
    assert_eq!(of_sessions, 2 * (10 + rounds) * traffic.round_bytes());
    assert_eq!(relayed_by_counters(&house, of_sessions), of_sessions);
}

fn user(name: &str) -> StoredUser {
    StoredUser::new(name, "turn", &Secret::new("stored-password"))
}

#[test]
fn added_users_come_in_by_every_driver_also_after_a_reload_until_they_are_taken_away() {
    let house = House::start("workers = 2");
    let try_all = |expected| {
        for _ in 0..8 {
            let mut caller = caller::Caller::of(house.server, "carol", "stored-password");
            assert_eq!(caller.try_allocate(&[]).code, expected);
        }
        assert_eq!(streams::Caller::of(&house, "carol", "stored-password").try_allocate().code, expected);
    };
    try_all(401);
    assert!(house.wait(house.control.set_users(vec![user("carol")])));
    try_all(0);
    assert!(house.relays.reload(&house.plan));
    try_all(0);
    assert!(house.wait(house.control.set_users(Vec::new())));
    try_all(401);
}

#[test]
fn starts_and_ends_are_told_with_their_reasons() {
    let house = House::start("workers = 2");
    let mut events = house.relays.registry().follow(64).expect("the first to ask");
    assert!(house.relays.registry().follow(64).is_none());
    let mut next = || house.wait(async { tokio::time::timeout(daemon::PATIENCE, events.recv()).await });
    let mut next = || next().expect("in time").expect("somebody tells");

    let mut party = Party::labelled(house.server, 1, "red");
    let relayed = party.caller.allocate();
    let (driver, SessionEvent::Started(started)) = next() else { panic!("no start") };
    assert_eq!((&*started.relayed, started.label.as_deref()), (&[relayed][..], Some("red")));
    assert_eq!(started.door, house.server);
    let peers = house
        .wait(house.control.session(driver, started.allocation))
        .expect("it has time")
        .expect("it lives")
        .peers;
    assert!(peers.is_empty());
    party.caller.refresh(0);
    let (by, SessionEvent::Ended(ended)) = next() else { panic!("no end") };
    assert_eq!((by, ended.reason), (driver, EndReason::Released));
    assert_eq!(ended.session.allocation, started.allocation);
    assert_eq!(house.wait(house.control.session(driver, started.allocation)), Ok(None));

    // Over TCP: killed by hand, and gone with its connection.
    for kill in [true, false] {
        let mut caller = streams::Caller::of(&house, "alice", "alice-password");
        assert_eq!(caller.try_allocate().code, 0);
        let (driver, SessionEvent::Started(started)) = next() else { panic!("no start") };
        if kill {
            let end = || house.control.end(driver, started.allocation, EndReason::Killed);
            assert_eq!((house.wait(end()), house.wait(end())), (Ok(true), Ok(false)));
        } else {
            drop(caller);
        }
        let (_, SessionEvent::Ended(ended)) = next() else { panic!("no end") };
        let expected = if kill { EndReason::Killed } else { EndReason::Disconnected };
        assert_eq!(ended.reason, expected);
    }
}

#[test]
fn who_follows_too_slowly_loses_events_and_nobody_waits() {
    let house = House::start("workers = 1");
    let _events = house.relays.registry().follow(1).expect("the first to ask");
    for n in 0..5 {
        Party::labelled(house.server, n, "red").caller.allocate();
    }
    house.await_counter(turnstone::metrics::session_events_lost(), 4);
}

#[test]
fn a_call_that_ended_takes_its_sessions_along_on_every_driver_after_the_grace() {
    let house = House::start("workers = 2");
    let mut in_call: Vec<_> = (0..10).map(|n| Party::in_call(house.server, n, "k9")).collect();
    in_call.iter_mut().for_each(|party| _ = party.caller.allocate());
    let mut other = Party::in_call(house.server, 20, "k10");
    other.caller.allocate();
    let until = UnixTime(house.control.now().unix.0 + 3600);
    let grace = Duration::from_millis(500);
    house.control.end_call("k9", grace, until);
    assert!(house.control.tell_ends(), "there is room in their mailboxes");
    daemon::eventually(daemon::PATIENCE, "only the other call is left", || {
        let left = house.sessions(|_| true);
        let calls: BTreeMap<_, _> = left.iter().map(|session| (session.call_id.clone(), ())).collect();
        (left.len() == 1 && calls.contains_key(&Some("k10".into()))).then_some(())
    });
    assert_eq!(Party::in_call(house.server, 30, "k9").caller.try_allocate(&[]).code, 401);
}
