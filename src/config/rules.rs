//! Rules that span keys, or that need the daemon's knowledge rather than a type.

use super::addresses::{DenyRule, RelayAddress};
use super::checked::{Config, Listen, Tls, TlsMode, Transport};
use super::public_address::{PublicAddress, PublicMapping};
use super::report::Report;
use super::units::ByteSize;
use super::{bandwidth, discovery, dtls, hub, signaling};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Reports every broken rule outside `[auth]`.
pub(super) fn check(config: &Config, report: &mut Report) {
    listeners(config, report);
    relay_addresses(&config.relay.addresses, report);
    tcp_relay(config, report);
    public_addresses(&config.server.public_address, report);
    peers(config, report);
    tls(&config.tls, report);
    tls_doors(config, report);
    dtls::check(config, report);
    durations(config, report);
    drain(config, report);
    buffers(config, report);
    bandwidth::check(config, report);
    signaling::check(config, report);
    hub::check(config, report);
}

fn listeners(config: &Config, report: &mut Report) {
    if report.is_given("listen") && config.listen.is_empty() {
        report.error_at("listen", "no listener is left", "delete the line: the default is port 3478");
    }
    let mut keys = BTreeMap::new();
    let doors = [("http.public", config.http.public), ("http.admin", config.http.admin)];
    for (index, listen) in config.listen.iter().enumerate() {
        listener(index, listen, &mut keys, report);
    }
    // Last, so that what has a line of its own keeps it.
    for (index, listen) in config.listen.iter().enumerate() {
        discovery::check(index, listen, &mut keys, report);
    }
    for (key, door) in doors {
        let Some(address) = door.0.filter(|address| address.port() != 0) else { continue };
        // One and the same kernel port: HTTP is TCP, too.
        let rival = [Transport::Tcp, Transport::Tls].iter().find_map(|kind| keys.get(&(address, *kind)));
        match rival {
            Some(rival) => {
                let message = format!("`{key}`: {address} is already taken by `{rival}`");
                report.error_at(key, message, "give each its own port");
            }
            None => _ = keys.insert((address, Transport::Tcp), key.to_owned()),
        }
    }
}

fn listener(
    index: usize,
    listen: &Listen,
    keys: &mut BTreeMap<(SocketAddr, Transport), String>,
    report: &mut Report,
) {
    let key = format!("listen[{index}]");
    let (address, transports) = (format!("{key}.address"), format!("{key}.transports"));
    if report.given_place(&key).is_some() && !report.is_given(&address) {
        let help = "add address = \"0.0.0.0:3478\"";
        return report.error_at(&key, "a [[listen]] section needs an `address`", help);
    }
    if report.has_error(&key) {
        return;
    }
    if listen.address.port() == 0 {
        report.error_at(
            &address,
            format!("`{address}`: clients cannot find port 0"),
            "write a port, usually 3478",
        );
    }
    if listen.transports.is_empty() {
        let help = "write transports = [\"udp\"], or delete the whole [[listen]]";
        report.error_at(&transports, format!("`{transports}` is empty"), help);
    }
    proxies(&key, listen, report);
    for (i, transport) in listen.transports.iter().enumerate() {
        let place = format!("{transports}[{i}]");
        if let Some(first) = keys.get(&(listen.address, *transport)) {
            let what = format!("{} on {}", transport.word(), listen.address);
            let message = format!("`{place}`: {what} is already taken by `{first}`");
            report.error_at(&place, message, "delete one of them, or change its port");
        } else {
            keys.insert((listen.address, *transport), place);
        }
    }
}

/// Who may say in whose name it connects.
fn proxies(listener: &str, listen: &Listen, report: &mut Report) {
    let key = format!("{listener}.proxy_protocol_from");
    if !listen.proxy_protocol_from.is_empty() && !listen.takes_connections() {
        let help = "add \"tcp\" or \"tls\" to its transports, or delete the line";
        report.warn_at(&key, format!("`{key}` is without effect: only connections bring the header"), help);
    }
    for (i, net) in listen.proxy_protocol_from.iter().enumerate() {
        if net.prefix_len() == 0 {
            let (key, help) = (format!("{key}[{i}]"), "list the addresses of your load balancers");
            report.warn_at(&key, format!("`{key}`: {net} lets everybody claim any address"), help);
        }
    }
}

