//! RFC 8656 sections 9, 10 and 12: permissions and channels.

use crate::world::*;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use turnstone::base::Rate;
use turnstone::metrics::Dropped;
use turnstone::turn::{PeerRules, PortRange, RelayAddress, Settings};
use turnstone::wire::stun::{AttributeType as A, Method};

fn allocated(world: &mut World) -> Client {
    let mut alice = Client::new(1, "alice");
    alice.allocate(world);
    alice
}

fn passes(out: &[Out]) -> bool {
    matches!(out, [Out::ToPeer { .. } | Out::ToClient { .. }])
}

#[test]
fn point_10_a_permission_is_for_an_address_lasts_300_s_and_ignores_the_port() {
    let mut world = World::seeded(1);
    let mut alice = allocated(&mut world);
    assert_eq!(alice.permit(&mut world, &[peer(1)]).code, 0);
    let other_port = SocketAddr::new(peer(1).ip(), 9);
    assert!(passes(&alice.send(&mut world, other_port, b"x")));
    assert_eq!(alice.send(&mut world, peer(2), b"x"), [Out::Dropped(Dropped::NoPermission)]);
    world.pass(Duration::from_secs(299));
    assert!(passes(&alice.send(&mut world, peer(1), b"x")));
    world.pass(Duration::from_secs(1));
    assert_eq!(alice.send(&mut world, peer(1), b"x"), [Out::Dropped(Dropped::NoPermission)]);
}

#[test]
fn point_10_a_send_indication_never_refreshes_a_permission() {
    let mut world = World::seeded(1);
    let mut alice = allocated(&mut world);
    alice.permit(&mut world, &[peer(1)]);
    for _ in 0..3 {
        world.pass(Duration::from_secs(100));
        alice.send(&mut world, peer(1), b"x");
    }
    assert_eq!(alice.send(&mut world, peer(1), b"x"), [Out::Dropped(Dropped::NoPermission)]);
}

#[test]
fn point_10_all_addresses_are_checked_before_one_is_installed() {
    let mut world = World::seeded(1);
    let mut alice = allocated(&mut world);
    let denied: SocketAddr = "10.0.0.5:5".parse().unwrap();
    assert_eq!(alice.permit(&mut world, &[peer(1), denied]).code, 403);
    assert_eq!(alice.permit(&mut world, &[peer(1), peer_v6(1)]).code, 443);
    assert_eq!(alice.send(&mut world, peer(1), b"x"), [Out::Dropped(Dropped::NoPermission)]);
    assert_eq!(alice.ask(&mut world, Method::CREATE_PERMISSION, &[]).code, 400);
    assert_eq!(
        alice.ask(&mut world, Method::CREATE_PERMISSION, &[(A::XOR_PEER_ADDRESS, &[0, 1, 2])]).code,
        400
    );
    assert_eq!(alice.permit(&mut world, &[peer(1), peer(2), peer(1)]).code, 0);
    assert!(passes(&alice.send(&mut world, peer(2), b"x")));
}

#[test]
fn point_11_a_channel_with_a_lapsed_permission_relays_in_neither_direction() {
    let mut world = World::seeded(1);
    let mut alice = allocated(&mut world);
    alice.refresh(&mut world, 3600);
    assert_eq!(alice.bind(&mut world, 0x4000, peer(1)).code, 0);
    world.pass(Duration::from_secs(299));
    assert!(passes(&alice.channel_data(&mut world, 0x4000, b"x")));
    world.pass(Duration::from_secs(1));
    let relayed = alice.relayed.unwrap();
    assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), [Out::Dropped(Dropped::NoPermission)]);
    assert_eq!(world.from_peer(relayed, peer(1), b"x"), [Out::Dropped(Dropped::NoPermission)]);
    // A permission alone revives it, and so does binding again.
    alice.permit(&mut world, &[peer(1)]);
    assert!(passes(&alice.channel_data(&mut world, 0x4000, b"x")));
    world.pass(Duration::from_secs(299));
    assert_eq!(alice.bind(&mut world, 0x4000, peer(1)).code, 0);
    world.pass(Duration::from_secs(299));
    assert!(passes(&world.from_peer(relayed, peer(1), b"x")));
}

