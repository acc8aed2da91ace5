//! A view of the whole store as it was at one commit, read piece by piece while writes go on.
//!
//! The store's thread remembers of each view how far it was read. Before it changes a key behind that point, it keeps the
//! old value for the view. What is kept is bounded: a view whose reader is too slow for what is written ends.

use super::census::Census;
use super::check::TABLES_FROM;
use super::database::Database;
use super::disk::DiskError;
use super::store::Store;
use super::writer::{Job, Rows};
use super::{StoreError, Table};
use sled::IVec;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Weak};

/// Views at a time.
pub const VIEWS_MAX: usize = 4;
/// Bytes of old values that are kept for one view.
pub const HELD_BYTES_MAX: usize = 64 << 20;
/// Bytes and rows of one piece, about.
const PIECE_BYTES: usize = 256 << 10;
const PIECE_ROWS: usize = 2048;

/// What a key held; `None` for nothing.
pub(super) type Old = (Vec<u8>, Option<IVec>);

/// A view of the store, for one reader. Dropped, it costs nothing any more.
#[derive(Debug)]
pub struct Snapshot {
    store: Store,
    id: u64,
    census: Census,
    _alive: Arc<()>,
}

impl Snapshot {
    pub(super) fn new(store: Store, alive: Arc<()>, (id, census): (u64, Census)) -> Self {
        Self { store, id, census, _alive: alive }
    }

    /// The commit that is seen.
    pub fn commit(&self) -> u64 {
        self.census.commit
    }

    /// Records in a table, at that commit.
    pub fn records(&self, table: Table) -> u64 {
        self.census.of(table).records
    }

    pub(super) fn census(&self) -> &Census {
        &self.census
    }

    /// The next records in the order of their keys; `None` behind the last one.
    pub(super) async fn next(&mut self) -> Result<Option<Rows>, StoreError> {
        let id = self.id;
        self.store.answer(|done| Job::Piece(id, done)).await
    }
}

/// The views of the store's thread.
#[derive(Default)]
pub(super) struct Views {
    views: Vec<View>,
    last_id: u64,
    /// Old values of a commit that failed: it is not in the census, though its changes may be seen.
    undone: Vec<Old>,
}

struct View {
    id: u64,
    reader: Weak<()>,
    /// The first key that was not read yet; `None` behind the last.
    from: Option<Vec<u8>>,
    kept: BTreeMap<Vec<u8>, Option<IVec>>,
    kept_bytes: usize,
}

impl Views {
    /// A new view, as long as somebody holds what `reader` points to.
    pub(super) fn begin(&mut self, reader: Weak<()>) -> Result<u64, StoreError> {
        self.views.retain(|view| view.reader.strong_count() > 0);
        if self.views.len() >= VIEWS_MAX {
            return Err(StoreError::Busy);
        }
        self.last_id += 1;
        let mut view = View {
            id: self.last_id,
            reader,
            from: Some(TABLES_FROM.to_vec()),
            kept: BTreeMap::new(),
            kept_bytes: 0,
        };
        self.undone.iter().for_each(|(key, old)| view.keep(key, old.as_ref()));
        self.views.push(view);
        Ok(self.last_id)
    }

    /// Keeps what these keys held before they change.
    pub(super) fn keep(&mut self, olds: &[Old]) {
        self.views.retain(|view| view.reader.strong_count() > 0 && view.kept_bytes <= HELD_BYTES_MAX);
        for view in &mut self.views {
            olds.iter().for_each(|(key, old)| view.keep(key, old.as_ref()));
        }
    }

    /// These keys may hold what no census knows.
    pub(super) fn undone(&mut self, olds: Vec<Old>) {
        self.undone = olds;
    }

    /// The next piece of a view.
    pub(super) fn piece(&mut self, id: u64, database: &Database) -> Result<Option<Rows>, StoreError> {
        let view = self.views.iter_mut().find(|view| view.id == id).ok_or(StoreError::Overtaken)?;
        view.piece(database).map_err(|error| StoreError::Closed(format!("cannot be read: {error}").into()))
    }
}

impl View {
    fn keep(&mut self, key: &[u8], old: Option<&IVec>) {
        let is_ahead = self.from.as_deref().is_some_and(|from| key >= from);
        if is_ahead && !self.kept.contains_key(key) {
            self.kept_bytes += cost(key, old);
            self.kept.insert(key.to_vec(), old.cloned());
        }
    }

    fn piece(&mut self, database: &Database) -> Result<Option<Rows>, DiskError> {
        let Some(from) = &self.from else { return Ok(None) };
        let (mut rows, mut bytes, mut end) = (BTreeMap::new(), 0, None);
        database.walk(Bound::Included(from), Bound::Unbounded, false, |key, value| {
            if bytes >= PIECE_BYTES || rows.len() >= PIECE_ROWS {
                end = Some(key.to_vec());
                return false;
            }
            bytes += key.len() + value.len();
            rows.insert(key.to_vec(), value);
            true
        })?;
        let ahead = end.as_ref().map_or_else(BTreeMap::new, |end| self.kept.split_off(end));
        for (key, old) in std::mem::replace(&mut self.kept, ahead) {
            self.kept_bytes -= cost(&key, old.as_ref());
            match old {
                Some(old) => rows.insert(key, old),
                None => rows.remove(&key),
            };
        }
        self.from = end;
        Ok(Some(rows.into_iter().map(|(key, value)| (key.into(), Box::from(&*value))).collect()))
    }
}

/// Bytes of memory, about.
fn cost(key: &[u8], old: Option<&IVec>) -> usize {
    key.len() + old.map_or(0, |old| old.len()) + 64
}
