//! Into rooms and out of them.

use super::bus::{Goal, Message, Request, RoomChange, RoomStep};
use super::hub::{Reply, Timer};
use super::json::{Object, done};
use super::payload::{Payload, at_most};
use super::rooms::{Member, Room};
use super::{Class, Hub, Party, Refusal, SessionId};
use crate::base::Now;
use crate::metrics::{SignalingError, rooms_made, rooms_removed};
use std::sync::Arc;

/// Bytes of the member list of an answer; what does not fit is left out, and the answer says so.
const MEMBERS_BYTES_MAX: usize = 128 << 10;

impl Hub {
    /// `room:join {room, role?, info?}`: once more by a member, it changes role and info.
    pub(super) fn on_room_join(
        &mut self,
        id: SessionId,
        payload: &Payload<'_>,
        ack: Option<u64>,
    ) -> Result<Reply, Refusal> {
        let room = super::payload::required(payload.room()?, "room")?;
        let info = payload.info()?;
        let info = info.map(|info| at_most(info, self.settings.rooms.info_bytes_max, "info")).transpose()?;
        let wanted = payload.role()?;
        let Some(session) = self.town.sessions.get(id) else { return Ok(Reply::Later) };
        let open = self.settings.rooms.open;
        if !session.identity.admits(&room, open) {
            return Err(Refusal::new(SignalingError::Forbidden, "the token does not open this room"));
        }
        let Some(role) = session.identity.role(wanted.as_deref(), open) else {
            return Err(Refusal::new(SignalingError::Forbidden, "the token does not have this role"));
        };
        let is_in = self.town.rooms.place(&room).is_some_and(|place| session.rooms.contains(&place));
        if !is_in && session.rooms.len() >= self.settings.rooms.per_session {
            return Err(Refusal::new(SignalingError::TooLarge, "the session is in too many rooms"));
        }
        let (role, info) = (role.map(Box::from), info.map(Box::from));
        let (party, member) = (session.party(), self.origin(id));
        let request = self.expect(id, ack, "room:join")?;
        let step = RoomStep::Join { role, info, request };
        self.publish(Message::Room(RoomChange { room: Arc::from(&*room), member, party, step }));
        Ok(Reply::Later)
    }

    /// `room:leave {room?}`: without a room, the only one that the session is in.
    pub(super) fn on_room_leave(
        &mut self,
        id: SessionId,
        payload: &Payload<'_>,
    ) -> Result<Box<str>, Refusal> {
        let Some(session) = self.town.sessions.get(id) else { return Ok(done()) };
        let place = match payload.room()? {
            Some(room) => self.town.rooms.place(&room).filter(|place| session.rooms.contains(place)),
            None if session.rooms.len() > 1 => {
                return Err(Refusal::new(
                    SignalingError::BadRequest,
                    "`room` is needed: the session is in more than one",
                ));
            }
            None => session.rooms.first().copied(),
        };
        let place = place.ok_or_else(not_found)?;
        self.part_from_room(id, place);
        self.leave_room(id, place);
        Ok(done())
    }

    /// Has a session leave a room that it is in.
    pub(super) fn leave_room(&mut self, id: SessionId, place: u32) {
        let Some(session) = self.town.sessions.get_mut(id) else { return };
        let Some(room) = self.town.rooms.at(place) else { return };
        session.rooms.retain(|one| *one != place);
        let (room, party, member) = (Arc::clone(&room.name), session.party(), self.origin(id));
        self.publish(Message::Room(RoomChange { room, member, party, step: RoomStep::Leave }));
    }

    /// What came over the bus about the members of a room.
    pub(super) fn on_room(&mut self, now: Now, change: RoomChange) {
        let RoomChange { room, member, party, step } = change;
        // Members of other nodes are theirs to keep.
        if member.node != self.node {
            return;
        }
        match step {
            RoomStep::Join { role, info, request } => {
                let joined = self.join(now, &room, Member { session: member.session, role, info }, request);
                if let Err(refusal) = joined {
                    self.publish(Message::Answer { request, result: Err(refusal) });
                }
            }
            RoomStep::Leave => self.left(now, &room, member.session, &party),
        }
    }

