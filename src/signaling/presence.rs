//! Who is online, since when not, and what they say about themselves.

use super::bus::{self, Message};
use super::hub::Timer;
use super::json::{Object, done};
use super::payload::{Payload, at_most, bad, required};
use super::people::User;
use super::settings::Scope;
use super::{Class, Hub, Push, Refusal, SessionId};
use crate::base::Now;
use crate::metrics::SignalingError;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

/// Users in one `presence:get`.
pub(super) const USERS_MAX: usize = 256;
/// Bytes of its answer; what does not fit is left out, and the answer says so.
pub(super) const ANSWER_BYTES_MAX: usize = 128 << 10;

impl Hub {
    /// `presence:set {status?, meta?}`
    pub(super) fn on_presence_set(
        &mut self,
        now: Now,
        id: SessionId,
        payload: &Payload<'_>,
    ) -> Result<Box<str>, Refusal> {
        let is_idle = match payload.status()?.as_deref() {
            None => None,
            Some("active") => Some(false),
            Some("idle") => Some(true),
            Some(_) => return Err(bad("`status` must be \"active\" or \"idle\"".into())),
        };
        let meta = payload.meta()?;
        let meta =
            meta.map(|meta| at_most(meta, self.settings.presence.meta_bytes_max, "meta")).transpose()?;
        let Some(place) = self.town.sessions.get(id).map(|session| session.user) else { return Ok(done()) };
        let Some(user) = self.town.people.at_mut(place) else { return Ok(done()) };
        user.is_idle = is_idle.unwrap_or(user.is_idle);
        user.last_seen = now.unix;
        if let Some(meta) = meta {
            user.meta = Some(Box::from(meta));
        }
        self.announce(now, place);
        Ok(done())
    }

    /// `presence:get {users|room}`: the same for a user who is not there and for one who is none of theirs.
    pub(super) fn on_presence_get(
        &mut self,
        id: SessionId,
        payload: &Payload<'_>,
    ) -> Result<Box<str>, Refusal> {
        let names: Vec<Arc<str>> = match (payload.users()?, payload.room()?) {
            (Some(users), None) if users.len() <= USERS_MAX => {
                users.iter().map(|user| Arc::from(&**user)).collect()
            }
            (Some(_), None) => return Err(too_many_users()),
            (None, Some(room)) => self.users_in(id, &room)?,
            _ => return Err(bad("`users` or `room` is needed, and not both".into())),
        };
        let rooms = self.rooms_of(id);
        let mut users = Object::new();
        let mut is_cut = false;
        for name in names {
            let user = self.town.people.find(&name).filter(|user| self.may_see(id, &rooms, user));
            let record = record(Object::new(), user).finish();
            is_cut = users.len() + record.len() > ANSWER_BYTES_MAX;
            if is_cut {
                break;
            }
            users = users.raw(&name, &record);
        }
        let answer = Object::new().raw("users", &users.finish());
        Ok(if is_cut { answer.flag("more", true).finish() } else { answer.finish() })
    }

    /// `presence:subscribe {users}`: from now on this session hears about these users too; an empty list ends it all.
    pub(super) fn on_presence_subscribe(
        &mut self,
        id: SessionId,
        payload: &Payload<'_>,
    ) -> Result<Box<str>, Refusal> {
        let users = required(payload.users()?, "users")?;
        let settings = &self.settings.presence;
        let Some(session) = self.town.sessions.get_mut(id) else { return Ok(done()) };
        let people = &mut self.town.people;
        // Before each is looked up: one message holds very many short names.
        if users.len() > settings.watched_per_session {
            return Err(too_many_users());
        }
        if users.is_empty() {
            for user in std::mem::take(&mut session.watched) {
                people.unwatch(&user, id);
            }
        }
        let fresh =
            users.iter().filter(|user| session.watched.iter().all(|known| **known != ***user)).count();
        if session.watched.len() + fresh > settings.watched_per_session {
            return Err(too_many_users());
        }
        if people.watched() + fresh > settings.watched_total {
            return Err(Refusal::new(SignalingError::TooLarge, "the server watches no more users"));
        }
        for user in users {
            let user = Arc::from(&*user);
            if people.watch(&user, id) {
                session.watched.push(user);
            }
        }
        Ok(done())
    }

