//! When the signaling thread lets arrivals gather instead of waking for each.
//!
//! Where events come some ten thousand times a second, the sleep and the wake before each cost more than what is done
//! with it, and the core has forgotten what it knew. So, as network cards do with interrupts, the thread looks away for
//! a moment once events come that close together, and handles what came in one turn. An event that comes alone is never
//! kept waiting.

use std::time::Duration;

/// How long the thread looks away. A message waits half of that on average, which is less than any network that calls
/// cross; at 10,000 events a second seven are handled in one turn.
pub(super) const GATHER: Duration = Duration::from_micros(700);

/// A turn with more events than that is worth its wake already.
const FULL_TURN: usize = 24;

/// Whether arrivals are to gather before the next turn.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    is_on: bool,
}

impl Gathering {
    /// How long to look away before a wait of at most `wait`.
    pub(super) fn pause(&self, wait: Option<Duration>) -> Option<Duration> {
        (self.is_on && wait.is_none_or(|wait| wait > GATHER)).then_some(GATHER)
    }

    /// Notes what a turn brought: so many sockets with news, `waited` for after the pause, if there was one.
    pub(super) fn note(&mut self, ready: usize, waited: Duration) {
        let is_dense = if self.is_on { ready > 1 } else { ready > 0 && waited < GATHER };
        self.is_on = is_dense && ready <= FULL_TURN;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_millis(20);
    const SHORT: Duration = Duration::from_micros(90);

    fn after(turns: &[(usize, Duration)]) -> Gathering {
        let mut gathering = Gathering::default();
        turns.iter().for_each(|(ready, waited)| gathering.note(*ready, *waited));
        gathering
    }

    #[test]
    fn what_comes_alone_is_not_kept_waiting() {
        for turns in [&[][..], &[(1, LONG)], &[(0, SHORT)], &[(20, LONG)], &[(1, LONG), (1, LONG)]] {
            assert_eq!(after(turns).pause(None), None, "{turns:?}");
        }
    }

    #[test]
    fn arrivals_close_together_gather_until_one_comes_alone_again() {
        let dense = [(1, SHORT), (7, Duration::ZERO), (2, Duration::ZERO)];
        assert_eq!(after(&dense).pause(None), Some(GATHER));
        for ready in [0, 1] {
            let turns = [&dense[..], &[(ready, Duration::ZERO)]].concat();
            assert_eq!(after(&turns).pause(None), None, "{ready}");
        }
    }

    #[test]
    fn a_thread_that_has_its_hands_full_does_not_look_away() {
        assert_eq!(after(&[(FULL_TURN + 1, SHORT)]).pause(None), None);
        assert_eq!(after(&[(1, SHORT), (FULL_TURN + 1, Duration::ZERO)]).pause(None), None);
        assert_eq!(after(&[(FULL_TURN, SHORT)]).pause(None), Some(GATHER));
    }

    #[test]
    fn what_is_due_at_once_is_not_put_off() {
        let dense = after(&[(1, SHORT)]);
        assert_eq!(dense.pause(Some(Duration::ZERO)), None);
        assert_eq!(dense.pause(Some(GATHER)), None);
        assert_eq!(dense.pause(Some(LONG)), Some(GATHER));
    }
}
