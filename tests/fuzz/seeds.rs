//! Inputs that people found interesting, by name.

use crate::vectors;
use turnstone::wire::channel_data::{ChannelNumber, header};
use turnstone::wire::dtls::{COOKIE_BYTES, ClientHello, bare_hello, hello_verify_request};
use turnstone::wire::stun::attribute::{
    AddressErrorCode, Icmp, PasswordAlgorithm, RequestedFamily, encode_address_error_code, encode_icmp,
    encode_password_algorithm,
};
use turnstone::wire::stun::{
    AttributeType, Class, IntegrityAlgorithm, IntegrityKey, MessageWriter, Method, TransactionId,
};

type Seeds = Vec<(&'static str, Vec<u8>)>;

/// Seeds of `stun_decode`.
pub(crate) fn stun_decode() -> Seeds {
    let mut seeds = vec![
        ("rfc5769-request", vectors::request()),
        ("rfc5769-response-ipv4", vectors::response_ipv4()),
        ("rfc5769-response-ipv6", vectors::response_ipv6()),
        ("rfc5769-request-long-term", vectors::request_long_term()),
        ("rfc8489-b1-as-printed", vectors::userhash_as_printed()),
        ("rfc8489-b1-corrected", vectors::userhash_corrected()),
        ("empty", Vec::new()),
        ("header-alone", written(Class::Request, Method::BINDING, |_| {})),
        ("header-cut", written(Class::Request, Method::BINDING, |_| {})[..19].to_vec()),
        ("method-beyond-the-shared-port", written(Class::Error, Method::new(0xFFF), |_| {})),
    ];
    seeds.extend(turn_requests());
    seeds.extend(turn_answers());
    seeds.extend(closings());
    seeds.extend(broken());
    seeds
}

/// Seeds of `channel_data`; the first byte of each says how the stream is cut.
pub(crate) fn channel_data() -> Seeds {
    let channel = |number: u16, payload: &[u8], padding: usize| {
        let number = ChannelNumber::new(number).expect("seeds use channel numbers");
        let mut bytes = header(number, payload.len() as u16).to_vec();
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len() + padding, 0);
        bytes
    };
    let stun = written(Class::Request, Method::REFRESH, |w| w.u32(AttributeType::LIFETIME, 600));
    let stream =
        [channel(0x4000, b"one", 1), stun.clone(), channel(0x4FFF, b"", 0), channel(0x7FFF, b"four", 0)];
    let oversized = [&[0x00, 0x01, 0x08, 0x00][..], &stun[4..]].concat();
    vec![
        ("empty", Vec::new()),
        ("cut-alone", vec![9]),
        ("datagram", channel(0x4001, b"payload", 0)),
        ("datagram-padded", channel(0x4001, b"payload", 1)),
        ("datagram-padded-too-far", channel(0x4001, b"payload", 4)),
        ("datagram-empty", channel(0x4000, b"", 0)),
        ("datagram-short", channel(0x4001, b"payload", 0)[..9].to_vec()),
        ("stream", [&[1][..], &stream.concat()].concat()),
        ("stream-cut-coarsely", [&[200][..], &stream.concat()].concat()),
        ("stream-of-empty-messages", [&[3][..], &channel(0x4000, b"", 0).repeat(20)].concat()),
        ("stream-without-padding", [&[7][..], &channel(0x4000, b"abcde", 0), &stun].concat()),
        ("stream-of-stun", [&[5][..], &stun.repeat(3)].concat()),
        ("stream-that-ends-inside", [&[5][..], &stun, &channel(0x4000, b"abcde", 3)[..7]].concat()),
        ("stream-then-tls", [&[5][..], &stun, &[0x16, 3, 1, 0, 5]].concat()),
        ("stream-then-reserved-channel", [&[5][..], &stun, &[0x80, 0, 0, 0]].concat()),
        ("stun-length-not-of-four", vec![5, 0, 1, 0, 3, 0x21, 0x12, 0xA4, 0x42]),
        ("stun-length-beyond-the-bound", [&[5][..], &oversized].concat()),
        ("stun-length-maximum", vec![5, 0, 1, 0xFF, 0xFC, 0x21, 0x12, 0xA4, 0x42]),
        ("channel-length-maximum", vec![5, 0x40, 0, 0xFF, 0xFF, 1, 2, 3]),
    ]
}

