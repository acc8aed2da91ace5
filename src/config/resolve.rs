//! From a config to a plan for a host.

use super::checked::Offload;
use super::host::Host;
use super::plan::{MintRates, Plan, Unfit};
use super::{ByteSize, Config, EventRate, Limits, PublicAddress, PublicMapping, RelayAddress};
use super::{bandwidth, certificates, discovery, doors, hub, signaling};
use crate::base::{Family, Rate};
use crate::net::UdpOptions;
use crate::relay::ConnectionLimits;
use crate::storage::StoreSettings;
use crate::turn::{self, LedgerSettings, PeerRules, PortRange, ReplyBudget, Settings};
use std::net::{IpAddr, SocketAddr};

/// Resolves every "auto" of `config` on `host`.
///
/// # Errors
/// An address that is not on this host, or none to relay on.
pub fn resolve(config: &Config, host: &Host) -> Result<Plan, Unfit> {
    let addresses = relay_addresses(config, host)?;
    let mut udp = doors::datagram(config, host);
    let streams = doors::streams(config, host);
    let discovery = discovery::resolve(config, host, &mut udp)?;
    let workers = config.relay.workers.on(host.cores);
    let admin = config.http.admin.0;
    let bound: Vec<SocketAddr> = udp.iter().copied().chain(listeners(config)).chain(admin).collect();
    let outside = seen_from_outside(&bound, &addresses).chain(discovery::seen_from_outside(&discovery));
    let endpoints = bound.iter().copied().chain(outside).collect();
    let external = addresses.iter().map(|relay| relay.external);
    let external = external.chain(discovery.iter().flat_map(|discovery| discovery.external));
    let relay = &config.relay;
    Ok(Plan {
        settings: config.settings(),
        admin,
        admin_socket: config.admin.socket.clone(),
        admin_key: config.admin.key_file.hash,
        storage: StoreSettings { path: config.storage.path.clone(), probe: None },
        usage_retention: config.usage.retention,
        public: signaling::resolve(config),
        driver: hub::driver(&config.signaling),
        hub: hub::settings(&config.signaling),
        admin_hosts: config.server.name.iter().cloned().collect(),
        workers,
        pin_workers: config.relay.pin_workers,
        listener_options: udp_options(relay.offload, relay.listener_buffer, relay.listener_buffer),
        relay_options: udp_options(relay.offload, relay.receive_buffer, relay.send_buffer),
        hosts: host.addresses.iter().copied().chain(external).collect(),
        endpoints,
        ledger: LedgerSettings {
            addresses,
            ports: PortRange { first: config.relay.ports.first(), last: config.relay.ports.last() },
            quarantine: config.relay.port_quarantine,
            allocations_per_user: or_all(config.limits.allocations_per_user),
            allocations_total: config.limits.allocations_total,
        },
        turn: Settings { discovery, ..turn_settings(config, workers) },
        auth: config.auth_settings(),
        tokens: config.auth.jwt.settings(),
        token_signer: config.auth.jwt.signer(),
        peers: PeerRules {
            recommended: config.relay.peers.denies_recommended(),
            deny: config.relay.peers.denied_networks().collect(),
            allow: config.relay.peers.allow.clone(),
            min_port: config.relay.peers.min_port.get(),
        },
        mints: MintRates {
            per_key: config.limits.mints_per_key.0.map(|rate| rate.per_s),
            per_user: config.limits.mints_per_user.0.map(|rate| rate.per_s),
            per_source: config.limits.mints_per_source.0.map(|rate| rate.per_s),
        },
        drain_timeout: config.server.drain_timeout,
        name: config.server.name.clone(),
        tls: certificates::resolve(config, host),
        streams,
        dtls: doors::dtls(config, host),
        connections: ConnectionLimits {
            per_source: or_all(config.limits.connections_per_source),
            total: or_all(config.limits.connections_total),
        },
        doors: udp,
    })
}

/// Listeners on the internal side of 1:1 NAT by their external address.
fn seen_from_outside<'a>(
    bound: &'a [SocketAddr],
    relays: &'a [turn::RelayAddress],
) -> impl Iterator<Item = SocketAddr> + 'a {
    let outside = |door: &'a SocketAddr| {
        let at = relays.iter().filter(|relay| relay.internal == door.ip());
        at.map(|relay| SocketAddr::new(relay.external, door.port()))
    };
    bound.iter().flat_map(outside)
}

