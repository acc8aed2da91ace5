//! Group calls: open, join, leave.

use super::super::json::Object;
use super::super::{Party, Refusal};
use super::command::{Media, Target};
use super::group::Group;
use super::table::{Call, CallKey, Form};
use super::{Calls, Reply, World, ended, no_call, wrong_state};
use crate::base::Now;
use crate::metrics::{CallState, EndReason, SignalingError};
use std::sync::Arc;

impl Calls {
    /// `call:start {room}`: opens the room's call, or joins the one that is there. Nobody rings.
    pub(super) fn open_room(
        &mut self,
        now: Now,
        from: &Party,
        room: &str,
        media: Media,
        world: &dyn World,
    ) -> Result<(CallKey, Box<str>), Refusal> {
        let key = match self.table.by_room(room) {
            Some(key) => key,
            None => {
                is_in_room(from, room, world)?;
                self.has_place_for(from)?;
                self.open(now, from, room, media)
            }
        };
        Ok((key, self.join(now, key, from, world)?))
    }

    fn open(&mut self, now: Now, from: &Party, room: &str, media: Media) -> CallKey {
        let id = self.new_id(now);
        self.out.entered(CallState::Active);
        self.table.insert(Call {
            id,
            media,
            started: now,
            earlier_ms: 0,
            unclaimed_ms: None,
            rev: 0,
            renew_at: now.at.after(self.settings.credential_ttl() / 2),
            max_until: self.settings.max_duration.map(|longest| now.at.after(longest)),
            armed: None,
            form: Form::Group(Group::new(Arc::from(room), from.clone())),
        })
    }

    /// `call:join {call_id}` or `{room}`; again from a member, it only tells who is there.
    pub(super) fn on_join(
        &mut self,
        now: Now,
        from: &Party,
        target: &Target,
        room: Option<&str>,
        world: &dyn World,
    ) -> Reply {
        let key = match (target.call_id, room) {
            (Some(id), _) => self.table.by_id(id),
            (None, Some(room)) => self.table.by_room(room),
            (None, None) => return Err(super::fields::wrong("call_id", "there, or `room` instead of it")),
        };
        let Some(key) = key else {
            let past = target.call_id.and_then(|id| self.past.by_id(id, &from.user));
            return Err(past.map_or_else(no_call, |_| ended()));
        };
        self.join(now, key, from, world)
    }

    /// Takes a device in; the newer member offers to each of the older ones.
    fn join(&mut self, now: Now, key: CallKey, from: &Party, world: &dyn World) -> Reply {
        // Who may not be in the room must not learn that there is a call.
        let call = self.table.get(key).ok_or_else(no_call)?;
        let group = match &call.form {
            Form::Group(group) => group,
            Form::Pair(_) if call.has_device(from) => {
                return Err(wrong_state("a call between two is accepted, not joined"));
            }
            Form::Pair(_) => return Err(no_call()),
        };
        let (room, members) = (group.room.clone(), group.members.len());
        if group.position(from).is_some() {
            return self.join_reply(now, key, from, world);
        }
        if !world.is_in_room(from, &room) {
            return Err(no_call());
        }
        if members >= self.settings.group_limit() {
            return Err(Refusal::new(SignalingError::RoomFull, "the call of this room has no place left"));
        }
        if members > 0 {
            self.has_place_for(from)?;
        }
        let Some((id, group)) = self.table.group_mut(key) else { return Err(no_call()) };
        let others = group.others(from);
        group.add(from.clone());
        self.table.add_user(&from.user, key);
        self.table.claim(key);
        self.out.emit_all(others, "call:member", member_event(id, from, "joined"));
        self.rearm(now.at, key);
        // Who opens it is its first member, and no change.
        if members > 0 {
            self.raise_rev(key);
        }
        self.changed(key);
        self.join_reply(now, key, from, world)
    }

