//! RFC 8489 section 9.2 in front of every request.

use crate::world::*;
use std::net::SocketAddr;
use std::time::Duration;
use turnstone::auth::{MintRequest, Secret, Variant, mint};
use turnstone::metrics::{AuthFailed, auth_challenges, auth_failures};
use turnstone::turn::Settings;
use turnstone::wire::stun::{
    AttributeType as A, Class, IntegrityAlgorithm, MessageWriter, Method, TransactionId,
};

fn minted(expires_in_s: u64, variant: Variant) -> Client {
    let request = MintRequest::new(EPOCH, Duration::from_secs(expires_in_s), "alice");
    let credential = mint(&Secret::new(SECRET), variant, &request).unwrap();
    Client {
        username: credential.username,
        password: credential.password.expose().into(),
        ..Client::new(1, "alice")
    }
}

#[test]
fn point_20_the_first_answer_is_an_unsigned_challenge_and_counts_no_failure() {
    let mut world = World::seeded(1);
    let alice = Client::new(1, "alice");
    for method in [Method::ALLOCATE, Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND] {
        let answer = Answer::only(
            &world.datagram(alice.address, &bare(TransactionId::default(), Class::Request, method, &[])),
        );
        assert_eq!((answer.code, answer.signed), (401, false));
        assert_eq!(answer.nonce.map(|n| n.len()), Some(if is_modern() { 29 } else { 16 }));
    }
    assert_eq!(world.server.counters().value(auth_challenges()), 4);
}

#[test]
fn point_20_integrity_without_username_realm_or_nonce_is_400() {
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    alice.permit(&mut world, &[]);
    for missing in [A::USERNAME, A::REALM, A::NONCE] {
        let mut buffer = [0; 512];
        let mut writer =
            MessageWriter::new(&mut buffer, Class::Request, Method::ALLOCATE, TransactionId([1; 12]));
        for (kind, value) in [(A::USERNAME, &b"alice"[..]), (A::REALM, b"turn"), (A::NONCE, &alice.nonce)] {
            if kind != missing {
                writer.attribute(kind, value);
            }
        }
        writer.integrity(IntegrityAlgorithm::Sha1, &alice.key());
        let length = writer.finish().unwrap();
        let answer = Answer::only(&world.datagram(alice.address, &buffer[..length]));
        assert_eq!((answer.code, answer.signed), (400, false), "{missing:?}");
    }
}

#[test]
fn point_20_unknown_user_and_wrong_password_get_the_same_401() {
    let mut world = World::seeded(1);
    let mut nobody = Client::new(1, "nobody");
    let mut wrong = Client { password: "wrong".into(), ..Client::new(2, "alice") };
    let (a, b) = (nobody.try_allocate(&mut world, &[]), wrong.try_allocate(&mut world, &[]));
    assert_eq!((a.code, a.signed, a.bytes.len()), (401, false, b.bytes.len()));
    assert_eq!((b.code, b.signed), (401, false));
    assert_eq!(world.server.counters().value(auth_failures(AuthFailed::UnknownUser)), 1);
    assert_eq!(world.server.counters().value(auth_failures(AuthFailed::BadIntegrity)), 1);
}

#[test]
fn point_20_a_stale_nonce_is_438_with_a_fresh_one_and_no_failed_guess() {
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    alice.allocate(&mut world);
    for _ in 0..6 {
        alice.refresh(&mut world, 3600);
        world.pass(Duration::from_secs(601));
    }
    let id = world.transaction();
    let request = alice.request(id, Method::REFRESH, &[]);
    let answer = Answer::only(&world.datagram(alice.address, &request));
    assert_eq!((answer.code, answer.signed), (438, false));
    alice.nonce = answer.nonce.unwrap();
    let id = world.transaction();
    let request = alice.request(id, Method::REFRESH, &[]);
    assert_eq!(Answer::only(&world.datagram(alice.address, &request)).code, 0);
    assert_eq!(world.server.counters().value(auth_failures(AuthFailed::BadIntegrity)), 0);
}

