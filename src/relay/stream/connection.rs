//! One connection from its first byte to its end.

use super::core::{Core, Served, messages};
use super::door::StreamDoorSettings;
use super::queue::{BYTES_MAX, MEDIA_BYTES_MAX, Queue};
use super::runtime::{Shared, yield_to_others};
use crate::base::{Family, Now, Timestamp, Transport};
use crate::metrics::{Closed, connections_closed};
use crate::net::tcp;
use crate::net::tls::TlsSession;
use crate::relay::admission::Admitted;
use crate::relay::parked::Parked;
use crate::turn::{AllocationId, ClientAddr, RelayId};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// Rounds of reading and writing before other connections have their turn.
const ROUNDS_MAX: usize = 4;

/// What is read at once from a client without an allocation.
const STRANGER_READ_BYTES: usize = 4096;

/// What is read at once from others.
const READ_BYTES: usize = 64 << 10;

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// A PROXY header.
    Proxy,
    /// The first byte of TURN or TLS.
    First,
    /// The end of the TLS handshake.
    Handshake,
    /// The first byte under TLS, of TURN or HTTP.
    FirstInTls,
    /// TURN messages.
    Turn,
}

/// How a connection ends.
pub(super) enum End {
    /// It is closed.
    Closed(Closed),
    /// It goes on as HTTP.
    Http,
    /// It goes on as the client's side of a connection to a peer.
    Peer(Box<Parked>),
}

impl From<Closed> for End {
    fn from(reason: Closed) -> Self {
        Self::Closed(reason)
    }
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Closed(Closed::Client)
    }
}

/// The state of one connection.
pub(super) struct Connection {
    pub(super) shared: Rc<Shared>,
    pub(super) door: Arc<StreamDoorSettings>,
    pub(super) stream: TcpStream,
    pub(super) admitted: Admitted,
    pub(super) seat: Seat,
    pub(super) stage: Stage,
    pub(super) tls: Option<Box<TlsSession>>,
    /// The start of something that is not whole yet: a PROXY header, a TLS record, or a message in the clear.
    pub(super) partial: Vec<u8>,
    /// The start of a message that came under TLS.
    pub(super) partial_plain: Vec<u8>,
    /// There are whole messages among the partial ones, which did not fit the turn before.
    pub(super) unserved: bool,
    pub(super) queue: Queue,
    pub(super) allocation: Option<AllocationId>,
    /// When the last message of use came.
    pub(super) heard: Timestamp,
    /// One has come at all.
    pub(super) spoke: bool,
    /// Since when the stage, or a message of a client without an allocation, is under way.
    pub(super) begun: Option<Timestamp>,
    pub(super) timer: Pin<Box<Sleep>>,
}

/// A connection's place in its runtime. It is given up and counted whatever becomes of its task.
pub(super) struct Seat {
    pub(super) shared: Rc<Shared>,
    pub(super) from: ClientAddr,
    pub(super) taken: bool,
    /// Why it ends.
    pub(super) reason: Closed,
}

impl Seat {
    /// Ends the client's allocation, and lets its number go.
    fn vacate(&mut self) {
        if std::mem::take(&mut self.taken) {
            self.shared.core.borrow_mut().on_closed(&self.from);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.vacate();
        self.shared.core.borrow_mut().server.counters().increment(connections_closed(self.reason));
        self.shared.wake_if_asleep();
    }
}

impl Connection {
    /// A connection that was just accepted, in a runtime.
    ///
    /// # Errors
    /// It is gone already.
    pub(super) fn new(
        shared: Rc<Shared>,
        door: Arc<StreamDoorSettings>,
        stream: TcpStream,
        remote: SocketAddr,
        admitted: Admitted,
    ) -> io::Result<Self> {
        let local = tcp::canonical(stream.local_addr()?);
        let now = shared.core.borrow().clock.monotonic();
        let stage = if door.is_proxy(remote.ip()) { Stage::Proxy } else { Stage::First };
        let number = shared.core.borrow_mut().clients.insert(Default::default());
        let from = ClientAddr { remote, local, transport: Transport::Tcp, door: number as u32 };
        let seat = Seat { shared: Rc::clone(&shared), from, taken: true, reason: Closed::Failed };
        let timer = Box::pin(tokio::time::sleep(shared.deadlines.message));
        Ok(Self {
            shared,
            door,
            stream,
            admitted,
            seat,
            stage,
            tls: None,
            partial: Vec::new(),
            partial_plain: Vec::new(),
            unserved: false,
            queue: Queue::default(),
            allocation: None,
            heard: now,
            spoke: false,
            begun: Some(now),
            timer,
        })
    }

