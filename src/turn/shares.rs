//! The total limit, and how the servers of a daemon share it.
//!
//! All draw from one pool, so that together they never get more than the limit, and what one leaves another can have
//! at once. Who is served when all want more is a matter of shares: every 100 ms each server says what it was asked
//! for, and the limit is divided anew by that, as water fills vessels, so that who asks for little gets it whole.
//! Within its share a server may empty the pool; beyond it, it leaves half for the shares of others.

use super::bandwidth::{DEPTH, Pool, Wallet, cost};
use crate::base::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How long shares hold.
const EPOCH: u64 = 100_000_000;

/// A server that asked for nothing still has this part of an equal share.
const IDLE_PART: u64 = 4;

/// The total of a daemon, for all its servers.
#[derive(Debug)]
pub struct Shares {
    pool: Pool,
    /// The last epoch in which shares were made.
    epoch: AtomicU64,
    places: Box<[Place]>,
}

/// What one server asked for and got. Written and read once in an epoch, by whoever comes first.
#[derive(Debug, Default)]
struct Place {
    /// Nanoseconds of the limit.
    asked: AtomicU64,
    /// In which epoch that was.
    asked_in: AtomicU64,
    /// Nanoseconds of the limit.
    share: AtomicU64,
}

/// One server's way to the total.
#[derive(Debug)]
pub(super) struct Shareholder {
    shares: Arc<Shares>,
    number: usize,
    wallet: Wallet,
    epoch: u64,
    /// Nanoseconds of the limit that it was asked for in this epoch.
    asked: u64,
    /// Its share of an epoch.
    share: u64,
    /// What has come of its share and is not spent: an epoch's worth at most, and less than nothing when the last
    /// datagram was larger.
    left: i64,
    /// Until when.
    come_until: u64,
}

impl Shares {
    /// For this many servers.
    pub fn new(servers: usize) -> Self {
        let share = || AtomicU64::new(EPOCH / servers.max(1) as u64);
        let place = || Place { share: share(), ..Place::default() };
        let places = (0..servers.max(1)).map(|_| place()).collect();
        Self { pool: Pool::default(), epoch: AtomicU64::new(0), places }
    }

    /// Whether more was wanted within the last second than there is.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.pool.is_over(now)
    }

    /// Divides an epoch of the limit by what the servers asked for. Work: some rounds over the servers, no memory.
    fn divide(&self, epoch: u64) {
        let servers = self.places.len() as u64;
        let least = EPOCH / servers / IDLE_PART;
        let asked = || {
            self.places.iter().map(move |place| {
                // Who has said nothing in the last epoch or two sleeps.
                let is_fresh = place.asked_in.load(Relaxed) + 2 >= epoch;
                least.max(if is_fresh { place.asked.load(Relaxed) } else { 0 })
            })
        };
        let surface = surface(EPOCH, asked);
        let filled: u64 = asked().map(|asked| asked.min(surface)).sum();
        let rest = EPOCH.saturating_sub(filled) / servers;
        for (place, asked) in self.places.iter().zip(asked()) {
            place.share.store(asked.min(surface) + rest, Relaxed);
        }
    }
}

/// How high water stands in vessels of these heights when `water` is poured into all of them.
fn surface<I: Iterator<Item = u64>>(water: u64, heights: impl Fn() -> I) -> u64 {
    let mut surface = 0;
    loop {
        let (full, open) =
            heights().fold(
                (0, 0),
                |(full, open), height| {
                    if height <= surface { (full + height, open) } else { (full, open + 1) }
                },
            );
        let higher = u64::saturating_sub(water, full).checked_div(open).unwrap_or(water);
        // Each round fills a vessel more, or is the last.
        if open == 0 || higher <= surface {
            return surface.max(higher);
        }
        surface = higher;
    }
}

impl Shareholder {
    /// `number`: which of the servers.
    pub(super) fn new(shares: Arc<Shares>, number: usize) -> Self {
        let number = number.min(shares.places.len() - 1);
        Self {
            shares,
            number,
            wallet: Wallet::default(),
            epoch: 0,
            asked: 0,
            share: 0,
            left: 0,
            come_until: 0,
        }
    }

    /// Whether `bytes` may pass at a total of `rate` bits a second. A "no" is noted: more is wanted than there is.
    pub(super) fn fill(&mut self, now: Timestamp, bytes: u64, rate: u64) -> bool {
        let is_there = self.draw(now, bytes, rate);
        if !is_there {
            self.shares.pool.note_dry(now);
        }
        is_there
    }

