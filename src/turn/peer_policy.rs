//! Which peers a client may reach: one policy, the same on every path.
//!
//! First match decides:
//! 1. own endpoints (listeners, admin, metrics, back ends), metadata services, zero, multicast,
//!    broadcast, Teredo and 6to4: denied always
//! 2. own relay address with a live relay port: allowed
//! 3. `allow`: allowed
//! 4. own address, any other port: denied
//! 5. `deny`, to which the recommended set belongs unless it contains "none": denied
//! 6. allowed
//!
//! A permission has no port, so the decision has two halves, address and port. [`PeerPolicy::admit`]
//! knows which of them each path to a peer asks.

use super::address::PeerProtocol;
use super::canonical::canonical;
use super::ledger::RelayAddress;
use super::peer_path::{Check, PeerPath};
use super::ports::LivePorts;
use crate::metrics::DenyRule;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// What the operator says about peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRules {
    /// The recommended set belongs to `deny`.
    pub recommended: bool,
    /// Denied besides.
    pub deny: Vec<IpNet>,
    /// Allowed although denied.
    pub allow: Vec<IpNet>,
    /// Lowest port of a peer, at least 1.
    pub min_port: u16,
}

impl Default for PeerRules {
    fn default() -> Self {
        Self { recommended: true, deny: Vec::new(), allow: Vec::new(), min_port: 1 }
    }
}

/// What belongs to this daemon and this host.
#[derive(Clone, Debug, Default)]
pub struct OwnAddresses {
    /// Relay addresses with their live ports.
    pub relays: Vec<(RelayAddress, Arc<LivePorts>)>,
    /// Every address of this host, internal and external.
    pub hosts: Vec<IpAddr>,
    /// Listeners and back ends; an unspecified address stands for every address of this host.
    pub endpoints: Vec<SocketAddr>,
}

/// The compiled policy.
#[derive(Clone, Debug)]
pub struct PeerPolicy {
    rules: PeerRules,
    recommended: Vec<IpNet>,
    own: OwnAddresses,
    /// Whether some relay address has another external one.
    translates: bool,
}

impl PeerPolicy {
    /// Puts rules and own addresses together.
    pub fn new(rules: PeerRules, own: OwnAddresses) -> Self {
        let recommended = if rules.recommended { recommended() } else { Vec::new() };
        let translates = own.relays.iter().any(|(relay, _)| relay.internal != relay.external);
        Self { rules, recommended, own, translates }
    }

    /// May this `peer` be reached on this path? Every path asks here, and nowhere else.
    ///
    /// # Errors
    /// The rule that denies it.
    pub fn admit(&self, path: PeerPath, peer: SocketAddr) -> Result<(), DenyRule> {
        match path.check() {
            Check::Address => self.check_address(peer.ip()),
            Check::Port => self.check_port(path.protocol(), peer),
            Check::Both => {
                self.check_address(peer.ip())?;
                self.check_port(path.protocol(), peer)
            }
        }
    }