    fn join(&mut self, now: Now, name: &Arc<str>, member: Member, request: Request) -> Result<(), Refusal> {
        let id = member.session;
        if self.town.sessions.get(id).is_none() {
            return Ok(());
        }
        let place = self.room(now, name)?;
        let members_max = self.settings.rooms.members_max;
        let Some(room) = self.town.rooms.at_mut(place) else { return Ok(()) };
        room.used_at = now.at;
        if let Some(known) = room.member_mut(id) {
            *known = member;
        } else if room.members.len() >= members_max {
            return Err(Refusal::new(SignalingError::RoomFull, "the room has no place left"));
        } else {
            room.members.push(member);
        }
        if let Some(session) = self.town.sessions.get_mut(id)
            && !session.rooms.contains(&place)
        {
            session.rooms.push(place);
        }
        let answer = self.describe(place);
        self.publish(Message::Answer { request, result: Ok(answer) });
        if let Some(user) = self.user_of(id).filter(|_| self.keeps) {
            self.meet_room(&user, name);
        }
        self.tell_room(place, "room:joined", id);
        Ok(())
    }

    /// The place of the room, which is made when there is none.
    fn room(&mut self, now: Now, name: &Arc<str>) -> Result<u32, Refusal> {
        if let Some(place) = self.town.rooms.place(name) {
            return Ok(place);
        }
        if self.town.rooms.len() >= self.settings.rooms.total {
            return Err(Refusal::new(SignalingError::TooLarge, "the server has no place for another room"));
        }
        let at = now.at.after(self.settings.rooms.idle);
        self.counters.increment(rooms_made());
        let timers = &mut self.timers;
        Ok(self.town.rooms.make(name, now.at, |place| timers.schedule(at, Timer::Room(place))))
    }

    fn left(&mut self, now: Now, name: &str, id: SessionId, party: &Party) {
        let Some(place) = self.town.rooms.place(name) else { return };
        let Some(room) = self.town.rooms.at_mut(place) else { return };
        room.used_at = now.at;
        let Some(member) = room.take(id) else { return };
        if let Some(session) = self.town.sessions.get_mut(id) {
            session.rooms.retain(|one| *one != place);
        }
        self.tell_left(place, party, &member);
        self.drop_if_useless(place);
    }

    /// An empty room is kept for its messages alone, and only while there is place for rooms that are in use.
    fn drop_if_useless(&mut self, place: u32) {
        let is_scarce = self.town.rooms.len() > self.settings.rooms.total / 2;
        let is_useless = self
            .town
            .rooms
            .at(place)
            .is_some_and(|room| room.members.is_empty() && (room.talk.is_empty() || is_scarce));
        if is_useless {
            self.remove_room(place);
        }
    }

    /// Nothing may have happened in a room for a while.
    pub(super) fn on_room_timer(&mut self, now: Now, place: u32) {
        let sessions = &self.town.sessions;
        let Some(room) = self.town.rooms.at(place) else { return };
        // Whatever a member says keeps its rooms: it is there, and listens.
        let heard = room.members.iter().filter_map(|member| sessions.get(member.session));
        let used_at = heard.map(|session| session.heard_at).fold(room.used_at, Ord::max);
        let end = used_at.after(self.settings.rooms.idle);
        let timer = (end > now.at).then(|| self.timers.schedule(end, Timer::Room(place)));
        if let Some(room) = self.town.rooms.at_mut(place) {
            room.timer = timer;
        }
        if timer.is_none() {
            self.close_room(now, place);
        }
    }

