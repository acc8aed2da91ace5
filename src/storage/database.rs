//! sled, with what it leaves to others: panics are errors here, and what it calls flushed gets to the disk.

use super::disk::{DiskError, guarded};
use sled::{Batch, Db, IVec};
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

/// Pages in memory; sled's own default is a gigabyte.
const CACHE_BYTES: u64 = 64 << 20;

/// An open database.
pub(super) struct Database {
    db: Db,
    /// sled's log, to be synced by us: on Linux its own flush ends in `sync_file_range`, which leaves the length of the file
    /// and the cache of the disk alone.
    log: File,
    folder: PathBuf,
    /// Large pages are files of their own, which sled never syncs.
    synced_blobs: HashSet<OsString>,
}

impl Database {
    /// Opens the database in this folder, or makes it.
    pub(super) fn open(folder: &Path) -> Result<Self, DiskError> {
        // sled flushes by itself only what nobody was told of.
        let config = sled::Config::new().path(folder).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let db = guarded(|| config.open())?;
        let log = File::open(folder.join("db"))?;
        Ok(Self { db, log, folder: folder.into(), synced_blobs: HashSet::new() })
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<IVec>, DiskError> {
        guarded(|| self.db.get(key))
    }

    /// Hands over the rows from `from` to `to` until `each` says `false`.
    pub(super) fn walk(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        backwards: bool,
        mut each: impl FnMut(IVec, IVec) -> bool,
    ) -> Result<(), DiskError> {
        guarded(|| {
            let mut range = self.db.range::<&[u8], _>((from, to));
            while let Some(row) = if backwards { range.next_back() } else { range.next() } {
                let (key, value) = row?;
                if !each(key, value) {
                    break;
                }
            }
            Ok::<_, sled::Error>(())
        })
    }

    /// Makes changes, all or none; they are not on the disk yet.
    pub(super) fn apply(&self, changes: Batch) -> Result<(), DiskError> {
        guarded(|| self.db.apply_batch(changes))
    }

    /// Over once all changes are on the disk.
    pub(super) fn sync(&mut self) -> Result<(), DiskError> {
        guarded(|| self.db.flush())?;
        self.sync_blobs()?;
        Ok(self.log.sync_data()?)
    }

    fn sync_blobs(&mut self) -> Result<(), DiskError> {
        let folder = self.folder.join("blobs");
        let (mut there, mut new) = (HashSet::new(), false);
        for blob in fs::read_dir(&folder)? {
            let name = blob?.file_name();
            if !self.synced_blobs.contains(&name) {
                new = true;
                sync_if_there(&folder.join(&name))?;
            }
            there.insert(name);
        }
        self.synced_blobs = there;
        if new { Ok(File::open(&folder)?.sync_all()?) } else { Ok(()) }
    }

    /// Bytes of its files.
    pub(super) fn bytes(&self) -> u64 {
        bytes_below(&self.folder)
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

/// Bytes of the files in a folder and one level below it; what cannot be read counts nothing.
pub(super) fn bytes_below(folder: &Path) -> u64 {
    let files = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    files(folder)
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => {
                files(&entry.path()).flat_map(|entry| entry.metadata()).map(|data| data.len()).sum()
            }
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}
