//! A hierarchical timer wheel: insert, cancel and "what is next" in constant time.
//!
//! ```text
//! level 0: 64 slots of 1 tick      (131 ms each, 8.4 s in all)
//! level 1: 64 slots of 64 ticks    (9 min)
//! level 2: 64 slots of 4096 ticks  (9.5 h)
//! level 3: 64 slots of 2^18 ticks  (25 days; what lies further waits in its last slot)
//! ```
//! Entries of a slot form a doubly linked list through one slab, so nothing is searched. A timer
//! fires at the first tick that is not before its deadline: never early, at most a tick late.

use crate::base::Timestamp;

const LEVELS: usize = 4;
const SLOTS: usize = 64;
/// 134 ms, which is fine enough for lifetimes.
const LIFETIME_TICK_NANOS: u64 = 1 << 27;
const NONE: u32 = u32::MAX;
const CURRENT_TICK_DONE: u64 = 1;

/// Names a scheduled timer, for [`Wheel::cancel`]. Valid until the timer fired or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerId(u32);

/// Timers that carry a `T`, in steps of `TICK_NANOS`.
#[derive(Debug)]
pub struct Wheel<T, const TICK_NANOS: u64 = LIFETIME_TICK_NANOS> {
    /// All ticks up to and including this one have fired.
    now_tick: u64,
    heads: [[u32; SLOTS]; LEVELS],
    /// One bit per slot that has an entry.
    occupied: [u64; LEVELS],
    entries: Vec<Entry<T>>,
    free: u32,
    len: usize,
}

#[derive(Debug)]
struct Entry<T> {
    value: Option<T>,
    tick: u64,
    next: u32,
    previous: u32,
    level: u8,
    slot: u8,
}

impl<T, const TICK_NANOS: u64> Wheel<T, TICK_NANOS> {
    /// An empty wheel whose past ends at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self {
            now_tick: now.as_nanos() / TICK_NANOS,
            heads: [[NONE; SLOTS]; LEVELS],
            occupied: [0; LEVELS],
            entries: Vec::new(),
            free: NONE,
            len: 0,
        }
    }

    /// How many timers are scheduled.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer is scheduled.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Schedules `value` for `deadline`, rounded up to the next tick; a past deadline fires at the next one.
    pub fn schedule(&mut self, deadline: Timestamp, value: T) -> TimerId {
        let tick = deadline.as_nanos().div_ceil(TICK_NANOS).max(self.now_tick + CURRENT_TICK_DONE);
        let entry = Entry { value: Some(value), tick, next: NONE, previous: NONE, level: 0, slot: 0 };
        let id = if self.free == NONE {
            self.entries.push(entry);
            (self.entries.len() - 1) as u32
        } else {
            let id = self.free;
            self.free = self.entries[id as usize].next;
            self.entries[id as usize] = entry;
            id
        };
        self.len += 1;
        self.link(id);
        TimerId(id)
    }

    /// Takes a timer back; `None` when it was gone already.
    pub fn cancel(&mut self, id: TimerId) -> Option<T> {
        self.entries.get(id.0 as usize)?.value.as_ref()?;
        self.unlink(id.0);
        self.release(id.0)
    }

    /// The next time at which [`Wheel::pop`] may have something to do: constant time, never late.
    ///
    /// It may be early (the start of a coarse slot); popping then only moves timers to finer slots.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let mut best: Option<u64> = None;
        for level in 0..LEVELS {
            if let Some(tick) = self.next_tick_of(level) {
                best = Some(best.map_or(tick, |b: u64| b.min(tick)));
            }
        }
        best.map(|tick| Timestamp::from_nanos(tick.saturating_mul(TICK_NANOS)))
    }

    /// The next timer that is due at `now`; call until `None`.
    pub fn pop(&mut self, now: Timestamp) -> Option<T> {
        let target = now.as_nanos() / TICK_NANOS;
        loop {
            let level = (0..LEVELS).filter_map(|l| Some((self.next_tick_of(l)?, l))).min();
            let Some((tick, level)) = level.filter(|(tick, _)| *tick <= target) else {
                self.now_tick = self.now_tick.max(target);
                return None;
            };
            // A coarse slot is spread over finer ones before the finer ones of the same tick fire.
            let level = (1..LEVELS).rev().find(|l| self.next_tick_of(*l) == Some(tick)).unwrap_or(level);
            let slot = slot_of(tick, level);
            let id = self.heads[level][slot];
            if level == 0 {
                // Not `tick`: later entries of this slot must still be "ahead".
                self.now_tick = tick - CURRENT_TICK_DONE;
                self.unlink(id);
                return self.release(id);
            }
            self.now_tick = self.now_tick.max(tick - CURRENT_TICK_DONE);
            self.cascade(level, slot);
        }
    }

    /// The first tick at which an occupied slot of `level` begins, counted from now.
    fn next_tick_of(&self, level: usize) -> Option<u64> {
        if self.occupied[level] == 0 {
            return None;
        }
        let shift = 6 * level as u32;
        let next = (self.now_tick + CURRENT_TICK_DONE) >> shift;
        // A slot that began already at `next` counts for level 0 only; coarse ones begin ahead of us
        // or exactly at the next tick.
        let begins_now = ((self.now_tick + CURRENT_TICK_DONE) & ((1 << shift) - 1)) == 0;
        let base = if level == 0 || begins_now { next } else { next + 1 };
        let rotated = self.occupied[level].rotate_right((base % SLOTS as u64) as u32);
        Some((base + u64::from(rotated.trailing_zeros())) << shift)
    }

    fn cascade(&mut self, level: usize, slot: usize) {
        let mut id = self.heads[level][slot];
        self.heads[level][slot] = NONE;
        self.occupied[level] &= !(1 << slot);
        while id != NONE {
            let next = self.entries[id as usize].next;
            self.link(id);
            id = next;
        }
    }

    fn link(&mut self, id: u32) {
        let first = self.now_tick + CURRENT_TICK_DONE;
        let tick = self.entries[id as usize].tick.max(first);
        // The coarsest level whose slot differs from the one that `first` lies in.
        let mut level = 0;
        while level + 1 < LEVELS && (tick >> (6 * level)) - (first >> (6 * level)) >= SLOTS as u64 {
            level += 1;
        }
        let furthest = (first >> (6 * level)) + SLOTS as u64 - 1;
        let at = (tick >> (6 * level)).min(furthest);
        // A coarse slot that has begun would not be visited again: use the finer level.
        let slot = (at % SLOTS as u64) as usize;
        let head = self.heads[level][slot];
        {
            let entry = &mut self.entries[id as usize];
            entry.level = level as u8;
            entry.slot = slot as u8;
            entry.previous = NONE;
            entry.next = head;
        }
        if head != NONE {
            self.entries[head as usize].previous = id;
        }
        self.heads[level][slot] = id;
        self.occupied[level] |= 1 << slot;
    }

    fn unlink(&mut self, id: u32) {
        let (next, previous, level, slot) = {
            let entry = &self.entries[id as usize];
            (entry.next, entry.previous, usize::from(entry.level), usize::from(entry.slot))
        };
        if next != NONE {
            self.entries[next as usize].previous = previous;
        }
        if previous == NONE {
            self.heads[level][slot] = next;
            if next == NONE {
                self.occupied[level] &= !(1 << slot);
            }
        } else {
            self.entries[previous as usize].next = next;
        }
    }

    fn release(&mut self, id: u32) -> Option<T> {
        let entry = &mut self.entries[id as usize];
        let value = entry.value.take();
        entry.next = self.free;
        self.free = id;
        self.len -= 1;
        value
    }
}

