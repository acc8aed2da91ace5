//! The news: one bounded ring for all who listen.

use super::clock::{now, rfc3339};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::broadcast::{self, Receiver, Sender};

/// News that a reader may be behind; of a slower one they are overwritten.
const KEPT: usize = 1024;

/// Who may listen at once.
pub(super) const READERS_MAX: usize = 32;

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// An allocation was made.
    SessionStarted,
    /// An allocation ended.
    SessionEnded,
    /// A call began to ring.
    CallStarted,
    /// A call is over.
    CallEnded,
    /// Credentials are void from now on.
    CredentialRevoked,
    /// New sessions are refused, or taken again.
    Drain,
    /// The config was read again.
    Reload,
    /// The store takes writes, or does no more.
    Storage,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::SessionStarted,
        Self::SessionEnded,
        Self::CallStarted,
        Self::CallEnded,
        Self::CredentialRevoked,
        Self::Drain,
        Self::Reload,
        Self::Storage,
    ];

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SessionStarted => "session.started",
            Self::SessionEnded => "session.ended",
            Self::CallStarted => "call.started",
            Self::CallEnded => "call.ended",
            Self::CredentialRevoked => "credential.revoked",
            Self::Drain => "drain",
            Self::Reload => "reload",
            Self::Storage => "storage",
        }
    }
}

/// What the ring holds.
#[derive(Clone, Debug)]
pub(super) enum News {
    /// An event as it goes over the wire.
    Event(EventKind, Arc<str>),
    /// The daemon stops.
    End,
}

/// Where news come in and go out. Telling never waits, and costs next to nothing while nobody listens.
#[derive(Debug)]
pub struct Events {
    ring: Sender<News>,
    readers: Arc<AtomicUsize>,
}

impl Default for Events {
    fn default() -> Self {
        Self { ring: broadcast::channel(KEPT).0, readers: Arc::default() }
    }
}

impl Events {
    /// Tells what happened. `data`: an object, to which the time is added; not asked for while nobody listens.
    pub fn tell(&self, kind: EventKind, data: impl FnOnce() -> Value) {
        if self.ring.receiver_count() == 0 {
            return;
        }
        let mut data = data();
        data["at"] = json!(rfc3339(now()));
        // Nobody listens any more: fine.
        let _nobody = self.ring.send(News::Event(kind, block(kind.name(), &data)));
    }

    /// Has every reader's stream end.
    pub fn end(&self) {
        let _nobody = self.ring.send(News::End);
    }

    /// A place among the readers; `None` when all are taken.
    pub(super) fn listen(&self) -> Option<Reader> {
        let room = |readers: usize| (readers < READERS_MAX).then_some(readers + 1);
        self.readers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        Some(Reader { ring: self.ring.subscribe(), readers: self.readers.clone() })
    }
}

/// One who listens.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) ring: Receiver<News>,
    readers: Arc<AtomicUsize>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An event in the form of a `text/event-stream`. JSON on one line, so that nothing in it ends the event.
pub(super) fn block(name: &str, data: &Value) -> Arc<str> {
    format!("event: {name}\ndata: {data}\n\n").into()
}