    /// Serves it to its end.
    pub(super) async fn run(mut self) {
        let end = poll_fn(|cx| self.poll(cx)).await;
        self.seat.vacate();
        match end {
            End::Closed(reason) => self.close(reason),
            End::Http => self.hand_over(),
            // Boxed, so that each connection's task is not as large as the few that come here.
            End::Peer(parked) => Box::pin(self.carry(*parked)).await,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let shared = Rc::clone(&self.shared);
        let core = &mut *shared.core.borrow_mut();
        let now = core.clock.now();
        core.attend(&self.seat.from, cx.waker());
        let mut more = true;
        for _ in 0..ROUNDS_MAX {
            match self.round(core, now, cx) {
                Ok(true) => {}
                Ok(false) => {
                    // A turn that is over has not asked whether there is more to read.
                    more = (self.unserved || core.is_spent()) && self.queue.len() < BYTES_MAX;
                    break;
                }
                Err(end) => {
                    // Nobody else may get what this client was owed.
                    core.outgoing.clear();
                    return Poll::Ready(end);
                }
            }
        }
        if more {
            yield_to_others(cx);
        }
        shared.wake_if_asleep();
        self.poll_timer(core, cx)
    }

    /// Writes, reads, and writes what that gave. Returns whether there may be more at once.
    fn round(&mut self, core: &mut Core, now: Now, cx: &mut Context<'_>) -> Result<bool, End> {
        self.flush(cx)?;
        let mut progress = self.read(core, now, cx)?;
        for family in Family::ALL {
            let Some(allocation) = self.allocation else { break };
            let room = MEDIA_BYTES_MAX.saturating_sub(self.queue.len());
            progress |= core.on_relay(now, RelayId { allocation, family }, room, cx);
        }
        self.write(core)?;
        core.sample_latency(now.at);
        // What the kernel did not take must be waited for, whatever made it.
        self.flush(cx)?;
        Ok(progress)
    }

    /// Reads once and serves what came. Returns whether there may be more at once.
    fn read(&mut self, core: &mut Core, now: Now, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.queue.len() >= BYTES_MAX || core.is_spent() {
            return Ok(false);
        }
        if !self.unserved && self.stream.poll_read_ready(cx)?.is_pending() {
            return Ok(false);
        }
        let shared = Rc::clone(&self.shared);
        let (raw, plain) = (&mut *shared.raw.borrow_mut(), &mut *shared.plain.borrow_mut());
        let before = self.partial.len();
        raw[..before].copy_from_slice(&self.partial);
        let mut count = 0;
        if !std::mem::take(&mut self.unserved) {
            let Poll::Ready(read) = self.poll_fill(cx, &mut raw[before..]) else { return Ok(false) };
            count = read?;
            if count == 0 {
                // Who says nothing more may still hear the answers.
                self.write(core)?;
                return Err(Closed::Client.into());
            }
        }
        let served = self.on_raw(core, now, &mut raw[..before + count], plain);
        if let Err(End::Closed(_) | End::Peer(_)) = served {
            // What came before is answered: before a fault as far as the kernel takes it at once.
            let _gone_anyway = self.write(core);
        }
        served.map(|()| true)
    }

    /// Reads what has arrived. Returns how many bytes, 0 at the end of the stream.
    fn poll_fill(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        // One read's answers are queued whatever comes, so who may have none to pay for them is read little of.
        let is_trusted = self.allocation.is_some() && self.queue.is_empty();
        let bytes_max = if is_trusted { READ_BYTES } else { STRANGER_READ_BYTES };
        let mut into = ReadBuf::new(&mut room[..bytes_max]);
        // Unlike `try_read` it knows that a short read has emptied the socket, which saves a call.
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut into))?;
        Poll::Ready(Ok(into.filled().len()))
    }

