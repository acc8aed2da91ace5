//! The keys of long-term credentials, and how one request uses them.

use super::offer::Offer;
use crate::wire::stun::attribute::{PasswordAlgorithm, encode_password_algorithm};
use crate::wire::stun::{AttributeType, IntegrityAlgorithm, IntegrityKey, Message};

/// The password algorithms there are keys for (RFC 8489 section 18.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyHash {
    /// MD5: what RFC 5389 has.
    Md5,
    /// SHA-256.
    Sha256,
}

impl KeyHash {
    /// The key of these three texts, each as it stands on the wire.
    pub(super) fn key(self, username: &[u8], realm: &[u8], password: &[u8]) -> IntegrityKey {
        match self {
            Self::Md5 => IntegrityKey::long_term_md5(username, realm, password),
            Self::Sha256 => IntegrityKey::long_term_sha256(username, realm, password),
        }
    }

    /// By the value of PASSWORD-ALGORITHM; `None` for what is not in our list.
    fn chosen(value: &[u8]) -> Option<Self> {
        [(Self::Md5, PasswordAlgorithm::Md5), (Self::Sha256, PasswordAlgorithm::Sha256)]
            .into_iter()
            .find_map(|(hash, algorithm)| (encode_password_algorithm(algorithm) == value).then_some(hash))
    }
}

/// Every key of one user, so that a live allocation answers to whichever its client chooses next: a
/// reload may change the offer.
#[derive(Clone, Debug)]
pub struct LongTermKeys {
    md5: IntegrityKey,
    sha256: IntegrityKey,
}

impl LongTermKeys {
    pub(super) fn new(username: &[u8], realm: &[u8], password: &[u8]) -> Self {
        let key = |hash: KeyHash| hash.key(username, realm, password);
        Self { md5: key(KeyHash::Md5), sha256: key(KeyHash::Sha256) }
    }

    pub(super) fn from_digests(md5: &[u8; 16], sha256: &[u8; 32]) -> Self {
        Self { md5: IntegrityKey::of_digest(md5), sha256: IntegrityKey::of_digest(sha256) }
    }

    pub(super) fn digests(&self) -> (&[u8], &[u8]) {
        (self.md5.as_bytes(), self.sha256.as_bytes())
    }

    /// The key by this algorithm.
    pub fn of(&self, hash: KeyHash) -> &IntegrityKey {
        match hash {
            KeyHash::Md5 => &self.md5,
            KeyHash::Sha256 => &self.sha256,
        }
    }
}

/// How a request is signed, and how its response must be (RFC 8489 section 9.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// Which key.
    pub hash: KeyHash,
    /// Which attribute counts in the request.
    pub integrity: IntegrityAlgorithm,
    /// Which attribute the response has.
    pub reply: IntegrityAlgorithm,
}

/// The request does not echo the password algorithms as they were offered: answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAlgorithms;

impl Scheme {
    /// RFC 5389: an MD5 key and MESSAGE-INTEGRITY both ways.
    pub const CLASSIC: Self =
        Self { hash: KeyHash::Md5, integrity: IntegrityAlgorithm::Sha1, reply: IntegrityAlgorithm::Sha1 };

    /// Reads the scheme of `message`, whose NONCE is `nonce`.
    ///
    /// The algorithms are looked at only below a nonce that offered them; any other nonce is stale
    /// once something is offered, and the client will read the list that comes with 438.
    ///
    /// # Errors
    /// [`BadAlgorithms`] unless PASSWORD-ALGORITHM and PASSWORD-ALGORITHMS are both absent, or both
    /// there, the list as it was offered, and the choice in it.
    pub fn of(offer: Offer, message: &Message<'_>, nonce: &[u8]) -> Result<Self, BadAlgorithms> {
        let Some(offered) = offer.password_algorithms() else { return Ok(Self::CLASSIC) };
        // Section 9.2.4: where both are there, SHA-256 counts and MESSAGE-INTEGRITY is not looked at.
        let integrity = match message.has_integrity_of(IntegrityAlgorithm::Sha256) {
            true => IntegrityAlgorithm::Sha256,
            false => IntegrityAlgorithm::Sha1,
        };
        let unnamed = Self { integrity, ..Self::CLASSIC };
        if !Offer::is_in(nonce) {
            return Ok(unnamed);
        }
        let echoed = message.first(AttributeType::PASSWORD_ALGORITHMS);
        match (message.first(AttributeType::PASSWORD_ALGORITHM), echoed) {
            (None, None) => Ok(unnamed),
            (Some(chosen), Some(echoed)) if echoed == offered => {
                let hash = KeyHash::chosen(chosen).ok_or(BadAlgorithms)?;
                Ok(Self { hash, integrity, reply: IntegrityAlgorithm::Sha256 })
            }
            _ => Err(BadAlgorithms),
        }
    }

