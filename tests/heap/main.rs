//! What the core takes from the heap: nothing per packet, nothing for strangers, little per allocation.
#![allow(clippy::unwrap_used, clippy::wrong_self_convention)]

#[path = "../support/counting.rs"]
mod counting;
#[path = "../support/crowd.rs"]
mod crowd;
#[cfg(feature = "dtls")]
mod dtls;
mod forged;
mod tls;
#[path = "../support/tls.rs"]
mod tls_client;
#[path = "../support/world.rs"]
mod world;

use counting::{Counting, allocations_in, heap};
use crowd::{Crowd, channel_data, send};
use std::net::SocketAddr;
use std::time::Duration;
use turnstone::metrics::Dropped;
use turnstone::turn::{Discovery, REPLY_BYTES_MAX, Verdict};
use turnstone::wire::stun::{AttributeType, Class, Method, TransactionId};
use world::{Client, Options, UDP, World};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PACKETS: u64 = 1000;
const PAYLOAD: [u8; 160] = [7; 160];

#[test] // DESIGN section 8: 0 over UDP
fn relaying_a_packet_takes_nothing_from_the_heap() {
    let mut crowd = Crowd::of(20);
    let permitted: SocketAddr = "9.9.8.8:6000".parse().unwrap();
    crowd.permit(permitted);
    let member = &crowd.members[0];
    let (address, relay, bound) = (member.address, member.relay, member.bound);
    let up = [("ChannelData", channel_data(&PAYLOAD)), ("Send", send(&mut crowd.world, permitted, &PAYLOAD))];
    let mut reply = [0; REPLY_BYTES_MAX];
    let (mut server, now) = (crowd.world.server, crowd.world.now);
    for (name, datagram) in up {
        let taken = allocations_in(|| {
            for _ in 0..PACKETS {
                let verdict = server.on_client_datagram(now, &address, &datagram, &mut reply);
                assert!(
                    matches!(&verdict, Verdict::ToPeer { payload, .. } if payload.len() == PAYLOAD.len())
                );
            }
        });
        println!("{name} to a peer: {taken} heap allocations in {PACKETS} packets");
        assert_eq!(taken, 0);
    }
    for (name, peer) in [("ChannelData", bound), ("Data indication", permitted)] {
        let taken = allocations_in(|| {
            for _ in 0..PACKETS {
                let verdict = server.on_peer_datagram(now, relay, peer, PAYLOAD.len());
                assert!(matches!(verdict, Verdict::ToClient { .. }));
            }
        });
        println!("peer to {name}: {taken} heap allocations in {PACKETS} packets");
        assert_eq!(taken, 0);
    }
}

#[test]
fn answering_a_stranger_takes_nothing_from_the_heap() {
    let World { mut server, now, .. } = World::seeded(1);
    let client = Client::new(1, "nobody");
    let id = TransactionId([3; 12]);
    let binding = client.bare(id, Class::Request, Method::BINDING, &[]);
    let attributes: [(AttributeType, &[u8]); 1] = [(AttributeType::REQUESTED_TRANSPORT, UDP)];
    let allocate = client.bare(id, Class::Request, Method::ALLOCATE, &attributes);
    let mut reply = [0; REPLY_BYTES_MAX];
    for (name, request) in [("a Binding", binding), ("a challenge", allocate)] {
        let taken = allocations_in(|| {
            for _ in 0..PACKETS {
                let verdict = server.on_client_datagram(now, &client.address, &request, &mut reply);
                assert!(matches!(verdict, Verdict::Reply { .. }));
            }
        });
        println!("{name}: {taken} heap allocations in {PACKETS} requests");
        assert_eq!(taken, 0);
    }
}

#[test] // RFC 5780
fn answering_from_another_door_takes_nothing_from_the_heap() {
    let ips = ["192.0.2.4", "192.0.2.5"].map(|ip| ip.parse().unwrap());
    let mut options = Options::default();
    let ports = [3478, 3479];
    options.settings.discovery = vec![Discovery { doors: [0, 1, 2, 3], bound: ips, external: ips, ports }];
    let World { mut server, now, .. } = World::with(1, options);
    let client = Client::new(1, "nobody");
    let attributes: [(AttributeType, &[u8]); 2] =
        [(AttributeType::CHANGE_REQUEST, &[0, 0, 0, 6]), (AttributeType::PADDING, &[0; 1500])];
    let request = client.bare(TransactionId([3; 12]), Class::Request, Method::BINDING, &attributes);
    let mut reply = [0; REPLY_BYTES_MAX];
    let taken = allocations_in(|| {
        for _ in 0..PACKETS {
            let verdict = server.on_client_datagram(now, &client.address, &request, &mut reply);
            assert!(matches!(verdict, Verdict::ReplyVia(told) if told.client.door == 3));
        }
    });
    println!("a changed Binding: {taken} heap allocations in {PACKETS} requests");
    assert_eq!(taken, 0);
}

#[test] // DESIGN section 8: at most 3 KB; the rest of an allocation's memory is the driver's
fn an_allocation_takes_less_than_three_kibibytes() {
    const ALLOCATIONS: usize = 10_000;
    let empty = heap().live_bytes;
    let world = crowd::roomy_world();
    let alone = heap().live_bytes - empty;
    drop(world);

    let before = heap().live_bytes;
    let crowd = Crowd::of(ALLOCATIONS);
    let all = heap().live_bytes - before;
    let ours = size_of_val(&crowd.members[0]) * crowd.members.capacity()
        + size_of_val(&crowd.world.sockets[0]) * crowd.world.sockets.capacity();
    assert_eq!((crowd.world.server.allocations(), crowd.world.effects.len()), (ALLOCATIONS, 0));
    let each = (all - alone - ours as i64) as usize / ALLOCATIONS;
    println!("{each} bytes per allocation with one permission and one channel ({alone} bytes without any)");
    assert!(each <= 3 * 1024, "{each}");
}

#[test] // DESIGN promise 3: nothing grows with unauthenticated sources
fn a_million_forged_sources_keep_less_than_a_mebibyte() {
    const SOURCES: u32 = 1_000_000;
    let before = heap().live_bytes;
    let World { mut server, mut now, ledger, .. } = World::seeded(1);
    let fresh = heap().live_bytes - before;
    let mut reply = [0; REPLY_BYTES_MAX];
    let (mut answered, mut refused) = (0u32, 0u32);
    for n in 0..SOURCES {
        now.at = now.at.after(Duration::from_micros(15));
        let from = forged::source(n);
        let kind = forged::Kind::of(n);
        let mut request = forged::request(n, kind, None);
        let mut verdict = server.on_client_datagram(now, &from, &request, &mut reply);
        if let (forged::Kind::AnswersTheChallenge, Verdict::Reply { length }) = (kind, &verdict) {
            let nonce = forged::nonce_of(&reply[..*length]);
            request = forged::request(n, kind, Some(&nonce));
            verdict = server.on_client_datagram(now, &from, &request, &mut reply);
        }
        match verdict {
            Verdict::Reply { .. } => answered += 1,
            Verdict::Dropped(reason) => {
                assert_eq!(reason, Dropped::ReplyBudget);
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    let kept = heap().live_bytes - before;
    println!("{answered} answered, {refused} beyond the budget; {fresh} bytes before, {kept} after");
    assert!(answered > SOURCES / 2 && refused > 0);
    assert_eq!(kept, fresh, "nothing grew");
    assert!(kept < 1 << 20, "{kept}");
    assert_eq!((server.allocations(), server.next_effect(), ledger.allocations()), (0, None, 0));
}
