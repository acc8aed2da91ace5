//! What the operator decided about relaying, checked.

use super::bandwidth::Bandwidth;
use super::discovery::Discovery;
use crate::base::Rate;
use std::time::Duration;

/// Checked settings of one [`super::Server`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// REALM of challenges.
    pub realm: String,
    /// Longest lifetime that a client gets, at least [`Settings::LIFETIME_DEFAULT`].
    pub max_lifetime: Duration,
    /// Take what clients before RFC 8656 send: channel numbers 0x5000-0x7FFF, which it reserves and
    /// RFC 5766 allowed, and ADDITIONAL-ADDRESS-FAMILY under its old number.
    pub legacy_channels: bool,
    /// An expired credential ends its live allocations too.
    pub strict_expiry: bool,
    /// Permissions of one allocation at a time.
    pub permissions_max: usize,
    /// Channels of one allocation at a time.
    pub channels_max: usize,
    /// Relay TCP too (RFC 6062), for clients that come over TCP or TLS.
    pub tcp_relay: bool,
    /// Relayed datagrams a second of one subject, both ways together. TCP relaying has no datagrams: its
    /// connections are bounded in number, and each by what its slower side takes.
    pub packets_per_user: Option<Rate>,
    /// Relayed payload a second.
    pub bandwidth: Bandwidth,
    /// Peers a second that one subject may add.
    pub new_peers_per_second: Option<Rate>,
    /// Replies to strangers.
    pub replies: ReplyBudget,
    /// Doors for NAT behaviour discovery, none twice. Few: each Binding request looks its door up here.
    pub discovery: Vec<Discovery>,
    /// How many servers share the budgets: each takes its part.
    pub shards: usize,
}

/// UDP replies to datagrams without valid integrity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyBudget {
    /// For each IPv4 address or IPv6 /64.
    pub per_source: Rate,
    /// For all together.
    pub total: Rate,
}

impl Settings {
    /// Permissions, and channels, of one allocation: a mesh of twelve with twenty candidates each.
    pub const PEERS_MAX: usize = 256;
    /// Lifetime of an allocation when the client names none, and the least it gets (RFC 8656
    /// section 7.2).
    pub const LIFETIME_DEFAULT: Duration = Duration::from_secs(600);
    /// RFC 8656 section 9: exactly five minutes.
    pub const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);
    /// RFC 8656 section 12: ten minutes.
    pub const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);
    /// How long an expired binding still refuses other partners (RFC 8656 section 12: five minutes).
    pub const CHANNEL_QUARANTINE: Duration = Duration::from_secs(300);
    /// How long a reserved port waits for its token (RFC 8656 section 7.2: at least 30 s).
    pub const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);
    /// An allocation without a packet from its client for this long may give way to a fresh one of
    /// the same credential: a live path sends consent checks every 5 s (RFC 7675 section 5.1).
    pub const IDLE_AFTER: Duration = Duration::from_secs(10);
    /// How long a Connect may take, and how long every one that fails does: the client shall not learn
    /// from the clock whether the peer refused, or a filter ate the packets (RFC 6062 section 5.2: at
    /// least 30 s).
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
    /// How long a connection to a peer waits for its ConnectionBind (RFC 6062 sections 5.2 and 5.3).
    pub const BIND_TIMEOUT: Duration = Duration::from_secs(30);
    /// Connections to peers of one allocation.
    pub const CONNECTIONS_MAX: usize = 64;
    /// Connections of one subject that are being made or wait for their ConnectionBind, over all servers:
    /// a port scan gets as many answers in 30 s.
    pub const CONNECTIONS_PENDING_MAX: u32 = 16;
    /// Wrong guesses of one source for one user.
    pub const GUESSES: Rate = Rate { per_second: 1, burst: 20 };
}

impl Default for ReplyBudget {
    fn default() -> Self {
        Self {
            per_source: Rate { per_second: 500, burst: 5_000 },
            total: Rate { per_second: 50_000, burst: 50_000 },
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            realm: "turn".into(),
            max_lifetime: Duration::from_secs(3600),
            legacy_channels: false,
            strict_expiry: false,
            permissions_max: Self::PEERS_MAX,
            channels_max: Self::PEERS_MAX,
            tcp_relay: false,
            packets_per_user: None,
            bandwidth: Bandwidth::default(),
            new_peers_per_second: Some(Rate { per_second: 50, burst: 200 }),
            replies: ReplyBudget::default(),
            discovery: Vec::new(),
            shards: 1,
        }
    }
}
