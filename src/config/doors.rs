//! Listeners as sockets: each has one family, so no address is ever seen in IPv4-mapped form.

use super::checked::{Config, Listen, TlsMode, Transport};
use super::host::Host;
use super::plan::DtlsPlan;
use crate::relay::stream::StreamDoorSettings;
use std::net::{Ipv4Addr, SocketAddr};

/// Where UDP is listened on.
pub(super) fn datagram(config: &Config, host: &Host) -> Vec<SocketAddr> {
    let udp: Vec<_> =
        config.listen.iter().filter(|listen| listen.transports.contains(&Transport::Udp)).collect();
    sockets(&udp, host).into_iter().map(|(address, _)| address).collect()
}

/// Where connections are taken, and what each address takes; sections with one address add up. TLS needs a
/// certificate: while `tls.mode` is "off" it is left out.
pub(super) fn streams(config: &Config, host: &Host) -> Vec<StreamDoorSettings> {
    let listens: Vec<_> = config.listen.iter().filter(|listen| listen.takes_connections()).collect();
    let has_certificate = config.tls.has_certificate();
    let mut streams = Vec::<StreamDoorSettings>::new();
    for (address, listen) in sockets(&listens, host) {
        let at = streams.iter().position(|door| door.address == address).unwrap_or_else(|| {
            streams.push(StreamDoorSettings { address, tcp: false, tls: false, proxies: Vec::new() });
            streams.len() - 1
        });
        let door = &mut streams[at];
        door.tcp |= listen.transports.contains(&Transport::Tcp);
        door.tls |= listen.transports.contains(&Transport::Tls) && has_certificate;
        door.proxies.extend(&listen.proxy_protocol_from);
    }
    streams.retain(|door| door.tcp || door.tls);
    streams
}

/// Where DTLS is spoken, if this build and a certificate in files allow it.
pub(super) fn dtls(config: &Config, host: &Host) -> Option<DtlsPlan> {
    let wants_dtls = |listen: &&Listen| listen.transports.contains(&Transport::Dtls);
    let listens: Vec<_> = config.listen.iter().filter(wants_dtls).collect();
    let (cert, key) = config.tls.cert.clone().zip(config.tls.key.clone())?;
    let doors: Vec<_> = sockets(&listens, host).into_iter().map(|(address, _)| address).collect();
    let can_serve = cfg!(feature = "dtls") && config.tls.mode == TlsMode::Files;
    (can_serve && !doors.is_empty()).then_some(DtlsPlan { doors, cert, key })
}

/// The sockets of these sections.
///
/// `[::]` means IPv4 too, as it does elsewhere, unless the port has an IPv4 listener of its own; on a
/// host without IPv6 it means IPv4 only.
fn sockets<'a>(listens: &[&'a Listen], host: &Host) -> Vec<(SocketAddr, &'a Listen)> {
    let mut sockets = Vec::new();
    for listen in listens {
        let address = listen.address;
        let is_wildcard = address.is_ipv6() && address.ip().is_unspecified();
        let has_ipv4 =
            listens.iter().any(|other| other.address.is_ipv4() && other.address.port() == address.port());
        if !is_wildcard || host.has_ipv6 {
            sockets.push((address, *listen));
        }
        if is_wildcard && !has_ipv4 {
            sockets.push((SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()), *listen));
        }
    }
    sockets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(listen: &str) -> Config {
        let text = format!("{listen}[auth]\nsecrets = [\"a-secret-of-at-least-32-characters-00001\"]\n");
        super::super::parse("test.toml", &text, []).expect("a good config").config
    }

    fn host(has_ipv6: bool) -> Host {
        Host { addresses: Vec::new(), primary: [None, None], cores: 1, has_ipv6 }
    }

    fn addresses<'a>(found: impl IntoIterator<Item = &'a SocketAddr>) -> String {
        found.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_ipv6_wildcard_means_ipv4_too_unless_that_is_listed() {
        let listen = |address: &str| format!("[[listen]]\naddress = \"{address}\"\n");
        let doors = |text: &str, has_ipv6| {
            let config = config(text);
            let streams = streams(&config, &host(has_ipv6));
            let udp = addresses(&datagram(&config, &host(has_ipv6)));
            assert_eq!(addresses(streams.iter().map(|door| &door.address)), udp);
            udp
        };
        assert_eq!(doors(&listen("[::]:3478"), true), "[::]:3478 0.0.0.0:3478");
        assert_eq!(doors(&listen("[::]:3478"), false), "0.0.0.0:3478");
        assert_eq!(doors(&listen("[::1]:3478"), true), "[::1]:3478");
        let both = listen("[::]:3478") + &listen("0.0.0.0:3478");
        assert_eq!(doors(&both, true), "[::]:3478 0.0.0.0:3478");
    }

    #[test]
    fn proxies_are_believed_where_they_are_listed() {
        let from = |address: &str, more: &str| {
            format!("[[listen]]\naddress = \"{address}\"\nproxy_protocol_from = [\"10.0.0.0/24\"]\n{more}\n")
        };
        let text = [
            from("[::]:1", ""),
            from("[::]:2", ""),
            "[[listen]]\naddress = \"0.0.0.0:2\"\n".to_owned(),
            from("[::1]:3", ""),
            from("[::1]:4", "transports = [\"udp\"]"),
        ];
        let streams = streams(&config(&text.concat()), &host(true));
        let (believing, other): (Vec<_>, Vec<_>) =
            streams.into_iter().partition(|door| !door.proxies.is_empty());
        assert_eq!(addresses(believing.iter().map(|door| &door.address)), "[::]:1 0.0.0.0:1 [::]:2 [::1]:3");
        assert!(believing.iter().all(|door| door.proxies[..] == ["10.0.0.0/24".parse().expect("literal")]));
        assert_eq!(addresses(other.iter().map(|door| &door.address)), "0.0.0.0:2");
    }

    #[test]
    fn one_address_is_one_door_and_tls_needs_a_certificate() {
        let two = "[[listen]]\naddress = \"127.0.0.1:443\"\ntransports = [\"tls\"]\n\
                   [[listen]]\naddress = \"127.0.0.1:443\"\ntransports = [\"tcp\"]\n";
        let door = |tls| StreamDoorSettings {
            address: "127.0.0.1:443".parse().expect("literal"),
            tcp: true,
            tls,
            proxies: Vec::new(),
        };
        assert_eq!(streams(&config(two), &host(true)), [door(false)]);
        let with_certificate = format!("{two}[tls]\nmode = \"self-signed\"\n");
        assert_eq!(streams(&config(&with_certificate), &host(true)), [door(true)]);
    }
}
