//! `call:start` between two users: who rings, and what else a caller may meet.

use super::super::json::Object;
use super::super::{Party, Refusal};
use super::command::{Goal, Start};
use super::endpoint::{Ringer, Side};
use super::hold::Kept;
use super::output::{CallRecord, Callee, rejection_text};
use super::pair::{Pair, Place, Ringing, State};
use super::past::{Started, Tombstone};
use super::phase::Phase;
use super::table::{Call, CallKey, Form};
use super::{BusyPolicy, Calls, Reply, World, answered_elsewhere, ended, no_call};
use crate::base::Now;
use crate::metrics::{CallState, EndReason, SignalingError};
use std::sync::Arc;
use ulid::Ulid;

/// Who rings, and whether the callee is in another call.
struct Audience {
    devices: Vec<Arc<str>>,
    is_waiting: bool,
}

impl Calls {
    pub(super) fn start(&mut self, now: Now, from: &Party, start: Start, world: &dyn World) -> Reply {
        let reference = start.client_ref.clone().map(|reference| (from.clone(), reference));
        if let Some(started) = reference.as_ref().and_then(|key| self.past.started(key)).cloned() {
            return self.start_again(now, from, &start, &started, world);
        }
        let goal = Box::from(start.goal.name());
        let (key, reply) = match &start.goal {
            Goal::User(callee) => self.call_user(now, from, &Arc::from(&**callee), &start, world)?,
            Goal::Room(room) => self.open_room(now, from, room, start.media, world)?,
        };
        if let (Some(reference), Some(call)) = (reference, self.table.get(key).map(|call| call.id)) {
            let until = now.at.after(self.settings.client_ref);
            self.past.note_start(until, reference, Started { call, goal }, self.settings.calls_total);
        }
        Ok(reply)
    }

    /// The same start once more: the same answer, and nobody rings twice.
    fn start_again(
        &mut self,
        now: Now,
        from: &Party,
        start: &Start,
        started: &Started,
        world: &dyn World,
    ) -> Reply {
        if *started.goal != *start.goal.name() {
            return Err(Refusal::new(SignalingError::Duplicate, "this client_ref has started another call"));
        }
        let key = self.table.by_id(started.call).ok_or_else(ended)?;
        self.start_reply(now, key, from, false, world)
    }

    fn call_user(
        &mut self,
        now: Now,
        from: &Party,
        callee: &Arc<str>,
        start: &Start,
        world: &dyn World,
    ) -> Result<(CallKey, Box<str>), Refusal> {
        if let Some(key) = self.table.by_pair(&from.user, callee) {
            return Ok((key, self.meet(now, from, key, world)?));
        }
        if let Err(refusal) = world.may_call(from, callee) {
            if refusal.code == SignalingError::Blocked {
                self.turn_away(now, from, callee, start, EndReason::Blocked);
            }
            return Err(refusal);
        }
        self.has_place_for(from)?;
        let audience = self.audience(from, callee, world).map_err(|(reason, refusal)| {
            self.turn_away(now, from, callee, start, reason);
            refusal
        })?;
        let key = self.ring(now, from, callee, start, audience, world);
        Ok((key, self.start_reply(now, key, from, false, world)?))
    }

    /// The pair has a call already: it stays the only one.
    fn meet(&mut self, now: Now, from: &Party, key: CallKey, world: &dyn World) -> Reply {
        let (_, pair) = self.table.pair_mut(key).ok_or_else(no_call)?;
        let is_ringing = pair.state.phase() == Phase::Ringing;
        match pair.place(from) {
            Place::Caller | Place::Callee => self.start_reply(now, key, from, false, world),
            Place::Ringer(_) => self.glare(now, from, key, world),
            Place::Aside if is_ringing => {
                self.ring_one_more(now, key, &from.device, world);
                self.glare(now, from, key, world)
            }
            Place::Aside | Place::Stranger => Err(answered_elsewhere()),
        }
    }

