//! Whether a database holds what it should.

use super::census::{BadCensus, Census};
use super::database::Database;
use super::disk::DiskError;
use super::fence::Fenced;
use super::{Table, record};
use sled::IVec;
use std::ops::Bound;

/// Where the database keeps its own census. No table has the tag 0.
pub(super) const META_KEY: &[u8] = &[0, 1];
/// What is in front of the key of a value that was set aside.
pub(super) const ASIDE_PREFIX: &[u8] = &[0, 2];
/// The first key of a table.
pub(super) const TABLES_FROM: &[u8] = &[1];
/// Damaged values that are set aside one by one.
const DAMAGED_MAX: usize = 10_000;

/// What a database holds.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) census: Census,
    /// Records whose checksum does not fit. They are in the census, by their header.
    pub(super) damaged: Vec<(Table, IVec, IVec)>,
    /// Values that were set aside before, by table.
    pub(super) aside: Vec<(Table, u64)>,
    meta: Option<Result<Census, BadCensus>>,
    /// Keys of no table.
    strange: u64,
}

/// Reads all of it.
pub(super) fn scan(database: &Database) -> Result<Found, DiskError> {
    let mut found = Found::default();
    database.walk(Bound::Unbounded, Bound::Unbounded, false, |key, value| {
        found.row(key, value);
        found.damaged.len() <= DAMAGED_MAX
    })?;
    Ok(found)
}

impl Found {
    fn row(&mut self, key: IVec, value: IVec) {
        if *key == *META_KEY {
            self.meta = Some(Census::decode(&value));
        } else if let Some(table) = key.first().and_then(|tag| Table::of_tag(*tag)) {
            self.census.add(table, &key, &value);
            if record::check(&key, &value).is_err() {
                self.damaged.push((table, key, value));
            }
        } else if let Some(table) = table_aside(&key) {
            match self.aside.iter_mut().find(|(known, _)| *known == table) {
                Some((_, count)) => *count += 1,
                None => self.aside.push((table, 1)),
            }
        } else {
            self.strange += 1;
        }
    }

    fn is_empty(&self) -> bool {
        self.meta.is_none() && self.census.records() == 0 && self.aside.is_empty() && self.strange == 0
    }

    /// The census of the newest commit, or what is wrong and in which numbers.
    pub(super) fn judge(&self, fenced: &Fenced) -> Result<Census, String> {
        let meta = match (self.meta, fenced) {
            (None, Fenced::At(fence)) if self.is_empty() && fence.commit == 0 => return Ok(Census::default()),
            (Some(Err(BadCensus::Newer)), _) | (_, Fenced::Newer) => {
                return Err("was written by a newer version of turnstone; install that one".into());
            }
            (Some(Ok(meta)), _) => meta,
            (None, Fenced::At(fence)) => return Err(self.lost(fence, "its own count is missing")),
            (Some(Err(BadCensus::Damaged)), Fenced::At(fence)) => {
                return Err(self.lost(fence, "its own count is damaged"));
            }
            (_, Fenced::Missing | Fenced::Damaged) => {
                let found = self.census.describe();
                return Err(format!(
                    "is damaged: it holds {found}, and nothing says how many there should be"
                ));
            }
        };
        if self.damaged.len() > DAMAGED_MAX {
            return Err(format!("is damaged: more than {DAMAGED_MAX} of {} are bad", meta.describe()));
        }
        if !self.census.same_records(&meta) || self.strange > 0 {
            return Err(self.lost(&meta, "records are missing or changed"));
        }
        match fenced {
            Fenced::At(fence) if fence.commit > meta.commit => {
                let why =
                    format!("it ends at commit {} and commit {} was acknowledged", meta.commit, fence.commit);
                Err(self.lost(fence, &why))
            }
            Fenced::At(fence) if fence.commit == meta.commit && *fence != meta => {
                Err(self.lost(fence, "its count and that of the fence file differ"))
            }
            Fenced::At(_) => Ok(meta),
            Fenced::Missing | Fenced::Damaged | Fenced::Newer => Err(format!(
                "holds {} at commit {}, but its fence file is {}, so that nothing says whether this is the last commit",
                meta.describe(),
                meta.commit,
                if *fenced == Fenced::Missing { "missing" } else { "damaged" }
            )),
        }
    }

    fn lost(&self, wanted: &Census, why: &str) -> String {
        let strange = match self.strange {
            0 => String::new(),
            count => format!(", and {count} that belong to no table"),
        };
        format!("is damaged: it holds {}{strange}; {why}", self.census.describe_of(wanted))
    }
}

fn table_aside(key: &[u8]) -> Option<Table> {
    Table::of_tag(*key.strip_prefix(ASIDE_PREFIX)?.first()?)
}
