//! What a call makes of devices that come and go.

use super::super::Party;
use super::answering::peer_state;
use super::endpoint::Endpoint;
use super::pair::{Pair, Place, State};
use super::table::{Call, CallKey, Form};
use super::{Calls, DeviceChange, World};
use crate::base::{Now, Timestamp};
use crate::metrics::EndReason;
use std::time::Duration;
use ulid::Ulid;

impl Calls {
    /// Says what became of a device.
    pub fn on_device(&mut self, now: Now, party: &Party, change: DeviceChange, world: &dyn World) {
        let calls = self.table.of_user(&party.user).to_vec();
        for key in calls {
            match change {
                DeviceChange::Online | DeviceChange::Back => self.on_there(now, key, party, world),
                DeviceChange::Lost => self.on_away(now, key, party),
                DeviceChange::Gone => {
                    self.on_away(now, key, party);
                    self.stop_ringing(now, key, party);
                }
            }
            self.rearm(now.at, key);
        }
    }

    fn on_there(&mut self, now: Now, key: CallKey, party: &Party, world: &dyn World) {
        let Some((id, own, others)) = self.bound(key, party) else {
            return self.ring_late(now, key, party, world);
        };
        if own.come_back() {
            self.out.emit_all(others, "call:peer-state", peer_state(id, &party.user, true));
        }
        self.table.claim(key);
    }

    /// A bound device may be away for a grace: media flows without signaling.
    fn on_away(&mut self, now: Now, key: CallKey, party: &Party) {
        let grace = self.grace(key);
        let Some((id, own, others)) = self.bound(key, party) else { return };
        if own.leave_until(now.at.after(grace)) {
            self.out.emit_all(others, "call:peer-state", peer_state(id, &party.user, false));
        }
    }

    fn grace(&self, key: CallKey) -> Duration {
        match self.table.get(key).map(|call| &call.form) {
            Some(Form::Pair(Pair { state: State::Ringing(_), .. })) => self.settings.grace_ringing,
            _ => self.settings.grace_call,
        }
    }

    /// The bound end of a call that is this device, and the bound others, who may hear of it.
    fn bound(&mut self, key: CallKey, party: &Party) -> Option<(Ulid, &mut Endpoint, Vec<Party>)> {
        match self.table.get_mut(key)? {
            Call { id, form: Form::Pair(pair), .. } => {
                let place = pair.place(party);
                if place == Place::Caller && pair.state.talk().is_none() {
                    return Some((*id, &mut pair.caller.endpoint, Vec::new()));
                }
                let (own, other) = pair.sides(place)?;
                Some((*id, &mut own.endpoint, vec![other.party().clone()]))
            }
            Call { id, form: Form::Group(group), .. } => {
                let (at, others) = (group.position(party)?, group.others(party));
                Some((*id, &mut group.members[at].endpoint, others))
            }
        }
    }

    /// A device that comes while its user is called rings as well, unless it said no or has calls enough.
    fn ring_late(&mut self, now: Now, key: CallKey, party: &Party, world: &dyn World) {
        let has_place = self.table.of_device(party).count() < self.settings.calls_per_device;
        let Some((_, pair)) = self.table.pair_mut(key) else { return };
        let is_aside = pair.place(party) == Place::Aside;
        let State::Ringing(ringing) = &pair.state else { return };
        let is_new = !ringing.ringers.iter().any(|ringer| ringer.device == party.device);
        if has_place && is_aside && is_new {
            self.ring_one_more(now, key, &party.device, world);
        }
    }

    /// A device that rang has no session left; when it was the last one, another may come for a while.
    pub(super) fn stop_ringing(&mut self, now: Now, key: CallKey, party: &Party) {
        let until = now.at.after(self.settings.grace_ringing);
        let Some((_, pair)) = self.table.pair_mut(key) else { return };
        let Place::Ringer(at) = pair.place(party) else { return };
        let State::Ringing(ringing) = &mut pair.state else { return };
        ringing.ringers.remove(at);
        if ringing.ringers.is_empty() {
            ringing.deserted_until = Some(until);
        } else if ringing.ringers.iter().all(|ringer| ringer.has_declined) {
            self.end(now, key, EndReason::Rejected, None);
        }
    }

    /// The reason for which a call is over at this time.
    pub(super) fn overdue(&self, now: Timestamp, key: CallKey) -> Option<EndReason> {
        let call = self.table.get(key)?;
        let is_due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        if is_due(call.max_until) {
            return Some(EndReason::MaxDuration);
        }
        let Form::Pair(pair) = &call.form else { return None };
        let caller_lost = pair.caller.endpoint.is_lost(now);
        match &pair.state {
            State::Ringing(ringing)
                if pair.caller.endpoint.is_unclaimed && (caller_lost || ringing.until <= now) =>
            {
                Some(EndReason::Lost)
            }
            State::Ringing(ringing) if ringing.until <= now => Some(EndReason::NoAnswer),
            State::Ringing(_) if caller_lost => Some(EndReason::Cancelled),
            State::Ringing(ringing) => is_due(ringing.deserted_until).then_some(EndReason::Offline),
            State::Connecting(connecting) => connecting.overdue(now),
            State::Active(active) => is_due(active.confirm_until).then_some(EndReason::MediaFailed),
            State::Ended => None,
        }
        .or_else(|| {
            (caller_lost || pair.state.talk()?.callee.endpoint.is_lost(now)).then_some(EndReason::Lost)
        })
    }
}
