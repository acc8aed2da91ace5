//! What strangers send, and how little they get for it.

use crate::world::*;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use turnstone::base::Random;
use turnstone::metrics::{Dropped, dropped};
use turnstone::wire::stun::{AttributeType as A, Class, Method, TransactionId};

fn request(method: Method, attributes: Attributes<'_>) -> Vec<u8> {
    bare(TransactionId([3; 12]), Class::Request, method, attributes)
}

#[test] // security U1
fn a_binding_reply_is_1_6_times_a_bare_header_on_ipv4_and_2_2_on_ipv6() {
    let mut world = World::seeded(1);
    let bare = request(Method::BINDING, &[]);
    assert_eq!(bare.len(), 20);
    let v4 = Answer::only(&world.datagram(Client::new(1, "").address, &bare));
    assert_eq!(v4.bytes.len(), 32);
    let v6 = Answer::only(&world.datagram(Client::at("[2606::9]:9".parse().unwrap(), "").address, &bare));
    assert_eq!(v6.bytes.len(), 44);
}

#[test] // security U2
fn a_challenge_is_twice_a_real_allocate_and_names_no_software() {
    let mut world = World::seeded(1);
    let allocate = request(Method::ALLOCATE, &[(A::REQUESTED_TRANSPORT, UDP)]);
    assert_eq!(allocate.len(), 28);
    let answer = Answer::only(&world.datagram(Client::new(1, "").address, &allocate));
    // RFC 8489's own adds a nonce cookie and PASSWORD-ALGORITHMS.
    assert_eq!((answer.code, answer.bytes.len()), (401, if is_modern() { 84 } else { 56 }));
}

#[test] // security U2
fn no_unauthenticated_request_gets_more_than_2_8_times_its_size() {
    let tenths_max = if is_modern() { 42 } else { 28 };
    let mut world = World::seeded(1);
    let client = Client::new(1, "");
    for method in
        [Method::BINDING, Method::ALLOCATE, Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND]
    {
        for unknown in 0..40u16 {
            let kinds: Vec<_> = (0..unknown).map(|n| (A(0x7000 + n), &[][..])).collect();
            let request = request(method, &kinds);
            let answer = Answer::only(&world.datagram(client.address, &request));
            assert!(answer.bytes.len() * 10 <= request.len() * tenths_max, "{method:?} {unknown}");
        }
    }
}

#[test]
fn a_fingerprint_is_answered_with_a_fingerprint_only() {
    let mut world = World::seeded(1);
    let mut buffer = [0; 64];
    let mut writer = turnstone::wire::stun::MessageWriter::new(
        &mut buffer,
        Class::Request,
        Method::BINDING,
        TransactionId([1; 12]),
    );
    writer.fingerprint();
    let length = writer.finish().unwrap();
    let answer = Answer::only(&world.datagram(Client::new(1, "").address, &buffer[..length]));
    assert_eq!(answer.bytes.len(), 40);
}

#[test]
fn replies_to_one_source_stop_at_its_budget_and_others_go_on() {
    let mut world = World::seeded(1);
    let bare = request(Method::BINDING, &[]);
    let flood = |world: &mut World, from: SocketAddr, n: u16| {
        let mut address = Client::at(from, "").address;
        let answered = (0..n).filter(|i| {
            address.remote.set_port(1000 + i);
            matches!(world.datagram(address, &bare)[..], [Out::ToClient { .. }])
        });
        answered.count()
    };
    let source: SocketAddr = "198.51.100.9:1".parse().unwrap();
    assert_eq!(flood(&mut world, source, 20_000), 5_000, "the burst of one /32");
    assert_eq!(flood(&mut world, "198.51.100.10:1".parse().unwrap(), 100), 100);
    world.pass(Duration::from_secs(1));
    assert_eq!(flood(&mut world, source, 20_000), 500);
    // One subscriber has a whole /64.
    let mut v6 = 0;
    for n in 0..10_000u16 {
        let from: SocketAddr = format!("[2606:4700:0:1::{n:x}]:9").parse().unwrap();
        v6 += flood(&mut world, from, 1);
    }
    assert_eq!(v6, 5_000);
    assert_eq!(flood(&mut world, "127.0.0.1:1".parse().unwrap(), 20_000), 20_000, "loopback is exempt");
}

