//! A call between two users: its states, each with just what it knows.

use super::super::Party;
use super::endpoint::{Ringer, Side, earliest};
use super::hold::Kept;
use super::phase::{IllegalTransition, Phase};
use crate::base::{Now, Timestamp};
use crate::metrics::CallState;
use std::mem;
use std::sync::Arc;

/// One caller, one callee; both may be the same user on two devices.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) caller: Side,
    pub(super) callee: Arc<str>,
    pub(super) state: State,
}

/// Only the states after the accept know a callee's device and a time of answer.
#[derive(Debug)]
pub(super) enum State {
    Ringing(Ringing),
    Connecting(Connecting),
    Active(Active),
    /// For the moment between its last transition and its removal.
    Ended,
}

#[derive(Debug)]
pub(super) struct Ringing {
    pub(super) until: Timestamp,
    /// The same moment for clients: milliseconds since 1970.
    pub(super) expires_at: u64,
    pub(super) ringers: Vec<Ringer>,
    /// The callee has no device; until when one may come.
    pub(super) deserted_until: Option<Timestamp>,
    pub(super) kept: Kept,
    /// The caller's own words for the callee: raw JSON.
    pub(super) data: Option<Box<str>>,
    /// The callee is in another call.
    pub(super) is_waiting: bool,
    /// It rang before this start of the daemon: its offer may have gone out then.
    pub(super) is_restored: bool,
}

/// What an accepted call knows.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) callee: Side,
    pub(super) accepted: Now,
    /// One of the two declared that it reports.
    pub(super) reports: bool,
}

#[derive(Debug)]
pub(super) struct Connecting {
    pub(super) talk: Talk,
    pub(super) step: Step,
}

/// How far a call is on its way to media.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    AwaitingAnswer {
        until: Timestamp,
    },
    /// `heard`: a candidate came from the caller, from the callee, since the answer.
    AwaitingMedia {
        until: Timestamp,
        heard: [bool; 2],
    },
}

#[derive(Debug)]
pub(super) struct Active {
    pub(super) talk: Talk,
    /// Candidates went both ways, and now a report is due.
    pub(super) confirm_until: Option<Timestamp>,
}

/// What a device is to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Caller,
    /// The bound device of the callee.
    Callee,
    /// A device that rings, by its position.
    Ringer(usize),
    /// Another device of the callee.
    Aside,
    Stranger,
}

impl State {
    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::Ringing(_) => Phase::Ringing,
            Self::Connecting(_) => Phase::Connecting,
            Self::Active(_) => Phase::Active,
            Self::Ended => Phase::Ended,
        }
    }

    /// The state as metrics know it.
    pub(super) fn label(&self) -> Option<CallState> {
        match self {
            Self::Ringing(_) => Some(CallState::Ringing),
            Self::Connecting(_) => Some(CallState::Connecting),
            Self::Active(_) => Some(CallState::Active),
            Self::Ended => None,
        }
    }

    pub(super) fn talk(&self) -> Option<&Talk> {
        match self {
            Self::Connecting(Connecting { talk, .. }) | Self::Active(Active { talk, .. }) => Some(talk),
            Self::Ringing(_) | Self::Ended => None,
        }
    }

    pub(super) fn talk_mut(&mut self) -> Option<&mut Talk> {
        match self {
            Self::Connecting(Connecting { talk, .. }) | Self::Active(Active { talk, .. }) => Some(talk),
            Self::Ringing(_) | Self::Ended => None,
        }
    }

    /// Ringing becomes connecting; gives back what only a ringing call has.
    pub(super) fn connect(&mut self, next: Connecting) -> Result<Ringing, IllegalTransition> {
        self.check(Phase::Connecting)?;
        match mem::replace(self, Self::Connecting(next)) {
            Self::Ringing(ringing) => Ok(ringing),
            other => unreachable!("the table lets nothing but ringing become connecting: {other:?}"),
        }
    }

    /// Connecting becomes active.
    pub(super) fn activate(&mut self, confirm_until: Option<Timestamp>) -> Result<(), IllegalTransition> {
        self.check(Phase::Active)?;
        if let Self::Connecting(Connecting { talk, .. }) = mem::replace(self, Self::Ended) {
            *self = Self::Active(Active { talk, confirm_until });
        }
        Ok(())
    }

    /// Anything alive becomes ended; gives back what it was.
    pub(super) fn end(&mut self) -> Result<Self, IllegalTransition> {
        self.check(Phase::Ended)?;
        Ok(mem::replace(self, Self::Ended))
    }

    fn check(&self, to: Phase) -> Result<(), IllegalTransition> {
        let from = self.phase();
        if from.may_become(to) { Ok(()) } else { Err(IllegalTransition { from, to }) }
    }
}

