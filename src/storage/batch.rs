//! What is written together.

use super::record::{open, seal};
use super::{Key, Record};

/// Changes that all happen or none. The later of two under one key counts.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(super) changes: Vec<Change>,
    /// Keys and what they hold, or nothing of it happens.
    pub(super) conditions: Vec<(Key, Vec<u8>)>,
}

/// Given a key, its value by then and the new one, says whether the former stays.
pub(super) type Stays = fn(&[u8], &[u8], &[u8]) -> bool;

/// What becomes of one key.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) key: Key,
    /// `None` takes it away.
    pub(super) value: Option<Vec<u8>>,
    /// Without it the new one is written.
    pub(super) stays: Option<Stays>,
}

/// A record that shall only go forward.
pub trait Progress: Record {
    /// How far it is.
    fn progress(&self) -> u64;
}

fn is_as_far<R: Progress>(key: &[u8], old: &[u8], new: &[u8]) -> bool {
    let progress = |value| open::<R>(key, value).ok().map(|record| record.progress());
    progress(old) >= progress(new)
}

impl Batch {
    /// No change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a record under its key, over what was there.
    pub fn put<R: Record>(self, record: &R) -> Self {
        self.change(record, None)
    }

    /// Writes a record under its key, unless there is one. The store's thread looks, so nobody comes between.
    pub fn put_new<R: Record>(self, record: &R) -> Self {
        self.change(record, Some(|_, _, _| true))
    }

    /// Writes a record under its key, unless the one that is there is as far. The store's thread looks, so nobody comes
    /// between.
    pub fn put_further<R: Progress>(self, record: &R) -> Self {
        self.change(record, Some(is_as_far::<R>))
    }

    /// None of it happens unless the store holds this very record when all before is written. The store's thread looks, so
    /// nobody comes between. Nobody is told which it was: who has to know reads again.
    pub fn only_while<R: Record>(mut self, record: &R) -> Self {
        let key = record.key();
        let value = seal(&key, record);
        self.conditions.push((key, value));
        self
    }

    fn change<R: Record>(mut self, record: &R, stays: Option<Stays>) -> Self {
        let key = record.key();
        let value = Some(seal(&key, record));
        self.changes.push(Change { key, value, stays });
        self
    }

    /// Takes the record under `key` away, if there is one.
    pub fn delete(mut self, key: Key) -> Self {
        self.changes.push(Change { key, value: None, stays: None });
        self
    }

    /// Also does what `other` does, behind its own.
    pub fn and(mut self, other: Self) -> Self {
        self.changes.extend(other.changes);
        self
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Bytes of its keys and values.
    pub fn bytes(&self) -> usize {
        let changes = self.changes.iter().map(|change| (&change.key, change.value.as_ref()));
        let conditions = self.conditions.iter().map(|(key, value)| (key, Some(value)));
        changes.chain(conditions).map(|(key, value)| key.as_bytes().len() + value.map_or(0, Vec::len)).sum()
    }
}