    /// `heartbeat`: also the sign of life of an application.
    pub(super) fn on_heartbeat(&mut self, now: Now, id: SessionId) -> Box<str> {
        let at = self.clock.unix_ms(now);
        self.tell(now, id, "heartbeat:ack", Object::new().number("at", at).finish(), Class::Droppable);
        let user = self.town.sessions.get(id).map(|session| session.user);
        if let Some(user) = user.and_then(|place| self.town.people.at_mut(place)) {
            user.last_seen = now.unix;
        }
        Object::new().number("at", at).finish()
    }

    /// A session of this user got a transport.
    pub(super) fn on_user_attached(&mut self, now: Now, place: u32) {
        let Some(user) = self.town.people.at_mut(place) else { return };
        user.last_seen = now.unix;
        user.last_rooms = Vec::new();
        if let Some(timer) = user.timer.take() {
            self.timers.cancel(timer);
        }
        if !user.is_online {
            user.is_online = true;
            user.is_idle = false;
            self.announce(now, place);
        }
    }

    /// A session of this user lost its transport, or is over.
    pub(super) fn on_user_detached(&mut self, now: Now, place: u32) {
        let Some(user) = self.town.people.at_mut(place) else { return };
        if user.attached == 0 && user.timer.is_none() {
            user.last_seen = now.unix;
            let at = now.at.after(self.settings.presence.grace);
            user.timer = Some(self.timers.schedule(at, Timer::User(place)));
        }
    }

    /// The grace of a user is over, or the memory of one.
    pub(super) fn on_user_timer(&mut self, now: Now, place: u32) {
        let Some(user) = self.town.people.at_mut(place) else { return };
        user.timer = None;
        if user.attached > 0 {
            return;
        }
        let mut memory = self.settings.presence.memory;
        if user.is_online {
            user.is_online = false;
            self.announce(now, place);
        } else if user.devices.is_empty() && user.cool_until <= now.at {
            return self.forget_user(place);
        }
        if self.town.people.len() > self.settings.sessions_total {
            // Too many are remembered already; those who wait for a session of theirs are few.
            memory = self.settings.log.window;
        }
        if let Some(user) = self.town.people.at_mut(place) {
            user.timer = Some(self.timers.schedule(now.at.after(memory), Timer::User(place)));
        }
    }

    /// The shortest time between two updates of a user is over.
    pub(super) fn on_quiet_over(&mut self, now: Now, place: u32) {
        let Some(user) = self.town.people.at_mut(place) else { return };
        user.quiet = None;
        if std::mem::take(&mut user.is_dirty) {
            self.announce(now, place);
        }
    }

    /// Says how the user is, now or a moment later.
    fn announce(&mut self, now: Now, place: u32) {
        let Some(user) = self.town.people.at_mut(place) else { return };
        if user.quiet.is_some() {
            user.is_dirty = true;
            return;
        }
        let at = now.at.after(self.settings.presence.interval);
        user.quiet = Some(self.timers.schedule(at, Timer::Quiet(place)));
        let turned = (user.told_online != user.is_online).then_some(user.is_online);
        user.told_online = user.is_online;
        let data = record(Object::new().text("user", &user.name), Some(user)).finish();
        let (name, mut rooms) = (Arc::clone(&user.name), std::mem::take(&mut user.last_rooms));
        if user.is_online {
            // Not over yet: they are to hear the end as well.
            user.last_rooms.clone_from(&rooms);
        }
        let user = self.town.people.at(place);
        for id in user.iter().flat_map(|user| user.sessions()) {
            rooms.extend(
                self.rooms_of(id)
                    .into_iter()
                    .filter_map(|room| self.town.rooms.at(room).map(|room| Arc::clone(&room.name))),
            );
        }
        rooms.sort_unstable();
        rooms.dedup();
        self.publish(Message::Presence(bus::Presence { user: name, rooms, turned, data }));
    }

