//! When the watchdog of the service manager is fed: as long as the control loop asks, and every driver of a core turns.
//!
//! Neither the storage nor signaling is asked. A restart would end every relayed session, and those go on without
//! both: `/readyz`, `status` and the log tell of them.

use std::time::{Duration, Instant};

/// Looks in one period of the service manager. It is fed by every fourth, so four may find a driver busy, and one that
/// hangs is fed for an eighth of the period more at most.
const LOOKS: u32 = 8;

/// Faster than this nobody looks, whatever the service manager wants.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(10);

/// Decides about each feeding.
#[derive(Debug)]
pub(super) struct Watchdog {
    period: Duration,
    fed: Option<Instant>,
    /// Turns of each driver at the last look.
    turns: Vec<u64>,
}

impl Watchdog {
    /// `period`: how long it lives without food.
    pub(super) fn new(period: Duration) -> Self {
        Self { period, fed: None, turns: Vec::new() }
    }

    /// How often to look.
    pub(super) fn look_every(&self) -> Duration {
        (self.period / LOOKS).max(LOOK_EVERY_MIN)
    }

    /// Whether to feed it now. `turns`: those that each driver has made until now; each was asked for one at the last look.
    pub(super) fn look(&mut self, now: Instant, turns: Vec<u64>) -> bool {
        let all_turned = self.turns.iter().zip(&turns).all(|(before, now)| before != now);
        self.turns = turns;
        // A look comes a little early or late.
        let early = self.look_every() / 2;
        let is_due = self.fed.is_none_or(|fed| now.saturating_duration_since(fed) + early >= self.period / 2);
        if is_due && all_turned {
            self.fed = Some(now);
        }
        is_due && all_turned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The looks of one driver that turns or not, as letters; gives which of them fed.
    fn fed(looks: &str) -> String {
        let (mut watchdog, start, mut turns) = (Watchdog::new(Duration::from_secs(8)), Instant::now(), 0);
        let feeds = looks.chars().zip(0..).map(|(look, second)| {
            turns += u64::from(look == 't');
            let now = start + Duration::from_secs(second);
            if watchdog.look(now, vec![turns, second]) { 'F' } else { '.' }
        });
        feeds.collect()
    }

    #[test]
    fn it_is_fed_by_halves_of_its_period_while_all_turn_and_at_once_when_all_do_again() {
        assert_eq!(fed("tttttttttttt"), "F...F...F...");
        assert_eq!(fed("tttt-tttttt"), "F....F...F.");
        assert_eq!(fed("ttt---------tt"), "F...........F.");
        assert_eq!(fed("tttttttt"), "F...F...");
    }

    #[test]
    fn no_period_is_too_short_to_look() {
        assert!(Watchdog::new(Duration::from_nanos(1)).look_every() >= LOOK_EVERY_MIN);
    }
}
