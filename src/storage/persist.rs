//! Getting changes to the disk, on a thread that may stand still for ever.
//!
//! sled writes on threads of its own. When one of them meets an error while a flush waits for it, the flush is not woken; when
//! one panics, nothing is ever said. So the flush has a thread beside the store's own, which watches: it wakes the flush once
//! sled knows of an error, and gives up on a disk that says nothing.

use super::disk::{DiskError, guarded};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use sled::{Batch, Config, Db};
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long the disk may say nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often sled is asked whether it has met an error, once a flush takes longer than that.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// The other thread, seen from the store's.
pub(super) struct Persister {
    config: Config,
    db: Option<Db>,
    work: Option<Sender<Batch>>,
    done: Receiver<Result<(), DiskError>>,
    /// `None` behind an error: then neither the thread nor the database is waited for.
    thread: Option<JoinHandle<()>>,
}

impl Persister {
    pub(super) fn start(config: Config, db: Db, folder: &Path) -> Result<Self, DiskError> {
        let (work, batches) = bounded(1);
        let (sender, done) = bounded(1);
        let mut flusher = Flusher::new(db.clone(), folder)?;
        let thread = thread::Builder::new().name("storage-flush".into()).spawn(move || {
            for batch in batches {
                let _nobody_waits = sender.send(flusher.persist(batch));
            }
        })?;
        Ok(Self { config, db: Some(db), work: Some(work), done, thread: Some(thread) })
    }

    /// Makes these changes, all or none; over once they are on the disk. An error is the last thing that is heard: the
    /// database is given up, and stays locked until the process ends.
    pub(super) fn persist(&mut self, changes: Batch) -> Result<(), DiskError> {
        let result = self.await_persisted(changes);
        if result.is_err() {
            self.thread = None;
            self.work = None;
        }
        result
    }

    fn await_persisted(&self, changes: Batch) -> Result<(), DiskError> {
        let gone = || DiskError("an earlier write did not end".into());
        self.work.as_ref().ok_or_else(gone)?.send(changes).map_err(|_| gone())?;
        let began = Instant::now();
        loop {
            match self.done.recv_timeout(WATCH_EVERY) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
                Err(RecvTimeoutError::Timeout) if began.elapsed() > PATIENCE => {
                    return Err(DiskError(format!("the disk has not answered for {} s", PATIENCE.as_secs())));
                }
                Err(RecvTimeoutError::Timeout) => self.wake(),
            }
        }
    }

    /// With an error at hand, another flush does not wait, but tells those that do.
    fn wake(&self) {
        if let Some(db) = self.db.as_ref().filter(|_| self.config.global_error().is_err()) {
            let _same_error = guarded(|| db.flush());
        }
    }
}

impl Drop for Persister {
    fn drop(&mut self) {
        self.work = None;
        match self.thread.take() {
            Some(thread) => drop(thread.join()),
            // To close what stands still would stand still too, and sled that has met an error may: it waits for writes
            // that do not come.
            None => std::mem::forget(self.db.take()),
        }
    }
}

/// What the other thread has.
struct Flusher {
    db: Db,
    /// sled's log, to be synced by us: on Linux its own flush ends in `sync_file_range`, which leaves the length of the file
    /// and the cache of the disk alone.
    log: File,
    blobs: PathBuf,
    /// Large pages are files of their own, which sled never syncs.
    synced_blobs: HashSet<OsString>,
}

impl Flusher {
    fn new(db: Db, folder: &Path) -> io::Result<Self> {
        let log = File::open(folder.join("db"))?;
        Ok(Self { db, log, blobs: folder.join("blobs"), synced_blobs: HashSet::new() })
    }

    fn persist(&mut self, changes: Batch) -> Result<(), DiskError> {
        guarded(|| self.db.apply_batch(changes))?;
        guarded(|| self.db.flush())?;
        self.sync_blobs()?;
        Ok(self.log.sync_data()?)
    }

    fn sync_blobs(&mut self) -> io::Result<()> {
        let (mut there, mut new) = (HashSet::new(), false);
        for blob in fs::read_dir(&self.blobs)? {
            let name = blob?.file_name();
            if !self.synced_blobs.contains(&name) {
                new = true;
                sync_if_there(&self.blobs.join(&name))?;
            }
            there.insert(name);
        }
        self.synced_blobs = there;
        if new { File::open(&self.blobs)?.sync_all() } else { Ok(()) }
    }
}

/// sled may have thrown it away meanwhile.
fn sync_if_there(path: &Path) -> io::Result<()> {
    match File::open(path) {
        Ok(file) => file.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