    /// Whether `message` was signed with `key`.
    ///
    /// RFC 8489 section 14.6 lets a usage allow tags that are cut short; that of RFC 8656 does not.
    pub fn verify(self, message: &Message<'_>, key: &IntegrityKey) -> bool {
        let tag = message.first(self.integrity.attribute());
        tag.is_some_and(|tag| tag.len() == self.integrity.tag_bytes())
            && message.check_integrity(self.integrity, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::stun::{Class, IntegrityAlgorithm as Integrity, MessageWriter, Method, TransactionId};

    const LIST: &[u8] = &[0, 2, 0, 0, 0, 1, 0, 0];
    const MD5: &[u8] = &[0, 1, 0, 0];
    const SHA256: &[u8] = &[0, 2, 0, 0];
    const COOKIE: &[u8] = b"obMatJos2gAABxyz";

    #[test] // RFC 8489 section 9.2.4; security U12
    fn the_algorithms_are_both_absent_or_echoed_as_they_were_offered() {
        let sha256 = |hash| Scheme { hash, integrity: Integrity::Sha256, reply: Integrity::Sha256 };
        let unnamed = Scheme { integrity: Integrity::Sha256, ..Scheme::CLASSIC };
        for (chosen, list, expected) in [
            (None, None, Ok(unnamed)),
            (Some(SHA256), Some(LIST), Ok(sha256(KeyHash::Sha256))),
            (Some(MD5), Some(LIST), Ok(sha256(KeyHash::Md5))),
            (Some(SHA256), None, Err(BadAlgorithms)),
            (None, Some(LIST), Err(BadAlgorithms)),
            (Some(MD5), Some(MD5), Err(BadAlgorithms)),
            (Some(SHA256), Some(SHA256), Err(BadAlgorithms)),
            (Some(SHA256), Some(&[0, 1, 0, 0, 0, 2, 0, 0]), Err(BadAlgorithms)),
            (Some(SHA256), Some(&[]), Err(BadAlgorithms)),
            (Some(&[0, 3, 0, 0]), Some(LIST), Err(BadAlgorithms)),
            (Some(&[0, 2, 0, 1, 9]), Some(LIST), Err(BadAlgorithms)),
            (Some(LIST), Some(LIST), Err(BadAlgorithms)),
            (Some(&[]), Some(LIST), Err(BadAlgorithms)),
        ] {
            let bytes = request(chosen, list, &[Integrity::Sha1, Integrity::Sha256]);
            let message = Message::parse(&bytes).expect("sound");
            assert_eq!(Scheme::of(Offer::Algorithms, &message, COOKIE), expected, "{chosen:?} {list:?}");
            // A nonce that offered nothing, and a server that offers nothing, have nothing to echo.
            assert_eq!(Scheme::of(Offer::Algorithms, &message, &COOKIE[1..]), Ok(unnamed));
            assert_eq!(Scheme::of(Offer::Classic, &message, COOKIE), Ok(Scheme::CLASSIC));
        }
    }

    #[test] // RFC 8489 section 9.2.4
    fn sha256_integrity_counts_where_it_is_there_and_the_response_follows_the_algorithms() {
        for (tags, counts) in [
            (&[Integrity::Sha1][..], Integrity::Sha1),
            (&[Integrity::Sha256], Integrity::Sha256),
            (&[Integrity::Sha1, Integrity::Sha256], Integrity::Sha256),
        ] {
            for (chosen, list, reply) in
                [(None, None, Integrity::Sha1), (Some(SHA256), Some(LIST), Integrity::Sha256)]
            {
                let bytes = request(chosen, list, tags);
                let message = Message::parse(&bytes).expect("sound");
                let scheme = Scheme::of(Offer::Algorithms, &message, COOKIE).expect("as offered");
                assert_eq!((scheme.integrity, scheme.reply), (counts, reply));
                assert!(scheme.verify(&message, &key()));
            }
        }
    }

    #[test] // RFC 8489 section 14.6
    fn a_tag_that_is_cut_short_is_no_integrity_here() {
        let whole = request(None, None, &[Integrity::Sha256]);
        let scheme = Scheme { integrity: Integrity::Sha256, ..Scheme::CLASSIC };
        assert!(scheme.verify(&Message::parse(&whole).expect("sound"), &key()));
        for tag_bytes in [16, 28] {
            let mut short = whole[..whole.len() - 36].to_vec();
            short[3] = (short.len() - 20 + 4 + tag_bytes) as u8;
            let tag = hmac(&short);
            short.extend_from_slice(&[0, 0x1c, 0, tag_bytes as u8]);
            short.extend_from_slice(&tag[..tag_bytes]);
            let message = Message::parse(&short).expect("sound");
            assert!(message.check_integrity(Integrity::Sha256, &key()), "the codec reads it");
            assert!(!scheme.verify(&message, &key()));
        }
    }

    fn request(chosen: Option<&[u8]>, list: Option<&[u8]>, tags: &[Integrity]) -> Vec<u8> {
        let mut buffer = [0; 256];
        let mut writer =
            MessageWriter::new(&mut buffer, Class::Request, Method::REFRESH, TransactionId([9; 12]));
        if let Some(chosen) = chosen {
            writer.attribute(AttributeType::PASSWORD_ALGORITHM, chosen);
        }
        if let Some(list) = list {
            writer.attribute(AttributeType::PASSWORD_ALGORITHMS, list);
        }
        tags.iter().for_each(|tag| writer.integrity(*tag, &key()));
        let length = writer.finish().expect("fits");
        buffer[..length].to_vec()
    }

    fn key() -> IntegrityKey {
        IntegrityKey::short_term(KEY).expect("short")
    }

    fn hmac(message: &[u8]) -> Vec<u8> {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, KEY);
        aws_lc_rs::hmac::sign(&key, message).as_ref().to_vec()
    }

    const KEY: &[u8] = b"a key";
}
