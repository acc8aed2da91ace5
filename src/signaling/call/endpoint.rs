//! One device in a call.

use super::super::Party;
use super::super::json::Object;
use super::hold::Outlet;
use crate::base::{Now, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use ulid::Ulid;

/// A device that a call has bound.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) party: Party,
    /// Until when it may be away; `None` while it is there.
    pub(super) away_until: Option<Timestamp>,
    /// Its latest digest.
    pub(super) stats: Option<Box<str>>,
    /// It was in the call before this start of the daemon, and has not come back yet.
    pub(super) is_unclaimed: bool,
    seq: u64,
}

/// Signals in a second, at most, that the numbers of a call leave place for over restarts.
const SIGNALS_PER_SECOND: u64 = 1024;

impl Endpoint {
    pub(super) fn new(party: Party) -> Self {
        Self { party, away_until: None, stats: None, is_unclaimed: false, seq: 0 }
    }

    /// A device that was in the call before this start, and may come back until then. Its signals go on above all the
    /// numbers that they had.
    pub(super) fn returning(now: Now, until: Timestamp, party: Party) -> Self {
        let seq = now.unix.0.saturating_mul(SIGNALS_PER_SECOND);
        Self { party, away_until: Some(until), stats: None, is_unclaimed: true, seq }
    }

    /// Begins its absence. Whether that is news.
    pub(super) fn leave_until(&mut self, until: Timestamp) -> bool {
        let was_there = self.away_until.is_none();
        self.away_until.get_or_insert(until);
        was_there
    }

    /// Ends its absence. Whether there was one.
    pub(super) fn come_back(&mut self) -> bool {
        self.is_unclaimed = false;
        self.away_until.take().is_some()
    }

    /// Whether it was away for too long.
    pub(super) fn is_lost(&self, now: Timestamp) -> bool {
        self.away_until.is_some_and(|until| until <= now)
    }

    /// The event in which `body` travels from here; each has a greater `seq` than the one before.
    pub(super) fn signal(&mut self, call: Ulid, kind: Signal, body: &str, neg: Option<u64>) -> Box<str> {
        self.seq += 1;
        let Party { user, device } = &self.party;
        // Names, quotes and numbers around the body and the ids, so near that nothing is given back of it: `seq` has
        // 9 digits here.
        let around = if neg.is_some() { 96 + 27 } else { 96 };
        Object::sized(around + user.len() + device.len() + body.len())
            .text("from", user)
            .text("from_device", device)
            .id("call_id", call)
            .raw(kind.field(), body)
            .maybe(neg, |object, neg| object.number("neg", neg))
            .number("seq", self.seq)
            .finish()
    }
}

/// What devices tell each other through us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Offer,
    Answer,
    Candidate,
}

impl Signal {
    pub(super) const fn event(self) -> &'static str {
        match self {
            Self::Offer => "webrtc:offer",
            Self::Answer => "webrtc:answer",
            Self::Candidate => "webrtc:ice-candidate",
        }
    }

    const fn field(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Answer => "answer",
            Self::Candidate => "candidate",
        }
    }
}

/// One end of a call between two, with the way to the other end.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) endpoint: Endpoint,
    pub(super) outlet: Outlet,
}

impl Side {
    pub(super) fn new(party: Party) -> Self {
        Self { endpoint: Endpoint::new(party), outlet: Outlet::default() }
    }

    pub(super) fn party(&self) -> &Party {
        &self.endpoint.party
    }

    /// When something of this side is due.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        earliest([self.endpoint.away_until, self.outlet.deadline()])
    }
}

/// A device of the callee while it rings.
#[derive(Debug)]
pub(super) struct Ringer {
    pub(super) device: Arc<str>,
    /// It hears of descriptions only once it has accepted.
    pub(super) is_explicit: bool,
    /// It said no, and only for itself (`RejectScope::Device`).
    pub(super) has_declined: bool,
    /// It started the reverse call, so that it may take itself for the caller for a while.
    pub(super) is_glared: bool,
    /// Candidates that came before its answer.
    pub(super) outlet: Outlet,
}

impl Ringer {
    pub(super) fn new(device: Arc<str>, is_explicit: bool) -> Self {
        Self { device, is_explicit, has_declined: false, is_glared: false, outlet: Outlet::default() }
    }
}

/// The first of several times that may not be set.
pub(super) fn earliest<const N: usize>(times: [Option<Timestamp>; N]) -> Option<Timestamp> {
    times.into_iter().flatten().min()
}

/// Milliseconds, for clients.
pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
