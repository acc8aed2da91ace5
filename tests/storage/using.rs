//! What a store does for those who use it, as long as nothing is broken.

use super::history::{Contents, Last, Note, Person, batch, close, unchecked};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;
use turnstone::base::Random;
use turnstone::storage::{Batch, Key, Page, Progress, Record, Store, StoreError, Table};

fn person(name: &str, text: &str) -> Person {
    Person { name: name.into(), text: text.into() }
}

#[tokio::test]
async fn what_was_committed_is_there_after_the_store_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&unchecked(folder.path())).unwrap();
    for number in 1..=40 {
        store.commit(batch(1, number)).await.unwrap();
    }
    assert_eq!(Contents::read(&store).await.unwrap(), Contents::of(1, 40));
    close(&store);
    let store = Store::open(&unchecked(folder.path())).unwrap();
    assert_eq!(Contents::read(&store).await.unwrap(), Contents::of(1, 40));
    assert_eq!(store.health().commits, 40);
}

#[tokio::test]
async fn what_is_queued_when_the_store_closes_is_written_and_what_comes_later_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&unchecked(folder.path())).unwrap();
    (1..=200).for_each(|number| store.commit_then(batch(2, number), |result| result.unwrap()));
    close(&store);
    let closed = StoreError::Closed("it is closed".into());
    assert_eq!(store.commit(Batch::new()).await, Err(closed.clone()));
    assert_eq!(store.health().trouble, Some(closed));
    let store = Store::open(&unchecked(folder.path())).unwrap();
    assert_eq!(Contents::read(&store).await.unwrap(), Contents::of(2, 200));
    assert!(store.health().commits < 200, "batches that wait together are flushed together");
}

#[tokio::test]
async fn more_than_32_mib_of_waiting_batches_is_too_much() {
    let folder = tempfile::tempdir().unwrap();
    // The thread stands still until the queue was filled.
    let (go, gate) = crossbeam_channel::bounded::<()>(0);
    let wait = move |_| {
        let _opened = gate.recv();
    };
    let store = Store::open_watched(&unchecked(folder.path()), wait).unwrap();
    let (sender, answers) = crossbeam_channel::bounded(100);
    for number in 0..40 {
        let answers = sender.clone();
        let batch = Batch::new().put(&Note { number, text: "x".repeat(1 << 20) });
        store.commit_then(batch, move |result| answers.send(result).unwrap());
    }
    assert!(store.health().bytes_queued <= 32 << 20);
    drop(go);
    let mut answers: Vec<_> =
        (0..40).map(|_| answers.recv_timeout(Duration::from_secs(60)).unwrap()).collect();
    answers.sort_by_key(Result::is_err);
    assert_eq!(answers.iter().filter(|answer| **answer == Ok(())).count(), 31);
    assert!(answers[31..].iter().all(|answer| *answer == Err(StoreError::Busy)));
    close(&store);
    assert_eq!(store.health().bytes_queued, 0);
}

#[tokio::test]
async fn health_tells_records_by_table() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&unchecked(folder.path())).unwrap();
    let some = Batch::new().put(&person("a", "")).put(&person("b", "")).put(&Last { batch: 1 });
    store.commit(some).await.unwrap();
    store.commit(Batch::new().put(&person("a", "again")).delete(person("b", "").key())).await.unwrap();
    store.commit(Batch::new().delete(person("nobody", "").key())).await.unwrap();
    let health = store.health();
    let rows = |table| health.tables.iter().find(|row| row.table == table).unwrap().records;
    assert_eq!((rows(Table::Users), rows(Table::Conversations), rows(Table::Calls)), (1, 1, 0));
    assert_eq!((health.commits, health.trouble.clone(), health.damaged()), (3, None, 0));
    assert!(health.last_flush.is_some() && health.flush_running.is_none() && health.bytes_on_disk > 0);
}

/// A thread that hangs is stood in for by one that waits in its watcher.
#[tokio::test]
async fn a_thread_that_owes_signs_of_life_is_told_as_stalled_until_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (go_on, held) = mpsc::sync_channel::<()>(0);
    let mut held = Some(held);
    let watcher = move |_| _ = held.take().map(|held| held.recv());
    let store = Store::open_watched(&unchecked(folder.path()), watcher).unwrap();
    let written = store.begin_commit(Batch::new().put(&person("a", "")));
    (0..5).for_each(|_| store.beat());
    assert_eq!(store.health().trouble, None, "it may be slow");
    store.beat();
    assert_eq!(store.health().trouble, Some(StoreError::Stalled));
    drop(go_on);
    written.await.unwrap();
    assert_eq!(store.health().trouble, None);
}

