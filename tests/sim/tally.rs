//! What a run has met.

use std::collections::BTreeMap;

/// How often things happened, so that a run which tests nothing is seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    codes: BTreeMap<u16, u32>,
    events: BTreeMap<&'static str, u32>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        other.codes.iter().for_each(|(code, n)| *self.codes.entry(*code).or_default() += n);
        other.events.iter().for_each(|(event, n)| *self.events.entry(event).or_default() += n);
    }

    pub(crate) fn count(&mut self, event: &'static str) {
        self.count_many(event, 1);
    }

    pub(crate) fn count_many(&mut self, event: &'static str, n: u32) {
        *self.events.entry(event).or_default() += n;
    }

    pub(crate) fn count_code(&mut self, code: u16) {
        *self.codes.entry(code).or_default() += 1;
    }

    pub(crate) fn assert_that_everything_happened(&self) {
        for code in [0, 400, 401, 403, 420, 437, 438, 440, 441, 442, 443, 486, 508] {
            assert!(self.codes.get(&code).is_some_and(|n| *n >= 20), "hardly any {code}: {self:?}");
        }
        for event in [
            "same answer",
            "opened later",
            "dropped while opening",
            "evicted",
            "send passed",
            "send dropped",
            "channel data passed",
            "channel data dropped",
            "peer to channel",
            "peer to data",
            "peer dropped",
            "to an own relay",
            "icmp told",
            "token redeemed",
            "half a dual allocation",
            "run out",
            "over but open",
        ] {
            assert!(self.events.get(event).is_some_and(|n| *n >= 20), "hardly ever {event}: {self:?}");
        }
    }
}
