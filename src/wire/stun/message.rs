//! A checked view of one received STUN message.

use super::header::{Class, HEADER_BYTES, MAGIC_COOKIE, Method, TransactionId, class_and_method};
use super::integrity::{IntegrityAlgorithm, IntegrityKey};
use super::{AttributeType, attribute};
use crate::wire::Malformed;

/// One STUN message whose header and attribute lengths are sound.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    class: Class,
    method: Method,
    /// Offset of the first MESSAGE-INTEGRITY that counts: 20 to 65,548, which 16 bits cannot hold.
    integrity_at: Option<u32>,
    /// Offset of the first MESSAGE-INTEGRITY-SHA256 that counts.
    integrity_sha256_at: Option<u32>,
    has_fingerprint: bool,
}

/// One attribute: its type and its value without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The type.
    pub kind: AttributeType,
    /// The value, 0 to 65,528 bytes.
    pub value: &'a [u8],
    /// Where the value begins in the message.
    pub offset: usize,
}

impl<'a> Message<'a> {
    /// Reads a whole datagram, or a whole frame of a stream.
    ///
    /// # Errors
    /// Every way in which it is no STUN message of RFC 8489 section 5, and a FINGERPRINT that does
    /// not match. None of them may be answered (section 6.3).
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (header, body) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(Malformed::TooShort)?;
        if header[0] & 0xC0 != 0 || header[4..8] != MAGIC_COOKIE.to_be_bytes() {
            return Err(Malformed::NotStun);
        }
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if length % 4 != 0 {
            return Err(Malformed::BadLength);
        }
        match body.len().cmp(&length) {
            std::cmp::Ordering::Less => return Err(Malformed::TooShort),
            std::cmp::Ordering::Greater => return Err(Malformed::TooLong),
            std::cmp::Ordering::Equal => {}
        }
        let (class, method) = class_and_method(u16::from_be_bytes([header[0], header[1]]));
        let mut message = Self {
            bytes,
            class,
            method,
            integrity_at: None,
            integrity_sha256_at: None,
            has_fingerprint: false,
        };
        message.find_checks()?;
        Ok(message)
    }

    /// The class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The method, which may be one that we do not know.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The transaction id.
    pub fn transaction_id(&self) -> TransactionId {
        let mut id = [0; 12];
        id.copy_from_slice(&self.bytes[8..HEADER_BYTES]);
        TransactionId(id)
    }

    /// The whole message, header included.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The attributes that count, in order.
    ///
    /// What follows MESSAGE-INTEGRITY is left out, except MESSAGE-INTEGRITY-SHA256 and FINGERPRINT;
    /// what follows those is left out but for FINGERPRINT, and nothing follows FINGERPRINT (RFC 8489
    /// sections 14.5 to 14.7). Repeated attributes are all here: the first one is valid (section 14).
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes { walk: Walk { message: self.bytes, at: HEADER_BYTES }, behind: Behind::Nothing }
    }

    /// The value of the first attribute of this type.
    pub fn first(&self, kind: AttributeType) -> Option<&'a [u8]> {
        self.attributes().find(|a| a.kind == kind).map(|a| a.value)
    }

    /// Whether FINGERPRINT is there; it was checked when the message was parsed.
    pub fn has_fingerprint(&self) -> bool {
        self.has_fingerprint
    }

    /// Whether MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256 is there, checked or not.
    pub fn has_integrity(&self) -> bool {
        self.integrity_at.is_some() || self.integrity_sha256_at.is_some()
    }

    /// Whether this form of integrity is there, checked or not.
    pub fn has_integrity_of(&self, algorithm: IntegrityAlgorithm) -> bool {
        self.integrity_offset(algorithm).is_some()
    }

    /// Whether the integrity attribute of `algorithm` is there and right for `key`.
    ///
    /// Takes the same time for every wrong value (RFC 8489 sections 14.5 and 14.6).
    pub fn check_integrity(&self, algorithm: IntegrityAlgorithm, key: &IntegrityKey) -> bool {
        let Some(at) = self.integrity_offset(algorithm) else { return false };
        let Some((attribute, _)) = split_attribute(self.bytes, at) else { return false };
        key.verify(algorithm, &self.bytes[..at], attribute.value)
    }

    fn integrity_offset(&self, algorithm: IntegrityAlgorithm) -> Option<usize> {
        let at = match algorithm {
            IntegrityAlgorithm::Sha1 => self.integrity_at,
            IntegrityAlgorithm::Sha256 => self.integrity_sha256_at,
        };
        at.map(|at| at as usize)
    }

    /// Walks all attributes once: lengths, integrity offsets, FINGERPRINT.
    fn find_checks(&mut self) -> Result<(), Malformed> {
        let mut behind = Behind::Nothing;
        let mut next = HEADER_BYTES;
        while next < self.bytes.len() {
            let at = next;
            let (attribute, behind_it) =
                split_attribute(self.bytes, at).ok_or(Malformed::AttributeOverrun)?;
            next = behind_it;
            if !behind.admits(attribute.kind) {
                continue;
            }
            behind = behind.after(attribute.kind);
            match attribute.kind {
                AttributeType::MESSAGE_INTEGRITY => self.integrity_at = Some(at as u32),
                AttributeType::MESSAGE_INTEGRITY_SHA256 => self.integrity_sha256_at = Some(at as u32),
                AttributeType::FINGERPRINT => {
                    let expected = attribute::fingerprint(&self.bytes[..at]).to_be_bytes();
                    if attribute.value != expected {
                        return Err(Malformed::BadFingerprint);
                    }
                    self.has_fingerprint = true;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Iterator of [`Message::attributes`].
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    walk: Walk<'a>,
    behind: Behind,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let attribute = self.walk.next()?;
            if self.behind.admits(attribute.kind) {
                self.behind = self.behind.after(attribute.kind);
                return Some(attribute);
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Walk<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Walk<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (attribute, next) = split_attribute(self.message, self.at)?;
        self.at = next;
        Some(attribute)
    }
}

/// Which closing attribute the walk has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Nothing,
    Integrity,
    IntegritySha256,
    Fingerprint,
}

impl Behind {
    fn admits(self, kind: AttributeType) -> bool {
        match self {
            Self::Nothing => true,
            Self::Integrity => {
                matches!(kind, AttributeType::MESSAGE_INTEGRITY_SHA256 | AttributeType::FINGERPRINT)
            }
            Self::IntegritySha256 => kind == AttributeType::FINGERPRINT,
            Self::Fingerprint => false,
        }
    }

    fn after(self, kind: AttributeType) -> Self {
        match kind {
            AttributeType::MESSAGE_INTEGRITY => Self::Integrity,
            AttributeType::MESSAGE_INTEGRITY_SHA256 => Self::IntegritySha256,
            AttributeType::FINGERPRINT => Self::Fingerprint,
            _ => self,
        }
    }
}

/// The attribute at `at` and where the next one begins; `None` when it does not fit.
fn split_attribute(message: &[u8], at: usize) -> Option<(Attribute<'_>, usize)> {
    let &[k0, k1, l0, l1] = message.get(at..)?.first_chunk::<4>()?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let offset = at + 4;
    let next = offset + length.next_multiple_of(4);
    if next > message.len() {
        return None;
    }
    let value = message.get(offset..offset + length)?;
    Some((Attribute { kind: AttributeType(u16::from_be_bytes([k0, k1])), value, offset }, next))
}

#[cfg(test)]
mod tests {
    use super::super::MessageWriter;
    use super::*;

    #[test] // RFC 8489 section 14.5; the class of coturn ab762f33
    fn attributes_behind_the_integrity_do_not_count() {
        let key = IntegrityKey::short_term(b"k").expect("short");
        let mut buffer = [0; 256];
        let mut writer =
            MessageWriter::new(&mut buffer, Class::Request, Method::REFRESH, TransactionId::default());
        writer.u32(AttributeType::LIFETIME, 600);
        writer.integrity(IntegrityAlgorithm::Sha1, &key);
        writer.u32(AttributeType::LIFETIME, 0);
        writer.integrity(IntegrityAlgorithm::Sha256, &key);
        writer.u32(AttributeType::LIFETIME, 1);
        writer.fingerprint();
        let length = writer.finish().expect("fits");
        let message = Message::parse(&buffer[..length]).expect("sound");
        let kinds: Vec<_> = message.attributes().map(|a| a.kind).collect();
        assert_eq!(
            kinds,
            [
                AttributeType::LIFETIME,
                AttributeType::MESSAGE_INTEGRITY,
                AttributeType::MESSAGE_INTEGRITY_SHA256,
                AttributeType::FINGERPRINT
            ]
        );
        assert_eq!(message.first(AttributeType::LIFETIME), Some(&600u32.to_be_bytes()[..]));
        assert!(message.check_integrity(IntegrityAlgorithm::Sha1, &key));
        assert!(message.check_integrity(IntegrityAlgorithm::Sha256, &key));
        assert!(
            !message.check_integrity(
                IntegrityAlgorithm::Sha1,
                &IntegrityKey::short_term(b"other").expect("short")
            )
        );
    }

    #[test] // a message of 65,552 bytes holds offsets that 16 bits cannot
    fn an_integrity_at_the_very_end_of_the_largest_message_is_not_looked_up_in_the_header() {
        let key = IntegrityKey::short_term(b"k").expect("short");
        let tag = key.sign(IntegrityAlgorithm::Sha256, &[]);
        // Read at offset 12 (65,548 cut to 16 bits), this would be a tag of 16 bytes over nothing.
        let mut bytes = vec![0; 65_552];
        bytes[2..4].copy_from_slice(&65_532u16.to_be_bytes());
        bytes[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        bytes[14..16].copy_from_slice(&16u16.to_be_bytes());
        bytes[16..32].copy_from_slice(&tag.as_ref()[..16]);
        let first = usize::from(u16::from_be_bytes([bytes[22], bytes[23]])).next_multiple_of(4);
        let second = 65_548 - (24 + first) - 4;
        bytes[24 + first + 2..][..2].copy_from_slice(&(second as u16).to_be_bytes());
        bytes[65_548..65_550].copy_from_slice(&AttributeType::MESSAGE_INTEGRITY_SHA256.0.to_be_bytes());
        let message = Message::parse(&bytes).expect("sound");
        assert!(message.has_integrity_of(IntegrityAlgorithm::Sha256));
        assert!(!message.check_integrity(IntegrityAlgorithm::Sha256, &key));
    }

    #[test]
    fn a_wrong_fingerprint_and_broken_lengths_are_refused() {
        let mut buffer = [0; 64];
        let mut writer =
            MessageWriter::new(&mut buffer, Class::Request, Method::BINDING, TransactionId([7; 12]));
        writer.fingerprint();
        let length = writer.finish().expect("fits");
        assert!(Message::parse(&buffer[..length]).expect("sound").has_fingerprint());
        assert_eq!(Message::parse(&buffer[..length - 1]).err(), Some(Malformed::TooShort));
        assert_eq!(Message::parse(&buffer[..length + 4]).err(), Some(Malformed::TooLong));
        buffer[length - 1] ^= 1;
        assert_eq!(Message::parse(&buffer[..length]).err(), Some(Malformed::BadFingerprint));
        buffer[23] = 60;
        assert_eq!(Message::parse(&buffer[..length]).err(), Some(Malformed::AttributeOverrun));
        buffer[4] = 0;
        assert_eq!(Message::parse(&buffer[..length]).err(), Some(Malformed::NotStun));
    }
}
