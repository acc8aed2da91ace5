//! The books of one round: what each flow has under way, what arrived, and what of it counts.
//!
//! A flow is one way of one client: `2 * client` goes up, to the peer, and `2 * client + 1` comes down.

use super::delays::Delays;
use super::payload::Stamp;
use super::seen::Seen;
use std::collections::VecDeque;
use std::ops::Range;

/// Packets of a flow in which nothing arrived for so long are lost, and others may take their place.
const LOST_AFTER_NS: u64 = 100_000_000;

/// Which flows of a client carry packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ways {
    pub(super) up: bool,
    pub(super) down: bool,
}

/// How many packets leave together, and how many may be under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) burst: u32,
    /// Of one flow, at least one burst. `None` when they leave by the clock, whatever arrives.
    pub(super) under_way_max: Option<u32>,
}

/// A round while it goes.
#[derive(Debug)]
pub(super) struct Round {
    id: u32,
    payload_bytes: usize,
    window: Window,
    flows: Vec<Flow>,
    /// Those that carry packets.
    active: Vec<u32>,
    /// Flows with room for a burst; the one that waits longest is the next.
    ready: VecDeque<u32>,
    /// What was sent within these nanoseconds counts.
    counted_ns: Range<u64>,
    sent: u64,
    delivered: u64,
    arrived: u64,
    delays: Delays,
}

#[derive(Clone, Debug)]
struct Flow {
    next: u32,
    under_way: u32,
    /// When a packet arrived last, or left with none under way.
    moved_ns: u64,
    is_ready: bool,
    seen: Seen,
}

/// What came of a round.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// Packets that left while it counted.
    pub(super) sent: u64,
    /// Packets that arrived while it counted, each once, whenever they left.
    pub(super) delivered: u64,
    /// Those of `sent` that arrived, also after the end.
    pub(super) arrived: u64,
    pub(super) counted_ns: u64,
    /// Of `arrived`.
    pub(super) delays: Delays,
}

impl Round {
    /// None: nothing leaves, and what arrives is of no interest.
    pub(super) fn idle() -> Self {
        let nowhere = Ways { up: false, down: false };
        Self::new(0, 0, nowhere, usize::MAX, Window { burst: 1, under_way_max: None })
    }

    /// A round that has not begun to count.
    pub(super) fn new(id: u32, clients: usize, ways: Ways, payload_bytes: usize, window: Window) -> Self {
        let flow = Flow { next: 0, under_way: 0, moved_ns: 0, is_ready: false, seen: Seen::new() };
        let is_active = |flow: &u32| if flow.is_multiple_of(2) { ways.up } else { ways.down };
        let flows = vec![flow; 2 * clients];
        let active: Vec<u32> = (0..flows.len() as u32).filter(is_active).collect();
        let mut round = Self {
            id,
            payload_bytes,
            window,
            flows,
            active,
            ready: VecDeque::with_capacity(2 * clients),
            counted_ns: u64::MAX..u64::MAX,
            sent: 0,
            delivered: 0,
            arrived: 0,
            delays: Delays::new(),
        };
        (0..round.active.len()).for_each(|at| round.settle(round.active[at]));
        round
    }

    /// The flows that carry packets.
    pub(super) fn active(&self) -> &[u32] {
        &self.active
    }

    pub(super) fn begin_counting(&mut self, now_ns: u64) {
        self.counted_ns.start = now_ns;
    }

    pub(super) fn stop_counting(&mut self, now_ns: u64) {
        self.counted_ns.end = now_ns;
    }

    /// The flow whose turn it is, when packets leave as others arrive.
    pub(super) fn next_ready(&mut self) -> Option<u32> {
        let flow = self.ready.pop_front()?;
        self.flows[flow as usize].is_ready = false;
        Some(flow)
    }

