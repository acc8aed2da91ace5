//! NAT behaviour discovery (RFC 5780): which door answers, to which port, and with what.

use crate::world::*;
use std::net::{IpAddr, SocketAddr};
use turnstone::base::{Rate, Transport};
use turnstone::metrics::Dropped;
use turnstone::turn::{Discovery, REPLY_BYTES_MAX, ReplyBudget, Verdict};
use turnstone::wire::stun::attribute::decode_address;
use turnstone::wire::stun::{AttributeType as A, Class, Message, MessageWriter, Method, TransactionId};

/// Door 0 has no alternate; the four others belong together, in no order.
const DOORS: [u32; 4] = [2, 1, 4, 3];
const PORTS: [u16; 2] = [3478, 3479];
const ID: TransactionId = TransactionId([9; 12]);
const CHANGES: [u8; 4] = [0, 2, 4, 6];

#[test] // RFC 5780 section 6.1, table 1
fn the_answer_leaves_from_the_door_that_the_flags_name() {
    for ips in [V4, V6] {
        let mut world = world(ips, ips);
        for at in 0..4 {
            for flags in CHANGES {
                let answer = ask(&mut world, from(ips, at), &[(A::CHANGE_REQUEST, &[0, 0, 0, flags])]);
                let answering = at ^ usize::from(flags >> 1);
                assert_eq!(answer.via.door, DOORS[answering], "at {at}, flags {flags}");
                assert_eq!(answer.via.local, address(ips, answering));
                assert_eq!(answer.address(A::RESPONSE_ORIGIN), address(ips, answering));
                assert_eq!(answer.address(A::OTHER_ADDRESS), address(ips, at ^ 3));
                assert_eq!(answer.via.remote, from(ips, at).remote);
            }
        }
    }
}

#[test] // RFC 5780 section 6.1
fn a_plain_binding_gets_both_mapped_addresses_origin_and_other_and_nothing_more() {
    for (ips, bytes) in [(V4, 68), (V6, 116)] {
        let answer = ask(&mut world(ips, ips), from(ips, 0), &[]);
        assert_eq!(answer.via, from(ips, 0), "by the way it came");
        assert_eq!(answer.address(A::MAPPED_ADDRESS), from(ips, 0).remote);
        assert_eq!(Answer::read(&answer.bytes).mapped, Some(from(ips, 0).remote));
        assert_eq!(answer.address(A::RESPONSE_ORIGIN), address(ips, 0));
        assert_eq!(answer.address(A::OTHER_ADDRESS), address(ips, 3));
        assert_eq!(answer.bytes.len(), bytes);
    }
}

#[test]
fn behind_one_to_one_nat_clients_are_told_the_outer_addresses() {
    let inside = ["10.0.0.4", "10.0.0.5"];
    let mut world = world(inside, V4);
    let answer = ask(&mut world, from(inside, 0), &[(A::CHANGE_REQUEST, &[0, 0, 0, 4])]);
    assert_eq!(answer.via.local, address(inside, 2), "the socket is the inner one");
    assert_eq!(answer.address(A::RESPONSE_ORIGIN), address(V4, 2));
    assert_eq!(answer.address(A::OTHER_ADDRESS), address(V4, 3));
}

#[test] // security U1; RFC 5780 section 6.1: 420 without an alternate address and port
fn a_door_without_alternate_beside_them_answers_as_if_there_were_none() {
    let (mut with, mut without) = (world(V4, V4), World::seeded(1));
    let client = Client::new(1, "").address;
    let bare = binding(&[]);
    assert_eq!(with.datagram(client, &bare), without.datagram(client, &bare));
    assert_eq!(ask(&mut with, client, &[]).bytes.len(), 32);
    for kind in [A::CHANGE_REQUEST, A::PADDING, A::RESPONSE_PORT] {
        let answer = ask(&mut with, client, &[(kind, &[0, 0, 0, 6])]);
        let answer = Answer::read(&answer.bytes);
        assert_eq!((answer.code, answer.unknown), (420, vec![kind.0]));
    }
}

