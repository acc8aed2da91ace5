//! From the books to the store, one batch at a time.

use super::{minute, now};
use crate::base::UnixTime;
use crate::http::api::{Desk, EventKind};
use crate::storage::records::{GapRow, RunRow, put_page};
use crate::storage::{Batch, Store, StoreError};
use crate::usage::{Gap, Page};
use serde_json::json;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

/// Pages of one batch: some 2 MB at most.
const PAGES_AT_ONCE: usize = 128;

/// When it is tried again after the store had too much to do.
const AGAIN_SOON: Duration = Duration::from_secs(1);

/// When it is tried again after the store took nothing.
const AGAIN_LATER: Duration = Duration::from_secs(60);

/// How long the end may take: a store that hangs does not hold the daemon.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// Begins by asking how the process before ended; nothing is written before that is known.
#[derive(Debug)]
pub(super) struct Writing {
    desk: Arc<Desk>,
    store: Store,
    /// When this process began.
    since: UnixTime,
    stand: Stand,
    /// What the process before may have left out. It goes with every batch until one is on the disk.
    gap: Option<Gap>,
    under_way: Option<UnderWay>,
    /// When there is something to do.
    due: Option<Instant>,
    fails: bool,
}

/// What the disk says of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// What the one before wrote: nobody has read it yet.
    Unread,
    /// What the one before wrote.
    Old,
    /// It keeps the books.
    Begun,
    /// It has ended by itself.
    Ended,
}

/// What the store is asked for.
#[derive(Debug)]
enum UnderWay {
    Reading(JoinHandle<Result<Option<RunRow>, StoreError>>),
    Writing(Written, JoinHandle<Result<(), StoreError>>),
}

/// What a batch holds.
#[derive(Debug)]
struct Written {
    pages: Vec<Page>,
    /// The time of which pages were given up.
    lost: Option<Gap>,
    /// What the disk says of this process when it is written.
    stand: Stand,
}

impl Writing {
    /// Of a process that begins to keep the books.
    pub(super) fn new(desk: Arc<Desk>, store: Store, since: UnixTime) -> Self {
        let due = Some(Instant::now());
        Self { desk, store, since, stand: Stand::Unread, gap: None, under_way: None, due, fails: false }
    }

    /// There is something to write, now or once what is under way is written.
    pub(super) fn due(&mut self) {
        self.due.get_or_insert_with(Instant::now);
    }

    /// Waits for the next thing to do and does it. Dropped while it waits, it loses nothing.
    pub(super) async fn next(&mut self) {
        if self.under_way.is_some() {
            let _tried_again = self.hear().await;
            return;
        }
        match self.due {
            Some(at) => sleep_until(at).await,
            None => pending().await,
        }
        self.due = None;
        self.ask(false);
    }

    /// Waits for what the store says, if it was asked. An error is said where it is new, and due to be tried again.
    async fn hear(&mut self) -> Result<(), StoreError> {
        let gone = |_| Err(StoreError::Closed("its task has ended".into()));
        let result = match &mut self.under_way {
            Some(UnderWay::Reading(answer)) => {
                let answer = answer.await.unwrap_or_else(|error| gone(error).map(|()| None));
                self.under_way = None;
                self.on_read(answer)
            }
            Some(UnderWay::Writing(_, answer)) => {
                let answer = answer.await.unwrap_or_else(gone);
                match self.under_way.take() {
                    Some(UnderWay::Writing(written, _)) => answer.map(|()| self.on_written(&written)),
                    _ => Ok(()),
                }
            }
            None => Ok(()),
        };
        if let Err(error) = &result {
            self.fail(error);
        }
        result
    }

    /// `ended`: the daemon ends by itself.
    fn ask(&mut self, ended: bool) {
        let store = self.store.clone();
        self.under_way = Some(match self.stand {
            Stand::Unread => {
                UnderWay::Reading(tokio::spawn(async move { store.get::<RunRow>(RunRow::place()).await }))
            }
            _ => {
                let (batch, written) = self.batch(ended);
                UnderWay::Writing(written, tokio::spawn(store.begin_commit(batch)))
            }
        });
    }

