//! Relays that are each other's peers (security R6): what goes in once comes out once.

use crate::client::{Client, Payload, USERS};
use crate::daemon::Daemon;
use crate::flood::datagram;
use crate::poll::{self, PATIENCE};
use crate::skip::skip;
use crate::space::{Space, at, missing};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

/// How long the counters must stand still after the last packet.
const WATCHED: Duration = Duration::from_secs(3);

#[test]
fn relays_bound_to_each_other_and_to_themselves_multiply_nothing() {
    if let Some(why) = missing() {
        return skip("loops::relays_bound_to_each_other_and_to_themselves_multiply_nothing", why);
    }
    let (one, two, clients) = (Space::new(), Space::new(), Space::new());
    one.join(&clients, "one");
    two.join(&clients, "two");
    for (space, link, net) in [(&one, "one", 1), (&two, "two", 2)] {
        space.addresses(link, &[&format!("44.{net}.0.1/24")]);
        clients.addresses(link, &[&format!("44.{net}.0.2/24")]);
        space.ip(&format!("route add default via 44.{net}.0.2"));
    }
    clients.nft(
        "add table inet watch {
            counter between {}
            chain through { type filter hook forward priority 0; meta l4proto udp counter name between; }
        }",
    );
    let first = Daemon::start(&one, &["44.1.0.1"], "");
    let second = Daemon::start(&two, &["44.2.0.1"], "");
    let mut alice = Client::new(clients.udp(at("44.1.0.2:0")), at("44.1.0.1:3478"), USERS[0]);
    let mut bob = Client::new(clients.udp(at("44.2.0.2:0")), at("44.2.0.1:3478"), USERS[1]);
    let (relay_one, relay_two) = (alice.allocate(&[])[0], bob.allocate(&[])[0]);
    assert_eq!((alice.bind(0x4000, relay_two), bob.bind(0x4000, relay_one)), (0, 0));
    // Its own relayed address is a live relay port, hence a peer as any other.
    assert_eq!(alice.bind(0x4001, relay_one), 0);

    // A header of the other's channel inside, which nobody may unwrap a second time.
    let nested = crate::stun::channel_data(0x4000, b"once");
    alice.send_channel(0x4000, &nested);
    assert_eq!(bob.receive(PATIENCE), Some(Payload::Channel(0x4000, nested.clone())));
    alice.send_channel(0x4001, &nested);
    assert_eq!(alice.receive(PATIENCE), Some(Payload::Channel(0x4001, nested.clone())));
    // And one from nobody: forged, as if from the other relay.
    forge(&clients, relay_two, relay_one, &nested);
    assert_eq!(alice.receive(PATIENCE), Some(Payload::Channel(0x4000, nested)));

    let expected = Counts { first: [2, 2], second: [0, 1], between: 1 };
    let count = || Counts {
        first: ["from_client", "from_peer"].map(|way| first.metric(PACKETS, way)),
        second: ["from_client", "from_peer"].map(|way| second.metric(PACKETS, way)),
        between: clients.counted("between"),
    };
    first.await_metric(PACKETS, "", |n| n >= 4);
    second.await_metric(PACKETS, "", |n| n >= 1);
    assert_eq!(count(), expected);
    let changed = poll::until(WATCHED, || count() != expected);
    assert!(!changed, "packets go on by themselves: {:?}", count());
    assert_eq!(alice.receive(Duration::from_millis(1)), None);
    assert_eq!(bob.receive(Duration::from_millis(1)), None);
}

const PACKETS: &str = "turnstone_relay_packets_total";

/// Relayed packets of both daemons, from clients and from peers, and what went between the two.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    first: [u64; 2],
    second: [u64; 2],
    between: u64,
}

fn forge(space: &Space, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
    let (SocketAddr::V4(from), SocketAddr::V4(to)): (SocketAddr, SocketAddr) = (from, to) else {
        panic!("both relays are IPv4")
    };
    let packet = datagram(from, to, payload);
    let socket = space.enter(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))));
    let socket = socket.expect("root may forge in its own namespace");
    socket.send_to(&packet, &SockAddr::from(SocketAddrV4::new(*to.ip(), 0))).expect("there is a route");
}
