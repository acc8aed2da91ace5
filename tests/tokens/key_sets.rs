//! Key sets as issuers publish them, and the PEM files of operators.

use super::token::{Signer, encode, key_set, pem};
use super::{NOW, SECRET, alice, by_pem, by_set};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::RsaKeyPair;
use serde_json::{Value, json};
use turnstone::auth::Secret;
use turnstone::auth::token::{BadKeySet, BadPem, BadSecret, KeySet, TokenRefused, TokenRules, Verifier};

fn changed(jwk: &Value, name: &str, value: Value) -> Value {
    let mut jwk = jwk.clone();
    jwk[name] = value;
    jwk
}

#[test]
fn a_token_is_judged_by_the_key_that_it_names() {
    let (one, two) = (Signer::p256(), Signer::p256());
    let judge = by_set(&key_set(&[one.named_jwk("1"), two.named_jwk("2")]));
    for (token, wanted) in [
        (one.named_token("1", &alice()), None),
        (two.named_token("2", &alice()), None),
        (two.token(&alice()), None),
        (one.named_token("2", &alice()), Some(TokenRefused::BadSignature)),
        (one.named_token("3", &alice()), Some(TokenRefused::UnknownKey)),
        (one.named_token("", &alice()), Some(TokenRefused::UnknownKey)),
        (one.named_token("1 ", &alice()), Some(TokenRefused::UnknownKey)),
        // Neither of these can come true with a newer set.
        (one.signed(&json!({ "alg": "HS256", "kid": "3" }), &alice()), Some(TokenRefused::WrongAlgorithm)),
        (one.signed(&json!({ "alg": "none", "kid": "3" }), &alice()), Some(TokenRefused::WrongAlgorithm)),
    ] {
        assert_eq!(judge.verify(&token, NOW).err(), wanted, "{token}");
    }
    let nothing = Verifier::new(KeySet::default(), TokenRules::default());
    assert_eq!(nothing.verify(&one.token(&alice()), NOW), Err(TokenRefused::UnknownKey));
}

#[test]
fn one_name_may_stand_for_two_types_of_key_but_not_for_two_keys_of_one() {
    let (rsa, one, two) = (Signer::rsa(), Signer::p256(), Signer::p256());
    let set = key_set(&[rsa.named_jwk("k"), one.named_jwk("k"), two.named_jwk("k")]);
    let judge = by_set(&set);
    assert_eq!((judge.keys().len(), judge.keys().skipped()), (2, 1));
    assert!(judge.verify(&rsa.named_token("k", &alice()), NOW).is_ok());
    assert!(judge.verify(&one.named_token("k", &alice()), NOW).is_ok());
    assert_eq!(judge.verify(&two.named_token("k", &alice()), NOW), Err(TokenRefused::BadSignature));
}

#[test]
fn a_token_without_a_name_tries_four_keys_at_most() {
    let signers: Vec<_> = (0..5).map(|_| Signer::ed25519()).collect();
    let keys: Vec<_> = signers.iter().enumerate().map(|(n, key)| key.named_jwk(&n.to_string())).collect();
    let judge = by_set(&key_set(&keys));
    let taken: Vec<_> =
        signers.iter().map(|signer| judge.verify(&signer.token(&alice()), NOW).is_ok()).collect();
    assert_eq!(taken, [true, true, true, true, false]);
    assert!(judge.verify(&signers[4].named_token("4", &alice()), NOW).is_ok());
}

