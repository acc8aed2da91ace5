//! The end of a call: once, and then nothing more of it.

use super::super::json::Object;
use super::super::{Party, Refusal};
use super::command::Target;
use super::endpoint::millis;
use super::group::Group;
use super::output::{CallRecord, Callee, reason_text, rejection_text};
use super::pair::{Pair, Place, State};
use super::past::Tombstone;
use super::table::{Call, CallKey, Form};
use super::{Calls, Reply};
use crate::base::{Now, Timestamp};
use crate::metrics::{CallState, EndReason, SignalingError};
use std::sync::Arc;
use ulid::Ulid;

/// The outcome that goes into the record and the tombstone.
struct Closing {
    caller: Party,
    callee: Callee,
    answered: Option<Now>,
    stats: Vec<(Party, Box<str>)>,
    users: Vec<Arc<str>>,
}

impl Calls {
    /// `call:end`: cancels, declines, hangs up or leaves, whatever the call's state makes of it. Again for a call that
    /// has ended, it is no error.
    pub(super) fn on_end(
        &mut self,
        now: Now,
        from: &Party,
        target: &Target,
        reason: Option<EndReason>,
    ) -> Reply {
        let key = match self.locate(from, target) {
            Ok(key) => key,
            Err(refusal) => return self.end_again(from, target, refusal),
        };
        let Some((_, pair)) = self.table.pair_mut(key) else { return self.leave(now, key, from) };
        let is_ringing = matches!(pair.state, State::Ringing(_));
        let duration_ms = match pair.place(from) {
            Place::Ringer(at) => {
                let busy = reason.filter(|reason| *reason == EndReason::Busy);
                self.reject(now, key, at, from, busy.unwrap_or(EndReason::Rejected));
                0
            }
            _ => {
                let own = if is_ringing { EndReason::Cancelled } else { EndReason::Hangup };
                let told = reason.filter(|reason| *reason != EndReason::Busy);
                self.end(now, key, told.unwrap_or(own), Some(from))
            }
        };
        Ok(Object::sized(32).number("duration_ms", duration_ms).finish())
    }

    fn end_again(&self, from: &Party, target: &Target, refusal: Refusal) -> Reply {
        if refusal.code != SignalingError::Ended {
            return Err(refusal);
        }
        let found = match target.call_id {
            Some(id) => self.past.by_id(id, &from.user),
            None => self.past.latest(&from.user, target.to.as_deref()),
        };
        let duration_ms = found.map_or(0, |tombstone| tombstone.duration_ms);
        Ok(Object::sized(32).number("duration_ms", duration_ms).finish())
    }

    /// Ends everything that this device has to do with: its token is over, or it was thrown out. The device hears
    /// `call:end`, too. Other devices of the user that ring go on ringing.
    pub fn end_user(&mut self, now: Now, party: &Party, reason: EndReason) {
        let calls: Vec<_> = self.table.of_device(party).map(|(key, _)| key).collect();
        for key in calls {
            let Some((id, pair)) = self.table.pair_mut(key) else {
                self.leave_with(now, key, party, reason, None);
                continue;
            };
            if let Place::Ringer(_) = pair.place(party) {
                let from = pair.caller.party().user.clone();
                self.out.emit(party, "call:end", farewell(id, &from, reason, None, 0));
                self.stop_ringing(now, key, party);
                self.rearm(now.at, key);
            } else {
                self.end(now, key, reason, None);
            }
        }
    }

    /// Ends all calls: the daemon stops.
    pub fn shutdown(&mut self, now: Now) {
        for key in self.table.keys() {
            self.end(now, key, EndReason::ServerShutdown, None);
        }
    }

    /// Ends one call; `by` is the device that wanted it, which hears no event. Returns its length in milliseconds.
    pub(super) fn end(&mut self, now: Now, key: CallKey, reason: EndReason, by: Option<&Party>) -> u64 {
        let Some(call) = self.table.remove(key) else { return 0 };
        if let Some((_, timer)) = call.armed {
            self.wheel.cancel(timer);
        }
        let duration_ms = call.lasted_ms(now.at);
        let Call { id, media, started, form, .. } = call;
        let closing = match form {
            Form::Pair(pair) => self.close_pair(duration_ms, id, pair, reason, by),
            Form::Group(group) => self.close_group(duration_ms, id, started, group, reason, by),
        };
        self.bury(now, id, Tombstone { users: closing.users, with: None, duration_ms });
        self.out.ended(CallRecord {
            id: id.to_string().into_boxed_str(),
            caller: closing.caller,
            callee: closing.callee,
            media,
            reason,
            ended_by: by.cloned(),
            started: started.unix,
            answered: closing.answered.map(|answered| answered.unix),
            ended: now.unix,
            duration_ms,
            stats: closing.stats,
        });
        duration_ms
    }

