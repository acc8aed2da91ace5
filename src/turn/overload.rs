//! Who gives way while datagrams come faster than they can be relayed.
//!
//! Clients share the receive buffer of a door. When it is full, the kernel drops whatever comes next, so all lose as large a
//! part as the one who floods. To receive and drop a datagram costs a fraction of relaying it: so from the first loss on,
//! each allocation has a share of what is relayed in a short window, and only who sends more than that loses. The share is
//! halved while the kernel goes on to drop, though never below twice the average of those who sent anything within the last
//! second, and grows again when it does not. Without losses there is no limit.

use crate::base::Timestamp;
use std::time::Duration;

/// A buffer of the usual size holds what is relayed in about so long.
const WINDOW: Duration = Duration::from_millis(2);

/// Windows without a loss after which a share grows: by an eighth while somebody wants more, else to twice as much.
const CALM_WINDOWS: u32 = 100;

/// After so long without a datagram whatever was too much is over.
const OVER_AFTER: Duration = Duration::from_millis(500);

/// What everybody may have relayed in a window at any rate: 16,000 datagrams a second, and a burst of this length.
const SHARE_MIN: u32 = 32;

/// The share at which it is no limit any more, in datagrams of one window: more than a core relays.
const SHARE_MAX: u32 = 1 << 14;

/// The state of one server.
#[derive(Debug, Default)]
pub(super) struct Overload {
    /// While the kernel drops, and for some time after.
    now: Option<Window>,
    /// Windows so far, so that a [`Taken`] knows whether it is of this one.
    number: u32,
    /// The second that runs now, and how many allocations sent something in it and in the one before.
    second: u64,
    senders: u32,
    senders_before: u32,
}

#[derive(Debug)]
struct Window {
    ends: Timestamp,
    /// Datagrams that one allocation may relay in it.
    share: u32,
    relayed: u32,
    refused: u32,
    has_lost: bool,
    calm_windows: u32,
}

/// What one allocation has had relayed in a window, and when it last sent something.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    window: u32,
    datagrams: u32,
    second: u64,
}

impl Overload {
    /// The kernel has dropped datagrams of clients.
    pub(super) fn on_loss(&mut self, now: Timestamp) {
        match &mut self.now {
            Some(window) => window.has_lost = true,
            None => {
                self.number = self.number.wrapping_add(1);
                self.now = Some(Window {
                    ends: now.after(WINDOW),
                    share: SHARE_MAX,
                    relayed: 0,
                    refused: 0,
                    has_lost: true,
                    calm_windows: 0,
                });
            }
        }
    }

    /// Whether one more datagram of a client may be relayed; takes it.
    pub(super) fn admit(&mut self, now: Timestamp, taken: &mut Taken) -> bool {
        // Seconds begin at 1, so that a new allocation has not sent anything yet.
        let second = now.as_secs() + 1;
        if taken.second != second {
            taken.second = second;
            self.hear(second);
        }
        if self.now.as_ref().is_some_and(|window| now >= window.ends) {
            self.next_window(now);
        }
        let Some(window) = &mut self.now else { return true };
        if taken.window != self.number {
            (taken.window, taken.datagrams) = (self.number, 0);
        }
        let may = taken.datagrams < window.share;
        if may {
            taken.datagrams += 1;
            window.relayed += 1;
        } else {
            window.refused += 1;
        }
        may
    }

    /// Counts an allocation that sends something for the first time in a second.
    fn hear(&mut self, second: u64) {
        if self.second != second {
            self.senders_before = if self.second + 1 == second { self.senders } else { 0 };
            (self.second, self.senders) = (second, 0);
        }
        self.senders += 1;
    }

    fn next_window(&mut self, now: Timestamp) {
        self.number = self.number.wrapping_add(1);
        let senders = self.senders.max(self.senders_before);
        self.now = self.now.take().and_then(|window| window.next(now, senders));
    }
}

