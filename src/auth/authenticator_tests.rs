//! Tests of the authenticator, most of them through real STUN messages.

use super::*;
use crate::auth::{Credential, MintRequest, Secret, Variant, mint};
use crate::wire::stun::attribute::decode_username;
use crate::wire::stun::{AttributeType, Class, IntegrityAlgorithm, MessageWriter, Method, TransactionId};
use proptest::prelude::*;
use std::time::Duration;

const NOW: UnixTime = UnixTime(1_700_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const REALM: &str = "turn";
const HASHES: [KeyHash; 2] = [KeyHash::Md5, KeyHash::Sha256];

#[test]
fn minted_names_and_static_users_work_side_by_side() {
    let auth = authenticator();
    for (secret, variant) in [("new", Variant::Sha1), ("new", Variant::Sha256), ("old", Variant::Sha1)] {
        let made = minted(secret, variant, "alice");
        let who = allocate(&auth, NOW, &made.username, made.password.expose()).expect("valid");
        assert_eq!((&*who.subject, who.expires), ("alice", Some(NOW.after(HOUR))));
        assert_eq!(who.credential, CredentialId::of(&made.username));
        assert!(*who.keys.of(KeyHash::Md5) == key(&made.username, made.password.expose()));
    }
    let who = allocate(&auth, NOW, "bob", "builder").expect("valid");
    assert_eq!((&*who.subject, who.expires), ("bob", None));
}

#[test]
fn what_a_name_carries_reaches_the_identity() {
    let request = MintRequest {
        label: Some("floor 3"),
        call_id: Some("k9"),
        allocations_max: Some(2),
        bits_per_second: Some(64_000),
        ..MintRequest::new(NOW, HOUR, "a;b")
    };
    let made = mint(&Secret::new("new"), Variant::Sha1, &request).expect("short");
    let who = allocate(&authenticator(), NOW, &made.username, made.password.expose()).expect("valid");
    assert_eq!(&*who.subject, "a;b");
    assert_eq!((who.label.as_deref(), who.call_id.as_deref()), (Some("floor 3"), Some("k9")));
    assert_eq!((who.allocations_max, who.bits_per_second), (Some(2), Some(64_000)));
}

#[test]
fn a_name_is_void_from_the_second_of_its_expiry() {
    let auth = authenticator();
    let made = minted("old", Variant::Sha256, "alice");
    let at = |now| allocate(&auth, now, &made.username, made.password.expose()).map(|_| ()).err();
    assert_eq!(at(UnixTime(made.expires.0 - 1)), None);
    assert_eq!(at(made.expires), Some(AuthFailure::Expired));
    assert_eq!(at(UnixTime(u64::MAX)), Some(AuthFailure::Expired));
}

#[test]
fn failures_are_sorted_by_what_the_operator_can_do() {
    let auth = authenticator();
    let made = minted("of another house", Variant::Sha1, "alice");
    for (username, password, failure) in [
        (&*made.username, made.password.expose(), AuthFailure::BadIntegrity),
        ("1:alice", "guess", AuthFailure::BadIntegrity),
        ("bob", "guess", AuthFailure::BadIntegrity),
        ("", "guess", AuthFailure::UnknownUser),
        ("eve", "guess", AuthFailure::UnknownUser),
        ("alice:1700000000", "guess", AuthFailure::UnknownUser),
    ] {
        assert_eq!(allocate(&auth, NOW, username, password).err(), Some(failure), "{username}");
    }
}

#[test]
fn a_right_hmac_over_a_name_without_expiry_opens_nothing() {
    let auth = authenticator();
    for (name, failure) in [("eve", AuthFailure::UnknownUser), ("bob", AuthFailure::BadIntegrity)] {
        let forever = SigningKey::new(&Secret::new("new"), 0, Variant::Sha1).password(name);
        assert_eq!(allocate(&auth, NOW, name, forever.as_str()).err(), Some(failure));
    }
}

#[test]
fn the_key_that_stands_in_for_unknown_users_opens_nothing() {
    let nobodys = Authenticator::new(&Settings { users: Default::default(), ..settings() });
    let auth = authenticator();
    for name in ["eve", "mallory", "trudy", "oscar"] {
        for login in both_ways(name) {
            for hash in HASHES {
                let stands_in = |key: &IntegrityKey| key == nobodys.nobody.of(hash);
                let verdict = nobodys.judge(NOW, login, hash, stands_in);
                assert_eq!(verdict.err(), Some(AuthFailure::UnknownUser));
                // The neighbour's own password, under a name that is not the neighbour's.
                let mut tried = 0;
                let of_a_user = |key: &IntegrityKey| {
                    let theirs = auth.users.iter().any(|user| key == user.keys.of(hash));
                    tried += u32::from(theirs);
                    theirs
                };
                assert_eq!(auth.judge(NOW, login, hash, of_a_user).err(), Some(AuthFailure::UnknownUser));
                assert_eq!(tried, 1);
            }
        }
    }
}

#[test]
fn a_static_name_that_looks_minted_works_with_either_password() {
    let made = minted("new", Variant::Sha1, "carol");
    let mut settings = settings();
    settings.users.insert(made.username.clone(), Secret::new("fixed"));
    let auth = Authenticator::new(&settings);
    let fixed = allocate(&auth, NOW, &made.username, "fixed").expect("static");
    assert_eq!((&*fixed.subject, fixed.expires), (&*made.username, None));
    let timed = allocate(&auth, NOW, &made.username, made.password.expose()).expect("minted");
    assert_eq!((&*timed.subject, timed.expires), ("carol", Some(made.expires)));
}

#[test] // RFC 8489 section 9.2.2
fn static_names_and_passwords_are_prepared_as_opaque_strings() {
    let mut settings = settings();
    settings.users.insert("ame\u{301}lie".into(), Secret::new("a\u{a0}b"));
    let auth = Authenticator::new(&settings);
    assert_eq!(&*allocate(&auth, NOW, "am\u{e9}lie", "a b").expect("prepared").subject, "am\u{e9}lie");
}

#[test]
fn a_stored_user_works_from_its_keys_alone_in_its_realm_and_gives_way_to_the_config() {
    let made = StoredUser::new("ame\u{301}lie", REALM, &Secret::new("a\u{a0}b"));
    let (md5, sha256) = made.keys();
    let keys = (md5.try_into().expect("MD5"), sha256.try_into().expect("SHA-256"));
    let kept = StoredUser::from_keys(made.name(), made.realm(), keys);
    let bob = StoredUser::new("bob", REALM, &Secret::new("of the store"));
    let elsewhere = StoredUser::new("eve", "another realm", &Secret::new("p"));
    let auth = Authenticator::with_stored(&settings(), &[bob, kept, elsewhere]);
    let amelie = allocate(&auth, NOW, "am\u{e9}lie", "a b").expect("prepared");
    assert_eq!((&*amelie.subject, amelie.expires, amelie.minted_at), ("am\u{e9}lie", None, None));
    allocate(&auth, NOW, "bob", "builder").expect("the config's");
    assert_eq!(allocate(&auth, NOW, "bob", "of the store").err(), Some(AuthFailure::BadIntegrity));
    assert_eq!(allocate(&auth, NOW, "eve", "p").err(), Some(AuthFailure::UnknownUser));
    let [_, by_hash] = both_ways("am\u{e9}lie");
    auth.judge(NOW, by_hash, KeyHash::Md5, |_| true).expect("by its hash");
}

#[test]
fn no_more_secrets_are_tried_than_the_settings_allow() {
    let mut settings = settings();
    settings.secrets = (0..9).map(|n| Secret::new(n.to_string())).collect();
    let auth = Authenticator::new(&settings);
    let open = |secret| {
        let made = minted(secret, Variant::Sha256, "alice");
        allocate(&auth, NOW, &made.username, made.password.expose()).is_ok()
    };
    assert!(open("3") && !open("4"));
}

#[test] // security U10
fn every_failing_request_costs_the_same_checks_and_derivations() {
    let made = minted("old", Variant::Sha1, "alice");
    for secrets in 0..=Settings::SECRETS_MAX {
        let auth = Authenticator::new(&with_secrets(secrets));
        let long = "x".repeat(508);
        for username in ["bob", "eve", "", "1:alice", "1800000000:alice;i=1", &made.username, &long] {
            for hash in HASHES {
                let password = made.password.expose().as_bytes();
                let signed = hash.key(made.username.as_bytes(), REALM.as_bytes(), password);
                // The names that expired, and those whose integrity is right without being of use, too.
                for accepted in [None, Some(&signed)] {
                    let [name, userhash] = both_ways(username);
                    let tried = tried_in_vain(&auth, made.expires, name, hash, accepted);
                    assert_eq!(tried, 1 + 2 * secrets, "{username:.20}");
                    let tried = tried_in_vain(&auth, made.expires, userhash, hash, accepted);
                    assert_eq!(tried, 1, "no name is derived from a hash: {username:.20}");
                }
            }
        }
    }
}

/// How many keys a request that is refused was checked with.
fn tried_in_vain(
    auth: &Authenticator,
    now: UnixTime,
    login: Login<'_>,
    hash: KeyHash,
    accepted: Option<&IntegrityKey>,
) -> usize {
    let mut tried: Vec<IntegrityKey> = Vec::new();
    let verdict = auth.judge(now, login, hash, |key| {
        assert!(!tried.contains(key), "each check has a key derived for it");
        tried.push(key.clone());
        Some(key) == accepted
    });
    assert!(verdict.is_err());
    tried.len()
}

#[test] // RFC 8489 section 14.4
fn a_userhash_finds_the_static_user_and_never_a_minted_name() {
    let auth = authenticator();
    for hash in HASHES {
        let bob = hash.key(b"bob", REALM.as_bytes(), b"builder");
        for login in both_ways("bob") {
            let who = auth.judge(NOW, login, hash, |key| *key == bob).expect("static");
            assert_eq!((&*who.subject, who.credential), ("bob", CredentialId::of("bob")));
            assert!(login.names(&who, REALM));
        }
        let [_, by_hash] = both_ways("bob");
        assert_eq!(auth.judge(NOW, by_hash, hash, |_| false).err(), Some(AuthFailure::BadIntegrity));
        let made = minted("new", Variant::Sha1, "alice");
        let [name, by_hash] = both_ways(&made.username);
        let alice = hash.key(made.username.as_bytes(), REALM.as_bytes(), made.password.expose().as_bytes());
        let who = auth.judge(NOW, name, hash, |key| *key == alice).expect("minted");
        assert!(name.names(&who, REALM) && !by_hash.names(&who, REALM));
        let refused = auth.judge(NOW, by_hash, hash, |key| *key == alice);
        assert_eq!(refused.err(), Some(AuthFailure::UnknownUser));
    }
}

#[test]
fn of_many_static_users_each_userhash_finds_its_own() {
    let mut settings = settings();
    settings.users = (0..100).map(|n| (format!("user{n}"), Secret::new("p"))).collect();
    let auth = Authenticator::new(&settings);
    for name in settings.users.keys() {
        let [_, by_hash] = both_ways(name);
        let who = auth.judge(NOW, by_hash, KeyHash::Md5, |_| true).expect("static");
        assert_eq!(&*who.subject, name);
    }
}

#[test]
fn an_identity_has_the_keys_of_both_algorithms_whichever_let_it_in() {
    let auth = authenticator();
    let made = minted("old", Variant::Sha256, "alice");
    for (username, password) in [("bob", "builder"), (&*made.username, made.password.expose())] {
        let key = |hash: KeyHash| hash.key(username.as_bytes(), REALM.as_bytes(), password.as_bytes());
        for hash in HASHES {
            let who = auth.judge(NOW, Login::Name(username), hash, |k| *k == key(hash)).expect("valid");
            assert!(HASHES.iter().all(|other| *who.keys.of(*other) == key(*other)));
        }
    }
}

#[test]
fn a_request_with_another_integrity_than_its_scheme_is_refused() {
    let made = minted("new", Variant::Sha1, "alice");
    let key = key(&made.username, made.password.expose());
    let bytes = request(&made.username, IntegrityAlgorithm::Sha256, &key);
    let message = Message::parse(&bytes).expect("sound");
    let login = Login::Name(&made.username);
    let judged = |scheme| authenticator().authenticate(NOW, login, scheme, &message).map(|_| ()).err();
    assert_eq!(judged(Scheme::CLASSIC), Some(AuthFailure::BadIntegrity));
    assert_eq!(judged(Scheme { integrity: IntegrityAlgorithm::Sha256, ..Scheme::CLASSIC }), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_minted_is_let_in_and_no_flipped_bit_is(
        subject in ".{0,30}", label in proptest::option::of(".{0,10}"), secret in "[ -~]{1,80}", sha256: bool,
        flip: prop::sample::Index,
    ) {
        let variant = Variant::ALL[usize::from(sha256)];
        let mut settings = settings();
        settings.secrets.push(Secret::new(secret.as_str()));
        let auth = Authenticator::new(&settings);
        let asked = MintRequest { label: label.as_deref(), ..MintRequest::new(NOW, HOUR, &subject) };
        let made = mint(&Secret::new(secret), variant, &asked).expect("short");
        let key = key(&made.username, made.password.expose());
        let mut bytes = request(&made.username, IntegrityAlgorithm::Sha1, &key);
        let who = judge_bytes(&auth, &bytes).expect("valid");
        let expected = if subject.is_empty() { &made.username } else { &subject };
        prop_assert_eq!(&*who.subject, expected);
        prop_assert_eq!(who.label.as_deref(), label.as_deref());
        let bit = flip.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(judge_bytes(&auth, &bytes).is_none(), "bit {}", bit);
    }

    #[test]
    fn no_name_and_no_password_get_in_by_chance(username in ".{1,60}|[0-9]{1,22}:.{0,20}", password in ".{0,40}") {
        prop_assume!(username != "bob");
        prop_assert!(allocate(&authenticator(), NOW, &username, &password).is_err());
    }
}

fn settings() -> Settings {
    Settings {
        realm: REALM.into(),
        secrets: vec![Secret::new("new"), Secret::new("old")],
        users: [("bob".to_owned(), Secret::new("builder"))].into(),
        modern: false,
        strict_expiry: false,
        ttl: HOUR,
        max_ttl: HOUR,
    }
}

/// "new", "old", and others behind them.
fn with_secrets(count: usize) -> Settings {
    let mut settings = settings();
    settings.secrets.resize_with(count, || Secret::new("filler"));
    for (n, secret) in settings.secrets.iter_mut().enumerate().skip(2) {
        *secret = Secret::new(n.to_string());
    }
    settings
}

/// A user by USERNAME and by USERHASH.
fn both_ways(username: &str) -> [Login<'_>; 2] {
    [Login::Name(username), Login::Hash(userhash(username, REALM))]
}

fn authenticator() -> Authenticator {
    Authenticator::new(&settings())
}

fn minted(secret: &str, variant: Variant, subject: &str) -> Credential {
    mint(&Secret::new(secret), variant, &MintRequest::new(NOW, HOUR, subject)).expect("short")
}

fn key(username: &str, password: &str) -> IntegrityKey {
    IntegrityKey::long_term_md5(username.as_bytes(), REALM.as_bytes(), password.as_bytes())
}

fn allocate(
    auth: &Authenticator,
    now: UnixTime,
    username: &str,
    password: &str,
) -> Result<Identity, AuthFailure> {
    let bytes = request(username, IntegrityAlgorithm::Sha1, &key(username, password));
    auth.authenticate(now, Login::Name(username), Scheme::CLASSIC, &Message::parse(&bytes).expect("sound"))
}

/// What a server does with received bytes; `None` for anything but a request that is let in.
fn judge_bytes(auth: &Authenticator, bytes: &[u8]) -> Option<Identity> {
    let message = Message::parse(bytes).ok()?;
    let username = decode_username(message.first(AttributeType::USERNAME)?).ok()?;
    auth.authenticate(NOW, Login::Name(username), Scheme::CLASSIC, &message).ok()
}

fn request(username: &str, algorithm: IntegrityAlgorithm, key: &IntegrityKey) -> Vec<u8> {
    let mut buffer = [0; 1024];
    let mut writer =
        MessageWriter::new(&mut buffer, Class::Request, Method::ALLOCATE, TransactionId([9; 12]));
    writer.attribute(AttributeType::USERNAME, username.as_bytes());
    writer.attribute(AttributeType::REALM, REALM.as_bytes());
    writer.integrity(algorithm, key);
    let length = writer.finish().expect("fits");
    buffer[..length].to_vec()
}
