//! Any bytes as a key, as a value under a key, and as a backup. The first byte says how long the key is.

use turnstone::storage::{Key, KeyReader, check_backup, stored_payload};

pub(crate) fn run(data: &[u8]) {
    check_archive(data);
    let Some((length, rest)) = data.split_first() else { return };
    let (key, value) = rest.split_at(usize::from(*length).min(rest.len()));
    check_key(key);
    check_value(key, value);
}

/// What is read of a key is what was written.
fn check_key(key: &[u8]) {
    let Some((table, mut reader)) = KeyReader::new(key) else { return };
    let Some(text) = reader.text() else { return };
    let again = Key::of(table).text(&text);
    assert!(key.starts_with(again.as_bytes()), "{text:?}");
    if let Some(number) = reader.number() {
        assert!(key.starts_with(again.number(number).as_bytes()), "{text:?} {number}");
    }
}

/// A good value is good nowhere else, and not with another last byte.
fn check_value(key: &[u8], value: &[u8]) {
    let Some((version, payload)) = stored_payload(key, value) else { return };
    assert_eq!((version, payload), (value[0], &value[9..]));
    assert_eq!(stored_payload(&[key, b"x"].concat(), value), None);
    let mut other = value.to_vec();
    *other.last_mut().unwrap() ^= 1;
    assert_eq!(stored_payload(key, &other), None);
}

/// A good backup is as long as it says.
fn check_archive(data: &[u8]) {
    if check_backup(data).is_ok() {
        assert!(check_backup(&data[..data.len() - 1]).is_err());
        assert!(check_backup(&*[data, b"x"].concat()).is_err());
    }
}
