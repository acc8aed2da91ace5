//! The folder of the daemon's state, and what of it is the store's.
//!
//! ```text
//! store.lock        whoever has the store open holds a lock on it
//! store/database/   sled's
//! store/fence
//! store.restored/   the same, while a backup is being restored
//! store.before-*/   what was there before a backup was restored
//! ```

use super::disk::{DiskError, locked};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where everything is.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    root: PathBuf,
    store: PathBuf,
}

impl Folder {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.into(), store: root.join("store") }
    }

    /// The place where a restored store is put together.
    pub(super) fn restored(&self) -> Self {
        Self { root: self.root.clone(), store: self.root.join("store.restored") }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn store(&self) -> &Path {
        &self.store
    }

    pub(super) fn database(&self) -> PathBuf {
        self.store.join("database")
    }

    pub(super) fn fence(&self) -> PathBuf {
        self.store.join("fence")
    }

    pub(super) fn lock_file(&self) -> PathBuf {
        self.root.join("store.lock")
    }

    /// Locks the store for this process, and makes the folder of the state where it is missing. Errors are sentences.
    pub(super) fn lock(&self) -> Result<File, String> {
        let in_root = |error: io::Error| format!("{}: {}", self.root.display(), DiskError::from(error));
        make(&self.root).map_err(in_root)?;
        let path = self.lock_file();
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let file = options.open(&path).map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP) => format!("{}: is a link; take it away", path.display()),
            _ => format!("{}: {}", path.display(), DiskError::from(error)),
        })?;
        match locked(|error| matches!(error, TryLockError::WouldBlock), || file.try_lock()) {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(format!(
                "the store in {} is in use by another turnstone; stop that one first",
                self.root.display()
            )),
            Err(TryLockError::Error(error)) => Err(format!("{}: {error}", path.display())),
        }
    }

    /// Makes the folder of the store.
    pub(super) fn make_store(&self) -> Result<(), DiskError> {
        make(&self.store)?;
        Ok(sync(&self.root)?)
    }
}

/// Makes a folder, and those above it, for their owner alone. One that is there stays as it is.
fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// What was made, renamed or removed in a folder is so after a power cut too.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Whether something is there. What cannot be asked for counts as there: nothing is made over it.
pub(super) fn is_there(path: &Path) -> bool {
    !matches!(fs::symlink_metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound)
}
