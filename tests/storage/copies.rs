//! Backups, exports, and the way back.

use super::history::{Contents, Last, Note, batch, checked, close, unchecked};
use aws_lc_rs::digest;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turnstone::storage::{
    Batch, CopyError, Key, Record, Restored, Store, StoreError, Table, backup, check_backup, export,
};

async fn store_behind(path: &Path, batches: u64) -> Store {
    let store = Store::open(&unchecked(path)).unwrap();
    for number in 1..=batches {
        store.commit(batch(5, number)).await.unwrap();
    }
    store
}

fn restore(state: &Path, file: &Path, dry_run: bool) -> Result<Restored, StoreError> {
    turnstone::storage::restore(state, file, File::open(file).unwrap(), dry_run)
}

/// A backup in a file.
async fn backup_of(store: &Store, file: &Path) -> u64 {
    let mut bytes = Vec::new();
    let copied = backup(store, &mut bytes).await.unwrap();
    assert_eq!((copied.bytes, copied.damaged), (bytes.len() as u64, 0));
    fs::write(file, bytes).unwrap();
    copied.records
}

#[tokio::test]
async fn a_backup_is_what_the_store_held_when_it_began() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_behind(folder.path(), 100).await;
    // Enough for many pieces, of which the small pipe lets a few through at a time.
    let many =
        (1000..9000).fold(Batch::new(), |batch, number| batch.put(&Note { number, text: "x".repeat(200) }));
    store.commit(many).await.unwrap();
    let wanted = Contents::read(&store).await.unwrap();
    let (mut reader, mut writer) = tokio::io::duplex(1000);
    let copying = store.clone();
    let task = tokio::spawn(async move {
        let copied = backup(&copying, &mut writer).await;
        writer.shutdown().await.unwrap();
        copied
    });
    // It has begun.
    let mut copy = vec![0; 500];
    reader.read_exact(&mut copy).await.unwrap();
    for number in 101..=300 {
        store.commit(batch(5, number)).await.unwrap();
    }
    let gone = (1000..9000)
        .fold(Batch::new(), |batch, number| batch.delete(Note { number, text: String::new() }.key()));
    store.commit(gone).await.unwrap();
    let changed = Contents::read(&store).await.unwrap();
    reader.read_to_end(&mut copy).await.unwrap();
    let copied = task.await.unwrap().unwrap();
    assert_eq!(check_backup(&*copy), Ok(copied.records));
    assert_ne!(wanted, changed);
    close(&store);

    let file = folder.path().join("copy");
    fs::write(&file, &copy).unwrap();
    let restored = restore(folder.path(), &file, false).unwrap();
    assert_eq!(restored.commit, 101);
    let store = Store::open(&checked(folder.path())).unwrap();
    assert_eq!(Contents::read(&store).await.unwrap(), wanted);
}

#[tokio::test]
async fn a_backup_that_is_overtaken_ends_and_is_not_taken_for_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_behind(folder.path(), 1).await;
    let note = |number, text: &str| Note { number, text: text.into() };
    for number in 0..80 {
        store.commit(Batch::new().put(&note(number, &"x".repeat(1 << 20)))).await.unwrap();
    }
    let (mut reader, mut writer) = tokio::io::duplex(1000);
    let copying = store.clone();
    let task = tokio::spawn(async move { backup(&copying, &mut writer).await });
    let mut copy = vec![0; 500];
    reader.read_exact(&mut copy).await.unwrap();
    // The view has to keep the old value of each that it did not read yet, 80 MiB in all.
    for number in 0..80 {
        store.commit(Batch::new().put(&note(number, "short"))).await.unwrap();
    }
    reader.read_to_end(&mut copy).await.unwrap();
    let ended = task.await.unwrap();
    assert!(matches!(ended, Err(CopyError::Store(StoreError::Overtaken))), "{ended:?}");
    assert!(check_backup(&*copy).is_err());
}