    /// As [`Shareholder::fill`]; a "no" is not noted.
    pub(super) fn draw(&mut self, now: Timestamp, bytes: u64, rate: u64) -> bool {
        self.turn_to(now);
        self.accrue(now);
        let (pool, left) = (&self.shares.pool, &mut self.left);
        self.wallet.fill(bytes, rate, |cost| {
            let is_within = *left > 0;
            let drawn = pool.draw(now, cost, if is_within { 0 } else { DEPTH / 2 });
            if drawn && is_within {
                *left = left.saturating_sub_unsigned(cost);
            }
            drawn
        })
    }

    /// Notes that `bytes` were asked for, whether they pass or not: shares follow that.
    pub(super) fn note_asked(&mut self, bytes: u64, rate: u64) {
        self.asked = self.asked.saturating_add(cost(bytes, rate));
    }

    /// Takes bytes that [`Shareholder::fill`] has found.
    pub(super) fn spend(&mut self, bytes: u64) {
        self.wallet.spend(bytes);
    }

    /// At the first datagram of an epoch: says what it was asked for in the one before, sees to it that somebody
    /// has divided the limit, and takes its share.
    fn turn_to(&mut self, now: Timestamp) {
        let epoch = now.as_nanos() / EPOCH;
        if epoch == self.epoch {
            return;
        }
        let place = &self.shares.places[self.number];
        place.asked.store(std::mem::take(&mut self.asked), Relaxed);
        place.asked_in.store(self.epoch, Relaxed);
        self.epoch = epoch;
        let divided = self.shares.epoch.load(Relaxed);
        let exchange = || self.shares.epoch.compare_exchange(divided, epoch, Relaxed, Relaxed);
        if divided < epoch && exchange().is_ok() {
            self.shares.divide(epoch);
        }
        self.share = place.share.load(Relaxed);
    }

