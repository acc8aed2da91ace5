//! How the store is, for `/readyz`, `status` and metrics: read from any thread, written by the store's own.

use super::census::Census;
use super::{StoreError, Table};
use arc_swap::ArcSwapOption;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Signs of life that the thread may owe before it counts as stalled.
const SIGNS_OWED_MAX: u64 = 5;

/// How the store is. Shapes: counts of records, bytes of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it takes writes; else why not, in a sentence.
    pub trouble: Option<StoreError>,
    /// All tables, in the order of their tags.
    pub tables: Vec<TableHealth>,
    /// Commits since the store was made; one holds all batches that were flushed together.
    pub commits: u64,
    /// How long the last commit took to get to the disk.
    pub last_flush: Option<Duration>,
    /// How long the commit that is on its way takes already: a disk that stands still shows here.
    pub flush_running: Option<Duration>,
    /// Bytes of the database's files, at most ten seconds old.
    pub bytes_on_disk: u64,
    /// Bytes of the batches that wait.
    pub bytes_queued: usize,
}

/// How one table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableHealth {
    /// Which.
    pub table: Table,
    /// Records in it.
    pub records: u64,
    /// Damaged values that were set aside when the store was opened.
    pub set_aside: u64,
    /// Reads since the start that met a record that this build cannot read.
    pub unreadable: u64,
}

impl Health {
    /// Records that are not served, of all tables.
    pub fn damaged(&self) -> u64 {
        self.tables.iter().map(|table| table.set_aside + table.unreadable).sum()
    }
}

/// What the store's thread tells, and what its callers count.
#[derive(Debug)]
pub(super) struct Gauges {
    trouble: ArcSwapOption<StoreError>,
    tables: [TableGauges; Table::ALL.len()],
    commits: AtomicU64,
    last_flush_ns: AtomicU64,
    /// Nanoseconds after `born`, plus one; 0 when none runs.
    flushing_since_ns: AtomicU64,
    born: Instant,
    /// Signs of life that were asked for since the last one.
    signs_owed: AtomicU64,
    /// One is on its way through the queue.
    is_asked: AtomicBool,
    pub(super) bytes_on_disk: AtomicU64,
    pub(super) bytes_queued: AtomicUsize,
}

#[derive(Debug, Default)]
struct TableGauges {
    records: AtomicU64,
    set_aside: AtomicU64,
    unreadable: AtomicU64,
}

impl Gauges {
    pub(super) fn new(trouble: Option<StoreError>) -> Self {
        Self {
            trouble: ArcSwapOption::from_pointee(trouble),
            tables: Default::default(),
            commits: AtomicU64::new(0),
            last_flush_ns: AtomicU64::new(0),
            flushing_since_ns: AtomicU64::new(0),
            born: Instant::now(),
            signs_owed: AtomicU64::new(0),
            is_asked: AtomicBool::new(false),
            bytes_on_disk: AtomicU64::new(0),
            bytes_queued: AtomicUsize::new(0),
        }
    }

    pub(super) fn trouble(&self) -> Option<StoreError> {
        self.trouble.load().as_deref().cloned()
    }

    /// From now on. What closed it stays said.
    pub(super) fn trouble_is(&self, why: StoreError) {
        if !matches!(self.trouble.load().as_deref(), Some(StoreError::Closed(_))) {
            self.trouble.store(Some(why.into()));
        }
    }

    /// It takes writes again, if it was only full.
    pub(super) fn there_is_room(&self) {
        if matches!(self.trouble.load().as_deref(), Some(StoreError::Full(_))) {
            self.trouble.store(None);
        }
    }

    pub(super) fn census_is(&self, census: &Census) {
        self.commits.store(census.commit, Relaxed);
        for (table, gauges) in Table::ALL.into_iter().zip(&self.tables) {
            gauges.records.store(census.of(table).records, Relaxed);
        }
    }

    pub(super) fn aside_are(&self, aside: &BTreeMap<Table, u64>) {
        for (table, gauges) in Table::ALL.into_iter().zip(&self.tables) {
            gauges.set_aside.store(aside.get(&table).copied().unwrap_or(0), Relaxed);
        }
    }

    pub(super) fn unreadable(&self, table: Table) {
        let place = Table::ALL.into_iter().zip(&self.tables).find(|(known, _)| *known == table);
        if let Some((_, gauges)) = place {
            gauges.unreadable.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn flush_began(&self) -> Instant {
        let now = Instant::now();
        self.flushing_since_ns.store(nanoseconds(now - self.born) + 1, Relaxed);
        now
    }

    pub(super) fn flush_ended(&self, began: Instant) -> Duration {
        let took = began.elapsed();
        self.last_flush_ns.store(nanoseconds(took).max(1), Relaxed);
        self.flushing_since_ns.store(0, Relaxed);
        self.lives();
        took
    }

    /// Notes that a sign of life is owed. `false` when one was asked for already.
    pub(super) fn ask_for_a_sign(&self) -> bool {
        self.signs_owed.fetch_add(1, Relaxed);
        !self.is_asked.swap(true, Relaxed)
    }

    /// What was asked for came back: as a sign of life, or because there was no room for the question.
    pub(super) fn sign_is_back(&self, is_sign: bool) {
        if is_sign {
            self.lives();
        }
        self.is_asked.store(false, Relaxed);
    }

    /// The thread shows life.
    fn lives(&self) {
        self.signs_owed.store(0, Relaxed);
    }

    fn stall(&self) -> Option<StoreError> {
        (self.signs_owed.load(Relaxed) > SIGNS_OWED_MAX).then_some(StoreError::Stalled)
    }

    pub(super) fn read(&self) -> Health {
        let some = |nanoseconds: u64| (nanoseconds > 0).then(|| Duration::from_nanos(nanoseconds));
        let table = |(table, gauges): (Table, &TableGauges)| TableHealth {
            table,
            records: gauges.records.load(Relaxed),
            set_aside: gauges.set_aside.load(Relaxed),
            unreadable: gauges.unreadable.load(Relaxed),
        };
        let since = some(self.flushing_since_ns.load(Relaxed));
        Health {
            trouble: self.trouble().or_else(|| self.stall()),
            tables: Table::ALL.into_iter().zip(&self.tables).map(table).collect(),
            commits: self.commits.load(Relaxed),
            last_flush: some(self.last_flush_ns.load(Relaxed)),
            flush_running: since.map(|since| self.born.elapsed().saturating_sub(since)),
            bytes_on_disk: self.bytes_on_disk.load(Relaxed),
            bytes_queued: self.bytes_queued.load(Relaxed),
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
