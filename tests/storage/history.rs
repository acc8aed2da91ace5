//! What a store goes through: batches that follow from a seed, and what each table holds behind them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use turnstone::base::Random;
use turnstone::storage::{Batch, Key, Page, Probe, Record, Store, StoreError, StoreSettings, Table};

/// A record of a table of short rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Record for Person {
    const TABLE: Table = Table::Users;

    fn key(&self) -> Key {
        Key::of(Self::TABLE).text(&self.name)
    }
}

/// A record of a table of long rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) number: u64,
    pub(crate) text: String,
}

impl Record for Note {
    const TABLE: Table = Table::Messages;

    fn key(&self) -> Key {
        Key::of(Self::TABLE).text("room\0/ä").number(self.number)
    }
}

/// How far the history got: in each batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Last {
    pub(crate) batch: u64,
}

impl Record for Last {
    const TABLE: Table = Table::Conversations;

    fn key(&self) -> Key {
        Key::of(Self::TABLE)
    }
}

/// What a store holds, or should.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Contents {
    pub(crate) people: BTreeMap<String, String>,
    pub(crate) notes: BTreeMap<u64, String>,
    pub(crate) last: u64,
}

/// One change, as it follows from the seed.
enum Change {
    Person(String, Option<String>),
    Note(u64, Option<String>),
}

impl Contents {
    /// What it is behind this batch.
    pub(crate) fn after(&mut self, seed: u64, batch: u64) {
        for change in changes(seed, batch) {
            match change {
                Change::Person(name, Some(text)) => drop(self.people.insert(name, text)),
                Change::Person(name, None) => drop(self.people.remove(&name)),
                Change::Note(number, Some(text)) => drop(self.notes.insert(number, text)),
                Change::Note(number, None) => drop(self.notes.remove(&number)),
            }
        }
        self.last = batch;
    }

    /// Behind this many batches.
    pub(crate) fn of(seed: u64, batches: u64) -> Self {
        let mut contents = Self::default();
        (1..=batches).for_each(|batch| contents.after(seed, batch));
        contents
    }

    /// All that the store serves.
    pub(crate) async fn read(store: &Store) -> Result<Self, StoreError> {
        let all = |table| Page::of(Key::of(table), usize::MAX);
        let people = store.page::<Person>(all(Table::Users)).await?;
        let notes = store.page::<Note>(all(Table::Messages)).await?;
        let last = store.get::<Last>(Key::of(Table::Conversations)).await?;
        Ok(Self {
            people: people.into_iter().map(|row| (row.name, row.text)).collect(),
            notes: notes.into_iter().map(|row| (row.number, row.text)).collect(),
            last: last.map_or(0, |last| last.batch),
        })
    }
}

/// The batch of this number, from 1.
pub(crate) fn batch(seed: u64, number: u64) -> Batch {
    let batch = Batch::new().put(&Last { batch: number });
    changes(seed, number).into_iter().fold(batch, |batch, change| match change {
        Change::Person(name, Some(text)) => batch.put(&Person { name, text }),
        Change::Person(name, None) => batch.delete(Key::of(Table::Users).text(&name)),
        Change::Note(number, Some(text)) => batch.put(&Note { number, text }),
        Change::Note(number, None) => batch.delete(Note { number, text: String::new() }.key()),
    })
}

/// New ones, overwritten ones and deletions, up to a dozen; a text may be long.
fn changes(seed: u64, batch: u64) -> Vec<Change> {
    let mut random = Random::seeded(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ batch);
    let mut below = |bound: u64| random.next_u64() % bound;
    let count = 1 + below(12);
    (0..count)
        .map(|at| {
            let length = if below(40) == 0 { below(20_000) } else { below(300) };
            let text = (below(4) > 0).then(|| format!("{batch}.{at} {}", "x".repeat(length as usize)));
            match below(2) {
                0 => Change::Person(format!("person-{}", below(150)), text),
                _ => Change::Note(below(150), text),
            }
        })
        .collect()
}

/// Settings with the real child process in front.
pub(crate) fn checked(path: &Path) -> StoreSettings {
    let probe = Probe {
        program: env!("CARGO_BIN_EXE_turnstone").into(),
        arguments: vec!["probe-store".into()],
        time_limit: Duration::from_secs(20),
    };
    StoreSettings { path: path.into(), probe: Some(probe) }
}

/// Settings without it.
pub(crate) fn unchecked(path: &Path) -> StoreSettings {
    StoreSettings { path: path.into(), probe: None }
}

/// Closes the store; it can be opened again, and its disk is not busy.
pub(crate) fn close(store: &Store) {
    assert!(store.close(MINUTE), "the store was not closed in a minute");
    await_release();
}

/// Waits until nobody has a file open, or its lock, that this process has closed: a child that another test has just
/// forked has them all until it runs its own program.
pub(crate) fn await_release() {
    let ours = fs::read("/proc/self/cmdline").unwrap();
    let is_forked = |child: &str| fs::read(format!("/proc/{child}/cmdline")).is_ok_and(|line| line == ours);
    let has_forked = |task: fs::DirEntry| {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children.split_whitespace().any(is_forked)
    };
    let started = Instant::now();
    while fs::read_dir("/proc/self/task").unwrap().flatten().any(has_forked) {
        assert!(started.elapsed() < MINUTE, "a child does not run its program");
        std::thread::yield_now();
    }
}

const MINUTE: Duration = Duration::from_secs(60);
