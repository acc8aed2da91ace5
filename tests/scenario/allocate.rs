//! RFC 8656 section 7.

use crate::world::*;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use turnstone::metrics::Dropped;
use turnstone::turn::{Effect, OpenError, PortRange, RelayAddress, Settings};
use turnstone::wire::stun::{AttributeType as A, Method, RequestedFamily};

const V4: &[u8] = &[1, 0, 0, 0];
const V6: &[u8] = &[2, 0, 0, 0];

#[test]
fn an_allocation_gets_one_real_port_and_tells_where_the_client_comes_from() {
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    let answer = alice.allocate(&mut world);
    assert_eq!(answer.mapped, Some(alice.address.remote));
    assert_eq!(answer.relayed, [alice.relayed.unwrap()]);
    assert_eq!(world.open_ports(), [alice.relayed.unwrap()].into());
    assert!(answer.signed);
}

#[test]
fn point_2_the_five_tuple_includes_the_server_address() {
    let mut world = World::seeded(1);
    let mut first = Client::new(1, "alice");
    let mut second = first.clone();
    second.address.local = SocketAddr::new(Ipv4Addr::new(192, 31, 196, 11).into(), 3478);
    first.allocate(&mut world);
    second.allocate(&mut world);
    assert_eq!(world.open_ports().len(), 2);
}

#[test]
fn point_3_a_retransmitted_allocate_gets_the_same_answer() {
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    alice.permit(&mut world, &[]);
    let id = world.transaction();
    let request =
        alice.request(id, Method::ALLOCATE, &[(A::REQUESTED_TRANSPORT, UDP), (A::EVEN_PORT, &[0x80])]);
    let first = world.datagram(alice.address, &request);
    world.pass(Duration::from_secs(20));
    let again = world.datagram(alice.address, &request);
    assert_eq!(first, again);
    assert!(Answer::only(&first).token.is_some());
    assert_eq!(world.open_ports().len(), 1);
}

#[test]
fn point_3_another_allocate_on_a_live_five_tuple_is_a_mismatch() {
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    alice.allocate(&mut world);
    let answer = alice.try_allocate(&mut world, &[]);
    assert_eq!((answer.code, answer.signed), (437, true));
}

#[test]
fn a_retransmission_while_ports_are_opened_is_dropped_and_answered_once() {
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    alice.permit(&mut world, &[]);
    world.hold_opens = true;
    let id = world.transaction();
    let request = alice.request(id, Method::ALLOCATE, &[(A::REQUESTED_TRANSPORT, UDP)]);
    assert_eq!(world.datagram(alice.address, &request), []);
    assert_eq!(world.datagram(alice.address, &request), [Out::Dropped(Dropped::Pending)]);
    assert_eq!(Answer::only(&world.open_pending()).code, 0);
    assert_eq!(world.open_ports().len(), 1);
}

#[test]
fn point_4_lifetimes_are_raised_to_the_default_and_cut_at_the_maximum() {
    for (asked, granted) in
        [(0u32, 600), (1, 600), (599, 600), (600, 600), (777, 777), (3601, 3600), (u32::MAX, 3600)]
    {
        let mut world = World::seeded(1);
        let answer =
            Client::new(1, "alice").allocate_with(&mut world, &[(A::LIFETIME, &asked.to_be_bytes())]);
        assert_eq!(answer.lifetime_s, Some(granted), "{asked}");
    }
    let mut world = World::seeded(1);
    assert_eq!(Client::new(1, "alice").allocate(&mut world).lifetime_s, Some(600));
}

#[test]
fn point_4_data_never_refreshes_an_allocation() {
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    alice.allocate(&mut world);
    for _ in 0..12 {
        alice.permit(&mut world, &[peer(1)]);
        assert!(matches!(alice.send(&mut world, peer(1), b"x")[..], [Out::ToPeer { .. }]));
        world.pass(Duration::from_secs(49));
    }
    world.pass(Duration::from_secs(13));
    assert_eq!(world.open_ports(), [].into());
    assert_eq!(alice.send(&mut world, peer(1), b"x"), [Out::Dropped(Dropped::NoAllocation)]);
}

