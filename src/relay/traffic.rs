//! The packet path: receive a batch, ask the core about each datagram, send what it says.

use super::shard::{Shard, send_reply};
use super::socket::next_error;
use crate::base::{Now, Transport};
use crate::metrics::{
    BatchOp, CounterSet, Direction, Dropped, dropped, relay_bytes, relay_packets, socket_receive_drops,
    udp_batch_packets, udp_batches,
};
use crate::net::{Header, Outgoing, Received, SendReport, SendScratch};
use crate::turn::{ClientAddr, RelayId, Verdict};

/// Batches from one socket in one turn: a busy one must not starve the others.
const BATCHES_PER_TURN: usize = 4;

/// Error queue entries from one socket in one turn.
const ERRORS_PER_TURN: usize = 16;

const TO_PEER: (Direction, Transport) = (Direction::ToPeer, Transport::Udp);
const TO_CLIENT: (Direction, Transport) = (Direction::ToClient, Transport::Udp);

/// One batch in so many is timed.
pub(super) const SAMPLE_EVERY: u64 = 1024;

impl Shard {
    pub(super) fn serve_door(&mut self, at: usize) {
        for _ in 0..BATCHES_PER_TURN {
            let Some(door) = self.doors.get_mut(at) else { return };
            let count = door.socket.recv_slots(&mut self.batch, door.appetite.slots()).unwrap_or(0);
            let more = door.appetite.learn(self.batch.slots_used(), count);
            self.count_received(count);
            let lost = self.doors[at].losses.since(self.batch.overflow());
            self.server.counters().add(socket_receive_drops(), lost);
            let now = self.clock.now();
            for i in 0..count {
                self.on_client_datagram(now, at, i);
            }
            self.flush_to_peer(now);
            if !more {
                return;
            }
        }
    }

    pub(super) fn serve_relay(&mut self, slot: usize) {
        for _ in 0..BATCHES_PER_TURN {
            let Some(relay) = self.ports.at(slot) else { return };
            let count = relay.socket.recv_slots(&mut self.batch, relay.appetite.slots()).unwrap_or(0);
            let more = relay.appetite.learn(self.batch.slots_used(), count);
            let id = relay.id;
            let lost = relay.losses.since(self.batch.overflow());
            self.server.counters().add(socket_receive_drops(), lost);
            self.count_received(count);
            let now = self.clock.now();
            let mut client = None;
            for i in 0..count {
                self.on_peer_datagram(now, id, i, &mut client);
            }
            self.flush_to_client(client);
            self.sample_latency(now);
            if !more {
                return;
            }
        }
    }

    /// ICMP errors about what a relay sent. An unread one would fail the next send to anybody.
    pub(super) fn drain_errors(&mut self, slot: usize) {
        let now = self.clock.now();
        for _ in 0..ERRORS_PER_TURN {
            let Some(relay) = self.ports.at(slot) else { return };
            let Some((peer, icmp)) = next_error(&relay.socket) else { return };
            let told = self.server.on_icmp(now, relay.id, peer, icmp, &mut self.reply[..]);
            if let Some(reply) = told {
                self.send_reply(&reply.client, reply.length);
            }
        }
    }

    /// Sends the first `length` bytes of the reply buffer to a client.
    pub(super) fn send_reply(&mut self, client: &ClientAddr, length: usize) {
        send_reply(&self.doors, self.server.counters(), client, &self.reply[..length]);
    }

    fn on_client_datagram(&mut self, now: Now, door: usize, i: usize) {
        let datagram = self.batch.datagram(i);
        let from = client_of(&self.doors[door].address, door, &datagram);
        if datagram.truncated {
            self.server.counters().increment(dropped(Dropped::TooBig));
            return;
        }
        let verdict = self.server.on_client_datagram(now, &from, datagram.bytes, &mut self.reply[..]);
        match verdict {
            Verdict::ToPeer { relay, peer, payload, dont_fragment } => {
                let start = datagram.start;
                let outgoing = Outgoing {
                    to: peer,
                    source: None,
                    ecn: datagram.ecn,
                    header: Header::EMPTY,
                    slot: datagram.slot,
                    payload: start + payload.start as u32..start + payload.end as u32,
                    pad: 0,
                };
                self.push_to_peer(relay, outgoing, dont_fragment);
            }
            Verdict::Reply { length } => {
                // What came before this request leaves before a socket closes by it.
                self.send_run_to_peer();
                self.drain_effects(now);
                self.send_reply(&from, length);
            }
            Verdict::ReplyVia(reply) => self.send_reply(&reply.client, reply.length),
            Verdict::Nothing => {
                self.send_run_to_peer();
                self.drain_effects(now);
            }
            Verdict::Dropped(_) | Verdict::ToClient { .. } => {}
        }
    }

