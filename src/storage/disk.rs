//! What goes wrong with a disk, or with sled, in words.

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

/// How long a lock may stay held by a child process that is about to begin.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// How often it is tried.
const LOCK_EVERY: Duration = Duration::from_millis(5);

/// Why something was not read or written, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DiskError(pub(super) String);

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<io::Error> for DiskError {
    fn from(error: io::Error) -> Self {
        Self(match error.kind() {
            io::ErrorKind::StorageFull => "the disk is full".into(),
            io::ErrorKind::QuotaExceeded => "the disk quota is used up".into(),
            io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only".into(),
            _ => error.to_string(),
        })
    }
}

impl From<sled::Error> for DiskError {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) => error.into(),
            sled::Error::Corruption { .. } => Self("its file is damaged".into()),
            other => Self(other.to_string()),
        }
    }
}

/// Runs what sled does: it panics on some damage, and on some errors of the disk.
pub(super) fn guarded<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<T, DiskError>
where
    DiskError: From<E>,
{
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(DiskError::from),
        Err(panic) => Err(DiskError(format!("sled panicked: {}", said(&*panic)))),
    }
}

/// Takes a lock on a file. A process that another thread is starting right now has copies of all files of this one, and
/// with them their locks, until it runs its program: so what is locked is tried again for a moment.
pub(super) fn locked<T, E>(
    is_held: impl Fn(&E) -> bool,
    mut lock: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let began = Instant::now();
    loop {
        match lock() {
            Err(error) if is_held(&error) && began.elapsed() < LOCK_PATIENCE => {
                thread::park_timeout(LOCK_EVERY);
            }
            result => return result,
        }
    }
}

/// The first line of a panic, shortened.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
    first_line(text)
}

/// The first line of a text of unknown origin, fit for a sentence.
pub(super) fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(200).collect()
}
