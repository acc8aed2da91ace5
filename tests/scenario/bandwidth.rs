//! Limits of bandwidth: what passes, what is dropped and counted, and who is refused.

use crate::tcp_relay::{connect, tcp_client, with_tcp};
use crate::world::*;
use std::sync::Arc;
use std::time::Duration;
use turnstone::auth::{self, MintRequest, Secret, Variant};
use turnstone::metrics::{Dropped, LimitScope, dropped, rate_limited_bytes};
use turnstone::turn::{Bandwidth, PeerRules, Settings, Shares};

/// 100,000 bytes a second, and 20,000 at once.
const RATE: u64 = 800_000;
const DATAGRAM: [u8; 1_000] = [7; 1_000];

fn world(bandwidth: Bandwidth) -> World {
    let mut world = World::with(1, Options { settings: settings(bandwidth), ..Options::default() });
    join(&mut world, bandwidth);
    world
}

fn settings(bandwidth: Bandwidth) -> Settings {
    Settings { bandwidth, ..Settings::default() }
}

/// The ledger and the server look at one total, as in a daemon.
fn join(world: &mut World, bandwidth: Bandwidth) {
    let shares = Arc::new(Shares::new(1));
    world.server.share_bandwidth(Arc::clone(&shares), 0);
    world.ledger.share_bandwidth(shares);
    world.ledger.set_bandwidth(bandwidth);
}

fn relaying(world: &mut World, n: u16, username: &str) -> Client {
    let mut client = Client::new(n, username);
    client.allocate(world);
    client.permit(world, &[peer(1)]);
    client
}

/// How many of `count` datagrams pass, every other one from the peer.
fn passed(world: &mut World, client: &mut Client, count: usize) -> usize {
    let relayed = client.relayed.unwrap();
    let mut passed = 0;
    for n in 0..count {
        let out = match n % 2 {
            0 => client.send(world, peer(1), &DATAGRAM),
            _ => world.from_peer(relayed, peer(1), &DATAGRAM),
        };
        match &out[..] {
            [Out::Dropped(reason)] => assert_eq!(*reason, Dropped::RateLimit),
            _ => passed += 1,
        }
    }
    passed
}

fn limited(world: &mut World, scope: LimitScope) -> u64 {
    world.server.counters().value(rate_limited_bytes(scope))
}

#[test]
fn an_allocation_has_its_limit_for_both_ways_together_and_a_fifth_of_a_second_at_once() {
    let mut world = world(Bandwidth { per_allocation: Some(RATE), ..Bandwidth::default() });
    let (mut alice, mut more) = (relaying(&mut world, 1, "alice"), relaying(&mut world, 2, "alice"));
    assert_eq!(passed(&mut world, &mut alice, 100), 20);
    assert_eq!(limited(&mut world, LimitScope::Allocation), 80_000);
    assert_eq!(world.server.counters().value(dropped(Dropped::RateLimit)), 80);
    assert_eq!(passed(&mut world, &mut more, 100), 20, "each allocation has its own");
    world.pass(Duration::from_millis(100));
    assert_eq!(passed(&mut world, &mut alice, 100), 10);
    world.pass(Duration::from_secs(60));
    assert_eq!(passed(&mut world, &mut alice, 100), 20);
}

#[test]
fn a_credential_tightens_the_limit_and_never_loosens_it() {
    let mut world = world(Bandwidth { per_allocation: Some(RATE), ..Bandwidth::default() });
    let mut of = |n: u16, bits: Option<u64>| {
        let request = MintRequest {
            bits_per_second: bits,
            ..MintRequest::new(EPOCH, Duration::from_secs(600), "carol")
        };
        let credential = auth::mint(&Secret::new(SECRET), Variant::Sha1, &request).unwrap();
        let mut client = Client {
            username: credential.username,
            password: credential.password.expose().into(),
            ..Client::new(n, "carol")
        };
        client.allocate(&mut world);
        client.permit(&mut world, &[peer(1)]);
        passed(&mut world, &mut client, 100)
    };
    assert_eq!([of(1, Some(RATE / 2)), of(2, Some(RATE * 2)), of(3, None)], [10, 20, 20]);
}

#[test]
fn a_credential_alone_limits_an_allocation_where_nothing_is_configured() {
    let mut world = world(Bandwidth::default());
    let request = MintRequest {
        bits_per_second: Some(RATE),
        ..MintRequest::new(EPOCH, Duration::from_secs(600), "carol")
    };
    let credential = auth::mint(&Secret::new(SECRET), Variant::Sha1, &request).unwrap();
    let mut carol = Client {
        username: credential.username,
        password: credential.password.expose().into(),
        ..Client::new(1, "carol")
    };
    carol.allocate(&mut world);
    carol.permit(&mut world, &[peer(1)]);
    assert_eq!(passed(&mut world, &mut carol, 100), 20);
    let mut alice = relaying(&mut world, 2, "alice");
    assert_eq!(passed(&mut world, &mut alice, 1_000), 1_000);
    carol.refresh(&mut world, 0);
    let mut again = Client { nonce: Vec::new(), ..carol };
    again.allocate(&mut world);
    again.permit(&mut world, &[peer(1)]);
    assert_eq!(passed(&mut world, &mut again, 100), 20, "the limit comes with the credential each time");
}

