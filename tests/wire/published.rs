//! RFC 5769 and RFC 8489 appendix B.1: read byte-exact, verified, and written again.

use crate::vectors;
use std::net::SocketAddr;
use turnstone::wire::Malformed;
use turnstone::wire::stun::attribute::{
    PasswordAlgorithm, decode_password_algorithms, decode_realm, decode_software, decode_userhash,
    decode_username, decode_xor_address, encode_password_algorithm,
};
use turnstone::wire::stun::{
    AttributeType, Class, IntegrityAlgorithm, IntegrityKey, Message, MessageWriter, Method, TransactionId,
};

const SHORT_TERM_ID: TransactionId =
    TransactionId([0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae]);
const LONG_TERM_ID: TransactionId =
    TransactionId([0x78, 0xad, 0x34, 0x33, 0xc6, 0xad, 0x72, 0xc0, 0x29, 0xda, 0x41, 0x2e]);
const USERNAME: &str = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";
const REALM: &str = "example.org";
const PASSWORD: &str = "TheMatrIX";
const USERHASH_NONCE: &[u8] = b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA";

const PRIORITY: AttributeType = AttributeType(0x0024);
const ICE_CONTROLLED: AttributeType = AttributeType(0x8029);

#[test] // RFC 5769 section 2.1
fn the_sample_request_reads_as_printed() {
    let bytes = vectors::request();
    let message = Message::parse(&bytes).unwrap();
    assert_header(&message, Class::Request, SHORT_TERM_ID);
    assert_eq!(
        attributes(&message),
        [
            (AttributeType::SOFTWARE, &b"STUN test client"[..]),
            (PRIORITY, &[0x6e, 0x00, 0x01, 0xff]),
            (ICE_CONTROLLED, &[0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36]),
            (AttributeType::USERNAME, b"evtj:h6vY"),
            (AttributeType::MESSAGE_INTEGRITY, &bytes[80..100]),
            (AttributeType::FINGERPRINT, &[0xe5, 0x7a, 0x3b, 0xcf]),
        ]
    );
    assert_eq!(message.first(AttributeType::SOFTWARE).map(decode_software), Some(Ok("STUN test client")));
    assert_eq!(message.first(AttributeType::USERNAME).map(decode_username), Some(Ok("evtj:h6vY")));
    assert_short_term(&message);
}

