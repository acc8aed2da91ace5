//! From a backup back to a store, while no daemon runs.

use super::archive::{Archive, Row};
use super::census::Census;
use super::check::META_KEY;
use super::database::Database;
use super::disk::DiskError;
use super::fence::Fence;
use super::folder::{self, Folder, is_there};
use super::{StoreError, Table};
use sled::Batch;
use std::fs::{self, File};
use std::io::{self, BufReader, Seek};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of records that are written at a time.
const STEP_BYTES: usize = 4 << 20;

/// What was restored, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The commit at which the backup was made.
    pub commit: u64,
    /// Records by table, of those that have some.
    pub records: Vec<(Table, u64)>,
    /// Where the store that was there before is now; `None` when there was none, or nothing was changed.
    pub moved_to: Option<PathBuf>,
}

/// Puts the backup `source`, which messages call `file`, in the place of the store below the folder of state at `path`. That
/// folder keeps its mode, and new files belong to who runs this: to whom the folder belongs, since who may write in it
/// decides where its paths lead to. The store that is there is moved aside. `dry_run` changes nothing but the lock.
///
/// All of the backup is checked before anything is changed, and all of the new store before it takes its place. Interrupted,
/// it leaves either store, or none that opens, and can be run again.
///
/// # Errors
/// [`StoreError::Closed`] with one sentence: a daemon runs, the backup is not good, or the disk is not.
pub fn restore(path: &Path, file: &Path, source: File, dry_run: bool) -> Result<Restored, StoreError> {
    attempt(path, file, source, dry_run).map_err(|sentence| StoreError::Closed(sentence.into()))
}

fn attempt(path: &Path, file: &Path, mut source: File, dry_run: bool) -> Result<Restored, String> {
    let of_file = |why: String| format!("{}: {why}", file.display());
    let census = read(&source, |_| Ok(())).map_err(of_file)?;
    if !is_there(path) {
        // Made by whoever runs this, it would belong to the wrong user.
        return Err(format!("{} does not exist; start the daemon once, and stop it", path.display()));
    }
    let target = Folder::new(path);
    let _lock = target.lock()?;
    let records = Table::ALL.into_iter().map(|table| (table, census.of(table).records));
    let records = records.filter(|(_, records)| *records > 0).collect();
    let mut restored = Restored { commit: census.commit, records, moved_to: None };
    if !dry_run {
        source.rewind().map_err(|error| of_file(error.to_string()))?;
        let new = target.restored();
        build(&new, &source, &census).map_err(|why| format!("{}: {why}", new.store().display()))?;
        restored.moved_to = replace(&target, &new).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(restored)
}

/// Reads a backup to its end, which is when it is known to be good.
fn read(source: &File, mut each: impl FnMut(Row) -> Result<(), String>) -> Result<Census, String> {
    let mut archive = Archive::open(BufReader::new(source))?;
    while let Some(row) = archive.next()? {
        each(row)?;
    }
    Ok(*archive.census())
}

fn build(new: &Folder, source: &File, census: &Census) -> Result<(), String> {
    let told = |error: DiskError| error.0;
    if is_there(new.store()) {
        // What is left of a restore that was cut short.
        fs::remove_dir_all(new.store()).map_err(|error| error.to_string())?;
    }
    new.make_store().map_err(told)?;
    let mut database = Database::open(&new.database()).map_err(told)?;
    let (mut step, mut bytes) = (Batch::default(), 0);
    let again = read(source, |row| {
        bytes += row.key.len() + row.value.len();
        step.insert(row.key, row.value);
        if bytes >= STEP_BYTES {
            bytes = 0;
            database.persist(std::mem::take(&mut step)).map_err(told)?;
        }
        Ok(())
    })?;
    if again != *census {
        return Err("the backup changed while it was read".into());
    }
    step.insert(META_KEY, census.encode());
    database.persist(step).map_err(told)?;
    drop(database);
    drop(Fence::create(&new.fence(), census).map_err(told)?);
    check(new)?;
    sync_folders(new).map_err(|error| error.to_string())
}

/// Opens what was written once more.
fn check(new: &Folder) -> Result<(), String> {
    let fenced = super::fence::read(&new.fence()).map_err(|error| error.0)?;
    let database = Database::open(&new.database()).map_err(|error| error.0)?;
    let found = super::check::scan(&database).map_err(|error| error.0)?;
    found.judge(&fenced).map(drop)
}

/// Has the names of all files on the disk.
fn sync_folders(new: &Folder) -> io::Result<()> {
    let mut folders = vec![new.store().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
        folder::sync(&folder)?;
    }
    Ok(())
}

/// Between the two renames there is no store, and the restored one beside its place: opening says so then.
fn replace(target: &Folder, new: &Folder) -> io::Result<Option<PathBuf>> {
    let moved_to = is_there(target.store()).then(|| free_name(target.root()));
    if let Some(aside) = &moved_to {
        fs::rename(target.store(), aside)?;
    }
    fs::rename(new.store(), target.store())?;
    folder::sync(target.root())?;
    Ok(moved_to)
}

fn free_name(root: &Path) -> PathBuf {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let mut names = (now_s..).map(|stamp| root.join(format!("store.before-{stamp}")));
    names.find(|path| !is_there(path)).unwrap_or_else(|| root.join("store.before"))
}
