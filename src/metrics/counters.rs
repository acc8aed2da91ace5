//! The counters of one thread, and the copy that others read.

use super::family::{
    CALL_SETUP_MS, CounterId, FORWARD_LATENCY_US, Histogram, SESSION_SECONDS, SLOTS, call_setup,
    forward_latency, session_seconds,
};
use crate::base::Transport;
use std::sync::atomic::{AtomicU64, Ordering};

/// Plain integers that one thread writes.
#[derive(Debug)]
pub struct CounterSet {
    values: Box<[u64; SLOTS]>,
    dirty: bool,
}

/// The last published values of one [`CounterSet`]; reading never disturbs the writer.
#[derive(Debug)]
pub struct Published {
    values: Box<[AtomicU64]>,
}

/// A sum of published sets at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    values: Vec<u64>,
}

impl Default for CounterSet {
    fn default() -> Self {
        Self { values: Box::new([0; SLOTS]), dirty: true }
    }
}

impl CounterSet {
    /// Counts one.
    pub fn increment(&mut self, id: CounterId) {
        self.add(id, 1);
    }

    /// Counts `n`.
    pub fn add(&mut self, id: CounterId, n: u64) {
        let slot = &mut self.values[usize::from(id.0)];
        *slot = slot.wrapping_add(n);
        self.dirty = true;
    }

    /// Counts `n` without asking to be published: for what grows with every turn of a loop.
    pub fn add_quietly(&mut self, id: CounterId, n: u64) {
        let slot = &mut self.values[usize::from(id.0)];
        *slot = slot.wrapping_add(n);
    }

    /// The value of a counter.
    pub fn value(&self, id: CounterId) -> u64 {
        self.values[usize::from(id.0)]
    }

    /// Records the life of an allocation that ended.
    pub fn observe_session(&mut self, transport: Transport, seconds: u64) {
        self.observe(session_seconds(transport), &SESSION_SECONDS, seconds);
    }

    /// Records a sampled forwarding time.
    pub fn observe_forward_latency(&mut self, micros: u64) {
        self.observe(forward_latency(), &FORWARD_LATENCY_US, micros);
    }

    /// Records how long it took until a call was answered.
    pub fn observe_call_setup(&mut self, millis: u64) {
        self.observe(call_setup(), &CALL_SETUP_MS, millis);
    }

    /// Whether something was counted since the last [`CounterSet::publish`].
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Copies the values to where others read them: a few hundred plain stores.
    pub fn publish(&mut self, to: &Published) {
        for (from, to) in self.values.iter().zip(&to.values) {
            to.store(*from, Ordering::Relaxed);
        }
        self.dirty = false;
    }

    fn observe(&mut self, first: usize, histogram: &Histogram, units: u64) {
        let bucket = histogram.bounds.partition_point(|bound| *bound < units);
        self.values[first + bucket] += 1;
        self.values[first + histogram.bounds.len() + 1] += units;
        self.dirty = true;
    }
}

impl Default for Published {
    fn default() -> Self {
        Self { values: (0..SLOTS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Snapshot {
    /// Adds up the published values of several threads.
    pub fn sum<'a>(sets: impl IntoIterator<Item = &'a Published>) -> Self {
        let mut values = vec![0u64; SLOTS];
        for set in sets {
            for (sum, value) in values.iter_mut().zip(&set.values) {
                *sum = sum.wrapping_add(value.load(Ordering::Relaxed));
            }
        }
        Self { values }
    }

    /// The summed value of a counter.
    pub fn value(&self, id: CounterId) -> u64 {
        self.values[usize::from(id.0)]
    }

    /// The summed value of a slot of [`super::Series`].
    pub fn slot(&self, slot: usize) -> u64 {
        self.values.get(slot).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dropped, dropped};
    use super::*;

    #[test]
    fn a_snapshot_sums_what_was_published_and_nothing_later() {
        let (mut a, mut b) = (CounterSet::default(), CounterSet::default());
        let (pa, pb) = (Published::default(), Published::default());
        a.add(dropped(Dropped::Malformed), 3);
        b.add(dropped(Dropped::Malformed), 4);
        a.publish(&pa);
        b.publish(&pb);
        assert!(!a.is_dirty());
        a.increment(dropped(Dropped::Malformed));
        assert!(a.is_dirty());
        assert_eq!(Snapshot::sum([&pa, &pb]).value(dropped(Dropped::Malformed)), 7);
    }

    #[test]
    fn a_histogram_counts_into_the_first_bound_that_is_not_smaller() {
        let mut set = CounterSet::default();
        for micros in [0, 5, 6, 2_000_000] {
            set.observe_forward_latency(micros);
        }
        let first = forward_latency();
        assert_eq!(set.values[first], 2);
        assert_eq!(set.values[first + 1], 1);
        assert_eq!(set.values[first + FORWARD_LATENCY_US.bounds.len()], 1);
        assert_eq!(set.values[first + FORWARD_LATENCY_US.bounds.len() + 1], 2_000_011);
    }
}
