//! Calls over a restart: what is kept of a live call, and how it goes on at the next start.
//!
//! Descriptions and candidates are not kept: media flows without us, and who is back can begin anew (`call:restart`). Every
//! device counts as away until it comes, so that a call which nobody wants any more ends by itself as `lost`.

use super::super::Party;
use super::calling::device_of;
use super::command::Media;
use super::endpoint::{Endpoint, Side};
use super::group::Group;
use super::hold::{Kept, Outlet};
use super::output::{CallRecord, Callee};
use super::pair::{Active, Connecting, Pair, Ringing, State, Step, Talk};
use super::table::{Call, CallKey, Form};
use super::{Calls, endpoint};
use crate::base::{Now, Timestamp, UnixTime};
use crate::metrics::{CallState, EndReason};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use ulid::Ulid;

/// A live call as it is kept for the next start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveCall {
    /// Its ULID, as clients know it.
    pub id: Box<str>,
    /// Sound alone, or picture too.
    pub media: Media,
    /// How many changes of state it has seen.
    pub rev: u64,
    /// When it began to ring, or was opened: seconds since 1970.
    pub started_s: u64,
    /// Who is in it, and how far it has come.
    #[serde(flatten)]
    pub stand: Stand,
}

/// How far a live call has come, and who is in it by then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Stand {
    /// Devices of the callee ring.
    Ringing {
        /// Who calls.
        caller: LiveParty,
        /// The user who is called.
        callee: Box<str>,
        /// Until when it rings: milliseconds since 1970.
        expires_at_ms: u64,
    },
    /// A device of the callee took it, and media is on its way or flows.
    Answered {
        /// Who called.
        caller: LiveParty,
        /// Who took it.
        callee: LiveParty,
        /// When: seconds since 1970.
        accepted_s: u64,
        /// How far it is.
        step: LiveStep,
        /// One of the two said that it reports media.
        reports: bool,
        /// Whether a description of the caller, of the callee, went through, so that candidates need not wait for one.
        described: [bool; 2],
    },
    /// A call of the members of a room.
    Group {
        /// The room.
        room: Box<str>,
        /// Who opened it.
        opener: LiveParty,
        /// Who is in it.
        members: Vec<LiveParty>,
    },
}

/// How far an accepted call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveStep {
    /// No answer was relayed.
    Accepted,
    /// The answer was relayed.
    Connecting,
    /// Media flows.
    Active,
}

/// A device in a kept call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveParty {
    /// Its user.
    pub user: Box<str>,
    /// The device.
    pub device: Box<str>,
}

impl Calls {
    /// From now on every change of a live call comes out as [`super::Output::Live`].
    pub fn keep_live_calls(&mut self) {
        self.keeps = true;
    }

    /// The daemon ran until then before, at least: how long calls lasted that nobody comes back to is counted so far. To
    /// be said before [`Calls::restore`].
    pub fn ran_until(&mut self, time: UnixTime) {
        self.ran_until = Some(time);
    }

    /// Takes over the calls that were live when the daemon ended. One that makes no sense, or has no place, has ended as
    /// lost; [`super::Output::Live`] or [`super::Output::Ended`] comes of every other, sooner or later.
    pub fn restore(&mut self, now: Now, calls: impl IntoIterator<Item = LiveCall>) {
        for call in calls {
            if !self.is_live(&call.id) && self.restore_one(now, &call).is_none() {
                self.out.ended(call.lost(now.unix, self.ran_until));
            }
        }
    }

    /// Whether a call lives that is kept under this very id.
    fn is_live(&self, id: &str) -> bool {
        let live = Ulid::from_string(id).ok().filter(|id| self.table.by_id(*id).is_some());
        live.is_some_and(|live| live.to_string() == id)
    }

