//! Inputs of `token` that people found interesting, by name.

use crate::token::sign;

/// Whole tokens, payloads, headers and key sets: each is tried as all four.
pub(crate) fn token() -> Vec<(&'static str, Vec<u8>)> {
    const HEADER: &[u8] = br#"{"alg":"HS256"}"#;
    let full: &[u8] =
        br#"{"sub":"alice","device_id":"phone","name":"Ann","exp":1800000060,"nbf":1799999999,"iat":1,
        "rooms":["lobby","team-*"],"roles":"host","iss":"x","aud":["y"]}"#;
    let good = sign(HEADER, full);
    let (signed, _) = good.rsplit_once('.').expect("three parts");
    vec![
        ("empty", Vec::new()),
        ("good", good.clone().into()),
        ("unsigned", format!("{signed}.").into()),
        ("expired", sign(HEADER, br#"{"sub":"alice","exp":1}"#).into()),
        ("none", sign(br#"{"alg":"none"}"#, full).into()),
        ("of-a-public-key", sign(br#"{"alg":"ES256","kid":"k"}"#, full).into()),
        ("five-parts", "a.b.c.d.e".into()),
        ("payload-full", full.to_vec()),
        ("payload-float-exp", br#"{"sub":"a","exp":1800000060.0}"#.to_vec()),
        ("payload-text-exp", br#"{"sub":"a","exp":"1800000060"}"#.to_vec()),
        ("payload-huge-exp", br#"{"sub":"a","exp":9007199254740993}"#.to_vec()),
        ("payload-sub-twice", br#"{"sub":"a","exp":1800000060,"s\u0075b":"b"}"#.to_vec()),
        ("payload-lone-surrogate", br#"{"sub":"\ud800","exp":1800000060}"#.to_vec()),
        ("payload-deep", [b"{\"a\":".repeat(60), b"1".to_vec(), b"}".repeat(60)].concat()),
        ("header-crit", br#"{"alg":"HS256","crit":["exp"]}"#.to_vec()),
        ("header-kid", br#"{"alg":"HS384","kid":"../../etc/passwd","jku":"https://evil.example/"}"#.to_vec()),
        (
            "keys",
            br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","alg":"EdDSA","use":"sig","key_ops":["verify"],
            "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},{"kty":"oct","k":"AAAA"},{"kty":"RSA","n":"AQ","e":"AQAB"},
            {"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}"#
                .to_vec(),
        ),
        (
            "pem",
            b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n"
                .to_vec(),
        ),
    ]
}