    /// May a permission for `peer` be made, or stay? Its port is not known.
    ///
    /// # Errors
    /// The rule that denies it.
    pub(super) fn check_address(&self, peer: IpAddr) -> Result<(), DenyRule> {
        let ip = canonical(peer);
        always_denied(peer, ip)?;
        if self.relay(ip).is_some() || self.is_allowed(ip) {
            return Ok(());
        }
        if self.is_own(ip) {
            return Err(DenyRule::OwnAddress);
        }
        let matches = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&ip) || net.contains(&peer));
        if matches(&self.recommended) {
            return Err(DenyRule::Recommended);
        }
        if matches(&self.rules.deny) {
            return Err(DenyRule::Configured);
        }
        Ok(())
    }

    /// May this port of `peer` be reached, whose address is permitted?
    fn check_port(&self, protocol: PeerProtocol, peer: SocketAddr) -> Result<(), DenyRule> {
        let ip = canonical(peer.ip());
        if self.is_endpoint(ip, peer.port()) {
            return Err(DenyRule::OwnEndpoint);
        }
        if self.relay(ip).is_some() {
            if self.relays_at(ip).any(|live| live.contains(protocol, peer.port())) {
                return Ok(());
            }
            if !self.is_allowed(ip) {
                return Err(DenyRule::OwnAddress);
            }
        }
        if peer.port() < self.rules.min_port.max(1) { Err(DenyRule::MinPort) } else { Ok(()) }
    }

    /// May a channel or connection to `peer` stay? As when it was made, but for own relay addresses
    /// the port does not count: it comes and goes, and each datagram asks for it.
    ///
    /// # Errors
    /// The rule that denies it.
    pub(super) fn check_kept(&self, peer: SocketAddr) -> Result<(), DenyRule> {
        if self.has_moving_ports(peer.ip()) {
            return self.check_address(peer.ip());
        }
        self.admit(PeerPath::ChannelBind, peer)
    }

    /// Whether the verdict on a port of this address can change while a channel is bound.
    pub(super) fn has_moving_ports(&self, peer: IpAddr) -> bool {
        self.relay(canonical(peer)).is_some()
    }

    /// Where what is for `peer` really goes: to the internal address of an own relay behind 1:1
    /// NAT, since few NATs send an own external address back.
    pub(super) fn to_internal(&self, protocol: PeerProtocol, peer: SocketAddr) -> SocketAddr {
        self.translate(protocol, peer, |relay| (relay.external, relay.internal))
    }

    /// How a peer is known that sent from `from`: the other way round.
    pub(super) fn to_external(&self, protocol: PeerProtocol, from: SocketAddr) -> SocketAddr {
        self.translate(protocol, from, |relay| (relay.internal, relay.external))
    }

    fn translate(
        &self,
        protocol: PeerProtocol,
        address: SocketAddr,
        pair: impl Fn(&RelayAddress) -> (IpAddr, IpAddr),
    ) -> SocketAddr {
        if !self.translates {
            return address;
        }
        let hit =
            self.own.relays.iter().find(|(relay, live)| {
                pair(relay).0 == address.ip() && live.contains(protocol, address.port())
            });
        hit.map_or(address, |(relay, _)| SocketAddr::new(pair(relay).1, address.port()))
    }

    fn relay(&self, ip: IpAddr) -> Option<&LivePorts> {
        self.relays_at(ip).next()
    }

    /// One relay's external address may be another's internal one.
    fn relays_at(&self, ip: IpAddr) -> impl Iterator<Item = &LivePorts> {
        let mine = move |relay: &RelayAddress| relay.internal == ip || relay.external == ip;
        self.own.relays.iter().filter(move |(relay, _)| mine(relay)).map(|(_, live)| &**live)
    }

    fn is_allowed(&self, ip: IpAddr) -> bool {
        self.rules.allow.iter().any(|net| net.contains(&ip))
    }

    /// All of 127/8 and ::1 ends on this host, listed or not.
    fn is_own(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.own.hosts.contains(&ip)
    }

    fn is_endpoint(&self, ip: IpAddr, port: u16) -> bool {
        self.own.endpoints.iter().any(|endpoint| {
            endpoint.port() == port
                && (endpoint.ip() == ip || (endpoint.ip().is_unspecified() && self.is_own(ip)))
        })
    }
}