impl Pair {
    /// What `party` is to this call.
    pub(super) fn place(&self, party: &Party) -> Place {
        if self.caller.party() == party {
            return Place::Caller;
        }
        if party.user != self.callee {
            return Place::Stranger;
        }
        match &self.state {
            State::Ringing(ringing) => {
                let at = ringing.ringers.iter().position(|ringer| ringer.device == party.device);
                at.filter(|at| !ringing.ringers[*at].has_declined).map_or(Place::Aside, Place::Ringer)
            }
            state if state.talk().is_some_and(|talk| talk.callee.party() == party) => Place::Callee,
            _ => Place::Aside,
        }
    }

    /// The user at the other end from `place`.
    pub(super) fn peer_of(&self, place: Place) -> &Arc<str> {
        if place == Place::Caller { &self.callee } else { &self.caller.party().user }
    }

    /// Sender and receiver of an accepted call.
    pub(super) fn sides(&mut self, from: Place) -> Option<(&mut Side, &mut Side)> {
        let talk = self.state.talk_mut()?;
        match from {
            Place::Caller => Some((&mut self.caller, &mut talk.callee)),
            Place::Callee => Some((&mut talk.callee, &mut self.caller)),
            _ => None,
        }
    }

    /// The devices that ring, as parties.
    pub(super) fn ringing_parties(&self, ringing: &Ringing) -> Vec<Party> {
        let live = ringing.ringers.iter().filter(|ringer| !ringer.has_declined);
        live.map(|ringer| Party { user: self.callee.clone(), device: ringer.device.clone() }).collect()
    }

    /// When the next of its timers is due.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let of_state = match &self.state {
            State::Ringing(ringing) => {
                let held = ringing.ringers.iter().filter_map(|ringer| ringer.outlet.deadline()).min();
                earliest([Some(ringing.until), ringing.deserted_until, held])
            }
            State::Connecting(Connecting { talk, step }) => {
                let (Step::AwaitingAnswer { until } | Step::AwaitingMedia { until, .. }) = step;
                earliest([Some(*until), talk.callee.deadline()])
            }
            State::Active(Active { talk, confirm_until }) => {
                earliest([*confirm_until, talk.callee.deadline()])
            }
            State::Ended => None,
        };
        earliest([of_state, self.caller.deadline()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk() -> Talk {
        let party = Party { user: "b".into(), device: "b1".into() };
        Talk { callee: Side::new(party), accepted: Now::default(), reports: false }
    }

    fn connecting() -> Connecting {
        Connecting { talk: talk(), step: Step::AwaitingAnswer { until: Timestamp::ZERO } }
    }

    fn state(phase: Phase) -> State {
        match phase {
            Phase::Ringing => State::Ringing(Ringing {
                until: Timestamp::ZERO,
                expires_at: 0,
                ringers: Vec::new(),
                deserted_until: None,
                kept: Kept::default(),
                data: None,
                is_waiting: false,
                is_restored: false,
            }),
            Phase::Connecting => State::Connecting(connecting()),
            Phase::Active => State::Active(Active { talk: talk(), confirm_until: None }),
            Phase::Ended => State::Ended,
        }
    }

    /// What really happens when a call in `from` is asked to become `to`.
    fn step(from: Phase, to: Phase) -> Result<(), IllegalTransition> {
        let mut state = state(from);
        let result = match to {
            Phase::Ringing => Err(IllegalTransition { from, to }),
            Phase::Connecting => state.connect(connecting()).map(drop),
            Phase::Active => state.activate(None),
            Phase::Ended => state.end().map(drop),
        };
        assert_eq!(state.phase(), if result.is_ok() { to } else { from });
        result
    }

    #[test]
    fn the_whole_table_of_transitions() {
        let mut table = String::new();
        for from in Phase::ALL {
            for to in Phase::ALL {
                let result = step(from, to);
                assert_eq!(result.is_ok(), from.may_become(to));
                let text = result.map_or_else(|illegal| illegal.to_string(), |()| "yes".to_owned());
                table.push_str(&format!("{} -> {}: {text}\n", from.as_str(), to.as_str()));
            }
        }
        println!("{table}");
        assert_eq!(table, TABLE);
    }

    const TABLE: &str = "\
ringing -> ringing: a call that is ringing cannot become ringing
ringing -> connecting: yes
ringing -> active: a call that is ringing cannot become active
ringing -> ended: yes
connecting -> ringing: a call that is connecting cannot become ringing
connecting -> connecting: a call that is connecting cannot become connecting
connecting -> active: yes
connecting -> ended: yes
active -> ringing: a call that is active cannot become ringing
active -> connecting: a call that is active cannot become connecting
active -> active: a call that is active cannot become active
active -> ended: yes
ended -> ringing: a call that is ended cannot become ringing
ended -> connecting: a call that is ended cannot become connecting
ended -> active: a call that is ended cannot become active
ended -> ended: a call that is ended cannot become ended
";
}
