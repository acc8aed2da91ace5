//! Rank 3: the STUN and TURN server as a state machine without I/O (RFC 8489, RFC 8656, RFC 5780,
//! RFC 6062).
//!
//! A driver hands in what arrived and the time; it gets back a [`Verdict`], which says what to send
//! now, and drains [`Effect`]s, which say what to open and close. Payload stays where the driver
//! received it: a verdict names a range of it and the few bytes to put in front.
//!
//! One [`Server`] belongs to one driver. What several of them share (relay ports, reservations,
//! quotas) is a [`Ledger`], touched when an allocation is made or ends and never per packet.
#![forbid(unsafe_code)]

mod accounts;
mod address;
mod allocate;
mod allocation;
mod authenticate;
mod bandwidth;
mod canonical;
mod channel;
mod connect;
mod connections;
mod discovery;
mod error;
mod ledger;
mod owing;
mod peer_path;
mod peer_policy;
mod permission;
mod ports;
mod refresh;
mod relaying;
mod request;
mod respond;
mod revoking;
mod server;
mod session;
mod sessions;
mod settings;
mod shaping;
mod shares;
mod strangers;
mod subjects;
mod verdict;

pub use crate::base::Traffic;
pub use accounts::{Account, AccountKey, AccountsPage, Meter};
pub use address::{AllocationId, ClientAddr, ConnectionId, PeerConnection, PeerProtocol, RelayId};
pub use bandwidth::{Bandwidth, Pool};
pub use canonical::embedded_v4;
pub use discovery::Discovery;
pub use error::{OpenError, Reject};
pub use ledger::{
    Grant, Lease, Ledger, LedgerSettings, OpenRequest, PortParity, PortUse, RelayAddress, SubjectTotal,
};
pub use owing::SUBJECTS_RESTING_MAX;
pub use peer_path::PeerPath;
pub use peer_policy::{OwnAddresses, PeerPolicy, PeerRules};
pub use ports::{LivePorts, PortPool, PortRange};
pub use respond::REPLY_BYTES_MAX;
pub use revoking::ENDED_CALLS_MAX;
pub use server::Server;
pub use session::{EndReason, Ended, Session, SessionEvent};
pub use sessions::SessionsPage;
pub use settings::{ReplyBudget, Settings};
pub use shaping::Throttle;
pub use shares::Shares;
/// Bytes of an allocation's memory for one peer that has a permission and a channel.
pub const PEER_BYTES: usize = permission::PERMISSION_BYTES + channel::CHANNEL_BYTES;

pub use verdict::{Effect, Header, Opened, OpenedRelay, Reply, Verdict};
