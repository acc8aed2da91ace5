//! When a key set is fetched: pure, so that hours are judged in no time.

use crate::base::{Random, Timestamp};
use std::time::Duration;

/// The times of fetching; the default is what the daemon uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// For one attempt as a whole.
    pub timeout: Duration,
    /// Between two good ones, when the issuer does not say.
    pub usual: Duration,
    /// The shortest and the longest time that the issuer may say.
    pub asked: [Duration; 2],
    /// Least time from one attempt to the next that an unknown key causes: strangers can name as many as they like.
    pub unknown_key: Duration,
    /// After a failure; it doubles with each, up to the second.
    pub back_off: [Duration; 2],
    /// How long the last good set is used while fetching fails.
    pub keep: Duration,
    /// How long a token with an unknown key may wait for a newer set.
    pub patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            timeout: seconds(5),
            usual: seconds(600),
            asked: [seconds(60), seconds(86_400)],
            unknown_key: seconds(10),
            back_off: [seconds(1), seconds(300)],
            keep: seconds(86_400),
            patience: seconds(5),
        }
    }
}

/// When the next attempt is due.
#[derive(Debug)]
pub(super) struct Schedule {
    pace: Pace,
    random: Random,
    due: Timestamp,
    last_attempt: Option<Timestamp>,
    last_success: Option<Timestamp>,
    failures: u32,
}

impl Schedule {
    /// The first attempt is due now.
    pub(super) fn new(pace: Pace, random: Random, now: Timestamp) -> Self {
        Self { pace, random, due: now, last_attempt: None, last_success: None, failures: 0 }
    }

    /// When to fetch, or to look whether the set is too old.
    pub(super) fn due(&self) -> Timestamp {
        self.due
    }

    /// The earliest attempt that an unknown key can cause. While fetching fails it is the one that is due anyway.
    pub(super) fn unknown_key_due(&self) -> Timestamp {
        let rested = self.last_attempt.map_or(Timestamp::ZERO, |last| last.after(self.pace.unknown_key));
        if self.failures > 0 { self.due } else { self.due.min(rested) }
    }

    /// A token named a key that is not in the set.
    pub(super) fn on_unknown_key(&mut self) {
        self.due = self.unknown_key_due();
    }

    /// An attempt begins.
    pub(super) fn on_attempt(&mut self, now: Timestamp) {
        self.last_attempt = Some(now);
    }

    /// It brought a set, good for as long as the issuer says.
    pub(super) fn on_success(&mut self, now: Timestamp, max_age: Option<Duration>) {
        let [shortest, longest] = self.pace.asked;
        let wait = max_age.map_or(self.pace.usual, |age| age.clamp(shortest, longest));
        (self.failures, self.last_success, self.due) = (0, Some(now), now.after(wait));
    }

    /// It did not. The next one waits twice as long as this one did, less a random part of up to a half, so that the
    /// nodes of a cluster do not come back together.
    pub(super) fn on_failure(&mut self, now: Timestamp) {
        let [first, longest] = self.pace.back_off;
        let doubled = first.saturating_mul(1 << self.failures.min(20)).min(longest);
        let parts = 512 + self.random.below(512);
        let wait = (doubled * parts / 1024).max(first.min(longest));
        (self.failures, self.due) = (self.failures.saturating_add(1), now.after(wait));
    }

    /// Whether the last good set is too old to judge by.
    pub(super) fn is_too_old(&self, now: Timestamp) -> bool {
        self.failures > 0 && self.last_success.is_some_and(|last| now.since(last) >= self.pace.keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> Schedule {
        Schedule::new(Pace::default(), Random::seeded(1), Timestamp::ZERO)
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    #[test]
    fn the_issuers_word_counts_between_a_minute_and_a_day() {
        for (said, wait) in [(None, 600), (Some(0), 60), (Some(90), 90), (Some(u64::MAX), 86_400)] {
            let mut schedule = schedule();
            schedule.on_attempt(at(5));
            schedule.on_success(at(6), said.map(Duration::from_secs));
            assert_eq!(schedule.due(), at(6 + wait), "{said:?}");
        }
    }

    #[test]
    fn unknown_keys_without_number_cause_one_attempt_in_ten_seconds() {
        let (mut schedule, mut attempts) = (schedule(), 0);
        for millis in 0..60_000 {
            let now = Timestamp::from_nanos(millis * 1_000_000);
            schedule.on_unknown_key();
            if now >= schedule.due() {
                attempts += 1;
                schedule.on_attempt(now);
                schedule.on_success(now, None);
            }
        }
        assert_eq!(attempts, 6, "one at the start, and five more within a minute");
    }

    #[test]
    fn failures_wait_longer_each_time_up_to_five_minutes_and_unknown_keys_do_not_hurry_them() {
        let mut schedule = schedule();
        let mut now = Timestamp::ZERO;
        for attempt in 0..40 {
            schedule.on_attempt(now);
            schedule.on_failure(now);
            let due = schedule.due();
            schedule.on_unknown_key();
            assert_eq!(schedule.due(), due);
            let (wait, whole) = (due.since(now), Duration::from_secs(300.min(1 << attempt.min(20))));
            assert!(
                wait >= Duration::from_secs(1) && wait >= whole / 2 && wait <= whole,
                "{attempt}: {wait:?}"
            );
            now = due;
        }
        schedule.on_success(now, None);
        schedule.on_failure(now);
        assert_eq!(schedule.due(), now.after(Duration::from_secs(1)), "from the start again");
    }

    #[test]
    fn the_last_good_set_lasts_a_day_of_failures() {
        let mut schedule = schedule();
        schedule.on_success(at(0), Some(Duration::from_secs(86_400)));
        assert!(!schedule.is_too_old(at(86_400)), "it has not failed yet");
        schedule.on_failure(at(86_399));
        assert!(!schedule.is_too_old(at(86_399)) && schedule.is_too_old(at(86_400)));
    }
}