#[test]
fn replies_to_all_strangers_together_stop_at_the_total() {
    let mut world = World::seeded(1);
    let bare = request(Method::BINDING, &[]);
    let mut answered = 0;
    for n in 0..120_000u32 {
        let from = SocketAddr::new(Ipv4Addr::from_bits(0x0b00_0000 + n).into(), 9);
        answered += usize::from(matches!(
            world.datagram(Client::at(from, "").address, &bare)[..],
            [Out::ToClient { .. }]
        ));
    }
    assert_eq!(answered, 50_000);
    assert!(world.server.counters().value(dropped(Dropped::ReplyBudget)) >= 70_000);
}

#[test]
fn an_authenticated_client_is_never_budgeted() {
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    alice.allocate(&mut world);
    for _ in 0..10_000 {
        assert_eq!(alice.refresh(&mut world, 600).code, 0);
    }
}

#[test]
fn point_15_only_the_first_bytes_of_the_table_are_looked_at() {
    let mut world = World::seeded(1);
    let address = Client::new(1, "").address;
    for first in 0..=255u8 {
        let mut bytes = [0u8; 64];
        bytes[0] = first;
        let expected = match first {
            0..=3 => Dropped::Malformed,
            64..=79 => Dropped::Malformed,
            80..=127 => Dropped::ReservedChannel,
            _ => Dropped::UnknownProtocol,
        };
        assert_eq!(world.datagram(address, &bytes), [Out::Dropped(expected)], "{first}");
    }
    assert_eq!(world.datagram(address, &[]), [Out::Dropped(Dropped::UnknownProtocol)]);
}

#[test]
fn point_17_malformed_stun_is_never_answered_and_unknown_attributes_are_named() {
    let mut world = World::seeded(1);
    let address = Client::new(1, "").address;
    let good = request(Method::BINDING, &[(A::SOFTWARE, b"client")]);
    for cut in 1..good.len() {
        assert_eq!(world.datagram(address, &good[..cut]), [Out::Dropped(Dropped::Malformed)]);
    }
    let mut longer = good.clone();
    longer.extend_from_slice(&[0; 4]);
    assert_eq!(world.datagram(address, &longer), [Out::Dropped(Dropped::Malformed)]);
    // CHANGE-REQUEST of RFC 3489 and 5780, at a door without an alternate.
    let answer = Answer::only(&world.datagram(address, &request(Method::BINDING, &[(A(3), &[0; 4])])));
    assert_eq!((answer.code, answer.unknown), (420, vec![3]));
    let optional = request(Method::BINDING, &[(A(0x8030), &[0; 4])]);
    assert_eq!(Answer::only(&world.datagram(address, &optional)).code, 0);
}

#[test]
fn point_17_an_authenticated_request_with_unknown_attributes_is_420_and_signed() {
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    let answer = alice.try_allocate(&mut world, &[(A(0x7001), &[]), (A(0x7001), &[]), (A(0x7002), &[])]);
    assert_eq!((answer.code, answer.signed, answer.unknown), (420, true, vec![0x7001, 0x7002]));
    assert_eq!(world.server.allocations(), 0);
}

#[test] // security U11: coturn ab762f33
fn point_17_attributes_behind_the_integrity_change_nothing() {
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    alice.allocate(&mut world);
    let id = world.transaction();
    let mut request = alice.request(id, Method::REFRESH, &[(A::LIFETIME, &700u32.to_be_bytes())]);
    request.extend_from_slice(&[0, 0x0d, 0, 4, 0, 0, 0, 0]);
    let length = (request.len() - 20) as u16;
    request[2..4].copy_from_slice(&length.to_be_bytes());
    let answer = Answer::only(&world.datagram(alice.address, &request));
    assert_eq!((answer.code, answer.lifetime_s), (0, Some(700)));
}

