//! Any bytes as a STUN message: read, walked, decoded, written again and read again.

use turnstone::wire::channel_data::{Frame, frame};
use turnstone::wire::demux::{Kind, classify};
use turnstone::wire::stun::attribute::{
    decode_address, decode_address_error_code, decode_change_request, decode_channel_number,
    decode_error_code, decode_even_port, decode_icmp, decode_lifetime, decode_nonce,
    decode_password_algorithms, decode_realm, decode_requested_family, decode_requested_transport,
    decode_reservation_token, decode_response_port, decode_software, decode_unknown_attributes,
    decode_userhash, decode_username, decode_xor_address, encode_address_error_code,
};
use turnstone::wire::stun::{
    AttributeType, HEADER_BYTES, IntegrityAlgorithm, IntegrityKey, MAGIC_COOKIE, Message, MessageWriter,
};

/// Largest message there is.
const BYTES_MAX: usize = HEADER_BYTES + 65_532;

/// Runs `data` as it is, and once more under a sound header, so that most of it reaches the attributes.
pub(crate) fn run(data: &[u8]) {
    check(data);
    if let Some(repaired) = with_sound_header(data) {
        check(&repaired);
    }
}

fn check(data: &[u8]) {
    let Ok(message) = Message::parse(data) else { return };
    assert_eq!(message.bytes(), data);
    if classify(data[0]) == Kind::Stun {
        assert_eq!(frame(data, BYTES_MAX), Ok(Frame::Stun { total: data.len() }));
    } else {
        // Methods from 0x100 on are read, and yet never reach us on a port that channels share.
        assert!(message.method().get() > 0xFF);
    }
    for attribute in message.attributes() {
        assert!(attribute.value.len() <= data.len() - HEADER_BYTES - 4);
        decode_all(attribute.value, &message);
    }
    // Not for all of them: looking each one up is quadratic, and thousands fit into a message.
    for attribute in message.attributes().take(64) {
        let first = message.attributes().find(|other| other.kind == attribute.kind);
        assert_eq!(message.first(attribute.kind), first.map(|a| a.value));
    }
    for algorithm in [IntegrityAlgorithm::Sha1, IntegrityAlgorithm::Sha256] {
        assert_eq!(message.has_integrity_of(algorithm), message.first(algorithm.attribute()).is_some());
        // An HMAC of this key that is right by chance, or by a bug that skips it.
        assert!(!message.check_integrity(algorithm, &key(b"no input knows this key")));
    }
    assert_eq!(message.has_fingerprint(), message.first(AttributeType::FINGERPRINT).is_some());
    write_again(&message);
}

/// Every decoder sees every value, whatever its type says.
fn decode_all(value: &[u8], message: &Message<'_>) {
    let id = message.transaction_id();
    if let Ok(address) = decode_xor_address(value, id) {
        let written = written(message, |writer| writer.xor_address(AttributeType::XOR_PEER_ADDRESS, address));
        assert_eq!(decode_xor_address(&written, id), Ok(address));
        assert_eq!(written.len(), value.len());
    }
    if let Ok(address) = decode_address(value) {
        let written = written(message, |writer| writer.address(AttributeType::MAPPED_ADDRESS, address));
        assert_eq!(decode_address(&written), Ok(address));
        // All but the reserved byte, which we write as zero.
        assert_eq!(written[1..], value[1..]);
    }
    if let Ok(error) = decode_error_code(value) {
        assert!((300..700).contains(&error.code) && error.reason.len() + 4 == value.len());
    }
    if let Ok(error) = decode_address_error_code(value) {
        let again = decode_address_error_code(&encode_address_error_code(error));
        // A number above 99 spills into the class, which only a foreign message has.
        assert!(again == Ok(error) || value[3] > 99);
    }
    if let Ok(name) = decode_username(value) {
        assert!((1..=508).contains(&name.len()));
    }
    assert!(decode_realm(value).map_or(0, str::len) <= 763);
    assert!(decode_software(value).map_or(0, str::len) <= 763);
    assert!(decode_nonce(value).map_or(0, <[u8]>::len) <= 763);
    assert!(decode_password_algorithms(value).count() <= value.len().div_ceil(4));
    assert_eq!(decode_unknown_attributes(value).count(), value.len() / 2);
    let words = [
        decode_lifetime(value).is_ok(),
        decode_channel_number(value).is_ok(),
        decode_requested_transport(value).is_ok(),
        decode_requested_family(value).is_ok(),
    ];
    assert_eq!(words, [value.len() == 4; 4]);
    assert_eq!(decode_change_request(value).is_ok(), value.len() == 4);
    let port = decode_response_port(value).map(std::num::NonZeroU16::get);
    let has_port = matches!(value.len(), 2 | 4) && value[..2] != [0, 0];
    assert_eq!(port.ok(), has_port.then(|| u16::from_be_bytes([value[0], value[1]])));
    assert_eq!(decode_even_port(value).is_ok(), value.len() == 1);
    assert_eq!(decode_icmp(value).is_ok(), value.len() == 8);
    assert_eq!(decode_reservation_token(value).is_ok(), value.len() == 8);
    assert_eq!(decode_userhash(value).is_ok(), value.len() == 32);
}

