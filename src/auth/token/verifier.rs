//! The judge of tokens.

use super::header::{Header, Parts};
use super::key::Key;
use super::{Claims, KeySet, TokenRefused};
use crate::base::UnixTime;
use std::time::Duration;

/// Keys that are tried for one token.
const TRIES_MAX: usize = 4;

/// What a token must say besides being signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRules {
    /// The one `iss`; any when `None`.
    pub issuer: Option<Box<str>>,
    /// It must be in `aud`; any when `None`.
    pub audience: Option<Box<str>>,
}

impl TokenRules {
    /// How far the issuer's clock may be from ours.
    pub const LEEWAY: Duration = Duration::from_secs(30);
}

/// Judges tokens by a set of keys.
#[derive(Clone, Debug)]
pub struct Verifier {
    keys: KeySet,
    rules: TokenRules,
}

impl Verifier {
    /// A judge by these keys and rules.
    pub fn new(keys: KeySet, rules: TokenRules) -> Self {
        Self { keys, rules }
    }

    /// Its keys.
    pub fn keys(&self) -> &KeySet {
        &self.keys
    }

    /// Judges a token in compact form (RFC 7519 section 7.2).
    ///
    /// `token`: anything that a stranger sent. Costs nothing above 8 KiB, and at most four signature checks.
    /// `now`: wall clock.
    ///
    /// # Errors
    /// The first thing that is wrong. `UnknownKey` may become another answer with a newer key set.
    pub fn verify(&self, token: &str, now: UnixTime) -> Result<Claims, TokenRefused> {
        let parts = Parts::of(token)?;
        let header = parts.header()?;
        let payload = parts.payload()?;
        let signed_by = |key: &Key| key.verifies(header.algorithm, parts.signed, parts.signature);
        if !self.candidates(&header)?.into_iter().flatten().any(signed_by) {
            return Err(TokenRefused::BadSignature);
        }
        Claims::read(&payload, &self.rules, now)
    }

    /// The keys that may have signed a token with this header, at least one.
    ///
    /// A key of the named id, or else one without an id, which is what a secret and a PEM file are; without a name,
    /// any. All of them take the header's algorithm.
    fn candidates(&self, header: &Header) -> Result<[Option<&Key>; TRIES_MAX], TokenRefused> {
        let keys = self.keys.keys();
        // Before any key is looked for: no newer set from the issuer brings a key of the other nature, so that a
        // stranger with such a token cannot ask for one.
        let is_secret = keys.iter().any(Key::is_secret);
        let wants_secret = header.algorithm.family() == jsonwebtoken::AlgorithmFamily::Hmac;
        if is_secret != wants_secret {
            return Err(TokenRefused::WrongAlgorithm);
        }
        let is_named = |key: &&Key| header.key_id.is_none() || key.id() == header.key_id.as_deref();
        let is_nameless = |key: &&Key| key.id().is_none();
        let is_known = keys.iter().any(|key| is_named(&key));
        let of_it: Vec<&Key> = match is_known {
            true => keys.iter().filter(is_named).collect(),
            false => keys.iter().filter(is_nameless).collect(),
        };
        if of_it.is_empty() {
            return Err(TokenRefused::UnknownKey);
        }
        let mut fitting = of_it.into_iter().filter(|key| key.takes(header.algorithm));
        let candidates = std::array::from_fn(|_| fitting.next());
        candidates[0].is_some().then_some(candidates).ok_or(TokenRefused::WrongAlgorithm)
    }
}
