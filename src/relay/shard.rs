//! One shard: a thread with its poller, its sockets and its core.

use super::door::Door;
use super::mailbox::{Command, Mailbox, Wake};
use super::ports::{Driver, RelayPorts, place_of, relay_token};
use super::registry::Registry;
use crate::base::{Now, Timestamp};
use crate::metrics::{CounterSet, Dropped, Published, busy_nanos, dropped};
use crate::net::Clock;
use crate::net::{Event, Outgoing, Poller, RecvBatch, SendScratch, UdpOptions, UdpSocket};
use crate::turn::{ClientAddr, REPLY_BYTES_MAX, RelayId, Server};
use crossbeam_channel::{Receiver, Sender};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How old published counters may get while traffic flows.
const PUBLISH_EVERY: Duration = Duration::from_millis(250);

/// Every datagram fits a slot.
const SLOT_BYTES: usize = 65_536;

/// What a shard is made of.
#[derive(Debug)]
pub struct Setup {
    /// Number of the shard.
    pub index: usize,
    /// How many cores are driven in all, by shards and stream runtimes.
    pub drivers: usize,
    /// The core, without allocations.
    pub server: Server,
    /// This shard's socket of each listener.
    pub doors: Vec<Door>,
    /// Kernel buffers and offloads of relay sockets.
    pub relay_options: UdpOptions,
    /// What it shares with the others.
    pub registry: Arc<Registry>,
    /// The common clock.
    pub clock: Clock,
}

/// A shard while it runs.
pub(super) struct Shard {
    pub(super) server: Server,
    pub(super) poller: Poller,
    pub(super) doors: Vec<Door>,
    pub(super) ports: RelayPorts<UdpSocket>,
    pub(super) batch: RecvBatch,
    pub(super) scratch: SendScratch,
    pub(super) run: Vec<Outgoing>,
    /// The relay socket that `run` leaves through, on the way to peers.
    pub(super) run_relay: Option<RelayId>,
    pub(super) reply: Box<[u8; REPLY_BYTES_MAX]>,
    pub(super) clock: Clock,
    /// Batches received since one was timed.
    pub(super) received: u64,
    mailbox: Receiver<Command>,
    published: Arc<Published>,
    published_at: Timestamp,
    beats: Arc<AtomicU64>,
    ready: Vec<Event>,
    stopping: bool,
}

/// What the rest of the daemon holds of a running shard.
#[derive(Debug)]
pub struct Handle {
    /// Its mailbox.
    pub mailbox: Mailbox,
    /// Its counters, at most a moment old.
    pub published: Arc<Published>,
    /// Grows with each turn of its loop.
    pub beats: Arc<AtomicU64>,
}

/// A shard whose doors are registered and whose thread does not run yet.
#[derive(Debug)]
pub struct Prepared {
    setup: Setup,
    poller: Poller,
    mailbox: Receiver<Command>,
    published: Arc<Published>,
    beats: Arc<AtomicU64>,
}

impl Prepared {
    /// Registers the doors.
    ///
    /// # Errors
    /// Out of file descriptors or kernel memory.
    pub fn new(setup: Setup) -> io::Result<(Self, Handle)> {
        let poller = Poller::new()?;
        for (token, door) in setup.doors.iter().enumerate() {
            poller.add(door.socket.as_fd(), token as u64)?;
        }
        let (sender, mailbox) = Mailbox::new(Wake::Poller(poller.waker()), setup.drivers);
        let (published, beats) = (Arc::<Published>::default(), Arc::<AtomicU64>::default());
        let handle = Handle { mailbox: sender, published: Arc::clone(&published), beats: Arc::clone(&beats) };
        Ok((Self { setup, poller, mailbox, published, beats }, handle))
    }

    /// Serves on a thread of its own until [`Command::Stop`]. `alive` is dropped when it ends, however
    /// it ends.
    ///
    /// # Errors
    /// No thread could be made. The thread's own result is an error of the poller, which a sound
    /// process does not see.
    pub fn spawn(self, alive: Sender<()>) -> io::Result<JoinHandle<io::Result<()>>> {
        std::thread::Builder::new().name(format!("relay-{}", self.setup.index)).spawn(move || {
            let _alive = alive;
            // Buffers and tables are made on the thread that uses them, near its core.
            let mut shard = Shard::assemble(self);
            while !shard.stopping {
                shard.turn()?;
            }
            Ok(())
        })
    }
}

