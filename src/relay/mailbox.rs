//! How anybody talks to a shard: a bounded queue and a wake-up.

use crate::auth::{Authenticator, CredentialId};
use crate::net::Waker;
use crate::turn::{AllocationId, PeerPolicy, Settings};
use crossbeam_channel::{Receiver, Sender, TrySendError};
use std::sync::Arc;

/// Commands that wait at once. Each of 256 shards may have asked for 16 evictions and be owed as many
/// answers; the rest is room for what an operator does.
const COMMANDS_MAX: usize = 2 * 256 * super::ports::WAITING_MAX;

/// What a shard can be told.
#[derive(Debug)]
pub enum Command {
    /// Take over changed settings.
    Reload(ShardUpdate),
    /// Refuse new allocations, or take them again.
    Drain(bool),
    /// End an idle allocation of this credential, since shard `asker` needs room for `allocation`.
    EvictIdle {
        /// Whose quota is reached.
        subject: Arc<str>,
        /// Which credential asks.
        credential: CredentialId,
        /// Who waits for [`Command::EvictionTried`].
        asker: usize,
        /// For what.
        allocation: AllocationId,
    },
    /// The answer to [`Command::EvictIdle`].
    EvictionTried {
        /// For what.
        allocation: AllocationId,
    },
    /// End the thread.
    Stop,
}

/// Settings that can change while allocations live.
#[derive(Clone, Debug)]
pub struct ShardUpdate {
    /// Of the state machine.
    pub settings: Arc<Settings>,
    /// Credentials.
    pub authenticator: Arc<Authenticator>,
    /// Peers.
    pub policy: PeerPolicy,
}

/// The sending end, for any thread.
#[derive(Clone, Debug)]
pub struct Mailbox {
    sender: Sender<Command>,
    waker: Waker,
}

impl Mailbox {
    /// A mailbox of the shard whose poller `waker` wakes, and the end that the shard reads.
    pub(super) fn new(waker: Waker) -> (Self, Receiver<Command>) {
        let (sender, receiver) = crossbeam_channel::bounded(COMMANDS_MAX);
        (Self { sender, waker }, receiver)
    }

    /// Makes the shard's loop turn once, to show that it does.
    pub fn nudge(&self) {
        self.waker.wake();
    }

    /// Hands a command over without waiting. `false` when the mailbox is full or the shard is gone.
    pub fn post(&self, command: Command) -> bool {
        match self.sender.try_send(command) {
            Ok(()) => {
                self.waker.wake();
                true
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}
