//! The books: open periods, and the pages that wait to be written.

use super::sheet::{Account, Sheet};
use super::{Gap, Page, PageKey, Period};
use crate::base::{Traffic, UnixTime};
use std::collections::BTreeMap;

/// Bounds of the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BooksSettings {
    /// Accounts of one minute, one hour and one day, as of [`Period::ALL`]. All others share the row `other`.
    pub rows_max: [usize; 3],
    /// Pages that may wait to be written.
    pub waiting_max: usize,
}

impl Default for BooksSettings {
    /// At most some 20 MB of memory and 200,000 pages on the disk, whoever relays.
    fn default() -> Self {
        Self { rows_max: [1000, 4000, 10_000], waiting_max: 1024 }
    }
}

/// The books of one process. See the module.
#[derive(Debug)]
pub struct Books {
    settings: BooksSettings,
    /// As of [`Period::ALL`]; none while nothing was relayed in it.
    open: [Option<Sheet>; 3],
    /// The minute that is open, with or without traffic.
    minute: Option<UnixTime>,
    next_part: u64,
    hasher: ahash::RandomState,
    waiting: BTreeMap<PageKey, Page>,
    total: Traffic,
    overflowed: u64,
    lost_pages: u64,
    lost: Option<Gap>,
}

impl Books {
    /// Empty books. `first_part`: random, so that no two processes use the same one, nor the same places for accounts.
    pub fn new(settings: BooksSettings, first_part: u64) -> Self {
        let seed = |salt: u64| first_part.rotate_left(17).wrapping_add(salt);
        Self {
            settings,
            open: [None, None, None],
            minute: None,
            next_part: first_part,
            hasher: ahash::RandomState::with_seeds(seed(1), seed(2), seed(3), seed(4)),
            waiting: BTreeMap::new(),
            total: Traffic::default(),
            overflowed: 0,
            lost_pages: 0,
            lost: None,
        }
    }

    /// Goes on to `now`, forwards or backwards. `true` when a minute ended thereby: pages may wait.
    pub fn turn(&mut self, now: UnixTime) -> bool {
        let minute = Period::Minute.start(now);
        let is_over = self.minute.is_some_and(|open| open != minute);
        if is_over {
            self.set_aside();
            for sheet in &mut self.open {
                if sheet.as_ref().is_some_and(|sheet| !sheet.covers(now)) {
                    *sheet = None;
                }
            }
        }
        self.minute = Some(minute);
        is_over
    }

    /// Books what an account relayed in the open minute; [`Self::turn`] says which that is.
    pub fn book(&mut self, now: UnixTime, account: &Account, traffic: &Traffic) {
        self.turn(now);
        let (part, hasher) = (&mut self.next_part, &self.hasher);
        let rows_max = self.settings.rows_max;
        for ((sheet, period), rows_max) in self.open.iter_mut().zip(Period::ALL).zip(rows_max) {
            let sheet = sheet.get_or_insert_with(|| {
                *part = part.wrapping_add(1);
                Sheet::new(period, period.start(now), *part, hasher.clone())
            });
            if !sheet.book(account, traffic, rows_max) && period == Period::Minute {
                self.overflowed += 1;
            }
        }
        self.total.add(traffic);
    }

    /// Has all that is not written yet wait for it: the daemon stops. What is booked later is another page or more of
    /// the same one.
    pub fn set_aside(&mut self) {
        for sheet in self.open.iter_mut().flatten() {
            for page in sheet.take_changed() {
                self.waiting.insert(page.key, page);
            }
        }
        self.trim();
    }

    /// Minutes go first, the oldest in front: their traffic is in an hour and a day, too.
    fn trim(&mut self) {
        while self.waiting.len() > self.settings.waiting_max {
            let Some((PageKey { period, start, .. }, _)) = self.waiting.pop_first() else { return };
            self.lost_pages += 1;
            let gap = Gap { from: start, to: UnixTime(start.0 + period.seconds() - 1) };
            self.lost = Some(self.lost.map_or(gap, |lost| lost.with(gap)));
        }
    }

    /// The time of which pages were given up, and nobody has written so yet.
    pub fn lost(&self) -> Option<Gap> {
        self.lost
    }

    /// It is on the disk that this time may miss something.
    pub fn lost_is_told(&mut self, told: Gap) {
        self.lost.take_if(|lost| *lost == told);
    }

    /// Some pages that wait, `pages_max` at most; they wait until they are [`Self::written`].
    pub fn waiting(&self, pages_max: usize) -> Vec<Page> {
        self.waiting.values().take(pages_max).cloned().collect()
    }

    /// How many pages wait.
    pub fn waiting_pages(&self) -> usize {
        self.waiting.len()
    }

    /// These are on the disk. One that has grown meanwhile goes on waiting.
    pub fn written(&mut self, pages: &[Page]) {
        for page in pages {
            if self.waiting.get(&page.key) == Some(page) {
                self.waiting.remove(&page.key);
            }
        }
    }

    /// Up to when everything is on the disk once nothing waits; `None` before the first [`Self::turn`].
    pub fn settled_until(&self) -> Option<UnixTime> {
        self.minute
    }

    /// All that may not be on the disk as it is now, by name.
    pub fn live(&self) -> BTreeMap<PageKey, Page> {
        let mut live = self.waiting.clone();
        let open = self.open.iter().flatten().flat_map(Sheet::pages);
        live.extend(open.map(|page| (page.key, page)));
        live
    }

    /// All that was booked since the start.
    pub fn total(&self) -> Traffic {
        self.total
    }

    /// How often something went to `other` in its minute.
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// Pages that were given up, since too many waited.
    pub fn lost_pages(&self) -> u64 {
        self.lost_pages
    }
}

#[cfg(test)]
#[path = "books_tests.rs"]
mod tests;