    fn on_read(&mut self, answer: Result<Option<RunRow>, StoreError>) -> Result<(), StoreError> {
        let from = match answer {
            Ok(run) => run.filter(|run| !run.ended).map(|run| run.settled_until),
            // It is not known until when the books are whole.
            Err(StoreError::Damaged) => Some(minute(self.since)),
            Err(error) => return Err(error),
        };
        self.gap = from.map(|from| {
            tracing::warn!(
                from_unix_s = from.0,
                "the daemon did not end by itself; usage of its last minute may be missing and is shown as partial"
            );
            // A clock that was set back makes the gap no smaller.
            Gap { from: from.min(self.since), to: self.since.max(from) }
        });
        self.stand = Stand::Old;
        self.due();
        Ok(())
    }

    fn batch(&self, ended: bool) -> (Batch, Written) {
        let (pages, is_all, settled_until, lost) = {
            let books = self.desk.books();
            let pages = books.waiting(PAGES_AT_ONCE);
            let is_all = pages.len() == books.waiting_pages();
            (pages, is_all, books.settled_until(), books.lost())
        };
        let mut batch = pages.iter().fold(Batch::new(), put_page);
        batch = self.gap.into_iter().chain(lost).fold(batch, |batch, gap| batch.put_further(&GapRow(gap)));
        let began = minute(self.since);
        let (run, stand) = match (is_all, self.stand) {
            // Nothing comes behind an end: what is open is settled with it.
            (true, _) if ended => (Some(settled_until.unwrap_or(began).max(now())), Stand::Ended),
            (true, _) => (Some(settled_until.unwrap_or(began)), Stand::Begun),
            // Nothing of it is settled, but the one before has not the last word any more.
            (false, Stand::Old) => (Some(began), Stand::Begun),
            (false, stand) => (None, stand),
        };
        if let Some(settled_until) = run {
            batch = batch.put(&RunRow { settled_until, ended: stand == Stand::Ended });
        }
        (batch, Written { pages, lost, stand })
    }

    fn on_written(&mut self, written: &Written) {
        self.judge(None);
        (self.stand, self.gap) = (written.stand, None);
        let mut books = self.desk.books();
        books.written(&written.pages);
        written.lost.into_iter().for_each(|lost| books.lost_is_told(lost));
        if books.waiting_pages() > 0 {
            drop(books);
            self.due();
        }
    }

    /// The store has not done what it was asked for.
    fn fail(&mut self, error: &StoreError) {
        let is_busy = *error == StoreError::Busy;
        if !is_busy {
            self.judge(Some(error));
        }
        self.due = Some(Instant::now() + if is_busy { AGAIN_SOON } else { AGAIN_LATER });
    }

    /// Says once that the store takes nothing, and once that it does again. One that is busy may do either.
    fn judge(&mut self, error: Option<&StoreError>) {
        let fails = error.is_some();
        if std::mem::replace(&mut self.fails, fails) == fails {
            return;
        }
        match error {
            Some(error) => {
                tracing::error!(%error, "usage is not written; it waits in memory, some hours of it at most");
            }
            None => tracing::info!("usage is written again"),
        }
        let message = error.map(ToString::to_string);
        let events = &self.desk.events;
        events.tell(EventKind::Storage, || json!({ "writes": !fails, "message": message }));
    }

