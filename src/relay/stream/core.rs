//! What the tasks of one stream runtime share: the state machine, its relay ports, and memory that one task at
//! a time uses. All of it is on one thread, so it is borrowed and never locked.

use super::peers::{Dial, Peers};
use crate::base::{Now, Timestamp};
use crate::metrics::{
    BatchOp, Closed, Direction, Dropped, dropped, relay_bytes, relay_packets, socket_receive_drops,
    udp_batch_packets, udp_batches,
};
use crate::net::Clock;
use crate::net::{Header, Outgoing, RecvBatch, SendReport, SendScratch, UdpSocket, WatchedSocket};
use crate::relay::parked::Parked;
use crate::relay::ports::{Driver, RelayPorts};
use crate::relay::socket::next_error;
use crate::relay::traffic::{SAMPLE_EVERY, count_sent};
use crate::turn::{ClientAddr, Effect, REPLY_BYTES_MAX, RelayId, Server, Verdict};
use crate::wire::channel_data::{Frame, frame};
use slab::Slab;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::task::{Context, Poll, Waker};

/// The longest message that is waited for before its client has an allocation: a request.
const STRANGER_BYTES_MAX: usize = 2048;

/// The longest Send indication: the largest datagram with an IPv6 peer and DONT-FRAGMENT around it.
const SEND_BYTES_MAX: usize = 20 + 24 + 4 + 4 + 65_508;

/// Messages of one client before other connections have their turn: half a millisecond, at some microseconds for
/// a datagram that leaves.
const MESSAGES_PER_TURN: usize = 256;

/// Slots of a receive from a relay socket at least: readiness is told once for all that came.
const SLOTS_MIN: usize = 8;

/// Batches from one relay socket before its connection looks at something else.
const BATCHES_PER_TURN: usize = 2;

/// Error queue entries from one socket in one turn.
const ERRORS_PER_TURN: usize = 16;

/// The shared state.
pub(super) struct Core {
    pub(super) server: Server,
    pub(super) ports: RelayPorts<WatchedSocket>,
    pub(super) clients: Slab<Client>,
    pub(super) peers: Peers,
    pub(super) clock: Clock,
    /// Whole messages for the client whose task runs now; it takes them out before it ends its turn.
    pub(super) outgoing: Vec<u8>,
    batch: RecvBatch,
    scratch: SendScratch,
    run: Vec<Outgoing>,
    /// The relay socket that `run` leaves through.
    run_relay: Option<RelayId>,
    reply: Box<[u8; REPLY_BYTES_MAX]>,
    /// Messages that the client whose task runs now may still send in this turn.
    budget: usize,
    /// Batches received since one was timed.
    received: u64,
}

/// How other tasks reach the task of a connection.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// Messages for its task to send: the answer to its Allocate, those to its Connects and news of
    /// connections to it, of which few are in the making at a time.
    answers: Vec<u8>,
    /// The connection to a peer that it has come for; it says no more to the core.
    peer: Option<Box<Parked>>,
    waker: Option<Waker>,
}

impl Core {
    /// State without clients.
    pub(super) fn new(server: Server, ports: RelayPorts<WatchedSocket>, peers: Peers, clock: Clock) -> Self {
        Self {
            server,
            ports,
            clients: Slab::new(),
            peers,
            clock,
            outgoing: Vec::new(),
            batch: RecvBatch::new(1 << 16),
            scratch: SendScratch::new(),
            run: Vec::with_capacity(SendScratch::DATAGRAMS_MAX),
            run_relay: None,
            reply: Box::new([0; REPLY_BYTES_MAX]),
            budget: 0,
            received: 0,
        }
    }