/// Seeds of `proxy_protocol`: headers of both versions, and what comes instead of one.
pub(crate) fn proxy_protocol() -> Seeds {
    let v2 = |command: u8, family: u8, length: u16, block: &[u8]| {
        [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length.to_be_bytes(), block].concat()
    };
    let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0xDC, 4, 1, 0xBB];
    let v6 = [&[0x20, 1, 0xD, 0xB8][..], &[0; 28], &v4[8..]].concat();
    let crc = [&v4[..], &[3, 0, 4, 1, 2, 3, 4, 0xE0, 0, 0]].concat();
    let lines: [(&'static str, &[u8]); 12] = [
        ("v1-tcp4", b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\n"),
        ("v1-tcp6", b"PROXY TCP6 2001:db8::1 2001:DB8::2 56324 443\r\n\x16\x03\x01"),
        ("v1-tcp6-mapped", b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c000:202 1 2\r\n"),
        ("v1-unknown", b"PROXY UNKNOWN\r\n\0\x01\0\0"),
        ("v1-unknown-with-more", b"PROXY UNKNOWN ffff::ffff whatever 65535\r\n"),
        ("v1-cut", b"PROXY TCP4 192.168.0.1 192.168"),
        ("v1-cut-before-lf", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r"),
        ("v1-lone-lf", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n"),
        ("v1-leading-zero", b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n"),
        ("v1-endless", &[b"PROXY UNKNOWN ".as_slice(), &[b'f'; 200]].concat()),
        ("http", b"POST / HTTP/1.1\r\nHost: turn\r\n\r\n"),
        ("stun", b"\0\x01\0\0\x21\x12\xA4\x42abcdefghijkl"),
    ];
    let mut seeds = vec![
        ("empty", Vec::new()),
        ("v2-tcp4", v2(0x21, 0x11, 12, &[&v4[..], b"\0\x01"].concat())),
        ("v2-tcp6", v2(0x21, 0x21, 36, &v6)),
        ("v2-tcp4-with-tlvs", v2(0x21, 0x11, 22, &crc)),
        ("v2-tcp4-torn-tlv", v2(0x21, 0x11, 21, &crc)),
        ("v2-local", v2(0x20, 0, 0, b"")),
        ("v2-local-with-family", v2(0x20, 0xFF, 3, b"abc")),
        ("v2-unspecified", v2(0x21, 0, 3, b"abc")),
        ("v2-unix", v2(0x21, 0x31, 216, &[b'/'; 216])),
        ("v2-udp4", v2(0x21, 0x12, 12, &v4)),
        ("v2-version-1", v2(0x11, 0x11, 12, &v4)),
        ("v2-too-short-for-its-family", v2(0x21, 0x21, 12, &v4)),
        ("v2-length-maximum", v2(0x21, 0x11, 0xFFFF, &v4)),
        ("v2-cut", v2(0x21, 0x11, 12, &v4[..5])),
    ];
    seeds.extend(lines.map(|(name, bytes)| (name, bytes.to_vec())));
    seeds
}

/// Seeds of `dtls_hello`.
pub(crate) fn dtls_hello() -> Seeds {
    let bare = bare_hello(&[7; 32], 0).to_vec();
    let hello = ClientHello::parse(&bare).expect("a hello");
    let request = hello_verify_request(&hello, &[0xCC; COOKIE_BYTES]).to_vec();
    let changed = |at: usize, value: u8| {
        let mut bytes = bare.clone();
        bytes[at] = value;
        bytes
    };
    vec![
        ("empty", Vec::new()),
        ("bare", bare.clone()),
        ("second", bare_hello(&[7; 32], 1).to_vec()),
        ("two-records", [&bare[..], &request].concat()),
        ("hello-verify-request", request),
        ("cut", bare[..60].to_vec()),
        ("first-fragment", changed(15, 0xFF)),
        ("later-fragment", changed(21, 1)),
        ("encrypted", changed(4, 1)),
        ("last-sequence-number", [&bare[..5], &[0xFF; 6], &bare[11..]].concat()),
        ("session-id-too-long", changed(59, 33)),
        ("cookie-overruns", changed(60, 255)),
        ("application-data", changed(0, 23)),
    ]
}

fn turn_requests() -> Seeds {
    let peers = ["192.0.2.1:0", "[2001:db8::1]:65535", "[::ffff:127.0.0.1]:80"];
    vec![
        (
            "allocate",
            authenticated(Method::ALLOCATE, |w| {
                w.attribute(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
                w.u32(AttributeType::LIFETIME, 3600);
                w.attribute(AttributeType::DONT_FRAGMENT, &[]);
                w.attribute(AttributeType::EVEN_PORT, &[0x80]);
                w.attribute(AttributeType::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]);
            }),
        ),
        (
            "allocate-reserved",
            authenticated(Method::ALLOCATE, |w| {
                w.attribute(AttributeType::REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
                w.attribute(AttributeType::RESERVATION_TOKEN, &[1, 2, 3, 4, 5, 6, 7, 8]);
                w.attribute(AttributeType::REQUESTED_ADDRESS_FAMILY, &[3, 0, 0, 0]);
            }),
        ),
        ("refresh-zero", authenticated(Method::REFRESH, |w| w.u32(AttributeType::LIFETIME, 0))),
        (
            "create-permission",
            authenticated(Method::CREATE_PERMISSION, |w| {
                for peer in peers {
                    w.xor_address(AttributeType::XOR_PEER_ADDRESS, peer.parse().expect("a literal"));
                }
            }),
        ),
        (
            "channel-bind",
            authenticated(Method::CHANNEL_BIND, |w| {
                w.attribute(AttributeType::CHANNEL_NUMBER, &[0x40, 0, 0, 0]);
                w.xor_address(AttributeType::XOR_PEER_ADDRESS, peers[1].parse().expect("a literal"));
            }),
        ),
        (
            "send",
            written(Class::Indication, Method::SEND, |w| {
                w.xor_address(AttributeType::XOR_PEER_ADDRESS, peers[0].parse().expect("a literal"));
                w.attribute(AttributeType::DATA, b"hello");
            }),
        ),
        (
            "discovery",
            written(Class::Request, Method::BINDING, |w| {
                w.attribute(AttributeType::CHANGE_REQUEST, &[0, 0, 0, 6]);
                w.attribute(AttributeType::RESPONSE_PORT, &[0x13, 0x88]);
                w.padding(64);
            }),
        ),
        (
            "every-known-attribute-empty",
            written(Class::Request, Method::ALLOCATE, |w| {
                AttributeType::KNOWN.iter().for_each(|kind| w.attribute(*kind, &[]))
            }),
        ),
    ]
}

fn turn_answers() -> Seeds {
    let algorithms =
        [PasswordAlgorithm::Sha256, PasswordAlgorithm::Md5].map(encode_password_algorithm).concat();
    vec![
        (
            "challenge",
            written(Class::Error, Method::ALLOCATE, |w| {
                w.error_code(401);
                w.attribute(AttributeType::REALM, b"example.org");
                w.attribute(AttributeType::NONCE, b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA");
                w.attribute(AttributeType::PASSWORD_ALGORITHMS, &algorithms);
                w.fingerprint();
            }),
        ),
        (
            "unknown-attributes",
            written(Class::Error, Method::BINDING, |w| {
                w.attribute(AttributeType::ERROR_CODE, b"\0\0\x04\x14Unknown");
                w.unknown_attributes([1, 0x7FFF, 3].map(AttributeType).into_iter());
            }),
        ),
        (
            "allocated-in-part",
            written(Class::Success, Method::ALLOCATE, |w| {
                let address = "198.51.100.1:49152".parse().expect("a literal");
                w.xor_address(AttributeType::XOR_RELAYED_ADDRESS, address);
                w.address(AttributeType::ALTERNATE_SERVER, address);
                let error = AddressErrorCode { family: RequestedFamily::V6, code: 440 };
                w.attribute(AttributeType::ADDRESS_ERROR_CODE, &encode_address_error_code(error));
                w.attribute(AttributeType::SOFTWARE, b"a server");
            }),
        ),
        (
            "discovered",
            written(Class::Success, Method::BINDING, |w| {
                let address = "198.51.100.1:49152".parse().expect("a literal");
                w.address(AttributeType::MAPPED_ADDRESS, address);
                w.xor_address(AttributeType::XOR_MAPPED_ADDRESS, address);
                w.address(AttributeType::RESPONSE_ORIGIN, "203.0.113.4:3478".parse().expect("a literal"));
                w.address(AttributeType::OTHER_ADDRESS, "203.0.113.5:3479".parse().expect("a literal"));
                w.attribute(AttributeType::PADDING, &[0; 3]);
            }),
        ),
        (
            "data-with-icmp",
            written(Class::Indication, Method::DATA, |w| {
                w.attribute(AttributeType::ICMP, &encode_icmp(Icmp { icmp_type: 3, code: 4, data: 1280 }));
                w.attribute(AttributeType::ALTERNATE_DOMAIN, b"example.org");
            }),
        ),
    ]
}

/// Integrity and FINGERPRINT in every order that has a rule (RFC 8489 sections 14.5 to 14.7).
fn closings() -> Seeds {
    let with = |fill: &dyn Fn(&mut MessageWriter<'_>)| written(Class::Request, Method::REFRESH, fill);
    vec![
        (
            "attributes-behind-each-closing",
            with(&|w| {
                w.integrity(IntegrityAlgorithm::Sha1, &key());
                w.u32(AttributeType::LIFETIME, 0);
                w.integrity(IntegrityAlgorithm::Sha256, &key());
                w.u32(AttributeType::LIFETIME, 1);
                w.fingerprint();
                w.u32(AttributeType::LIFETIME, 2);
            }),
        ),
        (
            "sha256-before-sha1",
            with(&|w| {
                w.integrity(IntegrityAlgorithm::Sha256, &key());
                w.integrity(IntegrityAlgorithm::Sha1, &key());
            }),
        ),
        (
            "fingerprint-before-integrity",
            with(&|w| {
                w.fingerprint();
                w.integrity(IntegrityAlgorithm::Sha1, &key());
            }),
        ),
        ("fingerprint-twice", with(&|w| (0..2).for_each(|_| w.fingerprint()))),
        ("fingerprint-wrong", with(&|w| w.u32(AttributeType::FINGERPRINT, 0))),
        ("fingerprint-short", with(&|w| w.attribute(AttributeType::FINGERPRINT, &[1, 2]))),
        ("sha1-short", with(&|w| w.attribute(AttributeType::MESSAGE_INTEGRITY, &[0; 19]))),
        ("sha256-truncated", with(&|w| w.attribute(AttributeType::MESSAGE_INTEGRITY_SHA256, &[0; 16]))),
        (
            "sha256-truncated-too-far",
            with(&|w| w.attribute(AttributeType::MESSAGE_INTEGRITY_SHA256, &[0; 12])),
        ),
    ]
}

fn broken() -> Seeds {
    let sound = written(Class::Request, Method::ALLOCATE, |w| w.u32(AttributeType::LIFETIME, 600));
    let changed = |at: usize, byte: u8| {
        let mut bytes = sound.clone();
        bytes[at] = byte;
        bytes
    };
    vec![
        ("cookie-of-rfc3489", changed(4, 0)),
        ("top-bits", changed(0, 0xC0)),
        ("length-too-long", changed(3, 12)),
        ("length-too-short", changed(3, 4)),
        ("length-not-of-four", changed(3, 7)),
        ("attribute-overrun", changed(23, 5)),
        ("attribute-overrun-far", changed(22, 0xFF)),
        ("trailing-byte", [&sound[..], &[0]].concat()),
        ("ipv6-family-with-ipv4-length", address(&[0, 2, 0, 80, 192, 0, 2, 1])),
        ("address-of-family-zero", address(&[0, 0, 0, 80, 192, 0, 2, 1])),
        ("address-with-reserved-byte", address(&[0xFF, 1, 0, 80, 192, 0, 2, 1])),
        ("error-code-out-of-range", of(AttributeType::ERROR_CODE, &[0, 0, 7, 100])),
        ("username-not-utf8", of(AttributeType::USERNAME, &[0xE3, 0x83])),
        ("username-too-long", of(AttributeType::USERNAME, &[b'a'; 509])),
        ("password-algorithms-torn", of(AttributeType::PASSWORD_ALGORITHMS, &[0, 2, 0, 0, 0, 1])),
        ("password-algorithm-with-parameters", of(AttributeType::PASSWORD_ALGORITHM, &[0, 2, 0, 3, 1, 2, 3])),
    ]
}

fn address(value: &[u8]) -> Vec<u8> {
    of(AttributeType::XOR_PEER_ADDRESS, value)
}

fn of(kind: AttributeType, value: &[u8]) -> Vec<u8> {
    written(Class::Request, Method::ALLOCATE, |w| w.attribute(kind, value))
}

fn authenticated(method: Method, fill: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
    written(Class::Request, method, |w| {
        fill(w);
        w.attribute(AttributeType::USERNAME, b"1700000000:alice");
        w.attribute(AttributeType::REALM, b"example.org");
        w.attribute(AttributeType::NONCE, b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA");
        w.integrity(IntegrityAlgorithm::Sha1, &key());
        w.fingerprint();
    })
}

fn written(class: Class, method: Method, fill: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
    let id = TransactionId([0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae]);
    let mut buffer = vec![0; 1024];
    let mut writer = MessageWriter::new(&mut buffer, class, method, id);
    fill(&mut writer);
    let length = writer.finish().expect("seeds are small");
    buffer.truncate(length);
    buffer
}

fn key() -> IntegrityKey {
    IntegrityKey::long_term_md5(b"1700000000:alice", b"example.org", b"password")
}