    fn close_pair(
        &mut self,
        duration_ms: u64,
        id: Ulid,
        mut pair: Pair,
        reason: EndReason,
        by: Option<&Party>,
    ) -> Closing {
        let last = match pair.state.end() {
            Ok(last) => last,
            Err(illegal) => unreachable!("only live calls are in the table: {illegal}"),
        };
        last.label().into_iter().for_each(|label| self.out.left(label));
        let talk = last.talk();
        let answered = talk.map(|talk| talk.accepted);
        self.tell_the_end(id, &pair, &last, reason, by, duration_ms);
        let device = talk.map(|talk| talk.callee.party().device.clone());
        let ends = talk.map(|talk| &talk.callee.endpoint).into_iter().chain([&pair.caller.endpoint]);
        let stats = ends.filter_map(|end| Some((end.party.clone(), end.stats.clone()?))).collect();
        let caller = pair.caller.party().clone();
        let users = vec![caller.user.clone(), pair.callee.clone()];
        Closing { caller, callee: Callee::User { user: pair.callee, device }, answered, stats, users }
    }

    /// `call:end` to every device that is bound or rings, but for the one that ended it.
    fn tell_the_end(
        &mut self,
        id: Ulid,
        pair: &Pair,
        last: &State,
        reason: EndReason,
        by: Option<&Party>,
        duration_ms: u64,
    ) {
        let caller = pair.caller.party();
        let mut others = match last {
            State::Ringing(ringing) => pair.ringing_parties(ringing),
            _ => last.talk().map(|talk| talk.callee.party().clone()).into_iter().collect(),
        };
        others.retain(|party| Some(party) != by);
        let is_ringing = matches!(last, State::Ringing(_));
        let was_declined = matches!(reason, EndReason::Rejected | EndReason::Busy) && is_ringing;
        let theirs = if was_declined { EndReason::RejectedElsewhere } else { reason };
        let event = farewell(id, &caller.user, theirs, by, duration_ms);
        self.out.emit_all(others, "call:end", event);
        if by == Some(caller) {
            return;
        }
        if let Some(text) = rejection_text(reason).filter(|_| is_ringing) {
            let event = Object::of_call(id).text("from", &pair.callee).text("reason", text).finish();
            self.out.emit(caller, "call:rejected", event);
        }
        self.out.emit(caller, "call:end", farewell(id, &pair.callee, reason, by, duration_ms));
    }

    fn close_group(
        &mut self,
        duration_ms: u64,
        id: Ulid,
        started: Now,
        group: Group,
        reason: EndReason,
        by: Option<&Party>,
    ) -> Closing {
        self.out.left(CallState::Active);
        let members: Vec<Party> = group.parties().collect();
        let mut users: Vec<_> = members.iter().map(|party| party.user.clone()).collect();
        users.dedup();
        let others = members.into_iter().filter(|party| Some(party) != by).collect();
        let from = by.map_or(&group.opener.user, |party| &party.user);
        let event = farewell(id, from, reason, by, duration_ms);
        self.out.emit_all(others, "call:end", event);
        let mut stats = group.stats;
        let last = group.members.into_iter().map(|member| member.endpoint);
        stats.extend(last.filter_map(|end| Some((end.party, end.stats?))));
        Closing {
            caller: group.opener,
            callee: Callee::Room(group.room),
            answered: Some(started),
            stats,
            users,
        }
    }
}

/// `call:end` as a device reads it: `from` is the user at the other end, `ended_by` who ended it, null for the server.
pub(super) fn farewell(
    id: Ulid,
    from: &str,
    reason: EndReason,
    by: Option<&Party>,
    duration_ms: u64,
) -> Box<str> {
    let object = Object::of_call(id).text("from", from).text("reason", reason_text(reason));
    let object = match by {
        Some(party) => object.text("ended_by", &party.user),
        None => object.raw("ended_by", "null"),
    };
    object.number("duration_ms", duration_ms).finish()
}

impl Call {
    /// Milliseconds since it was accepted or opened, those before this start of the daemon included. Media may have flowed
    /// while there was none, but only who comes back shows that it did.
    pub(super) fn lasted_ms(&self, now: Timestamp) -> u64 {
        if let Some(known) = self.unclaimed_ms {
            return known;
        }
        let since = match &self.form {
            Form::Pair(pair) => pair.state.talk().map(|talk| talk.accepted.at),
            Form::Group(_) => Some(self.started.at),
        };
        since.map_or(0, |since| self.earlier_ms.saturating_add(millis(now.since(since))))
    }
}