impl Shard {
    fn assemble(prepared: Prepared) -> Self {
        let Prepared { setup, poller, mailbox, published, beats } = prepared;
        Self {
            server: setup.server,
            poller,
            doors: setup.doors,
            ports: RelayPorts::new(setup.index, setup.registry, setup.relay_options),
            batch: RecvBatch::new(SLOT_BYTES),
            scratch: SendScratch::new(),
            run: Vec::with_capacity(SendScratch::DATAGRAMS_MAX),
            run_relay: None,
            reply: Box::new([0; REPLY_BYTES_MAX]),
            published_at: setup.clock.monotonic(),
            clock: setup.clock,
            received: 0,
            mailbox,
            published,
            beats,
            ready: Vec::with_capacity(256),
            stopping: false,
        }
    }

    /// One turn: wait, then sockets, timers, mailbox and counters, in this order.
    fn turn(&mut self) -> io::Result<()> {
        let timeout = self.timeout();
        self.poller.wait(timeout)?;
        let woke = self.clock.monotonic();
        let mut ready = std::mem::take(&mut self.ready);
        ready.extend(self.poller.events());
        for event in ready.drain(..) {
            self.serve(event);
        }
        self.ready = ready;
        let now = self.clock.now();
        self.server.on_deadline(now);
        self.drain_effects(now);
        self.read_mailbox(now);
        self.beats.fetch_add(1, Ordering::Relaxed);
        let slept = self.clock.monotonic();
        self.server.counters().add_quietly(busy_nanos(), slept.since(woke).as_nanos() as u64);
        self.publish_if_due(slept);
        Ok(())
    }

    fn serve(&mut self, event: Event) {
        match place_of(event.token) {
            Err(door) => self.serve_door(door),
            Ok(slot) => {
                if event.error {
                    self.drain_errors(slot);
                }
                if event.readable {
                    self.serve_relay(slot);
                }
            }
        }
    }

    /// Does what the core wants done; called after each input, before its reply is sent.
    pub(super) fn drain_effects(&mut self, now: Now) {
        self.drive(|ports, server, side| ports.drain_effects(now, server, side));
    }

    fn drive(&mut self, work: impl FnOnce(&mut RelayPorts<UdpSocket>, &mut Server, &mut Side<'_>)) {
        let mut side = Side { poller: &self.poller, doors: &self.doors };
        work(&mut self.ports, &mut self.server, &mut side);
    }

    /// Until the next timer, or until counters that moved are due to be published; else for ever.
    fn timeout(&mut self) -> Option<Duration> {
        let now = self.clock.monotonic();
        let timer = self.server.next_deadline().map(|deadline| deadline.since(now));
        let dirty = self.server.counters().is_dirty();
        let publish = dirty.then(|| self.published_at.after(PUBLISH_EVERY).since(now));
        let waiting = self.ports.waiting_deadline().map(|deadline| deadline.since(now));
        [timer, publish, waiting].into_iter().flatten().min()
    }

    fn publish_if_due(&mut self, now: Timestamp) {
        if self.server.counters().is_dirty() && now >= self.published_at.after(PUBLISH_EVERY) {
            self.server.counters().publish(&self.published);
            self.published_at = now;
        }
    }

    fn read_mailbox(&mut self, now: Now) {
        let mut side = Side { poller: &self.poller, doors: &self.doors };
        let read = self.ports.obey_mailbox(now, &mut self.server, &mut side, &self.mailbox);
        if read.more {
            self.poller.waker().wake();
        }
        if read.stop {
            self.server.counters().publish(&self.published);
            self.stopping = true;
        }
    }
}

/// A shard's own side of its relay ports.
struct Side<'a> {
    poller: &'a Poller,
    doors: &'a [Door],
}

impl Driver for Side<'_> {
    type Socket = UdpSocket;

    fn watch(&mut self, slot: usize, socket: UdpSocket) -> io::Result<UdpSocket> {
        self.poller.add(socket.as_fd(), relay_token(slot))?;
        Ok(socket)
    }

    fn answer(&mut self, server: &mut Server, client: &ClientAddr, reply: &[u8]) {
        send_reply(self.doors, server.counters(), client, reply);
    }
}

/// Sends a reply through the door that its client came by.
pub(super) fn send_reply(doors: &[Door], counters: &mut CounterSet, client: &ClientAddr, reply: &[u8]) {
    let Some(door) = doors.get(client.door as usize) else { return };
    let source = door.source(client.local.ip());
    if door.socket.send_to(client.remote, source, 0, reply).is_err() {
        counters.increment(dropped(Dropped::Socket));
    }
}