#[test] // RFC 5769 sections 2.2 and 2.3
fn the_sample_responses_read_as_printed() {
    for (bytes, address) in [
        (vectors::response_ipv4(), "192.0.2.1:32853"),
        (vectors::response_ipv6(), "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
    ] {
        let message = Message::parse(&bytes).unwrap();
        assert_header(&message, Class::Success, SHORT_TERM_ID);
        let kinds: Vec<_> = message.attributes().map(|a| a.kind).collect();
        assert_eq!(
            kinds,
            [
                AttributeType::SOFTWARE,
                AttributeType::XOR_MAPPED_ADDRESS,
                AttributeType::MESSAGE_INTEGRITY,
                AttributeType::FINGERPRINT
            ]
        );
        assert_eq!(message.first(AttributeType::SOFTWARE).map(decode_software), Some(Ok("test vector")));
        let mapped = message.first(AttributeType::XOR_MAPPED_ADDRESS).unwrap();
        assert_eq!(decode_xor_address(mapped, SHORT_TERM_ID), Ok(address.parse::<SocketAddr>().unwrap()));
        assert_short_term(&message);
    }
}

#[test] // RFC 5769 section 2.4
fn the_sample_long_term_request_reads_as_printed() {
    let bytes = vectors::request_long_term();
    let message = Message::parse(&bytes).unwrap();
    assert_header(&message, Class::Request, LONG_TERM_ID);
    assert_eq!(
        attributes(&message),
        [
            (AttributeType::USERNAME, USERNAME.as_bytes()),
            (AttributeType::NONCE, b"f//499k954d6OL34oL9FSTvy64sA"),
            (AttributeType::REALM, REALM.as_bytes()),
            (AttributeType::MESSAGE_INTEGRITY, &bytes[96..116]),
        ]
    );
    assert_eq!(message.first(AttributeType::USERNAME).map(decode_username), Some(Ok(USERNAME)));
    assert!(!message.has_fingerprint());
    assert!(message.check_integrity(IntegrityAlgorithm::Sha1, &md5_key(PASSWORD)));
    assert!(!message.check_integrity(IntegrityAlgorithm::Sha1, &md5_key("TheMatrix")));
}

#[test] // RFC 8489 appendix B.1, erratum 6268
fn the_corrected_userhash_request_reads_and_verifies() {
    let bytes = vectors::userhash_corrected();
    let message = Message::parse(&bytes).unwrap();
    assert_header(&message, Class::Request, LONG_TERM_ID);
    let kinds: Vec<_> = message.attributes().map(|a| a.kind).collect();
    assert_eq!(
        kinds,
        [
            AttributeType::USERHASH,
            AttributeType::NONCE,
            AttributeType::REALM,
            AttributeType::PASSWORD_ALGORITHM,
            AttributeType::MESSAGE_INTEGRITY_SHA256
        ]
    );
    assert_eq!(message.first(AttributeType::USERHASH).map(decode_userhash), Some(Ok(userhash())));
    assert_eq!(message.first(AttributeType::NONCE), Some(USERHASH_NONCE));
    assert_eq!(message.first(AttributeType::REALM).map(decode_realm), Some(Ok(REALM)));
    let algorithm = message.first(AttributeType::PASSWORD_ALGORITHM).unwrap();
    assert_eq!(decode_password_algorithms(algorithm).collect::<Vec<_>>(), [Ok(PasswordAlgorithm::Sha256)]);
    assert!(message.check_integrity(IntegrityAlgorithm::Sha256, &sha256_key(PASSWORD)));
    // The key of the other password algorithm, and the other attribute, are not it.
    assert!(!message.check_integrity(IntegrityAlgorithm::Sha256, &md5_key(PASSWORD)));
    assert!(!message.check_integrity(IntegrityAlgorithm::Sha1, &sha256_key(PASSWORD)));
}

/// Erratum 6268 found again instead of taken on trust: the printed length field counts the header, and
/// the printed tag was made with that length. (It also lacks PASSWORD-ALGORITHM, which section 9.2.4
/// wants wherever the key is not MD5.)
#[test] // RFC 8489 appendix B.1
fn the_userhash_request_as_printed_is_refused_for_its_length_and_its_tag() {
    let mut bytes = vectors::userhash_as_printed();
    assert_eq!(bytes.len(), 0x9c);
    assert_eq!(Message::parse(&bytes).err(), Some(Malformed::TooShort));
    assert_eq!(hmac_sha256(&bytes[..120], PASSWORD), bytes[124..]);
    bytes[3] = 0x9c - 20;
    let message = Message::parse(&bytes).unwrap();
    assert!(!message.check_integrity(IntegrityAlgorithm::Sha256, &sha256_key(PASSWORD)));
}

/// Byte-exact where the sample pads with zeros, as RFC 8489 section 14 has it and the writer does.
#[test] // RFC 5769 section 2.4
fn the_writer_reproduces_the_long_term_request() {
    let mut buffer = [0xA5; 200];
    let mut writer = MessageWriter::new(&mut buffer, Class::Request, Method::BINDING, LONG_TERM_ID);
    writer.attribute(AttributeType::USERNAME, USERNAME.as_bytes());
    writer.attribute(AttributeType::NONCE, b"f//499k954d6OL34oL9FSTvy64sA");
    writer.attribute(AttributeType::REALM, REALM.as_bytes());
    writer.integrity(IntegrityAlgorithm::Sha1, &md5_key(PASSWORD));
    let length = writer.finish().unwrap();
    assert_eq!(buffer[..length], vectors::request_long_term());
}

#[test] // RFC 8489 appendix B.1, erratum 6268
fn the_writer_reproduces_the_corrected_userhash_request() {
    let mut buffer = [0xA5; 200];
    let mut writer = MessageWriter::new(&mut buffer, Class::Request, Method::BINDING, LONG_TERM_ID);
    writer.attribute(AttributeType::USERHASH, &userhash());
    writer.attribute(AttributeType::NONCE, USERHASH_NONCE);
    writer.attribute(AttributeType::REALM, REALM.as_bytes());
    let algorithm = encode_password_algorithm(PasswordAlgorithm::Sha256);
    writer.attribute(AttributeType::PASSWORD_ALGORITHM, &algorithm);
    writer.integrity(IntegrityAlgorithm::Sha256, &sha256_key(PASSWORD));
    let length = writer.finish().unwrap();
    assert_eq!(buffer[..length], vectors::userhash_corrected());
}

/// These samples pad with spaces. RFC 8489 section 14 wants zeros, which is all that the writer can
/// do, so padding and the two checksums that cover it are masked; the reading tests above prove both
/// checksums over the printed bytes.
#[test] // RFC 5769 sections 2.1 to 2.3
fn the_writer_reproduces_the_short_term_samples_but_for_their_padding() {
    let write = |class, fill: &dyn Fn(&mut MessageWriter<'_>)| {
        let mut buffer = vec![0xA5; 200];
        let mut writer = MessageWriter::new(&mut buffer, class, Method::BINDING, SHORT_TERM_ID);
        fill(&mut writer);
        writer.integrity(IntegrityAlgorithm::Sha1, &short_term_key());
        writer.fingerprint();
        let length = writer.finish().unwrap();
        buffer.truncate(length);
        buffer
    };
    let request = write(Class::Request, &|writer| {
        writer.attribute(AttributeType::SOFTWARE, b"STUN test client");
        writer.u32(PRIORITY, 0x6e00_01ff);
        writer.attribute(ICE_CONTROLLED, &0x932f_f9b1_5126_3b36u64.to_be_bytes());
        writer.attribute(AttributeType::USERNAME, b"evtj:h6vY");
    });
    let response = |address: &str| {
        write(Class::Success, &|writer| {
            writer.attribute(AttributeType::SOFTWARE, b"test vector");
            writer.xor_address(AttributeType::XOR_MAPPED_ADDRESS, address.parse().unwrap());
        })
    };
    let v4 = response("192.0.2.1:32853");
    let v6 = response("[2001:db8:1234:5678:11:2233:4455:6677]:32853");
    for (ours, sample, padding) in [
        (request, vectors::request(), 73..76),
        (v4, vectors::response_ipv4(), 35..36),
        (v6, vectors::response_ipv6(), 35..36),
    ] {
        assert!(sample[padding.clone()].iter().all(|&byte| byte == 0x20));
        assert!(ours[padding.clone()].iter().all(|&byte| byte == 0));
        assert_short_term(&Message::parse(&ours).unwrap());
        assert_eq!(masked(ours, padding.clone()), masked(sample, padding));
    }
}

#[test] // RFC 8489 sections 14.5 to 14.7
fn no_flipped_bit_of_a_sample_goes_unnoticed() {
    let short = (IntegrityAlgorithm::Sha1, short_term_key());
    for (sample, (algorithm, key)) in [
        (vectors::request(), short.clone()),
        (vectors::response_ipv4(), short.clone()),
        (vectors::response_ipv6(), short),
        (vectors::request_long_term(), (IntegrityAlgorithm::Sha1, md5_key(PASSWORD))),
        (vectors::userhash_corrected(), (IntegrityAlgorithm::Sha256, sha256_key(PASSWORD))),
    ] {
        let fingerprinted = Message::parse(&sample).unwrap().has_fingerprint();
        for bit in 0..sample.len() * 8 {
            let mut bytes = sample.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let accepted = Message::parse(&bytes).is_ok_and(|message| {
                message.has_fingerprint() == fingerprinted && message.check_integrity(algorithm, &key)
            });
            assert!(!accepted, "bit {bit} of {} bytes", sample.len());
        }
    }
}

fn assert_header(message: &Message<'_>, class: Class, id: TransactionId) {
    assert_eq!((message.class(), message.method()), (class, Method::BINDING));
    assert_eq!(message.transaction_id(), id);
}

fn assert_short_term(message: &Message<'_>) {
    assert!(message.has_fingerprint());
    assert!(message.check_integrity(IntegrityAlgorithm::Sha1, &short_term_key()));
    let other = IntegrityKey::short_term(b"VOkJxbRl1RmTxUk/WvJxBu").unwrap();
    assert!(!message.check_integrity(IntegrityAlgorithm::Sha1, &other));
    assert!(!message.check_integrity(IntegrityAlgorithm::Sha256, &short_term_key()));
}

fn attributes<'a>(message: &Message<'a>) -> Vec<(AttributeType, &'a [u8])> {
    message.attributes().map(|a| (a.kind, a.value)).collect()
}

