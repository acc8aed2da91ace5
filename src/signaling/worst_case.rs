//! The most memory that one thing of each kind can take: what the bounds of the settings add up to.

use super::call::{CallSettings, DIGEST_BYTES_MAX, GROUP_MEMBERS_HARD_MAX, SENDER_KEPT_BYTES_MAX};
use super::keep::AWAITED_MAX;
use super::payload::NAME_BYTES_MAX;
use super::reading::{CURSOR_WAITERS_MAX, CURSORS_MAX};
use super::settings::Settings;
use super::shelves::{KNOWN_MAX, WAITING_BYTES_MAX};

/// A session with its entries in tables, without what it has in them.
const SESSION_BYTES: u64 = 2 << 10;

/// A room or a pair of users with messages, without those.
const PLACE_BYTES: u64 = 1 << 10;

/// A call with its sides and its tombstone, without what waits in it.
const CALL_BYTES: u64 = 4 << 10;

/// A name with its count of references.
const SHARED_NAME_BYTES: u64 = NAME_BYTES_MAX as u64 + 32;

/// A name's place in a set that is half empty.
const SET_PLACE_BYTES: u64 = 40;

/// Who waits for a read cursor: where to answer, and who asked.
const WAITER_BYTES: u64 = 64;

/// What storage was asked for and has not answered, without names.
const DEED_BYTES: u64 = 256;

impl Settings {
    /// A session: the events that wait or may be sent again, its streams of coalescing events of up to
    /// `message_bytes_max` each, what it tells of itself to rooms and in its presence, and whom it watches.
    pub fn session_bytes_max(&self, message_bytes_max: u64) -> u64 {
        let streams = self.messages.coalescing_per_session as u64 * message_bytes_max;
        let member = self.rooms.info_bytes_max as u64 + SHARED_NAME_BYTES;
        let rooms = self.rooms.per_session as u64 * member;
        let presence = self.presence.meta_bytes_max as u64
            + self.presence.watched_per_session as u64 * SHARED_NAME_BYTES;
        let refs = self.messages.client_refs_per_user as u64 * SHARED_NAME_BYTES;
        SESSION_BYTES + self.log.bytes_max as u64 + streams + rooms + presence + refs
    }

    /// A room, or a pair of users, without its messages: those share [`super::MessageSettings::history_bytes_total`].
    pub const fn place_bytes_max(&self) -> u64 {
        PLACE_BYTES
    }

    /// A conversation of which messages are stored, without those: who is known to take part in it.
    pub const fn conversation_bytes_max(&self) -> u64 {
        PLACE_BYTES + KNOWN_MAX as u64 * (SHARED_NAME_BYTES + SET_PLACE_BYTES)
    }

    /// All messages that wait until they are stored.
    pub const fn waiting_bytes_max(&self) -> u64 {
        WAITING_BYTES_MAX as u64
    }

    /// How many read cursors are being written at most, and the bytes of each with those who wait for it now and next.
    pub const fn cursors_max(&self) -> (usize, u64) {
        let waiters = 2 * CURSOR_WAITERS_MAX as u64 * WAITER_BYTES;
        (CURSORS_MAX, PLACE_BYTES + 3 * SHARED_NAME_BYTES + waiters)
    }

    /// How much is asked of storage at once at most, and the bytes of each with the names in it.
    pub const fn deeds_max(&self) -> (usize, u64) {
        (AWAITED_MAX, DEED_BYTES + 4 * SHARED_NAME_BYTES)
    }
}

impl CallSettings {
    /// A call: what each of its members has waiting for others.
    pub fn call_bytes_max(&self) -> u64 {
        CALL_BYTES + self.group_limit() as u64 * SENDER_KEPT_BYTES_MAX
    }

    /// What is recorded of a call: what its members and those who left said of their media.
    pub fn record_bytes_max(&self) -> u64 {
        CALL_BYTES + (self.group_limit() + GROUP_MEMBERS_HARD_MAX) as u64 * DIGEST_BYTES_MAX
    }
}
