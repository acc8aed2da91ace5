//! RFC 8656 sections 11 and 12: payload both ways.

use crate::world::*;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use turnstone::metrics::{Direction, Dropped, relay_bytes};
use turnstone::turn::RelayAddress;
use turnstone::wire::stun::attribute::{self, Icmp};
use turnstone::wire::stun::{AttributeType as A, Class, Message, Method};

fn allocated(world: &mut World) -> (Client, SocketAddr) {
    let mut alice = Client::new(1, "alice");
    alice.allocate(world);
    let relayed = alice.relayed.unwrap();
    (alice, relayed)
}

fn to_client(out: &[Out]) -> &[u8] {
    let [Out::ToClient { bytes, .. }] = out else { panic!("{out:?}") };
    bytes
}

#[test]
fn point_1_channel_data_and_indications_without_an_allocation_are_dropped_in_silence() {
    let mut world = World::seeded(1);
    let alice = Client::new(1, "alice");
    assert_eq!(alice.send(&mut world, peer(1), b"x"), [Out::Dropped(Dropped::NoAllocation)]);
    assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), [Out::Dropped(Dropped::NoAllocation)]);
    let mut alice = alice;
    for method in [Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND] {
        assert_eq!(alice.ask(&mut world, method, &[]).code, 437);
    }
}

#[test]
fn send_and_data_indications_carry_payload_of_any_length() {
    let mut world = World::seeded(1);
    let (mut alice, relayed) = allocated(&mut world);
    alice.permit(&mut world, &[peer(1)]);
    for length in [0, 1, 2, 3, 4, 1200, 65_000] {
        let payload = vec![0x5A; length];
        let sent = alice.send(&mut world, peer(1), &payload);
        let expected =
            Out::ToPeer { from: relayed, peer: peer(1), payload: payload.clone(), dont_fragment: false };
        assert_eq!(sent, [expected]);
        let out = world.from_peer(relayed, peer(1), &payload);
        assert_eq!(data_indication(to_client(&out)), (peer(1), payload));
    }
}

#[test]
fn point_13_a_bound_peer_is_heard_through_its_channel_only() {
    let mut world = World::seeded(1);
    let (mut alice, relayed) = allocated(&mut world);
    alice.bind(&mut world, 0x4000, peer(1));
    let out = world.from_peer(relayed, peer(1), b"abc");
    assert_eq!(to_client(&out), [0x40, 0, 0, 3, b'a', b'b', b'c'], "no padding over UDP");
    let other_port = SocketAddr::new(peer(1).ip(), 77);
    let out = world.from_peer(relayed, other_port, b"abc");
    assert_eq!(data_indication(to_client(&out)), (other_port, b"abc".to_vec()));
}

#[test]
fn point_13_an_empty_channel_message_is_an_empty_datagram() {
    let mut world = World::seeded(1);
    let (mut alice, relayed) = allocated(&mut world);
    alice.bind(&mut world, 0x4000, peer(1));
    let [Out::ToPeer { payload, .. }] = &alice.channel_data(&mut world, 0x4000, b"")[..] else { panic!() };
    assert_eq!(payload.len(), 0);
    assert_eq!(to_client(&world.from_peer(relayed, peer(1), b"")), [0x40, 0, 0, 0]);
}

#[test]
fn point_14_unbound_channels_and_short_datagrams_are_dropped_in_silence() {
    let mut world = World::seeded(1);
    let (mut alice, _) = allocated(&mut world);
    alice.bind(&mut world, 0x4000, peer(1));
    assert_eq!(alice.channel_data(&mut world, 0x4001, b"x"), [Out::Dropped(Dropped::NoChannel)]);
    for short in [&[0x40][..], &[0x40, 0, 0], &[0x40, 0, 0, 4, 1, 2, 3]] {
        assert_eq!(world.datagram(alice.address, short), [Out::Dropped(Dropped::Malformed)]);
    }
    let padded = [0x40, 0, 0, 1, 9, 0, 0, 0];
    let [Out::ToPeer { payload, .. }] = &world.datagram(alice.address, &padded)[..] else { panic!() };
    assert_eq!(payload, &[9]);
}

#[test]
fn point_17_indications_with_what_must_be_understood_are_ignored_and_the_first_attribute_wins() {
    let mut world = World::seeded(1);
    let (mut alice, _) = allocated(&mut world);
    alice.permit(&mut world, &[peer(1), peer(2)]);
    let send = |world: &mut World, more: &dyn Fn(Vec<u8>, Vec<u8>) -> Vec<(A, Vec<u8>)>| {
        let id = world.transaction();
        let attributes = more(xor(peer(1), id), xor(peer(2), id));
        let attributes: Vec<_> = attributes.iter().map(|(k, v)| (*k, v.as_slice())).collect();
        let bytes = bare(id, Class::Indication, Method::SEND, &attributes);
        world.datagram(alice.address, &bytes)
    };
    let unknown = send(&mut world, &|one, _| {
        vec![(A::XOR_PEER_ADDRESS, one), (A::DATA, b"x".to_vec()), (A(0x7000), vec![])]
    });
    assert_eq!(unknown, [Out::Dropped(Dropped::BadIndication)]);
    // security R12, coturn 2016: last-wins would send past the check
    let twice = send(&mut world, &|one, two| {
        vec![
            (A::XOR_PEER_ADDRESS, one),
            (A::XOR_PEER_ADDRESS, two),
            (A::DATA, b"1".to_vec()),
            (A::DATA, b"2".to_vec()),
        ]
    });
    let [Out::ToPeer { peer: to, payload, .. }] = &twice[..] else { panic!("{twice:?}") };
    assert_eq!((*to, &payload[..]), (peer(1), &b"1"[..]));
    for missing in 0..2 {
        let out = send(&mut world, &|one, _| {
            if missing == 0 { vec![(A::XOR_PEER_ADDRESS, one)] } else { vec![(A::DATA, vec![1])] }
        });
        assert_eq!(out, [Out::Dropped(Dropped::BadIndication)]);
    }
}

