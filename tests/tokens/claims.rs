//! What a good token may say, and how much of it.

use super::token::Signer;
use super::{NOW, SECRET, alice, by_secret};
use serde_json::{Value, json};
use turnstone::auth::Secret;
use turnstone::auth::token::TokenRefused::{self, *};
use turnstone::auth::token::{Claims, KeySet, TokenRules, Verifier};
use turnstone::base::UnixTime;

fn judged(rules: TokenRules, now: UnixTime, claims: &Value) -> Result<Claims, TokenRefused> {
    let keys = KeySet::from_secret(&Secret::new(SECRET)).expect("long enough");
    Verifier::new(keys, rules).verify(&Signer::secret(SECRET).token(claims), now)
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = alice();
    claims[name] = value;
    claims
}

#[test]
fn every_claim_is_read() {
    let claims = json!({
        "sub": "user-1", "device_id": "phone", "name": "Ann Ö.", "exp": NOW.0 + 60, "nbf": NOW.0 - 1, "iat": NOW.0,
        "rooms": ["lobby", "team-*"], "roles": "instructor", "aud": "x", "iss": "y", "email": "a@example.org",
    });
    let claims = judged(TokenRules::default(), NOW, &claims).expect("good");
    assert_eq!((&*claims.subject, claims.device.as_deref()), ("user-1", Some("phone")));
    assert_eq!(claims.name.as_deref(), Some("Ann Ö."));
    assert_eq!((claims.expires, claims.not_before), (UnixTime(NOW.0 + 60), Some(UnixTime(NOW.0 - 1))));
    let rooms = claims.rooms.expect("a list");
    assert!(rooms.admits("lobby") && rooms.admits("team-4") && !rooms.admits("staff"));
    assert_eq!(rooms.entries().collect::<Vec<_>>(), ["lobby", "team-*"]);
    assert_eq!(claims.roles, ["instructor".into()].into());
    let bare = judged(TokenRules::default(), NOW, &alice()).expect("good");
    assert_eq!((bare.device, bare.name, bare.rooms, bare.roles.len()), (None, None, None, 0));
}

#[test]
fn texts_and_lists_have_bounds() {
    let text = |bytes: usize| Value::from("x".repeat(bytes));
    let list = |count: usize| Value::from(vec!["r"; count]);
    for (claims, wanted) in [
        (with("sub", text(128)), None),
        (with("sub", text(129)), Some(BadSubject)),
        (with("sub", text(0)), Some(BadSubject)),
        (with("sub", "ö".repeat(65).into()), Some(BadSubject)),
        (with("sub", "a\nb".into()), Some(BadSubject)),
        (with("sub", "a\u{1b}[31m".into()), Some(BadSubject)),
        (with("sub", "a\u{85}".into()), Some(BadSubject)),
        (with("sub", 7.into()), Some(BadSubject)),
        (with("sub", Value::Null), Some(BadSubject)),
        (with("sub", json!(["alice"])), Some(BadSubject)),
        (json!({ "exp": NOW.0 + 60 }), Some(BadSubject)),
        (with("device_id", text(128)), None),
        (with("device_id", text(129)), Some(BadClaim)),
        (with("device_id", text(0)), Some(BadClaim)),
        (with("device_id", "a\0".into()), Some(BadClaim)),
        (with("device_id", 7.into()), Some(BadClaim)),
        (with("device_id", Value::Null), None),
        (with("name", text(256)), None),
        (with("name", text(0)), None),
        (with("name", text(257)), Some(BadClaim)),
        (with("name", "a\rb".into()), Some(BadClaim)),
        (with("name", json!({})), Some(BadClaim)),
        (with("name", Value::Null), None),
        (with("rooms", list(64)), None),
        (with("rooms", list(0)), None),
        (with("rooms", "lobby".into()), None),
        (with("rooms", list(65)), Some(BadClaim)),
        (with("rooms", json!([text(129)])), Some(BadClaim)),
        (with("rooms", json!(["a", 7])), Some(BadClaim)),
        (with("rooms", json!([["a"]])), Some(BadClaim)),
        (with("rooms", json!([""])), Some(BadClaim)),
        (with("rooms", json!({ "a": true })), Some(BadClaim)),
        (with("rooms", Value::Null), Some(BadClaim)),
        (with("roles", list(32)), None),
        (with("roles", list(33)), Some(BadClaim)),
        (with("roles", json!([Value::Null])), Some(BadClaim)),
        (with("roles", json!(["a\tb"])), Some(BadClaim)),
        (with("roles", true.into()), Some(BadClaim)),
    ] {
        assert_eq!(judged(TokenRules::default(), NOW, &claims).err(), wanted, "{claims}");
    }
}

#[test] // RFC 7519 sections 4.1.4 and 4.1.5; security S3: a leeway of at most 30 s
fn the_clocks_may_differ_by_thirty_seconds() {
    let claims = json!({ "sub": "alice", "nbf": NOW.0, "exp": NOW.0 + 100 });
    for (offset, wanted) in [
        (-31, Some(NotYetValid)),
        (-30, None),
        (0, None),
        (100, None),
        (129, None),
        (130, Some(Expired)),
        (1_000_000, Some(Expired)),
    ] {
        let now = UnixTime(NOW.0.checked_add_signed(offset).expect("after 1970"));
        assert_eq!(judged(TokenRules::default(), now, &claims).err(), wanted, "{offset} s");
    }
}

#[test] // RFC 7519 sections 4.1.1 and 4.1.3
fn issuer_and_audience_are_compared_whole() {
    let rules = TokenRules { issuer: Some("https://a/".into()), audience: Some("turnstone".into()) };
    let claims = |iss: Value, aud: Value| json!({ "sub": "a", "exp": NOW.0 + 9, "iss": iss, "aud": aud });
    for (iss, aud, wanted) in [
        (json!("https://a/"), json!("turnstone"), None),
        (json!("https://a/"), json!(["x", "turnstone"]), None),
        (json!("https://a"), json!("turnstone"), Some(WrongIssuer)),
        (json!("HTTPS://A/"), json!("turnstone"), Some(WrongIssuer)),
        (json!(["https://a/"]), json!("turnstone"), Some(WrongIssuer)),
        (Value::Null, json!("turnstone"), Some(WrongIssuer)),
        (json!("https://a/"), json!("turnstone2"), Some(WrongAudience)),
        (json!("https://a/"), json!(["x"]), Some(WrongAudience)),
        (json!("https://a/"), json!([]), Some(WrongAudience)),
        (json!("https://a/"), json!([["turnstone"]]), Some(WrongAudience)),
        (json!("https://a/"), json!({ "turnstone": 1 }), Some(WrongAudience)),
        (json!("https://a/"), Value::Null, Some(WrongAudience)),
    ] {
        assert_eq!(
            judged(rules.clone(), NOW, &claims(iss.clone(), aud.clone())).err(),
            wanted,
            "{iss} {aud}"
        );
    }
    assert_eq!(judged(rules, NOW, &alice()).err(), Some(WrongIssuer));
}

#[test]
fn only_an_expired_token_asks_for_a_fresh_one() {
    use turnstone::metrics::SignalingError;
    for reason in TokenRefused::ALL {
        let is_expired = reason.code() == SignalingError::TokenExpired;
        assert_eq!(is_expired, reason == Expired, "{reason}");
    }
    // A forged token does not learn that a good one would have expired.
    let forged = Signer::secret("another-secret-of-at-least-32-bytes-00002").token(&with("exp", 1.into()));
    assert_eq!(by_secret(SECRET).verify(&forged, NOW), Err(BadSignature));
}
