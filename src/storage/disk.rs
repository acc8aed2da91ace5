//! What goes wrong with a disk, or with sled, in words.

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

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