#[test]
fn point_23_a_peer_without_permission_is_dropped_in_silence() {
    let mut world = World::seeded(1);
    let (mut alice, relayed) = allocated(&mut world);
    assert_eq!(world.from_peer(relayed, peer(1), b"x"), [Out::Dropped(Dropped::NoPermission)]);
    alice.permit(&mut world, &[peer(2)]);
    assert_eq!(world.from_peer(relayed, peer(1), b"x"), [Out::Dropped(Dropped::NoPermission)]);
    let zero = SocketAddr::new(peer(2).ip(), 0);
    assert_eq!(world.from_peer(relayed, zero, b"x"), [Out::Dropped(Dropped::BadSource)]);
}

#[test]
fn point_24_an_icmp_error_reaches_the_client_of_a_permitted_peer() {
    let mut world = World::seeded(1);
    let (mut alice, relayed) = allocated(&mut world);
    let unreachable = Icmp { icmp_type: 3, code: 3, data: 0 };
    assert_eq!(world.icmp(relayed, peer(1), unreachable), None, "no permission for the embedded destination");
    alice.permit(&mut world, &[peer(1)]);
    let told = world.icmp(relayed, peer(1), unreachable).unwrap();
    let message = Message::parse(&told).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
    assert_eq!(message.first(A::DATA), None);
    assert_eq!(attribute::decode_icmp(message.first(A::ICMP).unwrap()), Ok(unreachable));
    let named =
        attribute::decode_xor_address(message.first(A::XOR_PEER_ADDRESS).unwrap(), message.transaction_id());
    assert_eq!(named, Ok(peer(1)));
    for (icmp_type, told) in [(11, true), (0, false), (5, false), (8, false)] {
        let icmp = Icmp { icmp_type, code: 0, data: 0 };
        assert_eq!(world.icmp(relayed, peer(1), icmp).is_some(), told, "{icmp_type}");
    }
    assert_eq!(world.open_ports().len(), 1, "security Q8: it never closes an allocation");
}

#[test]
fn point_25_dont_fragment_is_a_property_of_one_datagram() {
    let mut world = World::seeded(1);
    let (mut alice, _) = allocated(&mut world);
    alice.permit(&mut world, &[peer(1)]);
    let id = world.transaction();
    let attributes: [(A, &[u8]); 3] =
        [(A::XOR_PEER_ADDRESS, &xor(peer(1), id)), (A::DONT_FRAGMENT, &[]), (A::DATA, b"x")];
    let bytes = bare(id, Class::Indication, Method::SEND, &attributes);
    let [Out::ToPeer { dont_fragment, .. }] = &world.datagram(alice.address, &bytes)[..] else { panic!() };
    assert!(dont_fragment);
}

#[test]
fn a_datagram_that_its_header_makes_too_long_is_dropped_and_counted() {
    let mut world = World::seeded(1);
    let (mut alice, relayed) = allocated(&mut world);
    alice.bind(&mut world, 0x4000, peer(1));
    let longest = vec![0; 65_503];
    assert_eq!(to_client(&world.from_peer(relayed, peer(1), &longest)).len(), 65_507);
    let too_long = vec![0; 65_504];
    assert_eq!(world.from_peer(relayed, peer(1), &too_long), [Out::Dropped(Dropped::TooBig)]);
}

#[test] // security R7
fn clients_behind_one_to_one_nat_reach_each_other_by_their_external_addresses() {
    let external: IpAddr = Ipv4Addr::new(192, 31, 196, 99).into();
    let internal: IpAddr = Ipv4Addr::new(10, 0, 0, 5).into();
    let options = Options { addresses: vec![RelayAddress { internal, external }], ..Options::default() };
    let mut world = World::with(1, options);
    let (mut alice, mut bob) = (Client::new(1, "alice"), Client::new(2, "bob"));
    alice.allocate(&mut world);
    bob.allocate(&mut world);
    let (a, b) = (alice.relayed.unwrap(), bob.relayed.unwrap());
    assert_eq!((a.ip(), b.ip()), (external, external));
    assert_eq!(alice.bind(&mut world, 0x4000, b).code, 0);
    assert_eq!(bob.permit(&mut world, &[a]).code, 0);
    let [Out::ToPeer { from, peer: to, .. }] = &alice.channel_data(&mut world, 0x4000, b"hi")[..] else {
        panic!("relayed");
    };
    assert_eq!((*from, *to), (SocketAddr::new(internal, a.port()), SocketAddr::new(internal, b.port())));
    let (from, to) = (*from, *to);
    let out = world.from_peer(to, from, b"hi");
    assert_eq!(
        data_indication(to_client(&out)),
        (a, b"hi".to_vec()),
        "bob knows alice by her external address"
    );
}

#[test]
fn payload_is_counted_without_headers() {
    let mut world = World::seeded(1);
    let (mut alice, relayed) = allocated(&mut world);
    alice.bind(&mut world, 0x4000, peer(1));
    alice.channel_data(&mut world, 0x4000, &[0; 100]);
    world.from_peer(relayed, peer(1), &[0; 50]);
    let udp = turnstone::base::Transport::Udp;
    assert_eq!(world.server.counters().value(relay_bytes(Direction::FromClient, udp)), 100);
    assert_eq!(world.server.counters().value(relay_bytes(Direction::FromPeer, udp)), 50);
}
