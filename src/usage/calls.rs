//! What calls have relayed.

use crate::base::{Timestamp, Traffic};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Subjects of one call that are told apart; more than a mesh has members.
const SUBJECTS_MAX: usize = 32;

/// A call of which nothing was heard for so long may be given up for another.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(60);

/// What one call relayed, by subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallUse {
    /// Each party's own allocations; `from_client` is what the party sent.
    pub by_subject: BTreeMap<Arc<str>, Traffic>,
    /// What subjects beyond the bound relayed.
    pub others: Traffic,
}

impl CallUse {
    fn add(&mut self, subject: &Arc<str>, traffic: &Traffic) {
        let room = self.by_subject.len() < SUBJECTS_MAX || self.by_subject.contains_key(subject);
        let place = if room { self.by_subject.entry(subject.clone()).or_default() } else { &mut self.others };
        place.add(traffic);
    }

    /// All of it.
    pub fn total(&self) -> Traffic {
        let mut total = self.others;
        self.by_subject.values().for_each(|traffic| total.add(traffic));
        total
    }
}

/// What live calls have relayed so far: credentials say for which call they were made. Ages go by the clock that is never
/// set.
#[derive(Debug)]
pub struct CallTotals {
    calls_max: usize,
    calls: BTreeMap<Arc<str>, (CallUse, Timestamp)>,
    /// The same, with what was silent for longest in front.
    by_age: BTreeSet<(Timestamp, Arc<str>)>,
    untold: u64,
}

impl CallTotals {
    /// None yet, and `calls_max` at most.
    pub fn new(calls_max: usize) -> Self {
        Self { calls_max, calls: BTreeMap::new(), by_age: BTreeSet::new(), untold: 0 }
    }

    /// Counts what `subject` relayed in a call. When there is no place for it, the call that was silent for longest is
    /// given up; but none of those that relay, or more of them than there are places would push out each other.
    pub fn add(&mut self, now: Timestamp, call_id: &Arc<str>, subject: &Arc<str>, traffic: &Traffic) {
        if self.calls.len() >= self.calls_max && !self.calls.contains_key(call_id) {
            self.untold += 1;
            if !self.give_up_one(now) {
                return;
            }
        }
        let (usage, last) = self.calls.entry(call_id.clone()).or_default();
        usage.add(subject, traffic);
        let before = std::mem::replace(last, now);
        self.by_age.remove(&(before, call_id.clone()));
        self.by_age.insert((now, call_id.clone()));
    }

    /// Returns whether there was one that is silent.
    fn give_up_one(&mut self, now: Timestamp) -> bool {
        let Some((last, call)) = self.by_age.first() else { return false };
        let is_silent = now.since(*last) >= GIVEN_UP_AFTER;
        if is_silent {
            self.calls.remove(call);
            self.by_age.pop_first();
        }
        is_silent
    }

    /// What a call relayed so far.
    pub fn of(&self, call_id: &str) -> Option<&CallUse> {
        self.calls.get(call_id).map(|(usage, _)| usage)
    }

    /// The call is over: what it relayed.
    pub fn take(&mut self, call_id: &str) -> CallUse {
        let Some((call, (usage, last))) = self.calls.remove_entry(call_id) else { return CallUse::default() };
        self.by_age.remove(&(last, call));
        usage
    }

    /// Gives up calls of which nothing was heard for `idle`: back ends mint for calls whose end nobody tells.
    pub fn forget_idle(&mut self, now: Timestamp, idle: Duration) {
        while let Some((last, call)) = self.by_age.first()
            && now.since(*last) >= idle
        {
            self.calls.remove(call);
            self.by_age.pop_first();
        }
    }

    /// How often there was no place for a call, so that it or an older one was left out.
    pub fn untold(&self) -> u64 {
        self.untold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(bytes: u64) -> Traffic {
        Traffic { bytes_from_client: bytes, ..Traffic::default() }
    }

    #[test]
    fn a_call_keeps_its_parties_apart_until_it_is_taken() {
        let mut calls = CallTotals::new(2);
        let (one, alice, bob) = (Arc::from("1"), Arc::from("alice"), Arc::from("bob"));
        for (subject, count) in [(&alice, 1), (&bob, 2), (&alice, 4)] {
            calls.add(Timestamp::from_secs(1), &one, subject, &bytes(count));
        }
        assert_eq!(calls.of("1").map(|usage| usage.by_subject[&alice]), Some(bytes(5)));
        assert_eq!(calls.take("1").total(), bytes(7));
        assert_eq!(calls.take("1"), CallUse::default());
    }

    #[test]
    fn calls_and_their_subjects_are_bounded_and_nothing_of_a_call_is_lost() {
        let mut calls = CallTotals::new(1);
        for subject in 0..100 {
            let subject = Arc::from(format!("user {subject}"));
            calls.add(Timestamp::from_secs(1), &Arc::from("1"), &subject, &bytes(1));
        }
        calls.add(Timestamp::from_secs(1), &Arc::from("2"), &Arc::from("alice"), &bytes(1));
        assert_eq!((calls.untold(), calls.of("2")), (1, None));
        let usage = calls.take("1");
        assert_eq!((usage.by_subject.len(), usage.total()), (SUBJECTS_MAX, bytes(100)));
    }

    #[test]
    fn a_silent_call_makes_room_for_another_and_one_that_relays_does_not() {
        let mut calls = CallTotals::new(2);
        let alice = Arc::from("alice");
        let mut add = |at, call: &str| {
            calls.add(Timestamp::from_secs(at), &Arc::from(call), &alice, &bytes(1));
            let there =
                ["1", "2", "3"].into_iter().filter(|call| calls.of(call).is_some()).collect::<Vec<_>>();
            assert_eq!(calls.by_age.len(), there.len());
            (there, calls.untold())
        };
        add(100, "1");
        add(110, "2");
        assert_eq!(add(120, "1").0, ["1", "2"]);
        assert_eq!(add(169, "3"), (vec!["1", "2"], 1));
        assert_eq!(add(170, "3"), (vec!["1", "3"], 2));
        assert_eq!(add(171, "2"), (vec!["1", "3"], 3));
    }

    #[test]
    fn a_call_without_traffic_for_long_is_forgotten() {
        let mut calls = CallTotals::new(9);
        calls.add(Timestamp::from_secs(100), &Arc::from("1"), &Arc::from("alice"), &bytes(1));
        calls.forget_idle(Timestamp::from_secs(159), Duration::from_secs(60));
        assert!(calls.of("1").is_some());
        calls.forget_idle(Timestamp::from_secs(160), Duration::from_secs(60));
        assert!(calls.of("1").is_none());
    }
}
