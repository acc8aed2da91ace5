//! The clocks of all threads, with one origin.

use crate::base::{Now, Timestamp, UnixTime};
use std::time::{Duration, Instant, SystemTime};

/// Reads monotonic and wall-clock time; copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose monotonic time starts now.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Both clocks at this moment.
    pub fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Now { at: self.monotonic(), unix: UnixTime(unix.as_secs()) }
    }

    /// The system's instant of a time of this clock.
    pub fn instant(&self, at: Timestamp) -> Instant {
        self.origin + Duration::from_nanos(at.as_nanos())
    }

    /// The monotonic clock alone.
    pub fn monotonic(&self) -> Timestamp {
        let nanos = self.origin.elapsed().as_nanos();
        Timestamp::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}
