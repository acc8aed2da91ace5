//! Ids that are made here: a word for the kind, and a ULID, which is ordered by time and cannot be guessed.

use crate::base::Random;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use ulid::Ulid;

/// Where ids and keys come from.
#[derive(Debug)]
pub struct Ids(Mutex<Random>);

impl Ids {
    /// Draws from `random`.
    pub fn new(random: Random) -> Self {
        Self(Mutex::new(random))
    }

    /// A new id, `<kind>_<ULID>`.
    pub(crate) fn next(&self, kind: &str) -> String {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let random = u128::from_le_bytes(self.bytes());
        format!("{kind}_{}", Ulid::from_parts(u64::try_from(since.as_millis()).unwrap_or(u64::MAX), random))
    }

    /// Bits that nobody can guess.
    pub(crate) fn bytes<const N: usize>(&self) -> [u8; N] {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).bytes()
    }
}
