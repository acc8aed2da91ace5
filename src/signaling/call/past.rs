//! What is remembered for a minute: calls that ended, and which `client_ref` started which call.

use super::super::Party;
use super::table::{Map, keyed_map};
use crate::base::{Random, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;
use ulid::Ulid;

/// Ended calls that messages without a call id can still find, per user.
const ENDED_PER_USER: usize = 16;

/// Bounded by a number of entries, the oldest of which gives way.
#[derive(Debug)]
pub(super) struct Past {
    ended: Map<Ulid, Tombstone>,
    ended_by_user: Map<Arc<str>, VecDeque<Ulid>>,
    ended_queue: VecDeque<(Timestamp, Ulid)>,
    starts: Map<(Party, Box<str>), Started>,
    starts_queue: VecDeque<(Timestamp, (Party, Box<str>))>,
}

/// A call that is over.
#[derive(Debug)]
pub(super) struct Tombstone {
    /// Who may know of it.
    pub(super) users: Vec<Arc<str>>,
    /// Whom it was with, where they never heard of it.
    pub(super) with: Option<Arc<str>>,
    pub(super) duration_ms: u64,
}

/// What a `client_ref` stands for.
#[derive(Clone, Debug)]
pub(super) struct Started {
    pub(super) call: Ulid,
    /// The user or the room that was called.
    pub(super) goal: Box<str>,
}

impl Past {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            ended: keyed_map(random),
            ended_by_user: keyed_map(random),
            ended_queue: VecDeque::new(),
            starts: keyed_map(random),
            starts_queue: VecDeque::new(),
        }
    }

    /// Remembers an ended call until `until`, and at most `entries_max` of them.
    pub(super) fn bury(&mut self, until: Timestamp, id: Ulid, tombstone: Tombstone, entries_max: usize) {
        if self.ended_queue.len() >= entries_max {
            self.forget_oldest_ended();
        }
        for user in &tombstone.users {
            let ids = self.ended_by_user.entry(user.clone()).or_default();
            if ids.back() != Some(&id) {
                ids.push_back(id);
            }
            if ids.len() > ENDED_PER_USER {
                ids.pop_front();
            }
        }
        self.ended.insert(id, tombstone);
        self.ended_queue.push_back((until, id));
    }

    /// An ended call of `user`, by id.
    pub(super) fn by_id(&self, id: Ulid, user: &str) -> Option<&Tombstone> {
        self.ended.get(&id).filter(|tombstone| tombstone.users.iter().any(|one| **one == *user))
    }

    /// The latest ended call of `user`, with `to` when it is said.
    pub(super) fn latest(&self, user: &str, to: Option<&str>) -> Option<&Tombstone> {
        let calls = self.ended_by_user.get(user)?.iter().rev().filter_map(|id| self.ended.get(id));
        let is_with = |tombstone: &&Tombstone| {
            to.is_none_or(|to| {
                let others = tombstone.users.iter().filter(|one| ***one != *user).count();
                let named = tombstone.users.iter().chain(&tombstone.with).any(|one| **one == *to);
                if to == user {
                    others == 0 && tombstone.with.as_deref().is_none_or(|with| with == to)
                } else {
                    named
                }
            })
        };
        calls.into_iter().find(is_with)
    }

    /// Remembers what a `client_ref` started.
    pub(super) fn note_start(
        &mut self,
        until: Timestamp,
        key: (Party, Box<str>),
        started: Started,
        entries_max: usize,
    ) {
        if self.starts_queue.len() >= entries_max {
            self.forget_oldest_start();
        }
        // Within its time a reference is looked up, never given anew: the queue has each key once.
        if self.starts.insert(key.clone(), started).is_none() {
            self.starts_queue.push_back((until, key));
        }
    }

    pub(super) fn started(&self, key: &(Party, Box<str>)) -> Option<&Started> {
        self.starts.get(key)
    }

    /// Forgets what is old.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while self.ended_queue.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest_ended();
        }
        while self.starts_queue.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest_start();
        }
    }

    /// When [`Past::expire`] has something to do.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let ended = self.ended_queue.front().map(|(until, _)| *until);
        let start = self.starts_queue.front().map(|(until, _)| *until);
        super::endpoint::earliest([ended, start])
    }

    /// Ended calls and `client_ref`s.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.ended.len().max(self.ended_by_user.len()), self.starts.len())
    }

    fn forget_oldest_ended(&mut self) {
        let Some((_, id)) = self.ended_queue.pop_front() else { return };
        let Some(tombstone) = self.ended.remove(&id) else { return };
        for user in tombstone.users {
            if let Some(ids) = self.ended_by_user.get_mut(&user) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.ended_by_user.remove(&user);
                }
            }
        }
    }

    fn forget_oldest_start(&mut self) {
        if let Some((_, key)) = self.starts_queue.pop_front() {
            self.starts.remove(&key);
        }
    }
}
