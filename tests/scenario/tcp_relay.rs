//! RFC 6062: connections between relayed addresses and peers. Sections are those of RFC 6062.

use crate::world::*;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use turnstone::base::Transport;
use turnstone::metrics::{Dropped, PeerConnection as Became, peer_connections};
use turnstone::turn::{Effect, PeerConnection, RelayAddress, Settings};
use turnstone::wire::stun::{AttributeType as A, Class, Message, Method, attribute};

pub(crate) fn with_tcp() -> Options {
    Options { settings: Settings { tcp_relay: true, ..Settings::default() }, ..Options::default() }
}

/// A client on a TCP connection of its own.
pub(crate) fn tcp_client(n: u16, username: &str) -> Client {
    let mut client = Client::new(n, username);
    client.address.transport = Transport::Tcp;
    client.address.door = u32::from(n);
    client
}

/// A Connect that succeeds: the connection and its id.
pub(crate) fn connect(world: &mut World, client: &Client, peer: SocketAddr) -> PeerConnection {
    let connection = start(world, client, peer);
    let answer = Answer::only(&world.connected(connection, true));
    assert_eq!((answer.code, answer.signed), (0, true));
    assert_eq!(answer.connection_id, Some(connection.id.0));
    connection
}

/// A Connect that has no answer yet.
fn start(world: &mut World, client: &Client, peer: SocketAddr) -> PeerConnection {
    match client.connect(world, peer)[..] {
        [Out::Connecting { connection, .. }] => connection,
        ref other => panic!("expected a connection in the making: {other:?}"),
    }
}

fn allocated() -> (World, Client) {
    let mut world = World::with(1, with_tcp());
    let mut alice = tcp_client(1, "alice");
    assert_eq!(alice.try_allocate_tcp(&mut world, &[]).code, 0);
    (world, alice)
}

fn counted(world: &mut World, result: Became) -> u64 {
    world.server.counters().value(peer_connections(result))
}

#[test] // section 5.1; point 29
fn tcp_is_allocated_to_clients_of_streams_only_and_without_what_is_about_datagrams() {
    let mut world = World::with(1, with_tcp());
    for transport in Transport::ALL {
        let mut client = tcp_client(1, "alice");
        client.address.transport = transport;
        for odd in [(A::EVEN_PORT, &[0][..]), (A::DONT_FRAGMENT, &[]), (A::RESERVATION_TOKEN, &[0; 8])] {
            assert_eq!(client.try_allocate_tcp(&mut world, &[odd]).code, 400, "{odd:?}");
        }
        let expected = if transport.is_stream() { 0 } else { 400 };
        assert_eq!(client.try_allocate_tcp(&mut world, &[]).code, expected, "{transport:?}");
    }
    let mut other = tcp_client(9, "alice");
    let sctp = other.ask(&mut world, Method::ALLOCATE, &[(A::REQUESTED_TRANSPORT, &[132, 0, 0, 0])]);
    assert_eq!(sctp.code, 442);
}

#[test]
fn without_relay_tcp_nothing_of_rfc_6062_is_there() {
    let mut world = World::seeded(1);
    let mut alice = tcp_client(1, "alice");
    assert_eq!(alice.try_allocate_tcp(&mut world, &[]).code, 442);
    alice.allocate(&mut world);
    assert_eq!(alice.connect(&mut world, peer(1)), [Out::Dropped(Dropped::UnknownMethod)]);
    assert_eq!(alice.bind_connection(&mut world, 1).dropped, Some(Dropped::UnknownMethod));
}

#[test] // section 5.2
fn a_connect_is_answered_when_the_connection_stands() {
    let (mut world, alice) = allocated();
    let out = alice.connect(&mut world, peer(1));
    let [Out::Connecting { connection, from, peer: to }] = out[..] else { panic!("{out:?}") };
    assert_eq!((from, to), (alice.relayed.unwrap(), peer(1)));
    world.pass(Duration::from_secs(29));
    let answer = Answer::only(&world.connected(connection, true));
    assert_eq!((answer.code, answer.connection_id), (0, Some(connection.id.0)));
    assert_eq!(counted(&mut world, Became::Connected), 1);
    world.assert_ports_add_up();
}

#[test] // section 5.2; security R8: a closed port, a filtered one and one of a dead host look alike
fn every_connect_that_fails_gets_447_after_the_same_time() {
    let failed_after = [Some(0), Some(1), Some(10), Some(29), None];
    let told_after = failed_after.map(|seconds| {
        let (mut world, alice) = allocated();
        let connection = start(&mut world, &alice, peer(1));
        let asked_at = world.now.at;
        if let Some(seconds) = seconds {
            world.pass(Duration::from_secs(seconds));
            assert_eq!(world.connected(connection, false), []);
            assert!(world.connections.is_empty());
        }
        while world.told.is_empty() {
            let step = world.server.next_deadline().expect("an answer is due").since(world.now.at);
            world.pass(step);
        }
        let answer = Answer::only(&world.told);
        assert_eq!((answer.code, answer.signed), (447, true));
        assert!(world.connections.is_empty(), "one that still tried was closed");
        assert_eq!(counted(&mut world, Became::Failed), 1);
        world.now.at.since(asked_at)
    });
    assert!(told_after.iter().all(|after| *after == told_after[0]), "{told_after:?}");
    assert!(told_after[0] >= Duration::from_secs(30), "section 5.2");
}

