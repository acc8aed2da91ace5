//! The tables.

/// A table: the first byte of its keys, and its name in reports and exports. Neither ever changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Keys of the HTTP API, by id.
    ApiKeys = 1,
    /// Static TURN users, by name.
    Users = 2,
    /// Revocations and bans, by id.
    Revocations = 3,
    /// Relayed bytes by minute.
    UsageMinutes = 4,
    /// Relayed bytes by hour.
    UsageHours = 5,
    /// Relayed bytes by day.
    UsageDays = 6,
    /// Calls that have ended, by their id, which is ordered by time.
    Calls = 7,
    /// Calls that live, by their id.
    LiveCalls = 8,
    /// Stored messages, by conversation and number.
    Messages = 9,
    /// Conversations of users.
    Conversations = 10,
    /// How far a user has read a conversation.
    ReadCursors = 11,
    /// Which stored messages belong to a thread.
    MessageThreads = 12,
    /// Stored messages by when they were sent, with the names that their senders gave them.
    SentMessages = 13,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::ApiKeys,
        Self::Users,
        Self::Revocations,
        Self::UsageMinutes,
        Self::UsageHours,
        Self::UsageDays,
        Self::Calls,
        Self::LiveCalls,
        Self::Messages,
        Self::Conversations,
        Self::ReadCursors,
        Self::MessageThreads,
        Self::SentMessages,
    ];

    /// The name in reports and exports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApiKeys => "api_keys",
            Self::Users => "users",
            Self::Revocations => "revocations",
            Self::UsageMinutes => "usage_minutes",
            Self::UsageHours => "usage_hours",
            Self::UsageDays => "usage_days",
            Self::Calls => "calls",
            Self::LiveCalls => "live_calls",
            Self::Messages => "messages",
            Self::Conversations => "conversations",
            Self::ReadCursors => "read_cursors",
            Self::MessageThreads => "message_threads",
            Self::SentMessages => "sent_messages",
        }
    }

    /// The first byte of its keys.
    pub const fn tag(self) -> u8 {
        self as u8
    }

    /// The table of a key; `None` for one of no table.
    pub fn of_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.tag() == tag)
    }
}
