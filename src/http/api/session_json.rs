//! A session as the API and the events tell it.

use super::clock::rfc3339;
use crate::base::{Now, Transport, UnixTime};
use crate::metrics::Label;
use crate::turn::{AllocationId, PeerProtocol, Session};
use serde_json::{Value, json};

/// The name of a session: `<driver>-<index>-<generation>`.
pub(super) fn id_text(driver: usize, allocation: AllocationId) -> String {
    format!("{driver}-{}-{}", allocation.index, allocation.generation)
}

/// `now`: of the clock that the session's times are of.
pub fn session_json(driver: usize, session: &Session, now: Now) -> Value {
    let age_s = now.at.since(session.created_at).as_secs();
    let started = UnixTime(now.unix.0.saturating_sub(age_s));
    let (traffic, rate) = (&session.traffic, &session.rate);
    json!({
        "id": id_text(driver, session.allocation),
        "worker": driver,
        "subject": *session.subject,
        "label": session.label.as_deref(),
        "call_id": session.call_id.as_deref(),
        "credential_id": session.credential_id.as_deref(),
        "credential_expires_at": session.credential_expires.map(rfc3339),
        "client": session.client,
        "door": session.door,
        "transport": Transport::VALUES[session.transport.index()],
        "peer_protocol": match session.protocol {
            PeerProtocol::Udp => "udp",
            PeerProtocol::Tcp => "tcp",
        },
        "relayed": session.relayed.first(),
        "relayed_all": session.relayed,
        "started_at": rfc3339(started),
        "age_s": age_s,
        "expires_in_s": session.expires_at.since(now.at).as_secs(),
        "bytes_from_client": traffic.bytes_from_client,
        "bytes_from_peer": traffic.bytes_from_peer,
        "packets_from_client": traffic.packets_from_client,
        "packets_from_peer": traffic.packets_from_peer,
        "rate_from_client_bps": rate.bytes_from_client.saturating_mul(8),
        "rate_from_peer_bps": rate.bytes_from_peer.saturating_mul(8),
    })
}
