//! Rank 4: what outlives the process, on sled behind typed tables.
//!
//! One thread owns the database. Others hand it [`Batch`]es and questions through a [`Store`], a bounded queue; a batch is
//! atomic, and its answer comes after it is on the disk. What waits while one flush runs is written by the next one
//! together. Nobody on a relay shard or on the signaling thread ever waits here: they hand over what to do with the
//! answer.
//!
//! A commit is over when the database was flushed and, behind it, the fence file: both say which commit that was, how many
//! records there are by table, and a hash of them. Opening counts again and compares, in a child process first, so that
//! nothing is lost or changed in silence. A store that is not what it should be is not opened; a value that is damaged
//! while everything else is proven to be there is set aside.
#![forbid(unsafe_code)]

mod archive;
mod backup;
mod batch;
mod census;
mod check;
mod database;
mod disk;
mod error;
mod fence;
mod folder;
mod health;
mod key;
mod opening;
mod persist;
mod probe;
mod record;
pub mod records;
mod restore;
mod snapshot;
mod store;
mod table;
mod writer;

pub use archive::check_backup;
pub use backup::{Copied, CopyError, backup, export};
pub use batch::{Batch, Progress};
pub use database::CACHE_BYTES;
pub use error::StoreError;
pub use health::{Health, TableHealth};
pub use key::{Key, KeyReader};
pub use probe::{Probe, probe};
pub use record::{Record, stored_payload};
pub use restore::{Restored, restore};
pub use snapshot::{HELD_BYTES_MAX, Snapshot, VIEWS_MAX};
pub use store::{Page, QUEUED_BYTES_MAX, Store, StoreSettings};
pub use table::Table;
pub use writer::Moment;
