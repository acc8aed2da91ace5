//! Forged sources (security U3, U4): a flood of requests from addresses that are not the sender's.

use crate::client::{Client, USERS, fresh_id};
use crate::daemon::Daemon;
use crate::poll;
use crate::skip::skip;
use crate::space::{Space, at, missing};
use crate::stun::{self, attribute};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Range;
use std::time::{Duration, Instant};

const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(44, 0, 0, 1), 3478);
const WARM_UP: u32 = 5_000;
const FLOOD: u32 = 50_000;
const FROM_ONE: u32 = 20_000;
/// Datagrams between two looks at what the daemon has taken, well below a listener's buffer; divides
/// the figures above.
const BATCH: u32 = 500;
/// `limits.unauthenticated_replies`: burst and rate for one source.
const BURST: u64 = 5_000;
const PER_S: u64 = 500;

#[test]
fn a_flood_of_forged_sources_costs_no_memory_and_starves_no_client() {
    if let Some(why) = missing() {
        return skip("flood::a_flood_of_forged_sources_costs_no_memory_and_starves_no_client", why);
    }
    let (server, attacker, client) = (Space::new(), Space::new(), Space::new());
    server.join(&attacker, "wan");
    server.join(&client, "lan");
    server.addresses("wan", &["44.0.0.1/24"]);
    attacker.addresses("wan", &["44.0.0.2/24"]);
    server.addresses("lan", &["44.9.0.1/24"]);
    client.addresses("lan", &["44.9.0.2/24"]);
    server.ip("route add 45.0.0.0/8 via 44.0.0.2");
    client.ip("route add default via 44.9.0.1");
    attacker.nft(
        "add table inet watch {
            counter replies {}
            chain in {
                type filter hook prerouting priority -300;
                udp sport 3478 counter name replies drop
            }
        }",
    );
    let daemon = Daemon::start(&server, &["44.0.0.1"], "");
    let flood = Flood::new(&attacker, &daemon);
    flood.send(0..WARM_UP, distinct, || 0);
    let resident_kib = daemon.resident_kib();

    let (heard_before, mut own_requests) = (flood.heard(), 0);
    flood.send(WARM_UP..WARM_UP + FLOOD, distinct, || {
        // With a batch of forgeries in front of it.
        let mut user = Client::new(client.udp(at("44.9.0.2:0")), SERVER.into(), USERS[0]);
        user.allocate(&[]);
        assert_eq!(user.refresh(0), 0);
        let requests = 3 + u64::from(user.retransmissions);
        own_requests += requests;
        requests
    });
    assert!(own_requests >= u64::from(3 * FLOOD / BATCH), "a session in each batch");
    let forged = flood.heard() - heard_before - own_requests;
    assert!(forged > u64::from(FLOOD) * 9 / 10, "only {forged} of the flood were heard");
    let grown_kib = daemon.resident_kib().saturating_sub(resident_kib);
    assert!(grown_kib < 1024, "{FLOOD} forged requests took {grown_kib} KiB");
    assert_eq!(daemon.await_metric("turnstone_allocations", "", |n| n == 0), 0);

    // One victim, who would get all the replies.
    let (before, started) = (attacker.counted("replies"), Instant::now());
    assert!(before > 0, "distinct sources are answered");
    flood.send(0..FROM_ONE, |_| Ipv4Addr::new(45, 255, 0, 1), || 0);
    let replies = attacker.counted("replies") - before;
    let budget = BURST + PER_S * (started.elapsed().as_secs() + 1);
    assert!(replies > 0 && replies <= budget, "{replies} replies to one address, {budget} allowed");
    assert!(budget < u64::from(FROM_ONE), "too slow a machine to say anything");
}

fn distinct(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(45 << 24 | number)
}

/// A raw socket that writes its own IP headers.
struct Flood<'a> {
    socket: Socket,
    daemon: &'a Daemon<'a>,
}

impl<'a> Flood<'a> {
    fn new(attacker: &Space, daemon: &'a Daemon<'a>) -> Self {
        // IPPROTO_RAW: the header is the sender's.
        let open = || Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255)));
        Self { socket: attacker.enter(open).expect("root may forge in its own namespace"), daemon }
    }

    /// An Allocate for each number from the source that `source` gives it. `meanwhile` runs behind each
    /// batch, before it is dealt with, and returns how many requests it made.
    fn send(
        &self,
        numbers: Range<u32>,
        source: impl Fn(u32) -> Ipv4Addr,
        mut meanwhile: impl FnMut() -> u64,
    ) {
        let server = SockAddr::from(SERVER);
        for start in numbers.clone().step_by(BATCH as usize) {
            let expected = self.heard() + u64::from(BATCH);
            for number in start..start + BATCH {
                let from = SocketAddrV4::new(source(number), 1024 + (number % 60_000) as u16);
                let packet = datagram(from, SERVER, &allocate(number));
                self.socket.send_to(&packet, &server).expect("the cable is up");
            }
            self.await_heard(expected + meanwhile());
        }
    }

    /// Waits until the daemon has taken so many, but not for those that the network lost.
    fn await_heard(&self, expected: u64) {
        poll::until(Duration::from_millis(200), || self.heard() >= expected);
    }

    fn heard(&self) -> u64 {
        self.daemon.metric("turnstone_stun_requests_total", "")
    }
}

/// An Allocate: by turns a bare one, and one with a made-up nonce and integrity.
fn allocate(number: u32) -> Vec<u8> {
    let mut attributes = vec![(attribute::REQUESTED_TRANSPORT, vec![17, 0, 0, 0])];
    if number.is_multiple_of(2) {
        return stun::message(stun::ALLOCATE, fresh_id(), &attributes);
    }
    let user = format!("forged-{number}");
    attributes.push((attribute::USERNAME, user.clone().into_bytes()));
    attributes.push((attribute::REALM, b"turn".to_vec()));
    attributes.push((attribute::NONCE, b"0123456789abcdef".to_vec()));
    let mut bytes = stun::message(stun::ALLOCATE, fresh_id(), &attributes);
    stun::sign(&mut bytes, &user, "turn", "guess");
    bytes
}

/// An IPv4 packet with a UDP datagram. The kernel fills in the header's checksum; a UDP checksum of
/// zero means none (RFC 768).
pub(crate) fn datagram(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let udp_bytes = 8 + payload.len() as u16;
    let mut packet = vec![0x45, 0];
    packet.extend((20 + udp_bytes).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    packet.extend(from.ip().octets());
    packet.extend(to.ip().octets());
    packet.extend(from.port().to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.extend(udp_bytes.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    packet
}
