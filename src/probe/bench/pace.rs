//! When bursts leave at a steady rate.

use std::time::Duration;

/// Who was not on a core for so many bursts sends what is left over, and not all at once.
const BEHIND_MAX: u64 = 64;

/// Sleeping ends up to so much late, because the kernel counts the wait in milliseconds.
const SLEEP_GRAIN_NS: u64 = 1_000_000;

/// Bursts at equal distances, from a start on. Times are of one clock, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    bursts_per_ns: f64,
    started_ns: u64,
    /// Bursts that were due so far, sent or left out.
    told: u64,
}

impl Pace {
    /// `bursts_per_second`: above 0.
    pub(super) fn new(bursts_per_second: f64, started_ns: u64) -> Self {
        Self { bursts_per_ns: bursts_per_second / 1e9, started_ns, told: 0 }
    }

    /// How many bursts are due now, at most 64; those further behind are left out.
    pub(super) fn due(&mut self, now_ns: u64) -> u64 {
        let all = (now_ns.saturating_sub(self.started_ns) as f64 * self.bursts_per_ns) as u64 + 1;
        let due = all.saturating_sub(self.told).min(BEHIND_MAX);
        self.told = self.told.max(all);
        due
    }

    /// How long to wait for what arrives: nothing when the next burst is too near to sleep until then.
    pub(super) fn patience(&self, now_ns: u64) -> Duration {
        let next_ns = self.started_ns + (self.told as f64 / self.bursts_per_ns) as u64;
        let left_ns = next_ns.saturating_sub(now_ns);
        match left_ns.checked_sub(2 * SLEEP_GRAIN_NS) {
            None => Duration::ZERO,
            Some(_) => Duration::from_nanos(left_ns - SLEEP_GRAIN_NS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn bursts_come_at_equal_distances_and_none_twice() {
        let mut pace = Pace::new(1000.0, 7 * MS);
        let due: Vec<_> = (0..6).map(|half| pace.due(7 * MS + half * MS / 2)).collect();
        assert_eq!(due, [1, 0, 1, 0, 1, 0]);
        let total: u64 = (6..=2000).map(|half| pace.due(7 * MS + half * MS / 2)).sum();
        assert_eq!(total + 3, 1001);
    }

    #[test]
    fn who_was_away_sends_a_few_and_leaves_out_the_rest() {
        let mut pace = Pace::new(100_000.0, 0);
        assert_eq!(pace.due(MS), BEHIND_MAX);
        assert_eq!(pace.due(MS), 0);
        assert_eq!(pace.due(MS + MS / 100), 1);
    }

    #[test]
    fn it_sleeps_only_while_the_next_burst_is_far() {
        let mut slow = Pace::new(100.0, 0);
        assert_eq!(slow.due(0), 1);
        assert_eq!(slow.patience(0), Duration::from_millis(9));
        assert_eq!(slow.patience(8 * MS + 1), Duration::ZERO);
        assert_eq!(slow.patience(30 * MS), Duration::ZERO);
        let mut quick = Pace::new(10_000.0, 0);
        assert_eq!(quick.due(0), 1);
        assert_eq!(quick.patience(0), Duration::ZERO);
    }
}
