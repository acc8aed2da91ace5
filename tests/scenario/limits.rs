//! Quotas, rates, and the client that roams.

use crate::world::*;
use std::time::Duration;
use turnstone::base::Rate;
use turnstone::metrics::Dropped;
use turnstone::turn::{OpenRequest, PeerProtocol, PortParity, Settings};

#[test] // security Q4: firezone 12319
fn a_roaming_client_never_locks_itself_out() {
    let mut world = World::with(1, Options { allocations_per_user: 2, ..Options::default() });
    let mut known = Vec::new();
    for n in 0..50 {
        // Its NAT gives it a new port each time, and nothing comes from the old one any more.
        let mut alice = Client::new(n, "alice");
        alice.allocate(&mut world);
        known.push(alice.relayed.unwrap());
        world.pass(Duration::from_secs(11));
        assert!(world.server.allocations() <= 2);
    }
    let live: Vec<_> = world.open_ports().into_iter().collect();
    let mut last_two = known[48..].to_vec();
    last_two.sort();
    assert_eq!(live, last_two, "the idlest gave way each time");
}

#[test]
fn a_busy_allocation_is_not_evicted_and_another_credential_evicts_nothing() {
    let mut world = World::with(1, Options { allocations_per_user: 1, ..Options::default() });
    let mut alice = Client::new(1, "alice");
    alice.allocate(&mut world);
    alice.permit(&mut world, &[peer(1)]);
    for _ in 0..3 {
        world.pass(Duration::from_secs(9));
        alice.send(&mut world, peer(1), b"consent check");
    }
    assert_eq!(Client::new(2, "alice").try_allocate(&mut world, &[]).code, 486);
    assert!(matches!(alice.send(&mut world, peer(1), b"x")[..], [Out::ToPeer { .. }]));
    let mut bob = Client::new(3, "bob");
    assert_eq!(bob.try_allocate(&mut world, &[]).code, 0);
    world.pass(Duration::from_secs(60));
    assert_eq!(world.server.allocations(), 2);
}

#[test]
fn nobody_is_idle_in_the_first_seconds_of_the_clock() {
    let mut world = World::with(1, Options { allocations_per_user: 1, clock_s: 0, ..Options::default() });
    Client::new(1, "alice").allocate(&mut world);
    world.pass(Duration::from_secs(9));
    assert_eq!(Client::new(2, "alice").try_allocate(&mut world, &[]).code, 486);
    world.pass(Duration::from_secs(1));
    assert_eq!(Client::new(2, "alice").try_allocate(&mut world, &[]).code, 0);
}

#[test]
fn packets_per_user_is_one_rate_over_both_ways_and_all_allocations() {
    let rate = Rate { per_second: 100, burst: 100 };
    let settings = Settings { packets_per_user: Some(rate), ..Settings::default() };
    let mut world = World::with(1, Options { settings, ..Options::default() });
    let (mut a, mut b) = (Client::new(1, "alice"), Client::new(2, "alice"));
    let mut other = Client::new(3, "bob");
    for client in [&mut a, &mut b, &mut other] {
        client.allocate(&mut world);
        client.permit(&mut world, &[peer(1)]);
    }
    let mut passed = 0;
    for _ in 0..200 {
        for out in [
            a.send(&mut world, peer(1), b"x"),
            b.send(&mut world, peer(1), b"x"),
            world.from_peer(a.relayed.unwrap(), peer(1), b"x"),
        ] {
            match &out[..] {
                [Out::Dropped(reason)] => assert_eq!(*reason, Dropped::RateLimit),
                _ => passed += 1,
            }
        }
    }
    assert_eq!(passed, 100);
    assert!(matches!(other.send(&mut world, peer(1), b"x")[..], [Out::ToPeer { .. }]));
    world.pass(Duration::from_millis(500));
    let more = (0..100).filter(|_| matches!(a.send(&mut world, peer(1), b"x")[..], [Out::ToPeer { .. }]));
    let more = more.count();
    assert!((49..=51).contains(&more), "{more}");
}

#[test]
fn a_rate_is_shared_by_the_allocations_on_other_servers() {
    let rate = Rate { per_second: 100, burst: 100 };
    let settings = Settings { packets_per_user: Some(rate), ..Settings::default() };
    let mut world = World::with(1, Options { settings, ..Options::default() });
    let mut alice = Client::new(1, "alice");
    alice.allocate(&mut world);
    alice.permit(&mut world, &[peer(1)]);
    // Three more on servers that are not this one: the ledger is common.
    for _ in 0..3 {
        let request = OpenRequest {
            subject: "alice".into(),
            allocations_max: None,
            families: [true, false],
            protocol: PeerProtocol::Udp,
            parity: PortParity::Any,
            token: None,
            local: RELAY_V4.into(),
        };
        world.ledger.open(world.now.at, &request).unwrap();
    }
    let passed =
        (0..200).filter(|_| matches!(alice.send(&mut world, peer(1), b"x")[..], [Out::ToPeer { .. }]));
    assert_eq!(passed.count(), 25);
}

#[test]
fn quotas_are_kept_by_subject_whatever_the_name() {
    let mut world = World::with(1, Options { allocations_per_user: 1, ..Options::default() });
    let credential = |expires: u64| {
        let request = turnstone::auth::MintRequest::new(EPOCH, Duration::from_secs(expires), "carol");
        turnstone::auth::mint(&turnstone::auth::Secret::new(SECRET), turnstone::auth::Variant::Sha1, &request)
            .unwrap()
    };
    let client = |n: u16, expires: u64| {
        let credential = credential(expires);
        Client {
            username: credential.username,
            password: credential.password.expose().into(),
            ..Client::new(n, "carol")
        }
    };
    client(1, 1000).allocate(&mut world);
    assert_eq!(client(2, 2000).try_allocate(&mut world, &[]).code, 486);
}
