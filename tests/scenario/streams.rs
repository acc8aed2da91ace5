//! What differs when a client comes over a connection instead of datagrams.

use crate::world::*;
use std::time::Duration;
use turnstone::base::Transport;
use turnstone::metrics::{Direction, Dropped, relay_bytes};
use turnstone::wire::stun::{Class, Method};

fn connected(n: u16, transport: Transport) -> Client {
    let mut client = Client::new(n, "alice");
    client.address.transport = transport;
    client.address.door = u32::from(n);
    client
}

#[test] // RFC 8656 section 12.5
fn point_13_channel_data_to_a_client_is_padded_with_zeros_on_streams_only() {
    for (transport, expected) in
        [(Transport::Udp, 7), (Transport::Tcp, 8), (Transport::Tls, 8), (Transport::Dtls, 7)]
    {
        let mut world = World::seeded(1);
        let mut alice = connected(1, transport);
        alice.allocate(&mut world);
        alice.bind(&mut world, 0x4000, peer(1));
        let out = world.from_peer(alice.relayed.unwrap(), peer(1), b"abc");
        let [Out::ToClient { bytes, .. }] = &out[..] else { panic!("{out:?}") };
        assert_eq!(bytes[..7], [0x40, 0, 0, 3, b'a', b'b', b'c']);
        assert_eq!((bytes.len(), &bytes[7..]), (expected, &[0; 1][..expected - 7]), "{transport:?}");
        assert_eq!(world.server.counters().value(relay_bytes(Direction::FromPeer, transport)), 3);
    }
}

#[test] // RFC 8656 section 12.5
fn the_longest_datagram_reaches_a_client_on_a_stream() {
    for transport in [Transport::Tcp, Transport::Tls] {
        let mut world = World::seeded(1);
        let mut alice = connected(1, transport);
        alice.allocate(&mut world);
        alice.permit(&mut world, &[peer(1)]);
        let longest = vec![7; 65_507];
        let out = world.from_peer(alice.relayed.unwrap(), peer(1), &longest);
        let [Out::ToClient { bytes, .. }] = &out[..] else { panic!("{transport:?}") };
        assert_eq!(data_indication(bytes), (peer(1), longest.clone()));
        alice.bind(&mut world, 0x4000, peer(1));
        let out = world.from_peer(alice.relayed.unwrap(), peer(1), &longest);
        let [Out::ToClient { bytes, .. }] = &out[..] else { panic!("{transport:?}") };
        assert_eq!(bytes.len(), 4 + 65_507 + 1);
    }
}

#[test] // RFC 8656 section 5; point 16
fn a_closed_connection_ends_its_allocation_at_once_and_no_other() {
    let mut world = World::seeded(1);
    let (mut alice, mut other) = (connected(1, Transport::Tcp), connected(2, Transport::Tcp));
    alice.allocate(&mut world);
    other.allocate(&mut world);
    assert!(world.server.has_allocation(&alice.address));
    world.close(&alice);
    assert!(!world.server.has_allocation(&alice.address));
    assert_eq!(world.open_ports(), [other.relayed.unwrap()].into());
    world.assert_ports_add_up();
    assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), [Out::Dropped(Dropped::NoAllocation)]);
    world.close(&alice);
    world.pass(Duration::from_secs(602));
    assert!(world.open_ports().is_empty());
}

#[test] // point 2: the 5-tuple has the transport in it, and a connection is one of its own
fn the_same_addresses_over_other_transports_and_connections_are_other_allocations() {
    let mut world = World::seeded(1);
    let udp = Client::new(1, "alice");
    let mut clients = vec![udp];
    for (n, transport) in
        [(1, Transport::Tcp), (2, Transport::Tcp), (1, Transport::Tls), (1, Transport::Dtls)]
    {
        let mut client = Client::new(1, "alice");
        client.address.transport = transport;
        client.address.door = n;
        clients.push(client);
    }
    for client in &mut clients {
        client.allocate(&mut world);
    }
    assert_eq!(world.open_ports().len(), 5);
}

#[test] // security U2: only a source that nobody has proven may be a victim
fn replies_over_connections_have_no_budget() {
    let mut options = Options::default();
    options.settings.replies.per_source.burst = 1;
    options.settings.replies.per_source.per_second = 1;
    let mut world = World::with(1, options);
    for transport in Transport::ALL {
        let client = connected(9, transport);
        let answered = (0..20).filter(|_| {
            let id = world.transaction();
            let ask = client.bare(id, Class::Request, Method::BINDING, &[]);
            matches!(world.datagram(client.address, &ask)[..], [Out::ToClient { .. }])
        });
        assert_eq!(answered.count(), if transport == Transport::Udp { 1 } else { 20 }, "{transport:?}");
    }
}
