//! How long does the codec take for one message?
//!
//! `cargo bench --bench wire`; with `-- --test` each piece runs once.
#![allow(clippy::unwrap_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::net::SocketAddr;
use turnstone::wire::channel_data::{self, ChannelData, ChannelNumber};
use turnstone::wire::stun::{
    AttributeType, Class, IntegrityAlgorithm, IntegrityKey, Message, MessageWriter, Method, TransactionId,
};

const ID: TransactionId =
    TransactionId([0xB7, 0xE7, 0xA7, 1, 0xBC, 0x34, 0xD6, 0x86, 0xFA, 0x87, 0xDF, 0xAE]);
const USERNAME: &[u8] = b"1900000000:alice;t=1899990000;c=call-4711";

criterion_group!(benches, stun, channels);
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
