//! Tokens of attackers (security S1, S2), all made by hand. Those with a bad header or payload are signed by the right
//! key, so that nothing else refuses them.

use super::token::{Signer, encode, key_set};
use super::{NOW, SECRET, alice, by_secret, by_set};
use serde_json::json;
use turnstone::auth::token::TokenRefused::{self, *};

const HEADER: &str = r#"{"alg":"HS256"}"#;

#[test]
fn what_is_no_signed_token_is_refused_before_any_key_is_asked() {
    let good = Signer::secret(SECRET).token(&alice());
    let (signed, signature) = good.rsplit_once('.').expect("three parts");
    let (header, payload) = signed.split_once('.').expect("three parts");
    let judge = by_secret(SECRET);
    assert!(judge.verify(&good, NOW).is_ok());
    let megabyte = "A".repeat(1 << 20);
    for (token, wanted) in [
        (String::new(), Missing),
        (megabyte.clone(), TooLong),
        (format!("{header}.{megabyte}.{signature}"), TooLong),
        ("x".repeat(8 << 10), Malformed),
        ("..".into(), Malformed),
        (".".into(), Malformed),
        ("a.b".into(), Malformed),
        ("null".into(), Malformed),
        (signed.into(), Malformed),
        (format!("{good}.{signature}"), Malformed),
        (format!("{header}.{payload}.{payload}.{signature}.{signature}"), Malformed),
        (format!(".{good}"), Malformed),
        (format!("{header}..{signature}"), BadSignature),
        (format!(".{payload}.{signature}"), Malformed),
        (format!("{signed}."), BadSignature),
        (format!("{signed}.!"), BadSignature),
        (format!("{good}="), BadSignature),
        (format!("{good}A"), BadSignature),
        (format!("{good}\n"), BadSignature),
        (format!(" {good}"), Malformed),
        (format!("Bearer {good}"), Malformed),
        (format!("{header}=.{payload}.{signature}"), Malformed),
        (format!("{header}.{payload}=.{signature}"), Malformed),
        (good.replace('.', "\u{FF0E}"), Malformed),
        (format!("{}.{payload}.{signature}", header.to_lowercase()), Malformed),
    ] {
        let short: String = token.chars().take(80).collect();
        assert_eq!(judge.verify(&token, NOW), Err(wanted), "{short}");
    }
}

#[test]
fn a_signature_that_is_bent_anywhere_is_refused() {
    for signer in [Signer::secret(SECRET), Signer::p256(), Signer::ed25519()] {
        let judge = match &signer {
            Signer::Secret(secret) => by_secret(secret),
            public => by_set(&key_set(&[public.jwk()])),
        };
        let token = signer.token(&alice());
        assert!(judge.verify(&token, NOW).is_ok());
        for at in 0..token.len() {
            let mut bent = token.clone().into_bytes();
            bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
            let bent = String::from_utf8(bent).expect("ASCII");
            assert!(judge.verify(&bent, NOW).is_err(), "byte {at} of {signer:?}");
        }
        for kept in 0..token.len() {
            assert!(judge.verify(&token[..kept], NOW).is_err(), "{kept} bytes");
        }
    }
}

