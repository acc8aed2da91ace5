//! The store as everybody else sees it.

use super::health::{Gauges, Health};
use super::opening;
use super::probe::Probe;
use super::record;
use super::snapshot::Snapshot;
use super::writer::{Job, Moment, Row, Rows, Watcher, Writer};
use super::{Batch, Key, Record, StoreError};
use crossbeam_channel::{Sender, TrySendError, bounded};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;

/// Jobs that may wait.
const JOBS_MAX: usize = 4096;
/// Bytes of batches that may wait.
pub const QUEUED_BYTES_MAX: usize = 32 << 20;
/// Records that are taken away at a time: others get their turn in between.
const RETAIN_STEP: usize = 512;

/// Where and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// The folder of the daemon's state (`storage.path`); the store is below it.
    pub path: PathBuf,
    /// The child process that opens the database first; `None` opens it in this one at once.
    pub probe: Option<Probe>,
}

/// A handle on the store, for any thread. See the module.
#[derive(Clone, Debug)]
pub struct Store {
    jobs: Option<Sender<Job>>,
    gauges: Arc<Gauges>,
}

/// A part of a table, in the order of its keys.
#[derive(Clone, Debug)]
pub struct Page {
    /// The first key that may be in it.
    pub from: Key,
    /// The first key that is behind it; `None` for the end of the database.
    pub to: Option<Key>,
    /// Records at most.
    pub limit: usize,
    /// The last ones, and from the last to the first.
    pub backwards: bool,
}

impl Page {
    /// The first `limit` records whose keys begin with `prefix`.
    pub fn of(prefix: Key, limit: usize) -> Self {
        Self { to: prefix.end(), from: prefix, limit, backwards: false }
    }
}

impl Store {
    /// Opens the store, or makes it, and starts its thread. All of it is read and checked before: it takes about a second
    /// for 100,000 records, and as long again in the child process.
    ///
    /// # Errors
    /// One sentence that says what is wrong with it and what to do.
    pub fn open(settings: &StoreSettings) -> Result<Self, StoreError> {
        Self::start(settings, None)
    }

