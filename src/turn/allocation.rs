//! One allocation: a client, its relayed addresses, and whom they may reach.

use super::accounts::Tally;
use super::address::{ClientAddr, PeerProtocol};
use super::bandwidth::Bucket;
use super::channel::Channels;
use super::connections::Connections;
use super::permission::Permissions;
use super::respond::{Allocated, Asked, Signer};
use super::subjects::SubjectIndex;
use super::verdict::OpenedRelay;
use crate::auth::Identity;
use crate::base::{Family, TimerId, Timestamp};
use crate::wire::stun::TransactionId;
use std::time::Duration;

/// A 5-tuple that is taken: by a request that waits for its ports, or by an allocation.
#[derive(Debug)]
pub(super) enum Slot {
    /// The driver opens ports for it.
    Opening(Box<Opening>),
    /// It relays.
    Live(Box<Allocation>),
}

/// An Allocate that waits for its ports.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) client: ClientAddr,
    pub(super) identity: Identity,
    pub(super) signer: Signer,
    pub(super) asked: Asked,
    pub(super) protocol: PeerProtocol,
    pub(super) lifetime: Duration,
    pub(super) generation: u32,
}

/// Live state.
#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) client: ClientAddr,
    pub(super) identity: Identity,
    pub(super) subject: SubjectIndex,
    /// Place among the subject's allocations.
    pub(super) member: u32,
    pub(super) generation: u32,
    pub(super) relays: [Option<Relay>; 2],
    pub(super) permissions: Permissions,
    pub(super) channels: Channels,
    /// Connections to peers; with it the allocation relays TCP and no datagrams (RFC 6062).
    pub(super) tcp: Option<Box<Connections>>,
    /// The request that made it, and what it was told.
    pub(super) created_by: TransactionId,
    pub(super) created_at: Timestamp,
    pub(super) answer: Allocated,
    /// What it may relay; a TCP allocation has a pool with its connections.
    pub(super) bucket: Bucket,
    /// When the client was heard last, in whole seconds of the monotonic clock.
    pub(super) heard_s: u64,
    /// What it relayed, and what of it was told.
    pub(super) tally: Tally,
    /// When it ends whatever its client asks for: its call is over.
    pub(super) ends_at: Option<Timestamp>,
    /// `None` only while it fires.
    pub(super) timer: Option<TimerId>,
}

/// One relayed transport address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relay {
    pub(super) address: OpenedRelay,
    pub(super) expires: Timestamp,
}

impl Slot {
    pub(super) fn generation(&self) -> u32 {
        match self {
            Self::Opening(opening) => opening.generation,
            Self::Live(allocation) => allocation.generation,
        }
    }

    /// The allocation of a slot that the caller found live in this very input.
    pub(super) fn live(&self) -> &Allocation {
        match self {
            Self::Live(allocation) => allocation,
            Self::Opening(_) => unreachable!("callers look a live allocation up before they use it"),
        }
    }

    /// As [`Slot::live`].
    pub(super) fn live_mut(&mut self) -> &mut Allocation {
        match self {
            Self::Live(allocation) => allocation,
            Self::Opening(_) => unreachable!("callers look a live allocation up before they use it"),
        }
    }
}

impl Allocation {
    /// The relayed address of a family, while it lives.
    pub(super) fn relay(&self, now: Timestamp, family: Family) -> Option<&Relay> {
        self.relays[family as usize].as_ref().filter(|relay| relay.expires > now)
    }

    /// When the next relayed address or connection runs out.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        let relays = self.relays.iter().flatten().map(|relay| relay.expires);
        relays.chain(self.tcp.as_ref().and_then(|tcp| tcp.deadline())).min()
    }
}
