//! What was said before, who has read how far, and what is unread.

use super::bus::{Deliver, Goal, Message, Origin, Request};
use super::json::{Object, array, done};
use super::keep::{Conversation, Deed, Outcome, Purpose, Unread, Unstored};
use super::limits::{Kind, wait};
use super::payload::{Payload, bad, required};
use super::{Class, Hub, Refusal, SessionId, emit};
use crate::base::Now;
use crate::metrics::SignalingError;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Messages in one page of the history.
const PAGE_MAX: u64 = 200;
/// Bytes of them: what storage need not read beyond.
pub const HISTORY_BYTES_MAX: usize = 128 << 10;
/// What reading from storage costs beside the event itself.
const HISTORY_COST: u32 = 2;
const UNREAD_COST: u32 = 20;
/// Cursors that are being written, and who may wait for one of them.
pub(super) const CURSORS_MAX: usize = 1 << 14;
pub(super) const CURSOR_WAITERS_MAX: usize = 32;

/// Who asked for messages, and for which.
#[derive(Debug)]
pub(super) struct HistoryAsked {
    request: Request,
    origin: Origin,
    conversation: Conversation,
    before: u64,
    limit: usize,
    thread: Option<Box<str>>,
}

/// Cursors that are being written. What a user reads meanwhile is written together afterwards.
pub(super) type Cursors = BTreeMap<(Arc<str>, Conversation), Cursor>;

#[derive(Debug)]
pub(super) struct Cursor {
    goal: Goal,
    /// Being written, and for whom.
    now: (u64, Vec<(Request, Origin)>),
    /// To be written next, and for whom.
    next: Option<(u64, Vec<(Request, Origin)>)>,
}

impl Hub {
    /// `message:history {room|with, before?, limit?, thread?}`
    pub(super) fn on_history(
        &mut self,
        now: Now,
        id: SessionId,
        payload: &Payload<'_>,
        ack: Option<u64>,
    ) -> Result<super::hub::Reply, Refusal> {
        let with = payload.conversation()?;
        let limit = payload.limit()?.unwrap_or(50);
        if limit > PAGE_MAX {
            return Err(bad("`limit` must be 200 at most".into()));
        }
        let before = payload.before()?.unwrap_or(u64::MAX);
        let thread = payload.thread()?.map(|thread| Box::from(&*thread));
        self.expect_member(id, &with)?;
        let Some(user) = self.user_of(id) else { return Ok(super::hub::Reply::Later) };
        let (conversation, limit) = (Conversation::of(&user, &with), limit as usize);
        if !self.keeps {
            let page = self.page(&conversation, before, limit, thread.as_deref(), (Vec::new(), false));
            return Ok(super::hub::Reply::Now(page));
        }
        self.spend(now, id, Kind::Other, HISTORY_COST)?;
        let (request, origin) = self.expect_of_storage(id, ack, "message:history")?;
        let deed =
            Deed::History { conversation: conversation.clone(), before, thread: thread.clone(), limit };
        let asked = HistoryAsked { request, origin, conversation, before, limit, thread };
        if let Err(refusal) = self.have_done(Purpose::History(asked), deed) {
            self.answer_of_storage(request, origin, Err(refusal));
        }
        Ok(super::hub::Reply::Later)
    }

    /// What storage has of the messages that were asked for.
    pub(super) fn on_pages(&mut self, asked: HistoryAsked, result: Result<Outcome, Unstored>) {
        let HistoryAsked { request, origin, conversation, before, limit, thread } = asked;
        let result = match result {
            Ok(Outcome::History { messages, more }) => {
                Ok(self.page(&conversation, before, limit, thread.as_deref(), (messages, more)))
            }
            Ok(_) => Err(Refusal::new(SignalingError::Internal, "storage answered something else")),
            // A broken storage takes nothing away that there is without one.
            Err(Unstored::Unavailable) => {
                Ok(self.page(&conversation, before, limit, thread.as_deref(), (Vec::new(), false)))
            }
            Err(why @ Unstored::Busy) => Err(why.into()),
        };
        self.answer_of_storage(request, origin, result);
    }

