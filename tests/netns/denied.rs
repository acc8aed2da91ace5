//! Denied peers (security R1 to R6, R12): every verb, every encoding, every denied address, while
//! services wait there and a rule of the kernel counts what leaves.

use crate::client::{Client, Payload, USERS};
use crate::daemon::Daemon;
use crate::poll;
use crate::skip::skip;
use crate::space::{Space, at, ip, missing};
use crate::stun::{Attribute, attribute};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Denied whatever the config says: zero, metadata services, multicast, broadcast.
const ALWAYS_V4: [&str; 9] = [
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "224.0.0.251",
    "239.1.1.1",
    "255.255.255.255",
];
/// The same, with tunnels.
const ALWAYS_V6: [&str; 9] = [
    "::",
    "fd00:ec2::254",
    "fd20:ce::254",
    "ff02::fb",
    "ff02::1",
    "ff05::2",
    "2001::1",
    "2001:0:53aa:64c::1",
    "2002:808:808::1",
];
/// This host, by addresses that are no relay addresses.
const OWN_V4: [&str; 6] =
    ["127.0.0.1", "127.0.0.2", "127.255.255.254", "44.0.0.9", "10.0.0.1", "169.254.1.1"];
const OWN_V6: [&str; 4] = ["::1", "2a00:44::9", "fd00::1", "fe80::77"];
/// Others in private and special networks.
const RECOMMENDED_V4: [&str; 12] = [
    "10.0.0.5",
    "10.0.0.255",
    "192.168.77.5",
    "172.16.9.9",
    "100.64.0.9",
    "169.254.7.7",
    "192.0.0.8",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "192.88.99.1",
    "240.0.0.1",
];
const RECOMMENDED_V6: [&str; 9] = [
    "fd00::5",
    "fe80::5",
    "fc00::1",
    "fec0::1",
    "64:ff9b:1::a00:5",
    "100::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
];

/// A privileged service, the daemon's listener and admin ports, two more.
const PORTS: [u16; 5] = [53, 3478, 9640, 5353, 5000];

const FORBIDDEN: u16 = 403;
const FAMILY_MISMATCH: u16 = 443;

#[test]
fn no_verb_and_no_encoding_reaches_a_denied_peer() {
    if let Some(why) = missing() {
        return skip("denied::no_verb_and_no_encoding_reaches_a_denied_peer", why);
    }
    let site = Site::new(&[]);
    let _daemon = site.daemon("");
    let denied = targets(&[&ALWAYS_V4, &OWN_V4, &RECOMMENDED_V4], &[&ALWAYS_V6, &OWN_V6, &RECOMMENDED_V6]);
    for mut attacker in site.attackers() {
        attacker.is_refused(&denied);
        attacker.is_refused_by_port(&own_relay_addresses(), &PORTS);
        attacker.cannot_broadcast("44.0.0.255");
        attacker.reaches_its_peers();
    }
    site.expect_silence();
}

#[test] // DESIGN promise 4, rule 1: no `allow` opens these
fn allowing_everything_opens_neither_metadata_nor_own_endpoints() {
    if let Some(why) = missing() {
        return skip("denied::allowing_everything_opens_neither_metadata_nor_own_endpoints", why);
    }
    let opened =
        ["10.0.0.5", "127.0.0.1", "fd00::5", "::1"].map(|ip_text| SocketAddr::new(ip(ip_text), 5000));
    let site = Site::new(&opened);
    let _daemon = site.daemon("[relay.peers]\ndeny = [\"none\"]\nallow = [\"0.0.0.0/0\", \"::/0\"]");
    let denied = targets(&[&ALWAYS_V4], &[&ALWAYS_V6]);
    // A port is no part of a permission, so the address is open and the endpoint is not.
    let own = targets(&[&OWN_V4], &[&OWN_V6]).into_iter().filter(|ip| !is_tunnel(*ip));
    let own: Vec<IpAddr> = own.chain(own_relay_addresses()).collect();
    let attackers = site.attackers();
    assert!(!attackers.is_empty());
    for mut attacker in attackers {
        attacker.is_refused(&denied);
        attacker.is_refused_by_port(&own, &[3478]);
        attacker.is_refused_by_port(&[ip("127.0.0.1"), ip("::ffff:127.0.0.1")], &[9640]);
        attacker.cannot_broadcast("44.0.0.255");
        attacker.cannot_broadcast("10.0.0.255");
        attacker.reaches_its_peers();
        for peer in opened {
            attacker.reaches(peer, &site.services);
        }
    }
    assert_eq!(site.leaked(), 0, "{}", site.leaks());
}

