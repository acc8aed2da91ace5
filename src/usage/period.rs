//! Minutes, hours and days.

use crate::base::UnixTime;

/// How long a time one row covers, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// 60 seconds.
    Minute,
    /// 60 minutes.
    Hour,
    /// From midnight to midnight.
    Day,
}

impl Period {
    /// The shortest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// Its length.
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 86_400,
        }
    }

    /// As it is written in queries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// When the one began in which `time` lies.
    pub const fn start(self, time: UnixTime) -> UnixTime {
        UnixTime(time.0 - time.0 % self.seconds())
    }

    /// The end of the one in which the second before `time` lies: `time` itself where one begins there.
    pub const fn ceil(self, time: UnixTime) -> UnixTime {
        UnixTime(time.0.saturating_add(self.seconds() - 1) / self.seconds() * self.seconds())
    }
}

/// A range of time that is made of whole periods of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Of which kind.
    pub period: Period,
    /// When the first one begins.
    pub from: UnixTime,
    /// When the last one ends.
    pub to: UnixTime,
}

/// Covers a range by the longest periods that fit, in the order of time. `from` and `to` are full ones of `finest`,
/// which is the shortest that may be used.
pub fn spans(finest: Period, from: UnixTime, to: UnixTime) -> Vec<Span> {
    let mut spans = Vec::with_capacity(5);
    cover(Period::ALL.as_slice(), finest, from, to, &mut spans);
    spans
}

fn cover(periods: &[Period], finest: Period, from: UnixTime, to: UnixTime, spans: &mut Vec<Span>) {
    let Some((longest, shorter)) = periods.split_last().filter(|_| from < to) else { return };
    let is_finest = *longest == finest;
    let (first, last) = (longest.ceil(from), longest.start(to));
    if is_finest {
        spans.push(Span { period: *longest, from: longest.start(from), to: longest.ceil(to) });
    } else if first < last {
        cover(shorter, finest, from, first, spans);
        spans.push(Span { period: *longest, from: first, to: last });
        cover(shorter, finest, last, to, spans);
    } else {
        cover(shorter, finest, from, to, spans);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_middle_of_a_range_is_days_and_its_ends_are_minutes() {
        let at = |days: u64, hours: u64, minutes: u64| UnixTime(days * 86_400 + hours * 3600 + minutes * 60);
        let lengths = |spans: Vec<Span>| -> Vec<_> {
            spans
                .iter()
                .map(|span| (span.period, (span.to.0 - span.from.0) / span.period.seconds()))
                .collect()
        };
        let told = lengths(spans(Period::Minute, at(1, 22, 30), at(4, 1, 1)));
        let expected = [
            (Period::Minute, 30),
            (Period::Hour, 1),
            (Period::Day, 2),
            (Period::Hour, 1),
            (Period::Minute, 1),
        ];
        assert_eq!(told, expected);
        assert_eq!(lengths(spans(Period::Minute, at(1, 5, 3), at(1, 5, 9))), [(Period::Minute, 6)]);
        assert_eq!(lengths(spans(Period::Day, at(1, 0, 0), at(4, 0, 0))), [(Period::Day, 3)]);
    }

    proptest! {
        #[test]
        fn a_range_is_covered_once_and_without_a_hole(
            finest in 0..3usize, from in 0..1_000_000u64, length in 1..1_000_000u64,
        ) {
            let finest = Period::ALL[finest];
            let (from, to) = (finest.start(UnixTime(from)), finest.ceil(UnixTime(from + length)));
            let spans = spans(finest, from, to);
            let mut at = from;
            for span in &spans {
                prop_assert_eq!(span.from, at);
                prop_assert!(span.from < span.to && span.period >= finest);
                prop_assert_eq!((span.from.0 % span.period.seconds(), span.to.0 % span.period.seconds()), (0, 0));
                at = span.to;
            }
            prop_assert_eq!(at, to);
            prop_assert!(spans.len() <= 5);
        }
    }
}
