//! What the property tests draw from: whole messages, damaged messages, addresses.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::net::{IpAddr, SocketAddr};
use turnstone::wire::stun::{
    AttributeType, Class, IntegrityAlgorithm, IntegrityKey, MessageWriter, Method, TransactionId,
};

/// A message before it is written.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) class: Class,
    pub(crate) method: Method,
    pub(crate) id: TransactionId,
    /// None of them is an integrity or FINGERPRINT.
    pub(crate) attributes: Vec<(AttributeType, Vec<u8>)>,
    pub(crate) password: String,
    pub(crate) with_sha1: bool,
    pub(crate) with_sha256: bool,
    pub(crate) with_fingerprint: bool,
}

impl Draft {
    /// The short-term key of `password`.
    pub(crate) fn key(&self) -> IntegrityKey {
        IntegrityKey::short_term(self.password.as_bytes()).expect("drafts draw at most 32 bytes")
    }

    /// The message as our writer makes it.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut buffer = vec![0xA5; 4096];
        let mut writer = MessageWriter::new(&mut buffer, self.class, self.method, self.id);
        for (kind, value) in &self.attributes {
            writer.attribute(*kind, value);
        }
        if self.with_sha1 {
            writer.integrity(IntegrityAlgorithm::Sha1, &self.key());
        }
        if self.with_sha256 {
            writer.integrity(IntegrityAlgorithm::Sha256, &self.key());
        }
        if self.with_fingerprint {
            writer.fingerprint();
        }
        let length = writer.finish().expect("drafts draw less than 4 KiB");
        buffer.truncate(length);
        buffer
    }
}

/// Any draft; known and unknown attributes alike.
pub(crate) fn draft() -> impl Strategy<Value = Draft> {
    let attributes = vec((attribute_type(), vec(any::<u8>(), 0..70)), 0..12);
    let head = (class(), 0..=0xFFFu16, any::<[u8; 12]>());
    (head, attributes, "[ -~]{0,32}", any::<[bool; 3]>()).prop_map(|(head, attributes, password, with)| {
        Draft {
            class: head.0,
            method: Method::new(head.1),
            id: TransactionId(head.2),
            attributes,
            password,
            with_sha1: with[0],
            with_sha256: with[1],
            with_fingerprint: with[2],
        }
    })
}

/// Bytes that are nearly a message: a draft with some damage, or no message at all.
pub(crate) fn nearly_a_message() -> impl Strategy<Value = (Draft, Vec<u8>)> {
    let damage = vec((any::<Index>(), any::<u8>(), 0..8u8), 0..4);
    (draft(), damage, vec(any::<u8>(), 0..60)).prop_map(|(draft, damage, noise)| {
        let mut bytes = draft.write();
        for (at, byte, how) in damage {
            bytes = damaged(bytes, at, byte, how, &noise);
        }
        (draft, bytes)
    })
}

/// Any address of either family.
pub(crate) fn address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

fn class() -> impl Strategy<Value = Class> {
    select(vec![Class::Request, Class::Indication, Class::Success, Class::Error])
}

fn attribute_type() -> impl Strategy<Value = AttributeType> {
    let known: Vec<_> = AttributeType::KNOWN.iter().copied().filter(|kind| !closes(*kind)).collect();
    prop_oneof![
        3 => select(known),
        1 => any::<u16>().prop_map(AttributeType).prop_filter("closes the message", |kind| !closes(*kind)),
    ]
}

/// Whether this attribute bounds what counts behind it.
pub(crate) fn closes(kind: AttributeType) -> bool {
    [AttributeType::MESSAGE_INTEGRITY, AttributeType::MESSAGE_INTEGRITY_SHA256, AttributeType::FINGERPRINT]
        .contains(&kind)
}

fn damaged(mut bytes: Vec<u8>, at: Index, byte: u8, how: u8, noise: &[u8]) -> Vec<u8> {
    match how {
        0 if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        1 => bytes.truncate(at.index(bytes.len() + 1)),
        2 => bytes.extend_from_slice(noise),
        3 => return noise.to_vec(),
        // The top bits of the first byte, and the length field, are worth more than their share.
        4 if !bytes.is_empty() => bytes[0] ^= byte & 0xC0,
        5 if bytes.len() > 3 => bytes[3] = byte,
        _ => append_attribute(&mut bytes, byte, at),
    }
    bytes
}

/// One more attribute behind all others, of any closing type, of the number that MS-TURN once used for
/// XOR-MAPPED-ADDRESS, or LIFETIME, with a length field that counts it.
fn append_attribute(bytes: &mut Vec<u8>, byte: u8, at: Index) {
    let kinds = [
        AttributeType::MESSAGE_INTEGRITY,
        AttributeType::MESSAGE_INTEGRITY_SHA256,
        AttributeType::FINGERPRINT,
        AttributeType(0x8020),
        AttributeType::LIFETIME,
    ];
    let length = [0u8, 4, 16, 20, 32, 5][usize::from(byte) % 6];
    bytes.extend(kinds[at.index(kinds.len())].0.to_be_bytes());
    bytes.extend([0, length]);
    bytes.extend(std::iter::repeat_n(byte, usize::from(length).next_multiple_of(4)));
    if let Some(body) = bytes.len().checked_sub(20) {
        bytes[2..4].copy_from_slice(&(body as u16).to_be_bytes());
    }
}
