//! The loop of the signaling thread.
//!
//! One turn: let arrivals gather if they are many, wait, read what came, take what the rest of the daemon sent, look at
//! timers, then send. So what many clients say to one at a time leaves in one write.

use super::CallNews;
use super::arrivals::OPENINGS;
use super::backend::Backend;
use super::connection::{Connection, Ended, Wire};
use super::gate::Gate;
use super::gathering::Gathering;
use super::keeper::{Keeper, Keeping, before};
use super::link::{Received, Scratch};
use super::mailbox::{Door, Inbox};
use super::settings::DriverSettings;
use crate::base::{BudgetTable, Now, Random, Timestamp, Wheel};
use crate::metrics::{Published, call_news_lost};
use crate::net::{Clock, Event, Poller, look_away};
use crate::signaling::{Closing, Effect, SessionId};
use crate::wire::websocket::write_close;
use slab::Slab;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::mpsc;

/// Buckets for sources.
const OPENING_BUCKETS: usize = 4096;

/// How often counters are published while something is counted.
const PUBLISH_EVERY: Duration = Duration::from_millis(250);

/// Steps of the timers: 8 ms.
const TICK_NANOS: u64 = 1 << 23;

/// Connections that are read before others are written to. With more of them, what a read has touched is no longer in
/// the cache when it is to be sent; with fewer, what many say to one takes more writes.
const READS_AT_ONCE: usize = 32;

/// Bytes that are gathered for one write.
pub(super) const WRITE_BYTES: usize = 64 << 10;

/// Bytes of one client that are handled before it is answered: they hold fewer events than may wait for one session.
pub(super) const PART_BYTES: usize = 2 << 10;

/// The same of all clients, whose events for others are longer.
const HEARD_BYTES_MAX: usize = 6 << 10;

/// How long a client that was told to go may take to go.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);

/// Names a connection; the upper half tells apart those that had the same place one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(pub(super) u64);

impl Key {
    pub(super) fn new(place: usize, generation: u32) -> Self {
        Self(u64::from(generation) << 32 | place as u64)
    }

    pub(super) fn place(self) -> usize {
        (self.0 & u64::from(u32::MAX)) as usize
    }

    pub(super) fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// What connections share, apart from each other.
pub(super) struct Common {
    pub(super) settings: DriverSettings,
    pub(super) backend: Box<dyn Backend>,
    pub(super) gate: Gate,
    /// Where answers to this thread go.
    pub(super) door: Door,
    /// Whose connection a session has now.
    pub(super) connection_by_session: HashMap<SessionId, Key, ahash::RandomState>,
    /// Engine.IO sessions by their transport id.
    pub(super) key_by_sid: HashMap<Box<str>, Key, ahash::RandomState>,
    /// Sessions that went on at another connection, and the connection that they left.
    pub(super) replaced: Vec<(Key, SessionId)>,
    /// Connections that may have something to send.
    dirty: Vec<Key>,
    /// For one packet.
    pub(super) body: Vec<u8>,
}

impl Common {
    /// Has the connection looked at before the turn ends. Twice does no harm.
    pub(super) fn touch(&mut self, key: Key) {
        if self.dirty.last() != Some(&key) {
            self.dirty.push(key);
        }
    }

