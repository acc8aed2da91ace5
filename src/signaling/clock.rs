//! Wall-clock milliseconds out of whole seconds and a monotonic clock.

use crate::base::Now;
use std::time::Duration;

/// Milliseconds since 1970 that never run backwards between two steps of the wall clock.
#[derive(Debug)]
pub(super) struct Clock {
    /// Milliseconds to add to the monotonic clock.
    ahead_ms: u64,
}

impl Clock {
    pub(super) fn new(now: Now) -> Self {
        Self { ahead_ms: (now.unix.0.saturating_mul(1000)).saturating_sub(monotonic_ms(now)) }
    }

    /// Now; off by a second at most.
    pub(super) fn unix_ms(&mut self, now: Now) -> u64 {
        let ms = self.ahead_ms + monotonic_ms(now);
        if (ms / 1000).abs_diff(now.unix.0) > 1 {
            *self = Self::new(now);
        }
        self.ahead_ms + monotonic_ms(now)
    }
}

fn monotonic_ms(now: Now) -> u64 {
    now.at.as_nanos() / Duration::from_millis(1).as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Timestamp, UnixTime};

    #[test]
    fn milliseconds_run_on_within_a_second_and_follow_a_step_of_the_wall_clock() {
        let now = |ms: u64, unix| Now { at: Timestamp::from_nanos(ms * 1_000_000), unix: UnixTime(unix) };
        let mut clock = Clock::new(now(5_000, 1_700_000_000));
        assert_eq!(clock.unix_ms(now(5_250, 1_700_000_000)), 1_700_000_000_250);
        assert_eq!(clock.unix_ms(now(6_100, 1_700_000_000)), 1_700_000_001_100);
        assert_eq!(clock.unix_ms(now(6_200, 1_800_000_000)), 1_800_000_000_000);
        assert_eq!(clock.unix_ms(now(6_300, 1_700_000_000)), 1_700_000_000_000);
    }
}
