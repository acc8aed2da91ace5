//! The examples of the RFCs: their signatures are good, and what is missing in them are our claims.

use super::token::key_set;
use super::{NOW, by_set};
use serde_json::{Value, json};
use turnstone::auth::token::TokenRefused;

#[test] // RFC 7515 appendix A.2
fn rs256_as_published() {
    let key = json!({
        "kty": "RSA", "e": "AQAB",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-\
              pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2C\
              apHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9g\
              b54h4FRWyuXpoQ",
    });
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9\
                     CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOL\
                     n6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtV\
                     rBp0igcN_IoypGlUPQGe77Rw";
    signed(key, &format!("eyJhbGciOiJSUzI1NiJ9.{JOE}.{signature}"), TokenRefused::BadSubject);
}

#[test] // RFC 7515 appendix A.3
fn es256_as_published() {
    let key = json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    signed(key, &format!("eyJhbGciOiJFUzI1NiJ9.{JOE}.{signature}"), TokenRefused::BadSubject);
}

#[test] // RFC 8037 appendix A.4; its payload is no JSON
fn eddsa_as_published() {
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
                 hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    signed(key, token, TokenRefused::BadPayload);
}

#[test] // RFC 7519 section 6.1
fn the_unsecured_token_as_published_is_refused() {
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let judged = by_set(&key_set(&[key])).verify(&format!("eyJhbGciOiJub25lIn0.{JOE}."), NOW);
    assert_eq!(judged, Err(TokenRefused::WrongAlgorithm));
}

/// The payload of RFC 7515 appendix A.
const JOE: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

#[track_caller]
fn signed(key: Value, token: &str, lacks: TokenRefused) {
    let judge = by_set(&key_set(&[key]));
    assert_eq!(judge.verify(token, NOW), Err(lacks));
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let bent = format!("{signed}.{}{signature}", &signature[..4]);
    assert_eq!(judge.verify(&bent, NOW), Err(TokenRefused::BadSignature));
}