#[test]
fn responses_unknown_methods_and_strange_indications_are_dropped() {
    let mut world = World::seeded(1);
    let address = Client::new(1, "").address;
    for class in [Class::Success, Class::Error] {
        let bytes = bare(TransactionId([1; 12]), class, Method::BINDING, &[]);
        assert_eq!(world.datagram(address, &bytes), [Out::Dropped(Dropped::UnknownMethod)]);
    }
    for method in
        [Method::CONNECT, Method::CONNECTION_BIND, Method::new(0x002), Method::new(0x0FF), Method::DATA]
    {
        let bytes = request(method, &[]);
        assert_eq!(world.datagram(address, &bytes), [Out::Dropped(Dropped::UnknownMethod)], "{method:?}");
    }
    let data = bare(TransactionId([1; 12]), Class::Indication, Method::DATA, &[]);
    assert_eq!(world.datagram(address, &data), [Out::Dropped(Dropped::UnknownMethod)]);
    let keepalive = bare(TransactionId([1; 12]), Class::Indication, Method::BINDING, &[]);
    assert_eq!(world.datagram(address, &keepalive), []);
}

#[test] // security R10
fn a_source_port_of_zero_is_dropped() {
    let mut world = World::seeded(1);
    let mut address = Client::new(1, "").address;
    address.remote.set_port(0);
    assert_eq!(world.datagram(address, &request(Method::BINDING, &[])), [Out::Dropped(Dropped::BadSource)]);
}

#[test] // security P5
fn a_request_of_absurd_size_is_dropped_before_its_attributes_are_walked() {
    let mut world = World::seeded(1);
    let kinds: Vec<_> = (0..1000).map(|_| (A(0xC000), &[][..])).collect();
    let out = world.datagram(Client::new(1, "").address, &request(Method::BINDING, &kinds));
    assert_eq!(out, [Out::Dropped(Dropped::TooBig)]);
}

#[test] // security P3: CVE-2020-4067
fn no_byte_of_an_old_buffer_is_in_a_reply() {
    // The world fills reply buffers with 0xA5; nothing of ours contains four of them in a row.
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    let mut answers = vec![alice.allocate_with(&mut world, &[(A::EVEN_PORT, &[0x80])])];
    answers.push(alice.permit(&mut world, &[peer(1)]));
    answers.push(alice.bind(&mut world, 0x4000, peer(1)));
    answers.push(alice.try_allocate(&mut world, &[]));
    answers.push(Client::new(2, "alice").try_allocate(&mut world, &[(A(0x7001), &[])]));
    for answer in answers {
        assert!(!answer.bytes.windows(4).any(|w| w == [0xA5; 4]), "{answer:?}");
    }
}

#[test]
fn random_datagrams_leave_no_state() {
    let mut world = World::seeded(1);
    let mut random = Random::seeded(99);
    for n in 0..100_000u32 {
        let mut bytes: Vec<u8> = (0..random.below(80)).map(|_| random.next_u64() as u8).collect();
        if n % 2 == 0 && bytes.len() >= 20 {
            // Half of them look like STUN.
            bytes[0] &= 1;
            bytes[4..8].copy_from_slice(&[0x21, 0x12, 0xA4, 0x42]);
            let length = (bytes.len() - 20) & !3;
            bytes.truncate(20 + length);
            bytes[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        }
        let from = SocketAddr::new(Ipv4Addr::from_bits(random.next_u64() as u32).into(), 9);
        world.datagram(Client::at(from, "").address, &bytes);
    }
    assert_eq!(world.server.allocations(), 0);
    assert_eq!(world.effects, []);
}