#[test]
fn point_6_malformed_and_contradictory_requests_get_their_codes() {
    let token: &[u8] = &[9; 8];
    let tcp: &[u8] = &[6, 0, 0, 0];
    let cases: &[(Attributes<'_>, u16)] = &[
        (&[], 400),
        (&[(A::REQUESTED_TRANSPORT, &[17])], 400),
        (&[(A::REQUESTED_TRANSPORT, tcp)], 442),
        (&[(A::REQUESTED_TRANSPORT, UDP), (A::RESERVATION_TOKEN, token), (A::EVEN_PORT, &[0])], 400),
        (
            &[
                (A::REQUESTED_TRANSPORT, UDP),
                (A::RESERVATION_TOKEN, token),
                (A::REQUESTED_ADDRESS_FAMILY, V4),
            ],
            400,
        ),
        (
            &[
                (A::REQUESTED_TRANSPORT, UDP),
                (A::RESERVATION_TOKEN, token),
                (A::ADDITIONAL_ADDRESS_FAMILY, V6),
            ],
            400,
        ),
        (&[(A::REQUESTED_TRANSPORT, UDP), (A::RESERVATION_TOKEN, token)], 508),
        (&[(A::REQUESTED_TRANSPORT, UDP), (A::RESERVATION_TOKEN, &[1; 7])], 400),
        (
            &[
                (A::REQUESTED_TRANSPORT, UDP),
                (A::REQUESTED_ADDRESS_FAMILY, V4),
                (A::ADDITIONAL_ADDRESS_FAMILY, V6),
            ],
            400,
        ),
        (&[(A::REQUESTED_TRANSPORT, UDP), (A::ADDITIONAL_ADDRESS_FAMILY, V4)], 400),
        (&[(A::REQUESTED_TRANSPORT, UDP), (A::REQUESTED_ADDRESS_FAMILY, &[3, 0, 0, 0])], 440),
        (&[(A::REQUESTED_TRANSPORT, UDP), (A::EVEN_PORT, &[0x80]), (A::ADDITIONAL_ADDRESS_FAMILY, V6)], 400),
        (&[(A::REQUESTED_TRANSPORT, UDP), (A::LIFETIME, &[1])], 400),
    ];
    for (attributes, code) in cases {
        let mut world = World::seeded(1);
        let answer = Client::new(1, "alice").ask(&mut world, Method::ALLOCATE, attributes);
        assert_eq!((answer.code, answer.signed), (*code, true), "{attributes:?}");
        assert_eq!(world.open_ports(), [].into());
        world.assert_ports_add_up();
        assert_eq!(world.ledger.port_use().used, 0);
    }
}

#[test]
fn point_6_dont_fragment_is_supported() {
    let mut world = World::seeded(1);
    Client::new(1, "alice").allocate_with(&mut world, &[(A::DONT_FRAGMENT, &[])]);
}

#[test]
fn point_6_a_dual_allocation_has_both_families_or_names_the_missing_one() {
    let mut world = World::seeded(1);
    let answer = Client::new(1, "alice").allocate_with(&mut world, &[(A::ADDITIONAL_ADDRESS_FAMILY, V6)]);
    assert_eq!(answer.relayed.len(), 2);
    assert_eq!(answer.address_error, None);

    let v4 = RelayAddress { internal: RELAY_V4.into(), external: RELAY_V4.into() };
    let mut world = World::with(1, Options { addresses: vec![v4], ..Options::default() });
    let answer = Client::new(1, "alice").allocate_with(&mut world, &[(A::ADDITIONAL_ADDRESS_FAMILY, V6)]);
    assert_eq!(answer.relayed.len(), 1);
    assert_eq!(answer.address_error, Some((RequestedFamily::V6, 440)));
    let answer = Client::new(2, "alice").try_allocate(&mut world, &[(A::REQUESTED_ADDRESS_FAMILY, V6)]);
    assert_eq!(answer.code, 440);
}

#[test]
fn the_old_number_of_the_additional_family_is_for_legacy_clients_only() {
    let old: Attributes<'_> = &[(A::LEGACY_ADDITIONAL_ADDRESS_FAMILY, V6)];
    for (legacy_channels, addresses) in [(false, 1), (true, 2)] {
        let settings = Settings { legacy_channels, ..Settings::default() };
        let mut world = World::with(1, Options { settings, ..Options::default() });
        assert_eq!(Client::new(1, "alice").allocate_with(&mut world, old).relayed.len(), addresses);
    }
}

#[test]
fn point_6_quota_capacity_and_draining_have_their_codes() {
    for (error, code) in
        [(OpenError::Quota, 486), (OpenError::NoPort, 508), (OpenError::Total, 508), (OpenError::Token, 508)]
    {
        let mut world = World::seeded(1);
        world.refuse = Some(error);
        let answer = Client::new(1, "alice").try_allocate(&mut world, &[]);
        assert_eq!((answer.code, answer.signed), (code, true));
        assert_eq!(world.server.allocations(), 0);
    }
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    alice.allocate(&mut world);
    world.server.set_draining(true);
    assert_eq!(Client::new(2, "alice").try_allocate(&mut world, &[]).code, 508);
    assert_eq!(alice.refresh(&mut world, 600).code, 0, "what lives goes on");
}

#[test]
fn point_7_without_a_family_the_address_is_ipv4_even_for_a_client_on_ipv6() {
    let mut world = World::seeded(1);
    let mut alice = Client::at("[2606:4700::99]:5000".parse().unwrap(), "alice");
    let answer = alice.allocate(&mut world);
    assert_eq!(answer.relayed.len(), 1);
    assert!(answer.relayed[0].is_ipv4());
    assert_eq!(answer.mapped, Some(alice.address.remote));
}

#[test]
fn point_8_the_reserved_port_is_had_from_another_five_tuple() {
    let mut world = World::seeded(1);
    let answer = Client::new(1, "alice").allocate_with(&mut world, &[(A::EVEN_PORT, &[0x80])]);
    let port = answer.relayed[0].port();
    assert!(port.is_multiple_of(2));
    let token = answer.token.expect("R was set");
    let mut second = Client::new(2, "alice");
    let answer = second.allocate_with(&mut world, &[(A::RESERVATION_TOKEN, &token)]);
    assert_eq!(answer.relayed[0].port(), port + 1);
    assert_eq!(answer.token, None);
    let again = Client::new(3, "alice").try_allocate(&mut world, &[(A::RESERVATION_TOKEN, &token)]);
    assert_eq!(again.code, 508);
}

#[test]
fn point_18_ipv6_addresses_are_xored_with_cookie_and_transaction() {
    let mut world = World::seeded(1);
    let remote = "[2606:4700:1:2:3:4:5:6]:54321".parse().unwrap();
    let mut alice = Client::at(remote, "alice");
    let mut seen = Vec::new();
    for _ in 0..2 {
        let answer = alice.ask(&mut world, Method::BINDING, &[]);
        assert_eq!(answer.mapped, Some(remote));
        seen.push(answer.bytes[24..].to_vec());
    }
    assert_ne!(seen[0], seen[1], "another transaction, another mask");
}

#[test]
fn point_28_a_freed_port_is_not_used_again_while_it_rests() {
    let options = Options {
        ports: PortRange { first: 50_000, last: 50_009 },
        addresses: vec![RelayAddress { internal: RELAY_V4.into(), external: RELAY_V4.into() }],
        ..Options::default()
    };
    let mut world = World::with(1, options);
    let mut seen = Vec::new();
    for n in 0..5 {
        let mut alice = Client::new(n, "alice");
        alice.allocate(&mut world);
        let port = alice.relayed.unwrap().port();
        assert!(!seen.contains(&port));
        seen.push(port);
        alice.refresh(&mut world, 0);
        world.assert_ports_add_up();
    }
    assert_eq!(world.ledger.port_use().quarantined, 5);
}

#[test]
fn security_f7_exhausted_ports_get_508_and_recover() {
    let options = Options {
        ports: PortRange { first: 50_000, last: 50_063 },
        addresses: vec![RelayAddress { internal: RELAY_V4.into(), external: RELAY_V4.into() }],
        allocations_per_user: 1000,
        ..Options::default()
    };
    let mut world = World::with(1, options);
    let codes: Vec<u16> =
        (0..200).map(|n| Client::new(n, "alice").try_allocate(&mut world, &[]).code).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 64);
    assert_eq!(codes.iter().filter(|code| **code == 508).count(), 136);
    world.pass(Duration::from_secs(601));
    assert_eq!(world.server.allocations(), 0);
    world.pass(Duration::from_secs(31));
    assert_eq!(Client::new(1, "alice").try_allocate(&mut world, &[]).code, 0);
    world.assert_ports_add_up();
}

#[test]
fn behind_one_to_one_nat_the_client_learns_the_external_address() {
    let external: IpAddr = Ipv4Addr::new(192, 31, 196, 99).into();
    let internal: IpAddr = Ipv4Addr::new(10, 0, 0, 5).into();
    let options = Options { addresses: vec![RelayAddress { internal, external }], ..Options::default() };
    let mut world = World::with(1, options);
    let answer = Client::new(1, "alice").allocate(&mut world);
    assert_eq!(answer.relayed[0].ip(), external);
    assert_eq!(world.open_ports().first().map(SocketAddr::ip), Some(internal));
}

#[test]
fn an_ended_allocation_closes_its_port_and_gives_its_quota_back_once() {
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    alice.allocate(&mut world);
    world.effects.clear();
    alice.refresh(&mut world, 0);
    let closed = world.effects.iter().filter(|e| matches!(e, Effect::ClosePort { .. })).count();
    let ended = world.effects.iter().filter(|e| matches!(e, Effect::Ended(_))).count();
    assert_eq!((closed, ended), (1, 1));
    assert_eq!(world.ledger.allocations(), 0);
}