    /// A share comes evenly, so that who is flooded does not empty the pool at the start of each epoch.
    fn accrue(&mut self, now: Timestamp) {
        let since = now.as_nanos().saturating_sub(self.come_until);
        if since >= EPOCH / 100 {
            self.come_until = now.as_nanos();
            let come = since.min(EPOCH) * self.share / EPOCH;
            self.left = self.left.saturating_add_unsigned(come).min(self.share as i64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(asked: &[u64]) -> Vec<u64> {
        let shares = Shares::new(asked.len());
        for (place, asked) in shares.places.iter().zip(asked) {
            place.asked.store(asked * EPOCH / 100, Relaxed);
            place.asked_in.store(7, Relaxed);
        }
        shares.divide(8);
        shares.places.iter().map(|place| place.share.load(Relaxed) * 100 / EPOCH).collect()
    }

    #[test]
    fn who_asks_for_little_gets_it_whole_and_the_rest_is_for_the_others() {
        assert_eq!(shared(&[100, 20, 500, 12]), [34, 20, 34, 12]);
        assert_eq!(
            shared(&[1_000, 0, 0, 0]),
            [81, 6, 6, 6],
            "a quarter of an equal share waits for who wakes up"
        );
        assert_eq!(shared(&[10, 10, 0, 0]), [26, 26, 23, 23], "what nobody asked for is everybody's");
        assert_eq!(shared(&[900, 900]), [50, 50]);
        assert_eq!(shared(&[0]), [100]);
    }

    #[test]
    fn shares_of_any_demand_never_exceed_the_whole() {
        let mut random = crate::base::Random::seeded(5);
        for _ in 0..1_000 {
            let servers = 1 + random.next_u64() % 40;
            let shares = Shares::new(servers as usize);
            for place in &shares.places {
                place.asked.store(random.next_u64() >> (random.next_u64() % 64), Relaxed);
                place.asked_in.store(random.next_u64() % 20, Relaxed);
            }
            shares.divide(12);
            let sum: u64 = shares.places.iter().map(|place| place.share.load(Relaxed)).sum();
            assert!(sum <= EPOCH && sum >= EPOCH - servers, "{sum}");
        }
    }

    /// Servers that share 80 Mbit/s. Each wants so many bytes in each millisecond; a small seeded jitter keeps them
    /// out of step.
    struct Daemon {
        servers: Vec<Shareholder>,
        random: crate::base::Random,
        millis: u64,
    }

    const RATE: u64 = 80_000_000;
    const PER_SECOND: u64 = RATE / 8;
    const DATAGRAM: u64 = 1_000;

    impl Daemon {
        fn of(servers: usize) -> Self {
            let shares = Arc::new(Shares::new(servers));
            let servers = (0..servers).map(|number| Shareholder::new(Arc::clone(&shares), number)).collect();
            Self { servers, random: crate::base::Random::seeded(9), millis: 5_000 }
        }

        /// What passed in the next millisecond, by server, when each was sent so many datagrams.
        fn pass(&mut self, sent: &[u64]) -> Vec<u64> {
            self.millis += 1;
            let (millis, random) = (self.millis, &mut self.random);
            let mut passed = vec![0; sent.len()];
            let mut order: Vec<usize> = (0..sent.len()).flat_map(|n| vec![n; sent[n] as usize]).collect();
            for at in (1..order.len()).rev() {
                order.swap(at, (random.next_u64() % (at as u64 + 1)) as usize);
            }
            for (i, number) in order.iter().enumerate() {
                let nanos = millis * 1_000_000 + 1_000_000 * i as u64 / order.len() as u64;
                let (server, now) = (&mut self.servers[*number], Timestamp::from_nanos(nanos));
                server.note_asked(DATAGRAM, RATE);
                if server.fill(now, DATAGRAM, RATE) {
                    server.spend(DATAGRAM);
                    passed[*number] += DATAGRAM;
                }
            }
            passed
        }

        /// Bytes of each server in each of `millis` milliseconds.
        fn run(&mut self, millis: usize, sent: &[u64]) -> Vec<Vec<u64>> {
            (0..millis).map(|_| self.pass(sent)).collect()
        }
    }

    fn all(passed: &[Vec<u64>]) -> u64 {
        passed.iter().flatten().sum()
    }

    fn of(server: usize, passed: &[Vec<u64>]) -> u64 {
        passed.iter().map(|bytes| bytes[server]).sum()
    }

    /// Demand in datagrams a millisecond; the limit is ten.
    const SKEWS: [&[u64]; 7] = [
        &[40],
        &[40, 0, 0, 0],
        &[0, 0, 0, 11],
        &[11, 1, 1, 1],
        &[100, 5, 5, 1, 0, 0, 0, 0],
        &[3, 3, 3, 3, 3, 3, 3, 3],
        &[1; 16],
    ];

    #[test]
    fn no_second_passes_more_than_the_limit_and_a_bucket_and_none_less_than_the_limit() {
        for first in SKEWS {
            for then in SKEWS.iter().filter(|then| then.len() == first.len()) {
                let mut daemon = Daemon::of(first.len());
                let mut passed = daemon.run(2_500, first);
                // One share was idle and now has all the demand, or the other way round.
                passed.extend(daemon.run(2_500, then));
                let totals: Vec<u64> = passed.iter().map(|servers| servers.iter().sum()).collect();
                for (at, second) in totals.windows(1_000).enumerate() {
                    let bytes: u64 = second.iter().sum();
                    let bounds = PER_SECOND * 95 / 100..=PER_SECOND * 105 / 100 + PER_SECOND / 5;
                    assert!(bounds.contains(&bytes), "{first:?} {then:?} {at}: {bytes}");
                }
                let whole: u64 = totals.iter().sum();
                assert!(whole <= PER_SECOND * 5 + PER_SECOND / 5 + DATAGRAM, "{first:?} {then:?}: {whole}");
            }
        }
    }

    #[test]
    fn demand_that_jumps_about_is_met_all_the_same() {
        let mut daemon = Daemon::of(6);
        let mut passed = Vec::new();
        for _ in 0..200 {
            let mut sent = [0; 6];
            for _ in 0..15 {
                sent[(daemon.random.next_u64() % 6) as usize] += 1;
            }
            let span = 1 + daemon.random.next_u64() % 60;
            passed.extend(daemon.run(span as usize, &sent));
        }
        for second in passed.windows(1_000) {
            let bytes = all(second);
            assert!((PER_SECOND * 95 / 100..=PER_SECOND * 125 / 100).contains(&bytes), "{bytes}");
        }
    }

    #[test]
    fn a_server_with_little_demand_loses_nothing_to_one_that_is_flooded() {
        let mut daemon = Daemon::of(4);
        daemon.run(1_000, &[200, 2, 0, 0]);
        let passed = daemon.run(2_000, &[200, 2, 0, 0]);
        assert_eq!(of(1, &passed), 2_000 * 2 * DATAGRAM, "a fifth of the limit, and of four servers");
        daemon.run(300, &[200, 2, 200, 0]);
        let passed = daemon.run(2_000, &[200, 2, 200, 0]);
        assert_eq!(of(1, &passed), 2_000 * 2 * DATAGRAM);
        let (one, other) = (of(0, &passed), of(2, &passed));
        assert!(one.abs_diff(other) * 10 < one + other, "{one} and {other}");
    }
}