#[test] // RFC 7515 section 4.1.9, RFC 4648 section 3.5
fn one_signature_has_one_spelling() {
    let token = Signer::secret(SECRET).token(&alice());
    let judge = by_secret(SECRET);
    let (start, last) = token.split_at(token.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/";
    let taken: Vec<char> =
        alphabet.chars().filter(|c| judge.verify(&format!("{start}{c}"), NOW).is_ok()).collect();
    assert_eq!(taken, last.chars().collect::<Vec<_>>());
}

#[test]
fn a_header_may_choose_among_our_keys_and_nothing_else() {
    let signer = Signer::secret(SECRET);
    let judge = by_secret(SECRET);
    let own = json!({ "kty": "oct", "k": encode(b"my own key") }).to_string();
    let long_id = "x".repeat(257);
    for (header, wanted) in [
        (r#"{"alg":"none"}"#, Some(WrongAlgorithm)),
        (r#"{"alg":"None"}"#, Some(WrongAlgorithm)),
        (r#"{"alg":"nOnE"}"#, Some(WrongAlgorithm)),
        (r#"{"alg":"hs256"}"#, Some(WrongAlgorithm)),
        (r#"{"alg":""}"#, Some(WrongAlgorithm)),
        (r#"{"alg":"HS256 "}"#, Some(WrongAlgorithm)),
        (r#"{"alg":null}"#, Some(Malformed)),
        (r#"{"alg":256}"#, Some(Malformed)),
        (r#"{"alg":["HS256"]}"#, Some(Malformed)),
        (r#"{"ALG":"HS256"}"#, Some(Malformed)),
        (r#"{"typ":"JWT"}"#, Some(Malformed)),
        (r#"{"alg":"HS256","alg":"none"}"#, Some(Malformed)),
        (r#"{"alg":"none","alg":"HS256"}"#, Some(Malformed)),
        (r#"{"alg":"HS256","\u0061lg":"HS256"}"#, Some(Malformed)),
        (r#"{"alg":"HS256","x":1,"x":1}"#, Some(Malformed)),
        (r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, Some(UnknownExtension)),
        (r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, Some(UnknownExtension)),
        (r#"{"alg":"HS256","crit":[]}"#, Some(UnknownExtension)),
        (r#"{"alg":"HS256","crit":null}"#, Some(UnknownExtension)),
        (r#"{"alg":"HS256","kid":7}"#, Some(Malformed)),
        (r#"{"alg":"HS256","kid":null}"#, Some(Malformed)),
        (r#"{"alg":"HS256","kid":["a"]}"#, Some(Malformed)),
        (&format!(r#"{{"alg":"HS256","kid":"{long_id}"}}"#), Some(Malformed)),
        (r#"["alg","HS256"]"#, Some(Malformed)),
        (r#""HS256""#, Some(Malformed)),
        ("", Some(Malformed)),
        ("{", Some(Malformed)),
        (r#"{"alg":"HS256"} x"#, Some(Malformed)),
        ("\u{FEFF}{\"alg\":\"HS256\"}", Some(Malformed)),
        // A secret has no name, so that any will do; that it looks like a path or a query changes nothing.
        (r#"{"alg":"HS256","kid":"../../../../dev/null"}"#, None),
        (r#"{"alg":"HS256","kid":"' UNION SELECT 'x"}"#, None),
        (r#"{"alg":"HS256","kid":""}"#, None),
        (r#"{"alg":"HS256","typ":"at+jwt","cty":"x","unknown":{"a":[1]}}"#, None),
    ] {
        let token = signer.signed_text(header, &alice().to_string());
        assert_eq!(judge.verify(&token, NOW).err(), wanted, "{header}");
    }
    // What brings its own key is signed by that one, and that one is not looked at.
    for header in [
        format!(r#"{{"alg":"HS256","jwk":{own}}}"#),
        r#"{"alg":"HS256","jku":"https://evil.example/keys"}"#.into(),
        r#"{"alg":"HS256","x5u":"https://evil.example/cert.pem"}"#.into(),
        r#"{"alg":"HS256","x5c":["MIIB"]}"#.into(),
    ] {
        let forged = Signer::secret("my own key").signed_text(&header, &alice().to_string());
        assert_eq!(judge.verify(&forged, NOW), Err(BadSignature), "{header}");
        let ours = signer.signed_text(&header, &alice().to_string());
        assert_eq!(judge.verify(&ours, NOW).err(), None, "{header}");
    }
}

#[test] // security S2, CVE-2026-25537
fn a_time_that_is_no_whole_number_is_refused() {
    let later = NOW.0 + 60;
    let two_to_53 = 1_u64 << 53;
    for (claims, wanted) in [
        (format!(r#""exp":{later}"#), None),
        (format!(r#""exp":{two_to_53}"#), None),
        (format!(r#""exp":{}"#, two_to_53 + 1), Some(BadTime)),
        (r#""exp":18446744073709551616"#.into(), Some(BadTime)),
        (r#""exp":1e400"#.into(), Some(BadTime)),
        (r#""exp":1e12"#.into(), Some(BadTime)),
        (format!(r#""exp":{later}.0"#), Some(BadTime)),
        (format!(r#""exp":{later}.5"#), Some(BadTime)),
        (format!(r#""exp":"{later}""#), Some(BadTime)),
        (r#""exp":"never""#.into(), Some(BadTime)),
        (r#""exp":null"#.into(), Some(BadTime)),
        (r#""exp":true"#.into(), Some(BadTime)),
        (format!(r#""exp":[{later}]"#), Some(BadTime)),
        (format!(r#""exp":{{"a":{later}}}"#), Some(BadTime)),
        (r#""exp":-1"#.into(), Some(BadTime)),
        (r#""exp":-0"#.into(), Some(BadTime)),
        (r#""exp":NaN"#.into(), Some(BadPayload)),
        (r#""iat":1"#.into(), Some(BadTime)),
        (format!(r#""exp":{later},"exp":{later}"#), Some(BadPayload)),
        (format!(r#""exp":1,"\u0065xp":{later}"#), Some(BadPayload)),
        (format!(r#""exp":{later},"nbf":"0""#), Some(BadTime)),
        (format!(r#""exp":{later},"nbf":0.5"#), Some(BadTime)),
        (format!(r#""exp":{later},"nbf":-5"#), Some(BadTime)),
        (format!(r#""exp":{later},"nbf":null"#), Some(BadTime)),
        (format!(r#""exp":{later},"nbf":false"#), Some(BadTime)),
        (format!(r#""exp":{later},"nbf":{}"#, two_to_53 + 1), Some(BadTime)),
        (format!(r#""exp":{later},"nbf":{two_to_53}"#), Some(NotYetValid)),
        (format!(r#""exp":{later},"iat":"now""#), Some(BadTime)),
        (format!(r#""exp":{later},"iat":1.5"#), Some(BadTime)),
        (format!(r#""exp":{later},"iat":{}"#, NOW.0), None),
        (r#""exp":0"#.into(), Some(Expired)),
    ] {
        let payload = format!(r#"{{"sub":"alice",{claims}}}"#);
        refused_for(&payload, wanted);
    }
}

#[test]
fn claims_that_are_there_twice_and_payloads_that_are_no_object_are_refused() {
    let exp = NOW.0 + 60;
    for payload in [
        format!(r#"{{"sub":"alice","exp":{exp},"sub":"root"}}"#),
        format!(r#"{{"sub":"alice","exp":{exp},"s\u0075b":"root"}}"#),
        format!(r#"{{"sub":"alice","exp":{exp},"extra":1,"extra":2}}"#),
        format!(r#"{{"sub":"alice","exp":{exp}}}{{}}"#),
        format!(r#"[{{"sub":"alice","exp":{exp}}}]"#),
        "Example of signing".into(),
        "null".into(),
    ] {
        refused_for(&payload, Some(BadPayload));
    }
    let deep = "[".repeat(2_000);
    refused_for(&format!(r#"{{"sub":"alice","exp":{exp},"deep":{deep}"#), Some(BadPayload));
    let closed = "]".repeat(2_000);
    refused_for(&format!(r#"{{"sub":"alice","exp":{exp},"deep":{deep}{closed}}}"#), None);
    refused_for(&format!(r#"{{"sub":"alice","exp":{exp},"__proto__":{{"sub":"root"}}}}"#), None);
}

#[track_caller]
fn refused_for(payload: &str, wanted: Option<TokenRefused>) {
    let token = Signer::secret(SECRET).signed_text(HEADER, payload);
    let judged = by_secret(SECRET).verify(&token, NOW);
    assert_eq!(judged.as_ref().err(), wanted.as_ref(), "{payload}");
    if let Ok(claims) = judged {
        assert_eq!(&*claims.subject, "alice");
    }
}
