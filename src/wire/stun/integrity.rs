//! MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256 (RFC 8489 sections 14.5, 14.6 and 9.2.2).

use super::AttributeType;
use super::header::HEADER_BYTES;
use aws_lc_rs::{constant_time, digest, hmac};
use md5::{Digest, Md5};
use std::fmt;

/// Which hash a message's integrity stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntegrityAlgorithm {
    /// HMAC-SHA1 of 20 bytes: what every browser sends.
    Sha1,
    /// HMAC-SHA256 of 32 bytes, or cut to no less than 16.
    Sha256,
}

impl IntegrityAlgorithm {
    /// The attribute that carries it.
    pub const fn attribute(self) -> AttributeType {
        match self {
            Self::Sha1 => AttributeType::MESSAGE_INTEGRITY,
            Self::Sha256 => AttributeType::MESSAGE_INTEGRITY_SHA256,
        }
    }

    /// Bytes of the attribute's value when it is not truncated.
    pub const fn tag_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        }
    }
}

/// The HMAC key of a user, up to 32 bytes. Allocations keep this and never the password.
#[derive(Clone)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct IntegrityKey {
    bytes: [u8; Self::BYTES_MAX],
    length: u8,
}

impl IntegrityKey {
    const BYTES_MAX: usize = 32;
    /// RFC 8489 section 14.6: a shorter tag is no integrity.
    const SHA256_TAG_BYTES_MIN: usize = 16;

    /// The long-term key of RFC 5389: MD5(username ":" realm ":" password).
    pub fn long_term_md5(username: &[u8], realm: &[u8], password: &[u8]) -> Self {
        let mut md5 = Md5::new();
        for part in [username, b":", realm, b":", password] {
            md5.update(part);
        }
        Self::from_bytes(&md5.finalize())
    }

    /// The long-term key of RFC 8489: SHA-256 of the same text.
    pub fn long_term_sha256(username: &[u8], realm: &[u8], password: &[u8]) -> Self {
        let mut sha = digest::Context::new(&digest::SHA256);
        for part in [username, b":", realm, b":", password] {
            sha.update(part);
        }
        Self::from_bytes(sha.finish().as_ref())
    }

    /// A short-term password as key (RFC 8489 section 9.1.1); `None` above 32 bytes.
    pub fn short_term(password: &[u8]) -> Option<Self> {
        (password.len() <= Self::BYTES_MAX).then(|| Self::from_bytes(password))
    }

    /// A key that was kept.
    pub fn of_digest<const N: usize>(bytes: &[u8; N]) -> Self {
        const { assert!(N <= Self::BYTES_MAX, "a digest of at most 32 bytes") }
        Self::from_bytes(bytes)
    }

    /// The key itself: as secret as a password.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// `bytes`: at most 32, which holds for every digest and for what `short_term` lets through.
    fn from_bytes(bytes: &[u8]) -> Self {
        let mut key = Self { bytes: [0; Self::BYTES_MAX], length: bytes.len() as u8 };
        key.bytes[..bytes.len()].copy_from_slice(bytes);
        key
    }

    /// The tag over `message` (header and attributes so far), whose length field may hold anything.
    pub(super) fn sign(&self, algorithm: IntegrityAlgorithm, message: &[u8]) -> hmac::Tag {
        self.tag(algorithm, message, algorithm.tag_bytes())
    }

    /// Whether `tag` is right for `message`, the bytes in front of the integrity attribute.
    pub(super) fn verify(&self, algorithm: IntegrityAlgorithm, message: &[u8], tag: &[u8]) -> bool {
        let sound = match algorithm {
            IntegrityAlgorithm::Sha1 => tag.len() == algorithm.tag_bytes(),
            IntegrityAlgorithm::Sha256 => {
                (Self::SHA256_TAG_BYTES_MIN..=algorithm.tag_bytes()).contains(&tag.len())
                    && tag.len().is_multiple_of(4)
            }
        };
        if !sound {
            return false;
        }
        let expected = self.tag(algorithm, message, tag.len());
        constant_time::verify_slices_are_equal(&expected.as_ref()[..tag.len()], tag).is_ok()
    }

    /// The length field counts up to the end of the integrity attribute of `tag_bytes` (section 14.5).
    fn tag(&self, algorithm: IntegrityAlgorithm, message: &[u8], tag_bytes: usize) -> hmac::Tag {
        let key = hmac::Key::new(algorithm.hmac(), &self.bytes[..usize::from(self.length)]);
        let mut context = hmac::Context::with_key(&key);
        if let Some((header, attributes)) = message.split_first_chunk::<HEADER_BYTES>() {
            let length = (attributes.len() + 4 + tag_bytes) as u16;
            context.update(&header[..2]);
            context.update(&length.to_be_bytes());
            context.update(&header[4..]);
            context.update(attributes);
        }
        context.sign()
    }
}

impl fmt::Debug for IntegrityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntegrityKey(..)")
    }
}

impl Drop for IntegrityKey {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.bytes);
    }
}
