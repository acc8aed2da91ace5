//! Counts of what the public side refuses, by a closed set of reasons.

use super::refusal::Refusal;
use crate::wire::engine_io::Reject;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a connection or a request was refused, as a label value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Reason {
    /// A connection: no more are allowed, of its source or at all.
    NoPlace,
    /// A page of an origin that may not connect.
    Origin,
    /// A method that the path does not take.
    Method,
    /// An upgrade that cannot be one.
    Handshake,
    /// A query that Engine.IO has not.
    Query,
    /// Not the text that Engine.IO sends.
    ContentType,
    /// A body that is too long.
    TooLarge,
    /// A body that does not arrive in time.
    TooSlow,
    /// A body that broke off.
    Broken,
    /// The signaling thread has no time.
    Busy,
}

impl Reason {
    const ALL: [Self; 10] = [
        Self::NoPlace,
        Self::Origin,
        Self::Method,
        Self::Handshake,
        Self::Query,
        Self::ContentType,
        Self::TooLarge,
        Self::TooSlow,
        Self::Broken,
        Self::Busy,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::NoPlace => "no_place",
            Self::Origin => "origin",
            Self::Method => "method",
            Self::Handshake => "handshake",
            Self::Query => "query",
            Self::ContentType => "content_type",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::Broken => "broken",
            Self::Busy => "busy",
        }
    }
}

impl From<&Refusal> for Reason {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Origin(_) => Self::Origin,
            Refusal::Method | Refusal::Engine(Reject::BadHandshakeMethod) => Self::Method,
            Refusal::NoUpgrade | Refusal::Handshake | Refusal::WebSocketVersion | Refusal::Subprotocol => {
                Self::Handshake
            }
            Refusal::Engine(_) => Self::Query,
            Refusal::ContentType => Self::ContentType,
            Refusal::TooLong(_) => Self::TooLarge,
            Refusal::TooSlow => Self::TooSlow,
            Refusal::Broken => Self::Broken,
            Refusal::Busy => Self::Busy,
        }
    }
}

/// What the public side has refused since the start. Shared atomics are fine here: this is the control side.
#[derive(Debug, Default)]
pub struct PublicRefusals([AtomicU64; Reason::ALL.len()]);

impl PublicRefusals {
    pub(in crate::http) fn count(&self, reason: Reason) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Each reason as a label value, and how often it was the one.
    pub(in crate::http) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Reason::ALL
            .into_iter()
            .map(|reason| (reason.label(), self.0[reason as usize].load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_place_and_a_label_of_its_own() {
        let refusals = PublicRefusals::default();
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
            (0..=place).for_each(|_| refusals.count(reason));
        }
        let counts: std::collections::BTreeMap<_, _> = refusals.counts().collect();
        assert_eq!(counts.len(), Reason::ALL.len());
        assert_eq!((counts["no_place"], counts["busy"]), (1, 10));
    }
}
