//! What RFC 8489 has beyond RFC 5389 (`auth.modern`): SHA-256 keys and integrity, PASSWORD-ALGORITHMS,
//! USERHASH and the nonce cookie.

use crate::world::*;
use std::process::Command;
use std::time::Duration;
use turnstone::auth::{MintRequest, Secret, Variant, mint};
use turnstone::metrics::{AuthFailed, auth_failures};
use turnstone::wire::stun::{
    AttributeType as A, Class, IntegrityAlgorithm, IntegrityKey, Message, MessageWriter, Method,
};

use IntegrityAlgorithm::{Sha1, Sha256};

/// PASSWORD-ALGORITHMS: SHA-256, then MD5.
const OFFERED: &[u8] = &[0, 2, 0, 0, 0, 1, 0, 0];
const SHA256: &[u8] = &[0, 2, 0, 0];
const MD5: &[u8] = &[0, 1, 0, 0];
const ALLOCATE: Attributes<'_> = &[(A::REQUESTED_TRANSPORT, UDP)];
const REFRESH: Attributes<'_> = &[(A::LIFETIME, &[0, 0, 3, 0])];

/// What a client makes of a challenge.
#[derive(Clone)]
struct Style {
    by_hash: bool,
    /// PASSWORD-ALGORITHM and PASSWORD-ALGORITHMS.
    chosen: Option<&'static [u8]>,
    echoed: Option<&'static [u8]>,
    sha256_key: bool,
    tags: &'static [IntegrityAlgorithm],
}

/// A client that does all that it is offered.
const MODERN: Style =
    Style { by_hash: false, chosen: Some(SHA256), echoed: Some(OFFERED), sha256_key: true, tags: &[Sha256] };
const HASHED: Style = Style { by_hash: true, ..MODERN };
/// A client of RFC 5389.
const CLASSIC: Style = Style { by_hash: false, chosen: None, echoed: None, sha256_key: false, tags: &[Sha1] };

fn world() -> World {
    World::with(1, Options { modern: true, ..Options::default() })
}

fn world_of_static_users() -> World {
    World::with(1, Options { modern: true, secrets: vec![], ..Options::default() })
}

impl Style {
    fn key(&self, client: &Client) -> IntegrityKey {
        let parts = [&client.username, &client.realm, &client.password].map(|text| text.as_bytes());
        match self.sha256_key {
            true => IntegrityKey::long_term_sha256(parts[0], parts[1], parts[2]),
            false => IntegrityKey::long_term_md5(parts[0], parts[1], parts[2]),
        }
    }

    fn request(
        &self,
        world: &mut World,
        client: &Client,
        method: Method,
        attributes: Attributes<'_>,
    ) -> Vec<u8> {
        let mut buffer = [0; 2048];
        let mut writer = MessageWriter::new(&mut buffer, Class::Request, method, world.transaction());
        attributes.iter().for_each(|(kind, value)| writer.attribute(*kind, value));
        match self.by_hash {
            true => writer.attribute(A::USERHASH, &userhash(client)),
            false => writer.attribute(A::USERNAME, client.username.as_bytes()),
        }
        writer.attribute(A::REALM, client.realm.as_bytes());
        writer.attribute(A::NONCE, &client.nonce);
        for (kind, value) in [(A::PASSWORD_ALGORITHMS, self.echoed), (A::PASSWORD_ALGORITHM, self.chosen)] {
            value.into_iter().for_each(|value| writer.attribute(kind, value));
        }
        self.tags.iter().for_each(|tag| writer.integrity(*tag, &self.key(client)));
        let length = writer.finish().unwrap();
        buffer[..length].to_vec()
    }

    fn ask(
        &self,
        world: &mut World,
        client: &mut Client,
        method: Method,
        attributes: Attributes<'_>,
    ) -> Answer {
        if client.nonce.is_empty() {
            client.nonce = challenge(world, client).nonce.unwrap();
        }
        let request = self.request(world, client, method, attributes);
        Answer::only(&world.datagram(client.address, &request))
    }