#[test]
fn a_user_has_one_limit_over_all_allocations_and_nobody_else_feels_it() {
    let mut world = world(Bandwidth { per_user: Some(RATE), ..Bandwidth::default() });
    let (mut one, mut other) = (relaying(&mut world, 1, "alice"), relaying(&mut world, 2, "alice"));
    let mut bob = relaying(&mut world, 3, "bob");
    assert_eq!(passed(&mut world, &mut one, 15), 15);
    assert_eq!(passed(&mut world, &mut other, 15), 5);
    assert_eq!(limited(&mut world, LimitScope::User), 10_000);
    assert_eq!(passed(&mut world, &mut bob, 100), 20);
}

#[test]
fn a_user_who_allocates_afresh_finds_the_bucket_as_he_left_it() {
    let mut world = world(Bandwidth { per_user: Some(RATE), ..Bandwidth::default() });
    let mut all = 0;
    for n in 0..50 {
        let mut alice = relaying(&mut world, n, "alice");
        all += passed(&mut world, &mut alice, 100);
        alice.refresh(&mut world, 0);
        world.pass(Duration::from_millis(10));
    }
    assert!((20 + 49..=20 + 50).contains(&all), "{all}");
    world.pass(Duration::from_secs(1));
    let mut bob = relaying(&mut world, 90, "bob");
    assert_eq!(passed(&mut world, &mut bob, 100), 20, "and the books forget her then");
}

#[test]
fn the_total_is_for_all_users_together() {
    let mut world = world(Bandwidth { total: Some(RATE), ..Bandwidth::default() });
    let (mut alice, mut bob) = (relaying(&mut world, 1, "alice"), relaying(&mut world, 2, "bob"));
    let mut all = 0;
    for _ in 0..1_000 {
        all += passed(&mut world, &mut alice, 2) + passed(&mut world, &mut bob, 2);
        world.pass(Duration::from_millis(1));
    }
    assert!((100..=120).contains(&all), "a second's worth, and a bucket at most: {all}");
    assert_eq!(limited(&mut world, LimitScope::Total), (4_000 - all as u64) * 1_000);
}

#[test]
fn a_datagram_that_one_limit_drops_costs_the_others_nothing() {
    let limits = Bandwidth { per_allocation: Some(RATE / 2), per_user: Some(RATE), ..Bandwidth::default() };
    let mut world = world(limits);
    let (mut one, mut other) = (relaying(&mut world, 1, "alice"), relaying(&mut world, 2, "alice"));
    assert_eq!(passed(&mut world, &mut one, 1_000), 10);
    assert_eq!(passed(&mut world, &mut other, 1_000), 10, "the user has as much left");
    assert_eq!(limited(&mut world, LimitScope::User), 0);
}

#[test]
fn a_reload_changes_the_limits_of_live_sessions() {
    let mut world = world(Bandwidth::default());
    let mut alice = relaying(&mut world, 1, "alice");
    assert_eq!(passed(&mut world, &mut alice, 500), 500);
    let limits = Bandwidth { per_allocation: Some(RATE), ..Bandwidth::default() };
    world.reload(settings(limits), PeerRules::default());
    assert_eq!(passed(&mut world, &mut alice, 500), 20);
    let limits = Bandwidth { per_user: Some(10 * RATE), ..limits };
    world.reload(settings(Bandwidth { per_allocation: None, ..limits }), PeerRules::default());
    assert_eq!(passed(&mut world, &mut alice, 500), 200);
    world.reload(settings(Bandwidth::default()), PeerRules::default());
    assert_eq!(passed(&mut world, &mut alice, 500), 500);
}

#[test]
fn who_shapes_refuses_nobody() {
    let mut world = world(Bandwidth { per_user: Some(RATE), total: Some(RATE), ..Bandwidth::default() });
    let mut alice = relaying(&mut world, 1, "alice");
    passed(&mut world, &mut alice, 100);
    assert_eq!(Client::new(2, "alice").try_allocate(&mut world, &[]).code, 0);
}

