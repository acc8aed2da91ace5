//! Messages between users and in rooms. Those that are not stored live in memory: what nobody gets is gone.

use super::bus::{Goal, Message, Say};
use super::hub::{Reply, Timer};
use super::json::Object;
use super::keep::{Conversation, Unstored};
use super::payload::{Payload, at_most, bad, required};
use super::people::Ref;
use super::talk::Talk;
use super::{Class, Hub, Inbound, Refusal, SessionId, emit};
use crate::base::Now;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;
use ulid::Ulid;

/// Files that a message may point to.
const ATTACHMENTS_MAX: usize = 10;
/// Bytes of their descriptions.
const ATTACHMENTS_BYTES_MAX: usize = 32 << 10;

/// What a file is, by its sender; only its shape is looked at.
#[derive(Deserialize)]
#[expect(dead_code, reason = "read for its types alone")]
struct Attachment<'a> {
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(default)]
    size: Option<u64>,
}

impl Hub {
    /// `message:send {to|room, body, store?, thread?, attachments?, client_ref?}`
    pub(super) fn on_send(
        &mut self,
        id: SessionId,
        payload: &Payload<'_>,
        inbound: &Inbound<'_>,
    ) -> Result<Reply, Refusal> {
        let to = payload.goal()?;
        let body = required(payload.body()?, "body")?;
        let store = payload.store()? == Some(true);
        if store && !self.keeps {
            return Err(Unstored::Unavailable.into());
        }
        if !inbound.attachments.is_empty() {
            return Err(bad(
                "a message carries no binary data; upload it and send its URL in `attachments`".into()
            ));
        }
        let attachments = payload.attachments()?.map(check_attachments).transpose()?;
        let (thread, client_ref) = (payload.thread()?, payload.client_ref()?);
        self.expect_member(id, &to)?;
        let Some(party) = self.town.sessions.get(id).map(|session| session.party()) else {
            return Ok(Reply::Later);
        };
        if store {
            self.begin_asking(id)?;
        }
        let request = self.expect(id, inbound.ack, "message:send").inspect_err(|_| {
            if store {
                self.rest(self.origin(id));
            }
        })?;
        self.publish(Message::Say(Box::new(Say {
            from: self.origin(id),
            party,
            to,
            body: Box::from(body),
            thread: thread.as_deref().map(Box::from),
            attachments: attachments.map(Box::from),
            client_ref: client_ref.as_deref().map(Box::from),
            store,
            request,
        })));
        Ok(Reply::Later)
    }

    /// A message that came over the bus gets its number and goes to those whom it is for.
    pub(super) fn on_say(&mut self, now: Now, say: Say) {
        let (request, origin, store) = (say.request, say.from, say.store);
        let result = match self.sent_before(now, &say) {
            Some(answer) => Ok(Some(answer)),
            None if self.keeps => self.shelve(now, say).map(|()| None),
            None => self.say_at_once(now, &say).map(|()| None),
        };
        if let Some(result) = result.transpose() {
            if store {
                self.rest(origin);
            }
            self.publish(Message::Answer { request, result });
        }
    }

    /// Without a storage, a message has nothing to wait for.
    fn say_at_once(&mut self, now: Now, say: &Say) -> Result<(), Refusal> {
        let (at, random) = (self.clock.unix_ms(now), u128::from_le_bytes(self.random.bytes()));
        let id = Ulid::from_parts(at, random).to_string();
        let talk = self.talk(now, say)?;
        talk.seq += 1;
        let seq = talk.seq;
        let data = write(say, &id, seq, at);
        self.put_in_memory(now, say, seq, &data);
        let answer = Object::new().text("id", &id).number("seq", seq).number("at", at).finish();
        self.remember(now, say, &answer);
        self.publish(Message::Answer { request: say.request, result: Ok(answer) });
        self.tell_all(say, &id, seq, data);
        Ok(())
    }

    /// To those whom it is for, and to the sender how many devices these have.
    pub(super) fn tell_all(&mut self, say: &Say, id: &str, seq: u64, data: Box<str>) {
        let devices = self.audience(say);
        self.spread(say, data);
        if devices > 0 {
            let data = goal_of(Object::new().text("id", id), &say.to).number("seq", seq);
            let data = data.number("devices", devices as u64).finish();
            let to = super::bus::To::Session(say.from);
            self.publish_to(to, None, "message:delivered", data, Class::Reliable);
        }
    }

    /// Keeps a message among the latest of its conversation, if that is still there.
    pub(super) fn put_in_memory(&mut self, now: Now, say: &Say, seq: u64, data: &str) {
        let settings = self.settings.messages;
        // Borrowed apart: the talk is in a table, the sum of all beside it.
        let mut total = self.talk_bytes;
        if let Ok(talk) = self.talk(now, say) {
            talk.seq = seq;
            talk.keep(&settings, &mut total, data);
        }
        self.talk_bytes = total;
    }

