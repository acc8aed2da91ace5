//! What was counted in each of the last seconds.

use crate::base::Timestamp;
use std::collections::VecDeque;
use std::ops::Range;

/// Counts by second, the latest so many. A second is known by its number: that of whole seconds before it since the
/// origin of the clock.
///
/// Whoever counts is asked at times that are no whole seconds. What came since the last time is spread evenly over the
/// seconds since then, so that a steady flow looks steady, and the sum over all seconds is what was counted.
#[derive(Clone, Debug)]
pub struct History {
    seconds_max: usize,
    /// The number of the first row.
    first: u64,
    /// The last one is the second that is not over yet. A row may be shorter than others: the rest of it is zero.
    rows: VecDeque<Vec<u64>>,
    until: Timestamp,
}

impl History {
    /// Nothing yet. `since`: what is recorded first came since then. `seconds_max`: whole seconds that are kept.
    pub fn new(since: Timestamp, seconds_max: usize) -> Self {
        Self { seconds_max, first: since.as_secs(), rows: VecDeque::from([Vec::new()]), until: since }
    }

    /// Notes what came since the last time: a count in each column. New columns may be added at the end.
    pub fn record(&mut self, now: Timestamp, counts: &[u64]) {
        let (from, now) = (self.until, now.max(self.until));
        self.go_on_to(now.as_secs());
        let before = usize::try_from(from.as_secs().saturating_sub(self.first)).unwrap_or(usize::MAX);
        for (row, second) in self.rows.iter_mut().zip(self.first..).skip(before) {
            if row.len() < counts.len() {
                row.resize(counts.len(), 0);
            }
            let [start, end] = [second, second + 1].map(Timestamp::from_secs);
            for (sum, count) in row.iter_mut().zip(counts) {
                *sum += share(*count, from..now, end) - share(*count, from..now, start);
            }
        }
        self.until = now;
    }

    /// Numbers of the seconds that are over.
    pub fn seconds(&self) -> Range<u64> {
        self.first..self.first + self.rows.len() as u64 - 1
    }

    /// One column in those of these seconds that are over and not forgotten.
    pub fn column(&self, column: usize, seconds: Range<u64>) -> impl Iterator<Item = u64> {
        let over = self.seconds();
        let (first, end) = (seconds.start.clamp(over.start, over.end), seconds.end.min(over.end));
        let (before, count) = ((first - over.start) as usize, end.saturating_sub(first) as usize);
        let rows = self.rows.iter().skip(before).take(count);
        rows.map(move |row| row.get(column).copied().unwrap_or(0))
    }

    /// Makes rows up to this second, which is not over, and forgets old ones.
    fn go_on_to(&mut self, second: u64) {
        let first = second.saturating_sub(self.seconds_max as u64).max(self.first);
        let gone = usize::try_from(first - self.first).unwrap_or(usize::MAX).min(self.rows.len());
        self.rows.drain(..gone);
        self.first = first;
        self.rows.resize((second - first) as usize + 1, Vec::new());
    }
}

/// How much of `count`, which came evenly over `time`, had come before `at`.
fn share(count: u64, time: Range<Timestamp>, at: Timestamp) -> u64 {
    if at <= time.start {
        return 0;
    }
    if at > time.end {
        return count;
    }
    let [passed, all] = [at, time.end].map(|moment| moment.since(time.start).as_nanos());
    (u128::from(count) * passed / all) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    fn told(history: &History, column: usize) -> Vec<u64> {
        history.column(column, history.seconds()).collect()
    }

    #[test]
    fn a_steady_flow_looks_steady_though_it_is_asked_for_out_of_step() {
        let mut history = History::new(at(10_250), 300);
        for n in 1..=12 {
            history.record(at(10_250 + n * 750), &[750, 75]);
        }
        assert_eq!(history.seconds(), 10..19);
        assert_eq!(told(&history, 0), [750, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000]);
        assert_eq!(told(&history, 1)[1..], [100; 8]);
        assert_eq!(history.column(0, 17..99).collect::<Vec<_>>(), [1000, 1000]);
    }

    #[test]
    fn the_second_that_is_not_over_is_not_told() {
        let mut history = History::new(at(0), 300);
        history.record(at(999), &[5]);
        assert!(history.seconds().is_empty() && told(&history, 0).is_empty());
        history.record(at(1000), &[5]);
        assert_eq!(told(&history, 0), [10]);
        history.record(at(1000), &[7]);
        assert_eq!(told(&history, 0), [10], "what comes in no time is of the second that is open");
        history.record(at(2000), &[0]);
        assert_eq!(told(&history, 0), [10, 7]);
    }

    #[test]
    fn seconds_without_an_answer_share_what_came_and_old_ones_are_forgotten() {
        let mut history = History::new(at(0), 3);
        history.record(at(500), &[8]);
        history.record(at(4500), &[400]);
        assert_eq!((history.seconds(), told(&history, 0)), (1..4, vec![100, 100, 100]));
        history.record(at(9_000_500), &[9_000_000]);
        assert_eq!((history.seconds().count(), history.rows.len()), (3, 4));
    }

    #[test]
    fn a_column_that_came_later_was_zero_before() {
        let mut history = History::new(at(0), 300);
        history.record(at(1000), &[1]);
        history.record(at(2000), &[1, 2]);
        history.record(at(3000), &[1]);
        assert_eq!(told(&history, 1), [0, 2, 0]);
        assert_eq!(told(&history, 7), [0, 0, 0]);
    }

    proptest! {
        #[test]
        fn the_seconds_add_up_to_what_was_counted(
            steps in proptest::collection::vec((0..3_000_000_000u64, 0..1_000_000_007u64), 1..40),
            start in 0..u64::MAX / 4,
        ) {
            let mut history = History::new(Timestamp::from_nanos(start), 300);
            let (mut now, mut sum) = (start, 0);
            for (nanos, count) in steps {
                now += nanos;
                sum += count;
                history.record(Timestamp::from_nanos(now), &[0, count]);
                let open = history.rows.back().and_then(|row| row.get(1)).copied().unwrap_or(0);
                prop_assert_eq!(told(&history, 1).into_iter().sum::<u64>() + open, sum);
                prop_assert_eq!(history.seconds().end, now / 1_000_000_000);
            }
        }
    }
}
