//! Attribute values against the `stun` crate: both ways, and for arbitrary bytes.

use crate::arbitrary::address;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::net::SocketAddr;
use stun::addr::MappedAddress;
use stun::agent::TransactionId as TheirId;
use stun::attributes::AttrType;
use stun::error_code::{ErrorCode as TheirCode, ErrorCodeAttribute};
use stun::message::{Getter, Message as Theirs, Setter};
use stun::textattrs::TextAttribute;
use stun::uattrs::UnknownAttributes;
use stun::xoraddr::XorMappedAddress;
use turnstone::wire::stun::attribute::{
    decode_address, decode_error_code, decode_realm, decode_software, decode_unknown_attributes,
    decode_username, decode_xor_address,
};
use turnstone::wire::stun::{AttributeType, Class, Message, MessageWriter, Method, TransactionId};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test] // RFC 8489 section 14.2
    fn xor_addresses_pass_both_ways(kind in xor_kind(), address in address(), id in any::<[u8; 12]>()) {
        let bytes = write(id, |writer| writer.xor_address(kind, address));
        let mut read = XorMappedAddress::default();
        read.get_from_as(&parsed(&bytes), AttrType(kind.0)).unwrap();
        prop_assert_eq!(SocketAddr::new(read.ip, read.port), address);

        let theirs = their_message(id, |message| {
            XorMappedAddress { ip: address.ip(), port: address.port() }.add_to_as(message, AttrType(kind.0))
        });
        prop_assert_eq!(&theirs.raw, &bytes);
        let ours = Message::parse(&theirs.raw).unwrap();
        let value = ours.first(kind).unwrap();
        prop_assert_eq!(decode_xor_address(value, ours.transaction_id()), Ok(address));
    }

    #[test] // RFC 8489 section 14.1
    fn plain_addresses_pass_both_ways(address in address()) {
        let kinds = [AttributeType::MAPPED_ADDRESS, AttributeType::ALTERNATE_SERVER];
        for kind in kinds {
            let bytes = write([7; 12], |writer| writer.address(kind, address));
            let mut read = MappedAddress::default();
            read.get_from_as(&parsed(&bytes), AttrType(kind.0)).unwrap();
            prop_assert_eq!(SocketAddr::new(read.ip, read.port), address);
            let theirs = their_message([7; 12], |message| {
                MappedAddress { ip: address.ip(), port: address.port() }.add_to_as(message, AttrType(kind.0))
            });
            prop_assert_eq!(&theirs.raw, &bytes);
            let ours = Message::parse(&theirs.raw).unwrap();
            prop_assert_eq!(ours.first(kind).map(decode_address), Some(Ok(address)));
        }
    }

    /// Ours ignores the first byte, as RFC 8489 section 14.1 wants, and theirs refuses one that is not
    /// zero; theirs fills up an address that is too short, and cuts a plain one that is too long.
    #[test]
    fn arbitrary_addresses_read_alike_but_for_the_reserved_byte_and_the_length(
        value in address_value(),
        id in any::<[u8; 12]>(),
    ) {
        let kind = AttributeType::XOR_MAPPED_ADDRESS;
        let message = parsed(&write(id, |writer| writer.attribute(kind, &value)));
        let (mut xor, mut plain) = (XorMappedAddress::default(), MappedAddress::default());
        let xor = xor.get_from_as(&message, AttrType(kind.0)).is_ok().then(|| SocketAddr::new(xor.ip, xor.port));
        let plain =
            plain.get_from_as(&message, AttrType(kind.0)).is_ok().then(|| SocketAddr::new(plain.ip, plain.port));
        let fits = value.get(1).is_some_and(|f| (*f, value.len()) == (1, 8) || (*f, value.len()) == (2, 20));
        for (ours, theirs) in
            [(decode_xor_address(&value, TransactionId(id)).ok(), xor), (decode_address(&value).ok(), plain)]
        {
            prop_assert_eq!(ours.is_some(), fits);
            match (ours, theirs) {
                (Some(_), None) => prop_assert!(value[0] != 0),
                (None, Some(_)) => prop_assert!(!fits),
                (ours, theirs) => prop_assert_eq!(ours, theirs),
            }
        }
    }

    #[test] // RFC 8489 section 14.8
    fn error_codes_pass_both_ways(code in 300..700u16, reason in "\\PC{0,40}") {
        let bytes = write([7; 12], |writer| writer.error_code(code));
        let mut read = ErrorCodeAttribute::default();
        read.get_from(&parsed(&bytes)).unwrap();
        prop_assert_eq!((read.code.0, read.reason.len()), (code, 0));
        let theirs = their_message([7; 12], |message| {
            ErrorCodeAttribute { code: TheirCode(code), reason: reason.clone().into_bytes() }.add_to(message)
        });
        let ours = Message::parse(&theirs.raw).unwrap();
        let error = ours.first(AttributeType::ERROR_CODE).map(decode_error_code).unwrap().unwrap();
        prop_assert_eq!((error.code, error.reason), (code, reason.as_bytes()));
    }

    /// Theirs checks no range and takes the five reserved bits beside the class for part of it.
    #[test]
    fn arbitrary_error_codes_read_alike_where_they_are_in_range(value in vec(any::<u8>(), 0..8)) {
        let bytes = write([7; 12], |writer| writer.attribute(AttributeType::ERROR_CODE, &value));
        let mut theirs = ErrorCodeAttribute::default();
        let taken = theirs.get_from(&parsed(&bytes)).is_ok();
        prop_assert_eq!(taken, value.len() >= 4);
        let in_range = taken && (3..=6).contains(&(value[2] & 7)) && value[3] <= 99;
        let ours = decode_error_code(&value);
        prop_assert_eq!(ours.is_ok(), in_range);
        if let Ok(error) = ours {
            prop_assert_eq!(error.reason, &theirs.reason[..]);
            prop_assert_eq!(error.code + u16::from(value[2] & !7) * 100, theirs.code.0);
        }
    }

    #[test] // RFC 8489 sections 14.3, 14.9, 14.14
    fn texts_pass_both_ways(text in "\\PC{1,40}") {
        for (kind, decode) in texts() {
            let bytes = write([7; 12], |writer| writer.attribute(kind, text.as_bytes()));
            let read = TextAttribute::get_from_as(&parsed(&bytes), AttrType(kind.0)).unwrap();
            prop_assert_eq!(&read.text, &text);
            let theirs = their_message([7; 12], |message| {
                TextAttribute::new(AttrType(kind.0), text.clone()).add_to(message)
            });
            prop_assert_eq!(&theirs.raw, &bytes);
            let ours = Message::parse(&theirs.raw).unwrap();
            prop_assert_eq!(ours.first(kind).map(decode), Some(Ok(&text[..])));
        }
    }

    #[test]
    fn arbitrary_texts_read_alike_but_for_the_empty_username(value in vec(any::<u8>(), 0..6)) {
        for (kind, decode) in texts() {
            let bytes = write([7; 12], |writer| writer.attribute(kind, &value));
            let theirs = TextAttribute::get_from_as(&parsed(&bytes), AttrType(kind.0)).ok().map(|t| t.text);
            let ours = decode(&value).ok().map(str::to_owned);
            if kind == AttributeType::USERNAME && value.is_empty() {
                prop_assert_eq!(ours, None);
            } else {
                prop_assert_eq!(ours, theirs);
            }
        }
    }

    #[test] // RFC 8489 section 14.13
    fn unknown_attributes_pass_both_ways(kinds in vec(any::<u16>(), 0..20)) {
        let ours: Vec<_> = kinds.iter().copied().map(AttributeType).collect();
        let bytes = write([7; 12], |writer| writer.unknown_attributes(ours.iter().copied()));
        let mut read = UnknownAttributes(Vec::new());
        read.get_from(&parsed(&bytes)).unwrap();
        prop_assert_eq!(read.0.iter().map(|kind| kind.0).collect::<Vec<_>>(), kinds);
        let theirs = their_message([7; 12], |message| read.add_to(message));
        prop_assert_eq!(&theirs.raw, &bytes);
        let message = Message::parse(&theirs.raw).unwrap();
        let value = message.first(AttributeType::UNKNOWN_ATTRIBUTES).unwrap();
        prop_assert_eq!(decode_unknown_attributes(value).collect::<Vec<_>>(), ours);
    }
}

