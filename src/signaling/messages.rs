//! Messages between users and in rooms. They live in memory: what nobody gets is gone.

use super::bus::{Deliver, Goal, Message, Say};
use super::hub::{Reply, Timer};
use super::json::{Object, done};
use super::payload::{Payload, at_most, bad, required};
use super::people::Ref;
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
/// Messages in one page of the history, and their bytes.
const PAGE_MAX: u64 = 200;
const PAGE_BYTES_MAX: usize = 128 << 10;

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
        if payload.store()? == Some(true) {
            return Err(bad("`store`: this server keeps no messages; send it without".into()));
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
        let request = self.expect(id, inbound.ack, "message:send")?;
        self.publish(Message::Say(Box::new(Say {
            from: self.origin(id),
            party,
            to,
            body: Box::from(body),
            thread: thread.as_deref().map(Box::from),
            attachments: attachments.map(Box::from),
            client_ref: client_ref.as_deref().map(Box::from),
            request,
        })));
        Ok(Reply::Later)
    }

    /// `message:history {room|with, before?, limit?}`
    pub(super) fn on_history(&mut self, id: SessionId, payload: &Payload<'_>) -> Result<Box<str>, Refusal> {
        let with = payload.conversation()?;
        let limit = payload.limit()?.unwrap_or(50);
        if limit > PAGE_MAX {
            return Err(bad("`limit` must be 200 at most".into()));
        }
        let before = payload.before()?.unwrap_or(u64::MAX);
        self.expect_member(id, &with)?;
        let talk = match &with {
            Goal::Room(room) => self.town.rooms.find(room).map(|room| &room.talk),
            Goal::User(user) => self.user_of(id).and_then(|own| self.pairs.find(&own, user)),
        };
        let (messages, more) = talk.map_or_else(
            || ("[]".into(), false),
            |talk| talk.history(before, limit as usize, PAGE_BYTES_MAX),
        );
        Ok(Object::new().raw("messages", &messages).flag("more", more).finish())
    }

    /// `message:read {room|with, seq}`
    pub(super) fn on_read(&mut self, id: SessionId, payload: &Payload<'_>) -> Result<Box<str>, Refusal> {
        let with = payload.conversation()?;
        let seq = required(payload.seq()?, "seq")?;
        self.expect_member(id, &with)?;
        let Some(user) = self.user_of(id) else { return Ok(done()) };
        let object = Object::new().text("by", &user);
        let object = match &with {
            Goal::Room(room) => object.text("room", room),
            Goal::User(_) => object,
        };
        self.publish(Message::Deliver(Deliver {
            to: emit::to(&with),
            except: Some(self.origin(id)),
            event: Cow::Borrowed("message:read"),
            data: object.number("seq", seq).finish(),
            attachments: Vec::new(),
            class: Class::Coalescing(super::coalesce::key(&user, &with, "message:read")),
        }));
        Ok(done())
    }

    /// A message that came over the bus gets its number and goes to those whom it is for.
    pub(super) fn on_say(&mut self, now: Now, say: Say) {
        let request = say.request;
        if let Some(answer) = self.sent_before(now, &say) {
            return self.publish(Message::Answer { request, result: Ok(answer) });
        }
        let (at, random) = (self.clock.unix_ms(now), u128::from_le_bytes(self.random.bytes()));
        let id = Ulid::from_parts(at, random).to_string();
        let (seq, data) = match self.enter(now, &say, &id, at) {
            Ok(entered) => entered,
            Err(refusal) => return self.publish(Message::Answer { request, result: Err(refusal) }),
        };
        let answer = Object::new().text("id", &id).number("seq", seq).number("at", at).finish();
        self.remember(now, &say, &answer);
        self.publish(Message::Answer { request, result: Ok(answer) });
        let devices = self.audience(&say);
        self.spread(&say, data);
        if devices > 0 {
            let data = goal_of(Object::new().text("id", &id), &say.to).number("seq", seq);
            let data = data.number("devices", devices as u64).finish();
            self.publish_to(
                super::bus::To::Session(say.from),
                None,
                "message:delivered",
                data,
                Class::Reliable,
            );
        }
    }

    /// Puts a message into its conversation: its number there, and what receivers get.
    fn enter(&mut self, now: Now, say: &Say, id: &str, at: u64) -> Result<(u64, Box<str>), Refusal> {
        let settings = &self.settings.messages;
        let talk = match &say.to {
            Goal::Room(room) => {
                let room = self.town.rooms.find_mut(room).ok_or_else(super::membership::not_found)?;
                room.used_at = now.at;
                &mut room.talk
            }
            Goal::User(user) => {
                let timers = &mut self.timers;
                let idle = self.settings.rooms.idle;
                self.pairs.talk(&say.party.user, user, now.at, settings.pairs_total, |place| {
                    timers.schedule(now.at.after(idle), Timer::Pair(place))
                })?
            }
        };
        talk.seq += 1;
        let data = write(say, id, talk.seq, at);
        talk.keep(settings, &mut self.talk_bytes, &data);
        Ok((talk.seq, data))
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
        let window = self.settings.messages.client_ref;
        let user = self.town.people.find_mut(&say.party.user)?;
        user.trim_refs(now.at, window);
        user.refs.iter().find(|known| *known.name == *name).map(|known| known.answer.clone())
    }

    fn remember(&mut self, now: Now, say: &Say, answer: &str) {
        let Some(name) = &say.client_ref else { return };
        let refs_max = self.settings.messages.client_refs_per_user;
        let Some(user) = self.town.people.find_mut(&say.party.user) else { return };
        if user.refs.len() >= refs_max {
            user.refs.pop_front();
        }
        user.refs.push_back(Ref { name: name.clone(), at: now.at, answer: Box::from(answer) });
    }

    fn user_of(&self, id: SessionId) -> Option<Arc<str>> {
        self.town.sessions.get(id).map(|session| Arc::clone(&session.identity.user))
    }
}

fn write(say: &Say, id: &str, seq: u64, at: u64) -> Box<str> {
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
