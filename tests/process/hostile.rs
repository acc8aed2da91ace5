//! Garbage from strangers: counted, never logged, never kept.

use crate::caller::{Caller, assert_relays, peer};
use crate::daemon::{Config, Daemon};
use crate::world::{self, UDP};
use std::net::UdpSocket;
use turnstone::base::Random;
use turnstone::wire::stun::{AttributeType, Class, Method, TransactionId};

const DATAGRAMS: u32 = 200_000;

#[test]
fn a_flood_of_broken_datagrams_leaves_the_daemon_healthy_empty_and_quiet() {
    let mut daemon = Daemon::start(&Config::default());
    let (mut caller, peer) = (Caller::new(daemon.server), peer());
    let relayed = caller.allocate();
    assert_eq!(caller.permit(peer.local_addr().unwrap()).code, 0);

    let seed = u64::from(std::process::id());
    let mut random = Random::seeded(seed);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let valid = valid_messages(&caller);
    let mut buffer = [0; 2048];
    for n in 0..DATAGRAMS {
        let datagram = broken(&mut random, &valid, n);
        // A full buffer or an ICMP error of ours is no matter of this test.
        let _sent = socket.send_to(&datagram, daemon.server);
        while socket.recv(&mut buffer).is_ok() {}
    }
    // The listener works off its queue in order: when it answers this, it has seen the rest.
    let mapped = caller.binding().mapped;
    assert_eq!(mapped, Some(caller.address()), "seed {seed}");
    assert!(daemon.is_running(), "seed {seed}");
    assert_eq!(daemon.get("/readyz").0, 200);
    assert_relays(&mut caller, relayed, &peer);
    assert_eq!(daemon.allocations(), 1.0, "only the one that was asked for properly, seed {seed}");
    assert_eq!(caller.refresh(0).code, 0);
    daemon.await_allocations(0);
    let metrics = daemon.metrics();
    let seen =
        metrics.sum("turnstone_dropped_packets_total{") + metrics.sum("turnstone_stun_requests_total{");
    let lost = metrics.get("turnstone_socket_receive_drops_total");
    assert!(seen + lost > f64::from(DATAGRAMS) * 0.5, "{seen} seen and {lost} lost, seed {seed}");
    assert!(seen > f64::from(DATAGRAMS) * 0.05, "{seen} seen and {lost} lost, seed {seed}");
    assert!(daemon.log().len() < 10, "{:#?}", daemon.log());
}

/// Messages that would mean something, were they whole and signed.
fn valid_messages(caller: &Caller) -> Vec<Vec<u8>> {
    let id = TransactionId([7; 12]);
    let peer = world::xor(caller.address(), id);
    let allocate: world::Attributes<'_> = &[(AttributeType::REQUESTED_TRANSPORT, UDP)];
    let mut all = vec![
        world::bare(id, Class::Request, Method::BINDING, &[]),
        world::bare(id, Class::Request, Method::ALLOCATE, allocate),
        world::bare(
            id,
            Class::Indication,
            Method::SEND,
            &[(AttributeType::XOR_PEER_ADDRESS, &peer), (AttributeType::DATA, b"payload")],
        ),
        vec![0x40, 0, 0, 4, 1, 2, 3, 4],
    ];
    let mut guessing = caller.known.clone();
    guessing.password = "wrong".into();
    for method in [Method::ALLOCATE, Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND] {
        all.push(guessing.request(id, method, allocate));
    }
    all
}

/// Random bytes, a message cut short, or one with a few bytes changed.
fn broken(random: &mut Random, valid: &[Vec<u8>], n: u32) -> Vec<u8> {
    let dice = random.next_u64();
    let mut message = valid[dice as usize % valid.len()].clone();
    match n % 3 {
        0 => {
            let mut bytes: Vec<u8> = (0..dice % 64).flat_map(|_| random.next_u64().to_le_bytes()).collect();
            bytes.truncate((dice >> 8) as usize % 512);
            bytes
        }
        1 => {
            message.truncate((dice >> 8) as usize % message.len());
            message
        }
        _ => {
            for _ in 0..1 + dice % 4 {
                let place = random.next_u64();
                let at = place as usize % message.len();
                message[at] ^= (place >> 32) as u8;
            }
            message
        }
    }
}