#[test]
fn a_connection_that_stands_too_late_is_not_kept() {
    let (mut world, alice) = allocated();
    let connection = start(&mut world, &alice, peer(1));
    world.now.at = world.now.at.after(Duration::from_secs(30));
    assert_eq!(world.connected(connection, true), []);
    assert!(world.connections.is_empty());
    world.pass(Duration::from_secs(1));
    assert_eq!(Answer::only(&world.told).code, 447);
}

#[test] // section 5.2
fn one_peer_has_one_connection_at_a_time() {
    let (mut world, alice) = allocated();
    let again = |world: &mut World| Answer::only(&alice.connect(world, peer(1))).code;
    let connection = start(&mut world, &alice, peer(1));
    assert_eq!(again(&mut world), 446, "being made");
    world.connected(connection, true);
    assert_eq!(again(&mut world), 446, "waits");
    tcp_client(2, "alice").bind_connection(&mut world, connection.id.0);
    assert_eq!(again(&mut world), 446, "is bound");
    let other_port = SocketAddr::new(peer(1).ip(), 1);
    connect(&mut world, &alice, other_port);
    world.hang_up(connection);
    connect(&mut world, &alice, peer(1));
}

#[test] // sections 5.1 and 5.2, and RFC 8656 section 5
fn a_connect_needs_a_tcp_allocation_and_a_sound_peer() {
    let (mut world, mut alice) = allocated();
    let code = |world: &mut World, client: &Client, peer| Answer::only(&client.connect(world, peer)).code;
    let mut udp = tcp_client(2, "alice");
    udp.allocate(&mut world);
    assert_eq!(code(&mut world, &udp, peer(1)), 403, "relays UDP");
    udp.refresh(&mut world, 0);
    assert_eq!(code(&mut world, &udp, peer(1)), 437);
    assert_eq!(code(&mut world, &alice, peer_v6(1)), 443);
    assert_eq!(code(&mut world, &alice, SocketAddr::new(peer(1).ip(), 0)), 400);
    assert_eq!(code(&mut world, &alice, alice.relayed.unwrap()), 403, "itself");
    assert_eq!(alice.ask(&mut world, Method::CONNECT, &[]).code, 400);
    assert!(world.connections.is_empty());
}

#[test] // section 5.4
fn a_connection_is_bound_once_by_the_same_credential_on_a_connection_of_its_own() {
    let (mut world, mut alice) = allocated();
    let connection = connect(&mut world, &alice, peer(1));
    let id = connection.id.0;
    assert_eq!(tcp_client(2, "bob").bind_connection(&mut world, id).code, 400, "another user");
    assert_eq!(tcp_client(2, "alice").bind_connection(&mut world, id ^ 1).code, 400, "no such");
    assert_eq!(alice.bind_connection(&mut world, id).code, 400, "the control connection");
    for transport in [Transport::Udp, Transport::Dtls] {
        let mut client = tcp_client(3, "alice");
        client.address.transport = transport;
        assert_eq!(client.bind_connection(&mut world, id).code, 400, "{transport:?}");
    }
    let mut data = tcp_client(4, "alice");
    assert_eq!(data.ask(&mut world, Method::CONNECTION_BIND, &[]).code, 400);
    assert_eq!(data.ask(&mut world, Method::CONNECTION_BIND, &[(A::CONNECTION_ID, &[1])]).code, 400);
    let answer = data.bind_connection(&mut world, id);
    assert_eq!((answer.code, answer.signed), (0, true));
    assert_eq!(tcp_client(5, "alice").bind_connection(&mut world, id).code, 400, "taken");
    world.pass(Duration::from_secs(500));
    assert_eq!(world.connections.len(), 1, "bound, so nothing runs out");
}

#[test] // sections 5.2 and 5.3
fn a_connection_that_nobody_comes_for_is_closed_after_thirty_seconds() {
    let (mut world, mut alice) = allocated();
    alice.permit(&mut world, &[peer(2)]);
    let made = connect(&mut world, &alice, peer(1));
    let (accepted, _) = world.connect_from_peer(alice.relayed.unwrap(), peer(2)).expect("permitted");
    world.pass(Duration::from_secs(29));
    assert_eq!(world.connections.len(), 2);
    world.pass(Duration::from_secs(2));
    assert!(world.connections.is_empty());
    for connection in [made, accepted] {
        let answer = tcp_client(2, "alice").bind_connection(&mut world, connection.id.0);
        assert_eq!(answer.code, 400);
    }
    assert_eq!(counted(&mut world, Became::Unbound), 2);
    connect(&mut world, &alice, peer(1));
}