#[test]
fn keys_that_cannot_judge_a_signature_are_left_out() {
    let (rsa, ec, ed, other) =
        (Signer::rsa().jwk(), Signer::p256().jwk(), Signer::ed25519().jwk(), Signer::p256());
    let weak = |bits: usize| {
        let modulus = [&[0x80][..], &vec![1; bits / 8 - 1]].concat();
        json!({ "kty": "RSA", "e": "AQAB", "n": encode(&modulus) })
    };
    for jwk in [
        Signer::secret(SECRET).jwk(),
        json!({ "kty": "oct", "k": encode(SECRET.as_bytes()), "alg": "HS256", "use": "sig" }),
        changed(&rsa, "use", "enc".into()),
        changed(&rsa, "use", 7.into()),
        changed(&rsa, "key_ops", json!(["encrypt"])),
        changed(&rsa, "key_ops", json!([])),
        changed(&rsa, "key_ops", "verify".into()),
        changed(&rsa, "alg", "HS256".into()),
        changed(&rsa, "alg", "none".into()),
        changed(&rsa, "alg", "RSA-OAEP".into()),
        changed(&rsa, "alg", "ES256".into()),
        changed(&rsa, "d", "AQAB".into()),
        changed(&rsa, "e", "AQ".into()),
        changed(&rsa, "e", "AA".into()),
        changed(&rsa, "e", "AQAA".into()),
        changed(&rsa, "e", encode(&[1; 5]).into()),
        changed(&rsa, "e", Value::Null),
        changed(&rsa, "n", "!".into()),
        changed(&rsa, "n", "".into()),
        changed(&rsa, "kid", "k".repeat(257).into()),
        changed(&rsa, "kid", 7.into()),
        weak(1024),
        weak(2040),
        weak(8200),
        changed(&ec, "alg", "ES384".into()),
        changed(&ec, "crv", "P-384".into()),
        changed(&ec, "crv", "P-521".into()),
        changed(&ec, "crv", "secp256k1".into()),
        changed(&ec, "crv", Value::Null),
        changed(&ec, "x", ec["y"].clone()),
        changed(&ec, "x", encode(&[0; 32]).into()),
        changed(&ec, "x", "AA".into()),
        changed(&ed, "crv", "X25519".into()),
        changed(&ed, "crv", "Ed448".into()),
        changed(&ed, "x", "AA".into()),
        changed(&ed, "kty", "EC".into()),
        json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA" }),
        json!({ "kty": 7 }),
        json!({}),
        json!([]),
        json!("key"),
        Value::Null,
    ] {
        let alone = KeySet::parse(key_set(std::slice::from_ref(&jwk)).as_bytes());
        assert_eq!(alone.err(), Some(BadKeySet::NoneOfUse), "{jwk}");
        let beside = KeySet::parse(key_set(&[jwk.clone(), other.jwk()]).as_bytes()).expect("one of use");
        assert_eq!((beside.len(), beside.skipped()), (1, 1), "{jwk}");
    }
    for jwk in [
        changed(&rsa, "use", "sig".into()),
        changed(&rsa, "key_ops", json!(["verify", "sign"])),
        changed(&rsa, "x5c", json!(["MIIB"])),
        changed(&rsa, "n", encode(&[&[0][..], &decode(&rsa["n"])].concat()).into()),
        changed(&ec, "alg", "ES256".into()),
        changed(&ed, "alg", "EdDSA".into()),
        weak(2048),
    ] {
        assert!(KeySet::parse(key_set(std::slice::from_ref(&jwk)).as_bytes()).is_ok(), "{jwk}");
    }
}

