//! How much application payload may pass: token buckets in bits a second, for one allocation, for one subject and in
//! total.
//!
//! A byte counts once, when it comes in, whichever way it goes. A bucket holds what its limit gives in 200 ms; what
//! finds it empty is dropped by the caller, and nothing waits here.

use crate::base::Timestamp;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The limits, in bits of application payload a second, both ways together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// Of one allocation; a credential may have less (`b=`).
    pub per_allocation: Option<u64>,
    /// Of one subject, on all servers.
    pub per_user: Option<u64>,
    /// Of all subjects, on all servers.
    pub total: Option<u64>,
    /// Whether new allocations are refused, too, while a subject, or all together, want more than they may have.
    pub refuses: bool,
}

impl Bandwidth {
    /// Whether nobody is limited.
    pub(super) const fn is_off(&self) -> bool {
        self.per_allocation.is_none() && self.per_user.is_none() && self.total.is_none()
    }
}

/// Nanoseconds of its limit that a bucket holds.
pub(super) const DEPTH: u64 = 200_000_000;

/// How long after something was held back a bucket still counts as wanted more of than it gives.
const OVER_FOR: u64 = 1_000_000_000;

/// A wallet draws so much at once: a millisecond's worth.
const DRAWS_PER_SECOND: u64 = 1_000;

/// More than any datagram.
const DATAGRAM_BYTES: u64 = 1 << 16;

/// A bucket of one owner. Eight bytes: the moment at which it was, or will be, empty.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket(u64);

impl Bucket {
    /// Whether `cost` nanoseconds can be taken now. What costs more than a bucket holds wants a full one, and is
    /// paid off afterwards.
    pub(super) fn has(self, now: Timestamp, cost: u64) -> bool {
        self.without(now, cost, 0).is_some()
    }

    /// Takes `cost`, which [`Bucket::has`] has found.
    pub(super) fn spend(&mut self, now: Timestamp, cost: u64) {
        self.0 = self.at(now).saturating_add(cost);
    }

    /// The bucket less `cost`, when that leaves `keep` in it.
    fn without(self, now: Timestamp, cost: u64, keep: u64) -> Option<Self> {
        let empty_at = self.at(now);
        let level = clock(now).saturating_sub(empty_at);
        (level >= cost.saturating_add(keep).min(DEPTH)).then(|| Self(empty_at.saturating_add(cost)))
    }

    /// When it was or will be empty; what flowed over is gone.
    fn at(self, now: Timestamp) -> u64 {
        self.0.max(clock(now) - DEPTH)
    }
}

/// A bucket that servers on different threads take from. No lock: one number.
#[derive(Debug, Default)]
pub struct Pool {
    bucket: AtomicU64,
    /// When something was held back for want of it.
    dry_at: AtomicU64,
}

impl Pool {
    /// Takes `cost` nanoseconds if `keep` stay behind.
    pub(super) fn draw(&self, now: Timestamp, cost: u64, keep: u64) -> bool {
        let less = |bucket| Bucket(bucket).without(now, cost, keep).map(|left| left.0);
        self.bucket.fetch_update(Relaxed, Relaxed, less).is_ok()
    }

    /// As [`Bucket::has`].
    pub(super) fn has(&self, now: Timestamp, cost: u64) -> bool {
        Bucket(self.bucket.load(Relaxed)).has(now, cost)
    }

    /// Takes `cost`, be it there or not.
    pub(super) fn spend(&self, now: Timestamp, cost: u64) {
        let less = |bucket| Some(Bucket(bucket).at(now).saturating_add(cost));
        let _never_refused = self.bucket.fetch_update(Relaxed, Relaxed, less);
    }

    /// Whether nothing was ever taken.
    pub(super) fn is_untouched(&self) -> bool {
        self.bucket.load(Relaxed) == 0
    }

    /// Whether it holds all that it can.
    pub(super) fn is_full(&self, now: Timestamp) -> bool {
        self.has(now, DEPTH)
    }

    /// Notes that something was held back.
    pub(super) fn note_dry(&self, now: Timestamp) {
        // A stream of drops shall not make a stream of writes to memory that other cores read.
        if clock(now).saturating_sub(self.dry_at.load(Relaxed)) > OVER_FOR / 10 {
            self.dry_at.store(clock(now), Relaxed);
        }
    }

    /// Whether more is wanted than it gives: something was held back within the last second or so.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        let dry_at = self.dry_at.load(Relaxed);
        dry_at != 0 && clock(now).saturating_sub(dry_at) < OVER_FOR
    }
}

/// Bytes that one server has drawn from a pool and not spent yet, so that it need not go there for each datagram.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wallet(u64);