    fn allocate(&self, world: &mut World, client: &mut Client) -> Answer {
        self.ask(world, client, Method::ALLOCATE, ALLOCATE)
    }
}

/// The first answer that a client gets.
fn challenge(world: &mut World, client: &Client) -> Answer {
    let allocate = bare(world.transaction(), Class::Request, Method::ALLOCATE, ALLOCATE);
    Answer::only(&world.datagram(client.address, &allocate))
}

/// SHA-256(username ":" realm).
fn userhash(client: &Client) -> [u8; 32] {
    let text = format!("{}:{}", client.username, client.realm);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    hash.as_ref().try_into().unwrap()
}

fn first(answer: &Answer, kind: A) -> Option<Vec<u8>> {
    Message::parse(&answer.bytes).unwrap().first(kind).map(<[u8]>::to_vec)
}

/// The answer has this integrity and no other, whole and right for the client's key.
#[track_caller]
fn assert_signed(answer: &Answer, tag: IntegrityAlgorithm, key: &IntegrityKey) {
    let message = Message::parse(&answer.bytes).unwrap();
    assert!(message.check_integrity(tag, key), "{answer:?}");
    assert_eq!(message.first(tag.attribute()).map(<[u8]>::len), Some(tag.tag_bytes()));
    assert!(!message.has_integrity_of(if tag == Sha1 { Sha256 } else { Sha1 }));
    for kind in [A::USERNAME, A::USERHASH, A::REALM, A::NONCE, A::PASSWORD_ALGORITHM] {
        assert_eq!(first(answer, kind), None, "{kind:?}");
    }
}

/// Nothing of a signed answer, and nothing to try again with.
#[track_caller]
fn assert_bad_request(answer: &Answer) {
    assert_eq!((answer.code, answer.signed, &answer.nonce), (400, false, &None), "{answer:?}");
    assert_eq!((first(answer, A::REALM), first(answer, A::PASSWORD_ALGORITHMS)), (None, None));
}

#[test]
fn every_scenario_holds_with_modern_on() {
    if is_modern() {
        return; // This is the second run.
    }
    let output =
        Command::new(std::env::current_exe().unwrap()).env(crate::world::MODERN, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("test auth::point_20_the_first_answer"), "nothing ran: {text}");
}

#[test] // RFC 8489 section 9.2.4
fn each_challenge_has_the_nonce_cookie_and_the_list_of_password_algorithms() {
    let mut world = world();
    let mut alice = Client::new(1, "alice");
    let unauthorized = challenge(&mut world, &alice);
    alice.nonce = unauthorized.nonce.clone().unwrap();
    let wrong = Client { password: "wrong".into(), ..alice.clone() };
    let wrong = MODERN.allocate(&mut world, &mut wrong.clone());
    world.pass(Duration::from_secs(3601));
    let stale = MODERN.allocate(&mut world, &mut alice);
    for (answer, code) in [(unauthorized, 401), (wrong, 401), (stale, 438)] {
        assert_eq!((answer.code, answer.signed, answer.bytes.len()), (code, false, 84));
        assert_eq!(first(&answer, A::PASSWORD_ALGORITHMS).as_deref(), Some(OFFERED));
        assert!(answer.nonce.as_ref().unwrap().starts_with(b"obMatJos2"));
        assert_eq!(first(&answer, A::REALM).as_deref(), Some(&b"turn"[..]));
    }
}

#[test] // RFC 8489 sections 9.2.4 and 18.1, erratum 6290
fn anonymity_is_offered_only_where_every_user_has_a_hash_that_can_be_found() {
    for (mut world, cookie) in [(world(), "obMatJos2gAAB"), (world_of_static_users(), "obMatJos2wAAD")] {
        let answer = challenge(&mut world, &Client::new(1, "alice"));
        assert!(answer.nonce.unwrap().starts_with(cookie.as_bytes()), "{cookie}");
    }
}