fn relay_addresses(addresses: &[RelayAddress], report: &mut Report) {
    const KEY: &str = "relay.addresses";
    if report.has_error(KEY) {
        return;
    }
    if addresses.is_empty() {
        report.error_at(KEY, format!("`{KEY}` is empty"), "write [\"auto\"], or addresses of this host");
    }
    if addresses.len() > 1 && addresses.contains(&RelayAddress::Auto) {
        let help = "write either [\"auto\"] or the addresses";
        report.error_at(KEY, format!("`{KEY}`: \"auto\" already means every address"), help);
    }
    for (i, address) in addresses.iter().enumerate() {
        let key = format!("{KEY}[{i}]");
        let RelayAddress::Ip(ip) = address else { continue };
        if !is_host(*ip) {
            let help = "write an address of this host, or \"auto\"";
            report.error_at(&key, format!("`{key}`: {ip} cannot be a relay address"), help);
        }
        if addresses[..i].contains(address) {
            report.error_at(&key, format!("`{key}`: {ip} is there twice"), "delete one of them");
        }
    }
}

fn tcp_relay(config: &Config, report: &mut Report) {
    const KEY: &str = "relay.tcp";
    if config.relay.tcp && !config.listen.iter().any(Listen::takes_connections) {
        let help = "add \"tcp\" or \"tls\" to the transports of a [[listen]]";
        report.warn_at(
            KEY,
            format!("`{KEY}` is without effect: only clients of TCP or TLS may have it"),
            help,
        );
    }
}

fn public_addresses(public: &PublicAddress, report: &mut Report) {
    const KEY: &str = "server.public_address";
    let PublicAddress::Fixed(mappings) = public else { return };
    if mappings.is_empty() {
        report.error_at(KEY, format!("`{KEY}` is empty"), "write \"auto\", or an address");
    }
    for (i, mapping) in mappings.iter().enumerate() {
        let item = format!("{KEY}[{i}]");
        let key = if report.is_given(&item) { item } else { KEY.to_owned() };
        let external = mapping.external;
        if !is_host(external) {
            let help = "write the address that clients see, such as \"203.0.113.4\"";
            report.error_at(&key, format!("`{key}`: {external} is not the address of a host"), help);
        }
        if mapping.internal.is_some_and(|internal| internal.is_ipv4() != external.is_ipv4()) {
            let help = "a 1:1 NAT maps IPv4 to IPv4 and IPv6 to IPv6";
            report.error_at(&key, format!("`{key}` mixes address families"), help);
        }
        let is_rival = |other: &PublicMapping| {
            other.internal == mapping.internal && other.external.is_ipv4() == external.is_ipv4()
        };
        if mappings[..i].iter().any(is_rival) {
            let help = "write { external = \"..\", internal = \"..\" } for each";
            report.error_at(&key, format!("`{key}`: two public addresses for the same one here"), help);
        }
    }
}

pub(super) fn is_host(ip: IpAddr) -> bool {
    let is_broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}

fn peers(config: &Config, report: &mut Report) {
    const KEY: &str = "relay.peers.deny";
    let peers = &config.relay.peers;
    if peers.denies_recommended() {
        return;
    }
    if peers.deny.contains(&DenyRule::Recommended) {
        report.error_at(KEY, format!("`{KEY}` has both \"recommended\" and \"none\""), "delete one of them");
    }
    report.warn_at(
        KEY,
        "clients can reach private networks through the relay: `relay.peers.deny` has \"none\"",
        "list the networks that they need in `relay.peers.allow`, and delete \"none\"",
    );
}

fn tls(tls: &Tls, report: &mut Report) {
    if tls.mode == TlsMode::Files {
        for (key, path) in [("tls.cert", &tls.cert), ("tls.key", &tls.key)] {
            if path.is_none() && !report.has_error(key) {
                report.error_at("tls.mode", format!("mode \"files\" needs `{key}`"), "add the path in [tls]");
            }
        }
    }
    for i in 0..tls.extra.len() {
        for key in ["cert", "key"].map(|key| format!("tls.extra[{i}].{key}")) {
            if !report.is_given(&key) {
                let section = format!("tls.extra[{i}]");
                report.error_at(&section, format!("`{key}` is missing"), "a certificate needs both files");
            }
        }
    }
}