#[test]
fn a_user_over_the_limit_gets_486_for_more_until_a_second_after() {
    let limits = Bandwidth { per_user: Some(RATE), refuses: true, ..Bandwidth::default() };
    let mut world = world(limits);
    let mut alice = relaying(&mut world, 1, "alice");
    assert_eq!(passed(&mut world, &mut alice, 20), 20);
    assert_eq!(
        Client::new(2, "alice").try_allocate(&mut world, &[]).code,
        0,
        "as much as she may is not too much"
    );
    passed(&mut world, &mut alice, 2);
    assert_eq!(Client::new(3, "alice").try_allocate(&mut world, &[]).code, 486);
    assert_eq!(Client::new(4, "bob").try_allocate(&mut world, &[]).code, 0);
    assert_eq!(alice.refresh(&mut world, 600).code, 0, "what lives goes on");
    world.pass(Duration::from_secs(2));
    assert_eq!(Client::new(5, "alice").try_allocate(&mut world, &[]).code, 0);
}

#[test]
fn everybody_gets_508_while_all_together_are_over_the_total() {
    let limits = Bandwidth { total: Some(RATE), refuses: true, ..Bandwidth::default() };
    let mut world = world(limits);
    let mut alice = relaying(&mut world, 1, "alice");
    passed(&mut world, &mut alice, 100);
    assert_eq!(Client::new(2, "bob").try_allocate(&mut world, &[]).code, 508);
    world.pass(Duration::from_secs(2));
    assert_eq!(Client::new(3, "bob").try_allocate(&mut world, &[]).code, 0);
}

#[test]
fn a_tcp_connection_far_below_the_limits_refuses_nobody_and_one_at_them_does() {
    for (limits, code) in [
        (Bandwidth { per_user: Some(RATE), refuses: true, ..Bandwidth::default() }, 486),
        (Bandwidth { total: Some(RATE), refuses: true, ..Bandwidth::default() }, 508),
    ] {
        let options = with_tcp();
        let settings = Settings { bandwidth: limits, ..options.settings };
        let mut world = World::with(1, Options { settings, ..options });
        join(&mut world, limits);
        let mut client = tcp_client(1, "alice");
        assert_eq!(client.try_allocate_tcp(&mut world, &[]).code, 0);
        let connection = connect(&mut world, &client, peer(1));
        let throttle = world.server.throttle(connection).unwrap();
        // Who reads asks for a whole buffer, and again behind what came.
        let buffer = 16 << 10;
        for second in 0..3 {
            assert!(world.server.may_read(world.now, &throttle, buffer));
            world.server.have_read(world.now, &throttle, 16_000, false);
            assert!(!world.server.may_read(world.now, &throttle, buffer), "not so much again");
            assert_eq!(Client::new(10 + second, "alice").try_allocate(&mut world, &[]).code, 0);
            world.pass(Duration::from_secs(1));
        }
        for _ in 0..500 {
            world.pass(Duration::from_millis(1));
            if world.server.may_read(world.now, &throttle, buffer) {
                world.server.have_read(world.now, &throttle, buffer, true);
            }
        }
        assert_eq!(Client::new(20, "alice").try_allocate(&mut world, &[]).code, code);
    }
}

#[test]
fn a_tcp_connection_reads_later_and_no_more_than_all_limits_allow() {
    let limits = Bandwidth {
        per_allocation: Some(RATE),
        per_user: Some(2 * RATE),
        total: Some(3 * RATE),
        refuses: false,
    };
    let options = with_tcp();
    let settings = Settings { bandwidth: limits, ..options.settings };
    let mut world = World::with(1, Options { settings, ..options });
    join(&mut world, limits);
    let mut meters = Vec::new();
    for (n, user) in [(1, "alice"), (2, "alice"), (3, "alice"), (4, "bob"), (5, "bob")] {
        let mut client = tcp_client(n, user);
        assert_eq!(client.try_allocate_tcp(&mut world, &[]).code, 0);
        let connection = connect(&mut world, &client, peer(n as u8));
        meters.push(world.server.throttle(connection).unwrap());
    }
    let mut read = vec![0; meters.len()];
    for _ in 0..2_000 {
        world.pass(Duration::from_millis(1));
        for (throttle, read) in meters.iter().zip(&mut read) {
            if world.server.may_read(world.now, throttle, DATAGRAM.len()) {
                world.server.have_read(world.now, throttle, DATAGRAM.len() / 2, false);
                *read += DATAGRAM.len() / 2;
            }
        }
    }
    let (second, bucket) = (100_000, 20_000);
    for read in &read {
        assert!(*read <= 2 * second + bucket, "{read}");
    }
    let alice: usize = read[..3].iter().sum();
    assert!(alice <= 2 * (2 * second + bucket), "{alice}");
    let all: usize = read.iter().sum();
    assert!((5 * second..=3 * (2 * second + bucket)).contains(&all), "{all}");
    assert_eq!(world.server.counters().value(dropped(Dropped::RateLimit)), 0, "nothing is lost");
}
