//! Every algorithm with its own key, and with every other.

use super::token::{Signer, hmac_by, key_set};
use super::{NOW, SECRET, alice, by_pem, by_secret, by_set};
use serde_json::json;
use turnstone::auth::token::{TokenRefused, Verifier};

fn signers(secret: &str) -> Vec<Signer> {
    vec![Signer::secret(secret), Signer::rsa(), Signer::p256(), Signer::p384(), Signer::ed25519()]
}

/// Every judge that knows the key of `signer`: by its secret, or by PEM, by a set with and one without names.
fn judges(signer: &Signer) -> Vec<Verifier> {
    if let Signer::Secret(secret) = signer {
        return vec![by_secret(secret)];
    }
    let sets = [key_set(&[signer.jwk()]), key_set(&[signer.named_jwk("k")])];
    sets.iter().map(|set| by_set(set)).chain([by_pem(&signer.pem())]).collect()
}

#[test]
fn a_token_is_taken_by_its_own_key_and_refused_by_every_other() {
    let (signers, others) = (signers(SECRET), signers("another-secret-of-at-least-32-bytes-00002"));
    for (at, signer) in signers.iter().enumerate() {
        for algorithm in signer.algorithms() {
            let token = signer.signed(&json!({ "alg": algorithm }), &alice());
            let is_pinned = !algorithm.starts_with("PS");
            for judge in judges(signer) {
                let judged = judge.verify(&token, NOW).map(|claims| claims.subject.to_string());
                let wanted =
                    if is_pinned { Ok("alice".to_owned()) } else { Err(TokenRefused::WrongAlgorithm) };
                assert_eq!(judged, wanted, "{algorithm}");
            }
            for (other_at, other) in others.iter().enumerate() {
                let wanted = match at == other_at && is_pinned {
                    true => TokenRefused::BadSignature,
                    false => TokenRefused::WrongAlgorithm,
                };
                for judge in judges(other) {
                    assert_eq!(judge.verify(&token, NOW), Err(wanted), "{algorithm} by {other:?}");
                }
            }
        }
    }
}

#[test]
fn an_algorithm_that_the_key_does_not_sign_with_is_refused_though_its_bytes_are_right() {
    // The signature is by the right key; the header names something else.
    for (signer, claimed) in [
        (Signer::rsa(), ["HS256", "ES256", "PS256", "none"]),
        (Signer::p256(), ["HS256", "ES384", "RS256", "none"]),
        (Signer::ed25519(), ["HS512", "ES256", "RS512", "none"]),
        (Signer::secret(SECRET), ["RS256", "ES256", "EdDSA", "none"]),
    ] {
        for algorithm in claimed {
            let token = signer.signed_text(&json!({ "alg": algorithm }).to_string(), &alice().to_string());
            for judge in judges(&signer) {
                assert_eq!(judge.verify(&token, NOW), Err(TokenRefused::WrongAlgorithm), "{algorithm}");
            }
        }
    }
}

#[test] // security S1: an HMAC under the text of the public key, which everybody knows
fn a_public_key_is_no_secret() {
    let signer = Signer::rsa();
    let pem = signer.pem();
    let modulus = signer.jwk()["n"].as_str().expect("a modulus").to_owned();
    for key in [pem.as_bytes(), pem.trim_end().as_bytes(), modulus.as_bytes()] {
        for algorithm in ["HS256", "HS384", "HS512"] {
            let signed = Signer::secret("x").signed(&json!({ "alg": algorithm }), &alice());
            let signed = signed.rsplit_once('.').expect("three parts").0;
            let mac = hmac_by(algorithm, key, signed.as_bytes());
            let token = format!("{signed}.{}", super::token::encode(&mac));
            for judge in [by_pem(&pem), by_set(&key_set(&[signer.jwk()]))] {
                assert_eq!(judge.verify(&token, NOW), Err(TokenRefused::WrongAlgorithm));
            }
        }
    }
}

#[test]
fn a_key_that_names_its_algorithm_takes_no_other() {
    let signer = Signer::rsa();
    for own in ["RS256", "RS384", "PS256", "PS512"] {
        let mut jwk = signer.jwk();
        jwk["alg"] = own.into();
        let judge = by_set(&key_set(&[jwk]));
        for algorithm in signer.algorithms() {
            let judged = judge.verify(&signer.signed(&json!({ "alg": algorithm }), &alice()), NOW);
            assert_eq!(judged.is_ok(), *algorithm == own, "{algorithm} by a key for {own}: {judged:?}");
        }
    }
}

#[test] // RFC 9864 section 2.2
fn ed25519_goes_by_both_of_its_names() {
    let signer = Signer::ed25519();
    let token = signer.signed(&json!({ "alg": "Ed25519" }), &alice());
    assert!(by_pem(&signer.pem()).verify(&token, NOW).is_ok());
}
