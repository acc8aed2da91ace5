//! TURN over DTLS (RFC 7350). Datagrams come to one socket per door; a session is what a connection is on the
//! other doors: a task of its own, once its handshake is done, brings what peers send, and its end is the end of
//! its allocation.

use super::core::{Client, Core, Input};
use super::runtime::{Shared, yield_to_others};
use crate::auth::Cookies;
use crate::base::{Family, Now, Random, Timestamp, Transport};
use crate::metrics::{
    BatchOp, Closed, Dropped, connections_accepted, connections_closed, dropped, socket_receive_drops,
    udp_batch_packets, udp_batches,
};
use crate::net::dtls::{
    DtlsConfig, EndReason, Ended, Host, Inbound, Limits, Output, Path, Refusal, SessionId, Sessions,
};
use crate::net::{Received, RecvBatch, WatchedSocket};
use crate::relay::admission::{Admission, Admitted};
use crate::relay::door::Door;
use crate::relay::socket::Losses;
use crate::turn::{AllocationId, ClientAddr, RelayId, Server};
use crate::wire::demux::{Kind, classify};
use crate::wire::{channel_data, stun};
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{cell::RefCell, mem};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{Instant, timeout_at};

/// Batches from one socket before other tasks have their turn.
const BATCHES_PER_TURN: usize = 4;

/// Rounds of bringing what peers sent to one client before other tasks have their turn.
const ROUNDS_MAX: usize = 4;

/// What peers sent to one client in one round; datagrams wait for nobody.
const MEDIA_BYTES_MAX: usize = 64 << 10;

/// What a stream runtime needs for DTLS.
#[derive(Debug)]
pub struct DtlsSetup {
    /// Its socket of each door.
    pub doors: Vec<Door>,
    /// The certificate, which may be replaced at any time.
    pub config: Arc<ArcSwap<DtlsConfig>>,
    /// Of the same master in all runtimes.
    pub cookies: Cookies,
    /// Where hash keys come from.
    pub random: Random,
}

/// Serves the doors for as long as the runtime lives.
///
/// # Errors
/// The kernel has no room for another watch.
pub(super) fn start(shared: &Rc<Shared>, mut setup: DtlsSetup) -> io::Result<()> {
    let clock = shared.clock;
    let (origin, now) = (clock.instant(Timestamp::ZERO), clock.now());
    let watch = |door: Door| {
        Ok(WatchedDoor {
            address: door.address,
            losses: Losses::default(),
            socket: WatchedSocket::new(door.socket)?,
        })
    };
    let doors = setup.doors.into_iter().map(watch).collect::<io::Result<Vec<_>>>()?;
    let count = doors.len();
    let (config, limits) = (setup.config, Limits::default());
    let sessions = Sessions::new(config, setup.cookies, limits, &mut setup.random, origin, now);
    let mut seed = || setup.random.next_u64();
    let hasher = ahash::RandomState::with_seeds(seed(), seed(), seed(), seed());
    let guests = Guests {
        links: HashMap::with_hasher(hasher),
        admission: Arc::clone(&shared.admission),
        admitted: None,
        connected: Vec::new(),
    };
    let buffer = vec![0; Limits::DATAGRAM_BYTES_MAX].into_boxed_slice();
    let dtls = Rc::new(Dtls {
        shared: Rc::clone(shared),
        table: RefCell::new(Table { doors, sessions, guests, buffer }),
        batch: RefCell::new(RecvBatch::new(Limits::DATAGRAM_BYTES_MAX)),
        news: Notify::new(),
    });
    for door in 0..count {
        let dtls = Rc::clone(&dtls);
        spawn_local(async move { poll_fn(|cx| dtls.poll_door(cx, door)).await });
    }
    spawn_local(dtls.keep_time());
    Ok(())
}

/// What the tasks of DTLS share.
struct Dtls {
    shared: Rc<Shared>,
    table: RefCell<Table>,
    batch: RefCell<RecvBatch>,
    /// There is a new session, and with it an earlier deadline.
    news: Notify,
}

struct Table {
    doors: Vec<WatchedDoor>,
    sessions: Sessions,
    guests: Guests,
    /// Where sessions put what is to be sent and what a client said: one at a time.
    buffer: Box<[u8]>,
}

struct WatchedDoor {
    socket: WatchedSocket,
    address: SocketAddr,
    losses: Losses,
}

/// What a session has on this side of it.
struct Guests {
    links: HashMap<SessionId, Link, ahash::RandomState>,
    admission: Arc<Admission>,
    /// What the session was told that is about to begin.
    admitted: Option<Result<Admitted, Closed>>,
    /// Sessions whose task is yet to be started.
    connected: Vec<SessionId>,
}

struct Link {
    from: ClientAddr,
    task: Option<AbortHandle>,
    /// As its task knows it.
    allocation: Option<AllocationId>,
    _admitted: Admitted,
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// How the table of sessions sees its driver.
struct View<'a> {
    guests: &'a mut Guests,
    server: &'a Server,
}