    /// The latest of the messages in storage and of those in memory.
    fn page(
        &self,
        conversation: &Conversation,
        before: u64,
        limit: usize,
        thread: Option<&str>,
        (stored, more): (Vec<(u64, Box<str>)>, bool),
    ) -> Box<str> {
        // Where storage has older ones than it sent, those in memory that lie among them are for a later page.
        let from = if more { stored.first().map_or(0, |(seq, _)| *seq) } else { 0 };
        let mut all: BTreeMap<u64, Cow<'_, str>> =
            stored.iter().map(|(seq, json)| (*seq, Cow::Borrowed(&**json))).collect();
        let talk = match conversation {
            Conversation::Room(room) => self.town.rooms.find(room).map(|room| &room.talk),
            Conversation::Pair(one, other) => self.pairs.find(one, other),
        };
        let in_memory = talk.into_iter().flat_map(|talk| talk.before(before));
        let fits = |json: &str| thread.is_none_or(|thread| belongs_to(json, thread));
        for (seq, json) in in_memory.filter(|(seq, json)| *seq >= from && fits(json)) {
            all.entry(seq).or_insert(Cow::Borrowed(json));
        }
        let (mut bytes, mut page) = (0, Vec::new());
        for json in all.values().rev().take(limit) {
            bytes += json.len() + 1;
            if bytes > HISTORY_BYTES_MAX && !page.is_empty() {
                break;
            }
            page.push(json);
        }
        let more = more || page.len() < all.len();
        Object::new().raw("messages", &array(page.into_iter().rev())).flag("more", more).finish()
    }

    /// `message:read {room|with, seq}`
    pub(super) fn on_read(
        &mut self,
        id: SessionId,
        payload: &Payload<'_>,
        ack: Option<u64>,
    ) -> Result<super::hub::Reply, Refusal> {
        let with = payload.conversation()?;
        let seq = required(payload.seq()?, "seq")?;
        self.expect_member(id, &with)?;
        let Some(user) = self.user_of(id) else { return Ok(super::hub::Reply::Later) };
        if !self.keeps {
            self.tell_read(&user, &with, seq, Some(self.origin(id)));
            return Ok(super::hub::Reply::Now(done()));
        }
        let conversation = Conversation::of(&user, &with);
        let key = (user, conversation);
        let is_full = match self.cursors.get(&key) {
            None => self.cursors.len() >= CURSORS_MAX,
            Some(cursor) => {
                cursor.next.as_ref().is_some_and(|(_, waiting)| waiting.len() >= CURSOR_WAITERS_MAX)
            }
        };
        if is_full {
            return Err(wait("too many read cursors are being written", Duration::from_secs(1)));
        }
        let (request, origin) = self.expect_of_storage(id, ack, "message:read")?;
        match self.cursors.get_mut(&key) {
            Some(cursor) => {
                let (latest, waiting) = cursor.next.get_or_insert_default();
                *latest = seq.max(*latest);
                waiting.push((request, origin));
            }
            None => self.write_cursor(key, with, (seq, vec![(request, origin)])),
        }
        Ok(super::hub::Reply::Later)
    }

    /// A cursor is on the disk, or will never be.
    pub(super) fn on_cursor(
        &mut self,
        user: &Arc<str>,
        conversation: &Conversation,
        result: Result<(), Unstored>,
    ) {
        let key = (user.clone(), conversation.clone());
        let Some(Cursor { goal, now: (seq, waiting), next }) = self.cursors.remove(&key) else { return };
        let result = match result {
            // The other side hears of it as it does without a storage.
            Ok(()) | Err(Unstored::Unavailable) => Ok(()),
            Err(why @ Unstored::Busy) => Err(why.into()),
        };
        self.settle_cursor(user, &goal, seq, waiting, result);
        if let Some(next) = next {
            self.write_cursor(key, goal, next);
        }
    }

    fn write_cursor(
        &mut self,
        key: (Arc<str>, Conversation),
        goal: Goal,
        (seq, waiting): (u64, Vec<(Request, Origin)>),
    ) {
        let (user, conversation) = key.clone();
        let purpose = Purpose::Read(user.clone(), conversation.clone());
        match self.have_done(purpose, Deed::Read { user: user.clone(), conversation, seq }) {
            Ok(()) => drop(self.cursors.insert(key, Cursor { goal, now: (seq, waiting), next: None })),
            Err(refusal) => self.settle_cursor(&user, &goal, seq, waiting, Err(refusal)),
        }
    }

    fn settle_cursor(
        &mut self,
        user: &Arc<str>,
        goal: &Goal,
        seq: u64,
        waiting: Vec<(Request, Origin)>,
        result: Result<(), Refusal>,
    ) {
        if result.is_ok() {
            self.tell_read(user, goal, seq, waiting.last().map(|(_, origin)| *origin));
        }
        for (request, origin) in waiting {
            self.answer_of_storage(request, origin, result.clone().map(|()| done()));
        }
    }

    /// `message:read` to the other side.
    fn tell_read(&mut self, user: &Arc<str>, with: &Goal, seq: u64, except: Option<Origin>) {
        let object = Object::new().text("by", user);
        let object = match with {
            Goal::Room(room) => object.text("room", room),
            Goal::User(_) => object,
        };
        self.publish(Message::Deliver(Deliver {
            to: emit::to(with),
            except,
            event: Cow::Borrowed("message:read"),
            data: object.number("seq", seq).finish(),
            attachments: Vec::new(),
            class: Class::Coalescing(super::coalesce::key(user, with, "message:read")),
        }));
    }