#[test]
fn without_the_recommended_set_private_peers_are_reached_but_not_this_host() {
    if let Some(why) = missing() {
        return skip("denied::without_the_recommended_set_private_peers_are_reached_but_not_this_host", why);
    }
    let opened = ["10.0.0.5", "fd00::5"].map(|text| SocketAddr::new(ip(text), 5000));
    let site = Site::new(&opened);
    let _daemon = site.daemon("[relay.peers]\ndeny = [\"none\"]\nallow = [\"10.0.0.5\"]");
    let denied = targets(&[&ALWAYS_V4, &OWN_V4], &[&ALWAYS_V6, &OWN_V6]);
    for mut attacker in site.attackers() {
        attacker.is_refused(&denied);
        attacker.is_refused_by_port(&own_relay_addresses(), &PORTS);
        attacker.reaches_its_peers();
        for peer in opened {
            attacker.reaches(peer, &site.services);
        }
    }
    assert_eq!(site.leaked(), 0, "{}", site.leaks());
}

#[test] // security R5: the way in is a path too
fn a_denied_peer_that_knows_the_relay_port_reaches_no_client() {
    if let Some(why) = missing() {
        return skip("denied::a_denied_peer_that_knows_the_relay_port_reaches_no_client", why);
    }
    let site = Site::new(&[]);
    let daemon = site.daemon("");
    let mut client = Client::new(site.client.udp(at("44.0.0.2:0")), at("44.0.0.1:3478"), USERS[0]);
    let relayed = client.allocate(&[])[0];
    let peer = site.client.udp(at("44.0.0.3:0"));
    assert_eq!(client.permit(&[peer.local_addr().expect("bound")]), 0);
    for from in ["10.0.0.5:0", "192.168.77.5:0", "169.254.169.254:0"] {
        site.lan.udp(at(from)).send_to(b"inwards", relayed).expect("the server is on the link");
    }
    for from in ["127.0.0.1:0", "10.0.0.1:0", "44.0.0.9:0"] {
        site.server.udp(at(from)).send_to(b"inwards", relayed).expect("the server is this host");
    }
    peer.send_to(b"control", relayed).expect("the server is on the link");
    let control = Payload::Data(peer.local_addr().expect("bound"), b"control".to_vec());
    assert_eq!(client.receive(poll::PATIENCE), Some(control), "and nothing before it");
    assert_eq!(daemon.await_metric("turnstone_relay_packets_total", "from_peer", |n| n > 0), 1);
}

/// A server between the clients' network and a private one.
struct Site {
    server: Space,
    client: Space,
    lan: Space,
    services: Vec<UdpSocket>,
    peers: Vec<UdpSocket>,
}

impl Site {
    /// `opened`: peers besides the usual ones that datagrams may leave for.
    fn new(opened: &[SocketAddr]) -> Self {
        let (server, client, lan) = (Space::new(), Space::new(), Space::new());
        server.join(&client, "wan");
        server.join(&lan, "lan");
        server.addresses("wan", &["44.0.0.1/24", "44.0.0.9/24", "2a00:44::1/64", "2a00:44::9/64"]);
        client.addresses("wan", &["44.0.0.2/24", "44.0.0.3/24", "2a00:44::2/64", "2a00:44::3/64"]);
        let own = ["10.0.0.1/24", "192.168.77.1/24", "169.254.1.1/16"];
        server.addresses("lan", &own);
        server.addresses("lan", &["fd00::1/64", "fd00:ec2::1/64", "fe80::77/64"]);
        lan.addresses("lan", &["10.0.0.5/24", "192.168.77.5/24", "169.254.169.254/16"]);
        lan.addresses("lan", &["fd00::5/64", "fd00:ec2::254/64", "fe80::5/64"]);
        // Whatever has no route of its own would leave towards the clients, and be counted.
        server.ip("route add default via 44.0.0.2");
        server.ip("-6 route add default via 2a00:44::2");
        lan.ip("route add default via 10.0.0.1");
        watch(&server, opened);
        let services = [services(&server), services(&lan)].into_iter().flatten().collect();
        let peers = [at("44.0.0.3:5000"), at("[2a00:44::3]:5000")].map(|peer| client.udp(peer)).into();
        Self { server, client, lan, services, peers }
    }