#[test]
fn point_5_a_nonce_lives_an_hour_and_what_is_kept_of_a_user_is_a_key() {
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    alice.permit(&mut world, &[]);
    let ask = |world: &mut World, alice: &Client| {
        let id = world.transaction();
        let request = alice.request(id, Method::REFRESH, &[]);
        Answer::only(&world.datagram(alice.address, &request)).code
    };
    world.pass(Duration::from_secs(3600));
    assert_eq!(ask(&mut world, &alice), 437, "still good");
    world.pass(Duration::from_secs(1));
    assert_eq!(ask(&mut world, &alice), 438);
    // Nothing that the server holds shows a password, nor the key in its place.
    alice.nonce.clear();
    alice.allocate(&mut world);
    let shown = format!("{:?}", world.server);
    assert!(shown.contains("IntegrityKey(..)") && !shown.contains("alice-password"));
}

#[test]
fn point_19_a_changed_byte_breaks_the_integrity_and_a_fingerprint_stands_behind_it() {
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    alice.permit(&mut world, &[]);
    let mut buffer = [0; 512];
    let mut writer =
        MessageWriter::new(&mut buffer, Class::Request, Method::ALLOCATE, TransactionId([5; 12]));
    writer.attribute(A::REQUESTED_TRANSPORT, UDP);
    writer.attribute(A::USERNAME, b"alice");
    writer.attribute(A::REALM, b"turn");
    writer.attribute(A::NONCE, &alice.nonce);
    writer.integrity(IntegrityAlgorithm::Sha1, &alice.key());
    let unsealed = writer.finish().unwrap();
    let mut forged = buffer[..unsealed].to_vec();
    forged[24] ^= 1;
    assert_eq!(Answer::only(&world.datagram(alice.address, &forged)).code, 401);
    // The client's integrity was made without the fingerprint, which follows it.
    let mut sealed = [0; 512];
    let mut writer =
        MessageWriter::new(&mut sealed, Class::Request, Method::ALLOCATE, TransactionId([5; 12]));
    writer.attribute(A::REQUESTED_TRANSPORT, UDP);
    writer.attribute(A::USERNAME, b"alice");
    writer.attribute(A::REALM, b"turn");
    writer.attribute(A::NONCE, &alice.nonce);
    writer.integrity(IntegrityAlgorithm::Sha1, &alice.key());
    writer.fingerprint();
    let length = writer.finish().unwrap();
    let answer = Answer::only(&world.datagram(alice.address, &sealed[..length]));
    assert_eq!(answer.code, 0);
    let bytes = &answer.bytes;
    assert_eq!(bytes[bytes.len() - 8..bytes.len() - 4], [0x80, 0x28, 0, 4], "FINGERPRINT is the last");
}

#[test]
fn point_21_names_and_passwords_beyond_ascii_are_compared_as_opaque_strings() {
    // The operator typed the letters apart from their accents, the browser sends them as one.
    let users = vec![("u\u{308}ser".to_owned(), "pa\u{30a}ss".to_owned())];
    let mut world = World::with(1, Options { users, ..Options::default() });
    let mut user = Client { password: "p\u{e5}ss".into(), ..Client::new(1, "\u{fc}ser") };
    user.allocate(&mut world);
}

#[test]
fn point_22_a_nonce_from_another_address_is_stale_not_wrong() {
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    alice.allocate(&mut world);
    let id = world.transaction();
    let captured = alice.request(id, Method::ALLOCATE, &[(A::REQUESTED_TRANSPORT, UDP)]);
    let mut moved = alice.address;
    moved.remote = SocketAddr::new(moved.remote.ip(), 9);
    assert_eq!(Answer::only(&world.datagram(moved, &captured)).code, 438);
}

#[test] // security U8
fn a_replayed_refresh_zero_kills_nothing_new() {
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    alice.allocate(&mut world);
    let id = world.transaction();
    let kill = alice.request(id, Method::REFRESH, &[(A::LIFETIME, &[0; 4])]);
    assert_eq!(Answer::only(&world.datagram(alice.address, &kill)).code, 0);
    assert_eq!(Answer::only(&world.datagram(alice.address, &kill)).code, 437);
}