    /// Brings the news of a user to those sessions of this node that may have them.
    pub(super) fn on_presence(&mut self, now: Now, news: bus::Presence) {
        let mut receivers = std::mem::take(&mut self.scratch);
        match self.settings.presence.scope {
            Scope::All => receivers.extend(self.town.sessions.iter().map(|session| session.id)),
            Scope::Rooms => {
                receivers.extend(self.town.people.watchers(&news.user));
                for room in news.rooms.iter().filter_map(|room| self.town.rooms.find(room)) {
                    receivers.extend(room.members.iter().map(|member| member.session));
                }
                receivers.sort_unstable();
                receivers.dedup();
            }
        }
        let is_other = |id: &SessionId| {
            self.town.sessions.get(*id).is_some_and(|session| session.identity.user != news.user)
        };
        receivers.retain(is_other);
        let older_name = news.turned.map(|online| if online { "user_online" } else { "user_offline" });
        let older = older_name.map(|name| {
            let data = Object::new().text("user", &news.user).finish();
            (name, "turned/", data)
        });
        for (event, kind, data) in
            [Some(("presence:update", "presence/", news.data)), older].into_iter().flatten()
        {
            let class = Class::Coalescing(format!("{kind}{}", news.user).into());
            let (seq, event) = (self.next_seq(), Cow::Borrowed(event));
            let push = Arc::new(Push { seq, event, data, attachments: Vec::new(), class });
            for id in &receivers {
                self.queue(now, *id, &push);
            }
        }
        receivers.clear();
        self.scratch = receivers;
    }

    fn forget_user(&mut self, place: u32) {
        if let Some(quiet) = self.town.people.at_mut(place).and_then(|user| user.quiet.take()) {
            self.timers.cancel(quiet);
        }
        self.town.people.remove(place);
    }

    /// Whether this session may know how `user` is.
    fn may_see(&self, id: SessionId, rooms: &HashSet<u32>, user: &User) -> bool {
        let Some(session) = self.town.sessions.get(id) else { return false };
        self.settings.presence.scope == Scope::All
            || session.identity.user == user.name
            || session.watched.contains(&user.name)
            || user
                .sessions()
                .filter_map(|id| self.town.sessions.get(id))
                .any(|other| other.rooms.iter().any(|room| rooms.contains(room)))
    }

    /// The users in a room that this session is in; those of a room that it is not in are not found, as if it were not.
    fn users_in(&self, id: SessionId, room: &str) -> Result<Vec<Arc<str>>, Refusal> {
        let place = self.town.rooms.place(room).filter(|place| self.rooms_of(id).contains(place));
        Ok(self.members_of(place.ok_or_else(super::membership::not_found)?))
    }

    /// The users in a room, each once.
    pub(super) fn members_of(&self, place: u32) -> Vec<Arc<str>> {
        let members = self.town.rooms.at(place).map_or(&[][..], |room| &room.members);
        let sessions = members.iter().filter_map(|member| self.town.sessions.get(member.session));
        let mut seen = HashSet::new();
        let users = sessions.map(|session| &session.identity.user);
        users.filter(|user| seen.insert(Arc::clone(user))).cloned().collect()
    }

    fn rooms_of(&self, id: SessionId) -> HashSet<u32> {
        self.town.sessions.get(id).map(|session| session.rooms.iter().copied().collect()).unwrap_or_default()
    }
}

/// What is said of a user; of one who is not known the same as of one who may not be known of.
pub(super) fn record(object: Object, user: Option<&User>) -> Object {
    let Some(user) = user else {
        return object
            .flag("online", false)
            .number("devices", 0)
            .raw("last_seen", "null")
            .raw("status", "null")
            .raw("meta", "null");
    };
    let status = match (user.is_online, user.is_idle) {
        (false, _) => "offline",
        (true, true) => "idle",
        (true, false) => "active",
    };
    let devices = if user.is_online { user.devices.len() } else { 0 };
    object
        .flag("online", user.is_online)
        .number("devices", devices as u64)
        .number("last_seen", user.last_seen.0.saturating_mul(1000))
        .text("status", status)
        .raw("meta", user.meta.as_deref().unwrap_or("null"))
}

fn too_many_users() -> Refusal {
    Refusal::new(SignalingError::TooLarge, "`users` has too many entries")
}