    /// A connection gives up a session. `false`: it is somebody else's by now.
    pub(super) fn release(&mut self, session: SessionId, key: Key) -> bool {
        let is_its_own = self.connection_by_session.get(&session) == Some(&key);
        if is_its_own {
            self.connection_by_session.remove(&session);
        }
        is_its_own
    }
}

/// The thread's state.
pub(super) struct Driver {
    pub(super) common: Common,
    pub(super) connections: Slab<Connection>,
    pub(super) generation: u32,
    pub(super) poller: Poller,
    pub(super) inbox: Inbox,
    pub(super) wheel: Wheel<Key, TICK_NANOS>,
    /// How fast strangers may open sessions that cost no connection.
    pub(super) openings: BudgetTable,
    pub(super) random: Random,
    pub(super) scratch: Scratch,
    /// What was heard since the last time that everything was sent.
    heard_bytes: usize,
    pub(super) out: Vec<u8>,
    pub(super) clock: Clock,
    pub(super) published: Arc<Published>,
    pub(super) publish_at: Timestamp,
    /// The last sign of life that was asked for.
    pub(super) given: Arc<AtomicU64>,
    /// Where it keeps what is to outlive the daemon.
    pub(super) keeper: Option<Keeper>,
    pub(super) is_stopping: bool,
    news: Option<mpsc::Sender<CallNews>>,
}

/// What a driver is made of.
pub(super) struct Parts {
    pub(super) settings: DriverSettings,
    pub(super) backend: Box<dyn Backend>,
    pub(super) gate: Gate,
    pub(super) poller: Poller,
    pub(super) door: Door,
    pub(super) inbox: Inbox,
    pub(super) random: Random,
    pub(super) clock: Clock,
    pub(super) published: Arc<Published>,
    pub(super) given: Arc<AtomicU64>,
    pub(super) news: Option<mpsc::Sender<CallNews>>,
    pub(super) keeping: Option<Keeping>,
}

impl Driver {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts {
            settings,
            backend,
            gate,
            poller,
            door,
            inbox,
            mut random,
            clock,
            published,
            given,
            keeping,
            news,
        } = parts;
        let mut hasher = || {
            let [a, b, c, d] = std::array::from_fn(|_| random.next_u64());
            ahash::RandomState::with_seeds(a, b, c, d)
        };
        let openings = BudgetTable::new(OPENING_BUCKETS, OPENINGS, hasher());
        let common = Common {
            settings,
            backend,
            gate,
            door,
            connection_by_session: HashMap::with_hasher(hasher()),
            key_by_sid: HashMap::with_hasher(hasher()),
            replaced: Vec::new(),
            dirty: Vec::new(),
            body: Vec::new(),
        };
        let now = clock.monotonic();
        let keeper = keeping.map(|keeping| {
            let (door, retention) = (common.door.clone(), common.settings.retention);
            Keeper::new(keeping, door, retention)
        });
        Self {
            common,
            connections: Slab::new(),
            generation: 0,
            poller,
            inbox,
            wheel: Wheel::new(now),
            openings,
            random,
            scratch: Scratch::default(),
            heard_bytes: 0,
            out: Vec::new(),
            clock,
            published,
            publish_at: now,
            given,
            keeper,
            is_stopping: false,
            news,
        }
    }

    pub(super) fn run(mut self) {
        self.take_over();
        let mut ready = Vec::new();
        let mut gathering = Gathering::default();
        while !(self.is_stopping && self.connections.is_empty()) {
            let mut before = self.clock.monotonic();
            let wait = self.next_deadline().map(|at| at.since(before));
            if let Some(pause) = gathering.pause(wait) {
                look_away(pause);
                before = self.clock.monotonic();
            }
            if let Err(error) = self.poller.wait(wait) {
                tracing::error!(%error, "the signaling thread cannot wait for its sockets; it ends");
                return;
            }
            let now = self.clock.now();
            ready.extend(self.poller.events());
            gathering.note(ready.len(), now.at.since(before));
            for some in ready.chunks(READS_AT_ONCE) {
                for event in some {
                    self.on_ready(now, Key(event.token), *event);
                }
                self.send_all(now);
            }
            ready.clear();
            self.take_letters(now);
            self.on_time(now);
            self.send_all(now);
            self.publish(now);
        }
        self.common.backend.counters().publish(&self.published);
        if let Some(keeper) = &self.keeper {
            keeper.finish();
        }
    }

    /// Goes on with what was kept when the daemon ended. Clients wait behind the door so long.
    fn take_over(&mut self) {
        let Some(keeper) = &self.keeper else { return };
        let now = self.clock.now();
        let kept = keeper.kept(before(now, self.common.settings.retention.client_ref));
        self.common.backend.keep();
        self.common.backend.restore(self.clock.now(), kept.calls, kept.sent);
        self.carry_out(now);
    }