/// Everything that the config says is listened on, built or not: none of it is a peer.
fn listeners(config: &Config) -> impl Iterator<Item = SocketAddr> + '_ {
    config.listen.iter().map(|listen| listen.address).chain(config.http.public.0)
}

fn relay_addresses(config: &Config, host: &Host) -> Result<Vec<turn::RelayAddress>, Unfit> {
    let mut internal: Vec<IpAddr> = Vec::new();
    for address in &config.relay.addresses {
        match address {
            RelayAddress::Ip(ip) => internal.push(local("relay.addresses", *ip, host)?),
            RelayAddress::Auto => internal.extend(automatic(config, host)),
        }
    }
    if internal.is_empty() {
        return Err(Unfit {
            key: "relay.addresses",
            what: "\"auto\" found no address towards a network on this host".into(),
            help: "set relay.addresses to an address that `ip address` shows",
        });
    }
    if let PublicAddress::Fixed(mappings) = &config.server.public_address {
        for ip in mappings.iter().filter_map(|mapping| mapping.internal) {
            local("server.public_address", ip, host)?;
        }
    }
    let relays: Vec<_> = internal
        .into_iter()
        .map(|ip| turn::RelayAddress { internal: ip, external: external(config, ip, host) })
        .collect();
    for (n, relay) in relays.iter().enumerate() {
        if relays[..n].iter().any(|other| other.external == relay.external) {
            return Err(Unfit {
                key: "server.public_address",
                what: format!(
                    "two relay addresses would be {} to peers, which can be only one",
                    relay.external
                ),
                help: "give each its own: [{ external = \"..\", internal = \"..\" }, ..]",
            });
        }
    }
    Ok(relays)
}

/// The address that the kernel would use towards the Internet, by family; a public address that is on
/// this host is meant to be it.
fn automatic(config: &Config, host: &Host) -> Vec<IpAddr> {
    let fixed = |family| match &config.server.public_address {
        PublicAddress::Auto => None,
        PublicAddress::Fixed(mappings) => mappings
            .iter()
            .filter(|mapping| Family::of(mapping.external) == family)
            .find_map(|mapping| mapping.internal.or(Some(mapping.external).filter(|ip| on_host(*ip, host)))),
    };
    Family::ALL
        .into_iter()
        .filter_map(|family| fixed(family).or_else(|| host.primary[family as usize]))
        .collect()
}

/// What peers see of `internal`: the mapping for this very address, else the one for its family, unless
/// that external address is itself on this host.
pub(super) fn external(config: &Config, internal: IpAddr, host: &Host) -> IpAddr {
    let PublicAddress::Fixed(mappings) = &config.server.public_address else { return internal };
    let of_family = |mapping: &&PublicMapping| {
        mapping.internal.is_none()
            && Family::of(mapping.external) == Family::of(internal)
            && !on_host(mapping.external, host)
    };
    let exact = mappings.iter().find(|mapping| mapping.internal == Some(internal));
    exact.or_else(|| mappings.iter().find(of_family)).map_or(internal, |mapping| mapping.external)
}

pub(super) fn local(key: &'static str, ip: IpAddr, host: &Host) -> Result<IpAddr, Unfit> {
    if on_host(ip, host) {
        return Ok(ip);
    }
    let help = match key {
        "relay.addresses" | "listen.address" | "listen.alternate" => {
            "name an address that `ip address` shows; behind 1:1 NAT put the public one into server.public_address"
        }
        _ => "`internal` must be an address that `ip address` shows",
    };
    Err(Unfit { key, what: format!("{ip} is not an address of this host"), help })
}

fn on_host(ip: IpAddr, host: &Host) -> bool {
    host.addresses.contains(&ip) || ip.is_loopback()
}

/// A limit in which 0 means none.
fn or_all(limit: u32) -> u32 {
    if limit == 0 { u32::MAX } else { limit }
}

