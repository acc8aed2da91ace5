//! Candidates never overtake the description that they belong to.

use super::super::Refusal;
use crate::base::Timestamp;
use crate::metrics::SignalingError;
use std::collections::VecDeque;

/// How many candidates, and how many bytes of them and of descriptions, one sender may have waiting in a call.
pub(super) const KEPT_MAX: usize = 128;
pub(super) const KEPT_BYTES_MAX: usize = 256 * 1024;
/// The same for a device that rings and has not answered.
pub(super) const RINGER_KEPT_MAX: usize = 32;
pub(super) const RINGER_KEPT_BYTES_MAX: usize = 32 * 1024;

/// A candidate as it came, and its generation when the client said one.
pub(super) type Candidate = (Box<str>, Option<u64>);

/// The way from one sender to one receiver.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    /// The newest generation whose description went through; all of them when a description named none.
    described: Option<u64>,
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    until: Timestamp,
    neg: Option<u64>,
    candidate: Box<str>,
}

impl Outlet {
    /// A way on which every description went through before.
    pub(super) fn open() -> Self {
        Self { described: Some(u64::MAX), ..Self::default() }
    }

    /// Whether any description went through.
    pub(super) fn is_described(&self) -> bool {
        self.described.is_some()
    }

    /// A description goes through. Returns the candidates that waited for it, in order.
    pub(super) fn describe(&mut self, neg: Option<u64>) -> Vec<Candidate> {
        let upto = neg.unwrap_or(u64::MAX);
        self.described = Some(self.described.map_or(upto, |before| before.max(upto)));
        let (ready, rest) =
            self.waiting.drain(..).partition::<Vec<_>, _>(|held| is_described(self.described, held.neg));
        self.waiting = rest.into();
        self.bytes = self.waiting.iter().map(|held| held.candidate.len()).sum();
        ready.into_iter().map(|held| (held.candidate, held.neg)).collect()
    }

    /// Whether a candidate of generation `neg` may go through now.
    pub(super) fn passes(&self, neg: Option<u64>) -> bool {
        is_described(self.described, neg)
    }

    /// Lets a candidate wait for its description, where `count` and `bytes` more are allowed.
    pub(super) fn hold(
        &mut self,
        until: Timestamp,
        neg: Option<u64>,
        candidate: Box<str>,
        (count, bytes): (usize, usize),
    ) -> Result<(), Refusal> {
        if self.waiting.len() >= count || self.bytes + candidate.len() > bytes {
            return Err(full());
        }
        self.bytes += candidate.len();
        self.waiting.push_back(Waiting { until, neg, candidate });
        Ok(())
    }

    /// Forgets the candidates whose description did not come in time.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while self.waiting.front().is_some_and(|held| held.until <= now) {
            self.bytes -= self.waiting.pop_front().map_or(0, |held| held.candidate.len());
        }
    }

    /// When [`Outlet::expire`] has something to do.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.waiting.front().map(|held| held.until)
    }

    /// Candidates and bytes that wait.
    pub(super) fn held(&self) -> (usize, usize) {
        (self.waiting.len(), self.bytes)
    }
}

fn is_described(described: Option<u64>, neg: Option<u64>) -> bool {
    described.is_some_and(|upto| neg.is_none_or(|neg| neg <= upto))
}

/// The refusal of a candidate for which there is no place.
pub(super) fn full() -> Refusal {
    Refusal::new(SignalingError::TooLarge, "too many candidates wait in this call")
}

/// What a caller said while it rang, for devices that are not ready to hear it yet.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) offer: Option<(Box<str>, Option<u64>)>,
    pub(super) candidates: Vec<Candidate>,
    bytes: usize,
}

impl Kept {
    /// Keeps the latest offer in place of the one before, while `waiting_bytes` of candidates wait for it.
    pub(super) fn offer(
        &mut self,
        body: &str,
        neg: Option<u64>,
        waiting_bytes: usize,
    ) -> Result<(), Refusal> {
        let before = self.offer.as_ref().map_or(0, |(body, _)| body.len());
        if self.bytes - before + body.len() + waiting_bytes > KEPT_BYTES_MAX {
            return Err(full());
        }
        self.bytes = self.bytes - before + body.len();
        self.offer = Some((Box::from(body), neg));
        Ok(())
    }

    /// Keeps one more candidate beside `waiting` others.
    pub(super) fn candidate(
        &mut self,
        body: &str,
        neg: Option<u64>,
        waiting: (usize, usize),
    ) -> Result<(), Refusal> {
        let (count, bytes) = self.room_left();
        if waiting.0 >= count || waiting.1 + body.len() > bytes {
            return Err(full());
        }
        self.bytes += body.len();
        self.candidates.push((Box::from(body), neg));
        Ok(())
    }

    /// Candidates and bytes that still fit.
    pub(super) fn room_left(&self) -> (usize, usize) {
        (KEPT_MAX - self.candidates.len(), KEPT_BYTES_MAX - self.bytes)
    }
}
