//! Conversations, their messages, and who has read how far.
//!
//! ```text
//! conversation      "r" room | "u" user other, the two in order
//! messages          conversation number            the message
//! message_threads   conversation thread number     that a message belongs to a thread
//! sent_messages     milliseconds id                under which name its sender knows a message; kept for minutes
//! conversations     conversation                   the last number, and how many messages were stored
//! read_cursors      user conversation              up to which of them a user has read
//! ```
//!
//! Messages that are not stored have numbers, too. So each stored one knows how many there were up to it, and what is unread
//! is a difference.
//!
//! A conversation goes in two steps, at least an hour apart: when its last message has gone it is marked, and what is still
//! marked goes, cursors first. Behind a cursor that stayed alone, new messages would count as read. Who asks for the
//! numbers takes the mark away, so what the hub knows of a conversation is as the store has it.

use super::super::{Key, Progress, Record, Table};
use crate::signaling::{Conversation, SentBefore, StoredMessage};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

/// Which conversation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Of a room.
    Room(Box<str>),
    /// Of two users, in order.
    Users(Box<str>, Box<str>),
}

impl Place {
    /// Behind `key`, which ends in front of a conversation.
    pub fn below(&self, key: Key) -> Key {
        match self {
            Self::Room(room) => key.text("r").text(room),
            Self::Users(one, other) => key.text("u").text(one).text(other),
        }
    }
}

impl From<&Conversation> for Place {
    fn from(conversation: &Conversation) -> Self {
        match conversation {
            Conversation::Room(room) => Self::Room(Box::from(&**room)),
            Conversation::Pair(one, other) => Self::Users(Box::from(&**one), Box::from(&**other)),
        }
    }
}

impl From<&Place> for Conversation {
    fn from(place: &Place) -> Self {
        match place {
            Place::Room(room) => Self::Room(Arc::from(&**room)),
            Place::Users(one, other) => Self::Pair(Arc::from(&**one), Arc::from(&**other)),
        }
    }
}

/// A stored message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MessageRecord {
    /// Where it was said.
    pub conversation: Place,
    /// Its number there.
    pub seq: u64,
    /// How many stored ones there were up to it.
    pub count: u64,
    /// When: milliseconds since 1970.
    pub at_ms: u64,
    /// The message that it belongs to.
    pub thread: Option<Box<str>>,
    /// What its receivers get.
    pub message: Box<RawValue>,
}

impl MessageRecord {
    /// Where the messages of a conversation begin.
    pub fn prefix(conversation: &Place) -> Key {
        conversation.below(Key::of(Table::Messages))
    }
}

impl Record for MessageRecord {
    const TABLE: Table = Table::Messages;

    fn key(&self) -> Key {
        Self::prefix(&self.conversation).number(self.seq)
    }
}

/// That a message belongs to a thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadRecord {
    /// Where it was said.
    pub conversation: Place,
    /// The first message of the thread.
    pub thread: Box<str>,
    /// The number of the message.
    pub seq: u64,
}

impl ThreadRecord {
    /// Where the messages of a thread begin.
    pub fn prefix(conversation: &Place, thread: &str) -> Key {
        conversation.below(Key::of(Table::MessageThreads)).text(thread)
    }
}

impl Record for ThreadRecord {
    const TABLE: Table = Table::MessageThreads;

    fn key(&self) -> Key {
        Self::prefix(&self.conversation, &self.thread).number(self.seq)
    }
}

/// A message under the name that its sender gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentRecord {
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

impl SentRecord {
    /// Where those begin that were sent at this time or later.
    pub fn since(at_ms: u64) -> Key {
        Key::of(Table::SentMessages).number(at_ms)
    }
}

impl Record for SentRecord {
    const TABLE: Table = Table::SentMessages;

    fn key(&self) -> Key {
        Self::since(self.at_ms).text(&self.id)
    }
}

impl From<SentRecord> for SentBefore {
    fn from(sent: SentRecord) -> Self {
        let SentRecord { user, client_ref, id, seq, at_ms } = sent;
        Self { user, client_ref, id, seq, at_ms }
    }
}

/// How far a conversation is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationRecord {
    /// Which.
    pub conversation: Place,
    /// The number of its last stored message.
    pub seq: u64,
    /// How many were stored.
    pub count: u64,
    /// The last one's ULID.
    pub last_id: Box<str>,
    /// Who said it.
    pub last_from: Box<str>,
    /// When: milliseconds since 1970.
    pub last_at_ms: u64,
    /// None of its messages is left, and nobody spoke or asked for its numbers since: it is about to go.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_emptied: bool,
}

impl ConversationRecord {
    /// Where it is.
    pub fn key_of(conversation: &Place) -> Key {
        conversation.below(Key::of(Table::Conversations))
    }
}

impl Record for ConversationRecord {
    const TABLE: Table = Table::Conversations;

    fn key(&self) -> Key {
        Self::key_of(&self.conversation)
    }
}

/// How far a user has read a conversation. Who has none takes no part in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorRecord {
    /// Who.
    pub user: Box<str>,
    /// Which conversation.
    pub conversation: Place,
    /// The number of the last stored message that was read.
    pub seq: u64,
    /// How many there were up to it.
    pub count: u64,
}

impl CursorRecord {
    /// Where those of a user begin.
    pub fn prefix(user: &str) -> Key {
        Key::of(Table::ReadCursors).text(user)
    }

    /// Where it is.
    pub fn key_of(user: &str, conversation: &Place) -> Key {
        conversation.below(Self::prefix(user))
    }
}

impl Record for CursorRecord {
    const TABLE: Table = Table::ReadCursors;

    fn key(&self) -> Key {
        Self::key_of(&self.user, &self.conversation)
    }
}

impl Progress for CursorRecord {
    fn progress(&self) -> u64 {
        self.count
    }
}

/// Everything that a stored message changes; `None` when it is not JSON.
pub fn batch_of(message: StoredMessage) -> Option<super::super::Batch> {
    let conversation = Place::from(&message.conversation);
    let StoredMessage { seq, count, id, from, at_ms, thread, client_ref, data, .. } = message;
    let from = Box::<str>::from(&*from);
    let mut batch = super::super::Batch::new();
    if let Some(thread) = &thread {
        let (conversation, thread) = (conversation.clone(), thread.clone());
        batch = batch.put(&ThreadRecord { conversation, thread, seq });
    }
    if let Some(client_ref) = client_ref {
        batch = batch.put(&SentRecord { user: from.clone(), client_ref, id: id.clone(), seq, at_ms });
    }
    let cursor = CursorRecord { user: from.clone(), conversation: conversation.clone(), seq, count };
    let head = ConversationRecord {
        conversation: conversation.clone(),
        seq,
        count,
        last_id: id,
        last_from: from,
        last_at_ms: at_ms,
        is_emptied: false,
    };
    let message = RawValue::from_string(data.into_string()).ok()?;
    let record = MessageRecord { conversation, seq, count, at_ms, thread, message };
    Some(batch.put(&record).put(&head).put(&cursor))
}