/// The value of the one attribute that `fill` puts into a message with the same header.
fn written(message: &Message<'_>, fill: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
    let mut buffer = [0xA5; HEADER_BYTES + 24];
    let mut writer =
        MessageWriter::new(&mut buffer, message.class(), message.method(), message.transaction_id());
    fill(&mut writer);
    let length = writer.finish().expect("24 bytes hold any address");
    let again = Message::parse(&buffer[..length]).expect("our own writing");
    again.attributes().next().expect("just written").value.to_vec()
}

/// Writes all attributes that count, with integrity of our own key and FINGERPRINT made anew.
fn write_again(message: &Message<'_>) {
    let key = key(b"ours");
    // A tag that was shorter than it should be, or empty, grows.
    let mut buffer = vec![0xA5; message.bytes().len() + 64];
    let mut writer =
        MessageWriter::new(&mut buffer, message.class(), message.method(), message.transaction_id());
    for attribute in message.attributes() {
        match attribute.kind {
            AttributeType::MESSAGE_INTEGRITY => writer.integrity(IntegrityAlgorithm::Sha1, &key),
            AttributeType::MESSAGE_INTEGRITY_SHA256 => writer.integrity(IntegrityAlgorithm::Sha256, &key),
            AttributeType::FINGERPRINT => writer.fingerprint(),
            kind => writer.attribute(kind, attribute.value),
        }
    }
    let Some(length) = writer.finish() else {
        assert!(message.bytes().len() + 64 > BYTES_MAX, "only the largest messages may outgrow the length");
        return;
    };
    let again = Message::parse(&buffer[..length]).expect("our own writing");
    assert_eq!((again.class(), again.method()), (message.class(), message.method()));
    assert_eq!(again.transaction_id(), message.transaction_id());
    assert_eq!(again.has_fingerprint(), message.has_fingerprint());
    for algorithm in [IntegrityAlgorithm::Sha1, IntegrityAlgorithm::Sha256] {
        assert_eq!(again.check_integrity(algorithm, &key), message.has_integrity_of(algorithm));
    }
    let closes = |kind| {
        kind == AttributeType::FINGERPRINT
            || kind == AttributeType::MESSAGE_INTEGRITY
            || kind == AttributeType::MESSAGE_INTEGRITY_SHA256
    };
    assert!(again.attributes().map(|a| a.kind).eq(message.attributes().map(|a| a.kind)));
    let open = |message: Message<'_>| {
        message.attributes().filter(|a| !closes(a.kind)).map(|a| a.value.to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(open(again), open(*message));
}

/// The same with zero top bits, the magic cookie and the length that is there.
fn with_sound_header(data: &[u8]) -> Option<Vec<u8>> {
    let length = data.len().min(BYTES_MAX).checked_sub(HEADER_BYTES)? & !3;
    let mut bytes = data[..HEADER_BYTES + length].to_vec();
    bytes[0] &= 0x3F;
    bytes[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    bytes[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    (bytes != data).then_some(bytes)
}

fn key(password: &[u8]) -> IntegrityKey {
    IntegrityKey::short_term(password).expect("shorter than 32 bytes")
}
