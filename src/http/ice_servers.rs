//! The `iceServers` block that `RTCPeerConnection` takes.

use serde_json::{Value, json};
use std::net::SocketAddr;

/// One STUN and one TURN entry for UDP servers that really listen.
///
/// Exactly the keys of the WebRTC API; IPv6 literals are in brackets.
pub fn ice_servers(servers: &[SocketAddr], username: &str, credential: &str) -> Value {
    let urls = |scheme: &str, tail: &str| -> Vec<String> {
        servers.iter().map(|server| format!("{scheme}:{server}{tail}")).collect()
    };
    json!([
        { "urls": urls("stun", "") },
        { "urls": urls("turn", "?transport=udp"), "username": username, "credential": credential },
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // turn.md point 33: IPv6 literals need brackets, and only the API's keys may appear
    fn urls_are_what_a_browser_takes() {
        let servers = ["192.0.2.1:3478".parse().expect("v4"), "[2001:db8::1]:3478".parse().expect("v6")];
        let block = ice_servers(&servers, "1:a", "x=");
        assert_eq!(block[0], json!({ "urls": ["stun:192.0.2.1:3478", "stun:[2001:db8::1]:3478"] }));
        assert_eq!(block[1]["urls"][1], "turn:[2001:db8::1]:3478?transport=udp");
        assert_eq!(block[1].as_object().map(serde_json::Map::len), Some(3));
    }
}
