//! One key, and the algorithms that it takes.

use super::header::KEY_ID_BYTES_MAX;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, VerificationAlgorithm,
};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use std::fmt;

/// A key pinned to algorithms by its own type, so that no token can use it for others (RFC 8725 section 3.1).
#[derive(Clone)]
pub(super) struct Key {
    id: Option<Box<str>>,
    algorithms: &'static [Algorithm],
    material: DecodingKey,
}

const HMAC: &[Algorithm] = &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
const RSA: &[Algorithm] = &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512];
/// Only where the key says so itself: a key is for one padding (RFC 8017 section 8).
const RSA_PSS: &[Algorithm] = &[Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];
const P256: &[Algorithm] = &[Algorithm::ES256];
const P384: &[Algorithm] = &[Algorithm::ES384];
const ED25519_ALGORITHMS: &[Algorithm] = &[Algorithm::EdDSA];

/// Bits of an RSA modulus: fewer can be broken, more cost too much.
pub(super) const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

impl Key {
    /// A shared secret. RFC 7518 section 3.2 wants as many bits as the hash has; 256 are taken for all three, because
    /// issuers sign HS512 with such secrets too, and no more than 256 bits are needed.
    pub(super) fn hmac(secret: &[u8]) -> Self {
        Self { id: None, algorithms: HMAC, material: DecodingKey::from_secret(secret) }
    }

    /// An RSA key by modulus and exponent, big-endian; `None` unless it is sound and of 2048 to 8192 bits.
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let (n, e) = (without_zeros(modulus), without_zeros(exponent));
        let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
        let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
        let is_sound = RSA_BITS.contains(&bits) && is_odd(n) && is_odd(e) && e.len() <= 4 && e != [1];
        let material = || DecodingKey::from_rsa_raw_components(n, e);
        is_sound.then(|| Self { id: None, algorithms: RSA, material: material() })
    }

    /// A point of P-256 or P-384, uncompressed (SEC 1 section 2.3.3); `None` when it is on neither curve.
    pub(super) fn ec(point: &[u8]) -> Option<Self> {
        let (algorithms, curve) = match point.len() {
            65 => (P256, &ECDSA_P256_SHA256_FIXED as &'static dyn VerificationAlgorithm),
            97 => (P384, &ECDSA_P384_SHA384_FIXED as _),
            _ => return None,
        };
        let is_uncompressed = point.first() == Some(&4);
        let is_sound = is_uncompressed && is_key_of(curve, point);
        is_sound.then(|| Self { id: None, algorithms, material: DecodingKey::from_ec_der(point) })
    }

    /// The 32 bytes of an Ed25519 key; `None` for any other number of them.
    pub(super) fn ed25519(bytes: &[u8]) -> Option<Self> {
        let is_sound = bytes.len() == 32 && is_key_of(&ED25519, bytes);
        let material = || DecodingKey::from_ed_der(bytes);
        is_sound.then(|| Self { id: None, algorithms: ED25519_ALGORITHMS, material: material() })
    }

    /// The same key for this algorithm alone; `None` when its type does not allow it.
    pub(super) fn pinned_to(mut self, algorithm: Algorithm) -> Option<Self> {
        let wider = if self.algorithms == RSA { [RSA, RSA_PSS] } else { [self.algorithms, &[]] };
        self.algorithms = wider.into_iter().find_map(|list| {
            let at = list.iter().position(|allowed| *allowed == algorithm)?;
            Some(&list[at..=at])
        })?;
        Some(self)
    }

    /// The same key under a name; `None` when the name is too long for a token to say.
    pub(super) fn named(self, id: &str) -> Option<Self> {
        (id.len() <= KEY_ID_BYTES_MAX).then(|| Self { id: Some(id.into()), ..self })
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(super) fn takes(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether both are keys of one type.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.algorithms == other.algorithms
    }

    /// Whether whoever can check a token by it could make one too.
    pub(super) fn is_secret(&self) -> bool {
        self.takes(Algorithm::HS256)
    }

    /// Whether `signature`, in base64url, is this key's over `signed`.
    pub(super) fn verifies(&self, algorithm: Algorithm, signed: &str, signature: &str) -> bool {
        let verified =
            || jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &self.material, algorithm);
        self.takes(algorithm) && verified().unwrap_or(false)
    }
}

impl PartialEq for Key {
    /// For telling whether a config changed; nobody from outside can time it.
    fn eq(&self, other: &Self) -> bool {
        use DecodingKeyKind::{RsaModulusExponent, SecretOrDer};
        let is_same = match (self.material.kind(), other.material.kind()) {
            (SecretOrDer(one), SecretOrDer(other)) => one == other,
            (RsaModulusExponent { n, e }, RsaModulusExponent { n: other_n, e: other_e }) => {
                (n, e) == (other_n, other_e)
            }
            _ => false,
        };
        is_same && self.id == other.id && self.algorithms == other.algorithms
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, algorithms) = (&self.id, &self.algorithms);
        f.debug_struct("Key").field("id", id).field("algorithms", algorithms).finish_non_exhaustive()
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

fn is_key_of(algorithm: &'static dyn VerificationAlgorithm, bytes: &[u8]) -> bool {
    ParsedPublicKey::new(algorithm, bytes).is_ok()
}
