//! What the hub asks of a storage, and what it hears of it.
//!
//! The hub has no storage: each [`Deed`] leaves as an effect with a number, and its [`Outcome`] comes back as an input under
//! that number. Nothing else waits for it.

use super::bus::Goal;
use super::identity::OpenRooms;
use super::limits::wait;
use super::{Hub, Refusal, SessionId};
use crate::base::Now;
use crate::metrics::SignalingError;
use slab::Slab;
use std::sync::Arc;
use std::time::Duration;

/// Deeds whose outcome is awaited.
pub(super) const AWAITED_MAX: usize = 1 << 14;
/// When to try again what storage had no time for.
const AGAIN: Duration = Duration::from_secs(1);

/// A conversation: of a room, or of a pair of users, in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Conversation {
    /// Of a room.
    Room(Arc<str>),
    /// Of two users, or of one with itself.
    Pair(Arc<str>, Arc<str>),
}

impl Conversation {
    /// The one in which `user` speaks to `goal`.
    pub fn of(user: &Arc<str>, goal: &Goal) -> Self {
        match goal {
            Goal::Room(room) => Self::Room(room.clone()),
            Goal::User(other) if user <= other => Self::Pair(user.clone(), other.clone()),
            Goal::User(other) => Self::Pair(other.clone(), user.clone()),
        }
    }
}

/// A message as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// Where it was said.
    pub conversation: Conversation,
    /// Its number there, from 1.
    pub seq: u64,
    /// How many stored messages there are up to this one.
    pub count: u64,
    /// Its ULID.
    pub id: Box<str>,
    /// Who said it.
    pub from: Arc<str>,
    /// When: milliseconds since 1970.
    pub at_ms: u64,
    /// The message that it belongs to.
    pub thread: Option<Box<str>>,
    /// Its sender's own name for it.
    pub client_ref: Option<Box<str>>,
    /// The object that `message:receive` carries.
    pub data: Box<str>,
}

/// What storage shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Say where the numbers of a conversation stand: [`Outcome::Loaded`].
    Load(Conversation),
    /// Write a message, and that its sender has read up to it. Those of one conversation are written in order.
    Write(Box<StoredMessage>),
    /// Note that `users` take part from now on who did not: they have read what comes before `before`, and nothing is
    /// noted where that is all there is and it is nothing.
    Meet {
        /// Which conversation.
        conversation: Conversation,
        /// Who takes part.
        users: Vec<Arc<str>>,
        /// The number of the first message that they have not read.
        before: u64,
    },
    /// Note that a user has read up to a message, unless they had read more.
    Read {
        /// Who.
        user: Arc<str>,
        /// Which conversation.
        conversation: Conversation,
        /// Up to which number.
        seq: u64,
    },
    /// Find the last messages: [`Outcome::History`].
    History {
        /// Which conversation.
        conversation: Conversation,
        /// Below this number.
        before: u64,
        /// Only those that belong to this message.
        thread: Option<Box<str>>,
        /// Messages at most.
        limit: usize,
    },
    /// Note that a user takes part no more, behind what was to be written before.
    Part {
        /// Who.
        user: Arc<str>,
        /// In which conversation.
        conversation: Conversation,
    },
    /// Say what a user has not read: [`Outcome::Unread`].
    Unread {
        /// Who.
        user: Arc<str>,
        /// The rooms of which it may hear.
        rooms: OpenRooms,
    },
}

/// What became of a deed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, and outlives the daemon.
    Done,
    /// The last number of the conversation, and how many messages of it are stored.
    Loaded {
        /// The last number.
        seq: u64,
        /// How many are stored.
        count: u64,
    },
    /// Messages with their numbers, oldest first.
    History {
        /// Their objects.
        messages: Vec<(u64, Box<str>)>,
        /// There are older ones.
        more: bool,
    },
    /// The conversations of a user that have messages, the one with the latest message first.
    Unread {
        /// At most as many as fit in one answer, those with the latest messages.
        conversations: Vec<Unread>,
        /// There are others.
        more: bool,
    },
}

/// What a user has not read of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Which.
    pub conversation: Conversation,
    /// Stored messages that were not read.
    pub unread: u64,
    /// The number of the latest message.
    pub head: u64,
    /// The number up to which was read.
    pub read: u64,
    /// The latest message: its id, who said it, and when in milliseconds since 1970.
    pub last: (Box<str>, Box<str>, u64),
}

