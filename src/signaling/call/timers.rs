//! What happens when nobody does anything.

use super::super::json::Object;
use super::Calls;
use super::World;
use super::endpoint::Endpoint;
use super::pair::{Connecting, Pair, State, Step};
use super::table::{CallKey, Form};
use crate::base::{Now, Timestamp};
use crate::metrics::EndReason;

impl Calls {
    /// Does what is due at `now`.
    pub fn on_deadline(&mut self, now: Now, world: &dyn World) {
        self.past.expire(now.at);
        while let Some(key) = self.wheel.pop(now.at) {
            if let Some(call) = self.table.get_mut(key) {
                call.armed = None;
            }
            self.run_due(now, key, world);
            self.rearm(now.at, key);
        }
    }

    /// When [`Calls::on_deadline`] has something to do; may be early, never late.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        super::endpoint::earliest([self.wheel.next_deadline(), self.past.deadline()])
    }

    /// A call has one timer for everything; what is due is found by looking.
    fn run_due(&mut self, now: Now, key: CallKey, world: &dyn World) {
        if let Some(reason) = self.overdue(now.at, key) {
            self.end(now, key, reason, None);
            return;
        }
        self.assume_media(now.at, key);
        self.drop_lost_members(now, key);
        let Some(call) = self.table.get_mut(key) else { return };
        match &mut call.form {
            Form::Pair(pair) => pair.expire_candidates(now.at),
            Form::Group(group) => group.expire(now.at),
        }
        if call.renew_at <= now.at {
            call.renew_at = now.at.after(self.settings.credential_ttl() / 2);
            self.renew_credentials(now, key, world);
        }
    }

    /// Answered a while ago, and nobody promised to report: as good as talking.
    fn assume_media(&mut self, now: Timestamp, key: CallKey) {
        let Some((_, Pair { state: State::Connecting(connecting), .. })) = self.table.pair_mut(key) else {
            return;
        };
        if matches!(connecting.step, Step::AwaitingMedia { until, .. } if until <= now) {
            // Legal, as the state is connecting.
            self.activate(key, None).ok();
        }
    }

    fn drop_lost_members(&mut self, now: Now, key: CallKey) {
        let Some((_, group)) = self.table.group_mut(key) else { return };
        let lost = |endpoint: &Endpoint| endpoint.is_lost(now.at);
        let lost = group.members.iter().map(|member| &member.endpoint).filter(|endpoint| lost(endpoint));
        let lost: Vec<_> = lost.map(|endpoint| endpoint.party.clone()).collect();
        for party in lost {
            self.leave_with(now, key, &party, EndReason::Lost, None);
        }
    }

    /// `call:ice-servers` to each bound device, before the credentials that it has are over.
    fn renew_credentials(&mut self, now: Now, key: CallKey, world: &dyn World) {
        let Some(call) = self.table.get(key) else { return };
        let bound = match &call.form {
            Form::Pair(pair) => {
                let callee = pair.state.talk().map(|talk| talk.callee.party().clone());
                [pair.caller.party().clone()].into_iter().chain(callee).collect()
            }
            Form::Group(group) => Vec::from_iter(group.parties()),
        };
        let id = call.id;
        for party in bound {
            let event = self.with_ice(Object::of_call(id), now, &party.user, id, world).finish();
            self.out.emit(&party, "call:ice-servers", event);
        }
    }
}

impl Connecting {
    /// The reason for which connecting has failed at `now`.
    pub(super) fn overdue(&self, now: Timestamp) -> Option<EndReason> {
        match self.step {
            Step::AwaitingAnswer { until } if until <= now => Some(EndReason::IceTimeout),
            Step::AwaitingMedia { until, .. } if until <= now && self.talk.reports => {
                Some(EndReason::MediaFailed)
            }
            _ => None,
        }
    }
}

impl Pair {
    /// Forgets candidates whose description did not come in time.
    fn expire_candidates(&mut self, now: Timestamp) {
        self.caller.outlet.expire(now);
        match &mut self.state {
            State::Ringing(ringing) => {
                ringing.ringers.iter_mut().for_each(|ringer| ringer.outlet.expire(now));
            }
            state => state.talk_mut().into_iter().for_each(|talk| talk.callee.outlet.expire(now)),
        }
    }
}