impl Host for View<'_> {
    fn has_allocation(&self, id: SessionId) -> bool {
        self.guests.links.get(&id).is_some_and(|link| self.server.has_allocation(&link.from))
    }

    fn admit(&mut self, path: &Path) -> bool {
        let admitted = self.guests.admission.admit(Some(path.remote.ip()));
        let is_admitted = admitted.is_ok();
        self.guests.admitted = Some(admitted);
        is_admitted
    }
}

impl Dtls {
    /// Serves what came to one door.
    fn poll_door(self: &Rc<Self>, cx: &mut Context<'_>, door: usize) -> Poll<()> {
        let (table, batch) = (&mut *self.table.borrow_mut(), &mut *self.batch.borrow_mut());
        let core = &mut *self.shared.core.borrow_mut();
        let known = table.sessions.len();
        let mut more = true;
        for _ in 0..BATCHES_PER_TURN {
            let Poll::Ready(count) = table.receive(cx, core, door, batch) else {
                more = false;
                break;
            };
            let now = core.clock.now();
            for i in 0..count {
                table.on_datagram(core, now, door, &batch.datagram(i));
            }
        }
        for id in mem::take(&mut table.guests.connected) {
            self.attach_task(&mut table.guests, id);
        }
        if table.sessions.len() > known {
            self.news.notify_one();
        }
        self.shared.wake_if_asleep();
        if more {
            yield_to_others(cx);
        }
        Poll::Pending
    }

    fn attach_task(self: &Rc<Self>, guests: &mut Guests, id: SessionId) {
        let Some(link) = guests.links.get_mut(&id) else { return };
        let (dtls, from) = (Rc::clone(self), link.from);
        let task = spawn_local(async move { poll_fn(|cx| dtls.poll_session(cx, id, &from)).await });
        link.task = Some(task.abort_handle());
    }

    /// Brings a client what its peers sent, and answers that had to wait. Ends with the session.
    fn poll_session(&self, cx: &mut Context<'_>, id: SessionId, from: &ClientAddr) -> Poll<()> {
        let (table, core) = (&mut *self.table.borrow_mut(), &mut *self.shared.core.borrow_mut());
        core.attend(from, cx.waker());
        let now = core.clock.now();
        for round in 0.. {
            let mut progress = false;
            for family in Family::ALL {
                let Some(allocation) = core.server.allocation_at(from) else { break };
                progress |= core.on_relay(now, RelayId { allocation, family }, MEDIA_BYTES_MAX, cx);
            }
            table.serve(core, now, id);
            if !progress {
                break;
            }
            if round + 1 == ROUNDS_MAX {
                yield_to_others(cx);
                break;
            }
        }
        self.shared.wake_if_asleep();
        Poll::Pending
    }

    async fn keep_time(self: Rc<Self>) {
        loop {
            let next = self.on_deadline();
            let news = self.news.notified();
            match next {
                Some(at) => {
                    let at = Instant::from_std(self.shared.clock.instant(at));
                    let _due_or_new = timeout_at(at, news).await;
                }
                None => news.await,
            }
        }
    }

    /// Serves the sessions that are due. Returns when the next one is.
    fn on_deadline(&self) -> Option<Timestamp> {
        let (table, core) = (&mut *self.table.borrow_mut(), &mut *self.shared.core.borrow_mut());
        let now = core.clock.now();
        let due = |table: &mut Table, core: &mut Core| {
            let view = View { guests: &mut table.guests, server: &core.server };
            table.sessions.on_deadline(now, &view)
        };
        while let Some(id) = due(table, core) {
            table.serve(core, now, id);
        }
        self.shared.wake_if_asleep();
        table.sessions.next_deadline()
    }
}

