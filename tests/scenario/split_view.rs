//! Security R5: the same peer is denied on every path, or one of them is the way around the others.
//!
//! The table is (path x denied address). A path without a row in [`passes`] does not compile, and a rule
//! without an address in [`DENIED`] fails.

use crate::tcp_relay::{connect, tcp_client, with_tcp};
use crate::world::*;
use std::net::SocketAddr;
use turnstone::metrics::DenyRule;
use turnstone::turn::{PeerPath, PeerRules};
use turnstone::wire::stun::AttributeType as A;

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Address,
    /// The address alone may be had, so that a permission for it is no way to the port.
    Port,
}

const DENIED: &[(&str, DenyRule, By)] = &[
    ("192.31.196.10:3478", DenyRule::OwnEndpoint, By::Port),
    ("[2620::10]:3478", DenyRule::OwnEndpoint, By::Port),
    ("169.254.169.254:8080", DenyRule::Metadata, By::Address),
    ("[::ffff:169.254.169.254]:8080", DenyRule::Metadata, By::Address),
    ("0.1.2.3:5000", DenyRule::Zero, By::Address),
    ("224.0.0.251:5353", DenyRule::Multicast, By::Address),
    ("[ff02::fb]:5353", DenyRule::Multicast, By::Address),
    ("255.255.255.255:5000", DenyRule::Broadcast, By::Address),
    ("[2002:808:808::1]:5000", DenyRule::Tunnel, By::Address),
    ("127.0.0.1:5000", DenyRule::OwnAddress, By::Address),
    ("192.31.196.10:40000", DenyRule::OwnAddress, By::Port),
    ("10.0.0.5:5000", DenyRule::Recommended, By::Address),
    ("[64:ff9b::10.0.0.5]:5000", DenyRule::Recommended, By::Address),
    ("[fe80::1]:5000", DenyRule::Recommended, By::Address),
    ("9.9.9.9:5000", DenyRule::Configured, By::Address),
    ("8.8.4.4:53", DenyRule::MinPort, By::Port),
];

fn rules() -> PeerRules {
    PeerRules { deny: vec!["9.9.9.0/24".parse().unwrap()], min_port: 1024, ..PeerRules::default() }
}

/// A client with both families that relays UDP, and one that relays TCP.
struct Pair {
    world: World,
    udp: Client,
    tcp: Client,
}

impl Pair {
    fn new(rules: PeerRules) -> Self {
        let mut options = with_tcp();
        options.rules = rules;
        let mut world = World::with(1, options);
        let both: Attributes<'_> = &[(A::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0])];
        let (mut udp, mut tcp) = (Client::new(1, "alice"), tcp_client(2, "bob"));
        udp.allocate_with(&mut world, both);
        assert_eq!(tcp.try_allocate_tcp(&mut world, both).code, 0);
        Self { world, udp, tcp }
    }

    /// Opens all there is to open for `peer`, as far as the policy lets it.
    fn prepare(&mut self, peer: SocketAddr) {
        self.udp.permit(&mut self.world, &[peer]);
        self.tcp.permit(&mut self.world, &[peer]);
        self.udp.bind(&mut self.world, 0x4000, peer);
    }
}

fn relayed(client: &Client, peer: SocketAddr) -> SocketAddr {
    if peer.is_ipv4() { client.relayed.unwrap() } else { client.relayed_v6.unwrap() }
}

fn passed(out: &[Out]) -> bool {
    matches!(out, [Out::ToPeer { .. } | Out::ToClient { .. }])
}

/// Whether the server lets something through on `path`, for a client that has tried all it can before.
fn passes(pair: &mut Pair, path: PeerPath, peer: SocketAddr) -> bool {
    let Pair { world, udp, tcp } = pair;
    match path {
        PeerPath::CreatePermission => {
            let codes = [udp.permit(world, &[peer]).code, tcp.permit(world, &[peer]).code];
            assert!([[0, 0], [403, 403]].contains(&codes), "{codes:?}");
            codes == [0, 0]
        }
        PeerPath::ChannelBind => udp.bind(world, 0x4000, peer).code != 403,
        PeerPath::Send => passed(&udp.send(world, peer, b"x")),
        PeerPath::ChannelData => passed(&udp.channel_data(world, 0x4000, b"x")),
        PeerPath::InboundDatagram => passed(&world.from_peer(relayed(udp, peer), peer, b"x")),
        PeerPath::Connect => match &tcp.connect(world, peer)[..] {
            [Out::Connecting { .. }] => true,
            other => {
                assert_eq!(Answer::only(other).code, 403);
                false
            }
        },
        PeerPath::InboundConnection => world.connect_from_peer(relayed(tcp, peer), peer).is_some(),
    }
}

#[test]
fn security_r5_a_denied_peer_is_denied_on_every_path() {
    for rule in DenyRule::ALL {
        assert!(DENIED.iter().any(|(_, denied_by, _)| denied_by == rule), "no address for {rule:?}");
    }
    for path in PeerPath::ALL {
        for (text, rule, by) in DENIED {
            let peer = text.parse().unwrap();
            let mut pair = Pair::new(rules());
            pair.prepare(peer);
            let expected = *path == PeerPath::CreatePermission && *by == By::Port;
            assert_eq!(passes(&mut pair, *path, peer), expected, "{path:?} {text} {rule:?}");
        }
        for peer in [peer(1), peer_v6(1)] {
            let mut pair = Pair::new(rules());
            pair.prepare(peer);
            assert!(passes(&mut pair, *path, peer), "{path:?} {peer}, which is allowed");
        }
    }
}

#[test]
fn security_r5_a_peer_that_a_reload_denies_is_denied_on_every_path_at_once() {
    for path in PeerPath::ALL {
        for peer in [peer(1), peer_v6(1)] {
            let mut pair = Pair::new(PeerRules::default());
            pair.prepare(peer);
            connect(&mut pair.world, &pair.tcp, peer);
            let denied = PeerRules {
                deny: vec!["8.8.0.0/16".parse().unwrap(), "2606::/16".parse().unwrap()],
                ..PeerRules::default()
            };
            let settings = (*pair.world.settings).clone();
            pair.world.reload(settings, denied);
            assert!(pair.world.connections.is_empty(), "what stood is closed");
            assert!(!passes(&mut pair, *path, peer), "{path:?} {peer}");
        }
    }
}
