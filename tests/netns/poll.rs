//! Waiting for what another process does.

use std::time::{Duration, Instant};

/// How long an answer may take, and a condition to come true; a machine under load is slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Between two looks.
const PACE: Duration = Duration::from_millis(5);

/// Looks until `condition` holds, or `patience` is over; says whether it held.
pub(crate) fn until(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    while !condition() {
        if Instant::now() >= deadline {
            return false;
        }
        pause();
    }
    true
}

/// Other processes and the kernel's counters have no descriptor to wait on, so they are looked at
/// again: the pace of a bounded wait, never the wait itself.
#[expect(clippy::disallowed_methods)]
fn pause() {
    std::thread::sleep(PACE);
}
