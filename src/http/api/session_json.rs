//! A session as the API and the events tell it.

use super::clock::rfc3339;
use crate::base::{Now, Timestamp, UnixTime};
use crate::turn::{PeerProtocol, Session};
use serde_json::{Value, json};

/// `now`: of the clock that the session's times are of.
pub fn session_json(driver: usize, session: &Session, now: Now) -> Value {
    let unix = |at: Timestamp| {
        let (ago, ahead) = (now.at.since(at).as_secs(), at.since(now.at).as_secs());
        rfc3339(UnixTime(now.unix.0.saturating_add(ahead).saturating_sub(ago)))
    };
    let (allocation, traffic, rate) = (session.allocation, &session.traffic, &session.rate);
    json!({
        "id": format!("{driver}-{}-{}", allocation.index, allocation.generation),
        "subject": *session.subject,
        "label": session.label.as_deref(),
        "call_id": session.call_id.as_deref(),
        "credential_id": session.credential_id.as_deref(),
        "client": session.client,
        "door": session.door,
        "transport": transport(session),
        "peer_transport": match session.protocol {
            PeerProtocol::Udp => "udp",
            PeerProtocol::Tcp => "tcp",
        },
        "relayed": session.relayed,
        "peers": session.peers,
        "created_at": unix(session.created_at),
        "expires_at": unix(session.expires_at),
        "credential_expires_at": session.credential_expires.map(rfc3339),
        "age_s": now.at.since(session.created_at).as_secs(),
        "bytes_from_client": traffic.bytes_from_client,
        "bytes_from_peer": traffic.bytes_from_peer,
        "packets_from_client": traffic.packets_from_client,
        "packets_from_peer": traffic.packets_from_peer,
        "rate_from_client_bps": rate.bytes_from_client.saturating_mul(8),
        "rate_from_peer_bps": rate.bytes_from_peer.saturating_mul(8),
    })
}

fn transport(session: &Session) -> &'static str {
    use crate::metrics::Label;
    crate::base::Transport::VALUES[session.transport.index()]
}
