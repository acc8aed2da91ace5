//! Any text as a token, any payload in a good one, and any bytes as a key set.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::sync::LazyLock;
use turnstone::auth::Secret;
use turnstone::auth::token::{Claims, KeySet, TokenRefused, TokenRules, Verifier};
use turnstone::base::UnixTime;

pub(crate) const SECRET: &str = "a-secret-that-the-issuer-shares-with-us-01";
pub(crate) const NOW: UnixTime = UnixTime(1_800_000_000);

/// Published keys of RFC 7515 and RFC 8037, for which the fuzzer has no private half.
const PUBLISHED: &str = r#"{"keys":[
    {"kty":"EC","crv":"P-256","kid":"k","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
     "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
    {"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

static BY_SECRET: LazyLock<Verifier> = LazyLock::new(|| {
    let keys = KeySet::from_secret(&Secret::new(SECRET)).expect("long enough");
    Verifier::new(keys, TokenRules::default())
});
static BY_PUBLIC_KEY: LazyLock<Verifier> = LazyLock::new(|| {
    Verifier::new(KeySet::parse(PUBLISHED.as_bytes()).expect("two keys"), TokenRules::default())
});

pub(crate) fn run(data: &[u8]) {
    as_token(&String::from_utf8_lossy(data));
    as_payload(data);
    as_header(data);
    as_keys(data);
}

fn as_token(token: &str) {
    assert!(BY_PUBLIC_KEY.verify(token, NOW).is_err(), "nobody has the private key");
    let judged = BY_SECRET.verify(token, NOW);
    let is_ours = is_signed(token);
    match judged {
        Ok(claims) => {
            assert!(is_ours && token.len() <= 8 << 10);
            check(&claims);
        }
        // Nothing is said about the claims of a token that is not signed.
        Err(
            TokenRefused::BadPayload
            | TokenRefused::BadTime
            | TokenRefused::BadSubject
            | TokenRefused::BadClaim
            | TokenRefused::NotYetValid
            | TokenRefused::Expired,
        ) => assert!(is_ours),
        Err(reason) => assert!(!reason.sentence().is_empty()),
    }
}

/// Whether the last part is an HMAC under the secret over what stands before, by any of the three algorithms.
fn is_signed(token: &str) -> bool {
    let Some((signed, signature)) = token.rsplit_once('.') else { return false };
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
    [hmac::HMAC_SHA256, hmac::HMAC_SHA384, hmac::HMAC_SHA512]
        .into_iter()
        .any(|algorithm| mac(algorithm, signed) == signature)
}

fn as_payload(payload: &[u8]) {
    let token = sign(br#"{"alg":"HS256"}"#, payload);
    if token.len() > 8 << 10 {
        return assert_eq!(BY_SECRET.verify(&token, NOW), Err(TokenRefused::TooLong));
    }
    match BY_SECRET.verify(&token, NOW) {
        Ok(claims) => check(&claims),
        Err(reason) => assert!(
            !matches!(
                reason,
                TokenRefused::Malformed | TokenRefused::BadSignature | TokenRefused::UnknownKey
            ),
            "{reason}"
        ),
    }
}

/// A header may refuse a token that is good otherwise; it never makes a bad one good.
fn as_header(header: &[u8]) {
    let token = sign(header, br#"{"sub":"a","exp":1800000001}"#);
    if let Err(reason) = BY_SECRET.verify(&token, NOW) {
        assert!(!matches!(reason, TokenRefused::Expired | TokenRefused::BadPayload), "{reason}");
    }
    let (signed, _) = token.rsplit_once('.').expect("three parts");
    assert!(BY_SECRET.verify(&format!("{signed}."), NOW).is_err());
    assert!(BY_PUBLIC_KEY.verify(&token, NOW).is_err());
}

fn as_keys(data: &[u8]) {
    if let Ok(keys) = KeySet::parse(data) {
        assert!((1..=KeySet::KEYS_MAX).contains(&keys.len()));
        assert!(keys.len() + keys.skipped() <= KeySet::KEYS_MAX);
        let judge = Verifier::new(keys, TokenRules::default());
        let ours = sign(br#"{"alg":"HS256"}"#, br#"{"sub":"a","exp":1800000001}"#);
        assert_eq!(judge.verify(&ours, NOW), Err(TokenRefused::WrongAlgorithm), "no set has a secret");
    }
    let _any_answer_is_fine = KeySet::from_pem(data);
}

fn check(claims: &Claims) {
    let is_clean = |text: &str| !text.chars().any(char::is_control);
    assert!((1..=128).contains(&claims.subject.len()) && is_clean(&claims.subject));
    assert!(claims.device.iter().all(|device| (1..=128).contains(&device.len()) && is_clean(device)));
    assert!(claims.name.iter().all(|name| name.len() <= 256 && is_clean(name)));
    assert!(claims.roles.len() <= 32 && claims.roles.iter().all(|role| is_clean(role)));
    let rooms: Vec<&str> = claims.rooms.iter().flat_map(|rooms| rooms.entries()).collect();
    assert!(rooms.len() <= 64 && rooms.iter().all(|room| (1..=128).contains(&room.len()) && is_clean(room)));
    assert!(rooms.iter().all(|room| claims.rooms.iter().all(|list| list.admits(room))));
    assert!(claims.expires.after(TokenRules::LEEWAY) > NOW && claims.expires.0 <= 1 << 53);
    assert!(claims.not_before.is_none_or(|start| start <= NOW.after(TokenRules::LEEWAY)));
}

/// A token with the secret's HMAC over SHA-256.
pub(crate) fn sign(header: &[u8], payload: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(mac(hmac::HMAC_SHA256, &signed));
    format!("{signed}.{signature}")
}

fn mac(algorithm: hmac::Algorithm, signed: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(algorithm, SECRET.as_bytes()), signed.as_bytes()).as_ref().to_vec()
}
