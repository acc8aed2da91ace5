//! What every driver does with its sockets: the kernel's losses, its ICMP errors, and how much to ask it for.

use crate::net::{RecvBatch, UdpSocket};
use crate::wire::stun::attribute::Icmp;
use std::net::SocketAddr;

/// The kernel's count of what was lost at one socket, as last seen: datagrams, where several that were coalesced count as one.
#[derive(Debug, Default)]
pub(super) struct Losses {
    seen: u32,
}

impl Losses {
    /// Datagrams lost since the last call. `total`: modulo 2^32, of the last receive, which may not carry it.
    pub(super) fn since(&mut self, total: Option<u32>) -> u64 {
        let Some(total) = total else { return 0 };
        u64::from(total.wrapping_sub(std::mem::replace(&mut self.seen, total)))
    }
}

/// How many slots the next receive of a socket gets. Each one that stays empty costs the kernel a look, and one that is full of
/// coalesced datagrams is much work at once; a level-triggered poller tells of what was left.
#[derive(Debug)]
pub(super) struct Appetite {
    slots: u8,
    /// Receives in a row that filled all of them.
    filled: u8,
}

impl Default for Appetite {
    fn default() -> Self {
        Self { slots: 1, filled: 0 }
    }
}

impl Appetite {
    /// Datagrams of one receive from which on there are fewer slots: what four times as many slots have one by one.
    const DATAGRAMS_MAX: usize = 4 * RecvBatch::SLOTS_MAX;

    /// Receives in a row that have to fill their slots before there are more.
    const PATIENCE: u8 = 4;

    /// Slots of the next receive.
    pub(super) fn slots(&self) -> usize {
        usize::from(self.slots)
    }

    /// Takes note of a receive that wanted [`Self::slots`] and got so many datagrams in `used` of them. Returns whether another
    /// one now is worth it: all slots are used, and by single datagrams, so that a few receives are not too much at once.
    pub(super) fn learn(&mut self, used: usize, datagrams: usize) -> bool {
        if datagrams > Self::DATAGRAMS_MAX {
            self.filled = 0;
            self.slots = (self.slots / 2).max(1);
        } else if used < self.slots() {
            self.filled = 0;
            self.slots = used.max(1).next_power_of_two() as u8;
        } else {
            self.filled += 1;
            if self.filled == Self::PATIENCE {
                self.filled = 0;
                let more = datagrams <= Self::DATAGRAMS_MAX / 2;
                self.slots = (self.slots << u8::from(more)).min(RecvBatch::SLOTS_MAX as u8);
            }
        }
        used == RecvBatch::SLOTS_MAX && datagrams == used
    }
}

/// The next ICMP error about a datagram that left through `socket`, and its destination. An unread one would fail the
/// next send to anybody.
pub(super) fn next_error(socket: &UdpSocket) -> Option<(SocketAddr, Icmp)> {
    let Ok(Some(error)) = socket.recv_error() else {
        // The queue may have had no room for the details, while the error itself is pending.
        let _detail_is_lost = socket.take_error();
        return None;
    };
    Some((error.peer, Icmp { icmp_type: error.icmp_type, code: error.code, data: error.data }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_with_one_datagram_at_a_time_is_seldom_asked_for_more() {
        let mut appetite = Appetite::default();
        let asked: usize = (0..100)
            .map(|_| {
                let slots = appetite.slots();
                assert!(!appetite.learn(1, 1));
                slots
            })
            .sum();
        assert!(asked <= 125, "{asked} slots for 100 datagrams");
    }

    #[test]
    fn a_busy_socket_is_soon_asked_for_all_that_fits_and_a_quiet_one_for_less_at_once() {
        let mut appetite = Appetite::default();
        let receives = (0..).take_while(|_| !appetite.learn(appetite.slots(), appetite.slots())).count();
        assert_eq!((receives, appetite.slots()), (20, 32));
        for (used, slots) in [(31, 32), (5, 8), (8, 8), (0, 1)] {
            assert!(!appetite.learn(used, used));
            assert_eq!(appetite.slots(), slots, "after {used}");
        }
    }

    #[test]
    fn a_socket_with_long_trains_is_asked_for_a_few_at_a_time() {
        let mut appetite = Appetite { slots: 32, filled: 0 };
        let mut worst = Vec::new();
        for _ in 0..50 {
            let slots = appetite.slots();
            worst.push(64 * slots);
            assert!(!appetite.learn(slots, 64 * slots));
        }
        assert_eq!(worst[..5], [2048, 1024, 512, 256, 128]);
        assert!(worst[5..].iter().all(|datagrams| *datagrams <= Appetite::DATAGRAMS_MAX));
    }

    #[test]
    fn losses_are_counted_once_and_over_the_wrap() {
        let mut losses = Losses::default();
        let totals = [None, Some(3), Some(3), None, Some(u32::MAX), Some(1)];
        assert_eq!(totals.map(|total| losses.since(total)), [0, 3, 0, 0, u64::from(u32::MAX) - 3, 2]);
    }
}