type DecodeText = fn(&[u8]) -> Result<&str, turnstone::wire::Malformed>;

fn texts() -> [(AttributeType, DecodeText); 3] {
    [
        (AttributeType::USERNAME, decode_username),
        (AttributeType::REALM, decode_realm),
        (AttributeType::SOFTWARE, decode_software),
    ]
}

fn xor_kind() -> impl Strategy<Value = AttributeType> {
    select(vec![
        AttributeType::XOR_MAPPED_ADDRESS,
        AttributeType::XOR_PEER_ADDRESS,
        AttributeType::XOR_RELAYED_ADDRESS,
    ])
}

/// Mostly of a family and a length that exist.
fn address_value() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![Just(8usize), Just(20), 0..26usize];
    let reserved = prop_oneof![4 => Just(0u8), 1 => any::<u8>()];
    let family = prop_oneof![Just(1u8), Just(2), any::<u8>()];
    (length, reserved, family, vec(any::<u8>(), 26)).prop_map(|(length, reserved, family, mut value)| {
        value[..2].copy_from_slice(&[reserved, family]);
        value.truncate(length);
        value
    })
}

fn write(id: [u8; 12], fill: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
    let mut buffer = vec![0xA5; 1024];
    let mut writer = MessageWriter::new(&mut buffer, Class::Request, Method::BINDING, TransactionId(id));
    fill(&mut writer);
    let length = writer.finish().expect("one small attribute");
    buffer.truncate(length);
    buffer
}

fn parsed(bytes: &[u8]) -> Theirs {
    let mut message = Theirs::new();
    message.unmarshal_binary(bytes).unwrap();
    message
}

fn their_message(id: [u8; 12], fill: impl FnOnce(&mut Theirs) -> Result<(), stun::Error>) -> Theirs {
    let mut message = Theirs::new();
    message.typ = stun::message::BINDING_REQUEST;
    message.transaction_id = TheirId(id);
    message.write_header();
    fill(&mut message).unwrap();
    message
}
