//! What every driver does with its sockets: the kernel's losses, its ICMP errors, and how much to ask it for.

use crate::net::{RecvBatch, UdpSocket};
use crate::wire::stun::attribute::Icmp;
use std::net::SocketAddr;

/// The kernel's count of datagrams lost at one socket, as last seen.
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

/// How many slots the next receive of a socket gets. Each one that stays empty costs the kernel a look, and a level-triggered
/// poller tells of what was left.
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
    /// Receives in a row that have to fill their slots before there are more.
    const PATIENCE: u8 = 4;

    /// Slots of the next receive.
    pub(super) fn slots(&self) -> usize {
        usize::from(self.slots)
    }

    /// Takes note of a receive that wanted [`Self::slots`] and used so many. Returns whether another one now is worth it.
    pub(super) fn learn(&mut self, used: usize) -> bool {
        if used < self.slots() {
            self.filled = 0;
            self.slots = used.max(1).next_power_of_two() as u8;
            return false;
        }
        self.filled += 1;
        if self.filled == Self::PATIENCE {
            self.filled = 0;
            self.slots = (self.slots * 2).min(RecvBatch::SLOTS_MAX as u8);
        }
        used == RecvBatch::SLOTS_MAX
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
                assert!(!appetite.learn(1));
                slots
            })
            .sum();
        assert!(asked <= 125, "{asked} slots for 100 datagrams");
    }

    #[test]
    fn a_busy_socket_is_soon_asked_for_all_that_fits_and_a_quiet_one_for_less_at_once() {
        let mut appetite = Appetite::default();
        let receives = (0..).take_while(|_| !appetite.learn(appetite.slots())).count();
        assert_eq!((receives, appetite.slots()), (20, 32));
        for (used, slots) in [(31, 32), (5, 8), (8, 8), (0, 1)] {
            assert!(!appetite.learn(used));
            assert_eq!(appetite.slots(), slots, "after {used}");
        }
    }

    #[test]
    fn losses_are_counted_once_and_over_the_wrap() {
        let mut losses = Losses::default();
        let totals = [None, Some(3), Some(3), None, Some(u32::MAX), Some(1)];
        assert_eq!(totals.map(|total| losses.since(total)), [0, 3, 0, 0, u64::from(u32::MAX) - 3, 2]);
    }
}
