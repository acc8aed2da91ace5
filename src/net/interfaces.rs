//! Which addresses this host has, and which one it would use towards the Internet.

use crate::base::Family;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The address that the kernel would send from towards the Internet, or `None` if the host has none
/// of this family beyond loopback and link-local.
///
/// No packet is sent. Without a default route the answer is the first public address of an interface,
/// and without one of those the first other global address (private, shared or unique local).
pub fn primary(family: Family) -> Option<IpAddr> {
    routed(family).or_else(|| fallback(family, &all().ok()?))
}

/// Whether `ip` belongs to this host now: an address of an interface, or any of 127.0.0.0/8.
///
/// # Errors
/// The kernel refused the list of interfaces (no file descriptor left, netlink forbidden).
pub fn is_local(ip: IpAddr) -> io::Result<bool> {
    // Linux routes the whole of 127.0.0.0/8 to the loopback interface, which lists only 127.0.0.1.
    let loopback = matches!(ip, IpAddr::V4(ip) if ip.is_loopback());
    Ok(loopback || all()?.contains(&ip))
}

/// All addresses of all interfaces, in the kernel's order, loopback and link-local ones included.
///
/// # Errors
/// The kernel refused the list of interfaces (no file descriptor left, netlink forbidden).
pub fn all() -> io::Result<Vec<IpAddr>> {
    Ok(if_addrs::get_if_addrs()?.iter().map(if_addrs::Interface::ip).collect())
}

/// Asks the routing table: connecting a UDP socket picks a source address and sends nothing.
///
/// The targets are documentation prefixes (RFC 5737, RFC 3849), which follow the default route and
/// name no third party.
fn routed(family: Family) -> Option<IpAddr> {
    let (any, target) = match family {
        Family::V4 => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
        Family::V6 => {
            (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)))
        }
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(target, 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    is_global(ip).then_some(ip)
}

/// The best address of `family` in `addresses`: the first public one, or else the first global one.
fn fallback(family: Family, addresses: &[IpAddr]) -> Option<IpAddr> {
    let mut candidates = addresses.iter().copied().filter(|ip| Family::of(*ip) == family && is_global(*ip));
    let first = candidates.clone().next();
    candidates.find(|ip| !is_private(*ip)).or(first)
}

/// Usable beyond the link: not unspecified, loopback, link-local or multicast.
fn is_global(ip: IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(link_local || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast())
}

/// Private (RFC 1918), shared (RFC 6598) or unique local (RFC 4193).
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private() || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn loopback_is_local_and_a_documentation_address_is_not() {
        for ip in ips(&["127.0.0.1", "127.9.9.9"]) {
            assert!(is_local(ip).unwrap(), "{ip}");
        }
        for ip in ips(&["192.0.2.77", "2001:db8::77", "0.0.0.0"]) {
            assert!(!is_local(ip).unwrap(), "{ip}");
        }
    }

    #[test]
    fn every_listed_address_can_be_bound_or_is_link_local() {
        let addresses = all().unwrap();
        assert!(addresses.contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
        for ip in addresses.into_iter().filter(|ip| is_global(*ip)) {
            UdpSocket::bind((ip, 0)).unwrap();
        }
    }

    #[test]
    fn the_primary_address_is_one_of_this_host_and_global() {
        for family in [Family::V4, Family::V6] {
            let Some(ip) = primary(family) else {
                let has_one = all().unwrap().into_iter().any(|ip| Family::of(ip) == family && is_global(ip));
                assert!(!has_one, "{family:?} has a global address, yet none was chosen");
                continue;
            };
            assert_eq!(Family::of(ip), family);
            assert!(is_global(ip) && is_local(ip).unwrap(), "{ip}");
        }
    }

    #[test]
    fn without_a_route_a_public_address_wins_over_earlier_private_ones() {
        let hosts =
            ips(&["127.0.0.1", "169.254.1.1", "10.0.0.1", "100.64.0.1", "203.0.113.5", "::1", "fe80::1"]);
        assert_eq!(fallback(Family::V4, &hosts), Some(hosts[4]));
        assert_eq!(fallback(Family::V4, &hosts[..4]), Some(hosts[2]));
        assert_eq!(fallback(Family::V6, &hosts), None);
        let hosts = ips(&["fd00::1", "2001:db8::1"]);
        assert_eq!(fallback(Family::V6, &hosts), Some(hosts[1]));
    }
}