#[test]
fn point_1_another_user_on_the_five_tuple_gets_441_after_it_is_authenticated() {
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    alice.allocate(&mut world);
    let mut bob = Client { nonce: alice.nonce.clone(), ..Client::new(1, "bob") };
    let answer = bob.refresh(&mut world, 0);
    assert_eq!((answer.code, answer.signed), (441, true));
    let mut liar = Client { password: "wrong".into(), ..bob.clone() };
    assert_eq!(liar.refresh(&mut world, 0).code, 401, "a stranger learns nothing");
    assert_eq!(bob.try_allocate(&mut world, &[]).code, 437);
    assert_eq!(world.open_ports().len(), 1);
}

#[test]
fn time_limited_credentials_work_in_both_variants_until_they_expire() {
    for variant in [Variant::Sha1, Variant::Sha256] {
        let mut world = World::seeded(1);
        let mut alice = minted(100, variant);
        alice.allocate(&mut world);
        world.pass(Duration::from_secs(101));
        assert_eq!(alice.refresh(&mut world, 600).code, 0, "expiry stops new allocations only");
        let mut late = Client { address: Client::new(2, "alice").address, nonce: vec![], ..alice.clone() };
        assert_eq!(late.try_allocate(&mut world, &[]).code, 401);
        assert_eq!(world.server.counters().value(auth_failures(AuthFailed::Expired)), 1);
    }
}

#[test]
fn strict_expiry_ends_live_sessions_and_their_refresh() {
    let settings = Settings { strict_expiry: true, ..Settings::default() };
    let mut world = World::with(1, Options { settings, ..Options::default() });
    let mut alice = minted(1000, Variant::Sha1);
    alice.allocate(&mut world);
    world.pass(Duration::from_secs(500));
    let answer = alice.refresh(&mut world, 3600);
    assert_eq!(answer.lifetime_s, Some(500), "no longer than the credential");
    world.pass(Duration::from_secs(501));
    assert_eq!(world.open_ports(), [].into());
    assert_eq!(alice.refresh(&mut world, 600).code, 401);
}

#[test]
fn a_credential_from_another_secret_is_refused() {
    let mut world = World::seeded(1);
    let request = MintRequest::new(EPOCH, Duration::from_secs(100), "alice");
    let credential =
        mint(&Secret::new("another-secret-of-32-characters-and-more"), Variant::Sha1, &request).unwrap();
    let mut alice = Client {
        username: credential.username,
        password: credential.password.expose().into(),
        ..Client::new(1, "alice")
    };
    assert_eq!(alice.try_allocate(&mut world, &[]).code, 401);
}

#[test] // security U7
fn ten_thousand_guesses_lock_nobody_else_out() {
    let mut world = World::seeded(1);
    let mut guesser = Client { password: "wrong".into(), ..Client::new(1, "alice") };
    guesser.permit(&mut world, &[]);
    for _ in 0..10_000 {
        let id = world.transaction();
        let request = guesser.request(id, Method::ALLOCATE, &[(A::REQUESTED_TRANSPORT, UDP)]);
        world.datagram(guesser.address, &request);
    }
    let verified = world.server.counters().value(auth_failures(AuthFailed::BadIntegrity));
    assert!(verified <= 25, "{verified} passwords were tried");
    let mut right = Client::new(1, "alice");
    right.nonce = guesser.nonce.clone();
    assert_ne!(right.try_allocate(&mut world, &[]).code, 0, "this source is spent for this user");
    let mut elsewhere = Client::at("203.0.113.99:4000".parse().unwrap(), "alice");
    elsewhere.allocate(&mut world);
    world.pass(Duration::from_secs(60));
    right.nonce.clear();
    assert_eq!(right.try_allocate(&mut world, &[]).code, 0, "and recovers");
}