#[test]
fn with_modern_off_nothing_is_offered_and_nothing_of_it_is_understood() {
    let mut world = World::with(1, Options { modern: false, ..Options::default() });
    let mut alice = Client::new(1, "alice");
    let answer = challenge(&mut world, &alice);
    assert_eq!((answer.bytes.len(), first(&answer, A::PASSWORD_ALGORITHMS)), (56, None));
    assert_eq!(answer.nonce.unwrap().len(), 16);
    let named = Style { chosen: Some(MD5), echoed: Some(OFFERED), ..CLASSIC };
    let answer = named.allocate(&mut world, &mut alice);
    assert_eq!((answer.code, answer.unknown), (420, vec![A::PASSWORD_ALGORITHM.0]));
    let hashed = Style { by_hash: true, ..CLASSIC };
    assert_bad_request(&hashed.allocate(&mut world, &mut alice));
    let sha256 = Style { tags: &[Sha256], ..CLASSIC };
    assert_eq!(sha256.allocate(&mut world, &mut alice).code, 401);
    // What counts where both are there is the one that everybody knows.
    let both = Style { tags: &[Sha1, Sha256], ..CLASSIC };
    assert_signed(&both.allocate(&mut world, &mut alice), Sha1, &CLASSIC.key(&alice));
}

#[test] // RFC 8489 section 9.2.4
fn a_whole_session_is_signed_with_sha256_both_ways() {
    for (mut world, style) in [(world(), MODERN), (world(), HASHED), (world_of_static_users(), HASHED)] {
        let mut alice = Client::new(1, "alice");
        let key = style.key(&alice);
        let answer = style.allocate(&mut world, &mut alice);
        assert_eq!(answer.code, 0, "{answer:?}");
        assert_signed(&answer, Sha256, &key);
        let number: &[u8] = &[0x40, 0, 0, 0];
        for (method, attributes, code) in [
            (Method::REFRESH, REFRESH, 0),
            (Method::CREATE_PERMISSION, &[][..], 400),
            (Method::CHANNEL_BIND, &[(A::CHANNEL_NUMBER, number)], 400),
            (Method::ALLOCATE, ALLOCATE, 437),
            (Method::REFRESH, &[(A(0x7001), &[])], 420),
            (Method::REFRESH, &[(A::LIFETIME, &[0; 4])], 0),
            (Method::REFRESH, REFRESH, 437),
        ] {
            let answer = style.ask(&mut world, &mut alice, method, attributes);
            assert_eq!(answer.code, code, "{method:?}");
            assert_signed(&answer, Sha256, &key);
        }
    }
}

#[test] // RFC 8489 section 9.2.4, RFC 8656 section 5
fn a_retransmitted_allocate_gets_the_same_bytes_again() {
    let mut world = world();
    let mut alice = Client::new(1, "alice");
    alice.nonce = challenge(&mut world, &alice).nonce.unwrap();
    let request = MODERN.request(&mut world, &alice, Method::ALLOCATE, ALLOCATE);
    let answers = [(); 2].map(|()| Answer::only(&world.datagram(alice.address, &request)).bytes);
    assert_eq!(answers[0], answers[1]);
}

#[test] // RFC 8489 section 9.2.4: MESSAGE-INTEGRITY where neither attribute named an algorithm
fn a_client_that_ignores_the_offer_is_answered_as_it_asks() {
    let mut world = world();
    let mut alice = Client::new(1, "alice");
    for (style, code) in [(&CLASSIC, 0), (&Style { tags: &[Sha256], ..CLASSIC }, 437)] {
        let answer = style.allocate(&mut world, &mut alice);
        assert_eq!(answer.code, code);
        assert_signed(&answer, Sha1, &style.key(&alice));
    }
}

