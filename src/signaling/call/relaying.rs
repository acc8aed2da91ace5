//! Descriptions and candidates on their way from one device to another.

use super::super::json::done;
use super::super::{Party, Refusal};
use super::calling::device_of;
use super::command::{Batch, Candidates, Describe, Description};
use super::endpoint::Signal;
use super::hold::{KEPT_BYTES_MAX, KEPT_MAX, RINGER_KEPT_BYTES_MAX, RINGER_KEPT_MAX};
use super::pair::{Connecting, Pair, Place, Ringing, State, Step};
use super::table::{CallKey, Form, Scope};
use super::{Calls, Reply, World, ended, no_call, wrong_state};
use crate::base::{Now, Timestamp};
use crate::metrics::SignalingError;

impl Calls {
    /// `webrtc:offer` and `webrtc:answer`.
    pub(super) fn describe(
        &mut self,
        now: Now,
        from: &Party,
        description: Describe,
        world: &dyn World,
    ) -> Reply {
        let key = self.locate_in(from, &description.target, Scope::Members)?;
        let Some((_, pair)) = self.table.pair_mut(key) else {
            return self.describe_to_member(now, key, from, &description);
        };
        let place = pair.place(from);
        match (place, description.kind, &pair.state) {
            (Place::Caller, Description::Offer, State::Ringing(_)) => {
                self.offer_while_ringing(key, &description)?
            }
            (Place::Caller, Description::Answer, State::Ringing(_)) => {
                return Err(wrong_state("the call rings: there is nothing to answer yet"));
            }
            (Place::Ringer(at), Description::Offer, _) => return Err(stray_offer(pair, at)),
            (Place::Ringer(at), Description::Answer, State::Ringing(ringing)) => {
                may_answer(ringing, at)?;
                self.accept(now, key, from, world)?;
                self.describe_to_peer(now, key, Place::Callee, &description)?;
            }
            _ => self.describe_to_peer(now, key, place, &description)?,
        }
        self.rearm(now.at, key);
        Ok(done())
    }

    /// `webrtc:ice-candidate`.
    pub(super) fn candidates(&mut self, now: Now, from: &Party, candidates: Candidates) -> Reply {
        let key = self.locate_in(from, &candidates.target, Scope::Members)?;
        let Candidates { items, neg, .. } = match self.table.get(key).map(|call| &call.form) {
            Some(Form::Pair(_)) => candidates,
            _ => return self.candidates_to_member(now, key, from, candidates),
        };
        match items {
            Batch::One(one) => self.candidate(now, key, from, one, neg)?,
            Batch::Many(many) => {
                many.into_iter().try_for_each(|one| self.candidate(now, key, from, one, neg))?;
            }
        }
        self.rearm(now.at, key);
        Ok(done())
    }

    fn candidate(
        &mut self,
        now: Now,
        key: CallKey,
        from: &Party,
        candidate: Box<str>,
        neg: Option<u64>,
    ) -> Result<(), Refusal> {
        let until = now.at.after(self.settings.candidate_hold);
        let (id, pair) = self.table.pair_mut(key).ok_or_else(ended)?;
        let place = pair.place(from);
        if let Some((sender, receiver)) = pair.sides(place) {
            if !sender.outlet.passes(neg) {
                return sender.outlet.hold(until, neg, candidate, (KEPT_MAX, KEPT_BYTES_MAX));
            }
            let data = sender.endpoint.signal(id, Signal::Candidate, &candidate, neg);
            self.out.emit(receiver.party(), Signal::Candidate.event(), data);
            return self.note_candidate(now.at, key, place);
        }
        match place {
            Place::Caller => self.candidate_while_ringing(key, until, candidate, neg),
            Place::Ringer(at) => hold_for_answer(pair, at, until, candidate, neg),
            _ => Err(no_call()),
        }
    }

