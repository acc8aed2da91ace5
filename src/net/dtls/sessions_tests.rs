use super::testing::{Client, World, certificate};
use super::{DtlsConfig, EndReason, Inbound, Limits, NotEcdsa, Path, Refusal};
use crate::wire::dtls::{ClientHello, bare_hello, is_hello_verify_request};
use dimpl::Config;
use dimpl::crypto::Dtls12CipherSuite;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn what_is_said_comes_through_in_both_directions_with_every_cipher_suite() {
    for suite in [
        Dtls12CipherSuite::ECDHE_ECDSA_CHACHA20_POLY1305_SHA256,
        Dtls12CipherSuite::ECDHE_ECDSA_AES128_GCM_SHA256,
        Dtls12CipherSuite::ECDHE_ECDSA_AES256_GCM_SHA384,
    ] {
        let mut world = World::new(Limits::default());
        let mut client = Client::of_suite(1, suite, world.instant());
        let id = world.shake(&mut client);
        assert!(client.connected, "{suite:?}");
        for length in [0, 1, 1200, Limits::PLAIN_BYTES_MAX] {
            let said = client.say(world.instant(), &vec![7; length]);
            assert_eq!(world.deliver(client.path, &said).plain, [vec![7; length]], "{suite:?} {length}");
            assert!(world.sessions.send(id, &vec![8; length]));
            let sent = world.drain(id).sent;
            client.take(world.instant(), &sent);
            assert_eq!(client.heard.pop(), Some(vec![8; length]), "{suite:?} {length}");
        }
        assert!(!world.sessions.send(id, &[0; Limits::PLAIN_BYTES_MAX + 1]));
    }
}

#[test]
fn a_client_that_knows_both_gets_the_cipher_suite_whose_nonces_are_counted() {
    let mut world = World::new(Limits::default());
    let mut client = world.client(1);
    client.poll(world.instant());
    let mut server_said = Vec::new();
    while let Some(datagram) = client.sent.pop_front() {
        let sent = world.deliver(client.path, &datagram).sent;
        client.take(world.instant(), &sent);
        server_said.extend(sent.concat());
    }
    // In the ServerHello the suite stands behind version, random and an empty session id.
    let hello = &server_said[60..];
    assert_eq!((hello[13], &hello[60..62]), (2, &[0xCC, 0xA9][..]));
}

#[test] // security U5; reference point 32
fn ten_thousand_hellos_without_cookie_leave_nothing() {
    let mut world = World::new(Limits::default());
    for port in 1..=10_000 {
        let hello = bare_hello(&[port as u8; 32], 0);
        let answer = world.deliver(path(port), &hello);
        assert!(
            matches!(answer.inbound, Some(Inbound::Answer(reply)) if reply.as_slice().len() <= hello.len())
        );
    }
    assert!(world.sessions.is_empty() && world.ended.is_empty());
    assert_eq!(world.sessions.next_deadline(), None);
}

#[test] // security U5
fn records_of_unknown_sources_are_dropped() {
    let mut world = World::new(Limits::default());
    let (mut client, _) = world.connected(1);
    let record = client.say(world.instant(), b"hello");
    assert_eq!(refusal(world.deliver(path(2), &record).inbound), Refusal::NoSession);
    for kind in 20..64 {
        let mut bytes = bare_hello(&[1; 32], 0);
        bytes[0] = kind;
        if kind != 22 {
            assert_eq!(refusal(world.deliver(path(2), &bytes).inbound), Refusal::NoSession, "{kind}");
        }
    }
    assert_eq!(world.sessions.len(), 1);
}

#[test]
fn a_cookie_opens_nothing_for_another_address_or_port() {
    let mut world = World::new(Limits::default());
    let mut client = world.client(1);
    let hello = hello_with_cookie(&mut world, &mut client);
    for other in [path(2), Path { remote: ([198, 51, 100, 2], 1).into(), ..path(1) }] {
        assert!(matches!(world.deliver(other, &hello).inbound, Some(Inbound::Answer(_))));
    }
    assert!(world.sessions.is_empty());
    assert!(matches!(world.deliver(client.path, &hello).inbound, Some(Inbound::Session(_))));
}

#[test] // RFC 6347 section 4.2.2: record numbers go on from those of the hello
fn the_flight_after_lost_answers_is_no_replay_to_the_client() {
    let mut world = World::new(Limits::default());
    let mut client = world.client(1);
    client.hello(world.instant());
    for _ in 0..2 {
        world.pass(4 * SECOND);
        client.hello(world.instant());
    }
    world.pass(8 * SECOND);
    let hello = hello_with_cookie(&mut world, &mut client);
    let number = ClientHello::parse(&hello).expect("a hello").record_sequence;
    assert!(number >= 3);
    let flight = world.deliver(client.path, &hello).sent;
    assert_eq!(flight[0][5..11], number.to_be_bytes()[2..]);
    client.take(world.instant(), &flight);
    world.shake(&mut client);
    assert!(client.connected);
}

