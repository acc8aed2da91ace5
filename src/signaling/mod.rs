//! Rank 3: calls, presence and rooms, for clients of any wire.
//!
//! A [`Hub`] is driven by values: a session comes, says something, loses its connection, goes on or leaves, and time
//! passes. It answers with [`Effect`]s, which the driver drains after each input, and with queues that the driver
//! empties ([`Hub::next_outgoing`]) whenever a connection can take more. The driver owns sockets, wires and clocks.
//!
//! - A *connection* is a transport: one Engine.IO session, or one plain WebSocket. The hub does not know it.
//! - A *session* is one namespace of a Socket.IO connection, or one plain WebSocket. It outlives its connection for as
//!   long as it may be resumed.
//! - A *device* is the same program of a user over any number of sessions, a *user* is the `sub` of a token.
//!
#![doc = include_str!("PROTOCOL.md")]
#![forbid(unsafe_code)]

mod answers;
mod back_end;
pub mod bus;
mod call;
mod clock;
mod coalesce;
mod connecting;
mod delivery;
mod dispatch;
mod emit;
pub mod engine;
mod event;
mod expiry;
mod hub;
mod ice_servers;
mod identity;
mod json;
mod keep;
mod leaving;
mod limits;
mod membership;
mod messages;
mod pairs;
mod party;
mod payload;
mod people;
mod presence;
mod reading;
mod rooms;
mod session;
mod session_log;
mod settings;
mod shelves;
mod talk;
mod town;
mod typing;
mod worst_case;

pub use back_end::{BackEndEvent, Whose};
pub use bus::Goal;
pub use call::{
    Abilities, BusyPolicy, CallRecord, CallSettings, Callee, Calls, Census, Command, DeviceChange,
    GROUP_MEMBERS_HARD_MAX, LiveCall, LiveParty, LiveStep, Media, Output, Recipients, RejectScope, Stand,
    World,
};
pub use connecting::{Hello, Resume, Welcome};
pub use event::{Class, Inbound, Outgoing, Push, Refusal};
pub use hub::{Closing, Effect, Hub};
pub use ice_servers::{Advertised, ice_servers};
pub use identity::{Identity, OpenRooms};
pub use keep::{Conversation, Deed, Outcome, SentBefore, StoredMessage, Unread, Unstored};
pub use party::{Party, SessionId};
pub use reading::HISTORY_BYTES_MAX;
pub use session_log::LogSettings;
pub use settings::{
    Expiry, KindRates, MessageSettings, PresenceSettings, Rates, RelayOffer, RoomSettings, Scope, Settings,
};
pub use shelves::SURE_FOR;
