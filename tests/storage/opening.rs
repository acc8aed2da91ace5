//! How a store opens, or says why it does not.

use super::history::{Contents, Person, await_release, batch, checked, close, unchecked};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;
use turnstone::storage::{Probe, Record, Store, StoreError, StoreSettings, Table};

/// A closed store behind 60 batches.
async fn some_store(path: &Path) -> Contents {
    let store = Store::open(&unchecked(path)).unwrap();
    for number in 1..=60 {
        store.commit(batch(3, number)).await.unwrap();
    }
    close(&store);
    Contents::of(3, 60)
}

fn sentence(settings: &StoreSettings) -> String {
    let opened = Store::open(settings);
    await_release();
    match opened {
        Err(StoreError::Closed(sentence)) => sentence.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_folder_of_the_state_is_made_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("var/lib/turnstone");
    close(&Store::open(&checked(&path)).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    // One that is there stays as its admin made it.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
    close(&Store::open(&checked(&path)).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o750);
}

#[tokio::test]
async fn a_second_daemon_is_told_that_the_store_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let first = Store::open(&checked(folder.path())).unwrap();
    let said = sentence(&checked(folder.path()));
    assert!(said.ends_with("is in use by another turnstone; stop that one first"), "{said}");
    close(&first);
    close(&Store::open(&checked(folder.path())).unwrap());
}

#[tokio::test]
async fn a_store_that_was_checked_by_the_child_opens_with_all_it_held() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = some_store(folder.path()).await;
    let store = Store::open(&checked(folder.path())).unwrap();
    assert_eq!(Contents::read(&store).await.unwrap(), wanted);
}

#[tokio::test]
async fn a_snapshot_that_was_not_written_to_its_end_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = some_store(folder.path()).await;
    // sled writes one when it opens what is behind the last.
    close(&Store::open(&unchecked(folder.path())).unwrap());
    let database = folder.path().join("store/database");
    let names =
        fs::read_dir(&database).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let snapshot = names.filter(|name| name.starts_with("snap.")).max().expect("sled has written one");
    let whole = fs::read(database.join(&snapshot)).unwrap();
    for (name, bytes) in [
        (format!("{snapshot}.generating"), &whole[..whole.len() / 2]),
        ("snap.00000000FFFFFFFF.generating".into(), &whole[..0]),
    ] {
        for settings in [checked(folder.path()), unchecked(folder.path())] {
            fs::write(database.join(&name), bytes).unwrap();
            let store = Store::open(&settings).unwrap();
            assert_eq!(Contents::read(&store).await.unwrap(), wanted);
            close(&store);
        }
    }
}

#[tokio::test]
async fn parameters_that_were_cut_short_at_the_very_first_opening_are_written_again() {
    let folder = tempfile::tempdir().unwrap();
    close(&Store::open(&unchecked(folder.path())).unwrap());
    let database = folder.path().join("store/database");
    let parameters = fs::read(database.join("conf")).unwrap();
    for length in 0..parameters.len() {
        fs::remove_dir_all(&database).unwrap();
        fs::create_dir_all(database.join("blobs")).unwrap();
        fs::write(database.join("conf"), &parameters[..length]).unwrap();
        let store =
            Store::open(&unchecked(folder.path())).unwrap_or_else(|error| panic!("{length}: {error}"));
        store.commit(batch(3, 1)).await.unwrap();
        close(&store);
        fs::remove_dir_all(folder.path().join("store")).unwrap();
        close(&Store::open(&unchecked(folder.path())).unwrap());
    }
    assert!(parameters.len() > 20, "{parameters:?}");
}

