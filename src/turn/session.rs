//! What can be told of an allocation: to people as a session, to the books as traffic.

use super::address::{AllocationId, PeerProtocol};
use crate::base::{Timestamp, Traffic, Transport, UnixTime};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// A live allocation, as it is at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its name within its server.
    pub allocation: AllocationId,
    /// Whom quotas and usage count.
    pub subject: Arc<str>,
    /// The label of its credential.
    pub label: Option<Arc<str>>,
    /// The call that its credential was made for.
    pub call_id: Option<Arc<str>>,
    /// The id of its credential (`i=`).
    pub credential_id: Option<Arc<str>>,
    /// Where the client sends from.
    pub client: SocketAddr,
    /// The door that it came by.
    pub door: SocketAddr,
    /// How.
    pub transport: Transport,
    /// Datagrams or connections to peers.
    pub protocol: PeerProtocol,
    /// What peers see; one, or one per family.
    pub relayed: Vec<SocketAddr>,
    /// Peers with a permission; only where one session is asked for.
    pub peers: Vec<IpAddr>,
    /// When it was made, by the monotonic clock.
    pub created_at: Timestamp,
    /// When it ends unless it is refreshed, by the monotonic clock.
    pub expires_at: Timestamp,
    /// When its credential ends; `None` for a static user.
    pub credential_expires: Option<UnixTime>,
    /// All that it relayed.
    pub traffic: Traffic,
    /// What it relayed in the last full interval of accounting, per second.
    pub rate: Traffic,
}

/// An allocation that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// As it was at its end: the traffic is all that it relayed, the rate its last one.
    pub session: Session,
    /// Why it ended.
    pub reason: EndReason,
    /// When, by the monotonic clock.
    pub at: Timestamp,
}

/// What became of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// It began.
    Started(Box<Session>),
    /// It is over.
    Ended(Box<Ended>),
}

impl Ended {
    /// How long it lived.
    pub fn age(&self) -> Duration {
        self.at.since(self.session.created_at)
    }
}

/// Why an allocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndReason {
    /// The client said so, with a lifetime of zero.
    Released,
    /// The client did not refresh it.
    Expired,
    /// The connection of the client is gone.
    Disconnected,
    /// Its credential ended, with `auth.strict_expiry`.
    CredentialExpired,
    /// Its credential was revoked.
    Revoked,
    /// Somebody ended it by hand.
    Killed,
    /// It gave way to a fresh one of the same credential.
    Evicted,
    /// Its call has ended.
    CallEnded,
}

impl EndReason {
    /// As it is written in JSON and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Disconnected => "disconnected",
            Self::CredentialExpired => "credential_expired",
            Self::Revoked => "revoked",
            Self::Killed => "killed",
            Self::Evicted => "evicted",
            Self::CallEnded => "call_ended",
        }
    }
}