#[test] // RFC 5780 section 7: used with Binding only
fn other_requests_and_indications_do_not_understand_its_attributes() {
    let mut world = world(V4, V4);
    let mut alice = Client::new(1, "alice");
    alice.address.door = DOORS[0];
    for kind in [A::CHANGE_REQUEST, A::PADDING, A::RESPONSE_PORT] {
        let answer = alice.try_allocate(&mut world, &[(kind, &[0, 0, 0, 6])]);
        assert_eq!((answer.code, answer.unknown), (420, vec![kind.0]));
    }
    alice.allocate(&mut world);
    alice.permit(&mut world, &[peer(1)]);
    let to = xor(peer(1), ID);
    let send = |more| {
        bare(ID, Class::Indication, Method::SEND, &[(A::XOR_PEER_ADDRESS, &to), (A::DATA, b"x"), more])
    };
    let plain = world.datagram(alice.address, &send((A::SOFTWARE, b"y")));
    assert!(matches!(plain[..], [Out::ToPeer { .. }]), "{plain:?}");
    let out = world.datagram(alice.address, &send((A::PADDING, &[0; 4])));
    assert_eq!(out, [Out::Dropped(Dropped::BadIndication)]);
}

#[test] // a connection cannot be answered from elsewhere
fn change_request_over_a_connection_is_refused() {
    for transport in [Transport::Tcp, Transport::Tls, Transport::Dtls] {
        let mut client = from(V4, 0);
        client.transport = transport;
        let mut world = world(V4, V4);
        let answer = ask(&mut world, client, &[(A::CHANGE_REQUEST, &[0, 0, 0, 6])]);
        assert_eq!((Answer::read(&answer.bytes).code, answer.via), (420, client));
        let answer = ask(&mut world, client, &[]);
        assert_eq!(answer.bytes.len(), 32, "{transport:?}");
    }
}

#[test] // RFC 5780 section 7.5
fn response_port_sends_the_answer_to_another_port_of_the_same_address() {
    let mut world = world(V4, V4);
    let client = from(V4, 0);
    for value in [&[0x13, 0x88][..], &[0x13, 0x88, 0, 0]] {
        let answer = ask(&mut world, client, &[(A::RESPONSE_PORT, value)]);
        assert_eq!(answer.via.remote, SocketAddr::new(client.remote.ip(), 5000));
        assert_eq!(answer.via.door, client.door);
        assert_eq!(answer.address(A::MAPPED_ADDRESS), client.remote, "where the request came from");
    }
    let both: [(A, &[u8]); 2] = [(A::RESPONSE_PORT, &[0x13, 0x88]), (A::CHANGE_REQUEST, &[0, 0, 0, 6])];
    let answer = ask(&mut world, client, &both);
    assert_eq!((answer.via.remote.port(), answer.via.door), (5000, DOORS[3]));
}

#[test] // security U2
fn answers_to_another_port_are_paid_from_the_budget_of_their_address() {
    let rate = Rate { per_second: 3, burst: 3 };
    let mut world = World::with(1, options(V4, V4, ReplyBudget { per_source: rate, total: rate }));
    let request = binding(&[(A::RESPONSE_PORT, &[0x13, 0x88]), (A::CHANGE_REQUEST, &[0, 0, 0, 2])]);
    let mut answered = 0;
    for n in 0..20 {
        let mut client = from(V4, n % 4);
        client.remote.set_port(1000 + n as u16);
        match &world.datagram(client, &request)[..] {
            [Out::ToClient { to, .. }] => answered += u32::from(to.port() == 5000),
            out => assert_eq!(out, [Out::Dropped(Dropped::ReplyBudget)]),
        }
    }
    assert_eq!(answered, 3, "other doors and ports are no other budget");
}

#[test] // RFC 5780 section 6.1: PADDING MUST be in the answer; ours is never longer than the request
fn a_padded_request_gets_a_padded_answer_of_its_own_length_at_most() {
    for (ips, plain) in [(V4, 68), (V6, 116)] {
        let mut world = world(ips, ips);
        for padding in (0..1980).step_by(4).chain([1, 1499, 1501]) {
            for fingerprint in [false, true] {
                let request = padded(padding, fingerprint);
                let answer = send(&mut world, from(ips, 0), &request);
                let smallest = plain + 4 + if fingerprint { 8 } else { 0 };
                assert_eq!(answer.bytes.len(), request.len().max(smallest), "{padding}");
                let message = Message::parse(&answer.bytes).unwrap();
                assert!(message.first(A::PADDING).unwrap().iter().all(|byte| *byte == 0));
                assert_eq!(message.has_fingerprint(), fingerprint);
            }
        }
    }
}

#[test] // RFC 5780 section 7.5: the server MUST NOT process both
fn padding_with_response_port_is_400_and_goes_back_to_the_sender() {
    let mut world = world(V4, V4);
    let both: [(A, &[u8]); 2] = [(A::PADDING, &[0; 1000]), (A::RESPONSE_PORT, &[0x13, 0x88])];
    let answer = ask(&mut world, from(V4, 0), &both);
    assert_eq!((Answer::read(&answer.bytes).code, answer.via), (400, from(V4, 0)));
    assert!(answer.bytes.len() < 40);
}

