//! sled, with what it leaves to others: panics are errors here, and what it calls flushed gets to the disk.

use super::disk::{DiskError, guarded, locked};
use super::folder::{is_there, sync};
use super::persist::Persister;
use sled::{Batch, Config, Db, IVec};
use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

/// Pages in memory; sled's own default is a gigabyte.
pub const CACHE_BYTES: u64 = 64 << 20;

/// Free bytes of the disk that no commit may touch.
const ROOM_BYTES: u64 = 16 << 20;
/// A changed page is written as a whole, sooner or later.
const CHANGE_FACTOR: u64 = 4;

/// An open database.
pub(super) struct Database {
    // Ends before the database does: it has a handle too.
    persister: Persister,
    db: Db,
    folder: PathBuf,
}

impl Database {
    /// Opens the database in this folder, or makes it.
    pub(super) fn open(folder: &Path) -> Result<Self, DiskError> {
        remove_unfinished(folder)?;
        // sled flushes by itself only what nobody was told of.
        let config = Config::new().path(folder).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let is_held = |error: &DiskError| error.0.contains("could not acquire lock");
        let db = locked(is_held, || guarded(|| config.open()))?;
        // sled leaves its parameters to the kernel, and opens nothing without them.
        File::open(folder.join("conf"))?.sync_all()?;
        sync(folder)?;
        let persister = Persister::start(config, db.clone(), folder)?;
        Ok(Self { persister, db, folder: folder.into() })
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

    /// Makes changes, all or none; over once they are on the disk. Behind an error nothing is known of them.
    pub(super) fn persist(&mut self, changes: Batch) -> Result<(), DiskError> {
        self.persister.persist(changes)
    }

    /// Whether the disk has room for so many bytes of changes. What sled does once it meets a full disk is best never
    /// seen: it takes no more writes, also when there is room again, and cannot read all that is in its pages.
    pub(super) fn has_room(&self, bytes: usize) -> Result<bool, DiskError> {
        let disk = rustix::fs::statvfs(&self.folder).map_err(io::Error::from)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        Ok(free >= ROOM_BYTES + CHANGE_FACTOR * bytes as u64)
    }

    /// Bytes of its files.
    pub(super) fn bytes(&self) -> u64 {
        bytes_below(&self.folder)
    }
}

/// Removes what a process left that was killed while sled was writing it: sled reads such files as if they were whole, and
/// calls the database damaged. A snapshot has its name once it is whole, and until then the one before it is there; the
/// parameters are written once, before there is a log.
fn remove_unfinished(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let has_log = is_there(&folder.join("db"));
    for entry in entries {
        let name = entry?.file_name();
        let bytes = name.as_encoded_bytes();
        let is_snapshot = bytes.starts_with(b"snap.") && bytes.ends_with(b".generating");
        if is_snapshot || (!has_log && bytes == b"conf") {
            fs::remove_file(folder.join(&name))?;
        }
    }
    Ok(())
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
