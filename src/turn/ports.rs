//! The relay ports of one address: random, rested after use, and a map of the live ones.

use super::address::PeerProtocol;
use crate::base::{Random, Timestamp};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Inclusive range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// Lowest, at least 1.
    pub first: u16,
    /// Highest, at least `first`.
    pub last: u16,
}

impl PortRange {
    /// How many ports.
    pub const fn len(self) -> usize {
        (self.last - self.first) as usize + 1
    }

    /// Never: a range holds one port at least.
    pub const fn is_empty(self) -> bool {
        false
    }
}

/// Which relay ports are live: one bit per port and protocol, read by every shard without order.
///
/// A reader may see a port a moment late. Nothing is lost by that: whoever sends to a port that has
/// just closed meets no socket, and a port rests in quarantine before another owner gets it.
///
/// A port that relays UDP says nothing about TCP: some other program of the host may listen there.
#[derive(Debug)]
pub struct LivePorts(Box<[[AtomicU64; 1024]; 2]>);

impl Default for LivePorts {
    fn default() -> Self {
        Self(Box::new([const { [const { AtomicU64::new(0) }; 1024] }; 2]))
    }
}

impl LivePorts {
    /// Whether a relay socket is bound to `port`.
    pub fn contains(&self, protocol: PeerProtocol, port: u16) -> bool {
        self.0[protocol as usize][usize::from(port >> 6)].load(Ordering::Relaxed) >> (port & 63) & 1 == 1
    }

    /// Marks a port whose socket is bound.
    pub fn insert(&self, protocol: PeerProtocol, port: u16) {
        self.0[protocol as usize][usize::from(port >> 6)].fetch_or(1 << (port & 63), Ordering::Relaxed);
    }

    /// Marks a port whose socket is closed, whatever it relayed: it had one owner.
    pub fn remove(&self, port: u16) {
        for live in &*self.0 {
            live[usize::from(port >> 6)].fetch_and(!(1 << (port & 63)), Ordering::Relaxed);
        }
    }
}

/// A port taken from the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The port.
    pub port: u16,
    /// Whether its quarantine was cut short, because no other was free.
    pub early: bool,
}

/// Hands out ports of a range; every port is free, in use or in quarantine.
#[derive(Debug)]
pub struct PortPool {
    range: PortRange,
    quarantine: Duration,
    /// Free ports without order; `place` says where each is.
    free: Vec<u16>,
    place: Box<[Place]>,
    /// Ports at rest, the longest rested in front.
    resting: VecDeque<(Timestamp, u16)>,
    used: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Free(u16),
    Used,
    Resting,
}

impl PortPool {
    /// All ports of `range` free; each rests for `quarantine` after use.
    pub fn new(range: PortRange, quarantine: Duration) -> Self {
        let free: Vec<u16> = (range.first..=range.last).collect();
        let place = (0..free.len()).map(|i| Place::Free(i as u16)).collect();
        Self { range, quarantine, free, place, resting: VecDeque::new(), used: 0 }
    }

    /// A random port; `even` wants an even one. `None` when all are in use (or none is even).
    pub fn take(&mut self, now: Timestamp, random: &mut Random, even: bool) -> Option<Taken> {
        self.wake(now);
        let wanted = |port: u16| !even || port.is_multiple_of(2);
        if let Some(port) = self.random_free(random, wanted) {
            self.use_free(port);
            return Some(Taken { port, early: false });
        }
        // The one that rested longest, before its time: better than refusing a client.
        let at = self.resting.iter().position(|(_, port)| wanted(*port))?;
        let (_, port) = self.resting.remove(at)?;
        *self.place_of(port) = Place::Used;
        self.used += 1;
        Some(Taken { port, early: true })
    }

    /// A random even port together with the next higher one, both free (EVEN-PORT with R = 1).
    pub fn take_pair(&mut self, now: Timestamp, random: &mut Random) -> Option<(u16, u16)> {
        self.wake(now);
        let (range, place) = (self.range, &self.place);
        let next_is_free = |port: u16| {
            port.is_multiple_of(2)
                && port < range.last
                && matches!(place[usize::from(port + 1 - range.first)], Place::Free(_))
        };
        let port = pick(&self.free, random, next_is_free)?;
        self.use_free(port);
        self.use_free(port + 1);
        Some((port, port + 1))
    }

    /// A port comes back and rests.
    pub fn release(&mut self, now: Timestamp, port: u16) {
        if *self.place_of(port) == Place::Used {
            *self.place_of(port) = Place::Resting;
            self.used -= 1;
            self.resting.push_back((now.after(self.quarantine), port));
        }
    }

