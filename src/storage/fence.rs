//! The fence: a small file beside the database that says up to which commit it must be complete.
//!
//! Two slots of 4096 bytes, each a [`Census`] and zeros. They are written in turn, so that a torn write leaves the other one
//! good, which is one commit older. Once a slot is on the disk the other one gets the same, without waiting for it: so that
//! the last commit is still known when one of them is damaged later.

use super::census::{BadCensus, Census};
use super::disk::DiskError;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

const SLOT_BYTES: usize = 4096;

/// The open file.
pub(super) struct Fence {
    file: File,
    /// The slot that may be overwritten: the other one is the newest good one.
    next: u64,
}

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one, while the store opens")]
pub(super) enum Fenced {
    /// There is no file.
    Missing,
    /// Neither slot can be read.
    Damaged,
    /// A newer build wrote it.
    Newer,
    /// The database holds this, or a later commit.
    At(Census),
}

impl Fence {
    /// Makes the file, for a database that holds `census`.
    pub(super) fn create(path: &Path, census: &Census) -> Result<Self, DiskError> {
        let file = open(path, true)?;
        file.set_len(0)?;
        file.set_len(2 * SLOT_BYTES as u64)?;
        let mut fence = Self { file, next: 0 };
        fence.write(census)?;
        fence.file.sync_all()?;
        Ok(fence)
    }

    /// Opens the file; [`Fence::write`] makes good what is not.
    pub(super) fn open(path: &Path) -> Result<Self, DiskError> {
        let file = open(path, false)?;
        let slots = slots(&file)?;
        let first_is_newest = matches!((&slots[0], &slots[1]), (Ok(a), Ok(b)) if a.commit >= b.commit)
            || (slots[0].is_ok() && slots[1].is_err());
        Ok(Self { file, next: u64::from(first_is_newest) })
    }

    /// Over once it is on the disk.
    pub(super) fn write(&mut self, census: &Census) -> Result<(), DiskError> {
        let mut slot = census.encode();
        slot.resize(SLOT_BYTES, 0);
        self.file.write_all_at(&slot, self.next * SLOT_BYTES as u64)?;
        self.file.sync_data()?;
        self.next = 1 - self.next;
        let _the_first_is_enough = self.file.write_all_at(&slot, self.next * SLOT_BYTES as u64);
        Ok(())
    }
}

/// What the file at `path` says.
pub(super) fn read(path: &Path) -> Result<Fenced, DiskError> {
    let slots = match OpenOptions::new().read(true).open(path) {
        Ok(file) => slots(&file)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Fenced::Missing),
        Err(error) => return Err(error.into()),
    };
    Ok(match slots {
        [Ok(a), Ok(b)] => Fenced::At(if a.commit >= b.commit { a } else { b }),
        [Err(BadCensus::Newer), _] | [_, Err(BadCensus::Newer)] => Fenced::Newer,
        [Ok(one), Err(_)] | [Err(_), Ok(one)] => Fenced::At(one),
        [Err(_), Err(_)] => Fenced::Damaged,
    })
}

fn slots(file: &File) -> io::Result<[Result<Census, BadCensus>; 2]> {
    let mut slots = [Err(BadCensus::Damaged); 2];
    for (slot, at) in slots.iter_mut().zip([0, SLOT_BYTES as u64]) {
        let mut bytes = [0; SLOT_BYTES];
        match file.read_exact_at(&mut bytes, at) {
            Ok(()) => *slot = Census::decode(&bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(error),
        }
    }
    Ok(slots)
}

fn open(path: &Path, create: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(create).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(commit: u64) -> Census {
        Census { commit, ..Census::default() }
    }

    #[test]
    fn a_torn_write_leaves_the_commit_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("fence");
        assert_eq!(read(&path), Ok(Fenced::Missing));
        drop(Fence::create(&path, &census(4)).expect("made"));
        for commit in 5..9 {
            let mut fence = Fence::open(&path).expect("opens");
            fence.write(&census(commit)).expect("written");
            assert_eq!(read(&path), Ok(Fenced::At(census(commit))));
            // The next one is torn, in the slot where it is written.
            let torn = fence.next * SLOT_BYTES as u64;
            fence.file.write_all_at(&[0xff; 100], torn).expect("written");
            assert_eq!(read(&path), Ok(Fenced::At(census(commit))));
        }
    }

    #[test]
    fn one_damaged_slot_hides_no_commit() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("fence");
        let mut fence = Fence::create(&path, &census(0)).expect("made");
        for (commit, slot) in (1..9).flat_map(|commit| [(commit, 0), (commit, 1)]) {
            fence.write(&census(commit)).expect("written");
            fence.file.write_all_at(&[0xff; 100], slot * SLOT_BYTES as u64).expect("written");
            assert_eq!(read(&path), Ok(Fenced::At(census(commit))));
            fence = Fence::open(&path).expect("opens");
        }
    }

    #[test]
    fn a_file_without_a_good_slot_is_damaged() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("fence");
        drop(Fence::create(&path, &census(4)).expect("made"));
        std::fs::write(&path, vec![0; 2 * SLOT_BYTES]).expect("written");
        assert_eq!(read(&path), Ok(Fenced::Damaged));
        std::fs::write(&path, b"").expect("written");
        assert_eq!(read(&path), Ok(Fenced::Damaged));
    }
}