    /// Every member is told by itself that it left.
    fn close_room(&mut self, now: Now, place: u32) {
        let Some(room) = self.town.rooms.at_mut(place) else { return };
        let (name, members) = (Arc::clone(&room.name), std::mem::take(&mut room.members));
        for member in &members {
            let Some(session) = self.town.sessions.get_mut(member.session) else { continue };
            session.rooms.retain(|one| *one != place);
            let data = Object::new()
                .text("room", &name)
                .text("user", &session.identity.user)
                .text("device", &session.device)
                .maybe_text("role", member.role.as_deref())
                .number("members", 0)
                .text("reason", "idle")
                .finish();
            self.tell(now, member.session, "room:left", data, Class::Reliable);
        }
        self.remove_room(place);
    }

    fn remove_room(&mut self, place: u32) {
        let Some(mut room) = self.town.rooms.remove(place) else { return };
        if let Some(timer) = room.timer {
            self.timers.cancel(timer);
        }
        room.talk.clear(&mut self.talk_bytes);
        self.counters.increment(rooms_removed());
    }

    /// Refuses to speak into a room that the session is not in, just as if it did not exist.
    pub(super) fn expect_member(&self, id: SessionId, goal: &Goal) -> Result<(), Refusal> {
        let Goal::Room(room) = goal else { return Ok(()) };
        let place = self.town.rooms.place(room);
        let rooms = self.town.sessions.get(id).map_or(&[][..], |session| &session.rooms);
        if place.is_some_and(|place| rooms.contains(&place)) { Ok(()) } else { Err(not_found()) }
    }

    fn describe(&self, place: u32) -> Box<str> {
        let Some(room) = self.town.rooms.at(place) else { return done() };
        let (mut members, mut bytes) = (Vec::new(), 0);
        for member in &room.members {
            let Some(session) = self.town.sessions.get(member.session) else { continue };
            let meta = self.town.people.at(session.user).and_then(|user| user.meta.as_deref());
            let text = Object::new()
                .text("user", &session.identity.user)
                .text("device", &session.device)
                .raw("role", &member.role.as_deref().map_or("null".into(), quoted))
                .raw("info", member.info.as_deref().unwrap_or("null"))
                .raw("meta", meta.unwrap_or("null"))
                .finish();
            bytes += text.len();
            if bytes > MEMBERS_BYTES_MAX {
                break;
            }
            members.push(text);
        }
        let list = super::json::array(members.iter().map(|text| &**text));
        let answer = Object::new().text("room", &room.name).raw("members", &list);
        if members.len() < room.members.len() { answer.flag("more", true).finish() } else { answer.finish() }
    }

    fn tell_room(&mut self, place: u32, event: &'static str, id: SessionId) {
        let Some(room) = self.town.rooms.at(place) else { return };
        let Some(session) = self.town.sessions.get(id) else { return };
        let member = room.members.iter().find(|member| member.session == id);
        let data = change(room, &session.party(), member);
        let (room, except) = (Arc::clone(&room.name), Some(self.origin(id)));
        self.publish_to_room(room, except, event, data);
    }

    fn tell_left(&mut self, place: u32, party: &Party, member: &Member) {
        let Some(room) = self.town.rooms.at(place).filter(|room| !room.members.is_empty()) else { return };
        let data = change(room, party, Some(member));
        let room = Arc::clone(&room.name);
        self.publish_to_room(room, None, "room:left", data);
    }
}

fn change(room: &Room, party: &Party, member: Option<&Member>) -> Box<str> {
    let role = member.and_then(|member| member.role.as_deref());
    let info = member.and_then(|member| member.info.as_deref());
    Object::new()
        .text("room", &room.name)
        .text("user", &party.user)
        .text("device", &party.device)
        .maybe_text("role", role)
        .maybe_raw("info", info)
        .number("members", room.members.len() as u64)
        .finish()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The same for a room that does not exist and for one that is none of theirs.
pub(super) fn not_found() -> Refusal {
    Refusal::new(SignalingError::NotFound, "there is no such room of yours")
}