#[tokio::test]
async fn a_child_that_takes_too_long_or_dies_leaves_the_store_closed_with_its_numbers() {
    let folder = tempfile::tempdir().unwrap();
    some_store(folder.path()).await;
    let program = |program: &str, arguments: &[&str]| StoreSettings {
        path: folder.path().into(),
        probe: Some(Probe {
            program: program.into(),
            arguments: arguments.iter().map(Into::into).collect(),
            time_limit: Duration::from_millis(300),
        }),
    };
    let hangs = sentence(&program("sh", &["-c", "exec sleep 60"]));
    assert!(hangs.contains("the check was not done after 0.3 s; commit 60 with"), "{hangs}");
    let dies = sentence(&program("sh", &["-c", "kill -ABRT $$"]));
    assert!(dies.contains("the check ended with signal: 6"), "{dies}");
    let absent = sentence(&program("/nonexistent/turnstone", &[]));
    assert!(absent.contains("/nonexistent/turnstone does not start"), "{absent}");
    for said in [hangs, dies, absent] {
        assert!(
            said.contains("users") && said.ends_with("run `turnstone restore FILE` with a backup"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_lost_record_is_told_in_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = some_store(folder.path()).await;
    let name = wanted.people.keys().next().unwrap();
    with_sled(folder.path(), |db| {
        let key = Person { name: name.clone(), text: String::new() }.key();
        assert!(db.remove(key.as_bytes()).unwrap().is_some());
    });
    let people = wanted.people.len();
    for settings in [checked(folder.path()), unchecked(folder.path())] {
        let said = sentence(&settings);
        assert!(said.contains(&format!("(users {} of {people})", people - 1)), "{said}");
    }
}

#[tokio::test]
async fn an_older_copy_of_the_database_is_told_from_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    some_store(folder.path()).await;
    let older = folder.path().join("older");
    copy(&folder.path().join("store/database"), &older);
    let store = Store::open(&unchecked(folder.path())).unwrap();
    store.commit(batch(3, 61)).await.unwrap();
    close(&store);
    fs::remove_dir_all(folder.path().join("store/database")).unwrap();
    fs::rename(&older, folder.path().join("store/database")).unwrap();
    let said = sentence(&checked(folder.path()));
    assert!(said.contains("it ends at commit 60 and commit 61 was acknowledged"), "{said}");
}

#[tokio::test]
async fn without_its_database_or_its_fence_a_store_does_not_begin_anew() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = some_store(folder.path()).await;
    let (database, fence) = (folder.path().join("store/database"), folder.path().join("store/fence"));
    let aside = folder.path().join("aside");
    fs::rename(&fence, &aside).unwrap();
    let said = sentence(&checked(folder.path()));
    assert!(said.contains("at commit 60, but its fence file is missing"), "{said}");
    fs::rename(&aside, &fence).unwrap();
    fs::rename(&database, &aside).unwrap();
    let said = sentence(&checked(folder.path()));
    let all = wanted.people.len() + wanted.notes.len() + 1;
    assert!(said.contains(&format!("0 of {all} records")), "{said}");
}

#[tokio::test]
async fn a_damaged_value_is_set_aside_and_all_others_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let mut wanted = some_store(folder.path()).await;
    let name = wanted.people.keys().next().unwrap().clone();
    damage(folder.path(), &name, |value| *value.last_mut().unwrap() ^= 1);
    wanted.people.remove(&name);
    for _ in 0..2 {
        let store = Store::open(&checked(folder.path())).unwrap();
        assert_eq!(Contents::read(&store).await.unwrap(), wanted);
        let health = store.health();
        let users = health.tables.iter().find(|row| row.table == Table::Users).unwrap();
        assert_eq!((users.set_aside, users.records), (1, wanted.people.len() as u64));
        assert_eq!(health.damaged(), 1);
        close(&store);
    }
}

#[tokio::test]
async fn a_value_whose_header_is_damaged_closes_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = some_store(folder.path()).await;
    damage(folder.path(), wanted.people.keys().next().unwrap(), |value| value[3] ^= 1);
    let said = sentence(&checked(folder.path()));
    assert!(said.contains("users") && said.contains("some are not as they were written"), "{said}");
}

fn damage(folder: &Path, name: &str, how: impl Fn(&mut Vec<u8>)) {
    with_sled(folder, |db| {
        let key = Person { name: name.into(), text: String::new() }.key();
        let mut value = db.get(key.as_bytes()).unwrap().unwrap().to_vec();
        how(&mut value);
        db.insert(key.as_bytes(), value).unwrap();
    });
}

fn with_sled(folder: &Path, work: impl FnOnce(&sled::Db)) {
    let db = sled::open(folder.join("store/database")).unwrap();
    work(&db);
    db.flush().unwrap();
    drop(db);
    await_release();
}

/// Copies a folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
