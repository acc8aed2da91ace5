//! Token buckets, alone and in a table of fixed size for sources that nobody has authenticated.

use crate::base::Timestamp;
use std::net::IpAddr;

/// How many events a second, and how many at once after a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Events a second in the long run.
    pub per_second: u32,
    /// Events at once after a rest.
    pub burst: u32,
}

impl Rate {
    /// One `shards`-th of this rate, at least one event a second and one at once.
    pub fn split(self, shards: usize) -> Self {
        let part = |n: u32| (n / shards.max(1) as u32).max(1);
        Self { per_second: part(self.per_second), burst: part(self.burst) }
    }
}

/// A bucket that fills with time. Twelve bytes of state; the rate is the caller's.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenBucket {
    /// When the tokens were counted last, in units of 1/1024 s (wraps after 48 days).
    counted_at: u32,
    /// Tokens in units of 1/1024, or 0 with `counted_at == 0` for a bucket never used (= full).
    tokens: u64,
}

impl TokenBucket {
    const UNIT: u64 = 1024;

    /// Takes `n` tokens when that many are there.
    pub fn take(&mut self, now: Timestamp, rate: Rate, n: u32) -> bool {
        let full = u64::from(rate.burst) * Self::UNIT;
        // 1 unit of time is 1/1024 s; +1 keeps 0 free as the mark of an untouched bucket.
        let tick = ((now.as_nanos() / 976_562) as u32).max(1);
        if self.counted_at == 0 {
            self.tokens = full;
        } else {
            let elapsed = u64::from(tick.wrapping_sub(self.counted_at));
            self.tokens = (self.tokens + elapsed * u64::from(rate.per_second)).min(full);
        }
        self.counted_at = tick;
        let wanted = u64::from(n) * Self::UNIT;
        if self.tokens < wanted {
            return false;
        }
        self.tokens -= wanted;
        true
    }
}

/// Budgets for any number of keys in a fixed number of buckets, found by a keyed hash.
///
/// Two keys may share a bucket and then share its budget; without the hash key nobody can choose
/// whom to share with. The memory is allocated once, so a flood of forged keys grows nothing.
#[derive(Debug)]
pub struct BudgetTable {
    buckets: Box<[TokenBucket]>,
    hasher: ahash::RandomState,
    rate: Rate,
}

impl BudgetTable {
    /// A table of `buckets` buckets (rounded up to a power of two), each with `rate`.
    pub fn new(buckets: usize, rate: Rate, hasher: ahash::RandomState) -> Self {
        let buckets = vec![TokenBucket::default(); buckets.next_power_of_two()].into_boxed_slice();
        Self { buckets, hasher, rate }
    }

    /// Takes one token from the bucket of `key`.
    pub fn take(&mut self, now: Timestamp, key: impl std::hash::Hash) -> bool {
        let at = self.slot(key);
        self.buckets[at].take(now, self.rate, 1)
    }

    /// Whether the bucket of `key` still has a token; takes none.
    pub fn peek(&self, now: Timestamp, key: impl std::hash::Hash) -> bool {
        let mut copy = self.buckets[self.slot(key)];
        copy.take(now, self.rate, 1)
    }

    /// Bytes of memory that the table occupies, forever.
    pub fn memory(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    fn slot(&self, key: impl std::hash::Hash) -> usize {
        self.hasher.hash_one(key) as usize & (self.buckets.len() - 1)
    }
}

/// What one subscriber has, as a number: the whole IPv4 address, or the /64 of an IPv6 one.
pub fn subscriber(source: IpAddr) -> u64 {
    match source {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64 | 1 << 63,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const RATE: Rate = Rate { per_second: 10, burst: 20 };

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate() {
        let mut bucket = TokenBucket::default();
        let start = Timestamp::from_secs(5);
        assert_eq!((0..100).filter(|_| bucket.take(start, RATE, 1)).count(), 20);
        let later = start.after(Duration::from_secs(1));
        assert_eq!((0..100).filter(|_| bucket.take(later, RATE, 1)).count(), 10);
        let much_later = start.after(Duration::from_secs(3600));
        assert_eq!((0..100).filter(|_| bucket.take(much_later, RATE, 1)).count(), 20);
    }

    #[test]
    fn peeking_takes_nothing() {
        let mut table = BudgetTable::new(16, Rate { per_second: 1, burst: 1 }, hasher());
        assert!(table.peek(Timestamp::ZERO, 1) && table.peek(Timestamp::ZERO, 1));
        assert!(table.take(Timestamp::ZERO, 1));
        assert!(!table.peek(Timestamp::ZERO, 1));
    }

    #[test]
    fn a_million_keys_keep_no_memory() {
        let mut table = BudgetTable::new(1 << 12, RATE, hasher());
        let before = table.memory();
        for key in 0..1_000_000u32 {
            table.take(Timestamp::ZERO, key);
        }
        assert_eq!(table.memory(), before);
    }

    fn hasher() -> ahash::RandomState {
        ahash::RandomState::with_seeds(1, 2, 3, 4)
    }
}