#[test] // section 5.3
fn a_peer_connects_with_a_permission_and_the_client_hears_of_it() {
    let (mut world, mut alice) = allocated();
    let relayed = alice.relayed.unwrap();
    assert_eq!(world.connect_from_peer(relayed, peer(1)), None);
    alice.permit(&mut world, &[peer(1)]);
    assert_eq!(world.connect_from_peer(relayed, peer(2)), None);
    let from = SocketAddr::new(peer(1).ip(), 777);
    let (connection, out) = world.connect_from_peer(relayed, from).expect("permitted, on any port");
    let [Out::ToClient { to, bytes }] = &out[..] else { panic!("{out:?}") };
    assert_eq!(*to, alice.address.remote);
    let message = Message::parse(bytes).expect("sound");
    assert_eq!((message.class(), message.method()), (Class::Indication, Method::CONNECTION_ATTEMPT));
    let named = message.first(A::XOR_PEER_ADDRESS).unwrap();
    assert_eq!(attribute::decode_xor_address(named, message.transaction_id()), Ok(from));
    assert_eq!(message.first(A::CONNECTION_ID), Some(&connection.id.0.to_be_bytes()[..]));
    assert_eq!(tcp_client(2, "alice").bind_connection(&mut world, connection.id.0).code, 0);
    world.pass(Duration::from_secs(300));
    assert_eq!(world.connect_from_peer(relayed, peer(1)), None, "the permission is over");
    assert_eq!((counted(&mut world, Became::Accepted), counted(&mut world, Became::Refused)), (1, 3));
}

#[test] // section 5.5
fn the_end_of_an_allocation_closes_its_connections_and_answers_its_connects() {
    type End = fn(&mut World, &mut Client);
    let ends: [End; 3] = [
        |world, alice| {
            let id = world.transaction();
            let mut out =
                world.datagram(alice.address, &alice.request(id, Method::REFRESH, &[(A::LIFETIME, &[0; 4])]));
            let refreshed = out.pop().expect("an answer");
            assert_eq!(Answer::only(&[refreshed]).lifetime_s, Some(0));
            world.told = out;
        },
        |world, alice| world.close(alice),
        |world, _| world.pass(Duration::from_secs(601)),
    ];
    for end in ends {
        let (mut world, mut alice) = allocated();
        let mut other = tcp_client(8, "bob");
        assert_eq!(other.try_allocate_tcp(&mut world, &[]).code, 0);
        other.refresh(&mut world, 3600);
        let kept = connect(&mut world, &other, peer(1));
        tcp_client(9, "bob").bind_connection(&mut world, kept.id.0);

        world.pass(Duration::from_secs(590));
        let bound = connect(&mut world, &alice, peer(1));
        tcp_client(2, "alice").bind_connection(&mut world, bound.id.0);
        connect(&mut world, &alice, peer(2));
        start(&mut world, &alice, peer(3));
        end(&mut world, &mut alice);
        assert_eq!(world.connections.iter().map(|(c, _)| *c).collect::<Vec<_>>(), [kept]);
        assert_eq!(Answer::only(&world.told).code, 447);
        let closed = world.effects.iter().position(|e| matches!(e, Effect::CloseConnection { .. }));
        let ended = world.effects.iter().position(|e| matches!(e, Effect::Ended(_)));
        assert!(closed < ended && closed.is_some());
        // What its drivers had under way comes too late.
        assert!(!world.server.on_connected(world.now, bound, true));
        world.server.on_connection_bound(bound);
        world.server.on_connection_closed(bound);
        world.assert_ports_add_up();
    }
}

#[test] // security R8: a scan gets sixteen answers in thirty seconds
fn a_subject_has_few_connections_in_the_making_at_once() {
    let (mut world, alice) = allocated();
    let max = Settings::CONNECTIONS_PENDING_MAX as u16;
    let at = |port: u16| SocketAddr::new(peer(1).ip(), 1000 + port);
    for port in 0..max {
        start(&mut world, &alice, at(port));
    }
    assert_eq!(Answer::only(&alice.connect(&mut world, at(max))).code, 508);
    let mut second = tcp_client(2, "alice");
    second.try_allocate_tcp(&mut world, &[]);
    assert_eq!(Answer::only(&second.connect(&mut world, at(0))).code, 508, "another allocation");
    let mut bob = tcp_client(3, "bob");
    bob.try_allocate_tcp(&mut world, &[]);
    start(&mut world, &bob, at(0));
    assert_eq!(counted(&mut world, Became::Full), 2);

    let (first, _) = world.connections[0];
    world.connected(first, false);
    assert_eq!(Answer::only(&alice.connect(&mut world, at(max))).code, 508, "fails after its time only");
    world.pass(Duration::from_secs(31));
    for port in 0..max {
        start(&mut world, &second, at(port));
    }
}