    /// The same, and `watcher` is called on the store's thread at each moment of each commit. For tests that end the
    /// process there.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_watched(
        settings: &StoreSettings,
        watcher: impl FnMut(Moment) + Send + 'static,
    ) -> Result<Self, StoreError> {
        Self::start(settings, Some(Box::new(watcher)))
    }

    fn start(settings: &StoreSettings, watcher: Option<Watcher>) -> Result<Self, StoreError> {
        let closed = |why: String| StoreError::Closed(why.into());
        let opened = opening::open(settings).map_err(closed)?;
        let (jobs, inbox) = bounded(JOBS_MAX);
        let gauges = Arc::new(Gauges::new(None));
        let writer = Writer::new(opened, inbox, gauges.clone(), watcher);
        let thread = thread::Builder::new().name("storage".into()).spawn(move || writer.run());
        thread.map_err(|error| closed(format!("no thread: {error}")))?;
        Ok(Self { jobs: Some(jobs), gauges })
    }

    /// A store that answers everything with `why`.
    pub fn closed(why: impl Into<Arc<str>>) -> Self {
        let why = StoreError::Closed(why.into());
        Self { jobs: None, gauges: Arc::new(Gauges::new(Some(why))) }
    }

    /// Whether there is a store at all: one that could not be opened answers everything with why.
    pub fn is_open(&self) -> bool {
        self.jobs.is_some()
    }

    /// How it is. Waits for nothing.
    pub fn health(&self) -> Health {
        self.gauges.read()
    }

    /// Asks the thread for a sign of life; to be called at a steady pace. Waits for nothing: [`Store::health`] says
    /// [`StoreError::Stalled`] once some are missing, and no more when the thread goes on.
    pub fn beat(&self) {
        if self.gauges.ask_for_a_sign() {
            let gauges = self.gauges.clone();
            let done = move |answer: Result<_, _>| gauges.sign_is_back(answer.is_ok());
            self.submit(Job::Get(Vec::new(), Box::new(done)));
        }
    }

    /// Waits, on this thread, until everything that was handed over before is on the disk and the database is closed, for
    /// `time_limit` at most. `false` when it was not. From then on everything is answered with `Closed`.
    pub fn close(&self, time_limit: Duration) -> bool {
        let Some(jobs) = &self.jobs else { return true };
        let (sender, closed) = bounded(1);
        let is_sent = jobs.send_timeout(Job::Close(sender), time_limit);
        // Whoever else closed it dropped our job.
        !matches!(is_sent, Err(crossbeam_channel::SendTimeoutError::Timeout(_)))
            && !matches!(closed.recv_timeout(time_limit), Err(crossbeam_channel::RecvTimeoutError::Timeout))
    }

    /// Writes a batch; `done` is called on the store's thread once it is on the disk, or will never be.
    pub fn commit_then(&self, batch: Batch, done: impl FnOnce(Result<(), StoreError>) + Send + 'static) {
        self.submit(Job::Commit(batch, Box::new(done)));
    }

    /// Writes a batch; over once it is on the disk.
    ///
    /// # Errors
    /// It is not known to be there.
    pub async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.begin_commit(batch).await
    }

    /// The same, and the batch is handed over by the call itself: who calls under a lock has it written in the order of
    /// the lock, and nobody waits under the lock for the disk.
    pub fn begin_commit(&self, batch: Batch) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        let (sender, written) = oneshot::channel();
        self.commit_then(batch, move |result| {
            let _nobody_waits_any_more = sender.send(result);
        });
        let store = self.clone();
        async move { written.await.unwrap_or_else(|_| Err(store.gone())) }
    }

    /// As [`Self::commit`], for a thread without a runtime: waits for the disk.
    ///
    /// # Errors
    /// It is not known to be there.
    pub fn commit_blocking(&self, batch: Batch) -> Result<(), StoreError> {
        self.wait(|done| self.commit_then(batch, done))
    }

    /// Reads records; `done` is called on the store's thread. A damaged one is left out, counted and reported.
    pub fn page_then<R: Record>(
        &self,
        page: Page,
        done: impl FnOnce(Result<Vec<R>, StoreError>) + Send + 'static,
    ) {
        let gauges = self.gauges.clone();
        let done = move |found: Result<(Rows, bool), _>| done(found.map(|(rows, _)| records(&gauges, &rows)));
        self.submit(Job::Page(page, usize::MAX, Box::new(done)));
    }

    /// Reads records. A damaged one is left out, counted and reported.
    ///
    /// # Errors
    /// Nothing can be read.
    pub async fn page<R: Record>(&self, page: Page) -> Result<Vec<R>, StoreError> {
        Ok(self.page_within(page, usize::MAX).await?.0)
    }

    /// As [`Self::page`], for a thread without a runtime: waits for the store's thread.
    ///
    /// # Errors
    /// Nothing can be read.
    pub fn page_blocking<R: Record>(&self, page: Page) -> Result<Vec<R>, StoreError> {
        self.wait(|done| self.page_then(page, done))
    }

    /// Waits, on this thread, for the answer to what `ask` asks.
    fn wait<T: Send + 'static>(
        &self,
        ask: impl FnOnce(Box<dyn FnOnce(Result<T, StoreError>) + Send>),
    ) -> Result<T, StoreError> {
        let (sender, answer) = bounded(1);
        ask(Box::new(move |result| {
            let _nobody_waits_any_more = sender.send(result);
        }));
        answer.recv().unwrap_or_else(|_| Err(self.gone()))
    }

    /// Reads records of `bytes_max` bytes at most, keys and values together, but one at least; and whether the page had more
    /// than fit. For records whose size others choose: the store's thread walks no further.
    ///
    /// # Errors
    /// Nothing can be read.
    pub async fn page_within<R: Record>(
        &self,
        page: Page,
        bytes_max: usize,
    ) -> Result<(Vec<R>, bool), StoreError> {
        let (rows, is_cut) = self.answer(|done| Job::Page(page, bytes_max, done)).await?;
        Ok((records(&self.gauges, &rows), is_cut))
    }

    /// The record under `key`, if there is one.
    ///
    /// # Errors
    /// Nothing can be read, or it is damaged.
    pub async fn get<R: Record>(&self, key: Key) -> Result<Option<R>, StoreError> {
        let rows = self.answer(|done| Job::Get(vec![key], done)).await?;
        let row = rows.first().and_then(Option::as_ref);
        row.map(|(key, value)| {
            record::open(key, value).map_err(|_| {
                self.gauges.unreadable(R::TABLE);
                StoreError::Damaged
            })
        })
        .transpose()
    }

    /// The records under some keys, in their order; `None` where there is none, or a damaged one, which is counted and
    /// reported. The store's thread does nothing else meanwhile: some hundred keys at most.
    ///
    /// # Errors
    /// Nothing can be read.
    pub async fn get_each<R: Record>(&self, keys: Vec<Key>) -> Result<Vec<Option<R>>, StoreError> {
        let rows = self.answer(|done| Job::Get(keys, done)).await?;
        Ok(rows.iter().map(|row| readable(&self.gauges, row.as_ref()?)).collect())
    }

    /// Takes away all records from `from` up to, and without, `to`, a few at a time. Returns how many there were. With
    /// keys that begin with a time this is how a table forgets what is old.
    ///
    /// # Errors
    /// Some may still be there.
    pub async fn remove_range(&self, from: Key, to: Key) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let page =
                Page { from: from.clone(), to: Some(to.clone()), limit: RETAIN_STEP, backwards: false };
            let (rows, _) = self.answer(|done| Job::Page(page, usize::MAX, done)).await?;
            let batch = rows.iter().fold(Batch::new(), |batch, (key, _)| batch.delete(Key::of_bytes(key)));
            self.commit(batch).await?;
            removed += rows.len() as u64;
            if rows.len() < RETAIN_STEP {
                return Ok(removed);
            }
        }
    }

    /// A view of everything as it is now, which writes to come do not change.
    ///
    /// # Errors
    /// `Busy` when there are too many already.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let alive = Arc::new(());
        let reader = Arc::downgrade(&alive);
        let view = self.answer(|done| Job::View(reader, done)).await?;
        Ok(Snapshot::new(self.clone(), alive, view))
    }

    pub(super) async fn answer<T: Send + 'static>(
        &self,
        job: impl FnOnce(Box<dyn FnOnce(Result<T, StoreError>) + Send>) -> Job,
    ) -> Result<T, StoreError> {
        let (sender, answer) = oneshot::channel();
        let done = move |result| {
            let _nobody_waits_any_more = sender.send(result);
        };
        self.submit(job(Box::new(done)));
        answer.await.unwrap_or_else(|_| Err(self.gone()))
    }

    fn submit(&self, job: Job) {
        let Some(jobs) = &self.jobs else { return job.fail(self.gone()) };
        let (bytes, queued) = (job.bytes(), &self.gauges.bytes_queued);
        if queued.fetch_add(bytes, Relaxed) + bytes > QUEUED_BYTES_MAX {
            queued.fetch_sub(bytes, Relaxed);
            return job.fail(StoreError::Busy);
        }
        if let Err(refused) = jobs.try_send(job) {
            queued.fetch_sub(bytes, Relaxed);
            match refused {
                TrySendError::Full(job) => job.fail(StoreError::Busy),
                TrySendError::Disconnected(job) => job.fail(self.gone()),
            }
        }
    }

    /// Why there is nobody who answers.
    fn gone(&self) -> StoreError {
        match self.gauges.trouble() {
            Some(why @ StoreError::Closed(_)) => why,
            _ => StoreError::Closed("its thread has ended".into()),
        }
    }
}

fn records<R: Record>(gauges: &Gauges, rows: &[Row]) -> Vec<R> {
    rows.iter().filter_map(|row| readable(gauges, row)).collect()
}

fn readable<R: Record>(gauges: &Gauges, (key, value): &Row) -> Option<R> {
    let record = record::open(key, value);
    record.inspect_err(|_| gauges.unreadable(R::TABLE)).ok()
}
