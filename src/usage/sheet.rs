//! One period while it lasts.

use super::{Page, PageKey, Period, Row};
use crate::base::{Traffic, UnixTime};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Rows of one page: what is rewritten when one of them has changed.
pub const PAGE_ROWS: usize = 64;

/// Whom the overflow row names.
const OTHER: &str = "other";

/// Under what traffic is booked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    /// Whom quotas and usage count; empty where a driver had too many to tell them apart.
    pub subject: Arc<str>,
    /// The label of the credential.
    pub label: Option<Arc<str>>,
    /// The door of the client.
    pub door: Arc<str>,
}

/// An opening of a period.
#[derive(Debug)]
pub(super) struct Sheet {
    period: Period,
    start: UnixTime,
    part: u64,
    rows: Vec<Row>,
    /// By account: each one that relays is looked up in each sample. The overflow rows by their door.
    places: HashMap<Account, usize, ahash::RandomState>,
    others: BTreeMap<Arc<str>, usize>,
    /// Of each page, whether it says more than when it was taken last.
    changed: Vec<bool>,
}

impl Sheet {
    /// `hasher`: accounts hold what clients chose.
    pub(super) fn new(period: Period, start: UnixTime, part: u64, hasher: ahash::RandomState) -> Self {
        let (rows, changed, others) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { period, start, part, rows, places: HashMap::with_hasher(hasher), others, changed }
    }

    pub(super) fn covers(&self, now: UnixTime) -> bool {
        self.start == self.period.start(now)
    }

    /// Adds to the row of an account, or to `other` where there are `rows_max` accounts already or the account has no
    /// subject. `false`: to `other`.
    pub(super) fn book(&mut self, account: &Account, traffic: &Traffic, rows_max: usize) -> bool {
        let place = match self.places.get(account) {
            Some(place) => Some(*place),
            None if self.places.len() < rows_max && !account.subject.is_empty() => {
                let place = self.add(account, false);
                self.places.insert(account.clone(), place);
                Some(place)
            }
            None => None,
        };
        let at = place.unwrap_or_else(|| self.other(&account.door));
        self.rows[at].traffic.add(traffic);
        self.changed[at / PAGE_ROWS] = true;
        place.is_some()
    }

    /// Doors come from the config: there are few.
    fn other(&mut self, door: &Arc<str>) -> usize {
        if let Some(place) = self.others.get(door) {
            return *place;
        }
        let account = Account { subject: OTHER.into(), label: None, door: door.clone() };
        let place = self.add(&account, true);
        self.others.insert(door.clone(), place);
        place
    }

    fn add(&mut self, account: &Account, overflow: bool) -> usize {
        self.rows.push(Row {
            subject: Box::from(&*account.subject),
            label: account.label.as_deref().map(Box::from),
            door: Box::from(&*account.door),
            overflow,
            traffic: Traffic::default(),
        });
        let place = self.rows.len() - 1;
        if place.is_multiple_of(PAGE_ROWS) {
            self.changed.push(false);
        }
        place
    }

    /// The pages that have changed since the last time.
    pub(super) fn take_changed(&mut self) -> Vec<Page> {
        let none = vec![false; self.changed.len()];
        let changed = std::mem::replace(&mut self.changed, none);
        (0..changed.len()).filter(|number| changed[*number]).map(|number| self.page(number)).collect()
    }

    /// All of its pages.
    pub(super) fn pages(&self) -> impl Iterator<Item = Page> + '_ {
        (0..self.changed.len()).map(|number| self.page(number))
    }

    fn page(&self, number: usize) -> Page {
        let rows = self.rows.iter().skip(number * PAGE_ROWS).take(PAGE_ROWS).cloned().collect();
        let (period, start, part) = (self.period, self.start, self.part);
        // Rows are bounded far below what a u32 counts.
        Page { key: PageKey { period, start, part, number: number as u32 }, rows }
    }
}