#[test]
fn an_allocation_has_a_limited_number_of_connections() {
    let (mut world, mut alice) = allocated();
    alice.permit(&mut world, &[peer(1)]);
    let relayed = alice.relayed.unwrap();
    let at = |port: usize| SocketAddr::new(peer(1).ip(), 1000 + port as u16);
    for port in 0..Settings::CONNECTIONS_MAX {
        let (connection, _) = world.connect_from_peer(relayed, at(port)).expect("room");
        assert_eq!(tcp_client(2, "alice").bind_connection(&mut world, connection.id.0).code, 0);
    }
    assert_eq!(world.connect_from_peer(relayed, at(0)), None);
    assert_eq!(Answer::only(&alice.connect(&mut world, peer(2))).code, 508);
    let (first, _) = world.connections[0];
    world.hang_up(first);
    connect(&mut world, &alice, peer(2));
}

#[test]
fn a_connect_counts_as_a_new_peer() {
    let mut options = with_tcp();
    options.settings.new_peers_per_second = Some(turnstone::base::Rate { per_second: 1, burst: 3 });
    let mut world = World::with(1, options);
    let mut alice = tcp_client(1, "alice");
    alice.try_allocate_tcp(&mut world, &[]);
    for n in 1..=3 {
        start(&mut world, &alice, peer(n));
    }
    assert_eq!(Answer::only(&alice.connect(&mut world, peer(4))).code, 508);
    world.pass(Duration::from_secs(1));
    start(&mut world, &alice, peer(4));
}

#[test]
fn an_allocation_that_relays_tcp_has_no_channels_and_no_datagrams() {
    let (mut world, mut alice) = allocated();
    alice.permit(&mut world, &[peer(1)]);
    assert_eq!(alice.bind(&mut world, 0x4000, peer(1)).code, 403);
    assert_eq!(alice.send(&mut world, peer(1), b"x"), [Out::Dropped(Dropped::NoDatagrams)]);
    assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), [Out::Dropped(Dropped::NoDatagrams)]);
}

#[test] // security Q4: its silence on the control connection is the normal case
fn an_allocation_with_a_connection_never_gives_way_as_idle() {
    let mut world = World::with(1, Options { allocations_per_user: 1, ..with_tcp() });
    let mut alice = tcp_client(1, "alice");
    alice.try_allocate_tcp(&mut world, &[]);
    let connection = connect(&mut world, &alice, peer(1));
    tcp_client(2, "alice").bind_connection(&mut world, connection.id.0);
    world.pass(Duration::from_secs(20));
    let mut again = tcp_client(3, "alice");
    assert_eq!(again.try_allocate_tcp(&mut world, &[]).code, 486);
    world.hang_up(connection);
    assert_eq!(again.try_allocate_tcp(&mut world, &[]).code, 0);
}

#[test] // security R7, and R6: a port that relays UDP may be some other program's over TCP
fn two_clients_of_this_server_connect_to_each_other_behind_nat_too() {
    let internal = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
    let address = RelayAddress { internal, external: RELAY_V4.into() };
    let mut world = World::with(1, Options { addresses: vec![address], ..with_tcp() });
    let (mut alice, mut bob) = (tcp_client(1, "alice"), tcp_client(2, "bob"));
    alice.try_allocate_tcp(&mut world, &[]);
    bob.try_allocate_tcp(&mut world, &[]);
    bob.permit(&mut world, &[alice.relayed.unwrap()]);

    let out = alice.connect(&mut world, bob.relayed.unwrap());
    let [Out::Connecting { connection, from, peer: to }] = out[..] else { panic!("{out:?}") };
    assert_eq!((from.ip(), to), (internal, SocketAddr::new(internal, bob.relayed.unwrap().port())));
    let (_, out) = world.connect_from_peer(to, from).expect("permitted");
    let [Out::ToClient { bytes, .. }] = &out[..] else { panic!("{out:?}") };
    let message = Message::parse(bytes).expect("sound");
    let named = message.first(A::XOR_PEER_ADDRESS).unwrap();
    assert_eq!(attribute::decode_xor_address(named, message.transaction_id()).ok(), alice.relayed);
    assert_eq!(Answer::only(&world.connected(connection, true)).code, 0);

    let mut udp = Client::new(3, "bob");
    udp.allocate(&mut world);
    assert_eq!(Answer::only(&alice.connect(&mut world, udp.relayed.unwrap())).code, 403);
}