fn slot_of(tick: u64, level: usize) -> usize {
    ((tick >> (6 * level)) % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Random;
    use std::collections::BTreeMap;
    use std::time::Duration;

    #[test]
    fn timers_fire_in_order_never_early_and_at_most_a_tick_late() {
        for seed in 0..50 {
            let mut random = Random::seeded(seed);
            let mut now = Timestamp::from_nanos(random.next_u64() >> 20);
            let mut wheel = Wheel::<_>::new(now);
            let mut pending: BTreeMap<u32, (Timestamp, TimerId)> = BTreeMap::new();
            for step in 0..2000u32 {
                match random.below(4) {
                    0 | 1 => {
                        let magnitude = random.below(31);
                        let span = Duration::from_millis(u64::from(random.below(1 << magnitude)));
                        let deadline = now.after(span);
                        pending.insert(step, (deadline, wheel.schedule(deadline, step)));
                    }
                    2 => {
                        let nth = random.below(pending.len() as u32) as usize;
                        let victim = pending.keys().nth(nth).copied();
                        if let Some(key) = victim {
                            let (_, id) = pending.remove(&key).expect("taken from its keys");
                            assert_eq!(wheel.cancel(id), Some(key), "seed {seed}");
                        }
                    }
                    _ => {
                        let magnitude = random.below(25);
                        let span = Duration::from_millis(u64::from(random.below(1 << magnitude)));
                        now = now.after(span);
                        while let Some(key) = wheel.pop(now) {
                            let (deadline, _) = pending.remove(&key).expect("fires once");
                            assert!(deadline <= now, "seed {seed}: early");
                        }
                        let late = pending
                            .values()
                            .find(|(d, _)| d.as_nanos() + 2 * LIFETIME_TICK_NANOS <= now.as_nanos());
                        assert_eq!(late, None, "seed {seed} step {step}: late");
                    }
                }
                assert_eq!(wheel.len(), pending.len());
                let earliest = pending.values().map(|(d, _)| *d).min();
                match (wheel.next_deadline(), earliest) {
                    (Some(next), Some(earliest)) => {
                        assert!(
                            next.as_nanos()
                                <= earliest.as_nanos().max(now.as_nanos()) + 2 * LIFETIME_TICK_NANOS
                        )
                    }
                    (next, earliest) => assert_eq!(next.is_some(), earliest.is_some()),
                }
            }
        }
    }

    #[test]
    fn following_next_deadline_reaches_every_timer_with_few_wakeups() {
        let mut wheel = Wheel::<_>::new(Timestamp::ZERO);
        wheel.schedule(Timestamp::from_secs(600), "allocation");
        let mut wakeups = 0;
        let mut fired = None;
        while let Some(next) = wheel.next_deadline() {
            wakeups += 1;
            assert!(wakeups < 10);
            if let Some(value) = wheel.pop(next) {
                fired = Some((next, value));
            }
        }
        let (at, value) = fired.expect("fires");
        assert_eq!(value, "allocation");
        assert!(at >= Timestamp::from_secs(600) && at < Timestamp::from_nanos(600_200_000_000));
    }
}