    /// Stamps the payloads of one burst of `flow`, which lie behind each other.
    pub(super) fn stamp(&mut self, flow: u32, now_ns: u64, payloads: &mut [u8]) {
        for payload in payloads.chunks_exact_mut(self.payload_bytes) {
            self.next_stamp(flow, now_ns).put(payload);
        }
    }

    /// Of the next packet of `flow`.
    pub(super) fn next_stamp(&mut self, flow: u32, now_ns: u64) -> Stamp {
        let next = &mut self.flows[flow as usize].next;
        let stamp = Stamp { round: self.id, flow, sequence: *next, sent_ns: now_ns };
        *next = next.wrapping_add(1);
        stamp
    }

    /// So many packets of `flow` have left. Of none, it waits for its next turn until [`Self::give_up_lost`].
    pub(super) fn left(&mut self, flow: u32, count: u32, now_ns: u64) {
        let state = &mut self.flows[flow as usize];
        if state.under_way == 0 {
            state.moved_ns = now_ns;
        }
        state.under_way += count;
        if self.counted_ns.contains(&now_ns) {
            self.sent += u64::from(count);
        }
        if count > 0 {
            self.settle(flow);
        }
    }

    /// A packet has come, from anybody.
    pub(super) fn arrive(&mut self, payload: &[u8], now_ns: u64) {
        if let Some(stamp) = Stamp::read(payload).filter(|_| payload.len() == self.payload_bytes) {
            self.note(stamp, now_ns);
        }
    }

    /// What has come carries this.
    pub(super) fn note(&mut self, stamp: Stamp, now_ns: u64) {
        let Some(flow) = self.flows.get_mut(stamp.flow as usize) else { return };
        if stamp.round != self.id || !flow.seen.is_new(stamp.sequence) {
            return;
        }
        flow.under_way = flow.under_way.saturating_sub(1);
        flow.moved_ns = now_ns;
        self.delivered += u64::from(self.counted_ns.contains(&now_ns));
        if self.counted_ns.contains(&stamp.sent_ns) {
            self.arrived += 1;
            self.delays.record(now_ns.saturating_sub(stamp.sent_ns));
        }
        self.settle(stamp.flow);
    }

    /// Lets flows go on in which nothing moves any more.
    pub(super) fn give_up_lost(&mut self, now_ns: u64) {
        let before_ns = now_ns.saturating_sub(LOST_AFTER_NS);
        for at in 0..self.active.len() {
            let number = self.active[at];
            let flow = &mut self.flows[number as usize];
            if flow.under_way > 0 && flow.moved_ns < before_ns {
                flow.under_way = 0;
            }
            self.settle(number);
        }
    }

    /// Whether all that counts has arrived.
    pub(super) fn is_whole(&self) -> bool {
        self.arrived == self.sent
    }

    pub(super) fn arrived(&self) -> u64 {
        self.arrived
    }

    pub(super) fn over(self) -> Outcome {
        Outcome {
            sent: self.sent,
            delivered: self.delivered,
            arrived: self.arrived,
            counted_ns: self.counted_ns.end.saturating_sub(self.counted_ns.start),
            delays: self.delays,
        }
    }

