//! A store on a file system that is full, or read-only. Both are small ones in memory, made here by root.
//!
//! What happens to sled's threads on a full disk happens to all databases of the process, so that test has one of its own.

use super::history::{Contents, Note, batch, checked, close, unchecked};
use super::skip::skip;
use std::env;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use turnstone::storage::{Batch, Moment, Store, StoreError, backup, check_backup};

const SEED: u64 = 9;
/// The folder, for the process that has the full disk.
const ALONE: &str = "TURNSTONE_TEST_FULL_DISK";
/// What fills it.
const FILLER: &str = "filler";

/// A file system of its own, gone with this value.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new(test: &str, size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size},mode=0700");
        let mounted = rustix::process::geteuid().is_root()
            && run(
                "mount",
                &["-t", "tmpfs", "-o", &options, "turnstone-test", &folder.path().to_string_lossy()],
            );
        if !mounted {
            skip(test, "needs root and the right to mount a tmpfs");
        }
        mounted.then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, options: &str) {
        assert!(
            run("mount", &["-o", &format!("remount,{options}"), &self.path().to_string_lossy()]),
            "{options}"
        );
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a test that failed may still have files open.
        run("umount", &["-l", &self.path().to_string_lossy()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_takes_them_again_once_there_is_room() {
    let test = "full::a_full_disk_refuses_writes_and_takes_them_again_once_there_is_room";
    let Some(mount) = Mount::new(test, "32m") else { return };
    let store = Store::open(&checked(mount.path())).unwrap();
    let mut wanted = Contents::default();
    let mut number = 0;
    let failed = loop {
        number += 1;
        let filler = Note { number: 1000 + number, text: "x".repeat(60_000) };
        match store.commit(batch(SEED, number).put(&filler)).await {
            Ok(()) => {
                wanted.after(SEED, number);
                wanted.notes.insert(filler.number, filler.text);
            }
            Err(error) => break error,
        }
    };
    assert_eq!(failed, StoreError::Full("the disk is full".into()));
    assert!(number > 10, "it took some");
    assert_eq!(store.health().trouble, Some(failed));
    // Reads go on, and so does a backup.
    assert!(Contents::read(&store).await.unwrap() == wanted);
    let mut copy = Vec::new();
    let copied = backup(&store, &mut copy).await.unwrap();
    assert_eq!((copied.commit, check_backup(&*copy)), (number - 1, Ok(copied.records)));

    mount.remount("size=96m");
    store.commit(batch(SEED, number)).await.unwrap();
    wanted.after(SEED, number);
    assert_eq!(store.health().trouble, None);
    close(&store);
    let store = Store::open(&checked(mount.path())).unwrap();
    assert!(Contents::read(&store).await.unwrap() == wanted);
    close(&store);
}

#[tokio::test]
async fn a_disk_that_fills_up_under_a_write_poisons_the_store_and_loses_nothing_acknowledged() {
    let test = "full::a_disk_that_fills_up_under_a_write_poisons_the_store_and_loses_nothing_acknowledged";
    if let Some(folder) = env::var_os(ALONE) {
        return fill_up_under_a_write(Path::new(&folder)).await;
    }
    let Some(mount) = Mount::new(test, "128m") else { return };
    let mut alone = Command::new(env::current_exe().unwrap());
    let alone = alone.args([test, "--exact", "--nocapture"]).env(ALONE, mount.path()).output().unwrap();
    assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stderr));
    let said = String::from_utf8(alone.stdout).unwrap();
    let number: u64 = said.lines().find_map(|line| line.strip_prefix("failed ")?.parse().ok()).unwrap();

    fs::remove_file(mount.path().join(FILLER)).unwrap();
    // Sled's lock on the files went with the process.
    let store = Store::open(&checked(mount.path())).unwrap();
    let mut found = Contents::read(&store).await.unwrap();
    found.notes.retain(|number, _| *number < 1000);
    // The batch that failed may be there, whole.
    assert!(number - 1 <= found.last && found.last <= number, "{number} failed, {} found", found.last);
    assert!(found == Contents::of(SEED, found.last));
    store.commit(batch(SEED, number + 1)).await.unwrap();
    close(&store);
}

/// Says which batch failed.
async fn fill_up_under_a_write(folder: &Path) {
    let filler = folder.join(FILLER);
    // Somebody else writes between the look at the free space and the write.
    let fill = move |moment| {
        if moment == Moment::Begun(20) {
            let mut file = fs::File::create(&filler).unwrap();
            while file.write_all(&[0; 4096]).is_ok() {}
        }
    };
    let store = Store::open_watched(&checked(folder), fill).unwrap();
    let mut number = 0;
    let failed = loop {
        number += 1;
        // Another one each time: what is thrown away makes no room for it.
        let large = Note { number: 1000 + number, text: "x".repeat(600_000) };
        if let Err(error) = store.commit(batch(SEED, number).put(&large)).await {
            break error;
        }
    };
    assert_eq!(failed, StoreError::Poisoned("the disk is full".into()));
    assert_eq!(store.health().trouble, Some(failed.clone()));
    assert_eq!(store.commit(Batch::new()).await, Err(failed));
    close(&store);
    // On a line of its own: the harness has begun one.
    println!("\nfailed {number}");
}

#[tokio::test]
async fn a_read_only_disk_is_told_and_the_store_opens_once_it_is_writable() {
    let test = "full::a_read_only_disk_is_told_and_the_store_opens_once_it_is_writable";
    let Some(mount) = Mount::new(test, "64m") else { return };
    let store = Store::open(&unchecked(mount.path())).unwrap();
    store.commit(batch(SEED, 1)).await.unwrap();
    close(&store);
    mount.remount("ro");
    let said = Store::open(&checked(mount.path())).unwrap_err().to_string();
    assert!(said.contains("the file system is read-only") && !said.contains("damaged"), "{said}");
    mount.remount("rw");
    let store = Store::open(&checked(mount.path())).unwrap();
    assert_eq!(Contents::read(&store).await.unwrap(), Contents::of(SEED, 1));
    close(&store);
}