impl Wallet {
    /// Whether `bytes` are there, after going to the pool if need be: `draw` takes so many nanoseconds from it.
    pub(super) fn fill(&mut self, bytes: u64, rate: u64, draw: impl FnOnce(u64) -> bool) -> bool {
        let worth = rate / 8 / DRAWS_PER_SECOND;
        // What a higher limit left behind is not spent under a lower one.
        self.0 = self.0.min(worth + DATAGRAM_BYTES);
        if self.0 >= bytes {
            return true;
        }
        let wanted = worth.max(bytes - self.0);
        let drawn = draw(cost(wanted, rate));
        self.0 += if drawn { wanted } else { 0 };
        drawn
    }

    /// Takes bytes that [`Wallet::fill`] has found.
    pub(super) fn spend(&mut self, bytes: u64) {
        self.0 = self.0.saturating_sub(bytes);
    }
}

/// Nanoseconds that `bytes` take at `rate` bits a second, rounded up.
pub(super) fn cost(bytes: u64, rate: u64) -> u64 {
    let bit_nanos = u128::from(bytes) * 8_000_000_000;
    u64::try_from(bit_nanos.div_ceil(u128::from(rate.max(1)))).unwrap_or(u64::MAX)
}

/// The lower of two limits, of which each may be absent.
pub(super) fn tighter(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    [one, other].into_iter().flatten().min()
}

/// Moved by a bucket's depth, so that buckets are full when the clock begins.
fn clock(now: Timestamp) -> u64 {
    now.as_nanos().saturating_add(DEPTH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const RATE: u64 = 8_000_000;

    #[test]
    fn a_bucket_is_full_at_the_start_and_after_a_rest_and_gives_its_rate_between() {
        let mut bucket = Bucket::default();
        let mut passed = |millis: u64| {
            let now = Timestamp::ZERO.after(Duration::from_millis(millis));
            let takes = |bucket: &mut Bucket| {
                let cost = cost(1_000, RATE);
                let has = bucket.has(now, cost);
                if has {
                    bucket.spend(now, cost);
                }
                has
            };
            (0..10_000).filter(|_| takes(&mut bucket)).count()
        };
        assert_eq!([passed(0), passed(0), passed(100), passed(10_000)], [200, 0, 100, 200]);
    }

    #[test]
    fn what_is_larger_than_the_bucket_passes_when_it_is_full_and_is_paid_off() {
        let (mut bucket, rate) = (Bucket::default(), 8_000);
        let start = Timestamp::from_secs(9);
        assert!(bucket.has(start, cost(1_200, rate)), "1.2 s of its limit");
        bucket.spend(start, cost(1_200, rate));
        let after = |millis| start.after(Duration::from_millis(millis));
        assert!(!bucket.has(after(999), cost(1, rate)));
        assert!(bucket.has(after(1_001), cost(1, rate)));
        assert!(!bucket.has(after(1_199), cost(1_200, rate)) && bucket.has(after(1_200), cost(1_200, rate)));
    }

    #[test]
    fn a_pool_is_over_for_a_second_after_it_was_dry() {
        let (pool, now) = (Pool::default(), Timestamp::from_secs(5));
        assert!(!pool.is_over(now));
        pool.note_dry(now);
        assert!(pool.is_over(now.after(Duration::from_millis(900))));
        assert!(!pool.is_over(now.after(Duration::from_secs(2))));
    }

    #[test]
    fn the_slowest_and_the_fastest_limit_have_a_cost() {
        assert_eq!(cost(1, 1), 8_000_000_000);
        assert_eq!(cost(u64::MAX, 1), u64::MAX);
        assert_eq!(cost(65_535, 9_000_000_000_000_000), 1);
        assert_eq!(cost(0, 5), 0);
        assert_eq!(
            (tighter(None, Some(3)), tighter(Some(2), Some(3)), tighter(None, None)),
            (Some(3), Some(2), None)
        );
    }

    #[test]
    fn a_wallet_goes_to_the_pool_once_a_millisecond_and_forgets_what_a_higher_limit_left() {
        let (mut wallet, mut draws) = (Wallet::default(), 0);
        for _ in 0..1_000 {
            assert!(wallet.fill(100, 800_000_000, |_| {
                draws += 1;
                true
            }));
            wallet.spend(100);
        }
        assert_eq!(draws, 1, "100 kB are a millisecond of 800 Mbit/s");
        wallet.fill(1, 80_000_000_000, |_| true);
        let mut left = 0;
        while wallet.fill(1_000, 8_000, |_| false) {
            wallet.spend(1_000);
            left += 1_000;
        }
        assert!(left <= DATAGRAM_BYTES, "{left}");
    }
}