/// Metadata services of the large clouds, for virtual machines and containers.
const METADATA_V4: [Ipv4Addr; 4] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
];
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// The address part of rule 1; no `allow` opens any of these.
fn always_denied(peer: IpAddr, canonical: IpAddr) -> Result<(), DenyRule> {
    if let IpAddr::V6(v6) = peer {
        let [a, b, ..] = v6.segments();
        // RFC 6156 section 9.1: never Teredo or 6to4 peers.
        if a == 0x2002 || (a == 0x2001 && b == 0) {
            return Err(DenyRule::Tunnel);
        }
    }
    match canonical {
        IpAddr::V4(ip) if METADATA_V4.contains(&ip) => Err(DenyRule::Metadata),
        IpAddr::V4(ip) if ip.octets()[0] == 0 => Err(DenyRule::Zero),
        IpAddr::V4(ip) if ip.is_multicast() => Err(DenyRule::Multicast),
        IpAddr::V4(ip) if ip.is_broadcast() => Err(DenyRule::Broadcast),
        IpAddr::V6(ip) if METADATA_V6.contains(&ip) => Err(DenyRule::Metadata),
        IpAddr::V6(ip) if ip.is_unspecified() => Err(DenyRule::Zero),
        IpAddr::V6(ip) if ip.is_multicast() => Err(DenyRule::Multicast),
        _ => Ok(()),
    }
}

