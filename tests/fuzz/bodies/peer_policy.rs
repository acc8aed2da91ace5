//! Any address, in every encoding, under any rules.
//!
//! ```text
//! | flags | port, 2 bytes | address, 16 bytes | min_port, 2 bytes | rules ... |
//! flags: 1 = the recommended set, 2 = behind 1:1 NAT, 4 = the relay port of the address is live
//! rule = kind, address, prefix length; kind: 1 = IPv6 (16 bytes) else IPv4 (4), 2 = allow else deny
//! ```
//! What ends early goes on with zeros.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use turnstone::metrics::DenyRule;
use turnstone::turn::{
    LivePorts, OwnAddresses, PeerPath, PeerPolicy, PeerProtocol, PeerRules, RelayAddress, embedded_v4,
};

const RULES_MAX: usize = 8;
const INTERNAL: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 7);
const EXTERNAL: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
const LIVE_PORT: u16 = 50_000;
const LISTENER_PORT: u16 = 3478;
const BACK_END: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 1, 1, 1)), 6379);

pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    let [flags] = input.take();
    let number = u16::from_be_bytes(input.take());
    let bytes: [u8; 16] = input.take();
    let rules = rules(flags, &mut input);
    let own = own(flags);
    let policy = PeerPolicy::new(rules.clone(), own.clone());

    let v6 = Ipv6Addr::from(bytes);
    let [.., a, b, c, d] = bytes;
    let v4 = Ipv4Addr::new(a, b, c, d);
    for ip in [IpAddr::V6(v6), IpAddr::V4(v4)] {
        let peer = SocketAddr::new(ip, number);
        let whole = address(&policy, ip).and_then(|()| port(&policy, peer));
        assert_eq!(both(&policy, peer), whole);
        never_is_never(ip, &policy, &rules, &own);
        rules_only_add_up(peer, &policy, &rules, &own);
    }
    encodings_do_not_matter(SocketAddr::new(v4.into(), number), &policy, &rules);
    if let Some(inner) = embedded_v4(v6) {
        let inner = address(&policy, inner.into());
        assert!(inner.is_ok() || address(&policy, v6.into()).is_err(), "{v6} hides a denied address");
    }
    own_endpoints_are_closed(&policy);
}

/// DESIGN promise 4 rule 1: no `allow` opens these.
fn never_is_never(ip: IpAddr, policy: &PeerPolicy, rules: &PeerRules, own: &OwnAddresses) {
    if !is_never(ip) {
        return;
    }
    assert!(address(policy, ip).is_err(), "{ip}");
    let open = PeerRules { recommended: false, deny: Vec::new(), ..with_all_allowed(rules) };
    assert!(address(&PeerPolicy::new(open, own.clone()), ip).is_err(), "{ip}");
}

/// A second opinion, from the ranges as they are written in their RFCs.
fn is_never(ip: IpAddr) -> bool {
    let v6 = match ip {
        IpAddr::V4(v4) => return is_never_v4(v4),
        IpAddr::V6(v6) => v6,
    };
    let words = v6.segments();
    let text = v6.to_string();
    let tunnel = words[0] == 0x2002 || (words[0], words[1]) == (0x2001, 0);
    let metadata = text == "fd00:ec2::254" || text == "fd20:ce::254";
    let hides_v4 = matches!(
        words,
        [0, 0, 0, 0, 0, 0xffff, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _]
    ) || (words[..6] == [0; 6] && v6 != Ipv6Addr::LOCALHOST);
    let low = Ipv4Addr::from_bits(u32::from(words[6]) << 16 | u32::from(words[7]));
    tunnel || metadata || words[0] >> 8 == 0xff || (hides_v4 && is_never_v4(low))
}

fn is_never_v4(ip: Ipv4Addr) -> bool {
    let metadata = ["169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16"];
    ip.octets()[0] == 0
        || (224..=239).contains(&ip.octets()[0])
        || ip == Ipv4Addr::BROADCAST
        || metadata.contains(&ip.to_string().as_str())
}

/// More `allow` denies nothing, more `deny` and a higher floor allow nothing.
fn rules_only_add_up(peer: SocketAddr, policy: &PeerPolicy, rules: &PeerRules, own: &OwnAddresses) {
    let of = |rules: PeerRules| PeerPolicy::new(rules, own.clone());
    if both(policy, peer).is_ok() {
        assert_eq!(both(&of(with_all_allowed(rules)), peer), Ok(()), "{peer}");
    } else {
        let deny = [rules.deny.clone(), nets(&["8.0.0.0/7", "2600::/12"])].concat();
        let stricter =
            PeerRules { deny, recommended: true, min_port: rules.min_port.max(1024), ..rules.clone() };
        assert!(both(&of(stricter), peer).is_err(), "{peer}");
    }
}

