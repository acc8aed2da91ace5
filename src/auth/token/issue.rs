//! Tokens that we sign ourselves, for people who have no issuer yet.

use super::{KeySet, TokenRefused, TokenRules, Verifier};
use crate::auth::Secret;
use crate::base::UnixTime;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

/// What a token is to say; see [`super::Claims`].
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TokenRequest<'a> {
    /// `sub`: the user.
    #[serde(rename = "sub")]
    pub subject: &'a str,
    /// `device_id`.
    #[serde(rename = "device_id", skip_serializing_if = "Option::is_none")]
    pub device: Option<&'a str>,
    /// `name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// `rooms`; with none the token does not say.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub rooms: &'a [String],
    /// `iat`, in seconds since the Unix epoch.
    #[serde(rename = "iat")]
    pub issued_unix_s: u64,
    /// `exp`, in seconds since the Unix epoch.
    #[serde(rename = "exp")]
    pub expires_unix_s: u64,
}

/// [`TokenRequest`] with what the verifier wants besides.
#[derive(Serialize)]
struct Payload<'a> {
    #[serde(flatten)]
    request: TokenRequest<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
}

/// Why no token was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotIssued {
    /// The secret is shorter than [`KeySet::SECRET_BYTES_MIN`].
    BadSecret,
    /// Our own verifier would refuse it.
    Refused(TokenRefused),
}

/// Signs a token with HS256 that the verifier takes which has this secret and these rules.
///
/// # Errors
/// The secret is too short, or the request asks for what no token may say.
pub fn issue(secret: &Secret, rules: &TokenRules, request: TokenRequest<'_>) -> Result<String, NotIssued> {
    let keys = KeySet::from_secret(secret).map_err(|_| NotIssued::BadSecret)?;
    let payload = Payload { request, iss: rules.issuer.as_deref(), aud: rules.audience.as_deref() };
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &payload, &key)
        .map_err(|_| NotIssued::Refused(TokenRefused::BadPayload))?;
    let verifier = Verifier::new(keys, rules.clone());
    verifier.verify(&token, UnixTime(request.issued_unix_s)).map_err(NotIssued::Refused)?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: TokenRequest<'_> = TokenRequest {
        subject: "alice",
        device: None,
        name: None,
        rooms: &[],
        issued_unix_s: 1_000,
        expires_unix_s: 4_600,
    };

    fn secret() -> Secret {
        Secret::new("0123456789abcdef0123456789abcdef")
    }

    #[test]
    fn a_token_says_what_was_asked_for_and_what_the_verifier_wants() {
        let rules = TokenRules { issuer: Some("i".into()), audience: Some("a".into()) };
        let rooms = ["lobby".to_owned(), "team-*".to_owned()];
        let request =
            TokenRequest { device: Some("phone"), name: Some("Alice \"A\""), rooms: &rooms, ..REQUEST };
        let token = issue(&secret(), &rules, request).expect("issued");
        let verifier = Verifier::new(KeySet::from_secret(&secret()).expect("long"), rules);
        let claims = verifier.verify(&token, UnixTime(4_599)).expect("good");
        assert_eq!((&*claims.subject, claims.expires), ("alice", UnixTime(4_600)));
        assert_eq!((claims.device.as_deref(), claims.name.as_deref()), (Some("phone"), Some("Alice \"A\"")));
        assert_eq!(claims.rooms.expect("said").entries().collect::<Vec<_>>(), ["lobby", "team-*"]);
        let bare = issue(&secret(), &TokenRules::default(), REQUEST).expect("issued");
        let any = Verifier::new(KeySet::from_secret(&secret()).expect("long"), TokenRules::default());
        assert_eq!(any.verify(&bare, UnixTime(1_000)).expect("good").rooms, None);
    }

    #[test]
    fn what_no_client_could_use_is_not_issued() {
        let refused = |request| issue(&secret(), &TokenRules::default(), request).expect_err("no use");
        let long = "x".repeat(129);
        let no = |why| NotIssued::Refused(why);
        assert_eq!(refused(TokenRequest { subject: &long, ..REQUEST }), no(TokenRefused::BadSubject));
        assert_eq!(refused(TokenRequest { device: Some(""), ..REQUEST }), no(TokenRefused::BadClaim));
        assert_eq!(
            refused(TokenRequest { rooms: std::slice::from_ref(&long), ..REQUEST }),
            no(TokenRefused::BadClaim)
        );
        let short = Secret::new("0123456789abcdef0123456789abcde");
        assert_eq!(issue(&short, &TokenRules::default(), REQUEST), Err(NotIssued::BadSecret));
    }
}
