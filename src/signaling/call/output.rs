//! What comes out of the calls.

use super::super::{Party, Refusal};
use super::command::Media;
use super::live::LiveCall;
use crate::base::UnixTime;
use crate::metrics::{CallState, CounterId, EndReason, Label, calls_ended, calls_entered, calls_left};
use std::collections::VecDeque;
use std::sync::Arc;

/// What the hub shall do; in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The answer to a command: exactly one for each, in front of all that the command causes.
    Answer {
        /// The hub's number.
        request: u64,
        /// A JSON object without `ok`, or why not.
        result: Result<Box<str>, Refusal>,
    },
    /// An event for devices. All of them are of class `Reliable`.
    Emit {
        /// For whom.
        to: Recipients,
        /// Its name.
        event: &'static str,
        /// One JSON object.
        data: Box<str>,
    },
    /// How a live call stands now, for whoever keeps it; the end of it is [`Output::Ended`].
    Live(Box<LiveCall>),
    /// A call is over: nothing of it comes after this.
    Ended(Box<CallRecord>),
    /// Something to count.
    Count(CounterId),
    /// A call was answered so many milliseconds after its start (`CounterSet::observe_call_setup`).
    SetUp(u64),
}

/// For whom an event is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// Every session of one device.
    Device(Party),
    /// Every session of several devices; each device once.
    Devices(Vec<Party>),
}

impl Recipients {
    /// The devices.
    pub fn as_slice(&self) -> &[Party] {
        match self {
            Self::Device(party) => std::slice::from_ref(party),
            Self::Devices(parties) => parties,
        }
    }
}

/// What is worth keeping of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// Its ULID, as clients know it.
    pub id: Box<str>,
    /// Who started it.
    pub caller: Party,
    /// With whom.
    pub callee: Callee,
    /// Sound alone, or picture too.
    pub media: Media,
    /// Why it ended.
    pub reason: EndReason,
    /// Who ended it; `None` for a timer or the daemon.
    pub ended_by: Option<Party>,
    /// When it began to ring.
    pub started: UnixTime,
    /// When a device of the callee took it.
    pub answered: Option<UnixTime>,
    /// When it ended.
    pub ended: UnixTime,
    /// Milliseconds from the answer to the end, by the clock that is never set back.
    pub duration_ms: u64,
    /// The latest `call:stats` of each device that sent one: raw JSON.
    pub stats: Vec<(Party, Box<str>)>,
}

/// With whom a call is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callee {
    /// A user, and the device that took the call.
    User {
        /// The user.
        user: Arc<str>,
        /// The device, once one took it.
        device: Option<Arc<str>>,
    },
    /// A room.
    Room(Arc<str>),
}

/// Outputs that wait to be taken.
#[derive(Debug, Default)]
pub(super) struct Outbox(VecDeque<Output>);

impl Outbox {
    pub(super) fn next(&mut self) -> Option<Output> {
        self.0.pop_front()
    }

    /// Keeps a place for the answer, so that it comes before what its command causes.
    pub(super) fn promise(&mut self, request: u64) -> usize {
        self.0.push_back(Output::Answer { request, result: Ok(Box::default()) });
        self.0.len() - 1
    }

    /// Fills the place that `promise` kept.
    pub(super) fn keep(&mut self, place: usize, answer: Result<Box<str>, Refusal>) {
        if let Some(Output::Answer { result, .. }) = self.0.get_mut(place) {
            *result = answer;
        }
    }

    pub(super) fn emit(&mut self, to: &Party, event: &'static str, data: Box<str>) {
        self.0.push_back(Output::Emit { to: Recipients::Device(to.clone()), event, data });
    }

    /// The same for several devices, or none.
    pub(super) fn emit_all(&mut self, to: Vec<Party>, event: &'static str, data: Box<str>) {
        if !to.is_empty() {
            self.0.push_back(Output::Emit { to: Recipients::Devices(to), event, data });
        }
    }

    pub(super) fn entered(&mut self, state: CallState) {
        self.0.push_back(Output::Count(calls_entered(state)));
    }

    pub(super) fn left(&mut self, state: CallState) {
        self.0.push_back(Output::Count(calls_left(state)));
    }

    pub(super) fn set_up(&mut self, millis: u64) {
        self.0.push_back(Output::SetUp(millis));
    }

    /// A live call has changed.
    pub(super) fn live(&mut self, call: LiveCall) {
        self.0.push_back(Output::Live(Box::new(call)));
    }

    /// Closes the books on a call.
    pub(super) fn ended(&mut self, record: CallRecord) {
        self.0.push_back(Output::Count(calls_ended(record.reason)));
        self.0.push_back(Output::Ended(Box::new(record)));
    }
}

/// A reason as clients read it.
pub(super) fn reason_text(reason: EndReason) -> &'static str {
    EndReason::VALUES[reason.index()]
}

/// The `reason` of `call:rejected`, where a call ended before anybody took it and not by its caller.
pub(super) fn rejection_text(reason: EndReason) -> Option<&'static str> {
    match reason {
        EndReason::Rejected => Some("declined"),
        EndReason::Busy => Some("busy"),
        EndReason::Offline => Some("offline"),
        EndReason::NoAnswer => Some("no_answer"),
        EndReason::Blocked => Some("blocked"),
        _ => None,
    }
}