    /// To the other side, with the candidates that waited for it; the first answer is what connecting waits for.
    fn describe_to_peer(
        &mut self,
        now: Now,
        key: CallKey,
        place: Place,
        description: &Describe,
    ) -> Result<(), Refusal> {
        let kind = signal_of(description.kind);
        let (id, pair) = self.table.pair_mut(key).ok_or_else(ended)?;
        let (sender, receiver) = pair.sides(place).ok_or_else(no_call)?;
        let data = sender.endpoint.signal(id, kind, &description.body, description.neg);
        self.out.emit(receiver.party(), kind.event(), data);
        let was_described = sender.outlet.is_described();
        let released = sender.outlet.describe(description.neg);
        for (candidate, neg) in &released {
            let data = sender.endpoint.signal(id, Signal::Candidate, candidate, *neg);
            self.out.emit(receiver.party(), Signal::Candidate.event(), data);
        }
        if let (Description::Answer, State::Connecting(Connecting { step, .. })) =
            (description.kind, &mut pair.state)
            && matches!(step, Step::AwaitingAnswer { .. })
        {
            let until = now.at.after(self.settings.media_confirm);
            *step = Step::AwaitingMedia { until, heard: [false; 2] };
        }
        if !was_described {
            self.changed(key);
        }
        if released.is_empty() { Ok(()) } else { self.note_candidate(now.at, key, place) }
    }

    /// A candidate went through; the first both ways after the answer mean media.
    fn note_candidate(&mut self, now: Timestamp, key: CallKey, place: Place) -> Result<(), Refusal> {
        let confirm_until = now.after(self.settings.media_confirm);
        let Some((_, Pair { state: State::Connecting(connecting), .. })) = self.table.pair_mut(key) else {
            return Ok(());
        };
        let Step::AwaitingMedia { heard, .. } = &mut connecting.step else { return Ok(()) };
        heard[usize::from(place == Place::Callee)] = true;
        let (both, reports) = (*heard == [true; 2], connecting.talk.reports);
        if both { self.activate(key, reports.then_some(confirm_until)) } else { Ok(()) }
    }

    /// Kept for devices that come later or have not accepted, and shown to all others at once.
    fn offer_while_ringing(&mut self, key: CallKey, offer: &Describe) -> Result<(), Refusal> {
        let (id, pair) = self.table.pair_mut(key).ok_or_else(ended)?;
        let audience = listeners(pair);
        let Pair { caller, state: State::Ringing(ringing), .. } = pair else { return Err(ended()) };
        ringing.kept.offer(&offer.body, offer.neg, caller.outlet.held().1)?;
        if !audience.is_empty() {
            let data = caller.endpoint.signal(id, Signal::Offer, &offer.body, offer.neg);
            self.out.emit_all(audience.clone(), Signal::Offer.event(), data);
        }
        for (candidate, neg) in caller.outlet.describe(offer.neg) {
            ringing.kept.candidate(&candidate, neg, caller.outlet.held())?;
            if !audience.is_empty() {
                let data = caller.endpoint.signal(id, Signal::Candidate, &candidate, neg);
                self.out.emit_all(audience.clone(), Signal::Candidate.event(), data);
            }
        }
        Ok(())
    }

    fn candidate_while_ringing(
        &mut self,
        key: CallKey,
        until: Timestamp,
        candidate: Box<str>,
        neg: Option<u64>,
    ) -> Result<(), Refusal> {
        let (id, pair) = self.table.pair_mut(key).ok_or_else(ended)?;
        let audience = listeners(pair);
        let Pair { caller, state: State::Ringing(ringing), .. } = pair else { return Err(ended()) };
        if !caller.outlet.passes(neg) {
            return caller.outlet.hold(until, neg, candidate, ringing.kept.room_left());
        }
        ringing.kept.candidate(&candidate, neg, caller.outlet.held())?;
        if !audience.is_empty() {
            let data = caller.endpoint.signal(id, Signal::Candidate, &candidate, neg);
            self.out.emit_all(audience, Signal::Candidate.event(), data);
        }
        Ok(())
    }

