//! What people want to know of a driver, or want from it.

use crate::auth::Revocations;
use crate::turn::{AccountsPage, AllocationId, EndReason, Session, SessionsPage};
use std::sync::Arc;
use tokio::sync::oneshot;

/// A question to one driver. The answer comes within a turn of its loop; no packet waits for it, and the driver waits
/// for nobody who may have gone.
#[derive(Debug)]
pub enum Question {
    /// A page of live sessions.
    Sessions {
        /// Where it begins.
        from: u32,
        /// For whom.
        answer: oneshot::Sender<SessionsPage>,
    },
    /// One session with its peers.
    Session {
        /// Which.
        allocation: AllocationId,
        /// For whom.
        answer: oneshot::Sender<Option<Session>>,
    },
    /// End a session.
    End {
        /// Which.
        allocation: AllocationId,
        /// Why.
        reason: EndReason,
        /// Told whether there was one.
        answer: oneshot::Sender<bool>,
    },
    /// Take over all orders in force, and end what they deny.
    Revoke {
        /// The orders.
        orders: Arc<Revocations>,
        /// Told how many sessions ended, when all are looked at.
        answer: oneshot::Sender<usize>,
    },
    /// A page of what was relayed since the last one. Who asks must read the answer, whenever it comes: it is told
    /// once. When nobody waits for it any more it is kept for the next one.
    Accounts {
        /// Where it begins.
        from: u32,
        /// For whom.
        answer: oneshot::Sender<AccountsPage>,
    },
}

impl Question {
    /// Whether the answer takes a walk over many places, of which few fit one turn.
    pub(super) fn is_page(&self) -> bool {
        matches!(self, Self::Sessions { .. } | Self::Accounts { .. })
    }
}