    /// The last number that memory knows of a conversation.
    pub(super) fn last_in_memory(&self, conversation: &Conversation) -> u64 {
        let talk = match conversation {
            Conversation::Room(room) => self.town.rooms.find(room).map(|room| &room.talk),
            Conversation::Pair(one, other) => self.pairs.find(one, other),
        };
        talk.map_or(0, |talk| talk.seq)
    }

    /// What is in memory of the conversation of a message.
    fn talk(&mut self, now: Now, say: &Say) -> Result<&mut Talk, Refusal> {
        match &say.to {
            Goal::Room(room) => {
                let room = self.town.rooms.find_mut(room).ok_or_else(super::membership::not_found)?;
                room.used_at = now.at;
                Ok(&mut room.talk)
            }
            Goal::User(user) => {
                let (timers, idle) = (&mut self.timers, self.settings.rooms.idle);
                let total = self.settings.messages.pairs_total;
                self.pairs.talk(&say.party.user, user, now.at, total, |place| {
                    timers.schedule(now.at.after(idle), Timer::Pair(place))
                })
            }
        }
    }

    /// To the other side, and to the sender's other sessions.
    fn spread(&mut self, say: &Say, data: Box<str>) {
        let except = Some(say.from);
        if let Goal::User(user) = &say.to
            && *user != say.party.user
        {
            let own = super::bus::To::User(Arc::clone(&say.party.user));
            self.publish_to(own, except, "message:receive", data.clone(), Class::Reliable);
        }
        self.publish_to(emit::to(&say.to), except, "message:receive", data, Class::Reliable);
    }

    /// Devices of others that get the message queued.
    fn audience(&self, say: &Say) -> usize {
        match &say.to {
            Goal::User(user) => self.town.people.find(user).map_or(0, |user| {
                let own = user
                    .devices
                    .iter()
                    .filter(|device| user.name == say.party.user && device.id == say.party.device);
                user.devices.len() - own.count()
            }),
            Goal::Room(room) => {
                let members = self.town.rooms.find(room).map_or(0, |room| room.members.len());
                members.saturating_sub(1)
            }
        }
    }

    /// The answer of the message that this one repeats.
    fn sent_before(&mut self, now: Now, say: &Say) -> Option<Box<str>> {
        let name = say.client_ref.as_deref()?;
        if let Some(answer) = self.sent_earlier.get(&(say.party.user.clone(), Box::from(name))) {
            return Some(answer.clone());
        }
        let window = self.settings.messages.client_ref;
        let user = self.town.people.find_mut(&say.party.user)?;
        user.trim_refs(now.at, window);
        user.refs.iter().find(|known| *known.name == *name).map(|known| known.answer.clone())
    }

    pub(super) fn remember(&mut self, now: Now, say: &Say, answer: &str) {
        let Some(name) = &say.client_ref else { return };
        let refs_max = self.settings.messages.client_refs_per_user;
        let Some(user) = self.town.people.find_mut(&say.party.user) else { return };
        if user.refs.len() >= refs_max {
            user.refs.pop_front();
        }
        user.refs.push_back(Ref { name: name.clone(), at: now.at, answer: Box::from(answer) });
    }
}

/// The object that `message:receive` carries.
pub(super) fn write(say: &Say, id: &str, seq: u64, at: u64) -> Box<str> {
    let object = Object::sized(say.body.len() + 192).text("id", id).text("from", &say.party.user);
    goal_of(object, &say.to)
        .raw("body", &say.body)
        .maybe_text("thread", say.thread.as_deref())
        .maybe_raw("attachments", say.attachments.as_deref())
        .maybe_text("client_ref", say.client_ref.as_deref())
        .number("at", at)
        .number("seq", seq)
        .finish()
}

fn goal_of(object: Object, goal: &Goal) -> Object {
    match goal {
        Goal::User(user) => object.text("to", user),
        Goal::Room(room) => object.text("room", room),
    }
}

/// A list of at most ten descriptions of files. It goes on as it came.
fn check_attachments(json: &str) -> Result<&str, Refusal> {
    const SHAPE: &str = "`attachments` must be a list of at most 10 objects {url, name?, type?, size?}";
    at_most(json, ATTACHMENTS_BYTES_MAX, "attachments")?;
    let list: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| bad(SHAPE.into()))?;
    let is_good = |item: &&RawValue| {
        item.get().starts_with('{') && serde_json::from_str::<Attachment<'_>>(item.get()).is_ok()
    };
    if list.len() > ATTACHMENTS_MAX || !list.iter().all(is_good) {
        return Err(bad(SHAPE.into()));
    }
    Ok(json)
}
