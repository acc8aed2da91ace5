//! What the keeper of the books writes and handlers read.

use super::clock::now;
use super::{Events, Seconds};
use crate::base::{Now, UnixTime};
use crate::usage::{Books, BooksSettings, CallTotals};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Calls whose traffic is told apart at once.
const CALLS_MAX: usize = 16_384;

/// The books of this process, and the news. Nothing on a relay shard or on the signaling thread ever comes here.
pub struct Desk {
    books: Mutex<Books>,
    calls: Mutex<CallTotals>,
    /// When they were opened.
    since: UnixTime,
    seconds: Mutex<Seconds>,
    /// What happens, for those who listen.
    pub events: Events,
}

impl Desk {
    /// Empty books. `first_part`: see [`Books::new`].
    pub fn new(first_part: u64) -> Self {
        Self {
            books: Mutex::new(Books::new(BooksSettings::default(), first_part)),
            calls: Mutex::new(CallTotals::new(CALLS_MAX)),
            since: now(),
            seconds: Mutex::new(Seconds::begin(Now::default(), Vec::new())),
            events: Events::default(),
        }
    }

    /// The books, for a moment.
    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether traffic of a call that began at `started` may be missing: an earlier process counted it, and only in memory.
    pub fn is_partial(&self, started: UnixTime) -> bool {
        started < self.since
    }

    /// What calls relay, for a moment.
    pub fn calls(&self) -> MutexGuard<'_, CallTotals> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last minutes by second, for a moment.
    pub fn seconds(&self) -> MutexGuard<'_, Seconds> {
        self.seconds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}
