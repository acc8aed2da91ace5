//! How long does the core take for one packet or one request, and does it touch the heap?
//!
//! `cargo bench --bench turn`; with `-- --test` each piece runs once. Sockets and system calls are not
//! in these times.
#![allow(clippy::unwrap_used, clippy::wrong_self_convention)]

#[path = "../tests/support/counting.rs"]
mod counting;
#[path = "../tests/support/crowd.rs"]
mod crowd;
#[path = "../tests/support/world.rs"]
mod world;

use counting::{Counting, allocations_in};
use criterion::{Criterion, criterion_group, criterion_main};
use crowd::{Crowd, channel_data};
use std::hint::black_box;
use std::time::{Duration, Instant};
use turnstone::turn::{REPLY_BYTES_MAX, Verdict};
use turnstone::wire::stun::{AttributeType, Class, Method, TransactionId};
use world::{Answer, Client, Out, UDP, World};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PAYLOAD: [u8; 160] = [7; 160];

criterion_group!(benches, relaying, challenges, allocations);
criterion_main!(benches);

/// The members take turns, so that each packet meets another place of the tables.
fn relaying(criterion: &mut Criterion) {
    for allocations in [100, 10_000] {
        let mut crowd = Crowd::of(allocations);
        let datagram = channel_data(&PAYLOAD);
        prove_that_packets_take_no_heap(&mut crowd, &datagram);
        let (mut reply, mut turn) = ([0; REPLY_BYTES_MAX], 0);
        let (server, now, members) = (&mut crowd.world.server, crowd.world.now, &crowd.members);
        let name = format!("how long does ChannelData to a peer take with {allocations} allocations");
        criterion.bench_function(&name, |b| {
            b.iter(|| {
                turn = (turn + 1) % members.len();
                server.on_client_datagram(now, &members[turn].address, black_box(&datagram), &mut reply)
            });
        });
        let name =
            format!("how long does a peer's datagram to a channel take with {allocations} allocations");
        criterion.bench_function(&name, |b| {
            b.iter(|| {
                turn = (turn + 1) % members.len();
                server.on_peer_datagram(now, members[turn].relay, members[turn].bound, black_box(160))
            });
        });
    }
}

fn prove_that_packets_take_no_heap(crowd: &mut Crowd, datagram: &[u8]) {
    let mut reply = [0; REPLY_BYTES_MAX];
    let (server, now) = (&mut crowd.world.server, crowd.world.now);
    let taken = allocations_in(|| {
        for member in &crowd.members {
            let up = server.on_client_datagram(now, &member.address, datagram, &mut reply);
            assert!(matches!(up, Verdict::ToPeer { .. }));
            let down = server.on_peer_datagram(now, member.relay, member.bound, PAYLOAD.len());
            assert!(matches!(down, Verdict::ToClient { .. }));
        }
    });
    println!("heap allocations in {} relayed packets: {taken}", 2 * crowd.members.len());
    assert_eq!(taken, 0);
}

fn challenges(criterion: &mut Criterion) {
    let World { mut server, now, .. } = World::seeded(1);
    // Loopback, which the budget of replies to strangers exempts.
    let client = Client::at("127.0.0.1:40000".parse().unwrap(), "nobody");
    let attributes: [(AttributeType, &[u8]); 1] = [(AttributeType::REQUESTED_TRANSPORT, UDP)];
    let allocate = client.bare(TransactionId([3; 12]), Class::Request, Method::ALLOCATE, &attributes);
    let binding = client.bare(TransactionId([3; 12]), Class::Request, Method::BINDING, &[]);
    let mut reply = [0; REPLY_BYTES_MAX];
    for (name, request) in [
        ("how long does it take to challenge an Allocate of a stranger", allocate),
        ("how long does it take to answer a Binding", binding),
    ] {
        criterion.bench_function(name, |b| {
            b.iter(|| {
                let verdict =
                    server.on_client_datagram(now, &client.address, black_box(&request), &mut reply);
                assert!(matches!(verdict, Verdict::Reply { .. }));
            });
        });
    }
}

/// The whole way: check, ledger, answer. The Refresh that ends it is not in the time.
fn allocations(criterion: &mut Criterion) {
    let mut world = crowd::roomy_world();
    let mut client = crowd::client(0);
    client.allocate(&mut world);
    client.refresh(&mut world, 0);
    criterion.bench_function("how long does it take to allocate with a time-limited credential", |b| {
        b.iter_custom(|rounds| (0..rounds).map(|_| allocate_once(&mut world, &mut client)).sum());
    });
}

fn allocate_once(world: &mut World, client: &mut Client) -> Duration {
    let id = world.transaction();
    let request = client.request(id, Method::ALLOCATE, &[(AttributeType::REQUESTED_TRANSPORT, UDP)]);
    let start = Instant::now();
    let out = world.datagram(client.address, black_box(&request));
    let taken = start.elapsed();
    assert!(matches!(&out[..], [Out::ToClient { bytes, .. }] if Answer::read(bytes).code == 0));
    assert_eq!(client.refresh(world, 0).code, 0);
    world.effects.clear();
    world.closings.clear();
    taken
}