#[test] // RFC 6347 section 4.2.1: a client may be asked again
fn a_client_that_was_too_slow_for_its_cookie_gets_another() {
    let mut world = World::new(Limits::default());
    let mut client = Client::new(1, Config::builder().handshake_timeout(900 * SECOND), world.instant());
    let late = hello_with_cookie(&mut world, &mut client);
    world.pass(61 * SECOND);
    let answer = world.deliver(client.path, &late);
    let again = answer.sent.first().expect("an answer");
    assert!(is_hello_verify_request(again));
    // Number 1 of the server's messages, since the first answer was number 0.
    assert_eq!(again[17..19], [0, 1]);
}

#[test]
fn a_hello_in_fragments_opens_a_session_with_its_first_one() {
    let mut world = World::new(Limits::default());
    let mut client = Client::new(1, Config::builder().mtu(100), world.instant());
    client.poll(world.instant());
    assert!(client.sent.len() > 1, "the hello does not fit one datagram");
    world.shake(&mut client);
    assert!(client.connected);
    // Fragments behind the first one of an unknown source are no hellos.
    assert_eq!(world.sessions.len(), 1);
}

#[test]
fn a_lost_flight_is_sent_again() {
    let mut world = World::new(Limits::default());
    let mut client = world.client(1);
    let hello = hello_with_cookie(&mut world, &mut client);
    let lost = world.deliver(client.path, &hello).sent;
    assert!(!lost.is_empty());
    let again = world.pass(2 * SECOND);
    assert!(!again.is_empty());
    client.take(world.instant(), &again);
    world.shake(&mut client);
    assert!(client.connected);
}

#[test]
fn a_copy_of_the_hello_goes_to_its_session() {
    let mut world = World::new(Limits::default());
    let mut client = world.client(1);
    let hello = hello_with_cookie(&mut world, &mut client);
    let first = world.deliver(client.path, &hello);
    let second = world.deliver(client.path, &hello);
    assert_eq!((first.session, world.sessions.len()), (second.session, 1));
    assert!(world.ended.is_empty());
}

#[test]
fn a_handshake_has_five_seconds() {
    let mut world = World::new(Limits::default());
    let mut client = world.client(1);
    let hello = hello_with_cookie(&mut world, &mut client);
    world.deliver(client.path, &hello);
    world.pass(Limits::HANDSHAKE - SECOND);
    assert_eq!(world.sessions.len(), 1);
    world.pass(2 * SECOND);
    assert!(world.sessions.is_empty());
    assert_eq!((world.ended[0].reason, world.ended[0].connected), (EndReason::TimedOut, false));
    assert_eq!(world.sessions.next_deadline(), None, "no timer is left");
}

#[test]
fn the_oldest_half_open_session_gives_way() {
    let mut world = World::new(Limits { half_open: 3, ..Limits::default() });
    let (_, connected) = world.connected(9);
    let mut clients: Vec<_> = (1..=4).map(|port| world.client(port)).collect();
    let mut opened = Vec::new();
    for client in &mut clients {
        let hello = hello_with_cookie(&mut world, client);
        let answer = world.deliver(client.path, &hello);
        opened.extend(answer.session);
        client.take(world.instant(), &answer.sent);
    }
    assert_eq!(world.sessions.len(), 4);
    let gone: Vec<_> = world.ended.iter().map(|ended| (ended.id, ended.reason)).collect();
    assert_eq!(gone, [(opened[0], EndReason::Evicted)]);
    assert!(world.sessions.send(connected, b"still here"));
    world.shake(&mut clients[3]);
    assert!(clients[3].connected);
}

#[test]
fn a_full_table_spares_allocations_and_evicts_who_is_idle_for_longest() {
    let mut world = World::new(Limits { sessions: 2, ..Limits::default() });
    let (_, first) = world.connected(1);
    world.pass(SECOND);
    let (mut second, _) = world.connected(2);
    world.pass(SECOND);
    world.connected(3);
    assert_eq!((world.ended[0].id, world.ended[0].reason), (first, EndReason::Evicted));
    world.host.has_allocations = true;
    let mut client = world.client(4);
    let hello = hello_with_cookie(&mut world, &mut client);
    assert_eq!(refusal(world.deliver(client.path, &hello).inbound), Refusal::Full);
    let said = second.say(world.instant(), b"still here");
    assert_eq!(world.deliver(second.path, &said).plain, [b"still here"]);
}

#[test]
fn a_session_without_allocation_ends_after_a_silent_minute() {
    let mut world = World::new(Limits::default());
    let (mut client, id) = world.connected(1);
    world.host.has_allocations = true;
    world.pass(10 * Limits::IDLE);
    assert_eq!(world.sessions.len(), 1, "its allocation keeps it");
    world.host.has_allocations = false;
    world.pass(Limits::IDLE / 2);
    let said = client.say(world.instant(), b"busy");
    world.deliver(client.path, &said);
    world.pass(Limits::IDLE / 2 + SECOND);
    assert_eq!(world.sessions.len(), 1, "it said something");
    let sent = world.pass(Limits::IDLE);
    assert_eq!((world.ended[0].id, world.ended[0].reason), (id, EndReason::Idle));
    client.take(world.instant(), &sent);
    assert!(client.told_to_close);
    assert!(world.sessions.is_empty() && world.sessions.next_deadline().is_none());
}

