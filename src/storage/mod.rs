//! Rank 4: what outlives the process, on sled behind typed tables.
//!
//! One thread owns the database. Others hand it [`Batch`]es and questions through a [`Store`], a bounded queue; a batch is
//! atomic, and its answer comes after it is on the disk. What waits while one flush runs is written by the next one
//! together. Nobody on a relay shard or on the signaling thread ever waits here: they hand over what to do with the
//! answer.
#![forbid(unsafe_code)]

mod batch;
mod error;
mod key;
mod record;
pub mod records;
mod store;
mod table;
mod writer;

pub use batch::Batch;
pub use error::StoreError;
pub use key::{Key, KeyReader};
pub use record::Record;
pub use store::{Page, Store, StoreSettings};
pub use table::Table;