    fn daemon(&self, more: &str) -> Daemon<'_> {
        Daemon::start(&self.server, &["44.0.0.1", "2a00:44::1"], more)
    }

    /// One with an IPv4 allocation, one with an IPv6 one through the IPv6 door, one with both.
    fn attackers(&self) -> Vec<Attacker<'_>> {
        let v6 = (attribute::REQUESTED_ADDRESS_FAMILY, vec![2, 0, 0, 0]);
        let both = (attribute::ADDITIONAL_ADDRESS_FAMILY, vec![2, 0, 0, 0]);
        vec![
            self.attacker("44.0.0.2:0", "44.0.0.1:3478", &[], [true, false]),
            self.attacker("[2a00:44::2]:0", "[2a00:44::1]:3478", &[v6], [false, true]),
            self.attacker("44.0.0.2:0", "44.0.0.1:3478", &[both], [true, true]),
        ]
    }

    fn attacker(&self, from: &str, to: &str, more: &[Attribute], families: [bool; 2]) -> Attacker<'_> {
        let mut client = Client::new(self.client.udp(at(from)), at(to), USERS[0]);
        assert_eq!(client.allocate(more).len(), families.iter().filter(|has| **has).count());
        Attacker { client, families, peers: &self.peers, next_channel: 0x4000 }
    }

    /// Datagrams that left the server for anyone but clients, their peers and what was opened.
    fn leaked(&self) -> u64 {
        self.server.counted("leaked")
    }

    fn leaks(&self) -> String {
        self.server.nft("list table inet watch")
    }

    fn expect_silence(&self) {
        assert_eq!(self.leaked(), 0, "{}", self.leaks());
        for service in &self.services {
            let address = service.local_addr();
            assert!(try_receive(service).is_none(), "a service at {address:?} got a datagram");
        }
    }
}

/// Counts datagrams by destination on their way out of `server`, loopback included.
fn watch(server: &Space, opened: &[SocketAddr]) {
    let mut rules = String::new();
    let peers = [at("44.0.0.3:5000"), at("[2a00:44::3]:5000")];
    for peer in peers.iter().chain(opened) {
        let family = if peer.is_ipv4() { "ip" } else { "ip6" };
        rules += &format!("{family} daddr {} udp dport {} accept\n", peer.ip(), peer.port());
    }
    server.nft(&format!(
        "add table inet watch {{
            counter leaked {{}}
            set leaked4 {{ typeof ip daddr . udp dport; flags dynamic; size 4096; }}
            set leaked6 {{ typeof ip6 daddr . udp dport; flags dynamic; size 4096; }}
            chain out {{
                type filter hook output priority 0;
                meta l4proto != udp accept
                ip daddr 44.0.0.2 accept
                ip6 daddr 2a00:44::2 accept
                {rules}
                counter name leaked
                add @leaked4 {{ ip daddr . udp dport }}
                add @leaked6 {{ ip6 daddr . udp dport }}
            }}
        }}"
    ));
}

/// Listeners on every address of `space`, multicast groups included; not where the daemon listens.
fn services(space: &Space) -> Vec<UdpSocket> {
    let open = |port: u16| {
        let v4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).expect("a fresh namespace");
        let v6 = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).expect("a fresh namespace");
        let group = Ipv4Addr::new(224, 0, 0, 251);
        let interface = if_index("lan");
        let local = Ipv4Addr::from(*b"\x0a\x00\x00\x01");
        let local = if UdpSocket::bind((local, 0)).is_ok() { local } else { Ipv4Addr::new(10, 0, 0, 5) };
        v4.join_multicast_v4(&group, &local).expect("the cable carries multicast");
        v6.join_multicast_v6(&"ff02::fb".parse().expect("literal"), interface).expect("the same");
        [v4, v6]
    };
    space.enter(|| {
        std::fs::write("/proc/sys/net/ipv6/bindv6only", "1").expect("root sets its own namespace");
        PORTS.into_iter().filter(|port| *port != 3478).flat_map(open).collect()
    })
}

fn if_index(name: &str) -> u32 {
    // /sys shows the namespace of its mount, /proc/net that of the reader.
    let text = std::fs::read_to_string("/proc/thread-self/net/if_inet6").expect("IPv6 is on");
    let line = text.lines().find(|line| line.ends_with(&format!(" {name}"))).expect("the cable is in");
    let index = line.split_whitespace().nth(1).expect("address, index, ...");
    u32::from_str_radix(index, 16).expect("hexadecimal")
}

/// A client with an allocation, and with permissions and channels for its own peers.
struct Attacker<'a> {
    client: Client,
    /// Whether it has a relayed IPv4, IPv6 address.
    families: [bool; 2],
    peers: &'a [UdpSocket],
    next_channel: u16,
}

