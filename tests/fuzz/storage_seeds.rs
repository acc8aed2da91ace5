//! Inputs of `stored_values` that people found interesting, by name: the length of the key, the key, the value; or a backup.

use serde::{Deserialize, Serialize};
use turnstone::storage::{Batch, Key, Record, Store, StoreSettings, Table, backup};

#[derive(Serialize, Deserialize)]
struct Row {
    name: String,
    text: String,
}

impl Record for Row {
    const TABLE: Table = Table::Users;

    fn key(&self) -> Key {
        Key::of(Self::TABLE).text(&self.name).number(7)
    }
}

/// Seeds of `stored_values`.
pub(crate) fn stored_values() -> Vec<(&'static str, Vec<u8>)> {
    let seed = |key: &[u8], value: &[u8]| [&[key.len() as u8], key, value].concat();
    let key = |name: &str| Row { name: name.into(), text: String::new() }.key();
    let some = backup_of(&["a", "b\0/\u{7f}"]);
    let row = some.windows(2).position(|bytes| bytes == b"\x02a").unwrap();
    // Behind the lengths: the key, then the value up to the end of its JSON.
    let end = row + some[row..].iter().position(|byte| *byte == b'}').unwrap() + 1;
    let key_length = key("a").as_bytes().len();
    let value = seed(&some[row..row + key_length], &some[row + key_length..end]);
    let mut other_version = value.clone();
    other_version[1 + key_length] += 1;
    vec![
        ("empty", Vec::new()),
        ("key", seed(key("alice").as_bytes(), b"")),
        ("key-with-zeros", seed(key("a\0\0b").as_bytes(), b"")),
        ("key-cut", seed(&key("alice").as_bytes()[..4], b"")),
        ("key-of-no-table", seed(b"\0\x01", b"")),
        ("key-not-utf8", seed(b"\x02\xff\xfe\0\x01", b"")),
        ("value", value.clone()),
        ("value-cut", value[..value.len() - 1].to_vec()),
        ("value-of-another-version", other_version),
        ("value-too-short", seed(key("a").as_bytes(), b"\x0112345678")),
        ("backup-of-nothing", backup_of(&[])),
        ("backup-cut", some[..some.len() - 5].to_vec()),
        ("backup-without-rows", some[..row - 8].to_vec()),
        ("backup", some),
    ]
}

fn backup_of(names: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&StoreSettings { path: folder.path().into(), probe: None }).unwrap();
    let rows = names.iter().map(|name| Row { name: (*name).into(), text: "text".into() });
    let batch = rows.fold(Batch::new(), |batch, row| batch.put(&row));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut bytes = Vec::new();
    runtime.block_on(async {
        store.commit(batch).await.unwrap();
        backup(&store, &mut bytes).await.unwrap();
    });
    bytes
}