impl Window {
    /// The window that begins now, or `None` when there is no need for one. `senders`: allocations that sent something within
    /// about a second.
    fn next(self, now: Timestamp, senders: u32) -> Option<Self> {
        if now.since(self.ends) >= OVER_AFTER {
            return None;
        }
        let fair = (2 * self.relayed / senders.max(1)).max(SHARE_MIN);
        let (share, calm_windows) = match (self.has_lost, self.calm_windows + 1) {
            (true, _) => ((self.share.min(self.relayed) / 2).max(fair), 0),
            (false, CALM_WINDOWS) if self.refused > 0 => (self.share + self.share / 8 + 1, 0),
            (false, CALM_WINDOWS) => (self.share * 2, 0),
            (false, calm_windows) => (self.share, calm_windows),
        };
        let next =
            Self { ends: now.after(WINDOW), share, relayed: 0, refused: 0, has_lost: false, calm_windows };
        (self.has_lost || share < SHARE_MAX).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that relays so many datagrams in a millisecond, or drops four times as many, behind a buffer for 500.
    const RELAYED_PER_MS: u32 = 300;
    const TICKS_PER_MS: u32 = 10;

    struct World {
        overload: Overload,
        clients: Vec<Client>,
        now: Timestamp,
        waiting: std::collections::VecDeque<usize>,
    }

    #[derive(Clone, Default)]
    struct Client {
        /// Datagrams in ten milliseconds.
        sends: u32,
        taken: Taken,
        relayed: u32,
        dropped: u32,
        lost: u32,
    }

    impl World {
        fn of(rates: &[u32]) -> Self {
            let clients = rates.iter().map(|sends| Client { sends: *sends, ..Client::default() }).collect();
            Self { overload: Overload::default(), clients, now: Timestamp::ZERO, waiting: Default::default() }
        }

        /// What happens in a number of milliseconds.
        fn run(&mut self, milliseconds: u32) {
            for tick in 0..milliseconds * TICKS_PER_MS {
                self.now = self.now.after(Duration::from_millis(1) / TICKS_PER_MS);
                // Each begins at a time of its own, and who is first among those of a tick changes.
                let count = self.clients.len();
                for n in (0..count).map(|n| (n + tick as usize) % count) {
                    let client = &mut self.clients[n];
                    let sent = |tick: u32| (tick + n as u32) * client.sends / (10 * TICKS_PER_MS);
                    for _ in sent(tick)..sent(tick + 1) {
                        if self.waiting.len() < 500 {
                            self.waiting.push_back(n);
                        } else {
                            client.lost += 1;
                            self.overload.on_loss(self.now);
                        }
                    }
                }
                let mut quarters = 4 * RELAYED_PER_MS / TICKS_PER_MS;
                while quarters >= 4 {
                    let Some(n) = self.waiting.pop_front() else { break };
                    let client = &mut self.clients[n];
                    let may = self.overload.admit(self.now, &mut client.taken);
                    *(if may { &mut client.relayed } else { &mut client.dropped }) += 1;
                    quarters -= if may { 4 } else { 1 };
                }
            }
        }

        fn relayed(&self) -> u32 {
            self.clients.iter().map(|client| client.relayed).sum()
        }
    }

    #[test]
    fn without_losses_nothing_is_dropped() {
        let mut world = World::of(&[2000, 500, 10, 1]);
        world.run(2_000);
        assert!(world.clients.iter().all(|client| client.dropped == 0 && client.lost == 0));
        assert_eq!(world.relayed(), 2511 * 200);
    }

    #[test]
    fn who_floods_loses_and_who_sends_little_does_not() {
        let mut rates = [1; 100];
        rates[0] = 6_000;
        let mut world = World::of(&rates);
        world.run(10_000);
        let (flooder, others) = world.clients.split_first().unwrap();
        let missing: u32 = others.iter().map(|client| client.dropped + client.lost).sum();
        assert!(missing <= 99, "{missing} of 99,000");
        // And the flooder is not starved: dropping the rest leaves time for two thirds, and it gets a third at least.
        assert!(flooder.relayed > 10_000 * RELAYED_PER_MS / 3, "{}", flooder.relayed);
    }

    #[test]
    fn who_is_alone_takes_from_nobody() {
        let mut world = World::of(&[6_000]);
        world.run(2_000);
        assert_eq!(world.clients[0].dropped, 0);
    }

    #[test]
    fn those_who_send_the_same_keep_what_there_is() {
        let mut world = World::of(&[60; 100]);
        world.run(5_000);
        assert!(world.relayed() > 5_000 * RELAYED_PER_MS * 9 / 10, "{}", world.relayed());
    }

    #[test]
    fn when_it_is_over_there_is_no_limit_any_more() {
        let mut world = World::of(&[6_000, 1, 1]);
        world.run(1_000);
        world.clients[0].sends = 2_000;
        world.run(10_000);
        assert!(world.overload.now.is_none());
        let dropped = world.clients[0].dropped;
        world.run(1_000);
        assert_eq!(world.clients[0].dropped, dropped);
    }

    #[test]
    fn a_pause_ends_it() {
        let mut world = World::of(&[6_000, 1]);
        world.run(100);
        assert!(world.overload.now.is_some());
        world.now = world.now.after(OVER_AFTER * 2);
        assert!(world.overload.admit(world.now, &mut world.clients[0].taken));
        assert!(world.overload.now.is_none());
    }
}