#[test]
fn point_11_a_channel_lasts_600_s() {
    let mut world = World::seeded(1);
    let mut alice = allocated(&mut world);
    alice.refresh(&mut world, 3600);
    alice.bind(&mut world, 0x4000, peer(1));
    world.pass(Duration::from_secs(299));
    alice.permit(&mut world, &[peer(1)]);
    world.pass(Duration::from_secs(299));
    alice.permit(&mut world, &[peer(1)]);
    assert!(passes(&alice.channel_data(&mut world, 0x4000, b"x")));
    world.pass(Duration::from_secs(2));
    assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), [Out::Dropped(Dropped::NoChannel)]);
    let Out::ToClient { bytes, .. } = &world.from_peer(alice.relayed.unwrap(), peer(1), b"x")[0] else {
        panic!("the permission lives");
    };
    assert_eq!(data_indication(bytes), (peer(1), b"x".to_vec()));
}

#[test]
fn point_12_numbers_and_peers_are_bound_one_to_one() {
    let mut world = World::seeded(1);
    let mut alice = allocated(&mut world);
    assert_eq!(alice.bind(&mut world, 0x4000, peer(1)).code, 0);
    assert_eq!(alice.bind(&mut world, 0x4000, peer(2)).code, 400);
    assert_eq!(alice.bind(&mut world, 0x4001, peer(1)).code, 400);
    assert_eq!(alice.bind(&mut world, 0x4000, peer(1)).code, 0, "a refresh");
    for number in [0x3FFF, 0x5000, 0x7FFF, 0x8000, 0xFFFF, 0] {
        assert_eq!(alice.bind(&mut world, number, peer(3)).code, 400, "{number:x}");
    }
    assert_eq!(alice.bind(&mut world, 0x4FFF, peer(3)).code, 0);
    let [Out::ToPeer { peer: to, .. }] = &alice.channel_data(&mut world, 0x4000, b"x")[..] else {
        panic!("the first binding is untouched");
    };
    assert_eq!(*to, peer(1));
}

#[test] // security R13
fn an_expired_binding_keeps_others_away_for_five_minutes() {
    let mut world = World::seeded(1);
    let mut alice = allocated(&mut world);
    alice.refresh(&mut world, 3600);
    alice.bind(&mut world, 0x4000, peer(1));
    world.pass(Duration::from_secs(601));
    assert_eq!(alice.bind(&mut world, 0x4000, peer(2)).code, 400);
    assert_eq!(alice.bind(&mut world, 0x4001, peer(1)).code, 400);
    world.pass(Duration::from_secs(300));
    assert_eq!(alice.bind(&mut world, 0x4000, peer(2)).code, 0);
    assert_eq!(alice.bind(&mut world, 0x4001, peer(1)).code, 0);
}

#[test]
fn point_12_legacy_numbers_are_an_option() {
    let settings = Settings { legacy_channels: true, ..Settings::default() };
    let mut world = World::with(1, Options { settings, ..Options::default() });
    let mut alice = allocated(&mut world);
    assert_eq!(alice.bind(&mut world, 0x7FFF, peer(1)).code, 0);
    assert!(passes(&alice.channel_data(&mut world, 0x7FFF, b"x")));
    let mut world = World::seeded(1);
    let alice = allocated(&mut world);
    assert_eq!(alice.channel_data(&mut world, 0x7FFF, b"x"), [Out::Dropped(Dropped::ReservedChannel)]);
}