#[test]
fn values_that_make_no_sense_are_400_and_other_attributes_420() {
    let mut world = world(V4, V4);
    let wrong: [(A, &[u8]); 5] = [
        (A::CHANGE_REQUEST, &[]),
        (A::CHANGE_REQUEST, &[6]),
        (A::CHANGE_REQUEST, &[0; 8]),
        (A::RESPONSE_PORT, &[0, 0]),
        (A::RESPONSE_PORT, &[1]),
    ];
    for attribute in wrong {
        let answer = ask(&mut world, from(V4, 1), &[attribute]);
        assert_eq!((Answer::read(&answer.bytes).code, answer.via), (400, from(V4, 1)), "{attribute:?}");
    }
    let foreign: [(A, &[u8]); 2] = [(A(0x7001), &[]), (A::CHANGE_REQUEST, &[0, 0, 0, 6])];
    let answer = ask(&mut world, from(V4, 1), &foreign);
    assert_eq!(answer.via, from(V4, 1));
    let answer = Answer::read(&answer.bytes);
    assert_eq!((answer.code, answer.unknown), (420, vec![0x7001]));
}

#[test]
fn its_answers_do_not_make_two_servers_talk_for_ever() {
    let mut world = world(V4, V4);
    let answer = ask(&mut world, from(V4, 0), &[(A::RESPONSE_PORT, &[0x0D, 0x96])]);
    let mut echo = from(V4, 3);
    echo.remote = answer.via.local;
    assert_eq!(world.datagram(echo, &answer.bytes), [Out::Dropped(Dropped::UnknownMethod)]);
}

const V4: [&str; 2] = ["192.0.2.4", "192.0.2.5"];
const V6: [&str; 2] = ["2001:db8::4", "2001:db8::5"];

struct Discovered {
    via: turnstone::turn::ClientAddr,
    bytes: Vec<u8>,
}

impl Discovered {
    fn address(&self, kind: A) -> SocketAddr {
        decode_address(Message::parse(&self.bytes).unwrap().first(kind).unwrap()).unwrap()
    }
}

fn world(bound: [&str; 2], external: [&str; 2]) -> World {
    World::with(1, options(bound, external, ReplyBudget::default()))
}

fn options(bound: [&str; 2], external: [&str; 2], replies: ReplyBudget) -> Options {
    let ips = |texts: [&str; 2]| texts.map(|text| text.parse::<IpAddr>().unwrap());
    let mut options = Options::default();
    options.settings.replies = replies;
    options.settings.discovery =
        vec![Discovery { doors: DOORS, bound: ips(bound), external: ips(external), ports: PORTS }];
    options
}

/// A client at the door with this place in the table of RFC 5780: bit 1 the address, bit 0 the port.
fn from(ips: [&str; 2], at: usize) -> turnstone::turn::ClientAddr {
    let remote = if ips[0].contains(':') { "[2001:db8:7::7]:20001" } else { "198.51.100.7:20001" };
    let mut client = Client::at(remote.parse().unwrap(), "").address;
    client.local = address(ips, at);
    client.door = DOORS[at];
    client
}

fn address(ips: [&str; 2], at: usize) -> SocketAddr {
    SocketAddr::new(ips[at >> 1].parse().unwrap(), PORTS[at & 1])
}

fn ask(world: &mut World, from: turnstone::turn::ClientAddr, attributes: Attributes<'_>) -> Discovered {
    send(world, from, &binding(attributes))
}

fn send(world: &mut World, from: turnstone::turn::ClientAddr, request: &[u8]) -> Discovered {
    let mut reply = [0xA5; REPLY_BYTES_MAX];
    let (via, length) = match world.server.on_client_datagram(world.now, &from, request, &mut reply) {
        Verdict::Reply { length } => (from, length),
        Verdict::ReplyVia(told) => (told.client, told.length),
        other => panic!("{other:?}"),
    };
    Discovered { via, bytes: reply[..length].to_vec() }
}

fn binding(attributes: Attributes<'_>) -> Vec<u8> {
    bare(ID, Class::Request, Method::BINDING, attributes)
}

fn padded(bytes: usize, fingerprint: bool) -> Vec<u8> {
    let mut buffer = [0; 2048];
    let mut writer = MessageWriter::new(&mut buffer, Class::Request, Method::BINDING, ID);
    writer.attribute(A::PADDING, &[7; 2048][..bytes]);
    if fingerprint {
        writer.fingerprint();
    }
    let length = writer.finish().unwrap();
    buffer[..length].to_vec()
}