    /// Both called at once: the earlier call wins, and the later caller becomes its callee.
    fn glare(&mut self, now: Now, from: &Party, key: CallKey, world: &dyn World) -> Reply {
        if world.abilities(from).glare {
            self.accept(now, key, from, world)?;
        } else if let Some((_, Pair { state: State::Ringing(ringing), .. })) = self.table.pair_mut(key) {
            let own = ringing.ringers.iter_mut().find(|ringer| ringer.device == from.device);
            own.into_iter().for_each(|ringer| ringer.is_glared = true);
        }
        self.start_reply(now, key, from, true, world)
    }

    /// Whether one more call fits on this node, and on this user's and this device's account.
    pub(super) fn has_place_for(&self, from: &Party) -> Result<(), Refusal> {
        if self.table.len() >= self.settings.calls_total {
            let full = Refusal::new(SignalingError::RateLimited, "this server has no place for more calls");
            return Err(Refusal { retry_after_ms: Some(1000), ..full });
        }
        if self.table.of_user(&from.user).len() >= self.settings.calls_per_user
            || self.table.of_device(from).count() >= self.settings.calls_per_device
        {
            return Err(Refusal::new(SignalingError::TooLarge, "you have too many calls at once"));
        }
        Ok(())
    }

    fn audience(
        &self,
        from: &Party,
        callee: &Arc<str>,
        world: &dyn World,
    ) -> Result<Audience, (EndReason, Refusal)> {
        let mut devices = world.devices(callee);
        devices.retain(|device| *callee != from.user || *device != from.device);
        if devices.is_empty() {
            let refusal = Refusal::new(SignalingError::Offline, "the callee has no device here");
            return Err((EndReason::Offline, refusal));
        }
        let calls = self.table.of_user(callee).len();
        let policy = self.settings.busy;
        let most = if policy == BusyPolicy::Device { 1 } else { self.settings.calls_per_device };
        devices.retain(|device| {
            let party = Party { user: callee.clone(), device: device.clone() };
            self.table.of_device(&party).count() < most
        });
        let is_full = devices.is_empty() || calls >= self.settings.calls_per_user;
        if is_full || policy == BusyPolicy::Reject && calls > 0 {
            let refusal = Refusal::new(SignalingError::Busy, "the callee is in another call");
            return Err((EndReason::Busy, refusal));
        }
        Ok(Audience { devices, is_waiting: calls > 0 })
    }

    /// Makes the call and lets it ring.
    fn ring(
        &mut self,
        now: Now,
        from: &Party,
        callee: &Arc<str>,
        start: &Start,
        audience: Audience,
        world: &dyn World,
    ) -> CallKey {
        let span = self.settings.ring_for(start.timeout_ms);
        let expires_at = self.clock.unix_ms(now).saturating_add(super::endpoint::millis(span));
        let ringers = audience.devices.into_iter().map(|device| self.ringer(callee, device, world)).collect();
        let ringing = Ringing {
            until: now.at.after(span),
            expires_at,
            ringers,
            deserted_until: None,
            kept: Kept::default(),
            data: start.data.clone(),
            is_waiting: audience.is_waiting,
            is_restored: false,
        };
        let parties = Vec::from_iter(ringing.ringers.iter().map(|ringer| device_of(callee, &ringer.device)));
        let pair =
            Pair { caller: Side::new(from.clone()), callee: callee.clone(), state: State::Ringing(ringing) };
        let (id, media) = (self.new_id(now), start.media);
        let key = self.table.insert(Call {
            id,
            media,
            started: now,
            earlier_ms: 0,
            unclaimed_ms: None,
            rev: 0,
            renew_at: now.at.after(self.settings.credential_ttl() / 2),
            max_until: None,
            armed: None,
            form: Form::Pair(pair),
        });
        self.out.entered(CallState::Ringing);
        let rung = parties.len() as u64;
        self.announce(now, key, parties, world);
        self.out.emit(from, "call:ringing", Object::of_call(id).number("devices", rung).finish());
        self.rearm(now.at, key);
        self.changed(key);
        key
    }

    pub(super) fn ringer(&self, callee: &Arc<str>, device: Arc<str>, world: &dyn World) -> Ringer {
        let declared = world.abilities(&device_of(callee, &device)).explicit_accept;
        Ringer::new(device, self.settings.explicit_accept || declared)
    }

