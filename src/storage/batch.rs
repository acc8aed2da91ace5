//! What is written together.

use super::record::seal;
use super::{Key, Record};

/// Changes that all happen or none. The later of two under one key counts.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(super) changes: Vec<(Key, Option<Vec<u8>>)>,
}

impl Batch {
    /// No change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a record under its key, over what was there.
    pub fn put<R: Record>(mut self, record: &R) -> Self {
        let key = record.key();
        let value = seal(&key, record);
        self.changes.push((key, Some(value)));
        self
    }

    /// Takes the record under `key` away, if there is one.
    pub fn delete(mut self, key: Key) -> Self {
        self.changes.push((key, None));
        self
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Bytes of its keys and values.
    pub fn bytes(&self) -> usize {
        self.changes
            .iter()
            .map(|(key, value)| key.as_bytes().len() + value.as_ref().map_or(0, Vec::len))
            .sum()
    }
}