    /// Notes whom to wake for a client, and takes over what waits for it.
    pub(super) fn attend(&mut self, client: &ClientAddr, waker: &Waker) {
        // What a turn that broke off left behind is not this client's.
        self.outgoing.clear();
        self.run.clear();
        self.run_relay = None;
        self.budget = MESSAGES_PER_TURN;
        let Some(entry) = self.clients.get_mut(client.door as usize) else { return };
        if !entry.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            entry.waker = Some(waker.clone());
        }
        self.outgoing.append(&mut entry.answers);
    }

    /// Serves the whole messages at the front of what a client sent, as many as its turn allows.
    ///
    /// # Errors
    /// What follows is no message, or one that this client may not send: the stream is lost.
    pub(super) fn on_bytes(&mut self, input: Input<'_>) -> Result<Served, Closed> {
        self.received += 1;
        let (mut at, mut heeded) = (0, false);
        let end = loop {
            if self.budget == 0 {
                break Ok(Served { bytes: at, heeded });
            }
            let rest = &input.bytes[at..];
            let Ok(framed) = frame(rest, stun_bytes_max(rest)) else { break Err(Closed::Framing) };
            let (Frame::Incomplete { total } | Frame::Stun { total } | Frame::ChannelData { total, .. }) =
                framed;
            // Only who relays has so much to say, however it arrives.
            if total > STRANGER_BYTES_MAX && !self.server.has_allocation(input.from) {
                break Err(Closed::Framing);
            }
            let length = match framed {
                Frame::Incomplete { .. } => break Ok(Served { bytes: at, heeded }),
                Frame::Stun { total } => total,
                Frame::ChannelData { length, .. } => length,
            };
            self.budget -= 1;
            heeded |= self.on_message(input, at..at + length);
            at += total;
            let is_stun = matches!(framed, Frame::Stun { .. });
            if is_stun && self.client(input.from).is_some_and(|client| client.peer.is_some()) {
                // What follows is for the peer.
                break Ok(Served { bytes: at, heeded });
            }
        };
        self.send_run(input);
        end
    }

    /// Whether the turn of the client that runs now is over.
    pub(super) fn is_spent(&self) -> bool {
        self.budget == 0
    }

    /// Serves one datagram.
    #[cfg(feature = "dtls")]
    pub(super) fn on_datagram(&mut self, input: Input<'_>) {
        self.on_message(input, 0..input.bytes.len());
        self.send_run(input);
    }

    /// Wakes the task of a client.
    #[cfg(feature = "dtls")]
    pub(super) fn wake(&self, client: &ClientAddr) {
        if let Some(waker) = self.clients.get(client.door as usize).and_then(|entry| entry.waker.as_ref()) {
            waker.wake_by_ref();
        }
    }

    /// Serves one message. `false` when it was of no use.
    fn on_message(&mut self, input: Input<'_>, message: Range<usize>) -> bool {
        let start = message.start;
        let bytes = &input.bytes[message];
        match self.server.on_client_datagram(input.now, input.from, bytes, &mut self.reply[..]) {
            Verdict::ToPeer { relay, peer, payload, dont_fragment } => {
                let outgoing = to_peer(peer, start + payload.start..start + payload.end);
                self.push_to_peer(input, relay, outgoing, dont_fragment);
            }
            Verdict::Reply { length } => {
                // What came before this request leaves before a socket closes by it.
                self.send_run(input);
                self.drain_effects(input.now, input.from);
                self.outgoing.extend_from_slice(&self.reply[..length]);
            }
            Verdict::Nothing => {
                self.send_run(input);
                self.drain_effects(input.now, input.from);
            }
            // A connection has no other door that could answer.
            Verdict::Dropped(_) | Verdict::ToClient { .. } | Verdict::ReplyVia(_) => return false,
        }
        true
    }

    /// Does what the core wants done; what it answers to `from` goes out with its other messages.
    fn drain_effects(&mut self, now: Now, from: &ClientAddr) {
        self.drive(|ports, server, side| ports.drain_effects(now, server, side));
        if let Some(entry) = self.clients.get_mut(from.door as usize) {
            self.outgoing.append(&mut entry.answers);
        }
    }

    /// Lets `work` open and close ports.
    pub(super) fn drive(
        &mut self,
        work: impl FnOnce(&mut RelayPorts<WatchedSocket>, &mut Server, &mut Side<'_>),
    ) {
        let mut side = Side { clients: &mut self.clients, peers: &mut self.peers };
        work(&mut self.ports, &mut self.server, &mut side);
    }

    /// The connection to a peer that a client has come for.
    pub(super) fn take_peer(&mut self, client: &ClientAddr) -> Option<Box<Parked>> {
        self.client(client)?.peer.take()
    }

    fn client(&mut self, client: &ClientAddr) -> Option<&mut Client> {
        self.clients.get_mut(client.door as usize)
    }

    /// The connection of a client is gone, and all that it held with it.
    pub(super) fn on_closed(&mut self, client: &ClientAddr) {
        let now = self.clock.now();
        if let Some(waiting) = self.server.on_closed(now, client) {
            self.ports.forget_waiting(waiting);
        }
        self.drive(|ports, server, side| ports.drain_effects(now, server, side));
        self.clients.try_remove(client.door as usize);
    }

    fn push_to_peer(&mut self, input: Input<'_>, relay: RelayId, outgoing: Outgoing, dont_fragment: bool) {
        if self.run_relay != Some(relay) || dont_fragment {
            self.send_run(input);
            self.run_relay = Some(relay);
        }
        self.run.push(outgoing);
        if dont_fragment {
            self.send_unfragmented(input);
        } else if self.run.len() == SendScratch::DATAGRAMS_MAX {
            self.send_run(input);
        }
    }

    fn send_run(&mut self, input: Input<'_>) {
        let Some(relay) = self.run_relay.take() else { return };
        match self.ports.find(relay) {
            Some(relay) => {
                let report = relay.socket.send_run(&mut self.scratch, input.bytes, &self.run);
                let way = (Direction::ToPeer, input.from.transport);
                count_sent(self.server.counters(), way, &self.run, &report);
            }
            None => self.server.counters().add(dropped(Dropped::NoAllocation), self.run.len() as u64),
        }
        self.run.clear();
    }

    fn send_unfragmented(&mut self, input: Input<'_>) {
        if let Some(relay) = self.run_relay.take()
            && let Some(relay) = self.ports.find(relay)
            && let Some(one) = self.run.first()
        {
            let mut report = SendReport::default();
            match relay.socket.send_unfragmented(&mut self.scratch, input.bytes, one) {
                Ok(_) => report.sent = 1,
                Err(error) => report.count(&error, 1),
            }
            let way = (Direction::ToPeer, input.from.transport);
            count_sent(self.server.counters(), way, &self.run, &report);
        }
        self.run.clear();
    }

    /// Takes what peers sent to one relayed address, as far as `room` bytes allow; the rest is dropped. Returns
    /// whether there was something, and otherwise has the task woken.
    pub(super) fn on_relay(&mut self, now: Now, relay: RelayId, room: usize, cx: &mut Context<'_>) -> bool {
        for turn in 0..BATCHES_PER_TURN {
            let Some(socket) = self.ports.find_mut(relay) else { return turn > 0 };
            // One slot that stays empty tells that there is no more, which spares another look.
            let slots = socket.appetite.slots().max(SLOTS_MIN);
            let received = socket.socket.poll_recv(cx, &mut self.batch, slots);
            let Poll::Ready(count) = received else { return turn > 0 };
            socket.appetite.learn(self.batch.slots_used(), count);
            if count == 0 {
                self.drain_errors(now, relay, room);
                continue;
            }
            let lost = socket.losses.since(self.batch.overflow());
            self.received += 1;
            let counters = self.server.counters();
            counters.add(socket_receive_drops(), lost);
            counters.increment(udp_batches(BatchOp::Receive));
            counters.add(udp_batch_packets(BatchOp::Receive), count as u64);
            (0..count).for_each(|i| self.on_peer_datagram(now, relay, i, room));
        }
        true
    }

    fn on_peer_datagram(&mut self, now: Now, relay: RelayId, i: usize, room: usize) {
        let datagram = self.batch.datagram(i);
        if datagram.truncated {
            self.server.counters().increment(dropped(Dropped::TooBig));
            return;
        }
        let length = datagram.bytes.len();
        let verdict = self.server.on_peer_datagram(now, relay, datagram.from, length);
        let Verdict::ToClient { client, header, padding } = verdict else { return };
        let counters = self.server.counters();
        if self.outgoing.len() >= room {
            counters.increment(dropped(Dropped::SendBufferFull));
            return;
        }
        self.outgoing.extend_from_slice(header.as_slice());
        self.outgoing.extend_from_slice(datagram.bytes);
        self.outgoing.extend_from_slice(&[0; 3][..usize::from(padding)]);
        counters.increment(relay_packets(Direction::ToClient, client.transport));
        counters.add(relay_bytes(Direction::ToClient, client.transport), length as u64);
    }

    /// Times one batch in [`SAMPLE_EVERY`], which was received at `since` and is sent now.
    pub(super) fn sample_latency(&mut self, since: Timestamp) {
        if self.received >= SAMPLE_EVERY {
            self.received = 0;
            let spent = self.clock.monotonic().since(since);
            self.server.counters().observe_forward_latency(spent.as_micros() as u64);
        }
    }

    /// ICMP errors about what a relay sent.
    fn drain_errors(&mut self, now: Now, relay: RelayId, room: usize) {
        for _ in 0..ERRORS_PER_TURN {
            let Some(socket) = self.ports.find(relay) else { return };
            let Some((peer, icmp)) = next_error(&socket.socket) else { return };
            if self.outgoing.len() >= room {
                self.server.counters().increment(dropped(Dropped::SendBufferFull));
                continue;
            }
            if let Some(told) = self.server.on_icmp(now, relay, peer, icmp, &mut self.reply[..]) {
                self.outgoing.extend_from_slice(&self.reply[..told.length]);
            }
        }
    }
}