fn turn_settings(config: &Config, shards: usize) -> Settings {
    let limits = &config.limits;
    Settings {
        realm: config.server.realm.clone(),
        max_lifetime: config.relay.max_lifetime,
        legacy_channels: config.relay.legacy_channels,
        strict_expiry: config.auth.strict_expiry,
        tcp_relay: config.relay.tcp,
        bandwidth: bandwidth::settings(limits),
        packets_per_user: limits.packets_per_user.0.map(|rate| with_burst(rate, 1)),
        // A call offers a dozen candidates at once, and ICE permits them all.
        new_peers_per_second: limits.new_peers_per_second.0.map(|rate| with_burst(rate, 4)),
        replies: replies(limits),
        shards,
        ..Settings::default()
    }
}

fn replies(limits: &Limits) -> ReplyBudget {
    let per_second = limits.unauthenticated_replies.per_s;
    let total = limits.unauthenticated_total_per_s();
    ReplyBudget {
        per_source: Rate { per_second, burst: limits.unauthenticated_burst() },
        total: Rate { per_second: total, burst: total },
    }
}

fn with_burst(rate: EventRate, seconds: u32) -> Rate {
    Rate { per_second: rate.per_s, burst: rate.per_s.saturating_mul(seconds) }
}

fn udp_options(offload: Offload, receive: ByteSize, send: ByteSize) -> UdpOptions {
    let bytes = |size: ByteSize| usize::try_from(size.0).ok();
    let offload = offload == Offload::Auto;
    UdpOptions { receive_bytes: bytes(receive), send_bytes: bytes(send), offload }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Transport::{Tls, Udp};
    use crate::http::Origins;
    use crate::relay::stream::StreamDoorSettings;
    use crate::signaling::Advertised;

    #[test]
    fn a_public_address_stands_for_the_internal_one_of_its_family() {
        let plan = plan("public_address = \"203.0.113.4\"", "addresses = [\"127.0.0.1\", \"::1\"]")
            .expect("resolves");
        let external: Vec<String> = plan.ledger.addresses.iter().map(|a| a.external.to_string()).collect();
        assert_eq!(external, ["203.0.113.4", "::1"]);
        assert!(plan.hosts.contains(&"203.0.113.4".parse().expect("literal")));
    }

    #[test]
    fn two_relay_addresses_with_one_public_address_are_refused() {
        let error = plan("public_address = \"203.0.113.4\"", "addresses = [\"127.0.0.1\", \"10.0.0.5\"]");
        assert_eq!(error.expect_err("one face for two").key, "server.public_address");
    }

    #[test]
    fn a_listener_is_no_peer_by_its_public_address_either() {
        let plan = plan("public_address = \"203.0.113.4\"", "addresses = [\"127.0.0.1\"]").expect("resolves");
        assert!(plan.endpoints.contains(&"203.0.113.4:3478".parse().expect("literal")));
    }

    #[test]
    fn a_reload_keeps_what_is_bound_and_keeps_it_closed() {
        let bound = plan("", "addresses = [\"127.0.0.1\"]").expect("resolves");
        let mut file = plan("realm = \"new\"", "addresses = [\"127.0.0.1\"]\nworkers = 7").expect("resolves");
        file.doors = vec!["127.0.0.1:9999".parse().expect("literal")];
        file.endpoints = file.doors.clone();
        file.streams.clear();
        file.ledger.allocations_per_user = 3;
        assert_eq!(bound.needs_restart(&file), ["listen", "relay.workers", "server.realm"]);
        let kept = file.clone().within(&bound);
        assert_eq!((&kept.doors, kept.workers, &*kept.turn.realm), (&bound.doors, 2, "turn"));
        assert_eq!(kept.streams, bound.streams);
        assert_eq!(kept.turn.shards, bound.turn.shards);
        assert_eq!(kept.ledger.allocations_per_user, 3);
        for endpoint in ["127.0.0.1:3478", "127.0.0.1:9999"] {
            assert!(kept.endpoints.contains(&endpoint.parse().expect("literal")), "{endpoint}");
        }
        assert_eq!(kept.needs_restart(&file).len(), 3, "and the next reload says so again");
    }

    #[test]
    fn a_reload_changes_who_may_come_to_signaling_and_not_where() {
        let relay = "addresses = [\"127.0.0.1\"]";
        let bound = plan("", relay).expect("resolves");
        let sections = "[http]\npublic = \"127.0.0.1:81\"\ntrusted_proxies = [\"10.0.0.9\"]\n[signaling]\n\
                        socketio_paths = [\"/api/socket\"]\norigins = [\"*\"]";
        let file = plan("", &format!("{relay}\n{sections}")).expect("resolves");
        assert_eq!(bound.needs_restart(&file), ["http.public", "signaling.socketio_paths"]);
        let kept = file.within(&bound).public;
        assert_eq!((kept.address, kept.paths()), (bound.public.address, bound.public.paths()));
        assert_eq!(kept.trusted_proxies.len(), 1);
        assert_eq!(kept.signaling.expect("on").origins, Origins::Any);
        let off = plan("", &format!("{relay}\n[signaling]\nenabled = false")).expect("resolves");
        assert_eq!(bound.needs_restart(&off), ["signaling.enabled", "signaling.socketio_paths"]);
        assert_eq!(off.within(&bound).public, bound.public);
    }

    #[test]
    fn a_mapping_names_its_internal_address() {
        let mapping = "public_address = { external = \"203.0.113.4\", internal = \"127.0.0.2\" }";
        let plan = plan(mapping, "addresses = [\"127.0.0.1\", \"127.0.0.2\"]").expect("resolves");
        let external: Vec<String> = plan.ledger.addresses.iter().map(|a| a.external.to_string()).collect();
        assert_eq!(external, ["127.0.0.1", "203.0.113.4"]);
    }

    #[test]
    fn an_address_of_another_host_is_refused_with_its_key() {
        let error = plan("", "addresses = [\"192.0.2.77\"]").expect_err("documentation address");
        assert_eq!(error.key, "relay.addresses");
        assert_eq!(error.what, "192.0.2.77 is not an address of this host");
    }

    #[test]
    fn auto_is_the_primary_address_and_a_wildcard_is_advertised_by_it() {
        let plan = plan("public_address = \"203.0.113.4\"", "").expect("resolves");
        let relay = plan.ledger.addresses[0];
        assert_eq!(
            (relay.internal.to_string(), relay.external.to_string()),
            ("10.0.0.5".into(), "203.0.113.4".into())
        );
        let door = |text: &str| text.parse().expect("literal");
        let doors = vec![door("0.0.0.0:3478"), door("127.0.0.1:3478")];
        let stream =
            StreamDoorSettings { address: door("0.0.0.0:443"), tcp: false, tls: true, proxies: Vec::new() };
        let wildcard = Plan { doors, streams: vec![stream], ..plan };
        let literal = |transport, text| Advertised::literal(transport, door(text));
        let loopback = literal(Udp, "127.0.0.1:3478");
        let unnamed = [literal(Udp, "203.0.113.4:3478"), loopback.clone(), literal(Tls, "203.0.113.4:443")];
        assert_eq!(wildcard.advertised_servers(), unnamed);
        let named = Plan { name: Some("turn.example.org".into()), ..wildcard };
        let name = |transport, port| Advertised::named(transport, "turn.example.org", port);
        assert_eq!(named.advertised_servers(), [name(Udp, 3478), loopback, name(Tls, 443)]);
    }

    #[test]
    fn what_is_listened_on_is_no_peer() {
        let plan = plan("", "addresses = [\"127.0.0.1\"]").expect("resolves");
        for endpoint in ["127.0.0.1:3478", "127.0.0.1:9640", "127.0.0.1:8080"] {
            assert!(plan.endpoints.contains(&endpoint.parse().expect("literal")), "{endpoint}");
        }
    }

    fn plan(server: &str, relay: &str) -> Result<Plan, Unfit> {
        let text = format!(
            "[server]\n{server}\n[[listen]]\naddress = \"127.0.0.1:3478\"\ntransports = [\"udp\"]\n\
             [relay]\n{relay}\n[auth]\nsecrets = [\"a-secret-of-at-least-32-characters-00001\"]\n"
        );
        let loaded = super::super::parse("test.toml", &text, []).expect("a good config");
        let host = Host {
            addresses: vec!["127.0.0.1".parse().expect("literal"), "10.0.0.5".parse().expect("literal")],
            primary: [Some("10.0.0.5".parse().expect("literal")), None],
            cores: 2,
            has_ipv6: false,
        };
        resolve(&loaded.config, &host)
    }
}
