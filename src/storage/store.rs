//! The store as everybody else sees it.

use super::record::{self, BadValue};
use super::writer::{Job, Writer};
use super::{Batch, Key, Record, StoreError};
use crossbeam_channel::{Sender, TrySendError};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Jobs that may wait.
const JOBS_MAX: usize = 4096;

/// Where and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// The folder of the daemon's state (`storage.path`); the database is below it.
    pub path: PathBuf,
}

/// A handle on the store, for any thread. See the module.
#[derive(Clone, Debug)]
pub struct Store {
    jobs: Result<Sender<Job>, StoreError>,
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
    /// Opens the database, or makes it, and starts the thread.
    ///
    /// # Errors
    /// One sentence that says what is wrong with it and what to do.
    pub fn open(settings: &StoreSettings) -> Result<Self, StoreError> {
        let (jobs, inbox) = crossbeam_channel::bounded(JOBS_MAX);
        Writer::start(settings, inbox)?;
        Ok(Self { jobs: Ok(jobs) })
    }

    /// A store that answers everything with `why`.
    pub fn closed(why: impl Into<Arc<str>>) -> Self {
        Self { jobs: Err(StoreError::Closed(why.into())) }
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
        self.answer(|done| Job::Commit(batch, done)).await
    }

    /// Reads records; `done` is called on the store's thread. A damaged one is left out, counted and reported.
    pub fn page_then<R: Record>(
        &self,
        page: Page,
        done: impl FnOnce(Result<Vec<R>, StoreError>) + Send + 'static,
    ) {
        let done = move |rows: Result<Vec<_>, _>| done(rows.map(|rows| records(&rows)));
        self.submit(Job::Page(page, Box::new(done)));
    }

    /// Reads records. A damaged one is left out, counted and reported.
    ///
    /// # Errors
    /// Nothing can be read.
    pub async fn page<R: Record>(&self, page: Page) -> Result<Vec<R>, StoreError> {
        Ok(records(&self.answer(|done| Job::Page(page, done)).await?))
    }

    /// The record under `key`, if there is one.
    ///
    /// # Errors
    /// Nothing can be read, or it is damaged.
    pub async fn get<R: Record>(&self, key: Key) -> Result<Option<R>, StoreError> {
        let page = Page { to: key.end(), from: key.clone(), limit: 1, backwards: false };
        let rows = self.answer(|done| Job::Page(page, done)).await?;
        let row = rows.first().filter(|(found, _)| **found == *key.as_bytes());
        row.map(|(key, value)| record::open(key, value))
            .transpose()
            .map_err(|_: BadValue| StoreError::Damaged)
    }

    async fn answer<T: Send + 'static>(
        &self,
        job: impl FnOnce(Box<dyn FnOnce(Result<T, StoreError>) + Send>) -> Job,
    ) -> Result<T, StoreError> {
        let (sender, answer) = oneshot::channel();
        let done = move |result| {
            let _nobody_waits_any_more = sender.send(result);
        };
        self.submit(job(Box::new(done)));
        answer.await.unwrap_or_else(|_| Err(StoreError::Closed("its thread has ended".into())))
    }

    fn submit(&self, job: Job) {
        match &self.jobs {
            Err(why) => job.fail(why.clone()),
            Ok(jobs) => match jobs.try_send(job) {
                Ok(()) => {}
                Err(TrySendError::Full(job)) => job.fail(StoreError::Busy),
                Err(TrySendError::Disconnected(job)) => {
                    job.fail(StoreError::Closed("its thread has ended".into()));
                }
            },
        }
    }
}

fn records<R: Record>(rows: &[(Box<[u8]>, Box<[u8]>)]) -> Vec<R> {
    rows.iter().filter_map(|(key, value)| record::open(key, value).ok()).collect()
}
