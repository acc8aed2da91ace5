//! What a client asks about its calls, and what it tells: `call:sync`, `call:stats`, `call:restart`.

use super::super::json::{Object, array, done};
use super::super::{Party, Refusal};
use super::command::Target;
use super::endpoint::Endpoint;
use super::pair::{Place, State};
use super::table::{Call, Form};
use super::{Calls, Reply, World, ended, wrong_state};
use crate::base::Now;

impl Calls {
    /// The calls of a device as `call:sync` tells them: `{"calls":[..]}`, also for after a recovery that failed.
    pub fn snapshot(&self, party: &Party) -> Box<str> {
        let calls = array(self.table.of_device(party).map(|(_, call)| one_call(call, party)));
        Object::sized(calls.len() + 16).raw("calls", &calls).finish()
    }

    /// `call:stats`: the latest digest is kept for the record.
    pub(super) fn on_stats(&mut self, from: &Party, target: &Target, digest: Box<str>) -> Reply {
        let key = self.locate(from, target)?;
        self.own_end(key, from)?.stats = Some(digest);
        Ok(done())
    }

    /// `call:restart`: fresh credentials for everybody, for an ICE restart.
    pub(super) fn on_restart(&mut self, now: Now, from: &Party, target: &Target, world: &dyn World) -> Reply {
        let key = self.locate(from, target)?;
        let ttl = self.settings.credential_ttl();
        let call = self.table.get_mut(key).ok_or_else(ended)?;
        let others = match &mut call.form {
            Form::Pair(pair) => {
                let place = pair.place(from);
                let sides =
                    pair.sides(place).ok_or_else(|| wrong_state("the call is ringing, not connecting"))?;
                vec![sides.1.party().clone()]
            }
            Form::Group(group) => group.others(from),
        };
        call.renew_at = now.at.after(ttl / 2);
        let id = call.id;
        for party in others {
            let event = Object::of_call(id).text("from", &from.user).text("from_device", &from.device);
            let event = self.with_ice(event, now, &party.user, id, world).finish();
            self.out.emit(&party, "call:restart", event);
        }
        Ok(self.with_ice(Object::of_call(id), now, &from.user, id, world).finish())
    }

    fn own_end(&mut self, key: usize, from: &Party) -> Result<&mut Endpoint, Refusal> {
        match &mut self.table.get_mut(key).ok_or_else(ended)?.form {
            Form::Pair(pair) => match pair.place(from) {
                Place::Caller => Ok(&mut pair.caller.endpoint),
                place => {
                    let sides = pair.sides(place);
                    sides.map(|(own, _)| &mut own.endpoint).ok_or_else(|| wrong_state("the call is ringing"))
                }
            },
            Form::Group(group) => {
                let at = group.position(from).ok_or_else(ended)?;
                Ok(&mut group.members[at].endpoint)
            }
        }
    }
}

fn one_call(call: &Call, party: &Party) -> Box<str> {
    let state = if call.waits_for_others(party) { "reconnecting" } else { call.phase().as_str() };
    let object = Object::of_call(call.id)
        .text("state", state)
        .number("rev", call.rev)
        .text("call_type", call.media.as_str());
    match &call.form {
        Form::Pair(pair) => {
            let place = pair.place(party);
            let role = if place == Place::Caller { "caller" } else { "callee" };
            let object = object.text("peer", pair.peer_of(place)).text("role", role);
            let expires_at = match &pair.state {
                State::Ringing(ringing) => Some(ringing.expires_at),
                _ => None,
            };
            object.maybe(expires_at, |object, at| object.number("expires_at", at)).finish()
        }
        Form::Group(group) => {
            let object = object.text("room", &group.room).text("role", "member");
            object.raw("members", &group.members_json(party)).finish()
        }
    }
}

impl Call {
    /// Whether it was accepted, and nobody but this device is there.
    fn waits_for_others(&self, than: &Party) -> bool {
        let is_away = |endpoint: &Endpoint| endpoint.away_until.is_some();
        match &self.form {
            Form::Pair(pair) => pair.state.talk().is_some_and(|talk| {
                let other = if pair.place(than) == Place::Caller { &talk.callee } else { &pair.caller };
                is_away(&other.endpoint)
            }),
            Form::Group(group) => {
                let others = group.members.iter().map(|member| &member.endpoint);
                let mut others = others.filter(|endpoint| endpoint.party != *than).peekable();
                others.peek().is_some() && others.all(is_away)
            }
        }
    }
}
