//! From ringing to talking: accept, reject, devices that come late, and the way to `active`.

use super::super::json::{Object, done};
use super::super::{Party, Refusal};
use super::calling::device_of;
use super::command::{Decline, Target};
use super::endpoint::{Ringer, Side, Signal, millis};
use super::output::Outbox;
use super::pair::{Connecting, Pair, Place, Ringing, State, Step, Talk};
use super::phase::{IllegalTransition, Phase};
use super::table::{Call, CallKey, Form};
use super::{Calls, RejectScope, Reply, World, answered_elsewhere, ended, no_call, wrong_state};
use crate::base::{Now, Timestamp};
use crate::metrics::{CallState, EndReason};
use std::sync::Arc;
use ulid::Ulid;

impl Calls {
    /// `call:accepted`; once more from the device that has the call, it changes nothing.
    pub(super) fn on_accept(&mut self, now: Now, from: &Party, target: &Target, world: &dyn World) -> Reply {
        let key = self.locate(from, target)?;
        let (_, pair) = self.table.pair_mut(key).ok_or_else(|| wrong_state("a group call is joined"))?;
        match pair.place(from) {
            Place::Ringer(_) => self.accept(now, key, from, world)?,
            Place::Callee => {}
            _ => return Err(wrong_state("it is for the callee to accept")),
        }
        self.start_reply(now, key, from, false, world)
    }

    /// `from`, which rings, takes the call: the caller hears of it, the other devices stop ringing.
    pub(super) fn accept(
        &mut self,
        now: Now,
        key: CallKey,
        from: &Party,
        world: &dyn World,
    ) -> Result<(), Refusal> {
        let call = self.table.get_mut(key).ok_or_else(ended)?;
        let Form::Pair(pair) = &mut call.form else { return Err(no_call()) };
        let caller = pair.caller.party().clone();
        let talk = Talk {
            callee: Side::new(from.clone()),
            accepted: now,
            reports: world.abilities(&caller).report || world.abilities(from).report,
        };
        let step = Step::AwaitingAnswer { until: now.at.after(self.settings.connect) };
        let ringing = pair.state.connect(Connecting { talk, step })?;
        call.rev += 1;
        call.max_until = self.settings.max_duration.map(|longest| now.at.after(longest));
        let (id, waited) = (call.id, now.at.since(call.started.at));
        self.out.left(CallState::Ringing);
        self.out.entered(CallState::Connecting);
        self.out.set_up(millis(waited));
        let accepted = Object::of_call(id).text("from", &from.user).text("device_id", &from.device);
        self.out.emit(&caller, "call:accepted", accepted.text("callee_id", &from.user).finish());
        dismiss_losers(&mut self.out, id, &caller, from, &ringing);
        hand_over(&mut self.out, id, pair, ringing, from);
        if pair.caller.endpoint.away_until.is_some() {
            pair.caller.endpoint.away_until = Some(now.at.after(self.settings.grace_call));
            self.out.emit(from, "call:peer-state", peer_state(id, &caller.user, false));
        }
        self.rearm(now.at, key);
        self.changed(key);
        Ok(())
    }

    /// `call:rejected`.
    pub(super) fn on_reject(&mut self, now: Now, from: &Party, target: &Target, decline: Decline) -> Reply {
        let key = self.locate(from, target)?;
        let reason = match decline {
            Decline::Busy => EndReason::Busy,
            Decline::Declined => EndReason::Rejected,
        };
        let (_, pair) = self.table.pair_mut(key).ok_or_else(|| wrong_state("a group call is left"))?;
        match pair.place(from) {
            Place::Ringer(at) => self.reject(now, key, at, from, reason),
            Place::Callee => {
                return Err(IllegalTransition { from: pair.state.phase(), to: Phase::Ringing }.into());
            }
            _ => return Err(wrong_state("it is for the callee to reject")),
        }
        Ok(done())
    }

    /// A device that rings says no: for its user, or only for itself while others ring.
    pub(super) fn reject(&mut self, now: Now, key: CallKey, at: usize, from: &Party, reason: EndReason) {
        if self.settings.reject_scope == RejectScope::Device
            && let Some((_, Pair { state: State::Ringing(ringing), .. })) = self.table.pair_mut(key)
        {
            ringing.ringers[at].has_declined = true;
            if ringing.ringers.iter().any(|ringer| !ringer.has_declined) {
                return;
            }
        }
        self.end(now, key, reason, Some(from));
    }

