//! One place that knows in which IPv6 addresses an IPv4 address hides.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The IPv4 address that traffic to `ip` would reach through mapping, translation or a tunnel.
///
/// Covers IPv4-mapped `::ffff:0:0/96`, IPv4-compatible `::/96` (but not `::` and `::1`, which are
/// addresses of their own), IPv4-translated `::ffff:0:0:0/96` (RFC 2765), NAT64 `64:ff9b::/96`
/// (RFC 6052) and 6to4 `2002::/16` (RFC 3056).
pub const fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = ip.to_bits();
    let low = Ipv4Addr::from_bits(bits as u32);
    match bits >> 32 {
        0 if bits > 1 => Some(low),
        0xffff | 0xffff_0000 | 0x0064_ff9b_0000_0000_0000_0000 => Some(low),
        _ if bits >> 112 == 0x2002 => Some(Ipv4Addr::from_bits((bits >> 80) as u32)),
        _ => None,
    }
}

/// The address that rules are matched with: the embedded IPv4 address where there is one.
pub(super) const fn canonical(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => match embedded_v4(v6) {
            Some(v4) => IpAddr::V4(v4),
            None => ip,
        },
        IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // security R2: coturn CVE-2026-27624 and its two follow-ups
    fn every_encoding_of_an_ipv4_address_is_unwrapped() {
        for text in [
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "2002:7f00:1::",
            "2002:7f00:1:2:3:4:5:6",
        ] {
            let ip: Ipv6Addr = text.parse().expect("literal");
            assert_eq!(embedded_v4(ip), Some(Ipv4Addr::LOCALHOST), "{text}");
        }
        for text in ["::", "::1", "2001:db8::1", "fe80::1", "64:ff9b:1::7f00:1"] {
            assert_eq!(embedded_v4(text.parse().expect("literal")), None, "{text}");
        }
    }
}
