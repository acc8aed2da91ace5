//! `listen.alternate`: from one listener and its other address to four doors (RFC 5780 section 6).

use super::checked::{Config, Listen, Transport};
use super::host::Host;
use super::plan::Unfit;
use super::report::Report;
use super::resolve::{external, local};
use super::rules::is_host;
use crate::turn::Discovery;
use std::collections::BTreeMap;
use std::net::SocketAddr;

impl Listen {
    /// The three doors that come with `alternate`: in order (A1, P2), (A2, P1), (A2, P2).
    pub(super) fn alternates(&self) -> Option<[SocketAddr; 3]> {
        let (first, second) = (self.address, self.alternate?);
        let on = |ip: SocketAddr, port: SocketAddr| SocketAddr::new(ip.ip(), port.port());
        self.transports.contains(&Transport::Udp).then(|| [on(first, second), on(second, first), second])
    }
}

/// Reports an `alternate` that makes no four sockets of their own; `keys` are the sockets of others.
pub(super) fn check(
    index: usize,
    listen: &Listen,
    keys: &mut BTreeMap<(SocketAddr, Transport), String>,
    report: &mut Report,
) {
    let section = format!("listen[{index}]");
    let Some(alternate) = listen.alternate.filter(|_| !report.has_error(&section)) else { return };
    let key = format!("{section}.alternate");
    if let Some((message, help)) = mistake(listen, alternate) {
        return report.error_at(&key, format!("`{key}`: {message}"), help);
    }
    for address in listen.alternates().into_iter().flatten() {
        match keys.get(&(address, Transport::Udp)) {
            Some(rival) => {
                let message = format!("`{key}`: udp on {address} is already taken by `{rival}`");
                let help = "NAT discovery opens both ports on both addresses; change one of them";
                return report.error_at(&key, message, help);
            }
            None => _ = keys.insert((address, Transport::Udp), key.clone()),
        }
    }
}

/// What is wrong with the two addresses, and what to do about it.
fn mistake(listen: &Listen, alternate: SocketAddr) -> Option<(String, &'static str)> {
    let both = [listen.address, alternate];
    let wildcard = both.iter().find(|address| address.ip().is_unspecified());
    let help = "write a second address of this host with a second port, such as \"203.0.113.5:3479\"";
    Some(if !listen.transports.contains(&Transport::Udp) {
        ("NAT discovery is done over udp".to_owned(), "add \"udp\" to `transports`, or delete the line")
    } else if let Some(every) = wildcard {
        let help = "write one address of this host in `address`, and another one in `alternate`";
        (format!("NAT discovery needs two single addresses, and {} means every one", every.ip()), help)
    } else if let Some(bad) = both.iter().find(|address| !is_host(address.ip())) {
        (format!("{} is not the address of a host", bad.ip()), help)
    } else if listen.address.is_ipv4() != alternate.is_ipv4() {
        ("`address` and `alternate` are of two address families".to_owned(), help)
    } else if listen.address.ip() == alternate.ip() {
        (format!("{} is the address of the listener itself", alternate.ip()), help)
    } else if alternate.port() == 0 {
        ("clients cannot find port 0".to_owned(), help)
    } else if listen.address.port() == alternate.port() {
        (format!("{} is the port of the listener itself", alternate.port()), help)
    } else {
        return None;
    })
}

/// Adds the doors of every `alternate` to `doors`. Returns which belong together, by their place there.
///
/// # Errors
/// An address that is not on this host, or two that clients see as one.
pub(super) fn resolve(
    config: &Config,
    host: &Host,
    doors: &mut Vec<SocketAddr>,
) -> Result<Vec<Discovery>, Unfit> {
    let mut all = Vec::new();
    for listen in &config.listen {
        let (Some(alternates), Some(alternate)) = (listen.alternates(), listen.alternate) else { continue };
        let bound = [
            local("listen.address", listen.address.ip(), host)?,
            local("listen.alternate", alternate.ip(), host)?,
        ];
        let seen = bound.map(|ip| external(config, ip, host));
        if seen[0] == seen[1] {
            return Err(Unfit {
                key: "server.public_address",
                what: format!(
                    "clients would see {} for both addresses of NAT discovery, {} and {}",
                    seen[0], bound[0], bound[1]
                ),
                help: "give each its own: [{ external = \"..\", internal = \"..\" }, ..]",
            });
        }
        let Some(first) = doors.iter().position(|door| *door == listen.address) else { continue };
        let next = doors.len() as u32;
        doors.extend(alternates);
        all.push(Discovery {
            doors: [first as u32, next, next + 1, next + 2],
            bound,
            external: seen,
            ports: [listen.address.port(), alternate.port()],
        });
    }
    Ok(all)
}