    /// `message:unread {}`
    pub(super) fn on_unread(
        &mut self,
        now: Now,
        id: SessionId,
        ack: Option<u64>,
    ) -> Result<super::hub::Reply, Refusal> {
        if !self.keeps {
            return Err(Unstored::Unavailable.into());
        }
        self.spend(now, id, Kind::Other, UNREAD_COST)?;
        let Some(session) = self.town.sessions.get(id) else { return Ok(super::hub::Reply::Later) };
        let rooms = session.identity.opens(self.settings.rooms.open);
        let user = Arc::clone(&session.identity.user);
        let (request, origin) = self.expect_of_storage(id, ack, "message:unread")?;
        let purpose = Purpose::Unread(request, origin, user.clone());
        if let Err(refusal) = self.have_done(purpose, Deed::Unread { user, rooms }) {
            self.answer_of_storage(request, origin, Err(refusal));
        }
        Ok(super::hub::Reply::Later)
    }

    pub(super) fn on_unread_found(
        &mut self,
        (request, origin): (Request, Origin),
        user: &Arc<str>,
        result: Result<Outcome, Unstored>,
    ) {
        let result = match result {
            Ok(Outcome::Unread { conversations, more }) => {
                let list = array(conversations.iter().map(|one| unread(one, user)));
                let object = Object::new().raw("conversations", &list);
                Ok(if more { object.flag("more", true).finish() } else { object.finish() })
            }
            Ok(_) => Err(Refusal::new(SignalingError::Internal, "storage answered something else")),
            Err(why) => Err(why.into()),
        };
        self.answer_of_storage(request, origin, result);
    }

    /// A user who comes into a room takes part in what is stored there.
    pub(super) fn meet_room(&mut self, user: &Arc<str>, room: &Arc<str>) {
        let conversation = Conversation::Room(room.clone());
        let deed = Deed::Meet { conversation, users: vec![user.clone()], before: u64::MAX };
        // Storage with too much to do: the next message of the room does it as well.
        let _busy = self.have_done(Purpose::Note, deed);
    }

    /// A user who leaves a room for good takes part in it no more. One who was cut off, or whose other sessions stay, does.
    pub(super) fn part_from_room(&mut self, id: SessionId, place: u32) {
        let Some(user) = self.user_of(id).filter(|_| self.keeps) else { return };
        let Some(room) = self.town.rooms.at(place) else { return };
        let mut others = room.members.iter().filter(|member| member.session != id);
        let is_user = |id| self.town.sessions.get(id).is_some_and(|session| session.identity.user == user);
        if others.any(|member| is_user(member.session)) {
            return;
        }
        let conversation = Conversation::Room(room.name.clone());
        self.forget_met(&conversation, &user);
        // Storage with too much to do: the room is told of among what is unread, as before.
        let _busy = self.have_done(Purpose::Note, Deed::Part { user, conversation });
    }

    /// Takes a place for an answer that waits for storage; given back by [`Hub::answer_of_storage`].
    fn expect_of_storage(
        &mut self,
        id: SessionId,
        ack: Option<u64>,
        event: &'static str,
    ) -> Result<(Request, Origin), Refusal> {
        self.begin_asking(id)?;
        let origin = self.origin(id);
        let request = self.expect(id, ack, event).inspect_err(|_| self.rest(origin))?;
        Ok((request, origin))
    }

    fn answer_of_storage(&mut self, request: Request, origin: Origin, result: Result<Box<str>, Refusal>) {
        self.rest(origin);
        self.publish(Message::Answer { request, result });
    }

    pub(super) fn user_of(&self, id: SessionId) -> Option<Arc<str>> {
        self.town.sessions.get(id).map(|session| Arc::clone(&session.identity.user))
    }
}

/// One conversation as `message:unread` tells it to `user`.
fn unread(one: &Unread, user: &Arc<str>) -> Box<str> {
    let object = match &one.conversation {
        Conversation::Room(room) => Object::new().text("room", room),
        Conversation::Pair(first, second) => {
            Object::new().text("with", if first == user { second } else { first })
        }
    };
    let (id, from, at) = &one.last;
    let last = Object::new().text("id", id).text("from", from).number("at", *at).finish();
    object
        .number("unread", one.unread)
        .number("head", one.head)
        .number("read", one.read)
        .raw("last", &last)
        .finish()
}

/// Whether a message of our own writing belongs to this one.
fn belongs_to(json: &str, thread: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Of<'a> {
        #[serde(borrow)]
        thread: Option<Cow<'a, str>>,
    }
    serde_json::from_str::<Of<'_>>(json).is_ok_and(|of| of.thread.as_deref() == Some(thread))
}
