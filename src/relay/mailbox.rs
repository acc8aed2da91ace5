//! How anybody talks to the driver of a core (a shard, a stream runtime): a bounded queue and a wake-up.

use super::question::Question;
use crate::auth::{Authenticator, CredentialId, Revocations};
use crate::base::UnixTime;
use crate::net::Waker;
use crate::turn::{AllocationId, PeerPolicy, Settings};
use crossbeam_channel::{Receiver, Sender, TrySendError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Room for what operators ask, and for calls that end at once; who finds it full tries again.
const COMMANDS_OF_OPERATORS: usize = 256;

/// What the driver of a core can be told.
#[derive(Debug)]
pub enum Command {
    /// Take over changed settings.
    Reload(ShardUpdate),
    /// Refuse new allocations, or take them again.
    Drain(bool),
    /// End an idle allocation of this credential, since driver `asker` needs room for `allocation`.
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
    /// Judge new requests with this.
    Authenticate(Arc<Authenticator>),
    /// A call has ended.
    EndCall {
        /// Which.
        call_id: Arc<str>,
        /// How long its sessions may go on.
        grace: Duration,
        /// Until when its credentials might be good for new ones.
        until: UnixTime,
    },
    /// Somebody wants to know something.
    Ask(Question),
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
    /// Credentials that are void before their time.
    pub revocations: Arc<Revocations>,
}

/// The sending end, for any thread.
#[derive(Clone, Debug)]
pub struct Mailbox {
    sender: Sender<Command>,
    wake: Wake,
}

/// How the other side is woken.
#[derive(Clone, Debug)]
pub(super) enum Wake {
    /// A shard waits in its poller.
    Poller(Waker),
    /// A stream runtime waits in a task.
    Task(Arc<Notify>),
}

impl Mailbox {
    /// A mailbox of the driver that `wake` wakes, and the end that it reads. Each of `drivers` may have
    /// asked for evictions and be owed as many answers.
    pub(super) fn new(wake: Wake, drivers: usize) -> (Self, Receiver<Command>) {
        let commands_max = 2 * drivers * super::ports::WAITING_MAX + COMMANDS_OF_OPERATORS;
        let (sender, receiver) = crossbeam_channel::bounded(commands_max);
        (Self { sender, wake }, receiver)
    }

    /// Makes the driver's loop turn once, to show that it does.
    pub fn nudge(&self) {
        match &self.wake {
            Wake::Poller(waker) => waker.wake(),
            Wake::Task(notify) => notify.notify_one(),
        }
    }

    /// Hands a command over without waiting. `false` when the mailbox is full or the driver is gone.
    pub fn post(&self, command: Command) -> bool {
        match self.sender.try_send(command) {
            Ok(()) => {
                self.nudge();
                true
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}