impl Attacker<'_> {
    /// Tries all verbs on all of `denied`, before and after it has a permitted peer.
    fn is_refused(&mut self, denied: &[IpAddr]) {
        self.reaches_its_peers();
        for denied in denied {
            let expected = if self.has_family_of(*denied) { FORBIDDEN } else { FAMILY_MISMATCH };
            assert_eq!(self.client.permit(&[SocketAddr::new(*denied, 0)]), expected, "permit {denied}");
            // security R12: one denied peer keeps a good one from being permitted.
            let pair = [self.unpermitted_peer(), SocketAddr::new(*denied, 0)];
            assert_eq!(self.client.permit(&pair), expected, "permit a pair with {denied}");
            for port in PORTS {
                self.is_refused_at(SocketAddr::new(*denied, port), expected);
            }
        }
        self.client.send(self.unpermitted_peer(), b"the pair was not permitted");
    }

    /// Tries the same where only the port can tell.
    fn is_refused_by_port(&mut self, own: &[IpAddr], ports: &[u16]) {
        let families = self.families;
        for own in own.iter().filter(|ip| families[usize::from(ip.is_ipv6())]) {
            assert_eq!(self.client.permit(&[SocketAddr::new(*own, 0)]), 0, "permit {own}");
            for port in ports {
                self.is_refused_at(SocketAddr::new(*own, *port), FORBIDDEN);
            }
        }
    }

    fn is_refused_at(&mut self, denied: SocketAddr, expected: u16) {
        let channel = self.fresh_channel();
        self.client.send(denied, b"by indication");
        assert_eq!(self.client.bind(channel, denied), expected, "bind {denied}");
        self.client.send(denied, b"by indication");
        self.client.send_channel(channel, b"by channel");
    }

    /// The policy knows no netmask: a directed broadcast ends at the kernel, which asks for a socket
    /// option that relay sockets never have.
    fn cannot_broadcast(&mut self, to: &str) {
        if self.families[0] {
            let to = SocketAddr::new(ip(to), 5000);
            assert_eq!(self.client.permit(&[to]), 0, "permit {to}");
            self.client.send(to, b"to all");
        }
    }

    /// Sends to its own peers both ways: proof that the harness sees what is relayed, and that all
    /// that was sent before has been dealt with.
    fn reaches_its_peers(&mut self) {
        for socket in self.peers {
            let peer = socket.local_addr().expect("bound");
            self.reaches(peer, self.peers);
        }
    }

    fn reaches(&mut self, peer: SocketAddr, sockets: &[UdpSocket]) {
        if !self.has_family_of(peer.ip()) {
            return;
        }
        let channel = self.fresh_channel();
        assert_eq!(self.client.permit(&[peer]), 0, "permit {peer}");
        self.client.send(peer, b"indication to a good peer");
        await_datagram(sockets, b"indication to a good peer");
        match self.client.bind(channel, peer) {
            0 => {
                self.client.send_channel(channel, b"channel to a good peer");
                await_datagram(sockets, b"channel to a good peer");
            }
            // Bound under another number by an earlier look.
            code => assert_eq!(code, 400, "bind {peer}"),
        }
    }

    fn unpermitted_peer(&self) -> SocketAddr {
        if self.families[0] { at("44.0.0.4:5000") } else { at("[2a00:44::4]:5000") }
    }

    fn has_family_of(&self, ip: IpAddr) -> bool {
        self.families[usize::from(ip.is_ipv6())]
    }

    fn fresh_channel(&mut self) -> u16 {
        let number = self.next_channel;
        self.next_channel = if number == 0x4fff { 0x4000 } else { number + 1 };
        number
    }
}

/// Waits until one of `sockets` has `payload`; all else that came is thrown away.
fn await_datagram(sockets: &[UdpSocket], payload: &[u8]) {
    let mut is_there = |socket| try_receive(socket).is_some_and(|got| got == payload);
    let came = poll::until(poll::PATIENCE, || sockets.iter().any(&mut is_there));
    assert!(came, "{:?} reached none of {sockets:?}", String::from_utf8_lossy(payload));
}

fn try_receive(socket: &UdpSocket) -> Option<Vec<u8>> {
    socket.set_nonblocking(true).expect("a socket");
    let mut buffer = [0; 2048];
    socket.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec())
}

/// Permitted by address, since clients behind the same relay call each other there.
fn own_relay_addresses() -> [IpAddr; 2] {
    [ip("44.0.0.1"), ip("2a00:44::1")]
}

/// All of them, the IPv4 ones in every encoding.
fn targets(v4: &[&[&str]], v6: &[&[&str]]) -> Vec<IpAddr> {
    let v4 = v4.iter().flat_map(|list| list.iter());
    let v4 = v4.flat_map(|text| encodings(text.parse().expect("literal")));
    v4.chain(v6.iter().flat_map(|list| list.iter()).map(|text| ip(text))).collect()
}

/// Plain, IPv4-mapped, IPv4-compatible, 6to4, NAT64 and IPv4-translated.
fn encodings(v4: Ipv4Addr) -> [IpAddr; 6] {
    let bits = u128::from(v4.to_bits());
    let v6 = |prefix: u128| IpAddr::V6(Ipv6Addr::from_bits(prefix | bits));
    [
        v4.into(),
        v6(0xffff << 32),
        v6(0),
        Ipv6Addr::from_bits(0x2002 << 112 | bits << 80).into(),
        v6(0x0064_ff9b << 96),
        v6(0xffff_0000 << 32),
    ]
}

fn is_tunnel(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.segments()[0] == 0x2002)
}
