//! Sets of keys, above all those that issuers publish (RFC 7517).

use super::header::algorithm;
use super::key::Key;
use super::pem::{self, BadPem};
use crate::auth::Secret;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Keys to judge tokens by. Either one secret, or public keys only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeySet {
    keys: Arc<[Key]>,
    skipped: usize,
}

/// Why a text is no key set of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadKeySet {
    /// Longer than [`KeySet::BYTES_MAX`].
    TooLarge,
    /// Not a JSON object with a list `keys`.
    NotAKeySet,
    /// More than [`KeySet::KEYS_MAX`] keys.
    TooMany,
    /// None of its keys can judge a token.
    NoneOfUse,
}

impl fmt::Display for BadKeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the key set is larger than 256 KiB",
            Self::NotAKeySet => "the answer is not a key set (a JSON object with a list `keys`, RFC 7517)",
            Self::TooMany => "the key set has more than 64 keys",
            Self::NoneOfUse => {
                "no key of the key set is of use: RSA of 2048 to 8192 bits, EC on P-256 or P-384, or Ed25519, \
                 public and for signatures"
            }
        })
    }
}

impl std::error::Error for BadKeySet {}

/// The secret is shorter than 32 bytes: who has one token could find it by trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSecret;

impl KeySet {
    /// Bytes of a key set; a longer one is not read.
    pub const BYTES_MAX: usize = 256 << 10;
    /// Keys of one set.
    pub const KEYS_MAX: usize = 64;
    /// Least bytes of a shared secret (RFC 7518 section 3.2).
    pub const SECRET_BYTES_MIN: usize = 32;

    /// Reads a published set. What cannot be used is left out and counted: keys of an unknown type, for encryption, too
    /// short, damaged, or private, and shared secrets, which nobody publishes in earnest.
    ///
    /// Of two keys with one id and one type the first counts.
    ///
    /// # Errors
    /// No set, too much of it, or nothing of use in it.
    pub fn parse(json: &[u8]) -> Result<Self, BadKeySet> {
        if json.len() > Self::BYTES_MAX {
            return Err(BadKeySet::TooLarge);
        }
        let Published { keys: found } = serde_json::from_slice(json).map_err(|_| BadKeySet::NotAKeySet)?;
        if found.len() > Self::KEYS_MAX {
            return Err(BadKeySet::TooMany);
        }
        let mut keys: Vec<Key> = Vec::new();
        for key in found.iter().filter_map(|key| serde_json::from_str::<Jwk<'_>>(key.get()).ok()?.key()) {
            let is_double = |other: &Key| key.id().is_some() && key.id() == other.id() && key.is_like(other);
            if !keys.iter().any(is_double) {
                keys.push(key);
            }
        }
        let skipped = found.len() - keys.len();
        if keys.is_empty() { Err(BadKeySet::NoneOfUse) } else { Ok(Self { keys: keys.into(), skipped }) }
    }

    /// A secret that is shared with the issuer, for HS256, HS384 and HS512; its bytes as they stand.
    ///
    /// # Errors
    /// It is too short.
    pub fn from_secret(secret: &Secret) -> Result<Self, BadSecret> {
        let bytes = secret.expose().as_bytes();
        let key = (bytes.len() >= Self::SECRET_BYTES_MIN).then(|| Key::hmac(bytes)).ok_or(BadSecret)?;
        Ok(Self { keys: [key].into(), skipped: 0 })
    }

    /// The one public key in a PEM text: RSA, EC on P-256 or P-384, or Ed25519, or the first certificate with such a
    /// key, whose dates and issuer are not looked at.
    ///
    /// # Errors
    /// There is none, or something else.
    pub fn from_pem(text: &[u8]) -> Result<Self, BadPem> {
        Ok(Self { keys: [pem::public_key(text)?].into(), skipped: 0 })
    }

    /// How many keys it has.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no token can be judged.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many published keys were left out.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    pub(super) fn keys(&self) -> &[Key] {
        &self.keys
    }
}

/// RFC 7517 section 5.
#[derive(Deserialize)]
struct Published<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// One published key (RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2).
#[derive(Deserialize)]
struct Jwk<'a> {
    #[serde(borrow)]
    kty: Cow<'a, str>,
    #[serde(borrow, rename = "use")]
    purpose: Option<Cow<'a, str>>,
    key_ops: Option<Vec<String>>,
    #[serde(borrow)]
    alg: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    crv: Option<Cow<'a, str>>,
    #[serde(borrow)]
    n: Option<Cow<'a, str>>,
    #[serde(borrow)]
    e: Option<Cow<'a, str>>,
    #[serde(borrow)]
    x: Option<Cow<'a, str>>,
    #[serde(borrow)]
    y: Option<Cow<'a, str>>,
    /// The private part. Whoever reads the set could sign, so that the key proves nothing.
    d: Option<IgnoredAny>,
}

impl Jwk<'_> {
    fn key(&self) -> Option<Key> {
        let verifies = |operations: &Vec<String>| operations.iter().any(|operation| operation == "verify");
        let is_for_signatures = self.purpose.as_ref().is_none_or(|purpose| purpose == "sig");
        if !is_for_signatures || !self.key_ops.as_ref().is_none_or(verifies) || self.d.is_some() {
            return None;
        }
        let key = self.by_type()?;
        let key = match &self.alg {
            Some(name) => key.pinned_to(algorithm(name)?)?,
            None => key,
        };
        match &self.kid {
            Some(id) => key.named(id),
            None => Some(key),
        }
    }

    fn by_type(&self) -> Option<Key> {
        let curve = self.crv.as_deref();
        match &*self.kty {
            "RSA" => Key::rsa(&bytes(&self.n)?, &bytes(&self.e)?),
            "EC" => {
                let (x, y) = (bytes(&self.x)?, bytes(&self.y)?);
                // RFC 7518 section 6.2.1.2: a coordinate has all its leading zeros.
                let is_of = |size| x.len() == size && y.len() == size;
                let fits = matches!(curve, Some("P-256") if is_of(32))
                    || matches!(curve, Some("P-384") if is_of(48));
                if fits { Key::ec(&[&[4], &x[..], &y[..]].concat()) } else { None }
            }
            "OKP" if curve == Some("Ed25519") => Key::ed25519(&bytes(&self.x)?),
            _ => None,
        }
    }
}

fn bytes(text: &Option<Cow<'_, str>>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.as_deref()?).ok()
}
