//! What the pages of a range come to.

use super::{Page, Period};
use crate::base::{Traffic, UnixTime};
use std::collections::BTreeMap;

/// What the lines of a report are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// One for each subject.
    Subject,
    /// One for each label, and one for what had none.
    Label,
    /// One for each door.
    Door,
}

impl By {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Subject, Self::Label, Self::Door];

    /// As it is written in queries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Label => "label",
            Self::Door => "door",
        }
    }
}

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When its period began; `None` where the whole range is one.
    pub start: Option<UnixTime>,
    /// Subject, label or door; `None` for what had no label.
    pub name: Option<Box<str>>,
    /// Whether it is for all that had no row of their own.
    pub overflow: bool,
    /// How much.
    pub traffic: Traffic,
}

/// The report would have more lines than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyLines;

/// When it begins, whether it is the row of all others, and whose it is: the order of the lines.
type LineKey = (Option<UnixTime>, bool, Option<Box<str>>);

/// Adds pages up.
#[derive(Debug)]
pub struct Report {
    by: By,
    period: Option<Period>,
    lines_max: usize,
    lines: BTreeMap<LineKey, Traffic>,
    total: Traffic,
}

impl Report {
    /// An empty one. `period`: a line for each of these, which all pages are of then; `None` adds up the whole range.
    pub fn new(by: By, period: Option<Period>, lines_max: usize) -> Self {
        Self { by, period, lines_max, lines: BTreeMap::new(), total: Traffic::default() }
    }

    /// Adds a page, once.
    ///
    /// # Errors
    /// There are too many lines; what there is so far says nothing.
    pub fn add(&mut self, page: &Page) -> Result<(), TooManyLines> {
        let start = self.period.map(|_| page.key.start);
        for row in &page.rows {
            let (overflow, name) = match self.by {
                By::Door => (false, Some(&row.door)),
                _ if row.overflow => (true, Some(&row.subject)),
                By::Subject => (false, Some(&row.subject)),
                By::Label => (false, row.label.as_ref()),
            };
            self.lines.entry((start, overflow, name.cloned())).or_default().add(&row.traffic);
            self.total.add(&row.traffic);
        }
        if self.lines.len() > self.lines_max { Err(TooManyLines) } else { Ok(()) }
    }

    /// All of it together.
    pub fn total(&self) -> Traffic {
        self.total
    }

    /// The lines in the order of time, and the largest first where that is the same.
    pub fn lines(self) -> Vec<Line> {
        let line = |((start, overflow, name), traffic)| Line { start, name, overflow, traffic };
        let mut lines: Vec<Line> = self.lines.into_iter().map(line).collect();
        lines.sort_by_key(|line| (line.start, std::cmp::Reverse(line.traffic.bytes())));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PageKey, Row};
    use super::*;

    fn row(subject: &str, label: Option<&str>, door: &str, bytes: u64, overflow: bool) -> Row {
        let traffic = Traffic { bytes_from_client: bytes, ..Traffic::default() };
        Row { subject: subject.into(), label: label.map(Box::from), door: door.into(), overflow, traffic }
    }

    fn told(by: By, period: Option<Period>) -> Vec<(Option<u64>, Option<String>, bool, u64)> {
        let key = |start| PageKey { period: Period::Hour, start: UnixTime(start), part: 1, number: 0 };
        let rows = vec![
            row("alice", Some("x"), "udp", 1, false),
            row("other", None, "tcp", 2, false),
            row("other", None, "tcp", 4, true),
        ];
        let mut report = Report::new(by, period, 100);
        report.add(&Page { key: key(0), rows }).expect("few lines");
        let rows = vec![row("alice", None, "udp", 8, false)];
        report.add(&Page { key: key(3600), rows }).expect("few lines");
        assert_eq!(report.total().bytes(), 15);
        let plain = |line: Line| {
            (line.start.map(|at| at.0), line.name.map(String::from), line.overflow, line.traffic.bytes())
        };
        report.lines().into_iter().map(plain).collect()
    }

    #[test]
    fn a_user_named_other_is_not_taken_for_the_overflow() {
        let name = |text: &str| Some(text.to_owned());
        let expected = [
            (None, name("alice"), false, 9),
            (None, name("other"), true, 4),
            (None, name("other"), false, 2),
        ];
        assert_eq!(told(By::Subject, None), expected);
        let expected = [(None, None, false, 10), (None, name("other"), true, 4), (None, name("x"), false, 1)];
        assert_eq!(told(By::Label, None), expected);
    }

    #[test]
    fn doors_are_exact_even_where_accounts_overflow() {
        let name = |text: &str| Some(text.to_owned());
        let expected = [
            (Some(0), name("tcp"), false, 6),
            (Some(0), name("udp"), false, 1),
            (Some(3600), name("udp"), false, 8),
        ];
        assert_eq!(told(By::Door, Some(Period::Hour)), expected);
    }

    #[test]
    fn more_lines_than_allowed_are_said_and_not_cut() {
        let key = PageKey { period: Period::Day, start: UnixTime(0), part: 1, number: 0 };
        let rows = ["a", "b"].map(|name| row(name, None, "udp", 1, false)).to_vec();
        assert_eq!(Report::new(By::Subject, None, 1).add(&Page { key, rows }), Err(TooManyLines));
    }
}