/// What became of bytes from a client.
#[derive(Clone, Copy)]
pub(super) struct Served {
    /// Bytes at the front that are done with.
    pub(super) bytes: usize,
    /// Whether any message was more than dropped.
    pub(super) heeded: bool,
}

/// What arrived from a client.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) now: Now,
    pub(super) from: &'a ClientAddr,
    pub(super) bytes: &'a [u8],
}

/// The runtime's own side of its relay ports.
pub(super) struct Side<'a> {
    clients: &'a mut Slab<Client>,
    peers: &'a mut Peers,
}

impl Side<'_> {
    fn tell(&mut self, client: &ClientAddr, message: &[u8]) {
        let Some(entry) = self.clients.get_mut(client.door as usize) else { return };
        entry.answers.extend_from_slice(message);
        if let Some(waker) = &entry.waker {
            waker.wake_by_ref();
        }
    }

    /// A client comes for a connection to a peer.
    fn bind(&mut self, server: &mut Server, client: &ClientAddr, parked: Option<Parked>) {
        let mut reply = [0; REPLY_BYTES_MAX];
        if let Some(told) = server.on_bound(parked.is_some(), &mut reply) {
            self.tell(&told.client, &reply[..told.length]);
        }
        if let Some(entry) = self.clients.get_mut(client.door as usize) {
            entry.peer = parked.map(Box::new);
        }
    }
}

