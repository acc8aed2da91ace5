//! A limit for log lines that a remote party can trigger.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Lets one line through per interval and counts the rest: one `static` per call site.
///
/// ```
/// use std::time::Duration;
/// use turnstone::daemon::log::RateLimited;
///
/// static LIMIT: RateLimited = RateLimited::new(Duration::from_secs(10));
/// if let Some(suppressed) = LIMIT.permit() {
///     tracing::warn!(suppressed, "the pool of relay ports is empty");
/// }
/// ```
#[derive(Debug)]
pub struct RateLimited {
    interval_ms: u64,
    /// First moment at which the next line may pass.
    next_ms: AtomicU64,
    suppressed: AtomicU64,
}

impl RateLimited {
    /// One line per `interval`; less than a millisecond lets all through.
    pub const fn new(interval: Duration) -> Self {
        // An interval of 584 million years may be cut.
        let interval_ms = interval.as_millis() as u64;
        Self { interval_ms, next_ms: AtomicU64::new(0), suppressed: AtomicU64::new(0) }
    }

    /// Whether the caller may log now; then with how many were held back since the last line.
    pub fn permit(&self) -> Option<u64> {
        static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        self.permit_at(ORIGIN.elapsed().as_millis() as u64)
    }

    /// Of several threads that come at the same moment, the exchange lets one win.
    fn permit_at(&self, now_ms: u64) -> Option<u64> {
        let next_ms = self.next_ms.load(Ordering::Relaxed);
        let after_ms = now_ms.saturating_add(self.interval_ms);
        let won = now_ms >= next_ms
            && self.next_ms.compare_exchange(next_ms, after_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if won {
            return Some(self.suppressed.swap(0, Ordering::Relaxed));
        }
        self.suppressed.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_passes_per_interval_and_tells_how_many_did_not() {
        let limit = RateLimited::new(Duration::from_secs(10));
        assert_eq!(limit.permit_at(5), Some(0));
        assert_eq!((6..=10_004).filter_map(|now_ms| limit.permit_at(now_ms)).count(), 0);
        assert_eq!(limit.permit_at(10_005), Some(9_999));
        assert_eq!(limit.permit_at(10_006), None);
        assert_eq!(limit.permit_at(90_000), Some(1));
    }

    #[test]
    fn of_many_threads_at_once_one_passes_and_the_others_are_all_counted() {
        let limit = RateLimited::new(Duration::from_secs(3600));
        let passed: Vec<u64> = std::thread::scope(|scope| {
            let ask = || (0..1000).filter_map(|_| limit.permit_at(1)).collect::<Vec<_>>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(passed.len(), 1);
        // Some may have been held back between the winner's exchange and its count.
        assert_eq!(passed[0] + limit.suppressed.load(Ordering::Relaxed), 3999);
    }

    #[test]
    fn the_real_clock_keeps_an_interval_closed() {
        let limit = RateLimited::new(Duration::from_secs(3600));
        assert_eq!(limit.permit(), Some(0));
        assert_eq!(limit.permit(), None);
    }
}