    fn next_deadline(&mut self) -> Option<Timestamp> {
        let now = (!self.common.dirty.is_empty()).then_some(Timestamp::ZERO);
        let publish = self.common.backend.counters().is_dirty().then_some(self.publish_at);
        [now, publish, self.wheel.next_deadline(), self.common.backend.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    // --- what comes ------------------------------------------------------------------------------------------------

    fn on_ready(&mut self, now: Now, key: Key, event: Event) {
        if event.writable {
            let socket = self.connection(key).and_then(|connection| connection.socket.as_mut());
            if socket.is_some_and(|socket| socket.link.flush().is_err()) {
                self.lose_socket(now, key, Ended::Broken);
                return self.carry_out(now);
            }
            self.common.touch(key);
        }
        if event.readable || event.error || event.ended {
            self.read(now, key);
            if self.scratch.was_filled || event.error || event.ended {
                self.look_again(key);
            }
        }
    }

    /// There may be more to read, after others had their turn.
    fn look_again(&mut self, key: Key) {
        if let Some(socket) = at(&mut self.connections, key).and_then(|connection| connection.socket.as_ref())
        {
            let asked = self.poller.rearm(socket.link.fd(), key.0, socket.watches_writable);
            debug_assert!(asked.is_ok(), "a socket that is watched");
        }
    }

    /// Reads once, and handles every message in that.
    fn read(&mut self, now: Now, key: Key) {
        let Some(connection) = at(&mut self.connections, key) else { return };
        let Some(socket) = &mut connection.socket else { return };
        let result = match socket.link.read(&mut self.scratch) {
            Received::Nothing => Ok(()),
            Received::Ended => Err(Ended::Broken),
            Received::Bytes(count) => return self.hear(now, key, count),
        };
        self.heard(now, key, result);
    }

    /// Handles what was read, a part at a time.
    fn hear(&mut self, now: Now, key: Key, count: usize) {
        let mut from = 0;
        while from < count {
            let part = from..count.min(from + PART_BYTES);
            from = part.end;
            let Some(connection) = at(&mut self.connections, key) else { return };
            let result = connection.hear(&mut self.common, now, self.scratch.part(part.clone()));
            self.heard(now, key, result);
            self.send_in_time(now, part.len(), from == count);
        }
        let socket = self.connection(key).and_then(|connection| connection.socket.as_ref());
        if socket.is_some_and(|socket| socket.link.has_ended()) {
            self.lose_socket(now, key, Ended::Broken);
            self.carry_out(now);
        }
    }

    pub(super) fn heard(&mut self, now: Now, key: Key, result: Result<(), Ended>) {
        match result {
            Ok(()) => {
                if at(&mut self.connections, key).is_some_and(|connection| connection.has_replies()) {
                    self.common.touch(key);
                }
                self.watch(key);
            }
            Err(ended) => self.lose_socket(now, key, ended),
        }
        self.carry_out(now);
    }

    /// What waits for one client is bounded: nobody shall overflow another one, or himself, by saying much in one go
    /// to somebody who reads.
    pub(super) fn send_in_time(&mut self, now: Now, heard_bytes: usize, is_last: bool) {
        self.heard_bytes += heard_bytes;
        if !is_last || self.heard_bytes >= HEARD_BYTES_MAX {
            self.send_all(now);
        }
    }

    // --- what follows ----------------------------------------------------------------------------------------------

    pub(super) fn settle(&mut self, now: Now, key: Key, result: Result<(), Ended>) {
        match result {
            Ok(()) => {
                self.common.touch(key);
                self.watch(key);
            }
            Err(ended) => self.end(now, key, ended),
        }
    }

    /// Sees to it that somebody looks after the connection in time. A timer that fires too early does no harm.
    pub(super) fn watch(&mut self, key: Key) {
        let Some(connection) = at(&mut self.connections, key) else { return };
        let Some(due) = connection.next_deadline() else { return };
        if connection.timer.is_some_and(|(at, _)| at <= due) {
            return;
        }
        if let Some((_, later)) = connection.timer.take() {
            self.wheel.cancel(later);
        }
        connection.timer = Some((due, self.wheel.schedule(due, key)));
    }

    /// Does what the hub wants done to connections.
    pub(super) fn carry_out(&mut self, now: Now) {
        loop {
            self.end_replaced(now);
            let Some(effect) = self.common.backend.next_effect() else { return };
            match effect {
                Effect::Ready(session) => {
                    if let Some(key) = self.common.connection_by_session.get(&session).copied() {
                        self.common.touch(key);
                    }
                }
                Effect::Close { session, why } => {
                    if let Some(key) = self.common.connection_by_session.get(&session).copied() {
                        self.send(now, key);
                        self.end(now, key, Ended::Hub(why));
                    }
                }
                Effect::Verify { session, ack, token } => self.verify(now, session, ack, &token),
                Effect::Store { number, deed } => {
                    if let Some(keeper) = &self.keeper {
                        keeper.carry_out(number, deed);
                    }
                }
                Effect::CallLive(call) => {
                    if let Some(keeper) = &self.keeper {
                        keeper.call_live(&call);
                    }
                    if call.rev == 0 {
                        let _counted_if_lost = self.tell(CallNews::Live(call));
                    }
                }
                Effect::CallEnded(call) => {
                    // Whoever hears of it records it.
                    let untold = self.tell(CallNews::Ended(call));
                    if let (Some(CallNews::Ended(call)), Some(keeper)) = (untold, &self.keeper) {
                        keeper.call_ended(&call);
                    }
                }
                Effect::Publish(_) => debug_assert!(false, "the bus is the backend's"),
            }
        }
    }

    /// Returns what nobody was told.
    fn tell(&mut self, news: CallNews) -> Option<CallNews> {
        let Some(listener) = &self.news else { return Some(news) };
        let untold = listener.try_send(news).err()?.into_inner();
        self.common.backend.counters().increment(call_news_lost());
        Some(untold)
    }

    /// Ends the connections whose sessions went on elsewhere, once they know of none of these any more.
    fn end_replaced(&mut self, now: Now) {
        let replaced = std::mem::take(&mut self.common.replaced);
        for (key, session) in &replaced {
            if let Some(connection) = at(&mut self.connections, *key) {
                connection.forget(*session);
            }
        }
        for (key, _) in replaced {
            self.end(now, key, Ended::Hub(Closing::Replaced));
        }
    }

    /// The answer to a token that came over an open session.
    fn verify(&mut self, now: Now, session: SessionId, ack: Option<u64>, token: &str) {
        let Some(key) = self.common.connection_by_session.get(&session).copied() else { return };
        if let Some(seats) = at(&mut self.connections, key).and_then(Connection::seats) {
            seats.refresh(&mut self.common, now, session, ack, token);
        }
    }

    /// Sends what connections have to send, those that were touched in this turn.
    fn send_all(&mut self, now: Now) {
        self.heard_bytes = 0;
        let mut dirty = std::mem::take(&mut self.common.dirty);
        for key in dirty.drain(..) {
            self.send(now, key);
            self.carry_out(now);
        }
        // What was touched meanwhile comes next turn, after others were read.
        if self.common.dirty.is_empty() {
            self.common.dirty = dirty;
        }
    }

    pub(super) fn send(&mut self, now: Now, key: Key) {
        let Some(connection) = at(&mut self.connections, key) else { return };
        let was_blocked = connection.socket.as_ref().is_some_and(|socket| socket.link.is_blocked());
        if let Err(ended) = connection.send(&mut self.common, now, &mut self.out) {
            return match ended {
                Ended::Broken => self.lose_socket(now, key, ended),
                _ => self.end(now, key, ended),
            };
        }
        if let Some(socket) = &mut connection.socket {
            let is_blocked = socket.link.is_blocked();
            if is_blocked != socket.watches_writable {
                socket.watches_writable = is_blocked;
                let asked = self.poller.rearm(socket.link.fd(), key.0, is_blocked);
                debug_assert!(asked.is_ok(), "a socket that is watched");
            }
            if was_blocked && !is_blocked {
                // What waited behind the full socket has been passed over.
                self.common.touch(key);
            }
        }
        self.watch(key);
    }

    /// The WebSocket is over, and the connection too, unless it can poll.
    pub(super) fn lose_socket(&mut self, now: Now, key: Key, ended: Ended) {
        let Some(connection) = at(&mut self.connections, key) else { return };
        if connection.survives_without_socket() {
            connection.socket = None;
            return self.watch(key);
        }
        self.end(now, key, ended);
    }

    /// A connection is over: its sessions are told, its client too if it still listens, and its place is free.
    fn end(&mut self, now: Now, key: Key, ended: Ended) {
        let Some(connection) = at(&mut self.connections, key) else { return };
        let until = now.at.after(LEAVE_WITHIN);
        match std::mem::replace(&mut connection.wire, Wire::Leaving(until, None)) {
            Wire::EngineIo(wire) => {
                let untold = wire.end(&mut self.common, now, ended);
                if let Some(untold) = untold.filter(|_| connection.socket.is_none()) {
                    self.common.key_by_sid.insert(untold.sid.clone(), key);
                    connection.wire = Wire::Leaving(until, Some(untold));
                    return self.watch(key);
                }
            }
            Wire::Plain(wire) => wire.end(&mut self.common, now, ended),
            Wire::Leaving(..) => return self.remove(key),
        }
        if let (Some((code, reason)), Some(socket)) = (ended.close_frame(), &mut connection.socket) {
            self.out.clear();
            write_close(&mut self.out, code, reason);
            if socket.link.send(&self.out).is_ok() {
                socket.link.finish();
                return self.watch(key);
            }
        }
        self.remove(key);
    }

    pub(super) fn remove(&mut self, key: Key) {
        let connection = self.connections.remove(key.place());
        if let Wire::Leaving(_, Some(untold)) = &connection.wire {
            self.common.key_by_sid.remove(&untold.sid);
        }
        if let Some((_, timer)) = connection.timer {
            self.wheel.cancel(timer);
        }
    }

    fn on_time(&mut self, now: Now) {
        while let Some(key) = self.wheel.pop(now.at) {
            let Some(connection) = at(&mut self.connections, key) else { continue };
            connection.timer = None;
            if matches!(connection.wire, Wire::Leaving(until, _) if until <= now.at) {
                self.remove(key);
                continue;
            }
            match connection.on_deadline(&self.common, now) {
                // Its next timer is set once it has sent what is due: one that is due still would fire for ever.
                Ok(()) => self.common.touch(key),
                Err(ended) => self.end(now, key, ended),
            }
            self.carry_out(now);
        }
        if self.common.backend.next_deadline().is_some_and(|at| at <= now.at) {
            self.common.backend.on_deadline(now);
            self.carry_out(now);
        }
    }

    pub(super) fn stop(&mut self, now: Now) {
        self.is_stopping = true;
        self.common.backend.shutdown(now);
        self.carry_out(now);
        let places: Vec<_> =
            self.connections.iter().map(|(place, one)| Key::new(place, one.generation)).collect();
        for key in places {
            if let Some(Connection { wire: Wire::EngineIo(_) | Wire::Plain(_), .. }) =
                at(&mut self.connections, key)
            {
                self.send(now, key);
                self.end(now, key, Ended::Hub(Closing::Shutdown));
            }
        }
    }

    fn connection(&mut self, key: Key) -> Option<&mut Connection> {
        at(&mut self.connections, key)
    }

    fn publish(&mut self, now: Now) {
        if now.at >= self.publish_at && self.common.backend.counters().is_dirty() {
            self.common.backend.counters().publish(&self.published);
            self.publish_at = now.at.after(PUBLISH_EVERY);
        }
    }
}

/// The connection of this name, if it is still that one.
pub(super) fn at(connections: &mut Slab<Connection>, key: Key) -> Option<&mut Connection> {
    connections.get_mut(key.place()).filter(|connection| connection.generation == key.generation())
}
