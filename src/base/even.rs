//! Whether the wall clock can be believed where a wrong one would take everything away.

use super::Now;
use std::time::Duration;

/// Both clocks as they were when they were compared first: a wall clock that is set meanwhile shows by their difference.
///
/// A machine without a battery for its clock, or with a bad one, may start years ahead and be set right a minute later. What
/// is deleted for its age is deleted by a clock that ran evenly for a while only.
#[derive(Clone, Copy, Debug)]
pub struct EvenClock {
    since: Now,
}

impl EvenClock {
    /// How long the wall clock must have run evenly before it is believed.
    pub const EVEN_FOR: Duration = Duration::from_secs(600);

    /// What the two clocks may differ by, seconds.
    const DRIFT_S: u64 = 5;

    /// Begins to compare.
    pub fn new(now: Now) -> Self {
        Self { since: now }
    }

    /// For how long the wall clock has run evenly; a step begins anew.
    pub fn even_for(&mut self, now: Now) -> Duration {
        let passed = now.at.since(self.since.at);
        if now.unix.0.abs_diff(self.since.unix.after(passed).0) > Self::DRIFT_S {
            self.since = now;
            return Duration::ZERO;
        }
        passed
    }

    /// Whether the wall clock is believed.
    pub fn is_believed(&mut self, now: Now) -> bool {
        self.even_for(now) >= Self::EVEN_FOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Timestamp, UnixTime};

    #[test]
    fn a_clock_is_believed_when_it_ran_evenly_and_a_step_either_way_begins_anew() {
        let now = |at, unix| Now { at: Timestamp::from_secs(at), unix: UnixTime(unix) };
        let mut clock = EvenClock::new(now(50, 9_000_000));
        assert!(!clock.is_believed(now(50, 9_000_000)) && !clock.is_believed(now(649, 9_000_599)));
        assert!(clock.is_believed(now(650, 9_000_603)), "a little drift is none");
        assert!(!clock.is_believed(now(700, 1_000_000)), "set back: it had been ahead");
        assert!(!clock.is_believed(now(1_299, 1_000_599)) && clock.is_believed(now(1_300, 1_000_600)));
        assert!(!clock.is_believed(now(1_301, 5_000_000)), "set forward");
        assert_eq!(clock.even_for(now(1_401, 5_000_100)), Duration::from_secs(100));
    }
}