    /// A device of the callee comes while it rings: it hears all that the others heard.
    pub(super) fn ring_one_more(&mut self, now: Now, key: CallKey, device: &Arc<str>, world: &dyn World) {
        let Some((_, pair)) = self.table.pair_mut(key) else { return };
        let callee = pair.callee.clone();
        let ringer = self.ringer(&callee, device.clone(), world);
        let is_explicit = ringer.is_explicit;
        let Some((id, pair)) = self.table.pair_mut(key) else { return };
        let State::Ringing(ringing) = &mut pair.state else { return };
        ringing.ringers.retain(|other| other.device != *device);
        ringing.ringers.push(ringer);
        ringing.deserted_until = None;
        let rings = ringing.ringers.iter().filter(|ringer| !ringer.has_declined).count() as u64;
        let caller = pair.caller.party().clone();
        let party = device_of(&callee, device);
        self.announce(now, key, vec![party.clone()], world);
        if !is_explicit && let Some((_, pair)) = self.table.pair_mut(key) {
            replay(&mut self.out, id, pair, &party);
        }
        self.out.emit(&caller, "call:ringing", Object::of_call(id).number("devices", rings).finish());
    }

    /// `call:connected`: the client has media.
    pub(super) fn on_connected(&mut self, from: &Party, target: &Target) -> Reply {
        let key = self.locate(from, target)?;
        let Some((_, pair)) = self.table.pair_mut(key) else { return Ok(done()) };
        match &mut pair.state {
            State::Active(active) => active.confirm_until = None,
            State::Connecting(Connecting { step: Step::AwaitingMedia { .. }, .. }) => {
                self.activate(key, None)?;
            }
            other => return Err(IllegalTransition { from: other.phase(), to: Phase::Active }.into()),
        }
        Ok(done())
    }

    /// Media is assumed to flow; a report is due until `confirm_until`.
    pub(super) fn activate(&mut self, key: CallKey, confirm_until: Option<Timestamp>) -> Result<(), Refusal> {
        let Some(Call { rev, form: Form::Pair(pair), .. }) = self.table.get_mut(key) else { return Ok(()) };
        pair.state.activate(confirm_until)?;
        *rev += 1;
        self.out.left(CallState::Connecting);
        self.out.entered(CallState::Active);
        self.changed(key);
        Ok(())
    }

    /// What a device hears for whose user the call rings or runs elsewhere; to all others it is no call at all.
    pub(super) fn not_this_device(&self, key: CallKey, from: &Party) -> Refusal {
        let Some(Call { form: Form::Pair(pair), .. }) = self.table.get(key) else { return no_call() };
        match (pair.place(from), pair.state.phase()) {
            (Place::Aside, Phase::Ringing) => ended(),
            (Place::Aside, _) => answered_elsewhere(),
            _ => no_call(),
        }
    }
}

/// `call:peer-state`.
pub(super) fn peer_state(id: Ulid, user: &str, is_back: bool) -> Box<str> {
    let state = if is_back { "back" } else { "reconnecting" };
    Object::of_call(id).text("user", user).text("state", state).finish()
}

fn dismiss_losers(out: &mut Outbox, id: Ulid, caller: &Party, winner: &Party, ringing: &Ringing) {
    let lost = |ringer: &&Ringer| !ringer.has_declined && ringer.device != winner.device;
    let losers = ringing.ringers.iter().filter(lost).map(|ringer| device_of(&winner.user, &ringer.device));
    let losers: Vec<_> = losers.collect();
    let farewell = super::ending::farewell(id, &caller.user, EndReason::AnsweredElsewhere, Some(winner), 0);
    out.emit_all(losers, "call:end", farewell);
}

/// The winner gets what was kept from it, and what it said itself waits for its answer as before.
fn hand_over(out: &mut Outbox, id: Ulid, pair: &mut Pair, mut ringing: Ringing, winner: &Party) {
    let Some(at) = ringing.ringers.iter().position(|ringer| ringer.device == winner.device) else { return };
    let ringer = ringing.ringers.swap_remove(at);
    if ringer.is_explicit {
        send_kept(out, id, &mut pair.caller, &ringing, winner);
    }
    if let Some(talk) = pair.state.talk_mut() {
        talk.callee.outlet = ringer.outlet;
    }
}

fn replay(out: &mut Outbox, id: Ulid, pair: &mut Pair, to: &Party) {
    if let State::Ringing(ringing) = &pair.state {
        send_kept(out, id, &mut pair.caller, ringing, to);
    }
}

/// The latest offer, and then its candidates.
fn send_kept(out: &mut Outbox, id: Ulid, caller: &mut Side, ringing: &Ringing, to: &Party) {
    let Some((offer, neg)) = &ringing.kept.offer else { return };
    out.emit(to, Signal::Offer.event(), caller.endpoint.signal(id, Signal::Offer, offer, *neg));
    for (candidate, neg) in &ringing.kept.candidates {
        let data = caller.endpoint.signal(id, Signal::Candidate, candidate, *neg);
        out.emit(to, Signal::Candidate.event(), data);
    }
}