    /// Notes what a read has brought: whole messages, and the start of another.
    pub(super) fn note(&mut self, core: &mut Core, now: Now, served: Served, rest: bool) {
        self.allocation = core.server.allocation_at(&self.seat.from);
        let whole = served.bytes > 0;
        self.spoke |= whole;
        if served.heeded {
            self.heard = now.at;
        }
        if (whole || self.spoke && !rest) && self.begun.take().is_some() {
            self.arm(now);
        }
        self.unserved = rest && core.is_spent();
        if rest && self.begun.is_none() && self.allocation.is_none() {
            self.begin(now);
        }
    }

    pub(super) fn enter(&mut self, stage: Stage, now: Now) {
        self.stage = stage;
        // The first message of a stream in the clear has had its time from the start.
        if stage != Stage::Turn {
            self.begin(now);
        }
    }

    fn begin(&mut self, now: Now) {
        self.begun = Some(now.at);
        self.arm(now);
    }

    /// Makes the timer fire in time for a deadline that came nearer. One that moved away is seen when it fires.
    fn arm(&mut self, now: Now) {
        let at = self.instant(self.deadline(now.at).0);
        if at < self.timer.deadline() {
            self.timer.as_mut().reset(at);
        }
    }

    /// When the connection has to end, and why, unless something happens; it has no allocation.
    fn deadline(&self, now: Timestamp) -> (Timestamp, Closed) {
        let deadlines = &self.shared.deadlines;
        match (self.stage, self.begun) {
            (Stage::Handshake, begun) => {
                (begun.unwrap_or(now).after(deadlines.handshake), Closed::HandshakeTimeout)
            }
            (_, Some(begun)) => (begun.after(deadlines.message), Closed::MessageTimeout),
            (_, None) => (self.heard.after(deadlines.idle), Closed::Idle),
        }
    }

    fn instant(&self, at: Timestamp) -> Instant {
        Instant::from_std(self.shared.clock.instant(at))
    }

    /// Ends the connection when its time is over. The timer may fire early, but never late.
    fn poll_timer(&mut self, core: &mut Core, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let now = core.clock.monotonic();
            let next = if core.server.has_allocation(&self.seat.from) {
                // Its own lifetime ends it; this is the moment to tidy up.
                self.shrink();
                now.after(self.shared.deadlines.idle)
            } else {
                let (at, reason) = self.deadline(now);
                if at <= now {
                    return Poll::Ready(End::Closed(reason));
                }
                at
            };
            let next = self.instant(next);
            self.timer.as_mut().reset(next);
        }
    }

    /// Gives back memory that traffic needed.
    fn shrink(&mut self) {
        self.queue.shrink();
        for partial in [&mut self.partial, &mut self.partial_plain] {
            partial.shrink_to_fit();
        }
    }

    /// Writes the messages for the client, under TLS each in a record of its own: some clients take a record for a
    /// message (coturn's among them). What the kernel does not take waits.
    fn write(&mut self, core: &mut Core) -> Result<(), End> {
        if core.outgoing.is_empty() {
            return Ok(());
        }
        let shared = Rc::clone(&self.shared);
        let result = match &mut self.tls {
            None => self.push(&core.outgoing),
            Some(tls) => {
                let ciphertext = &mut *shared.ciphertext.borrow_mut();
                ciphertext.clear();
                let mut messages = messages(&core.outgoing);
                let sealed = messages.try_for_each(|message| tls.send(message, ciphertext));
                sealed.map_err(|_| End::from(Closed::Tls)).and_then(|()| self.push(ciphertext))
            }
        };
        core.outgoing.clear();
        result
    }

    /// Sends bytes, or queues them behind those that wait.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), End> {
        let mut written = 0;
        if self.queue.is_empty() {
            while written < bytes.len() {
                match self.stream.try_write(&bytes[written..]) {
                    Ok(count) => written += count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        self.queue.push(&bytes[written..]);
        Ok(())
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        while !self.queue.is_empty() {
            if self.stream.poll_write_ready(cx)?.is_pending() {
                return Ok(());
            }
            self.queue.flush(|bytes| self.stream.try_write(bytes))?;
        }
        Ok(())
    }
}