/// Zeroes `padding`, the 20 bytes of MESSAGE-INTEGRITY and the 4 of FINGERPRINT at the end.
fn masked(mut bytes: Vec<u8>, padding: std::ops::Range<usize>) -> Vec<u8> {
    let end = bytes.len();
    for range in [padding, end - 28..end - 8, end - 4..end] {
        bytes[range].fill(0);
    }
    bytes
}

fn short_term_key() -> IntegrityKey {
    IntegrityKey::short_term(b"VOkJxbRl1RmTxUk/WvJxBt").unwrap()
}

fn md5_key(password: &str) -> IntegrityKey {
    IntegrityKey::long_term_md5(USERNAME.as_bytes(), REALM.as_bytes(), password.as_bytes())
}

fn sha256_key(password: &str) -> IntegrityKey {
    IntegrityKey::long_term_sha256(USERNAME.as_bytes(), REALM.as_bytes(), password.as_bytes())
}

fn userhash() -> [u8; 32] {
    let digest =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("{USERNAME}:{REALM}").as_bytes());
    digest.as_ref().try_into().unwrap()
}

/// HMAC-SHA256 over `bytes` as they stand, length field included.
fn hmac_sha256(bytes: &[u8], password: &str) -> Vec<u8> {
    let text = format!("{USERNAME}:{REALM}:{password}");
    let key = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key.as_ref());
    aws_lc_rs::hmac::sign(&key, bytes).as_ref().to_vec()
}
