//! Counts of what was minted, and of what was not, by closed sets of labels.

use std::sync::atomic::{AtomicU64, Ordering};

/// By what a caller may mint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MintedBy {
    Key,
    Token,
}

/// Why nothing was minted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MintRefusal {
    BadField,
    Forbidden,
    Banned,
    RateLimited,
    NoSecret,
}

const BY: [&str; 2] = ["key", "token"];
const REFUSALS: [&str; 5] = ["bad_field", "forbidden", "banned", "rate_limited", "no_secret"];

impl MintRefusal {
    const ALL: [Self; 5] = [Self::BadField, Self::Forbidden, Self::Banned, Self::RateLimited, Self::NoSecret];

    /// By the code of the problem; whatever has a code of its own is a field that cannot be used.
    pub(super) fn of(code: &str) -> Self {
        Self::ALL.into_iter().find(|reason| REFUSALS[*reason as usize] == code).unwrap_or(Self::BadField)
    }
}

/// What was minted since the start. Shared atomics are fine here: this is the control side.
#[derive(Debug, Default)]
pub struct MintCounts {
    minted: [AtomicU64; BY.len()],
    refused: [AtomicU64; REFUSALS.len()],
}

impl MintCounts {
    pub(super) fn minted(&self, by: MintedBy) {
        self.minted[by as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, reason: MintRefusal) {
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Credentials, by what their caller had.
    pub(in crate::http) fn by(&self) -> impl Iterator<Item = (&'static str, u64)> {
        BY.into_iter().zip(self.minted.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// Refusals, by reason.
    pub(in crate::http) fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REFUSALS.into_iter().zip(self.refused.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_place_and_a_label_of_its_own() {
        let counts = MintCounts::default();
        for (place, reason) in MintRefusal::ALL.into_iter().enumerate() {
            assert_eq!((reason as usize, MintRefusal::of(REFUSALS[place])), (place, reason));
            (0..=place).for_each(|_| counts.refused(reason));
        }
        counts.minted(MintedBy::Token);
        assert_eq!(counts.by().collect::<Vec<_>>(), [("key", 0), ("token", 1)]);
        let refused: Vec<_> = counts.refusals().collect();
        assert_eq!((refused[0], refused[4]), (("bad_field", 1), ("no_secret", 5)));
        assert_eq!(MintRefusal::of("anything"), MintRefusal::BadField);
    }
}
