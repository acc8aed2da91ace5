//! The `iceServers` block that `RTCPeerConnection` takes.

use crate::base::Transport;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// A door as clients reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// How.
    pub transport: Transport,
    /// Host name, or IP literal with the brackets that IPv6 needs in a URL.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Advertised {
    /// A door by its name.
    pub fn named(transport: Transport, name: &str, port: u16) -> Self {
        Self { transport, host: name.to_owned(), port }
    }

    /// A door by its address.
    pub fn literal(transport: Transport, address: SocketAddr) -> Self {
        let host = if address.is_ipv6() { format!("[{}]", address.ip()) } else { address.ip().to_string() };
        Self { transport, host, port: address.port() }
    }

    /// The URL of RFC 7064 for STUN: over UDP alone, which is all that a browser asks for.
    pub fn stun_url(&self) -> Option<String> {
        (self.transport == Transport::Udp).then(|| format!("stun:{}:{}", self.host, self.port))
    }

    /// The URL of RFC 7065 for TURN.
    pub fn turn_url(&self) -> String {
        let (scheme, transport) = match self.transport {
            Transport::Udp => ("turn", "udp"),
            Transport::Tcp => ("turn", "tcp"),
            Transport::Tls => ("turns", "tcp"),
            Transport::Dtls => ("turns", "udp"),
        };
        format!("{scheme}:{}:{}?transport={transport}", self.host, self.port)
    }
}

/// At most one STUN and one TURN entry for doors that really listen, those over UDP first.
///
/// Exactly the keys of the WebRTC API.
pub fn ice_servers(doors: &[Advertised], username: &str, credential: &str) -> Value {
    let mut block = stun_servers(doors);
    let turn: Vec<_> = by_transport(doors).iter().map(|door| door.turn_url()).collect();
    if !turn.is_empty() {
        block.push(json!({ "urls": turn, "username": username, "credential": credential }));
    }
    Value::Array(block)
}
/// The STUN entry alone, which needs no credentials.
pub(super) fn stun_servers(doors: &[Advertised]) -> Vec<Value> {
    let urls: Vec<_> = by_transport(doors).iter().filter_map(|door| door.stun_url()).collect();
    if urls.is_empty() { Vec::new() } else { vec![json!({ "urls": urls })] }
}

fn by_transport(doors: &[Advertised]) -> Vec<&Advertised> {
    let mut doors: Vec<_> = doors.iter().collect();
    doors.sort_by_key(|door| door.transport);
    doors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // turn.md point 33: IPv6 literals need brackets, and only the API's keys may appear
    fn urls_are_what_a_browser_takes() {
        let literal =
            |transport, text: &str| Advertised::literal(transport, text.parse().expect("an address"));
        let doors = [
            Advertised::named(Transport::Tls, "turn.example.org", 443),
            literal(Transport::Udp, "192.0.2.1:3478"),
            literal(Transport::Tcp, "[2001:db8::1]:3478"),
            literal(Transport::Udp, "[2001:db8::1]:3478"),
        ];
        let block = ice_servers(&doors, "1:a", "x=");
        assert_eq!(block[0], json!({ "urls": ["stun:192.0.2.1:3478", "stun:[2001:db8::1]:3478"] }));
        let urls = [
            "turn:192.0.2.1:3478?transport=udp",
            "turn:[2001:db8::1]:3478?transport=udp",
            "turn:[2001:db8::1]:3478?transport=tcp",
            "turns:turn.example.org:443?transport=tcp",
        ];
        assert_eq!(block[1], json!({ "urls": urls, "username": "1:a", "credential": "x=" }));
    }

    #[test]
    fn without_udp_there_is_no_stun_entry_and_without_doors_none_at_all() {
        let tls = [Advertised::named(Transport::Tls, "turn.example.org", 443)];
        assert_eq!(ice_servers(&tls, "u", "p").as_array().map(Vec::len), Some(1));
        assert_eq!(ice_servers(&[], "u", "p"), json!([]));
    }
}