#[test]
fn a_client_that_says_goodbye_hears_it_too() {
    let mut world = World::new(Limits::default());
    let (mut client, id) = world.connected(1);
    client.dtls.close().expect("connected");
    client.poll(world.instant());
    let goodbye = client.sent.pop_front().expect("an alert");
    let answer = world.deliver(client.path, &goodbye);
    assert_eq!(answer.sent.len(), 1);
    assert_eq!((world.ended[0].id, world.ended[0].reason), (id, EndReason::Closed));
    assert!(world.sessions.is_empty());
}

#[test] // RFC 6347 section 4.2.8: the old session lives until the address is proven again
fn a_client_may_begin_anew_from_the_same_port() {
    let mut world = World::new(Limits::default());
    let (mut old, id) = world.connected(1);
    let mut new = world.client(1);
    let hello = new.hello(world.instant());
    let answer = world.deliver(new.path, &hello);
    let said = old.say(world.instant(), b"still here");
    assert_eq!(world.deliver(old.path, &said).plain, [b"still here"]);
    new.take(world.instant(), &answer.sent);
    world.shake(&mut new);
    assert!(new.connected);
    assert_eq!((world.ended[0].id, world.ended[0].reason), (id, EndReason::Replaced));
    assert_eq!(world.sessions.len(), 1);
}

#[test]
fn garbage_does_not_end_a_session() {
    let mut world = World::new(Limits::default());
    let (mut client, _) = world.connected(1);
    let record = client.say(world.instant(), b"first");
    assert_eq!(world.deliver(client.path, &record).plain.len(), 1);
    assert_eq!(world.deliver(client.path, &record).plain.len(), 0, "a replay says nothing");
    for at in 0..record.len() {
        let mut changed = client.say(world.instant(), b"wrong");
        changed[at] ^= 1;
        world.deliver(client.path, &changed);
        world.deliver(client.path, &record[..at]);
    }
    let oversized = vec![23; Limits::DATAGRAM_BYTES_MAX + 1];
    assert_eq!(refusal(world.deliver(client.path, &oversized).inbound), Refusal::TooBig);
    let record = client.say(world.instant(), b"last");
    assert_eq!(world.deliver(client.path, &record).plain, [b"last"]);
    assert!(world.ended.is_empty());
}

#[test]
fn a_handshake_may_not_be_large() {
    let mut world = World::new(Limits::default());
    let mut client = world.client(1);
    let mut hello = hello_with_cookie(&mut world, &mut client);
    hello.resize(Limits::HANDSHAKE_BYTES_MAX + 1, 0);
    assert_eq!(refusal(world.deliver(client.path, &hello).inbound), Refusal::TooBig);
    assert!(world.sessions.is_empty());
}

#[test]
fn who_is_not_admitted_gets_no_session() {
    let mut world = World::new(Limits::default());
    world.host.admits = false;
    let mut client = world.client(1);
    let hello = hello_with_cookie(&mut world, &mut client);
    assert_eq!(refusal(world.deliver(client.path, &hello).inbound), Refusal::NotAdmitted);
    assert!(world.sessions.is_empty());
}

#[test] // RFC 8996: DTLS 1.0 is no more
fn a_client_of_dtls_1_0_or_with_other_cipher_suites_is_told_so() {
    let mut world = World::new(Limits::default());
    for (at, value, alert) in [(26, 0xFF, 70), (64, 0x2F, 40)] {
        let mut hello = bare_hello(&[1; 32], 0);
        hello[at] = value;
        let sent = world.deliver(path(1), &hello).sent;
        assert_eq!((sent[0][0], &sent[0][13..]), (21, &[2, alert][..]));
    }
    assert!(world.sessions.is_empty());
}

#[test]
fn only_ecdsa_keys_will_do() {
    let (leaf, key) = certificate();
    assert!(DtlsConfig::new(leaf.clone(), key).is_ok());
    let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key").serialize_der();
    assert_eq!(DtlsConfig::new(leaf.clone(), ed25519).err(), Some(NotEcdsa));
    assert_eq!(DtlsConfig::new(leaf, b"no key at all".to_vec()).err(), Some(NotEcdsa));
}

/// Lets a client send its hello and answers it; returns the second one, which is not delivered yet.
fn hello_with_cookie(world: &mut World, client: &mut Client) -> Vec<u8> {
    let hello = client.hello(world.instant());
    let answer = world.deliver(client.path, &hello);
    assert!(matches!(answer.inbound, Some(Inbound::Answer(_))));
    client.take(world.instant(), &answer.sent);
    client.hello(world.instant())
}

fn path(port: u16) -> Path {
    let local = "192.0.2.1:5349".parse().expect("an address");
    Path { door: 0, local, remote: ([198, 51, 100, 1], port).into() }
}

fn refusal(inbound: Option<Inbound>) -> Refusal {
    match inbound {
        Some(Inbound::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}
