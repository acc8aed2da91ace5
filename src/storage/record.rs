//! Values: a version and a checksum in front of JSON.
//!
//! ```text
//! version (1) checksum (8: XXH3-64 of key, version and payload, the lowest first) payload (JSON)
//! ```

use super::{Key, Table};
use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::Xxh3;

/// Bytes in front of the payload.
pub(super) const HEADER_BYTES: usize = 9;

/// A row of a table. Fields may be added with `#[serde(default)]`; another meaning wants another version.
pub trait Record: Serialize + DeserializeOwned + Send + 'static {
    /// Where it is.
    const TABLE: Table;
    /// What its payload means.
    const VERSION: u8 = 1;

    /// Under which key, which begins with its table.
    fn key(&self) -> Key;
}

/// Why a value cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadValue {
    /// Too short, or its checksum does not fit: it is not what was written under this key.
    Damaged,
    /// Of a version that this build does not know.
    Version(u8),
    /// Its payload is not what the table holds.
    Shape,
}

/// The value of a record under its key.
pub(super) fn seal<R: Record>(key: &Key, record: &R) -> Vec<u8> {
    let payload = serde_json::to_vec(record).expect("records have text keys and no foreign Serialize");
    let mut value = Vec::with_capacity(HEADER_BYTES + payload.len());
    value.push(R::VERSION);
    value.extend(checksum(key.as_bytes(), R::VERSION, &payload).to_le_bytes());
    value.extend(payload);
    value
}

/// Version and payload of a value whose checksum fits.
pub(super) fn check<'a>(key: &[u8], value: &'a [u8]) -> Result<(u8, &'a [u8]), BadValue> {
    let (header, payload) = value.split_first_chunk::<HEADER_BYTES>().ok_or(BadValue::Damaged)?;
    let [version, sum @ ..] = *header;
    let fits = u64::from_le_bytes(sum) == checksum(key, version, payload);
    fits.then_some((version, payload)).ok_or(BadValue::Damaged)
}

/// The record of a value.
pub(super) fn open<R: Record>(key: &[u8], value: &[u8]) -> Result<R, BadValue> {
    match check(key, value)? {
        (version, payload) if version == R::VERSION => {
            serde_json::from_slice(payload).map_err(|_| BadValue::Shape)
        }
        (version, _) => Err(BadValue::Version(version)),
    }
}

/// Version and payload of a stored value as the store reads it; `None` when it is not what was written under this key.
pub fn stored_payload<'a>(key: &[u8], value: &'a [u8]) -> Option<(u8, &'a [u8])> {
    check(key, value).ok()
}

fn checksum(key: &[u8], version: u8, payload: &[u8]) -> u64 {
    let mut sum = Xxh3::new();
    for part in [key, &[version], payload] {
        sum.update(part);
    }
    sum.digest()
}