#[tokio::test]
async fn an_export_is_json_lines_with_their_count_and_checksum() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_behind(folder.path(), 50).await;
    let mut bytes = Vec::new();
    let copied = export(&store, &mut bytes).await.unwrap();
    let wanted = Contents::of(5, 50);
    let text = String::from_utf8(bytes).unwrap();
    let (body, last) = text.trim_end().rsplit_once('\n').unwrap();
    let body = format!("{body}\n");
    let last: serde_json::Value = serde_json::from_str(last).unwrap();
    let sum: String = digest::digest(&digest::SHA256, body.as_bytes())
        .as_ref()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(last, serde_json::json!({"records": copied.records, "sha256": sum}));
    let lines: Vec<serde_json::Value> =
        body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len() as u64, copied.records);
    let of = |table: &str| lines.iter().filter(|line| line["table"] == table).collect::<Vec<_>>();
    assert_eq!(of("messages").len(), wanted.notes.len());
    for line in of("users") {
        let name = line["value"]["name"].as_str().unwrap();
        assert_eq!(line["value"]["text"].as_str(), wanted.people.get(name).map(String::as_str));
        assert_eq!(line["version"], 1);
        let key: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(line["key"], format!("{key}0001"));
    }
}

#[tokio::test]
async fn a_restore_keeps_the_mode_and_moves_the_old_store_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (state, file) = (folder.path().join("state"), folder.path().join("copy"));
    let store = store_behind(&state, 30).await;
    let records = backup_of(&store, &file).await;
    store.commit(batch(5, 31)).await.unwrap();
    let running = restore(&state, &file, false).unwrap_err();
    assert!(running.to_string().contains("is in use by another turnstone"), "{running}");
    close(&store);
    fs::set_permissions(&state, fs::Permissions::from_mode(0o710)).unwrap();

    let tried = restore(&state, &file, true).unwrap();
    assert_eq!(tried.records.iter().map(|(_, records)| records).sum::<u64>(), records);
    assert!(tried.records.contains(&(Table::Conversations, 1)));
    let still = Store::open(&checked(&state)).unwrap();
    assert_eq!(Contents::read(&still).await.unwrap(), Contents::of(5, 31));
    close(&still);

    let restored = restore(&state, &file, false).unwrap();
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o710);
    let back = Store::open(&checked(&state)).unwrap();
    assert_eq!(Contents::read(&back).await.unwrap(), Contents::of(5, 30));
    close(&back);
    let aside = restored.moved_to.unwrap();
    fs::remove_dir_all(state.join("store")).unwrap();
    fs::rename(aside, state.join("store")).unwrap();
    let old = Store::open(&checked(&state)).unwrap();
    assert_eq!(Contents::read(&old).await.unwrap(), Contents::of(5, 31));
}

#[tokio::test]
async fn a_damaged_backup_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (state, file) = (folder.path().join("state"), folder.path().join("copy"));
    let store = store_behind(&state, 30).await;
    backup_of(&store, &file).await;
    close(&store);
    let good = fs::read(&file).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 16;
    for bad in [&good[..good.len() - 1], &flipped, b"", b"turnstone store\n\x02\0\0\0"] {
        fs::write(&file, bad).unwrap();
        let said = restore(&state, &file, false).unwrap_err().to_string();
        assert!(said.contains(&*file.to_string_lossy()), "{said}");
    }
    let names = |path: &Path| fs::read_dir(path).unwrap().count();
    assert_eq!(names(&state), 2, "the store and its lock");
    let still = Store::open(&checked(&state)).unwrap();
    assert_eq!(Contents::read(&still).await.unwrap(), Contents::of(5, 30));
}

#[tokio::test]
async fn a_restore_that_was_cut_short_is_told_and_can_be_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let (state, file) = (folder.path().join("state"), folder.path().join("copy"));
    let store = store_behind(&state, 30).await;
    backup_of(&store, &file).await;
    close(&store);
    // As between its two renames.
    fs::rename(state.join("store"), state.join("store.restored")).unwrap();
    let said = match Store::open(&checked(&state)) {
        Err(StoreError::Closed(said)) => said,
        other => panic!("{other:?}"),
    };
    assert!(said.contains("was cut short; run `turnstone restore FILE` again"), "{said}");
    assert_eq!(restore(&state, &file, false).unwrap().moved_to, None);
    let store = Store::open(&checked(&state)).unwrap();
    assert_eq!(Contents::read(&store).await.unwrap(), Contents::of(5, 30));
    assert_eq!(store.get::<Last>(Key::of(Table::Conversations)).await, Ok(Some(Last { batch: 30 })));
}