#[test]
fn a_set_has_a_bound_in_bytes_and_in_keys() {
    let key = Signer::ed25519();
    let keys = |count: usize| -> Vec<Value> { (0..count).map(|n| key.named_jwk(&n.to_string())).collect() };
    assert_eq!(KeySet::parse(key_set(&keys(64)).as_bytes()).map(|set| set.len()), Ok(64));
    assert_eq!(KeySet::parse(key_set(&keys(65)).as_bytes()), Err(BadKeySet::TooMany));
    let padded = |bytes: usize| {
        let set = key_set(&keys(1));
        format!("{set}{}", " ".repeat(bytes - set.len()))
    };
    assert!(KeySet::parse(padded(KeySet::BYTES_MAX).as_bytes()).is_ok());
    assert_eq!(KeySet::parse(padded(KeySet::BYTES_MAX + 1).as_bytes()), Err(BadKeySet::TooLarge));
    let deep = format!("{{\"keys\":[{}", "[".repeat(200_000));
    for text in
        ["", "null", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, "<html>", "\u{FF}", &deep]
    {
        assert_eq!(KeySet::parse(text.as_bytes()), Err(BadKeySet::NotAKeySet), "{text:.40}");
    }
    assert_eq!(KeySet::parse(br#"{"keys":[]}"#), Err(BadKeySet::NoneOfUse));
}

#[test]
fn a_public_key_is_read_from_each_form_of_pem() {
    let signers = [Signer::rsa(), Signer::p256(), Signer::p384(), Signer::ed25519()];
    for signer in &signers {
        let text = format!("a comment\n{}", signer.pem());
        assert!(by_pem(&text).verify(&signer.token(&alice()), NOW).is_ok());
        assert!(by_pem(&text).verify(&signer.named_token("any", &alice()), NOW).is_ok());
    }
    // PKCS #1: what stands inside of the last bit string of the usual form.
    let der = pem_contents(&signers[0].pem());
    let pkcs1 = pem("RSA PUBLIC KEY", &der[24..]);
    assert!(by_pem(&pkcs1).verify(&signers[0].token(&alice()), NOW).is_ok());
    for kind in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519] {
        let key = rcgen::KeyPair::generate_for(kind).expect("a key");
        let names = rcgen::CertificateParams::new(["login.example".to_owned()]).expect("a name");
        let chain = names.self_signed(&key).expect("a certificate").pem();
        let of_certificate = KeySet::from_pem(chain.as_bytes()).expect("a key");
        assert_eq!(Ok(of_certificate), KeySet::from_pem(key.public_key_pem().as_bytes()));
    }
}

#[test]
fn a_pem_text_without_one_public_key_of_use_says_what_it_has() {
    let (one, two) = (Signer::p256().pem(), Signer::ed25519().pem());
    let private = rcgen::KeyPair::generate().expect("a key").serialize_pem();
    let p521 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).expect("a key").public_key_pem();
    let weak = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
    let broken = pem("PUBLIC KEY", &weak.as_der().expect("DER").as_ref()[..40]);
    for (text, wanted) in [
        ("".to_owned(), BadPem::NoKey),
        ("not PEM".to_owned(), BadPem::NoKey),
        (private.clone(), BadPem::PrivateKey),
        (private.replace("PRIVATE", "ENCRYPTED PRIVATE"), BadPem::PrivateKey),
        (format!("{one}{two}"), BadPem::TooMany),
        (p521, BadPem::NotOfUse),
        (broken, BadPem::Broken),
        (one.replace("-----END", ""), BadPem::Broken),
        (pem("CERTIFICATE", b"abc"), BadPem::Broken),
    ] {
        assert_eq!(KeySet::from_pem(text.as_bytes()), Err(wanted), "{text}");
    }
    // With its private half, the public one is enough.
    assert!(KeySet::from_pem(format!("{private}{one}").as_bytes()).is_ok());
}

#[test] // RFC 7518 section 3.2
fn a_secret_has_at_least_32_bytes_and_is_never_shown() {
    let set = |bytes: usize| KeySet::from_secret(&Secret::new("s".repeat(bytes)));
    assert_eq!(set(31), Err(BadSecret));
    let shown = format!("{:?}", Verifier::new(set(32).expect("long enough"), TokenRules::default()));
    assert!(!shown.contains("sss") && !shown.contains("115, 115"), "{shown}");
}

fn decode(value: &Value) -> Vec<u8> {
    use base64::Engine;
    let text = value.as_str().expect("a text");
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

fn pem_contents(text: &str) -> Vec<u8> {
    use base64::Engine;
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    base64::engine::general_purpose::STANDARD.decode(body).expect("base64")
}