#[test]
fn point_26_two_clients_of_one_relay_reach_each_other_and_the_server_stays_closed() {
    let mut world = World::seeded(1);
    let mut alice = allocated(&mut world);
    let mut bob = Client::new(2, "bob");
    bob.allocate(&mut world);
    let (a, b) = (alice.relayed.unwrap(), bob.relayed.unwrap());
    assert_eq!(alice.permit(&mut world, &[b]).code, 0);
    assert_eq!(bob.bind(&mut world, 0x4000, a).code, 0);
    let [Out::ToPeer { from, peer: to, payload, .. }] = &alice.send(&mut world, b, b"hello")[..] else {
        panic!("relayed");
    };
    assert_eq!((*from, *to, &payload[..]), (a, b, &b"hello"[..]));
    assert!(passes(&world.from_peer(b, a, b"hello")));
    // The same address, but no live relay port: the own listener, and a port that nobody has.
    for port in [3478, 22, 40_000] {
        let target = SocketAddr::new(a.ip(), port);
        assert_eq!(alice.bind(&mut world, 0x4100, target).code, 403, "{port}");
        assert_eq!(alice.send(&mut world, target, b"x"), [Out::Dropped(Dropped::PeerDenied)]);
        assert_eq!(world.from_peer(a, target, b"x"), [Out::Dropped(Dropped::PeerDenied)]);
    }
    // A channel to a relay port that closed is closed with it.
    alice.refresh(&mut world, 0);
    assert_eq!(bob.channel_data(&mut world, 0x4000, b"x"), [Out::Dropped(Dropped::PeerDenied)]);
}

#[test]
fn point_27_denied_peers_are_403_on_every_verb_in_every_encoding() {
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    alice.allocate_with(&mut world, &[(A::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0])]);
    for text in [
        "127.0.0.1",
        "0.0.0.0",
        "10.0.0.5",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::7f00:1",
        "::ffff:0:7f00:1",
        "::ffff:10.0.0.5",
        "fe80::1",
        "ff02::1",
        "2001:0:1::1",
    ] {
        let target = SocketAddr::new(text.parse().unwrap(), 4000);
        assert_eq!(alice.permit(&mut world, &[target]).code, 403, "{text}");
        assert_eq!(alice.bind(&mut world, 0x4000, target).code, 403, "{text}");
        assert_eq!(alice.send(&mut world, target, b"x"), [Out::Dropped(Dropped::NoPermission)], "{text}");
    }
}

#[test]
fn min_port_is_checked_at_channel_bind_send_and_inbound() {
    let rules = PeerRules { min_port: 1024, ..PeerRules::default() };
    let mut world = World::with(1, Options { rules, ..Options::default() });
    let mut alice = allocated(&mut world);
    let low = SocketAddr::new(peer(1).ip(), 53);
    assert_eq!(alice.permit(&mut world, &[low]).code, 0, "a permission has no port");
    assert_eq!(alice.bind(&mut world, 0x4000, low).code, 403);
    assert_eq!(alice.send(&mut world, low, b"x"), [Out::Dropped(Dropped::PeerDenied)]);
    assert_eq!(world.from_peer(alice.relayed.unwrap(), low, b"x"), [Out::Dropped(Dropped::PeerDenied)]);
    assert!(passes(&alice.send(&mut world, peer(1), b"x")));
}

#[test] // security Q2
fn permissions_and_channels_are_capped() {
    let settings =
        Settings { permissions_max: 3, channels_max: 2, new_peers_per_second: None, ..Settings::default() };
    let mut world = World::with(1, Options { settings, ..Options::default() });
    let mut alice = allocated(&mut world);
    assert_eq!(alice.permit(&mut world, &[peer(1), peer(2), peer(3), peer(4)]).code, 508);
    assert_eq!(alice.send(&mut world, peer(1), b"x"), [Out::Dropped(Dropped::NoPermission)], "none at all");
    assert_eq!(alice.permit(&mut world, &[peer(1), peer(2), peer(3)]).code, 0);
    assert_eq!(alice.permit(&mut world, &[peer(1), peer(2)]).code, 0, "renewal needs no room");
    assert_eq!(alice.permit(&mut world, &[peer(4)]).code, 508);
    assert_eq!(alice.bind(&mut world, 0x4000, peer(1)).code, 0);
    assert_eq!(alice.bind(&mut world, 0x4001, peer(2)).code, 0);
    assert_eq!(alice.bind(&mut world, 0x4002, peer(3)).code, 508);
    world.pass(Duration::from_secs(301));
    assert_eq!(alice.permit(&mut world, &[peer(4), peer(5)]).code, 0, "what lapsed makes room");
}

