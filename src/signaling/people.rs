//! Users, their devices, and who wants to know about them.

use super::call::DeviceChange;
use super::{Party, SessionId};
use crate::base::{TimerId, Timestamp, TokenBucket, UnixTime};
use ahash::RandomState;
use slab::Slab;
use smallvec::{SmallVec, smallvec};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// All users who are here or were here lately.
#[derive(Debug)]
pub(super) struct People {
    by_name: HashMap<Arc<str>, u32, RandomState>,
    users: Slab<User>,
    watchers: HashMap<Arc<str>, BTreeSet<SessionId>, RandomState>,
    watched: usize,
}

/// One user.
#[derive(Debug)]
pub(super) struct User {
    pub(super) name: Arc<str>,
    /// Nearly always one, with one session, both of which are then found without one more hop.
    pub(super) devices: SmallVec<[Device; 1]>,
    /// Sessions that have a transport.
    pub(super) attached: u32,
    pub(super) is_online: bool,
    /// What others were told last.
    pub(super) told_online: bool,
    pub(super) is_idle: bool,
    pub(super) is_dirty: bool,
    pub(super) meta: Option<Box<str>>,
    pub(super) last_seen: UnixTime,
    /// The rooms that the user was in when the last session ended: those in them still hear that the user is gone.
    pub(super) last_rooms: Vec<Arc<str>>,
    /// While without transport: when the user is offline; while offline: when the user is forgotten.
    pub(super) timer: Option<TimerId>,
    /// Until then nothing is said about the user.
    pub(super) quiet: Option<TimerId>,
    pub(super) budgets: [TokenBucket; 4],
    pub(super) connects: TokenBucket,
    /// For conversations that the user begins in storage.
    pub(super) conversations: TokenBucket,
    pub(super) cool_until: Timestamp,
    /// Messages that were sent under a name of the client's own, oldest first.
    pub(super) refs: VecDeque<Ref>,
}

/// One device of a user.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) id: Arc<str>,
    pub(super) sessions: SmallVec<[SessionId; 1]>,
    attached: u32,
}

/// A message that was sent under a name of the client's own.
#[derive(Debug)]
pub(super) struct Ref {
    pub(super) name: Box<str>,
    pub(super) at: Timestamp,
    pub(super) answer: Box<str>,
}

impl People {
    pub(super) fn new(hasher: &RandomState) -> Self {
        Self {
            by_name: HashMap::with_hasher(hasher.clone()),
            users: Slab::new(),
            watchers: HashMap::with_hasher(hasher.clone()),
            watched: 0,
        }
    }

    /// How many users are known.
    pub(super) fn len(&self) -> usize {
        self.users.len()
    }

    /// The place of the user of this name, who is made when there is none.
    pub(super) fn enter(&mut self, name: &Arc<str>) -> u32 {
        if let Some(place) = self.by_name.get(name) {
            return *place;
        }
        let user = User {
            name: Arc::clone(name),
            devices: SmallVec::new(),
            attached: 0,
            is_online: false,
            told_online: false,
            is_idle: false,
            is_dirty: false,
            meta: None,
            last_seen: UnixTime(0),
            last_rooms: Vec::new(),
            timer: None,
            quiet: None,
            budgets: Default::default(),
            connects: TokenBucket::default(),
            conversations: TokenBucket::default(),
            cool_until: Timestamp::ZERO,
            refs: VecDeque::new(),
        };
        let place = self.users.insert(user) as u32;
        self.by_name.insert(Arc::clone(name), place);
        place
    }

    pub(super) fn find(&self, name: &str) -> Option<&User> {
        self.users.get(*self.by_name.get(name)? as usize)
    }

    pub(super) fn find_mut(&mut self, name: &str) -> Option<&mut User> {
        self.users.get_mut(*self.by_name.get(name)? as usize)
    }

    pub(super) fn at(&self, place: u32) -> Option<&User> {
        self.users.get(place as usize)
    }

    pub(super) fn at_mut(&mut self, place: u32) -> Option<&mut User> {
        self.users.get_mut(place as usize)
    }

    /// The user is forgotten.
    pub(super) fn remove(&mut self, place: u32) {
        if let Some(user) = self.users.try_remove(place as usize) {
            self.by_name.remove(&user.name);
        }
    }

    /// The sessions of one device.
    pub(super) fn device(&self, party: &Party) -> Option<&Device> {
        self.find(&party.user)?.devices.iter().find(|device| device.id == party.device)
    }

    /// `session` wants to hear about `name`. `false` when it did already.
    pub(super) fn watch(&mut self, name: &Arc<str>, session: SessionId) -> bool {
        let is_new = self.watchers.entry(Arc::clone(name)).or_default().insert(session);
        self.watched += usize::from(is_new);
        is_new
    }

    /// `session` hears no more about `name`.
    pub(super) fn unwatch(&mut self, name: &str, session: SessionId) {
        let Some(watchers) = self.watchers.get_mut(name) else { return };
        self.watched -= usize::from(watchers.remove(&session));
        if watchers.is_empty() {
            self.watchers.remove(name);
        }
    }

    /// Who wants to hear about `name`, in order.
    pub(super) fn watchers(&self, name: &str) -> impl Iterator<Item = SessionId> {
        self.watchers.get(name).into_iter().flatten().copied()
    }

    /// How many wishes to hear about somebody there are.
    pub(super) fn watched(&self) -> usize {
        self.watched
    }
}

impl User {
    /// A session of `device` has a transport: a new one, or one that goes on.
    pub(super) fn attach(&mut self, device: &Arc<str>, session: SessionId) -> Option<DeviceChange> {
        self.attached += 1;
        let Some(known) = self.devices.iter_mut().find(|known| known.id == *device) else {
            let sessions = smallvec![session];
            self.devices.push(Device { id: Arc::clone(device), sessions, attached: 1 });
            return Some(DeviceChange::Online);
        };
        if !known.sessions.contains(&session) {
            known.sessions.push(session);
        }
        known.attached += 1;
        (known.attached == 1).then_some(DeviceChange::Back)
    }

    /// A session of `device` lost its transport.
    pub(super) fn detach(&mut self, device: &str) -> Option<DeviceChange> {
        self.attached -= 1;
        let known = self.devices.iter_mut().find(|known| *known.id == *device)?;
        known.attached -= 1;
        (known.attached == 0).then_some(DeviceChange::Lost)
    }

    /// A session of `device`, without a transport by now, is over.
    pub(super) fn end(&mut self, device: &str, session: SessionId) -> Option<DeviceChange> {
        let at = self.devices.iter().position(|known| *known.id == *device)?;
        let known = &mut self.devices[at];
        known.sessions.retain(|one| *one != session);
        if !known.sessions.is_empty() {
            return None;
        }
        self.devices.swap_remove(at);
        Some(DeviceChange::Gone)
    }

    /// Forgets the names of messages that were sent longer ago than `window`.
    pub(super) fn trim_refs(&mut self, now: Timestamp, window: Duration) {
        while self.refs.front().is_some_and(|first| now.since(first.at) >= window) {
            self.refs.pop_front();
        }
        if self.refs.is_empty() {
            self.refs = VecDeque::new();
        }
    }

    /// Every session.
    pub(super) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.devices.iter().flat_map(|device| device.sessions.iter().copied())
    }
}
