//! One session, and the table of all.

use super::coalesce::Slot;
use super::session_log::Log;
use super::typing::Typing;
use super::{Abilities, Identity, Party, Push, SessionId};
use crate::base::{Random, TimerId, Timestamp, TokenBucket};
use ahash::RandomState;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use slab::Slab;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// What the hub knows of one client: some 600 bytes while nothing happens.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) identity: Identity,
    /// The device that the token or the client names, else the public id of its first session.
    pub(super) device: Arc<str>,
    pub(super) namespace: u16,
    pub(super) abilities: Abilities,
    /// What names it to clients, and what only its own client knows: never the same.
    pub(super) public: Token,
    pub(super) private: Token,
    /// Place of its user among all users.
    pub(super) user: u32,
    /// Where it comes from, when that is to be counted.
    pub(super) source: Option<u64>,
    pub(super) log: Log,
    /// What goes out before anything else.
    pub(super) greeting: Option<Arc<Push>>,
    /// Where the numbers of its events begin.
    pub(super) start_seq: u64,
    /// Counts its transports; an answer for an earlier one has nobody to go to.
    pub(super) transport: u32,
    pub(super) is_attached: bool,
    /// The driver was told to close the transport, and has not done so yet.
    pub(super) is_closing: bool,
    /// The driver was told that there is something to send, and has not taken it all yet.
    pub(super) is_ready: bool,
    /// Its transport was closed because the token ended.
    pub(super) has_expired: bool,
    pub(super) has_notice: bool,
    /// Tokens of this transport that are being verified.
    pub(super) verifying: u8,
    /// Messages of it that wait for storage.
    pub(super) asking: u8,
    pub(super) lost_at: Timestamp,
    pub(super) heard_at: Timestamp,
    pub(super) window: Option<TimerId>,
    pub(super) expiry: Option<TimerId>,
    /// Places of its rooms.
    pub(super) rooms: Vec<u32>,
    /// Users whose presence it watches.
    pub(super) watched: Vec<Arc<str>>,
    pub(super) typing: Vec<Typing>,
    pub(super) slots: Vec<Slot>,
    pub(super) budgets: [TokenBucket; 4],
    pub(super) refusals: TokenBucket,
}

/// 128 random bits that clients know as 22 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Token(u128);

/// All sessions of this node.
#[derive(Debug)]
pub(super) struct Sessions {
    slab: Slab<Session>,
    by_private: HashMap<Token, SessionId, RandomState>,
    by_source: HashMap<u64, u32, RandomState>,
    /// Tells those apart that had the same place.
    serial: u32,
}

impl Token {
    pub(super) fn new(random: &mut Random) -> Self {
        Self(u128::from_le_bytes(random.bytes()))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 18];
        let len = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (len == 16).then(|| Self(u128::from_le_bytes(bytes[..16].try_into().unwrap_or_default())))
    }

    pub(super) fn text(self) -> Box<str> {
        URL_SAFE_NO_PAD.encode(self.0.to_le_bytes()).into_boxed_str()
    }
}

impl Session {
    pub(super) fn party(&self) -> Party {
        Party { user: Arc::clone(&self.identity.user), device: Arc::clone(&self.device) }
    }
}

impl Sessions {
    pub(super) fn new(hasher: &RandomState) -> Self {
        Self {
            slab: Slab::new(),
            by_private: HashMap::with_hasher(hasher.clone()),
            by_source: HashMap::with_hasher(hasher.clone()),
            serial: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn of_source(&self, source: u64) -> usize {
        self.by_source.get(&source).map_or(0, |count| *count as usize)
    }

    /// Adds what `make` makes of its new id.
    pub(super) fn insert(&mut self, make: impl FnOnce(SessionId) -> Session) -> SessionId {
        let entry = self.slab.vacant_entry();
        self.serial = self.serial.wrapping_add(1);
        let id = SessionId(u64::from(self.serial) << 32 | entry.key() as u64);
        let session = entry.insert(make(id));
        let (private, source) = (session.private, session.source);
        self.by_private.insert(private, id);
        self.count(source);
        id
    }

    pub(super) fn remove(&mut self, id: SessionId) -> Option<Session> {
        self.get(id)?;
        let session = self.slab.try_remove(place(id))?;
        self.by_private.remove(&session.private);
        self.uncount(session.source);
        Some(session)
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.slab.get(place(id)).filter(|session| session.id == id)
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.slab.get_mut(place(id)).filter(|session| session.id == id)
    }

    /// The session that only a client with this private id can mean.
    pub(super) fn by_private(&self, pid: &str) -> Option<SessionId> {
        self.by_private.get(&Token::parse(pid)?).copied()
    }

    /// Every session, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.slab.iter().map(|(_, session)| session)
    }

    /// How many places there are, for [`Sessions::at_place`].
    pub(super) fn places(&self) -> usize {
        self.slab.capacity()
    }

    /// The session at this place, if there is one.
    pub(super) fn at_place(&mut self, place: usize) -> Option<&mut Session> {
        self.slab.get_mut(place)
    }

    /// Notes that a session goes on from elsewhere.
    pub(super) fn move_to(&mut self, id: SessionId, source: Option<u64>) {
        let Some(session) = self.slab.get_mut(place(id)).filter(|session| session.id == id) else { return };
        let before = std::mem::replace(&mut session.source, source);
        self.uncount(before);
        self.count(source);
    }

    fn count(&mut self, source: Option<u64>) {
        if let Some(source) = source {
            *self.by_source.entry(source).or_default() += 1;
        }
    }

    fn uncount(&mut self, source: Option<u64>) {
        let Some(source) = source else { return };
        if let Entry::Occupied(mut entry) = self.by_source.entry(source) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

fn place(id: SessionId) -> usize {
    (id.0 & u64::from(u32::MAX)) as usize
}