#[tokio::test]
async fn a_table_forgets_what_is_old_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&unchecked(folder.path())).unwrap();
    let note = |number| Note { number, text: String::new() };
    let all = (0..2000).fold(Batch::new(), |batch, number| batch.put(&note(number)));
    store.commit(all.put(&person("a", ""))).await.unwrap();
    let removed = store.remove_range(note(0).key(), note(1200).key()).await.unwrap();
    assert_eq!(removed, 1200);
    let left = Contents::read(&store).await.unwrap();
    assert_eq!((left.notes.len(), left.notes.keys().next(), left.people.len()), (800, Some(&1200), 1));
}

#[tokio::test]
async fn a_store_that_is_closed_says_why_to_everybody() {
    let store = Store::closed("the disk is gone");
    let why = StoreError::Closed("the disk is gone".into());
    assert_eq!(store.commit(Batch::new()).await, Err(why.clone()));
    assert_eq!(store.get::<Last>(Key::of(Table::Conversations)).await, Err(why.clone()));
    assert_eq!(store.snapshot().await.err(), Some(why.clone()));
    assert_eq!(store.health().trouble, Some(why));
    assert!(store.close(Duration::ZERO));
}

/// A row that may go forward only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Step {
    name: u64,
    far: u64,
}

impl Record for Step {
    const TABLE: Table = Table::ReadCursors;

    fn key(&self) -> Key {
        Key::of(Self::TABLE).number(self.name)
    }
}

impl Progress for Step {
    fn progress(&self) -> u64 {
        self.far
    }
}

/// Adds some changes to a batch, and does the same to `rows` in the plainest way, where the batch is due.
fn some_changes(random: &mut Random, rows: &mut BTreeMap<u64, u64>) -> Batch {
    let mut below = |bound: u64| random.next_u64() % bound;
    let (mut batch, mut is_due) = (Batch::new(), true);
    for _ in 0..below(3) {
        let (name, far) = (below(4), below(3));
        batch = batch.only_while(&Step { name, far });
        is_due &= rows.get(&name) == Some(&far);
    }
    let mut after = rows.clone();
    for _ in 0..1 + below(4) {
        let step = Step { name: below(4), far: below(3) };
        let old = after.get(&step.name).copied();
        let kind = below(4);
        batch = match kind {
            0 => batch.put(&step),
            1 => batch.put_new(&step),
            2 => batch.put_further(&step),
            _ => batch.delete(step.key()),
        };
        match (kind, old) {
            (1, Some(_)) => {}
            (2, Some(old)) if old >= step.far => {}
            (3, _) => drop(after.remove(&step.name)),
            _ => drop(after.insert(step.name, step.far)),
        }
    }
    if is_due {
        *rows = after;
    }
    batch
}

#[tokio::test]
async fn what_depends_on_what_is_there_is_as_if_each_batch_were_written_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&unchecked(folder.path())).unwrap();
    let (mut random, mut rows, mut batches) = (Random::seeded(11), BTreeMap::new(), 0);
    for round in 0..200 {
        // Those that come while the first is written are written together.
        let written: Vec<_> =
            (0..1 + round % 9).map(|_| store.begin_commit(some_changes(&mut random, &mut rows))).collect();
        batches += written.len() as u64;
        for one in written {
            one.await.unwrap();
        }
        let found: Vec<Step> = store.page(Page::of(Key::of(Table::ReadCursors), 100)).await.unwrap();
        assert_eq!(
            found.iter().map(|step| (step.name, step.far)).collect::<BTreeMap<_, _>>(),
            rows,
            "{round}"
        );
    }
    assert!(store.health().commits < batches, "some were written together");
    close(&store);
    let store = Store::open(&unchecked(folder.path())).unwrap();
    assert_eq!(
        store.page::<Step>(Page::of(Key::of(Table::ReadCursors), 100)).await.unwrap().len(),
        rows.len()
    );
}