#[test] // RFC 8489 section 9.2.4
fn time_limited_names_have_sha256_keys_too() {
    for variant in Variant::ALL {
        let mut world = world();
        let request = MintRequest::new(EPOCH, Duration::from_secs(100), "alice");
        let made = mint(&Secret::new(SECRET), variant, &request).unwrap();
        let password = made.password.expose().to_owned();
        let mut alice = Client { username: made.username, password, ..Client::new(1, "alice") };
        assert_eq!(HASHED.allocate(&mut world, &mut alice).code, 401, "no hash leads to a minted name");
        let answer = MODERN.allocate(&mut world, &mut alice);
        assert_eq!(answer.code, 0);
        assert_signed(&answer, Sha256, &MODERN.key(&alice));
        // The end of the name is no end of what lives, by whichever key.
        world.pass(Duration::from_secs(101));
        for style in [&MODERN, &CLASSIC] {
            assert_eq!(style.ask(&mut world, &mut alice, Method::REFRESH, REFRESH).code, 0);
        }
        assert_eq!(HASHED.ask(&mut world, &mut alice, Method::REFRESH, REFRESH).code, 401);
    }
}

#[test] // RFC 8489 section 9.2.4
fn the_chosen_algorithm_makes_the_key_and_sha256_signs_the_answer() {
    let mut world = world();
    let mut alice = Client::new(1, "alice");
    let md5 = Style { chosen: Some(MD5), sha256_key: false, ..MODERN };
    assert_signed(&md5.allocate(&mut world, &mut alice), Sha256, &md5.key(&alice));
    let sha1_tag = Style { tags: &[Sha1], ..MODERN };
    let answer = sha1_tag.ask(&mut world, &mut alice, Method::REFRESH, REFRESH);
    assert_signed(&answer, Sha256, &MODERN.key(&alice));
    for liar in [Style { sha256_key: false, ..MODERN }, Style { sha256_key: true, ..md5 }] {
        assert_eq!(liar.ask(&mut world, &mut alice, Method::REFRESH, REFRESH).code, 401);
    }
}

#[test] // RFC 8489 section 9.2.4; security U12
fn algorithms_that_are_not_echoed_as_they_were_offered_are_400_even_under_a_stale_nonce() {
    const REVERSED: &[u8] = &[0, 1, 0, 0, 0, 2, 0, 0];
    let mut world = world();
    let mut alice = Client::new(1, "alice");
    alice.nonce = challenge(&mut world, &alice).nonce.unwrap();
    let styles = [
        Style { echoed: None, ..MODERN },
        Style { chosen: None, ..MODERN },
        Style { echoed: Some(MD5), chosen: Some(MD5), sha256_key: false, ..MODERN },
        Style { echoed: Some(REVERSED), ..MODERN },
        Style { echoed: Some(&[]), ..MODERN },
        Style { chosen: Some(&[0, 3, 0, 0]), ..MODERN },
        Style { chosen: Some(&[0, 2, 0, 4, 1, 2, 3, 4]), ..MODERN },
        Style { chosen: Some(&[0, 2]), ..MODERN },
    ];
    for _ in 0..2 {
        for style in &styles {
            assert_bad_request(&style.allocate(&mut world, &mut alice));
        }
        world.pass(Duration::from_secs(3601));
    }
    assert_eq!(MODERN.allocate(&mut world, &mut alice).code, 438, "the nonce is stale by now");
}

#[test] // RFC 8489 section 9.2.1; security U12
fn a_changed_or_missing_nonce_cookie_is_438_with_the_offer_once_more() {
    let mut world = world();
    let mut alice = Client::new(1, "alice");
    let nonce = challenge(&mut world, &alice).nonce.unwrap();
    let bare = nonce[13..].to_vec();
    for cookie in ["", "obMatJos2AAAA", "obMatJos2AAAB", "obMatJos2gAAA", "obMatJos2wAAD"] {
        alice.nonce = [cookie.as_bytes(), &bare].concat();
        for style in [&CLASSIC, &MODERN] {
            let answer = style.allocate(&mut world, &mut alice);
            assert_eq!((answer.code, answer.signed), (438, false), "{cookie}");
            assert_eq!(first(&answer, A::PASSWORD_ALGORITHMS).as_deref(), Some(OFFERED));
        }
    }
    assert_eq!(world.server.counters().value(auth_failures(AuthFailed::BadIntegrity)), 0);
    alice.nonce = nonce;
    assert_eq!(MODERN.allocate(&mut world, &mut alice).code, 0);
}