    /// `call:incoming` for devices of the callee.
    pub(super) fn announce(&mut self, now: Now, key: CallKey, to: Vec<Party>, world: &dyn World) {
        let Some(Call { id, media, form: Form::Pair(pair), .. }) = self.table.get(key) else { return };
        let State::Ringing(ringing) = &pair.state else { return };
        let caller = pair.caller.party();
        let profile = Object::sized(128)
            .text("id", &caller.user)
            .maybe(world.display_name(caller), |object, name| object.text("name", &name))
            .text("device_id", &caller.device)
            .finish();
        let object = Object::sized(512)
            .id("call_id", *id)
            .text("caller_id", &caller.user)
            .text("callee_id", &pair.callee)
            .text("from", &caller.user)
            .raw("caller", &profile)
            .text("call_type", media.as_str())
            .flag("polite", true)
            .number("expires_at", ringing.expires_at);
        let object = self.with_ice(object, now, &pair.callee, *id, world);
        let object = object.maybe(ringing.data.as_deref(), |object, data| object.raw("data", data));
        let waiting = ringing.is_waiting.then_some(true);
        let object = object.maybe(waiting, |object, waiting| object.flag("waiting", waiting));
        self.out.emit_all(to, "call:incoming", object.finish());
    }

    /// A call that ends before it rings: the caller hears of it, and so does the record.
    fn turn_away(&mut self, now: Now, from: &Party, callee: &Arc<str>, start: &Start, reason: EndReason) {
        let id = self.new_id(now);
        let event = Object::of_call(id)
            .text("from", callee)
            .maybe(rejection_text(reason), |object, text| object.text("reason", text));
        self.out.emit(from, "call:rejected", event.finish());
        // The offer of a client that waits for no answer comes next, and hears `ended`.
        self.bury(
            now,
            id,
            Tombstone { users: vec![from.user.clone()], with: Some(callee.clone()), duration_ms: 0 },
        );
        self.out.ended(CallRecord {
            id: id.to_string().into_boxed_str(),
            caller: from.clone(),
            callee: Callee::User { user: callee.clone(), device: None },
            media: start.media,
            reason,
            ended_by: None,
            started: now.unix,
            answered: None,
            ended: now.unix,
            duration_ms: 0,
            stats: Vec::new(),
        });
    }

    /// What `call:start` is answered with: where the call stands, and what the sender is in it.
    pub(super) fn start_reply(
        &self,
        now: Now,
        key: CallKey,
        from: &Party,
        is_glare: bool,
        world: &dyn World,
    ) -> Reply {
        let call = self.table.get(key).ok_or_else(ended)?;
        let pair = match &call.form {
            Form::Pair(pair) => pair,
            Form::Group(group) if group.position(from).is_some() => {
                return self.join_reply(now, key, from, world);
            }
            Form::Group(_) => return Err(ended()),
        };
        let is_caller = pair.place(from) == Place::Caller;
        let object = Object::sized(512)
            .id("call_id", call.id)
            .text("state", call.phase().as_str())
            .text("role", if is_caller { "caller" } else { "callee" })
            .flag("polite", !is_caller)
            .maybe(is_glare.then_some(true), |object, glare| object.flag("glare", glare));
        let object = match &pair.state {
            State::Ringing(ringing) => object
                .number("devices", pair.ringing_parties(ringing).len() as u64)
                .flag("push", false)
                .number("expires_at", ringing.expires_at),
            _ => object,
        };
        Ok(self.with_ice(object, now, &from.user, call.id, world).finish())
    }

    pub(super) fn bury(&mut self, now: Now, id: Ulid, tombstone: Tombstone) {
        let until = now.at.after(self.settings.tombstone);
        self.past.bury(until, id, tombstone, self.settings.calls_total);
    }
}

/// One device of a user.
pub(super) fn device_of(user: &Arc<str>, device: &Arc<str>) -> Party {
    Party { user: user.clone(), device: device.clone() }
}