/// Security R2. A `deny` of IPv6 may name an encoding itself, which then denies more, never less.
fn encodings_do_not_matter(peer: SocketAddr, policy: &PeerPolicy, rules: &PeerRules) {
    let IpAddr::V4(v4) = peer.ip() else { return };
    let bits = u128::from(v4.to_bits());
    let names_v6 = rules.deny.iter().any(|net| net.addr().is_ipv6());
    for prefix in [0, 0xffff_u128 << 32, 0xffff_u128 << 48, 0x0064_ff9b_u128 << 96] {
        let v6 = Ipv6Addr::from_bits(prefix | bits);
        if v6 == Ipv6Addr::UNSPECIFIED || v6 == Ipv6Addr::LOCALHOST {
            continue; // Addresses of their own.
        }
        let (plain, encoded) = (address(policy, v4.into()), address(policy, v6.into()));
        assert!(plain == encoded || (names_v6 && encoded.is_err()), "{v4} {plain:?}, {v6} {encoded:?}");
        assert_eq!(port(policy, peer), port(policy, SocketAddr::new(v6.into(), peer.port())));
    }
    let [a, b, c, d] = v4.octets().map(u16::from);
    let six_to_four = Ipv6Addr::new(0x2002, a << 8 | b, c << 8 | d, 0, 0, 0, 0, 1);
    assert!(address(policy, six_to_four.into()).is_err());
}

fn own_endpoints_are_closed(policy: &PeerPolicy) {
    assert!(port(policy, BACK_END).is_err());
    for ip in [INTERNAL, EXTERNAL, Ipv4Addr::LOCALHOST] {
        assert!(both(policy, SocketAddr::new(ip.into(), LISTENER_PORT)).is_err());
    }
}

fn address(policy: &PeerPolicy, ip: IpAddr) -> Result<(), DenyRule> {
    policy.admit(PeerPath::CreatePermission, SocketAddr::new(ip, 0))
}

fn port(policy: &PeerPolicy, peer: SocketAddr) -> Result<(), DenyRule> {
    policy.admit(PeerPath::Send, peer)
}

fn both(policy: &PeerPolicy, peer: SocketAddr) -> Result<(), DenyRule> {
    policy.admit(PeerPath::ChannelBind, peer)
}

fn own(flags: u8) -> OwnAddresses {
    let live = Arc::new(LivePorts::default());
    if flags & 4 != 0 {
        live.insert(PeerProtocol::Udp, LIVE_PORT);
    }
    let internal = if flags & 2 != 0 { INTERNAL } else { EXTERNAL };
    OwnAddresses {
        relays: vec![(RelayAddress { internal: internal.into(), external: EXTERNAL.into() }, live)],
        hosts: vec![INTERNAL.into(), EXTERNAL.into()],
        endpoints: vec![SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), LISTENER_PORT), BACK_END],
    }
}

fn rules(flags: u8, input: &mut Input<'_>) -> PeerRules {
    let mut rules = PeerRules { recommended: flags & 1 != 0, ..PeerRules::default() };
    rules.min_port = u16::from_be_bytes(input.take());
    for _ in 0..RULES_MAX {
        if input.0.is_empty() {
            break;
        }
        let [kind] = input.take();
        let (ip, longest) = match kind & 1 {
            1 => (IpAddr::from(input.take::<16>()), 128),
            _ => (IpAddr::from(input.take::<4>()), 32),
        };
        let [length] = input.take();
        let net = format!("{ip}/{}", length % (longest + 1));
        let list = if kind & 2 != 0 { &mut rules.allow } else { &mut rules.deny };
        list.push(net.parse().expect("a network with a length of its family"));
    }
    rules
}

fn with_all_allowed(rules: &PeerRules) -> PeerRules {
    PeerRules { allow: nets(&["0.0.0.0/0", "::/0"]), ..rules.clone() }
}

fn nets<N: std::str::FromStr>(texts: &[&str]) -> Vec<N> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (now, later) = self.0.split_at(N.min(self.0.len()));
        self.0 = later;
        let mut bytes = [0; N];
        bytes[..now.len()].copy_from_slice(now);
        bytes
    }
}