    /// Collects datagrams of one relay socket; another one sends what was collected.
    fn push_to_peer(&mut self, relay: RelayId, outgoing: Outgoing, dont_fragment: bool) {
        if self.run_relay != Some(relay) || dont_fragment {
            self.send_run_to_peer();
            self.run_relay = Some(relay);
        }
        self.run.push(outgoing);
        if dont_fragment {
            self.send_unfragmented();
        } else if self.run.len() == SendScratch::DATAGRAMS_MAX {
            self.send_run_to_peer();
        }
    }

    fn flush_to_peer(&mut self, now: Now) {
        self.send_run_to_peer();
        self.sample_latency(now);
    }

    fn send_run_to_peer(&mut self) {
        if let Some(relay) = self.run_relay.take()
            && !self.run.is_empty()
        {
            match self.ports.find(relay) {
                Some(socket) => {
                    let report = socket.socket.send_run(&mut self.scratch, &self.batch, &self.run);
                    count_sent(self.server.counters(), TO_PEER, &self.run, &report);
                }
                None => self.server.counters().add(dropped(Dropped::NoAllocation), self.run.len() as u64),
            }
            self.run.clear();
        }
    }

    fn send_unfragmented(&mut self) {
        if let Some(relay) = self.run_relay.take()
            && let Some(socket) = self.ports.find(relay)
            && let Some(one) = self.run.first()
        {
            let mut report = SendReport::default();
            match socket.socket.send_unfragmented(&mut self.scratch, &self.batch, one) {
                Ok(_) => report.sent = 1,
                Err(error) => report.count(&error, 1),
            }
            count_sent(self.server.counters(), TO_PEER, &self.run, &report);
        }
        self.run.clear();
    }

    fn on_peer_datagram(&mut self, now: Now, relay: RelayId, i: usize, to: &mut Option<ClientAddr>) {
        let datagram = self.batch.datagram(i);
        if datagram.truncated {
            self.server.counters().increment(dropped(Dropped::TooBig));
            return;
        }
        let verdict = self.server.on_peer_datagram(now, relay, datagram.from, datagram.bytes.len());
        let Verdict::ToClient { client, header, padding } = verdict else { return };
        let Some(door) = self.doors.get(client.door as usize) else { return };
        let Some(header) = Header::new(header.as_slice()) else { return };
        self.run.push(Outgoing {
            to: client.remote,
            source: door.source(client.local.ip()),
            ecn: datagram.ecn,
            header,
            slot: datagram.slot,
            payload: datagram.start..datagram.start + datagram.bytes.len() as u32,
            pad: padding,
        });
        // A relay socket has one client, so the whole batch is one way.
        *to = Some(client);
        if self.run.len() == SendScratch::DATAGRAMS_MAX {
            self.flush_to_client(*to);
        }
    }

    fn flush_to_client(&mut self, client: Option<ClientAddr>) {
        if let Some(client) = client
            && !self.run.is_empty()
            && let Some(door) = self.doors.get(client.door as usize)
        {
            let report = door.socket.send_run(&mut self.scratch, &self.batch, &self.run);
            count_sent(self.server.counters(), TO_CLIENT, &self.run, &report);
        }
        self.run.clear();
    }

    fn count_received(&mut self, count: usize) {
        if count > 0 {
            let counters = self.server.counters();
            counters.increment(udp_batches(BatchOp::Receive));
            counters.add(udp_batch_packets(BatchOp::Receive), count as u64);
            self.received += 1;
        }
    }

    fn sample_latency(&mut self, received: Now) {
        if self.received >= SAMPLE_EVERY {
            self.received = 0;
            let spent = self.clock.monotonic().since(received.at);
            self.server.counters().observe_forward_latency(spent.as_micros() as u64);
        }
    }
}

fn client_of(door: &std::net::SocketAddr, index: usize, datagram: &Received<'_>) -> ClientAddr {
    let local = std::net::SocketAddr::new(datagram.local_ip.unwrap_or(door.ip()), door.port());
    ClientAddr { remote: datagram.from, local, transport: Transport::Udp, door: index as u32 }
}

/// Counts a run that was sent. Which datagrams failed is not told; their share of the bytes is taken
/// off by number.
pub(super) fn count_sent(
    counters: &mut CounterSet,
    (direction, transport): (Direction, Transport),
    run: &[Outgoing],
    report: &SendReport,
) {
    let bytes: u64 = run.iter().map(|one| one.payload.len() as u64).sum();
    counters.increment(udp_batches(BatchOp::Send));
    counters.add(udp_batch_packets(BatchOp::Send), report.sent as u64);
    counters.add(relay_packets(direction, transport), report.sent as u64);
    let sent_bytes =
        if report.sent == run.len() { bytes } else { bytes * report.sent as u64 / run.len() as u64 };
    counters.add(relay_bytes(direction, transport), sent_bytes);
    for (reason, count) in [
        (Dropped::SendBufferFull, report.would_block),
        (Dropped::TooBig, report.too_big),
        (Dropped::Socket, report.failed),
    ] {
        if count > 0 {
            counters.add(dropped(reason), count as u64);
        }
    }
}