fn tls_doors(config: &Config, report: &mut Report) {
    if config.tls.has_certificate() {
        return;
    }
    let closed = config.listen.iter().enumerate().find_map(|(i, listen)| {
        let at = listen.transports.iter().position(|transport| *transport == Transport::Tls)?;
        Some(format!("listen[{i}].transports[{at}]"))
    });
    if let Some(key) = closed {
        let message = format!("`{key}`: without a certificate, \"tls\" doors stay closed");
        report.warn_at(&key, message, "set mode = \"files\" or mode = \"self-signed\" in [tls]");
    }
}

fn durations(config: &Config, report: &mut Report) {
    const DAY: Duration = Duration::from_secs(86_400);
    let minute = |count: u64| Duration::from_secs(60 * count);
    let mut within = |key: &str, value: Duration, range: RangeInclusive<Duration>, words: &str| {
        if !range.contains(&value) && !report.has_error(key) {
            report.error_at(key, format!("`{key}` is out of range"), format!("write {words}"));
        }
    };
    // RFC 8656 section 7.2: a lifetime is at least the default of 10 minutes; longer than an hour only
    // keeps ports of clients that are gone.
    within("relay.max_lifetime", config.relay.max_lifetime, minute(10)..=minute(60), "\"10m\" to \"1h\"");
    let hour = Duration::ZERO..=minute(60);
    within("relay.port_quarantine", config.relay.port_quarantine, hour, "\"0s\" to \"1h\"");
    within("server.drain_timeout", config.server.drain_timeout, Duration::ZERO..=DAY, "\"0s\" to \"24h\"");
    let ttl = minute(1)..=DAY * 365;
    within("auth.ttl", config.auth.ttl, ttl.clone(), "\"1m\" to \"365d\"");
    within("auth.max_ttl", config.auth.max_ttl, ttl, "\"1m\" to \"365d\"");
    within("usage.retention", config.usage.retention, DAY..=DAY * 36_500, "\"1d\" to \"36500d\"");
}

/// A drain that outlives the patience of the service manager is cut by it.
fn drain(config: &Config, report: &mut Report) {
    const KEY: &str = "server.drain_timeout";
    let needed = config.server.drain_timeout + AFTER_DRAIN;
    if needed > UNIT_STOP_TIMEOUT && !report.has_error(KEY) {
        let (patience, needed) = (UNIT_STOP_TIMEOUT.as_secs(), needed.as_secs());
        let message =
            format!("`{KEY}`: systemd ends the daemon {patience} s after it is to stop, drained or not");
        let help = format!(
            "write less, or raise TimeoutStopSec of the unit (`systemctl edit turnstone`) to {needed} or more"
        );
        report.warn_at(KEY, message, help);
    }
}

fn buffers(config: &Config, report: &mut Report) {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    let relay = &config.relay;
    let mut within = |key: &str, value: ByteSize, range: RangeInclusive<u64>, words: &str| {
        if !range.contains(&value.0) && !report.has_error(key) {
            report.error_at(key, format!("`{key}` is out of range"), format!("write {words}"));
        }
    };
    // Below 4 KiB not even one datagram with its kernel overhead fits; SO_RCVBUF is a signed int.
    within("relay.receive_buffer", relay.receive_buffer, 4 * KIB..=64 * MIB, "\"4KiB\" to \"64MiB\"");
    within("relay.send_buffer", relay.send_buffer, 4 * KIB..=64 * MIB, "\"4KiB\" to \"64MiB\"");
    within("relay.listener_buffer", relay.listener_buffer, 64 * KIB..=512 * MIB, "\"64KiB\" to \"512MiB\"");
    let message = config.signaling.max_message;
    within("signaling.max_message", message, KIB..=16 * MIB, "\"1KiB\" to \"16MiB\"");
}

/// `TimeoutStopSec` of `systemd/turnstone.service`.
pub(super) const UNIT_STOP_TIMEOUT: Duration = Duration::from_secs(330);

/// What a stop takes behind its drain: the books, the calls and the storage.
const AFTER_DRAIN: Duration = Duration::from_secs(30);