    /// Ports in use, free, and in quarantine: always the whole range together.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.used, self.free.len(), self.resting.len())
    }

    fn wake(&mut self, now: Timestamp) {
        while let Some(&(until, port)) = self.resting.front() {
            if until > now {
                break;
            }
            self.resting.pop_front();
            *self.place_of(port) = Place::Free(self.free.len() as u16);
            self.free.push(port);
        }
    }

    fn random_free(&self, random: &mut Random, wanted: impl Fn(u16) -> bool) -> Option<u16> {
        pick(&self.free, random, wanted)
    }

    fn use_free(&mut self, port: u16) {
        let Place::Free(at) = *self.place_of(port) else { return };
        self.free.swap_remove(usize::from(at));
        if let Some(&moved) = self.free.get(usize::from(at)) {
            *self.place_of(moved) = Place::Free(at);
        }
        *self.place_of(port) = Place::Used;
        self.used += 1;
    }

    fn place_of(&mut self, port: u16) -> &mut Place {
        &mut self.place[usize::from(port - self.range.first)]
    }
}

/// A random element that is wanted: a few draws first, which nearly always suffice, then a scan from
/// a random start so that a crowded pool is searched whole.
fn pick(free: &[u16], random: &mut Random, wanted: impl Fn(u16) -> bool) -> Option<u16> {
    for _ in 0..8 {
        let port = *free.get(random.below(free.len() as u32) as usize)?;
        if wanted(port) {
            return Some(port);
        }
    }
    let (tail, head) = free.split_at(random.below(free.len() as u32) as usize);
    head.iter().chain(tail).copied().find(|port| wanted(*port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const RANGE: PortRange = PortRange { first: 50_000, last: 50_063 };
    const REST: Duration = Duration::from_secs(30);

    #[test] // turn.md point 28
    fn ports_are_random_unique_and_all_handed_out() {
        let (mut pool, mut random) = (PortPool::new(RANGE, REST), Random::seeded(3));
        let ports: Vec<u16> =
            std::iter::from_fn(|| pool.take(Timestamp::ZERO, &mut random, false)).map(|t| t.port).collect();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), RANGE.len());
        assert!(ports.windows(2).filter(|w| w[1] == w[0].wrapping_add(1)).count() < 8, "{ports:?}");
        assert_eq!(pool.counts(), (64, 0, 0));
    }

    #[test] // turn.md point 28
    fn a_freed_port_rests_and_the_longest_rested_is_taken_only_in_need() {
        let (mut pool, mut random) = (PortPool::new(RANGE, REST), Random::seeded(3));
        let now = Timestamp::from_secs(100);
        let all: Vec<u16> =
            std::iter::from_fn(|| pool.take(now, &mut random, false)).map(|t| t.port).collect();
        pool.release(now, all[5]);
        pool.release(now.after(Duration::from_secs(1)), all[6]);
        assert_eq!(pool.counts(), (62, 0, 2));
        let early = pool.take(now.after(Duration::from_secs(2)), &mut random, false);
        assert_eq!(early, Some(Taken { port: all[5], early: true }));
        let rested = pool.take(now.after(Duration::from_secs(31)), &mut random, false);
        assert_eq!(rested, Some(Taken { port: all[6], early: false }));
        assert_eq!(pool.take(now.after(Duration::from_secs(31)), &mut random, false), None);
    }

    #[test] // security Q1: coturn leaked ports with EVEN-PORT
    fn even_pairs_come_and_go_without_a_leak() {
        let (mut pool, mut random) = (PortPool::new(RANGE, Duration::ZERO), Random::seeded(3));
        for round in 0..20_000u64 {
            let now = Timestamp::from_secs(round);
            let (low, high) = pool.take_pair(now, &mut random).expect("room");
            assert!(low.is_multiple_of(2) && high == low + 1);
            let even = pool.take(now, &mut random, true).expect("room").port;
            assert!(even.is_multiple_of(2));
            for port in [low, high, even] {
                pool.release(now, port);
            }
            let (used, free, resting) = pool.counts();
            assert_eq!((used, free + resting), (0, RANGE.len()));
        }
    }

    #[test]
    fn releasing_twice_counts_once() {
        let (mut pool, mut random) = (PortPool::new(RANGE, REST), Random::seeded(3));
        let port = pool.take(Timestamp::ZERO, &mut random, false).expect("room").port;
        pool.release(Timestamp::ZERO, port);
        pool.release(Timestamp::ZERO, port);
        assert_eq!(pool.counts(), (0, 63, 1));
    }

    #[test]
    fn the_live_map_knows_each_port_by_itself() {
        let live = LivePorts::default();
        live.insert(PeerProtocol::Udp, 65_535);
        live.insert(PeerProtocol::Tcp, 64);
        live.insert(PeerProtocol::Tcp, 65);
        live.remove(64);
        assert!((0..=65_535).all(|port| live.contains(PeerProtocol::Udp, port) == (port == 65_535)));
        assert!((0..=65_535).all(|port| live.contains(PeerProtocol::Tcp, port) == (port == 65)));
    }
}