#[test] // security R14
fn one_subject_adds_peers_at_its_rate_over_all_its_allocations() {
    let rate = Rate { per_second: 10, burst: 10 };
    let settings = Settings { new_peers_per_second: Some(rate), ..Settings::default() };
    let mut world = World::with(1, Options { settings, ..Options::default() });
    let (mut a, mut b) = (allocated(&mut world), Client::new(2, "alice"));
    b.allocate(&mut world);
    let ok = |code: u16| u32::from(code == 0);
    let mut added = 0;
    for n in 0..100u8 {
        added += ok(a.permit(&mut world, &[peer(n)]).code) + ok(b.permit(&mut world, &[peer(n)]).code);
    }
    assert_eq!(added, 10);
    world.pass(Duration::from_secs(1));
    for n in 100..200u8 {
        added += ok(a.permit(&mut world, &[peer(n)]).code);
    }
    assert_eq!(added, 20);
}

#[test]
fn a_reload_takes_permissions_away_that_the_new_policy_denies() {
    let mut world = World::seeded(1);
    let mut alice = allocated(&mut world);
    alice.bind(&mut world, 0x4000, peer(1));
    alice.permit(&mut world, &["9.9.9.9:9".parse().unwrap()]);
    let rules = PeerRules { deny: vec!["8.8.0.0/16".parse().unwrap()], ..PeerRules::default() };
    world.reload(Settings::default(), rules);
    assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), [Out::Dropped(Dropped::NoChannel)]);
    assert_eq!(alice.send(&mut world, peer(1), b"x"), [Out::Dropped(Dropped::NoPermission)]);
    assert!(passes(&alice.send(&mut world, "9.9.9.9:9".parse().unwrap(), b"x")));
}

#[test]
fn a_reload_unbinds_channels_to_ports_that_the_new_policy_denies() {
    let mut world = World::seeded(1);
    let mut alice = allocated(&mut world);
    let low = SocketAddr::new(peer(1).ip(), 80);
    alice.bind(&mut world, 0x4000, low);
    alice.bind(&mut world, 0x4001, peer(1));
    world.reload(Settings::default(), PeerRules { min_port: 1024, ..PeerRules::default() });
    let relayed = alice.relayed.unwrap();
    assert!(!passes(&alice.channel_data(&mut world, 0x4000, b"x")));
    assert!(!passes(&world.from_peer(relayed, low, b"x")));
    assert!(passes(&alice.channel_data(&mut world, 0x4001, b"x")));
}

#[test] // point 26, behind 1:1 NAT
fn a_channel_follows_an_own_relay_port_that_comes_to_life_after_it_was_bound() {
    let external: IpAddr = RELAY_V4.into();
    let internal = IpAddr::from([192, 168, 7, 7]);
    let options = Options {
        addresses: vec![RelayAddress { internal, external }],
        ports: PortRange { first: 50_000, last: 50_001 },
        rules: PeerRules { allow: vec!["192.31.196.10/32".parse().unwrap()], ..PeerRules::default() },
        ..Options::default()
    };
    let mut world = World::with(1, options);
    let mut alice = allocated(&mut world);
    let other = SocketAddr::new(external, alice.relayed.unwrap().port() ^ 1);
    assert_eq!(alice.bind(&mut world, 0x4000, other).code, 0, "allowed, although nobody is there");
    let goes_to = |world: &mut World| match &alice.channel_data(world, 0x4000, b"x")[..] {
        [Out::ToPeer { peer, .. }] => *peer,
        other => panic!("{other:?}"),
    };
    assert_eq!(goes_to(&mut world), other);
    let mut bob = Client::new(2, "bob");
    bob.allocate(&mut world);
    assert_eq!(bob.relayed, Some(other));
    assert_eq!(goes_to(&mut world), SocketAddr::new(internal, other.port()));
}
