//! What does a WebSocket message cost, and a connection that says nothing, beside `tungstenite`?
//!
//! `cargo bench --bench websocket`; with `-- --test` each piece runs once. One copy out of memory stands
//! for the socket that is read; what is written goes no further than the buffer that a socket would get.
#![allow(clippy::unwrap_used)]

#[path = "../tests/support/counting.rs"]
mod counting;

use bytes::Bytes;
use counting::{Counting, allocations_in, heap};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::io::{self, Read, Write};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Message, Utf8Bytes};
use turnstone::wire::websocket::{Incoming, Opcode, Reader, frame_header, write_frame};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MESSAGE_BYTES_MAX: usize = 65_536;
const SIZES: [usize; 2] = [200, 4096];
/// What theirs reads into: the least that takes a candidate whole, and what its manual advises for many
/// connections.
const THEIR_BUFFERS: [usize; 2] = [512, 4096];
const CONNECTIONS: usize = 1000;

criterion_group!(benches, receiving, sending, idle);
criterion_main!(benches);

fn receiving(criterion: &mut Criterion) {
    for size in SIZES {
        let frame = masked(&text(size));
        let (mut reader, mut scratch) = (Reader::new(MESSAGE_BYTES_MAX as u32), vec![0; MESSAGE_BYTES_MAX]);
        let taken = allocations_in(|| assert_eq!(receive(&mut reader, &mut scratch, &frame), size));
        println!("heap allocations for a text of {size} bytes: {taken}");
        assert_eq!(taken, 0);
        criterion.bench_function(&format!("how long does ours take to read a text of {size} bytes"), |b| {
            b.iter(|| receive(&mut reader, &mut scratch, black_box(&frame)));
        });
        for buffer in THEIR_BUFFERS {
            let (mut context, mut wire) = (their_context(buffer), Wire::of(frame.clone()));
            let taken = allocations_in(|| assert_eq!(context.read(&mut wire).unwrap().len(), size));
            println!("heap allocations of theirs: {taken}");
            let name = format!("how long does theirs take to read {size} bytes into buffers of {buffer}");
            criterion.bench_function(&name, |b| b.iter(|| black_box(context.read(&mut wire).unwrap()).len()));
        }
    }
}

fn receive(reader: &mut Reader, scratch: &mut [u8], frame: &[u8]) -> usize {
    scratch[..frame.len()].copy_from_slice(frame);
    let mut input = &mut scratch[..frame.len()];
    let mut bytes = 0;
    while let Some(incoming) = reader.read(&mut input).unwrap() {
        let Incoming::Text(text) = black_box(incoming) else { panic!("a text was sent") };
        bytes += text.len();
    }
    bytes
}

fn sending(criterion: &mut Criterion) {
    for size in SIZES {
        let payloads = spread(&text(size));
        let (mut out, mut wire, mut turn) = (Vec::new(), Wire::of(Vec::new()), 0);
        criterion.bench_function(&format!("how long does ours take to write a text of {size} bytes"), |b| {
            b.iter(|| {
                turn = (turn + 1) % payloads.len();
                out.clear();
                write_frame(&mut out, Opcode::Text, black_box(&payloads[turn]));
                wire.write(&out).unwrap()
            });
        });
        criterion.bench_function(&format!("how long does our header for {size} shared bytes take"), |b| {
            b.iter(|| wire.write(&frame_header(Opcode::Text, black_box(size))).unwrap());
        });
        for buffer in THEIR_BUFFERS {
            // Its payloads are shared, so that a message is as cheap as it can be.
            let text = |payload: &Bytes| Message::text(Utf8Bytes::try_from(payload.clone()).unwrap());
            let messages: Vec<_> = payloads.iter().map(text).collect();
            let mut context = their_context(buffer);
            let name = format!("how long does theirs take to write {size} bytes through buffers of {buffer}");
            criterion.bench_function(&name, |b| {
                b.iter(|| {
                    turn = (turn + 1) % messages.len();
                    context.write(&mut wire, black_box(&messages[turn]).clone()).unwrap();
                    context.flush(&mut wire).unwrap();
                });
            });
        }
    }
}

/// The text at many places of a page: copies are slow where source and target lie alike in their pages.
fn spread(text: &str) -> Vec<Bytes> {
    let at = |i: usize| Bytes::from([&vec![0; 128 * i], text.as_bytes()].concat()).split_off(128 * i);
    (0..32).map(at).collect()
}

/// Bytes of a connection that has read and written a text of 200 bytes, and one of 4 KiB, and is idle
/// again: the value itself and what it holds on the heap.
fn idle(_: &mut Criterion) {
    let texts = SIZES.map(text);
    let mut scratch = vec![0; MESSAGE_BYTES_MAX];
    let ours = bytes_of_one(|| {
        let mut reader = Reader::new(MESSAGE_BYTES_MAX as u32);
        let mut out = Vec::new();
        for text in &texts {
            assert_eq!(receive(&mut reader, &mut scratch, &masked(text)), text.len());
            write_frame(&mut out, Opcode::Text, text.as_bytes());
        }
        reader
    });
    println!("bytes of an idle connection: ours {ours}");
    assert!(ours <= 64);
    for buffer in THEIR_BUFFERS {
        let theirs = bytes_of_one(|| {
            let mut context = their_context(buffer);
            for text in &texts {
                let mut wire = Wire::of(masked(text));
                assert_eq!(context.read(&mut wire).unwrap().len(), text.len());
                context.write(&mut wire, Message::text(text.as_str())).unwrap();
                context.flush(&mut wire).unwrap();
            }
            context
        });
        println!("bytes of an idle connection: theirs with buffers of {buffer}: {theirs}");
    }
}

fn bytes_of_one<T>(mut connection: impl FnMut() -> T) -> usize {
    let before = heap().live_bytes;
    let mut all = Vec::with_capacity(CONNECTIONS);
    (0..CONNECTIONS).for_each(|_| all.push(connection()));
    let bytes = (heap().live_bytes - before) as usize;
    drop(all);
    bytes / CONNECTIONS
}

fn their_context(buffer: usize) -> WebSocketContext {
    let config = WebSocketConfig::default()
        .read_buffer_size(buffer)
        .write_buffer_size(0)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    WebSocketContext::new(Role::Server, Some(config))
}

/// A socket that has the same bytes to read again and again, and takes all that is written.
struct Wire {
    incoming: Vec<u8>,
    at: usize,
}

impl Wire {
    fn of(incoming: Vec<u8>) -> Self {
        Self { incoming, at: 0 }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.incoming[self.at..];
        let bytes = rest.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&rest[..bytes]);
        self.at = (self.at + bytes) % self.incoming.len();
        Ok(bytes)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(black_box(bytes).len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// JSON, as a candidate of ICE comes.
fn text(bytes: usize) -> String {
    let unit = "42[\"webrtc:ice-candidate\",{\"to\":\"user-4711\",\"candidate\":\"candidate:842163049 1 udp \
        1677729535 203.0.113.7 46154 typ srflx\"}]";
    unit.chars().cycle().take(bytes).collect()
}

/// A text from a client.
fn masked(text: &str) -> Vec<u8> {
    let key = [0x37, 0xFA, 0x21, 0x3D];
    let mut frame = frame_header(Opcode::Text, text.len()).to_vec();
    frame[1] |= 0x80;
    frame.extend(key);
    frame.extend(text.bytes().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}