/// Why storage did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstored {
    /// It has too much to do.
    Busy,
    /// There is none, or it is broken.
    Unavailable,
}

impl From<Unstored> for Refusal {
    fn from(why: Unstored) -> Self {
        match why {
            Unstored::Busy => wait("storage has too much to do", AGAIN),
            Unstored::Unavailable => {
                Self::new(SignalingError::Unavailable, "the server can store nothing now")
            }
        }
    }
}

/// A message that was stored shortly before the daemon ended, under its sender's own name for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentBefore {
    /// Who sent it.
    pub user: Box<str>,
    /// The name.
    pub client_ref: Box<str>,
    /// Its ULID.
    pub id: Box<str>,
    /// Its number.
    pub seq: u64,
    /// When: milliseconds since 1970.
    pub at_ms: u64,
}

/// What an outcome is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// The numbers of this conversation.
    Load(Conversation),
    /// The message of this number.
    Write(Conversation, u64),
    /// Who takes part in this conversation.
    Meet(Conversation),
    /// Nobody waits for it.
    Note,
    /// A cursor, which others may wait for as well.
    Read(Arc<str>, Conversation),
    /// An answer with messages.
    History(super::reading::HistoryAsked),
    /// An answer with conversations.
    Unread(super::bus::Request, super::bus::Origin, Arc<str>),
}

/// Deeds that are under way.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    slab: Slab<(u32, Purpose)>,
    serial: u32,
}

impl UnderWay {
    /// Notes a deed; gives its number.
    fn note(&mut self, purpose: Purpose) -> Result<u64, Refusal> {
        if self.slab.len() >= AWAITED_MAX {
            return Err(Unstored::Busy.into());
        }
        self.serial = self.serial.wrapping_add(1);
        let place = self.slab.insert((self.serial, purpose));
        Ok(u64::from(self.serial) << 32 | place as u64)
    }

    fn take(&mut self, number: u64) -> Option<Purpose> {
        let place = (number & u64::from(u32::MAX)) as usize;
        let is_it = self.slab.get(place).is_some_and(|(serial, _)| u64::from(*serial) == number >> 32);
        is_it.then(|| self.slab.remove(place).1)
    }
}

impl Hub {
    /// Has a deed done.
    pub(super) fn have_done(&mut self, purpose: Purpose, deed: Deed) -> Result<(), Refusal> {
        let number = self.under_way.note(purpose)?;
        self.effects.push_back(super::Effect::Store { number, deed });
        Ok(())
    }

    /// What became of [`super::Effect::Store`].
    pub fn on_stored(&mut self, now: Now, number: u64, result: Result<Outcome, Unstored>) {
        match (self.under_way.take(number), result) {
            (None | Some(Purpose::Note), _) => {}
            (Some(Purpose::Load(conversation)), result) => self.on_loaded(now, &conversation, result),
            (Some(Purpose::Write(conversation, seq)), result) => {
                self.on_written(now, &conversation, seq, result.map(drop));
            }
            (Some(Purpose::Meet(conversation)), result) => {
                self.on_met(now, &conversation, result.map(drop));
            }
            (Some(Purpose::Read(user, conversation)), result) => {
                self.on_cursor(&user, &conversation, result.map(drop));
            }
            (Some(Purpose::History(asked)), result) => self.on_pages(asked, result),
            (Some(Purpose::Unread(request, origin, user)), result) => {
                self.on_unread_found((request, origin), &user, result);
            }
        }
    }

    /// Takes a place among what one session has under way; given back by [`Hub::rest`].
    pub(super) fn begin_asking(&mut self, id: SessionId) -> Result<(), Refusal> {
        const ASKING_MAX: u8 = 32;
        let Some(session) = self.town.sessions.get_mut(id) else { return Ok(()) };
        if session.asking >= ASKING_MAX {
            return Err(wait("too much of this session waits for storage", AGAIN));
        }
        session.asking += 1;
        Ok(())
    }

    /// Something of a session waits no more.
    pub(super) fn rest(&mut self, origin: super::bus::Origin) {
        let session = self.town.sessions.get_mut(origin.session).filter(|_| origin.node == self.node);
        session.into_iter().for_each(|session| session.asking = session.asking.saturating_sub(1));
    }
}