    fn restore_one(&mut self, now: Now, call: &LiveCall) -> Option<()> {
        let id = Ulid::from_string(&call.id).ok()?;
        if self.table.len() >= self.settings.calls_total || self.table.by_id(id).is_some() {
            return None;
        }
        let away_until = now.at.after(self.settings.grace_call);
        let (form, since_s) = match &call.stand {
            Stand::Group { room, opener, members } => {
                (self.restored_group(now, room, opener, members)?, call.started_s)
            }
            Stand::Ringing { caller, callee, expires_at_ms } => {
                let state = self.restored_ringing(now, *expires_at_ms);
                (self.restored_pair(now, caller, false, callee, state)?, call.started_s)
            }
            Stand::Answered { caller, callee, accepted_s, step, reports, described } => {
                let callee_side = returning_side(now, away_until, callee.party(), described[1]);
                let accepted = Now { at: now.at, unix: UnixTime(*accepted_s) };
                let talk = Talk { callee: callee_side, accepted, reports: *reports };
                let state = self.restored_state(away_until, talk, *step);
                (self.restored_pair(now, caller, described[0], &callee.user, state)?, *accepted_s)
            }
        };
        let earlier = Duration::from_secs(now.unix.secs_since(UnixTime(since_s)));
        let is_accepted = !matches!(call.stand, Stand::Ringing { .. });
        let longest = self.settings.max_duration.filter(|_| is_accepted);
        let label = label(&form);
        let members = match &form {
            Form::Group(group) => group.parties().map(|party| party.user).collect(),
            Form::Pair(_) => Vec::new(),
        };
        let key = self.table.insert(Call {
            id,
            media: call.media,
            started: Now { at: now.at, unix: UnixTime(call.started_s) },
            earlier_ms: if is_accepted { endpoint::millis(earlier) } else { 0 },
            unclaimed_ms: is_accepted.then(|| known_ms(UnixTime(since_s), now.unix, self.ran_until)),
            rev: call.rev,
            renew_at: now.at.after(self.settings.credential_ttl() / 2),
            max_until: longest.map(|longest| now.at.after(longest.saturating_sub(earlier))),
            armed: None,
            form,
        });
        for user in &members {
            self.table.add_user(user, key);
        }
        label.into_iter().for_each(|label| self.out.entered(label));
        self.rearm(now.at, key);
        Some(())
    }

    fn restored_pair(
        &self,
        now: Now,
        caller: &LiveParty,
        is_described: bool,
        callee: &str,
        state: State,
    ) -> Option<Form> {
        let (caller, callee) = (caller.party(), Arc::<str>::from(callee));
        if self.table.by_pair(&caller.user, &callee).is_some() {
            return None;
        }
        let caller = returning_side(now, now.at.after(self.settings.grace_call), caller, is_described);
        Some(Form::Pair(Pair { caller, callee, state }))
    }

    /// It rings on for what is left of its time, at devices that come meanwhile.
    fn restored_ringing(&self, now: Now, expires_at_ms: u64) -> State {
        let left_ms = expires_at_ms.saturating_sub(now.unix.0.saturating_mul(1000));
        State::Ringing(Ringing {
            until: now.at.after(Duration::from_millis(left_ms).min(self.settings.ring_bounds.1)),
            expires_at: expires_at_ms,
            ringers: Vec::new(),
            deserted_until: None,
            kept: Kept::default(),
            data: None,
            is_waiting: false,
            is_restored: true,
        })
    }

    /// The timers of an accepted call begin when its sides had their time to come back.
    fn restored_state(&self, back_until: Timestamp, talk: Talk, step: LiveStep) -> State {
        let step = match step {
            LiveStep::Active => return State::Active(Active { talk, confirm_until: None }),
            LiveStep::Accepted => Step::AwaitingAnswer { until: back_until.after(self.settings.connect) },
            LiveStep::Connecting => {
                let until = back_until.after(self.settings.media_confirm);
                Step::AwaitingMedia { until, heard: [false; 2] }
            }
        };
        State::Connecting(Connecting { talk, step })
    }

    fn restored_group(
        &self,
        now: Now,
        room: &str,
        opener: &LiveParty,
        members: &[LiveParty],
    ) -> Option<Form> {
        if members.is_empty() || self.table.by_room(room).is_some() {
            return None;
        }
        let mut group = Group::new(Arc::from(room), opener.party());
        for member in members.iter().take(self.settings.group_limit()) {
            let endpoint = Endpoint::returning(now, now.at.after(self.settings.grace_call), member.party());
            group.add_returning(endpoint);
        }
        Some(Form::Group(group))
    }

