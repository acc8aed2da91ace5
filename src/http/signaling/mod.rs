//! The signaling thread: it owns the hub and the sockets of its clients.
//!
//! One thread with a poller of its own, like a relay shard, so that an event costs one read and one write and wakes
//! nobody. HTTP runs elsewhere and hands over what it has let in ([`Door`]): WebSockets as bare connections, polls with
//! a way to answer them. Reads go into a buffer that all share, and a connection keeps only what is not whole yet.

mod answer;
mod arrival;
mod arrivals;
mod backend;
mod connection;
mod deeds;
mod driver;
mod engine_io;
mod gate;
mod gathering;
mod keeper;
mod link;
mod mailbox;
mod plain;
mod retention;
mod seats;
mod settings;
mod sink;

pub(crate) use arrival::{Answer, Arrival, Request, Wire};
pub use backend::{Backend, LocalHub};
pub use gate::Gate;
pub use keeper::Keeping;
pub use mailbox::Door;
#[cfg(test)]
pub(crate) use mailbox::Inbox;
pub(crate) use mailbox::{Busy, Letter, Place, Question};
pub use retention::Retention;
pub use settings::{DriverSettings, Namespace};

use crate::base::Random;
use crate::metrics::Published;
use crate::net::{Clock, Poller};
use crate::signaling::{self, CallRecord, LiveCall};
use driver::{Driver, Parts};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use tokio::sync::mpsc;

/// What the thread is made of.
pub struct Setup {
    /// How clients are spoken to.
    pub settings: DriverSettings,
    /// What it drives.
    pub backend: Box<dyn Backend>,
    /// Who may come in.
    pub gate: Gate,
    /// For transport ids and keyed hashes.
    pub random: Random,
    /// The common clock.
    pub clock: Clock,
    /// Where to keep what is to outlive the daemon.
    pub keeping: Option<Keeping>,
    /// Who hears of calls.
    pub news: Option<mpsc::Sender<CallNews>>,
}

/// News of calls that may wait to be heard: more than there can be live calls, since all of them may end in one go.
pub const NEWS_MAX: usize = 131_072;

/// What becomes of calls. It is told without waiting; what finds the channel full is counted. Whoever hears of an end
/// writes its record and takes the live call away, in one batch.
#[derive(Clone, Debug)]
pub enum CallNews {
    /// One began; only of a hub that keeps them.
    Live(Box<LiveCall>),
    /// One is over.
    Ended(Box<CallRecord>),
}

/// The most that one WebSocket can make the thread keep, in bytes, when messages have up to `message_bytes_max`: one that
/// is not whole, the attachments of another, and what the socket does not take. Of a client that polls it is less.
pub fn connection_bytes_max(message_bytes_max: u64) -> u64 {
    const RECORDS: u64 = 40 << 10;
    2 * message_bytes_max + (driver::WRITE_BYTES as u64 + message_bytes_max) + RECORDS
}

/// The running thread.
#[derive(Debug)]
pub struct Signaling {
    door: Door,
    /// For the letter that ends it: strangers can fill the queue.
    last: Place,
    published: Arc<Published>,
    beats: Beats,
    thread: JoinHandle<()>,
}

/// Signs of life: how many were asked for, and how many were given.
#[derive(Clone, Debug, Default)]
struct Beats {
    asked: Arc<AtomicU64>,
    given: Arc<AtomicU64>,
}

impl Signaling {
    /// Starts the thread.
    ///
    /// # Errors
    /// Out of file descriptors, memory or threads.
    pub fn start(setup: Setup) -> io::Result<Self> {
        let poller = Poller::new()?;
        let (door, inbox) = Door::new(poller.waker());
        let last = door.try_reserve().map_err(|Busy| io::Error::other("a new queue has no place"))?;
        let published = Arc::<Published>::default();
        let Setup { settings, backend, gate, random, clock, news, keeping } = setup;
        let beats = Beats::default();
        let given = Arc::clone(&beats.given);
        let (to_self, counters) = (door.clone(), Arc::clone(&published));
        let parts = Parts {
            settings,
            backend,
            gate,
            poller,
            door: to_self,
            inbox,
            random,
            clock,
            published: counters,
            given,
            news,
            keeping,
        };
        let thread = std::thread::Builder::new()
            .name("signaling".to_owned())
            .spawn(move || Driver::new(parts).run())?;
        Ok(Self { door, last, published, beats, thread })
    }

    /// Where HTTP hands clients over.
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// Its published counters.
    pub fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// Takes over changed settings. `false`: the thread is too busy, and goes on with those before.
    pub fn reload(&self, settings: DriverSettings, hub: signaling::Settings) -> bool {
        self.door.post(Letter::Reload(Box::new(settings), Box::new(hub))).is_ok()
    }

    /// Asks for a sign of life. Gives how many are missing; a thread that has ended misses all.
    pub fn beat(&self) -> u64 {
        let asked = self.beats.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let given = self.beats.given.load(Ordering::Relaxed);
        // A full inbox: it has something to do, and the next turn counts as well.
        let _full = self.door.post(Letter::Beat(asked));
        if self.thread.is_finished() { u64::MAX } else { asked - 1 - given }
    }

    /// Ends all calls and connections, and then the thread; returns when it has ended, some seconds at most.
    pub fn stop(self) {
        self.last.post(Letter::Stop);
        let _panicked_and_said_so = self.thread.join();
    }
}