    /// Who else is in it, and what to reach them with.
    pub(super) fn join_reply(&self, now: Now, key: CallKey, from: &Party, world: &dyn World) -> Reply {
        let call = self.table.get(key).ok_or_else(ended)?;
        let Form::Group(group) = &call.form else { return Err(no_call()) };
        let object = Object::sized(512)
            .id("call_id", call.id)
            .text("state", call.phase().as_str())
            .text("role", "member")
            .text("room", &group.room)
            .raw("members", &group.members_json(from))
            .number("members_max", self.settings.group_limit() as u64);
        Ok(self.with_ice(object, now, &from.user, call.id, world).finish())
    }

    /// `call:leave`.
    pub(super) fn on_leave(&mut self, now: Now, from: &Party, target: &Target) -> Reply {
        match self.locate(from, target) {
            Ok(key) if self.table.group_mut(key).is_some() => self.leave(now, key, from),
            Ok(_) => Err(wrong_state("a call between two is ended, not left")),
            Err(refusal) => Err(refusal),
        }
    }

    /// A member goes on its own account.
    pub(super) fn leave(&mut self, now: Now, key: CallKey, from: &Party) -> Reply {
        let duration_ms = self.table.get(key).ok_or_else(ended)?.lasted_ms(now.at);
        self.leave_with(now, key, from, EndReason::Hangup, Some(from));
        Ok(Object::sized(32).number("duration_ms", duration_ms).finish())
    }

    /// A member is no more; the last one ends the call. `by` hears no event.
    pub(super) fn leave_with(
        &mut self,
        now: Now,
        key: CallKey,
        member: &Party,
        reason: EndReason,
        by: Option<&Party>,
    ) {
        let Some((id, group)) = self.table.group_mut(key) else { return };
        let Some(at) = group.position(member) else { return };
        if group.members.len() == 1 {
            self.end(now, key, reason, by);
            return;
        }
        let gone = group.remove(at);
        let rest: Vec<Party> = group.parties().collect();
        if !group.has_user(&gone.user) {
            self.table.remove_user(&gone.user, key);
        }
        if by.is_none() {
            self.out.emit(&gone, "call:end", super::ending::farewell(id, &gone.user, reason, None, 0));
        }
        self.out.emit_all(rest, "call:member", member_event(id, &gone, "left"));
        self.rearm(now.at, key);
        self.raise_rev(key);
        self.changed(key);
    }

    /// What is told of a call has a number, and 0 is its beginning.
    fn raise_rev(&mut self, key: CallKey) {
        if let Some(call) = self.table.get_mut(key) {
            call.rev += 1;
        }
    }

    /// A device is no longer in a room, so neither in its call.
    pub fn on_room_left(&mut self, now: Now, party: &Party, room: &str) {
        if let Some(key) = self.table.by_room(room) {
            self.leave_with(now, key, party, EndReason::Hangup, None);
        }
    }
}

impl Group {
    /// The positions of the sender and of the one member that a message is for.
    pub(super) fn ends(
        &self,
        from: &Party,
        to: Option<&str>,
        to_device: Option<&str>,
    ) -> Result<(usize, usize), Refusal> {
        let sender = self.position(from).ok_or_else(no_call)?;
        let fits = |party: &Party| {
            to.is_none_or(|to| *party.user == *to) && to_device.is_none_or(|to| *party.device == *to)
        };
        let mut others =
            (0..self.members.len()).filter(|at| *at != sender && fits(&self.members[*at].endpoint.party));
        match (others.next(), others.next()) {
            (Some(receiver), None) => Ok((sender, receiver)),
            (Some(_), Some(_)) => Err(super::fields::wrong("to_device", "there: several members fit")),
            _ => Err(Refusal::new(SignalingError::NotFound, "there is no such member in this call")),
        }
    }
}

fn member_event(id: ulid::Ulid, member: &Party, state: &'static str) -> Box<str> {
    let object = Object::of_call(id).text("user", &member.user).text("device", &member.device);
    object.text("state", state).finish()
}

fn is_in_room(from: &Party, room: &str, world: &dyn World) -> Result<(), Refusal> {
    if world.is_in_room(from, room) {
        return Ok(());
    }
    Err(Refusal::new(SignalingError::Forbidden, "join the room first"))
}