    /// A live call has changed: whoever keeps it shall hear.
    pub(super) fn changed(&mut self, key: CallKey) {
        if !self.keeps {
            return;
        }
        if let Some(call) = self.table.get(key).and_then(live) {
            self.out.live(call);
        }
    }
}

impl LiveCall {
    /// What to keep of it when nobody can come back to it. `ran_until`: when the daemon ran before, at least.
    pub fn lost(&self, now: UnixTime, ran_until: Option<UnixTime>) -> CallRecord {
        let (caller, callee, answered_s) = match &self.stand {
            Stand::Ringing { caller, callee, .. } => {
                (caller, Callee::User { user: Arc::from(&**callee), device: None }, None)
            }
            Stand::Answered { caller, callee, accepted_s, .. } => {
                let Party { user, device } = callee.party();
                (caller, Callee::User { user, device: Some(device) }, Some(*accepted_s))
            }
            Stand::Group { room, opener, .. } => {
                (opener, Callee::Room(Arc::from(&**room)), Some(self.started_s))
            }
        };
        let answered = answered_s.map(UnixTime);
        CallRecord {
            id: self.id.clone(),
            caller: caller.party(),
            callee,
            media: self.media,
            reason: EndReason::Lost,
            ended_by: None,
            started: UnixTime(self.started_s),
            answered,
            ended: now,
            duration_ms: answered.map_or(0, |answered| known_ms(answered, now, ran_until)),
            stats: Vec::new(),
        }
    }
}

impl LiveParty {
    fn party(&self) -> Party {
        device_of(&Arc::from(&*self.user), &Arc::from(&*self.device))
    }
}

impl From<&Party> for LiveParty {
    fn from(party: &Party) -> Self {
        Self { user: Box::from(&*party.user), device: Box::from(&*party.device) }
    }
}

/// What is kept of a call.
fn live(call: &Call) -> Option<LiveCall> {
    let stand = match &call.form {
        Form::Group(group) => Stand::Group {
            room: Box::from(&*group.room),
            opener: LiveParty::from(&group.opener),
            members: group.parties().map(|party| LiveParty::from(&party)).collect(),
        },
        Form::Pair(pair) => stand_of(pair)?,
    };
    Some(LiveCall {
        id: call.id.to_string().into(),
        media: call.media,
        rev: call.rev,
        started_s: call.started.unix.0,
        stand,
    })
}

fn stand_of(pair: &Pair) -> Option<Stand> {
    let caller = LiveParty::from(pair.caller.party());
    let step = match &pair.state {
        State::Ringing(ringing) => {
            let callee = Box::from(&*pair.callee);
            return Some(Stand::Ringing { caller, callee, expires_at_ms: ringing.expires_at });
        }
        State::Connecting(Connecting { step: Step::AwaitingAnswer { .. }, .. }) => LiveStep::Accepted,
        State::Connecting(_) => LiveStep::Connecting,
        State::Active(_) => LiveStep::Active,
        State::Ended => return None,
    };
    let talk = pair.state.talk()?;
    Some(Stand::Answered {
        caller,
        callee: LiveParty::from(talk.callee.party()),
        accepted_s: talk.accepted.unix.0,
        step,
        reports: talk.reports,
        described: [&pair.caller, &talk.callee].map(|side| side.outlet.is_described()),
    })
}

/// Milliseconds that a call of before this start is known to have lasted: it was answered at `since`, and the daemon ran
/// until then. Where that is not known, as long as it can have lasted.
fn known_ms(since: UnixTime, now: UnixTime, ran_until: Option<UnixTime>) -> u64 {
    ran_until.map_or(now, |until| until.min(now)).secs_since(since).saturating_mul(1000)
}

fn returning_side(now: Now, away_until: Timestamp, party: Party, is_described: bool) -> Side {
    let outlet = if is_described { Outlet::open() } else { Outlet::default() };
    Side { endpoint: Endpoint::returning(now, away_until, party), outlet }
}

fn label(form: &Form) -> Option<CallState> {
    match form {
        Form::Pair(pair) => pair.state.label(),
        Form::Group(_) => Some(CallState::Active),
    }
}
