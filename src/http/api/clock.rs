//! The wall clock, and how times are written.

use crate::base::UnixTime;
use std::time::{Duration, SystemTime};

/// Now.
pub(crate) fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// A time as RFC 3339 has it, in UTC. It knows four digits of a year, so that later times are shown as the last one.
pub(crate) fn rfc3339(time: UnixTime) -> String {
    const LAST: u64 = 253_402_300_799;
    let since = Duration::from_secs(time.0.min(LAST));
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_written_in_utc() {
        assert_eq!(rfc3339(UnixTime(1_795_222_800)), "2026-11-21T01:00:00Z");
        assert_eq!(rfc3339(UnixTime(u64::MAX)), "9999-12-31T23:59:59Z");
    }
}