/// Private, shared, loopback, link-local, documentation and other special ranges of the IANA
/// registries. IPv4 inside of IPv6 is unwrapped before.
fn recommended() -> Vec<IpNet> {
    const NETS: [&str; 28] = [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "::1/128",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    ];
    NETS.iter().map(|net| net.parse().expect("a literal network; the test below parses each")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENCODINGS: [fn(Ipv4Addr) -> Ipv6Addr; 4] = [
        |v4| v4.to_ipv6_mapped(),
        |v4| Ipv6Addr::from_bits(u128::from(v4.to_bits())),
        |v4| Ipv6Addr::from_bits(0xffff_0000_0000_0000 | u128::from(v4.to_bits())),
        |v4| Ipv6Addr::from_bits(0x0064_ff9b << 96 | u128::from(v4.to_bits())),
    ];

    #[test] // security R1, R3, U-list of promise 4 rule 1
    fn the_default_denies_private_loopback_metadata_and_special_ranges() {
        let policy = policy(PeerRules::default());
        for (text, rule) in [
            ("127.0.0.2", DenyRule::OwnAddress),
            ("::1", DenyRule::OwnAddress),
            ("0.0.0.0", DenyRule::Zero),
            ("0.1.2.3", DenyRule::Zero),
            ("::", DenyRule::Zero),
            ("169.254.169.254", DenyRule::Metadata),
            ("fd00:ec2::254", DenyRule::Metadata),
            ("224.0.0.251", DenyRule::Multicast),
            ("ff02::1", DenyRule::Multicast),
            ("255.255.255.255", DenyRule::Broadcast),
            ("2002:808:808::", DenyRule::Tunnel),
            ("2001:0:53aa:64c::1", DenyRule::Tunnel),
            ("10.0.0.5", DenyRule::Recommended),
            ("169.254.1.1", DenyRule::Recommended),
            ("100.64.0.1", DenyRule::Recommended),
            ("fe80::1", DenyRule::Recommended),
            ("fc00::1", DenyRule::Recommended),
            ("64:ff9b:1::a00:5", DenyRule::Recommended),
            ("203.0.113.77", DenyRule::OwnAddress),
        ] {
            assert_eq!(policy.check_address(ip(text)), Err(rule), "{text}");
        }
        for text in ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "203.0.113.9"] {
            assert_eq!(policy.check_address(ip(text)), Ok(()), "{text}");
        }
    }

    #[test] // security R2
    fn no_encoding_of_an_ipv4_address_is_judged_otherwise_than_the_address() {
        let rules = PeerRules { allow: vec![net("10.9.0.0/16")], ..PeerRules::default() };
        let policy = policy(rules);
        for prefix in 0..=0xffffu32 {
            for low in [0u32, 1, 0xffff] {
                let v4 = Ipv4Addr::from_bits(prefix << 16 | low);
                if v4.to_bits() <= 1 {
                    continue; // "::" and "::1" are addresses of their own
                }
                let plain = policy.check_address(v4.into());
                for encode in ENCODINGS {
                    let v6 = encode(v4);
                    assert_eq!(policy.check_address(v6.into()), plain, "{v4} as {v6}");
                }
                let [a, b, c, d] = v4.octets().map(u16::from);
                let six_to_four = Ipv6Addr::new(0x2002, a << 8 | b, c << 8 | d, 0, 0, 0, 0, 1);
                assert_eq!(policy.check_address(six_to_four.into()), Err(DenyRule::Tunnel));
            }
        }
    }

    #[test] // the order is the policy
    fn the_first_matching_rule_decides() {
        let rules = PeerRules {
            recommended: true,
            allow: vec![net("0.0.0.0/0"), net("::/0")],
            deny: vec![net("8.8.0.0/16")],
            min_port: 1024,
        };
        let policy = policy(rules);
        // 1 before 3: no allow opens metadata, multicast or an own endpoint.
        assert_eq!(policy.check_address(ip("169.254.169.254")), Err(DenyRule::Metadata));
        let check = |peer: &str| policy.admit(PeerPath::ChannelBind, peer.parse().expect("literal"));
        assert_eq!(check("127.0.0.1:3478"), Err(DenyRule::OwnEndpoint));
        assert_eq!(check("203.0.113.77:3478"), Err(DenyRule::OwnEndpoint));
        assert_eq!(check("10.1.1.1:6379"), Err(DenyRule::OwnEndpoint));
        // 3 before 4 and 5.
        assert_eq!(check("127.0.0.1:5000"), Ok(()));
        assert_eq!(check("8.8.8.8:5000"), Ok(()));
        // The floor holds for all but own relay ports.
        assert_eq!(check("9.9.9.9:53"), Err(DenyRule::MinPort));
    }

    #[test] // turn.md point 26, coturn 584: two clients behind the same relay
    fn an_own_relay_address_is_open_on_its_live_ports_only() {
        let policy = policy(PeerRules { recommended: true, ..PeerRules::default() });
        for relay in ["203.0.113.9", "192.168.7.7"] {
            assert_eq!(policy.check_address(ip(relay)), Ok(()), "a permission has no port");
            let check = |path, port| policy.admit(path, SocketAddr::new(ip(relay), port));
            assert_eq!(check(PeerPath::Send, 50_000), Ok(()));
            assert_eq!(check(PeerPath::Send, 50_001), Err(DenyRule::OwnAddress));
            assert_eq!(check(PeerPath::Send, 3478), Err(DenyRule::OwnEndpoint));
            assert_eq!(check(PeerPath::Connect, 50_000), Err(DenyRule::OwnAddress), "it relays UDP only");
        }
        let external = SocketAddr::new(ip("203.0.113.9"), 50_000);
        let internal = SocketAddr::new(ip("192.168.7.7"), 50_000);
        assert_eq!(policy.to_internal(PeerProtocol::Udp, external), internal);
        assert_eq!(policy.to_external(PeerProtocol::Udp, internal), external);
    }

    #[test]
    fn none_opens_private_ranges_but_not_this_host() {
        let policy = policy(PeerRules { recommended: false, ..PeerRules::default() });
        assert_eq!(policy.check_address(ip("10.0.0.5")), Ok(()));
        assert_eq!(policy.check_address(ip("127.0.0.1")), Err(DenyRule::OwnAddress));
        assert_eq!(policy.check_address(ip("203.0.113.77")), Err(DenyRule::OwnAddress));
    }

    fn policy(rules: PeerRules) -> PeerPolicy {
        let live = Arc::new(LivePorts::default());
        live.insert(PeerProtocol::Udp, 50_000);
        let relay = RelayAddress { internal: ip("192.168.7.7"), external: ip("203.0.113.9") };
        let own = OwnAddresses {
            relays: vec![(relay, live)],
            hosts: vec![ip("192.168.7.7"), ip("203.0.113.77"), ip("203.0.113.9")],
            endpoints: vec![
                "0.0.0.0:3478".parse().expect("literal"),
                "10.1.1.1:6379".parse().expect("literal"),
            ],
        };
        PeerPolicy::new(rules, own)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("literal")
    }

    fn net(text: &str) -> IpNet {
        text.parse().expect("literal")
    }
}