    /// Writes all that waits and that the daemon ended by itself, as far as the store takes it.
    pub(super) async fn finish(&mut self) {
        let all = async {
            // What is under way says nothing of the end, and what failed before may be done by now.
            let _tried_again = self.hear().await;
            self.due = None;
            while self.stand != Stand::Ended {
                if let Some(at) = self.due.take() {
                    sleep_until(at).await;
                }
                self.ask(true);
                if self.hear().await.is_err_and(|error| error != StoreError::Busy) {
                    break;
                }
            }
        };
        if timeout(FINISH_WITHIN, all).await.is_err() {
            tracing::error!("the store did not take the last of the usage in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::StoreSettings;
    use tempfile::TempDir;

    const BEFORE: UnixTime = UnixTime(1_700_000_040);
    const SINCE: UnixTime = UnixTime(1_700_000_777);

    /// A store that a process left without an end.
    async fn left_open() -> (TempDir, Store) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&StoreSettings { path: folder.path().into(), probe: None }).expect("opens");
        let run = RunRow { settled_until: BEFORE, ended: false };
        store.commit(Batch::new().put(&run)).await.expect("written");
        (folder, store)
    }

    /// Asks the store what is due now, and hears its answer.
    async fn ask_and_hear(writing: &mut Writing) {
        writing.due = Some(Instant::now());
        writing.next().await;
        writing.next().await;
    }

    async fn disk(store: &Store) -> (Vec<Gap>, Option<RunRow>) {
        let gaps = store.page::<GapRow>(GapRow::latest(9)).await.expect("read");
        (gaps.into_iter().map(|GapRow(gap)| gap).collect(), store.get(RunRow::place()).await.expect("read"))
    }

    #[tokio::test]
    async fn a_gap_is_kept_until_it_is_on_the_disk_whatever_fails_before() {
        let (_folder, store) = left_open().await;
        let mut writing = Writing::new(Arc::new(Desk::new(0)), Store::closed("it is full"), SINCE);
        ask_and_hear(&mut writing).await;
        assert_eq!(writing.stand, Stand::Unread);
        writing.store = store.clone();
        ask_and_hear(&mut writing).await;
        let run = |settled_until, ended| Some(RunRow { settled_until, ended });
        assert_eq!((writing.stand, disk(&store).await), (Stand::Old, (vec![], run(BEFORE, false))));
        writing.store = Store::closed("it is full");
        ask_and_hear(&mut writing).await;
        writing.store = store.clone();
        ask_and_hear(&mut writing).await;
        let gap = Gap { from: BEFORE, to: SINCE };
        assert_eq!(disk(&store).await, (vec![gap], run(minute(SINCE), false)));
        assert_eq!((writing.stand, writing.gap), (Stand::Begun, None));
    }

    #[tokio::test]
    async fn the_end_is_written_also_behind_a_batch_that_is_under_way() {
        let (_folder, store) = left_open().await;
        let mut writing = Writing::new(Arc::new(Desk::new(0)), store.clone(), SINCE);
        writing.finish().await;
        let run = disk(&store).await.1.expect("written");
        assert!(run.ended, "nothing was written before");
        assert!(now().0 - run.settled_until.0 < 30, "nothing comes behind an end: {run:?}");
        let mut writing = Writing::new(Arc::new(Desk::new(1)), store.clone(), SINCE);
        ask_and_hear(&mut writing).await;
        writing.next().await;
        assert!(matches!(writing.under_way, Some(UnderWay::Writing(..))));
        writing.finish().await;
        assert_eq!(disk(&store).await.1.map(|run| run.ended), Some(true));
    }

    #[tokio::test]
    async fn minutes_that_were_given_up_are_a_gap_once_the_store_writes_again() {
        let (_folder, store) = left_open().await;
        let desk = Arc::new(Desk::new(0));
        let account = crate::usage::Account { subject: "alice".into(), label: None, door: "udp".into() };
        let traffic = crate::base::Traffic { bytes_from_client: 1, ..Default::default() };
        (0..2000).for_each(|number| desk.books().book(UnixTime(number * 60), &account, &traffic));
        let lost = desk.books().lost().expect("too many wait");
        let mut writing = Writing::new(desk.clone(), store.clone(), SINCE);
        writing.finish().await;
        let (gaps, _) = disk(&store).await;
        assert_eq!(gaps, [Gap { from: BEFORE, to: SINCE }, lost]);
        assert_eq!(desk.books().lost(), None);
    }

    #[tokio::test]
    async fn a_busy_store_neither_fails_nor_is_well_again() {
        let (_folder, store) = left_open().await;
        let mut writing = Writing::new(Arc::new(Desk::new(0)), store, SINCE);
        writing.fail(&StoreError::Busy);
        assert!(!writing.fails);
        writing.fail(&StoreError::Closed("it is full".into()));
        writing.fail(&StoreError::Busy);
        assert!(writing.fails);
    }
}