#[test] // RFC 8489 section 9.2.4
fn of_two_integrities_the_sha256_one_counts() {
    let mut world = world();
    let mut alice = Client::new(1, "alice");
    let both = Style { tags: &[Sha1, Sha256], ..MODERN };
    assert_signed(&both.allocate(&mut world, &mut alice), Sha256, &MODERN.key(&alice));
    let sound = both.request(&mut world, &alice, Method::REFRESH, REFRESH);
    let sha256_at = sound.len() - 32;
    let mut wrong = sound.clone();
    wrong[sha256_at] ^= 1;
    assert_eq!(Answer::only(&world.datagram(alice.address, &wrong)).code, 401);
    // A wrong MESSAGE-INTEGRITY under a right MESSAGE-INTEGRITY-SHA256, which covers it.
    let mut mixed = sound[..sha256_at - 4].to_vec();
    *mixed.last_mut().unwrap() ^= 1;
    let mut buffer = [0; 512];
    let id = Message::parse(&sound).unwrap().transaction_id();
    let mut writer = MessageWriter::new(&mut buffer, Class::Request, Method::REFRESH, id);
    mixed[3] = (mixed.len() - 20) as u8;
    for attribute in Message::parse(&mixed).unwrap().attributes() {
        writer.attribute(attribute.kind, attribute.value);
    }
    writer.integrity(Sha256, &MODERN.key(&alice));
    let length = writer.finish().unwrap();
    assert_eq!(Answer::only(&world.datagram(alice.address, &buffer[..length])).code, 0);
}

#[test] // RFC 8489 section 14.6: truncation is for usages that allow it, and RFC 8656 does not
fn a_sha256_integrity_that_is_cut_short_is_401() {
    let mut world = world();
    let mut alice = Client::new(1, "alice");
    alice.nonce = challenge(&mut world, &alice).nonce.unwrap();
    let unsigned = Style { tags: &[], ..MODERN }.request(&mut world, &alice, Method::ALLOCATE, ALLOCATE);
    let parts = ["alice", "turn", "alice-password"].join(":");
    let key = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, parts.as_bytes());
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key.as_ref());
    for (tag_bytes, code) in [(16, 401), (28, 401), (32, 0)] {
        let mut request = unsigned.clone();
        request[3] = (request.len() - 20 + 4 + tag_bytes) as u8;
        let tag = aws_lc_rs::hmac::sign(&key, &request);
        request.extend_from_slice(&[0, 0x1c, 0, tag_bytes as u8]);
        request.extend_from_slice(&tag.as_ref()[..tag_bytes]);
        assert_eq!(Answer::only(&world.datagram(alice.address, &request)).code, code, "{tag_bytes}");
    }
}

#[test] // RFC 8489 sections 9.2.4 and 14.4
fn an_unknown_userhash_and_a_wrong_password_get_the_same_401() {
    let mut world = world_of_static_users();
    let mut nobody = Client::new(1, "nobody");
    let mut wrong = Client { password: "wrong".into(), ..Client::new(2, "alice") };
    let a = HASHED.allocate(&mut world, &mut nobody);
    let b = HASHED.allocate(&mut world, &mut wrong);
    assert_eq!((a.code, a.signed, a.bytes.len()), (401, false, b.bytes.len()));
    assert_eq!((b.code, b.signed), (401, false));
    assert_eq!(world.server.counters().value(auth_failures(AuthFailed::UnknownUser)), 1);
    assert_eq!(world.server.counters().value(auth_failures(AuthFailed::BadIntegrity)), 1);
}

