//! What is written of the books.

use super::Period;
use crate::base::{Traffic, UnixTime};
use serde::{Deserialize, Serialize};

/// Names a page, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageKey {
    /// What it covers.
    pub period: Period,
    /// When that began.
    pub start: UnixTime,
    /// Which opening of the period: another one after each start of the daemon and each step of the clock.
    pub part: u64,
    /// Which of its pages.
    pub number: u32,
}

/// Up to [`PAGE_ROWS`](super::PAGE_ROWS) rows of one opening of a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its name.
    pub key: PageKey,
    /// In the order in which they began.
    pub rows: Vec<Row>,
}

impl Page {
    /// All that it holds.
    pub fn total(&self) -> Traffic {
        let mut total = Traffic::default();
        self.rows.iter().for_each(|row| total.add(&row.traffic));
        total
    }

    /// Whether it says more than `other`, which has the same name. Pages only grow.
    pub fn is_beyond(&self, other: &Self) -> bool {
        let weight = |page: &Self| {
            let total = page.total();
            (page.rows.len(), total.bytes(), total.packets_from_client + total.packets_from_peer)
        };
        weight(self) > weight(other)
    }
}

/// What one account relayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Whose allocations.
    pub subject: Box<str>,
    /// The label of their credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Box<str>>,
    /// By which door they came.
    pub door: Box<str>,
    /// Whether it is the row of all for whom there was no row any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overflow: bool,
    /// How much.
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// A time of which the books may miss something, since the daemon did not end by itself or could not write for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// From when on something may not be on the disk.
    pub from: UnixTime,
    /// Until when: a daemon came back, or what was relayed then could be written.
    pub to: UnixTime,
}

impl Gap {
    /// From the first of both to the last.
    pub fn with(self, other: Self) -> Self {
        Self { from: self.from.min(other.from), to: self.to.max(other.to) }
    }

    /// Whether some of `from..to` lies in it. Both of its ends count, so that no gap is empty.
    pub fn touches(&self, from: UnixTime, to: UnixTime) -> bool {
        self.from < to && from <= self.to
    }
}
