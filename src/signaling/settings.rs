//! What an operator decides about sessions, presence, rooms and messages.

use super::Advertised;
use super::call::CallSettings;
use super::session_log::LogSettings;
use crate::auth::{Secret, Variant};
use crate::base::Rate;
use std::time::Duration;

/// Everything that the hub goes by. A reload changes what begins after it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is kept for a session that is away, and for how long.
    pub log: LogSettings,
    /// Sessions on this node.
    pub sessions_total: usize,
    /// Sessions of one user; the one that is away the longest makes room.
    pub sessions_per_user: usize,
    /// Sessions of one source: an IPv4 address, or a /64 of IPv6. Loopback is exempt: it is a proxy of this host.
    pub sessions_per_source: usize,
    /// How fast clients may go.
    pub rates: Rates,
    /// When and how a token ends.
    pub expiry: Expiry,
    /// Who is online.
    pub presence: PresenceSettings,
    /// Rooms.
    pub rooms: RoomSettings,
    /// Messages and other events between users.
    pub messages: MessageSettings,
    /// Calls.
    pub calls: CallSettings,
    /// What calls hand out; `None` while no relay is offered.
    pub relay: Option<RelayOffer>,
}

/// How fast clients may go, for each kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// For one session.
    pub session: KindRates,
    /// For all sessions of one user.
    pub user: KindRates,
    /// For all sessions of one source; loopback is exempt.
    pub source: KindRates,
    /// New or resumed sessions of one user.
    pub connects: Rate,
    /// Refused events of one session; over it, the transport is closed.
    pub refusals: Rate,
    /// How long a user who went over `refusals` stays out.
    pub cool_down: Duration,
}

/// Rates by the kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindRates {
    /// `call:start`.
    pub call_start: Rate,
    /// `message:send`.
    pub chat: Rate,
    /// `webrtc:*` and the other events of calls.
    pub media: Rate,
    /// Everything else.
    pub other: Rate,
}

/// When and how a token ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// How long before its end the client is told.
    pub notice: Duration,
    /// How long after it the transport is closed; at most 60 s.
    pub leeway: Duration,
}

/// Who is online, and who may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresenceSettings {
    /// Who is told without asking.
    pub scope: Scope,
    /// How long after its last transport a user is still online.
    pub grace: Duration,
    /// How long a user who is gone is remembered.
    pub memory: Duration,
    /// The shortest time between two updates of one user.
    pub interval: Duration,
    /// Bytes of `meta`.
    pub meta_bytes_max: usize,
    /// Users that one session may watch.
    pub watched_per_session: usize,
    /// Users that all sessions watch, counted once for each session.
    pub watched_total: usize,
}

/// Who is told about the presence of a user without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those who share a room with the user.
    Rooms,
    /// Everybody.
    All,
}

/// Rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomSettings {
    /// Tokens without the claim `rooms` open every room, and those without `roles` allow any role. A token that has
    /// the claim is held to it either way.
    pub open: bool,
    /// Rooms on this node.
    pub total: usize,
    /// Rooms that one session may be in.
    pub per_session: usize,
    /// Members of a room.
    pub members_max: usize,
    /// How long a room in which nothing happens is kept.
    pub idle: Duration,
    /// Bytes of `info`, which a member tells about itself.
    pub info_bytes_max: usize,
}

/// Messages and other events between users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageSettings {
    /// The latest messages that a room or a pair of users keeps in memory.
    pub history_events: usize,
    /// Their bytes.
    pub history_bytes: usize,
    /// Bytes of all messages that are kept.
    pub history_bytes_total: usize,
    /// Pairs of users that have messages.
    pub pairs_total: usize,
    /// How long a `client_ref` names the message that it sent.
    pub client_ref: Duration,
    /// How many of them are remembered for one user.
    pub client_refs_per_user: usize,
    /// How long somebody types who does not say that they go on.
    pub typing: Duration,
    /// The shortest time between two coalescing events of one sender, name and receiver.
    pub interval: Duration,
    /// Coalescing events, by name and receiver, that one session may have under way.
    pub coalescing_per_session: usize,
}

/// How clients of calls reach the relay.
#[derive(Clone, Debug)]
pub struct RelayOffer {
    /// Its doors.
    pub doors: Vec<Advertised>,
    /// What signs the credentials.
    pub secret: Secret,
    /// Its HMAC.
    pub variant: Variant,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            log: LogSettings::default(),
            sessions_total: 100_000,
            sessions_per_user: 64,
            sessions_per_source: 1_000,
            rates: Rates::default(),
            expiry: Expiry { notice: Duration::from_secs(60), leeway: Duration::from_secs(30) },
            presence: PresenceSettings::default(),
            rooms: RoomSettings::default(),
            messages: MessageSettings::default(),
            calls: CallSettings::default(),
            relay: None,
        }
    }
}

impl Default for Rates {
    fn default() -> Self {
        let rate = |per_second, burst| Rate { per_second, burst };
        Self {
            session: KindRates {
                call_start: rate(1, 5),
                chat: rate(10, 10),
                media: rate(200, 1_000),
                other: rate(50, 200),
            },
            user: KindRates {
                call_start: rate(2, 10),
                chat: rate(10, 10),
                media: rate(400, 2_000),
                other: rate(100, 400),
            },
            source: KindRates {
                call_start: rate(50, 200),
                chat: rate(500, 1_000),
                media: rate(5_000, 20_000),
                other: rate(1_000, 5_000),
            },
            connects: rate(2, 64),
            refusals: rate(10, 100),
            cool_down: Duration::from_secs(10),
        }
    }
}

impl Default for PresenceSettings {
    fn default() -> Self {
        Self {
            scope: Scope::Rooms,
            grace: Duration::from_secs(5),
            memory: Duration::from_secs(30 * 60),
            interval: Duration::from_millis(50),
            meta_bytes_max: 4 << 10,
            watched_per_session: 256,
            watched_total: 1_000_000,
        }
    }
}

impl Default for RoomSettings {
    fn default() -> Self {
        Self {
            open: true,
            total: 100_000,
            per_session: 128,
            members_max: 1_000,
            idle: Duration::from_secs(30 * 60),
            info_bytes_max: 4 << 10,
        }
    }
}

impl Default for MessageSettings {
    fn default() -> Self {
        Self {
            history_events: 100,
            history_bytes: 256 << 10,
            history_bytes_total: 64 << 20,
            pairs_total: 100_000,
            client_ref: Duration::from_secs(120),
            client_refs_per_user: 256,
            typing: Duration::from_secs(3),
            interval: Duration::from_millis(50),
            coalescing_per_session: 32,
        }
    }
}