    /// Queues a flow that has room for a burst.
    fn settle(&mut self, number: u32) {
        let Some(max) = self.window.under_way_max else { return };
        let flow = &mut self.flows[number as usize];
        if !flow.is_ready && flow.under_way + self.window.burst <= max {
            flow.is_ready = true;
            self.ready.push_back(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::bench::payload::PAYLOAD_BYTES_MIN as SIZE;

    const BOTH: Ways = Ways { up: true, down: true };
    const WINDOW: Window = Window { burst: 2, under_way_max: Some(4) };

    fn round(clients: usize, ways: Ways) -> Round {
        let mut round = Round::new(9, clients, ways, SIZE, WINDOW);
        round.begin_counting(1000);
        round
    }

    /// Sends one burst; returns its payloads.
    fn burst(round: &mut Round, flow: u32, now_ns: u64) -> Vec<Vec<u8>> {
        let mut payloads = vec![0; 2 * SIZE];
        round.stamp(flow, now_ns, &mut payloads);
        round.left(flow, 2, now_ns);
        payloads.chunks(SIZE).map(<[u8]>::to_vec).collect()
    }

    fn ready(round: &mut Round) -> Vec<u32> {
        std::iter::from_fn(|| round.next_ready()).collect()
    }

    #[test]
    fn only_the_ways_that_were_asked_for_carry_packets() {
        assert_eq!(round(2, BOTH).active(), [0, 1, 2, 3]);
        assert_eq!(round(2, Ways { up: true, down: false }).active(), [0, 2]);
        assert_eq!(round(2, Ways { up: false, down: true }).active(), [1, 3]);
    }

    #[test]
    fn a_flow_sends_bursts_until_its_window_is_full_and_goes_on_when_a_burst_has_room() {
        let mut round = round(1, Ways { up: true, down: false });
        assert_eq!(ready(&mut round), [0]);
        let first = burst(&mut round, 0, 1000);
        assert_eq!(ready(&mut round), [0]);
        burst(&mut round, 0, 1001);
        assert!(ready(&mut round).is_empty());
        round.arrive(&first[0], 1002);
        assert!(ready(&mut round).is_empty(), "one is no burst");
        round.arrive(&first[1], 1003);
        assert_eq!(ready(&mut round), [0]);
    }

    #[test]
    fn packets_that_are_lost_stop_a_flow_for_a_moment_only() {
        let mut round = round(1, Ways { up: true, down: false });
        ready(&mut round);
        burst(&mut round, 0, 1000);
        ready(&mut round);
        burst(&mut round, 0, 2000);
        round.give_up_lost(1000 + LOST_AFTER_NS);
        assert!(ready(&mut round).is_empty());
        round.give_up_lost(1001 + LOST_AFTER_NS);
        assert_eq!(ready(&mut round), [0]);
    }

    #[test]
    fn a_flow_that_could_not_send_gets_another_turn() {
        let mut round = round(1, Ways { up: true, down: false });
        ready(&mut round);
        round.left(0, 0, 1000);
        assert!(ready(&mut round).is_empty());
        round.give_up_lost(1001);
        assert_eq!(ready(&mut round), [0]);
    }

    #[test]
    fn each_packet_counts_once_and_only_of_this_round() {
        let mut round = round(1, BOTH);
        let packets = burst(&mut round, 1, 1500);
        round.arrive(&packets[0], 1600);
        round.arrive(&packets[0], 1601);
        round.arrive(b"something else that is long enough", 1602);
        round.arrive(&packets[1][..SIZE - 1], 1602);
        let mut other = packets[1].clone();
        other[3] ^= 1;
        round.arrive(&other, 1603);
        assert!(!round.is_whole());
        round.arrive(&packets[1], 1700);
        assert!(round.is_whole());
        round.stop_counting(2000);
        let outcome = round.over();
        assert_eq!((outcome.sent, outcome.delivered, outcome.arrived), (2, 2, 2));
        assert_eq!(outcome.counted_ns, 1000);
        assert_eq!(outcome.delays.quantile(0.5), 101, "100 ns, by a histogram");
    }

    #[test]
    fn what_left_before_or_arrived_after_the_count_is_neither_lost_nor_gained() {
        let mut round = Round::new(9, 1, BOTH, SIZE, WINDOW);
        let warm = burst(&mut round, 0, 900);
        round.begin_counting(1000);
        round.arrive(&warm[0], 1100);
        let counted = burst(&mut round, 1, 1900);
        round.stop_counting(2000);
        counted.iter().for_each(|packet| round.arrive(packet, 2100));
        let outcome = round.over();
        assert_eq!((outcome.sent, outcome.delivered, outcome.arrived), (2, 1, 2));
    }
}