#[test] // RFC 8489 sections 9.2.4 and 14.4
fn a_userhash_of_another_size_or_beside_a_username_is_400() {
    let mut world = world();
    let mut alice = Client::new(1, "alice");
    alice.nonce = challenge(&mut world, &alice).nonce.unwrap();
    let hash = userhash(&alice);
    for users in [
        &[][..],
        &[(A::USERHASH, &hash[..31])],
        &[(A::USERHASH, &[])],
        &[(A::USERNAME, b"alice"), (A::USERHASH, &hash)],
    ] {
        let mut buffer = [0; 512];
        let id = world.transaction();
        let mut writer = MessageWriter::new(&mut buffer, Class::Request, Method::ALLOCATE, id);
        users.iter().for_each(|(kind, value)| writer.attribute(*kind, value));
        writer.attribute(A::REALM, b"turn");
        writer.attribute(A::NONCE, &alice.nonce);
        writer.integrity(Sha1, &CLASSIC.key(&alice));
        let length = writer.finish().unwrap();
        assert_bad_request(&Answer::only(&world.datagram(alice.address, &buffer[..length])));
    }
}

#[test]
fn username_and_userhash_are_the_same_user_to_a_live_allocation() {
    let mut world = world();
    let mut alice = Client::new(1, "alice");
    assert_eq!(HASHED.allocate(&mut world, &mut alice).code, 0);
    assert_eq!(MODERN.ask(&mut world, &mut alice, Method::REFRESH, REFRESH).code, 0);
    assert_eq!(CLASSIC.ask(&mut world, &mut alice, Method::REFRESH, REFRESH).code, 0);
    let mut bob = Client { nonce: alice.nonce.clone(), ..Client::new(1, "bob") };
    let answer = HASHED.ask(&mut world, &mut bob, Method::REFRESH, REFRESH);
    assert_eq!(answer.code, 441);
    assert_signed(&answer, Sha256, &HASHED.key(&bob));
    let mut nobody = Client { nonce: alice.nonce.clone(), ..Client::new(1, "nobody") };
    assert_eq!(HASHED.ask(&mut world, &mut nobody, Method::REFRESH, REFRESH).code, 401);
}

#[test] // security U7
fn guesses_by_username_and_by_userhash_spend_one_budget() {
    for user in ["alice", "nobody"] {
        let mut world = world();
        let mut guesser = Client { password: "wrong".into(), ..Client::new(1, user) };
        for n in 0..100 {
            let style = if n % 2 == 0 { &HASHED } else { &MODERN };
            style.allocate(&mut world, &mut guesser);
        }
        let counters = world.server.counters();
        let tried =
            [AuthFailed::BadIntegrity, AuthFailed::UnknownUser].map(|f| counters.value(auth_failures(f)));
        let refused = counters.value(auth_failures(AuthFailed::Guessing));
        assert_eq!((tried[0] + tried[1], refused), (20, 80), "{user}");
    }
}

#[test]
fn a_reload_that_offers_more_or_less_costs_a_session_one_438() {
    for (before, first_style, after, then_style) in
        [(false, &CLASSIC, true, &MODERN), (true, &MODERN, false, &CLASSIC), (true, &HASHED, false, &CLASSIC)]
    {
        let mut world = World::with(1, Options { modern: before, ..Options::default() });
        let mut alice = Client::new(1, "alice");
        assert_eq!(first_style.allocate(&mut world, &mut alice).code, 0);
        world.set_modern(after);
        let stale = first_style.ask(&mut world, &mut alice, Method::REFRESH, REFRESH);
        assert_eq!((stale.code, first(&stale, A::PASSWORD_ALGORITHMS).is_some()), (438, after));
        alice.nonce = stale.nonce.unwrap();
        assert_eq!(then_style.ask(&mut world, &mut alice, Method::REFRESH, REFRESH).code, 0);
        assert_eq!(world.open_ports().len(), 1);
    }
}

#[test]
fn a_binding_request_may_carry_what_is_understood() {
    let mut world = world();
    let attributes: Attributes<'_> = &[(A::PASSWORD_ALGORITHM, SHA256), (A::USERHASH, &[7; 32])];
    let request = bare(world.transaction(), Class::Request, Method::BINDING, attributes);
    assert_eq!(Answer::only(&world.datagram(Client::new(1, "").address, &request)).code, 0);
}