    fn describe_to_member(&mut self, now: Now, key: CallKey, from: &Party, description: &Describe) -> Reply {
        let kind = signal_of(description.kind);
        let (id, group) = self.table.group_mut(key).ok_or_else(ended)?;
        let (sender, receiver) =
            group.ends(from, description.target.to.as_deref(), description.to_device.as_deref())?;
        let to = group.members[receiver].endpoint.party.clone();
        let (endpoint, outlet) = group.way(sender, receiver);
        let data = endpoint.signal(id, kind, &description.body, description.neg);
        self.out.emit(&to, kind.event(), data);
        for (candidate, neg) in outlet.describe(description.neg) {
            let data = endpoint.signal(id, Signal::Candidate, &candidate, neg);
            self.out.emit(&to, Signal::Candidate.event(), data);
        }
        self.rearm(now.at, key);
        Ok(done())
    }

    fn candidates_to_member(&mut self, now: Now, key: CallKey, from: &Party, said: Candidates) -> Reply {
        let until = now.at.after(self.settings.candidate_hold);
        let (id, group) = self.table.group_mut(key).ok_or_else(ended)?;
        let (sender, receiver) = group.ends(from, said.target.to.as_deref(), said.to_device.as_deref())?;
        let to = group.members[receiver].endpoint.party.clone();
        let items = match said.items {
            Batch::One(one) => vec![one],
            Batch::Many(many) => many,
        };
        for candidate in items {
            let (held, bytes) = group.held_of(sender);
            let (endpoint, outlet) = group.way(sender, receiver);
            if outlet.passes(said.neg) {
                let data = endpoint.signal(id, Signal::Candidate, &candidate, said.neg);
                self.out.emit(&to, Signal::Candidate.event(), data);
            } else {
                let own = outlet.held();
                let limit = (KEPT_MAX - (held - own.0), KEPT_BYTES_MAX - (bytes - own.1));
                outlet.hold(until, said.neg, candidate, limit)?;
            }
        }
        self.rearm(now.at, key);
        Ok(done())
    }
}

fn signal_of(kind: Description) -> Signal {
    match kind {
        Description::Offer => Signal::Offer,
        Description::Answer => Signal::Answer,
    }
}

/// The devices that ring and may hear of descriptions before they accept.
fn listeners(pair: &Pair) -> Vec<Party> {
    let State::Ringing(ringing) = &pair.state else { return Vec::new() };
    let open = ringing.ringers.iter().filter(|ringer| !ringer.is_explicit && !ringer.has_declined);
    open.map(|ringer| device_of(&pair.callee, &ringer.device)).collect()
}

/// An answer is an accept, unless this device could not have seen the offer.
fn may_answer(ringing: &Ringing, at: usize) -> Result<(), Refusal> {
    if ringing.ringers[at].is_explicit {
        return Err(wrong_state("the call rings: accept it first"));
    }
    if ringing.kept.offer.is_none() && !ringing.is_restored {
        return Err(wrong_state("the call rings: no offer has come yet"));
    }
    Ok(())
}

/// An offer of a device that rings: of a caller that does not know yet that it has become a callee.
fn stray_offer(pair: &mut Pair, at: usize) -> Refusal {
    let State::Ringing(ringing) = &mut pair.state else { return ended() };
    if ringing.ringers[at].is_glared {
        return Refusal::new(SignalingError::Glare, "the other side called first: answer its offer");
    }
    wrong_state("the call rings: answer it, or accept it first")
}

/// A candidate of a device that rings waits for its answer; those of a stray offer belong to nothing.
fn hold_for_answer(
    pair: &mut Pair,
    at: usize,
    until: Timestamp,
    candidate: Box<str>,
    neg: Option<u64>,
) -> Result<(), Refusal> {
    let State::Ringing(ringing) = &mut pair.state else { return Err(ended()) };
    if ringing.ringers[at].is_glared {
        return Err(Refusal::new(SignalingError::Glare, "the other side called first: answer its offer"));
    }
    let held = ringing.ringers.iter().enumerate().filter(|(other, _)| *other != at);
    let (count, bytes) = held.fold((0, 0), |sum, (_, ringer)| {
        let held = ringer.outlet.held();
        (sum.0 + held.0, sum.1 + held.1)
    });
    let limit = (RINGER_KEPT_MAX - count, RINGER_KEPT_BYTES_MAX - bytes);
    ringing.ringers[at].outlet.hold(until, neg, candidate, limit)
}
