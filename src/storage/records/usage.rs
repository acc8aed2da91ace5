//! The books of [`crate::usage`]: a table of pages for each period, by the start of the period.
//!
//! ```text
//! usage_minutes   start, part, number -> page      "run" -> until when the books are settled
//! usage_hours     start, part, number -> page
//! usage_days      start, part, number -> page      "gap", from -> a time that may miss something
//! ```

use super::super::{Batch, Key, Page as Range, Progress, Record, Table};
use crate::base::UnixTime;
use crate::usage::{Gap, Page, PageKey, Period, Row};
use serde::{Deserialize, Serialize};

/// A page as it is on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    start: UnixTime,
    part: u64,
    number: u32,
    rows: Vec<Row>,
}

macro_rules! pages {
    ($($(#[$doc:meta])* $name:ident: $period:ident in $table:ident,)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Stored);

        impl Record for $name {
            const TABLE: Table = Table::$table;

            fn key(&self) -> Key {
                let Stored { start, part, number, .. } = self.0;
                start_key(Period::$period, start).number(part).number(number.into())
            }
        }

        impl From<$name> for Page {
            fn from($name(stored): $name) -> Self {
                let Stored { start, part, number, rows } = stored;
                Self { key: PageKey { period: Period::$period, start, part, number }, rows }
            }
        }
    )*};
}

pages! {
    /// A page of a minute.
    MinutePage: Minute in UsageMinutes,
    /// A page of an hour.
    HourPage: Hour in UsageHours,
    /// A page of a day.
    DayPage: Day in UsageDays,
}

/// Adds a page to a batch.
pub fn put_page(batch: Batch, page: &Page) -> Batch {
    let PageKey { period, start, part, number } = page.key;
    let stored = Stored { start, part, number, rows: page.rows.clone() };
    match period {
        Period::Minute => batch.put(&MinutePage(stored)),
        Period::Hour => batch.put(&HourPage(stored)),
        Period::Day => batch.put(&DayPage(stored)),
    }
}

/// Pages of the periods that begin in `from..to`, `limit` at most; `after`: behind this one.
pub fn usage_range(
    period: Period,
    from: UnixTime,
    to: UnixTime,
    after: Option<PageKey>,
    limit: usize,
) -> Range {
    let from = match after {
        Some(key) => {
            let key = start_key(period, key.start).number(key.part).number(key.number.into());
            // Its numbers are far from the last ones.
            key.end().unwrap_or(key)
        }
        None => start_key(period, from),
    };
    Range { from, to: Some(start_key(period, to)), limit, backwards: false }
}

fn start_key(period: Period, start: UnixTime) -> Key {
    let table = match period {
        Period::Minute => Table::UsageMinutes,
        Period::Hour => Table::UsageHours,
        Period::Day => Table::UsageDays,
    };
    Key::of(table).number(start.0)
}

/// How far the books are settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRow {
    /// What was relayed before is on the disk.
    pub settled_until: UnixTime,
    /// Whether the daemon ended by itself then.
    pub ended: bool,
}

impl RunRow {
    /// Where it is: behind all pages, since text sorts behind the times of this age.
    pub fn place() -> Key {
        Key::of(Table::UsageMinutes).text("run")
    }
}

impl Record for RunRow {
    const TABLE: Table = Table::UsageMinutes;

    fn key(&self) -> Key {
        Self::place()
    }
}

/// A time that may miss something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GapRow(pub Gap);

impl GapRow {
    /// The latest ones, `limit` at most, from the last to the first.
    pub fn latest(limit: usize) -> Range {
        Range { backwards: true, ..Range::of(Key::of(Table::UsageDays).text("gap"), limit) }
    }

    /// Those that began before, `limit` at most.
    pub fn before(time: UnixTime, limit: usize) -> Range {
        let all = Key::of(Table::UsageDays).text("gap");
        Range { from: all.clone(), to: Some(all.number(time.0)), limit, backwards: false }
    }
}

impl Record for GapRow {
    const TABLE: Table = Table::UsageDays;

    fn key(&self) -> Key {
        Key::of(Table::UsageDays).text("gap").number(self.0.from.0)
    }
}

/// Two gaps may begin together: the longer one stays.
impl Progress for GapRow {
    fn progress(&self) -> u64 {
        self.0.to.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Store, StoreSettings};

    fn page(period: Period, start: u64, part: u64, number: u32) -> Page {
        Page { key: PageKey { period, start: UnixTime(start), part, number }, rows: Vec::new() }
    }

    #[tokio::test]
    async fn a_range_of_pages_is_one_scan_and_meets_neither_run_nor_gap() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&StoreSettings { path: folder.path().into(), probe: None }).expect("opens");
        let run = RunRow { settled_until: UnixTime(7), ended: false };
        let gap = Gap { from: UnixTime(5), to: UnixTime(9) };
        let mut batch = Batch::new().put(&run).put(&GapRow(gap));
        for (start, part, number) in [(0, 1, 0), (60, 1, 0), (60, 1, 1), (60, u64::MAX, 0), (120, 1, 0)] {
            batch = put_page(batch, &page(Period::Minute, start, part, number));
        }
        batch = put_page(batch, &page(Period::Day, 0, 1, 0));
        store.commit(batch).await.expect("written");

        let range = |to, after, limit| usage_range(Period::Minute, UnixTime(60), UnixTime(to), after, limit);
        let read = async |range| -> Vec<Page> {
            let found = store.page::<MinutePage>(range).await.expect("read");
            found.into_iter().map(Page::from).collect()
        };
        let expected = [(1, 0), (1, 1), (u64::MAX, 0)].map(|(part, n)| page(Period::Minute, 60, part, n));
        assert_eq!(read(range(120, None, 10)).await, expected);
        assert_eq!(read(range(120, None, 2)).await, expected[..2]);
        assert_eq!(read(range(120, Some(expected[1].key), 2)).await, expected[2..]);
        assert_eq!(read(range(4_000_000_000, Some(expected[2].key), 9)).await.len(), 1);
        assert_eq!(store.get(RunRow::place()).await, Ok(Some(run)));
        assert_eq!(store.page::<GapRow>(GapRow::latest(3)).await, Ok(vec![GapRow(gap)]));
    }
}
