//! How long does the codec take for one message?
//!
//! `cargo bench --bench wire`; with `-- --test` each piece runs once.
#![allow(clippy::unwrap_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::net::SocketAddr;
use turnstone::wire::channel_data::{self, ChannelData, ChannelNumber};
use turnstone::wire::json::{DEPTH_MAX, check_depth};
use turnstone::wire::plain::Request;
use turnstone::wire::socket_io::{Content, Decoder, Event};
use turnstone::wire::stun::{
    AttributeType, Class, IntegrityAlgorithm, IntegrityKey, Message, MessageWriter, Method, TransactionId,
};

const ID: TransactionId =
    TransactionId([0xB7, 0xE7, 0xA7, 1, 0xBC, 0x34, 0xD6, 0x86, 0xFA, 0x87, 0xDF, 0xAE]);
const USERNAME: &[u8] = b"1900000000:alice;t=1899990000;c=call-4711";

criterion_group!(benches, stun, channels, signaling);
criterion_main!(benches);

fn stun(criterion: &mut Criterion) {
    let binding = written(Class::Request, Method::BINDING, |_| {});
    criterion.bench_function("how long does it take to read a Binding request", |b| {
        b.iter(|| {
            let message = Message::parse(black_box(&binding)).unwrap();
            (message.method(), message.attributes().count())
        });
    });

    let key = IntegrityKey::long_term_md5(USERNAME, b"turn", b"cGFzc3dvcmQgb2YgYSBjYWxs");
    let allocate = written(Class::Request, Method::ALLOCATE, |writer| {
        writer.attribute(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
        writer.attribute(AttributeType::USERNAME, USERNAME);
        writer.attribute(AttributeType::REALM, b"turn");
        writer.attribute(AttributeType::NONCE, b"a0omBraARZOPK6wP");
        writer.integrity(IntegrityAlgorithm::Sha1, &key);
    });
    criterion.bench_function("how long does it take to read a signed Allocate and check it", |b| {
        b.iter(|| {
            let message = Message::parse(black_box(&allocate)).unwrap();
            assert!(message.check_integrity(IntegrityAlgorithm::Sha1, &key));
        });
    });

    let (relayed, mapped) = ("192.0.2.1:50000".parse().unwrap(), "198.51.100.7:40000".parse().unwrap());
    let mut buffer = [0; 512];
    criterion.bench_function("how long does it take to write a signed Allocate success", |b| {
        b.iter(|| success(black_box(&mut buffer), relayed, mapped, &key));
    });
}

fn channels(criterion: &mut Criterion) {
    let mut datagram = channel_data::header(ChannelNumber::FIRST, 1200).to_vec();
    datagram.resize(datagram.len() + 1200, 7);
    criterion.bench_function("how long does it take to read ChannelData", |b| {
        b.iter(|| {
            let data = ChannelData::parse(black_box(&datagram)).unwrap();
            (data.number, data.payload.len())
        });
    });
}

/// 220 bytes, the message of which a call has most.
const CANDIDATE: &str = r#"["webrtc:ice-candidate",{"to":"01J9ZK3W8Q","call_id":"01J9ZK3W8QX2M4N5P6R7S8T9V0","candidate":{"candidate":"candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 0.0.0.0","sdpMid":"0","sdpMLineIndex":0}}]"#;

fn signaling(criterion: &mut Criterion) {
    criterion.bench_function("how long does it take to see that an ICE candidate is not too deep", |b| {
        b.iter(|| check_depth(black_box(CANDIDATE), DEPTH_MAX));
    });
    let event = format!("2{CANDIDATE}");
    criterion.bench_function("how long does it take to read an ICE candidate from Socket.IO", |b| {
        b.iter(|| {
            let packet = Decoder::default().on_text(black_box(&event), 65_536).unwrap().unwrap();
            assert!(matches!(packet.content, Content::Event { .. }));
        });
    });
    let data = &CANDIDATE[24..CANDIDATE.len() - 1];
    let request = format!(r#"{{"id":7,"ev":"webrtc:ice-candidate","data":{data}}}"#);
    criterion.bench_function("how long does it take to read an ICE candidate from the plain wire", |b| {
        b.iter(|| Request::decode(black_box(&request)).unwrap().data.len());
    });
    let mut out = Vec::with_capacity(512);
    criterion.bench_function("how long does it take to write an ICE candidate for Socket.IO", |b| {
        let arguments = &[data];
        let event = Event {
            namespace: "/",
            id: None,
            name: "webrtc:ice-candidate",
            arguments,
            offset: Some("5kx.90071"),
            attachments: 0,
        };
        b.iter(|| {
            out.clear();
            black_box(event).encode(black_box(&mut out));
        });
    });
}

fn success(buffer: &mut [u8], relayed: SocketAddr, mapped: SocketAddr, key: &IntegrityKey) -> usize {
    let mut writer = MessageWriter::new(buffer, Class::Success, Method::ALLOCATE, ID);
    writer.xor_address(AttributeType::XOR_RELAYED_ADDRESS, relayed);
    writer.u32(AttributeType::LIFETIME, 600);
    writer.xor_address(AttributeType::XOR_MAPPED_ADDRESS, mapped);
    writer.integrity(IntegrityAlgorithm::Sha1, key);
    writer.finish().unwrap()
}

fn written(class: Class, method: Method, fill: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
    let mut buffer = vec![0; 512];
    let mut writer = MessageWriter::new(&mut buffer, class, method, ID);
    fill(&mut writer);
    let length = writer.finish().unwrap();
    buffer.truncate(length);
    buffer
}