impl Driver for Side<'_> {
    type Socket = WatchedSocket;

    fn watch(&mut self, _slot: usize, socket: UdpSocket) -> io::Result<WatchedSocket> {
        WatchedSocket::new(socket)
    }

    fn answer(&mut self, _server: &mut Server, client: &ClientAddr, reply: &[u8]) {
        self.tell(client, reply);
    }

    fn listen(&mut self, relay: RelayId, listener: TcpListener) -> io::Result<()> {
        self.peers.listen(relay, listener)
    }

    fn unlisten(&mut self, relay: RelayId) {
        self.peers.unlisten(relay);
    }

    fn connections(&mut self, server: &mut Server, effect: Effect) {
        match effect {
            Effect::Connect { connection, local, peer, credential } => {
                self.peers.connect(Dial { connection, credential, local, peer });
            }
            Effect::BindConnection { client, connection, credential } => {
                let parked = self.peers.take(connection, credential);
                self.bind(server, &client, parked);
            }
            Effect::CloseConnection { connection } => self.peers.close(connection),
            Effect::Send { client, message } => self.tell(&client, &message),
            Effect::Open { .. } | Effect::ClosePort { .. } | Effect::Ended(_) => {}
        }
    }
}

/// The messages of a stream that the server wrote, each with its padding.
pub(super) fn messages(mut stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let total = match frame(stream, usize::MAX) {
            Ok(Frame::Stun { total } | Frame::ChannelData { total, .. }) => total,
            _ => stream.len(),
        };
        let (message, rest) = stream.split_at(total);
        stream = rest;
        Some(message).filter(|message| !message.is_empty())
    })
}

/// The longest STUN message that a stream may begin with: requests are short.
fn stun_bytes_max(stream: &[u8]) -> usize {
    const SEND_INDICATION: [u8; 2] = [0x00, 0x16];
    if stream.starts_with(&SEND_INDICATION) { SEND_BYTES_MAX } else { STRANGER_BYTES_MAX }
}

fn to_peer(peer: SocketAddr, payload: Range<usize>) -> Outgoing {
    let payload = payload.start as u32..payload.end as u32;
    Outgoing { to: peer, source: None, ecn: 0, header: Header::EMPTY, slot: 0, payload, pad: 0 }
}