impl Table {
    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        core: &mut Core,
        door: usize,
        batch: &mut RecvBatch,
    ) -> Poll<usize> {
        let door = &mut self.doors[door];
        let received = door.socket.poll_recv(cx, batch, RecvBatch::SLOTS_MAX);
        let counters = core.server.counters();
        if let Poll::Ready(count @ 1..) = received {
            counters.increment(udp_batches(BatchOp::Receive));
            counters.add(udp_batch_packets(BatchOp::Receive), count as u64);
        }
        if received.is_ready() {
            counters.add(socket_receive_drops(), door.losses.since(batch.overflow()));
        }
        received
    }

    fn on_datagram(&mut self, core: &mut Core, now: Now, door: usize, datagram: &Received<'_>) {
        let address = self.doors[door].address;
        let local = SocketAddr::new(datagram.local_ip.unwrap_or(address.ip()), address.port());
        let path = Path { door: door as u32, local, remote: datagram.from };
        if datagram.truncated {
            return count_dropped(core, Dropped::TooBig);
        }
        if path.remote.port() == 0 {
            return count_dropped(core, Dropped::BadSource);
        }
        let view = &mut View { guests: &mut self.guests, server: &core.server };
        let inbound = self.sessions.on_datagram(now, path, datagram.bytes, view);
        let admitted = self.guests.admitted.take();
        match (inbound, admitted) {
            (Inbound::Session(id), admitted) => {
                if let Some(Ok(admitted)) = admitted {
                    self.welcome(core, id, &path, admitted);
                }
                self.serve(core, now, id);
                self.tell_task(core, id);
            }
            (Inbound::Answer(answer), _) => {
                if core.server.may_answer_stranger(now, path.remote.ip()) {
                    send(core, &self.doors, &path, answer.as_slice());
                }
            }
            (Inbound::Refused(Refusal::TooBig), _) => count_dropped(core, Dropped::TooBig),
            (Inbound::Refused(Refusal::NoSession | Refusal::BadHello), _) => {
                count_dropped(core, Dropped::NoSession);
            }
            (Inbound::Refused(Refusal::Full | Refusal::NotAdmitted), admitted) => {
                let reason = admitted.and_then(Result::err).unwrap_or(Closed::TotalLimit);
                core.server.counters().increment(connections_accepted());
                core.server.counters().increment(connections_closed(reason));
            }
        }
    }

    fn welcome(&mut self, core: &mut Core, id: SessionId, path: &Path, admitted: Admitted) {
        core.server.counters().increment(connections_accepted());
        let number = core.clients.insert(Client::default());
        let (remote, local, transport) = (path.remote, path.local, Transport::Dtls);
        let from = ClientAddr { remote, local, transport, door: number as u32 };
        self.guests.links.insert(id, Link { from, task: None, allocation: None, _admitted: admitted });
    }
    /// The task of a session serves its relay sockets, so it must know when there are others.
    fn tell_task(&mut self, core: &mut Core, id: SessionId) {
        let Some(link) = self.guests.links.get_mut(&id) else { return };
        let allocation = core.server.allocation_at(&link.from);
        if mem::replace(&mut link.allocation, allocation) != allocation {
            core.wake(&link.from);
        }
    }

    /// Does what a session wants done, then says what the core has for its client.
    fn serve(&mut self, core: &mut Core, now: Now, id: SessionId) {
        self.pump(core, now, id);
        while !core.outgoing.is_empty() {
            let mut outgoing = mem::take(&mut core.outgoing);
            let mut rest = &outgoing[..];
            while !rest.is_empty() {
                let (message, behind) = split_message(rest);
                rest = behind;
                // One at a time: few fit into the queue of a session.
                if !self.sessions.send(id, message) {
                    count_dropped(core, Dropped::TooBig);
                }
                self.pump(core, now, id);
            }
            outgoing.clear();
            if core.outgoing.is_empty() {
                core.outgoing = outgoing;
            }
        }
        while let Some(ended) = self.sessions.next_ended() {
            self.tidy(core, &ended);
        }
    }

    fn pump(&mut self, core: &mut Core, now: Now, id: SessionId) {
        while let Some(output) = self.sessions.poll(now, id, &mut self.buffer) {
            match output {
                Output::Send { path, length } => send(core, &self.doors, &path, &self.buffer[..length]),
                Output::Plain { length, .. } => {
                    let Some(link) = self.guests.links.get(&id) else { continue };
                    core.on_datagram(Input { now, from: &link.from, bytes: &self.buffer[..length] });
                }
                Output::Connected => self.guests.connected.push(id),
            }
        }
    }

    /// An allocation ends with its session (RFC 8656 section 5: a 5-tuple ends with its connection).
    fn tidy(&mut self, core: &mut Core, ended: &Ended) {
        let Some(link) = self.guests.links.remove(&ended.id) else { return };
        core.on_closed(&link.from);
        core.server.counters().increment(connections_closed(closed(ended.reason)));
    }
}

fn send(core: &mut Core, doors: &[WatchedDoor], path: &Path, datagram: &[u8]) {
    let Some(door) = doors.get(path.door as usize) else { return };
    let source = door.address.ip().is_unspecified().then_some(path.local.ip());
    match door.socket.send_to(path.remote, source, 0, datagram) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            count_dropped(core, Dropped::SendBufferFull);
        }
        Err(_) => count_dropped(core, Dropped::Socket),
    }
}

fn count_dropped(core: &mut Core, reason: Dropped) {
    core.server.counters().increment(dropped(reason));
}

/// The first of the messages that the core put one behind another. Over datagrams none is padded.
fn split_message(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some(&[first, _, high, low]) = bytes.first_chunk() else { return (bytes, &[]) };
    let header = if classify(first) == Kind::Stun { stun::HEADER_BYTES } else { channel_data::HEADER_BYTES };
    let length = header + usize::from(u16::from_be_bytes([high, low]));
    bytes.split_at(length.min(bytes.len()))
}

fn closed(reason: EndReason) -> Closed {
    match reason {
        EndReason::Closed | EndReason::Replaced => Closed::Client,
        EndReason::Idle => Closed::Idle,
        EndReason::Failed => Closed::Tls,
        EndReason::TimedOut => Closed::HandshakeTimeout,
        EndReason::Evicted => Closed::TotalLimit,
    }
}
