//! Budgets of requests by whom they are for. `governor` keeps the rates, because it says when to come back; its own
//! tables grow with their keys, so ours has a fixed number of buckets, found by a keyed hash.

use crate::http::problem::Problem;
use axum::http::StatusCode;
use governor::clock::{Clock, DefaultClock};
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Buckets of one table, of 8 bytes each. Two keys may share one, and nobody can choose with whom.
const BUCKETS: usize = 8192;

/// Seconds' worth that may come at once after a rest.
const BURST_S: NonZeroU32 = NonZeroU32::MIN.saturating_add(3);

/// A rate for each key; none when it is off.
pub(crate) struct Limiter {
    rates: Option<RateLimiter<u64, Buckets, DefaultClock>>,
    /// Until when the last refusal of each bucket told to wait: nanoseconds after `born`.
    waits: Box<[AtomicU64]>,
    born: Instant,
    hasher: RandomState,
}

impl Limiter {
    /// So many a second for each; `None` and 0 for as many as there are.
    pub(crate) fn new(per_s: Option<u32>) -> Self {
        let rate = per_s.and_then(NonZeroU32::new);
        let rates = rate.map(|rate| {
            let burst = rate.saturating_mul(BURST_S);
            let quota = Quota::per_second(rate).allow_burst(burst);
            RateLimiter::new(quota, Buckets::new(), DefaultClock::default())
        });
        let waits = rates.iter().flat_map(|_| 0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Self { rates, waits, born: Instant::now(), hasher: RandomState::new() }
    }

    /// Takes one for `key`. `whose` is what the refusal calls it.
    pub(crate) fn take(&self, key: impl Hash, whose: &'static str) -> Result<(), Problem> {
        let Some(rates) = &self.rates else { return Ok(()) };
        let key = self.hasher.hash_one(key);
        rates.check_key(&key).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            if let Some(waits) = self.waits.get(bucket(key)) {
                waits.store(nanos(self.born.elapsed() + wait), Relaxed);
            }
            refused(wait, whose)
        })
    }

    /// Refuses `key` for as long as its last refusal told it to wait. Takes nothing, so that it can be asked before the
    /// work is done that shows whether there is something to take.
    pub(crate) fn wait(&self, key: impl Hash, whose: &'static str) -> Result<(), Problem> {
        let waits = self.waits.get(bucket(self.hasher.hash_one(key)));
        let until = waits.map_or(0, |waits| waits.load(Relaxed));
        match until.saturating_sub(nanos(self.born.elapsed())) {
            0 => Ok(()),
            left => Err(refused(Duration::from_nanos(left), whose)),
        }
    }
}

fn bucket(key: u64) -> usize {
    key as usize % BUCKETS
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn refused(wait: Duration, whose: &'static str) -> Problem {
    let message = format!("too many requests of this {whose}");
    let hint = "keep a credential until half of its time is over; see `limits.mints_per_..` in the config";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message, hint)
        .retry_after(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("is_on", &self.rates.is_some()).finish_non_exhaustive()
    }
}

struct Buckets(Box<[InMemoryState]>);

impl Buckets {
    fn new() -> Self {
        Self((0..BUCKETS).map(|_| InMemoryState::default()).collect())
    }
}

impl StateStore for Buckets {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0[bucket(*key)].measure_and_replace(&NotKeyed::NonKey, decide)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_burst_and_is_told_when_to_come_back_and_another_key_has_its_own() {
        let limiter = Limiter::new(Some(1));
        assert!((0..4).all(|_| limiter.take("a", "user").is_ok()), "four seconds' worth");
        let refused = (0..100).find_map(|_| limiter.take("a", "user").err()).expect("spent");
        assert_eq!(refused.to_string(), "too many requests of this user");
        assert_eq!(refused.retry_after_s(), Some(1));
        // One of them might share the bucket.
        assert!(["b", "c", "d"].iter().any(|other| limiter.take(other, "user").is_ok()));
    }

    #[test]
    fn who_was_told_to_wait_is_refused_so_long_and_nobody_else() {
        let limiter = Limiter::new(Some(1));
        assert!((0..100).all(|_| limiter.wait("a", "user").is_ok()), "to ask takes nothing");
        assert!((0..100).any(|_| limiter.take("a", "user").is_err()));
        let refused = limiter.wait("a", "user").expect_err("a second was to pass");
        assert_eq!(refused.retry_after_s(), Some(1));
        // One of them might share the bucket.
        assert!(["b", "c", "d"].iter().any(|other| limiter.wait(other, "user").is_ok()));
        let patience = Instant::now() + Duration::from_secs(10);
        while limiter.wait("a", "user").is_err() {
            assert!(Instant::now() < patience, "a second passes");
            std::thread::yield_now();
        }
        assert!(limiter.take("a", "user").is_ok(), "it was told the truth");
    }

    #[test]
    fn a_limit_that_is_off_lets_everybody_through() {
        for limiter in [Limiter::new(None), Limiter::new(Some(0))] {
            assert!((0..10_000).all(|_| limiter.take("a", "user").is_ok()));
            assert!(limiter.wait("a", "user").is_ok());
        }
    }
}