/// The four doors by the addresses that clients know.
pub(super) fn seen_from_outside(all: &[Discovery]) -> impl Iterator<Item = SocketAddr> + '_ {
    let pairs = |d: &Discovery| d.external.map(|ip| d.ports.map(|port| SocketAddr::new(ip, port)));
    all.iter().flat_map(pairs).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Transport;
    use crate::config::{Plan, parse};
    use crate::signaling::Advertised;

    #[test] // RFC 5780 section 6
    fn an_alternate_opens_both_ports_on_both_addresses() {
        let plan = plan("", "127.0.0.1:3478", "127.0.0.2:3479").expect("resolves");
        let doors =
            ["127.0.0.1:3478", "127.0.0.9:3478", "127.0.0.1:3479", "127.0.0.2:3478", "127.0.0.2:3479"];
        assert_eq!(plan.doors, doors.map(at));
        let [discovery] = plan.turn.discovery[..] else { panic!("{:?}", plan.turn.discovery) };
        assert_eq!((discovery.doors, discovery.ports), ([0, 2, 3, 4], [3478, 3479]));
        let udp: Vec<_> = plan
            .advertised_servers()
            .into_iter()
            .filter(|server| server.transport == Transport::Udp)
            .collect();
        let expected = [doors[0], doors[1]].map(|door| Advertised::literal(Transport::Udp, at(door)));
        assert_eq!(udp, expected, "the others are no servers");
        for door in doors {
            assert!(plan.endpoints.contains(&at(door)), "{door} is no peer");
        }
    }

    #[test]
    fn behind_one_to_one_nat_each_address_has_an_outer_one_that_is_no_peer_either() {
        let both = "[{ external = \"203.0.113.4\", internal = \"127.0.0.1\" }, \
                    { external = \"203.0.113.5\", internal = \"10.0.0.5\" }]";
        let plan = plan(both, "127.0.0.1:3478", "10.0.0.5:3479").expect("resolves");
        assert_eq!(plan.turn.discovery[0].external, ["203.0.113.4", "203.0.113.5"].map(|ip| at_any(ip).ip()));
        for outer in ["203.0.113.5:3478", "203.0.113.5:3479", "203.0.113.4:3479"] {
            assert!(plan.endpoints.contains(&at(outer)), "{outer}");
        }
        assert!(plan.hosts.contains(&at_any("203.0.113.5").ip()));
    }

    #[test]
    fn two_addresses_that_clients_see_as_one_are_refused() {
        let error = plan("\"203.0.113.4\"", "127.0.0.1:3478", "10.0.0.5:3479").expect_err("one face for two");
        assert_eq!(error.key, "server.public_address");
        assert!(error.what.contains("for both addresses of NAT discovery, 127.0.0.1 and 10.0.0.5"));
    }

    #[test]
    fn both_addresses_must_be_on_this_host() {
        for (address, alternate, key) in [
            ("127.0.0.1:3478", "192.0.2.77:3479", "listen.alternate"),
            ("192.0.2.77:3478", "127.0.0.1:3479", "listen.address"),
        ] {
            let error = plan("", address, alternate).expect_err("documentation address");
            assert_eq!((error.key, &*error.what), (key, "192.0.2.77 is not an address of this host"));
        }
    }

    #[test]
    fn a_changed_alternate_needs_a_restart_and_what_is_bound_stays() {
        let bound = plan("", "127.0.0.1:3478", "127.0.0.2:3479").expect("resolves");
        let file = plan("", "127.0.0.1:3478", "127.0.0.2:3480").expect("resolves");
        let keys = bound.needs_restart(&file);
        assert_eq!(keys, ["listen", "listen.alternate or server.public_address"]);
        let kept = file.within(&bound);
        assert_eq!((kept.turn.discovery, kept.doors), (bound.turn.discovery, bound.doors));
    }

    fn plan(public: &str, address: &str, alternate: &str) -> Result<Plan, Unfit> {
        let public = if public.is_empty() { String::new() } else { format!("public_address = {public}") };
        let text = format!(
            "[server]\n{public}\n[[listen]]\naddress = \"{address}\"\ntransports = [\"udp\"]\n\
             alternate = \"{alternate}\"\n[[listen]]\naddress = \"127.0.0.9:3478\"\ntransports = [\"udp\"]\n\
             [relay]\naddresses = [\"127.0.0.1\"]\n[auth.users]\nbob = \"a-long-password\"\n"
        );
        let loaded = parse("test.toml", &text, []).unwrap_or_else(|errors| panic!("{errors}"));
        let host = Host {
            addresses: vec![at_any("127.0.0.1").ip(), at_any("10.0.0.5").ip()],
            primary: [Some(at_any("10.0.0.5").ip()), None],
            cores: 2,
            has_ipv6: false,
        };
        crate::config::resolve(&loaded.config, &host)
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("literal")
    }

    fn at_any(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().expect("literal"), 0)
    }
}
