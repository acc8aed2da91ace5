//! Delays of one round, in memory of a fixed size.

/// Below this a value has a bucket of its own; above, each doubling is cut into half as many buckets.
const EXACT: u64 = 64;

/// Buckets of one doubling: none is wider than a 32nd of its values.
const STEPS: usize = 32;

/// Bits of the largest value that is told apart from larger ones: 2^36 ns are 68 s.
const BITS_MAX: u32 = 36;

const BUCKETS: usize = EXACT as usize + (BITS_MAX - EXACT.ilog2()) as usize * STEPS;

/// A log-linear histogram of nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct Delays {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
}

impl Delays {
    pub(super) fn new() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), count: 0 }
    }

    /// Counts one delay; those above 68 s count as so much.
    pub(super) fn record(&mut self, ns: u64) {
        self.buckets[bucket(ns)] += 1;
        self.count += 1;
    }

    /// The delay that `share` (0 to 1) of all stay at or below, in nanoseconds and off by a 64th at most. 0 of none.
    pub(super) fn quantile(&self, share: f64) -> u64 {
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut below = 0;
        let reached = self.buckets.iter().position(|count| {
            below += count;
            below >= rank
        });
        reached.map_or(0, middle)
    }
}

fn bucket(ns: u64) -> usize {
    let ns = ns.min((1 << BITS_MAX) - 1);
    if ns < EXACT {
        return ns as usize;
    }
    let doubling = ns.ilog2();
    let step = (ns >> (doubling - STEPS.ilog2())) as usize - STEPS;
    EXACT as usize + (doubling - EXACT.ilog2()) as usize * STEPS + step
}

/// The middle of a bucket.
fn middle(bucket: usize) -> u64 {
    let Some(above) = bucket.checked_sub(EXACT as usize) else { return bucket as u64 };
    let width_log2 = (above / STEPS) as u32 + EXACT.ilog2() - STEPS.ilog2();
    let lowest = ((above % STEPS + STEPS) as u64) << width_log2;
    lowest + (1 << width_log2) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_bucket_is_off_by_a_sixty_fourth_at_most() {
        let mut last = 0;
        for ns in (0..40_000).chain((16..36).flat_map(|bits| [(1 << bits) - 1, 1 << bits, (1 << bits) + 1])) {
            let near = middle(bucket(ns));
            assert!(near.abs_diff(ns) * 64 <= ns, "{ns}: {near}");
            assert!(near >= last || ns < 70_000, "{ns}: in order");
            last = near;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(bucket((1 << BITS_MAX) - 1), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        let mut delays = Delays::new();
        assert_eq!(delays.quantile(0.5), 0);
        (1..=1000).for_each(|us| delays.record(us * 1000));
        for (share, us) in [(0.0, 1), (0.5, 500), (0.99, 990), (0.999, 999), (1.0, 1000)] {
            let near = delays.quantile(share);
            assert!(near.abs_diff(us * 1000) * 64 <= us * 1000, "{share}: {near}");
        }
    }
}
