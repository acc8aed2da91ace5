//! The three parts of a token, and what its header may decide.

use super::TokenRefused;
use super::members::Members;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use std::borrow::Cow;
use std::str::FromStr;

/// A longer token is not looked at.
const TOKEN_BYTES_MAX: usize = 8 << 10;

/// A longer `kid` names no key here.
pub(super) const KEY_ID_BYTES_MAX: usize = 256;

/// A token cut at its dots (RFC 7515 section 7.1).
pub(super) struct Parts<'a> {
    header: &'a str,
    payload: &'a str,
    /// What the signature covers: header, dot, payload, as they were sent.
    pub(super) signed: &'a str,
    /// Still in base64url.
    pub(super) signature: &'a str,
}

impl<'a> Parts<'a> {
    pub(super) fn of(token: &'a str) -> Result<Self, TokenRefused> {
        if token.is_empty() {
            return Err(TokenRefused::Missing);
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenRefused::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenRefused::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenRefused::Malformed)?;
        Ok(Self { header, payload, signed, signature })
    }

    /// The payload. A dot more than two is still in it, and no base64url.
    pub(super) fn payload(&self) -> Result<Vec<u8>, TokenRefused> {
        URL_SAFE_NO_PAD.decode(self.payload).map_err(|_| TokenRefused::Malformed)
    }

    pub(super) fn header(&self) -> Result<Header, TokenRefused> {
        let json = URL_SAFE_NO_PAD.decode(self.header).map_err(|_| TokenRefused::Malformed)?;
        Header::parse(&json)
    }
}

/// What is read of a header (RFC 7515 section 4). `jku`, `x5u`, `jwk` and `x5c` would let the token bring its own key;
/// they and all others are not looked at.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    /// At most [`KEY_ID_BYTES_MAX`]. Only ever compared with ids that are known.
    pub(super) key_id: Option<Box<str>>,
}

impl Header {
    fn parse(json: &[u8]) -> Result<Self, TokenRefused> {
        let members = Members::parse(json).ok_or(TokenRefused::Malformed)?;
        // RFC 7515 section 4.1.11: what is listed there must be understood, and nothing is.
        if members.raw("crit").is_some() {
            return Err(TokenRefused::UnknownExtension);
        }
        let text = |name| members.optional::<Cow<'_, str>>(name).map_err(|_| TokenRefused::Malformed);
        let name = text("alg")?.ok_or(TokenRefused::Malformed)?;
        let key_id = text("kid")?;
        if key_id.as_ref().is_some_and(|id| id.len() > KEY_ID_BYTES_MAX) {
            return Err(TokenRefused::Malformed);
        }
        let key_id = key_id.map(|id| Box::from(&*id));
        Ok(Self { algorithm: algorithm(&name).ok_or(TokenRefused::WrongAlgorithm)?, key_id })
    }
}

/// The algorithm of this name, case-sensitive; `none` is not one.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    match name {
        // RFC 9864 section 2.2: what EdDSA always meant for these keys.
        "Ed25519" => Some(Algorithm::EdDSA),
        _ => Algorithm::from_str(name).ok(),
    }
}
