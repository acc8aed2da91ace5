//! The rooms of this node and who is in them.

use super::SessionId;
use super::talk::Talk;
use crate::base::{TimerId, Timestamp};
use ahash::RandomState;
use slab::Slab;
use std::collections::HashMap;
use std::sync::Arc;

/// All rooms.
#[derive(Debug)]
pub(super) struct Rooms {
    by_name: HashMap<Arc<str>, u32, RandomState>,
    slab: Slab<Room>,
}

/// One room.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: Arc<str>,
    pub(super) members: Vec<Member>,
    pub(super) talk: Talk,
    pub(super) used_at: Timestamp,
    /// When to look whether it is still in use.
    pub(super) timer: Option<TimerId>,
}

/// One session in a room.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) session: SessionId,
    pub(super) role: Option<Box<str>>,
    pub(super) info: Option<Box<str>>,
}

impl Rooms {
    pub(super) fn new(hasher: &RandomState) -> Self {
        Self { by_name: HashMap::with_hasher(hasher.clone()), slab: Slab::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn place(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub(super) fn find(&self, name: &str) -> Option<&Room> {
        self.at(self.place(name)?)
    }

    pub(super) fn find_mut(&mut self, name: &str) -> Option<&mut Room> {
        self.at_mut(self.place(name)?)
    }

    pub(super) fn at(&self, place: u32) -> Option<&Room> {
        self.slab.get(place as usize)
    }

    pub(super) fn at_mut(&mut self, place: u32) -> Option<&mut Room> {
        self.slab.get_mut(place as usize)
    }

    /// Makes a room; there is none of this name.
    pub(super) fn make(
        &mut self,
        name: &Arc<str>,
        now: Timestamp,
        timer: impl FnOnce(u32) -> TimerId,
    ) -> u32 {
        let entry = self.slab.vacant_entry();
        let place = entry.key() as u32;
        entry.insert(Room {
            name: Arc::clone(name),
            members: Vec::new(),
            talk: Talk::default(),
            used_at: now,
            timer: Some(timer(place)),
        });
        self.by_name.insert(Arc::clone(name), place);
        place
    }

    pub(super) fn remove(&mut self, place: u32) -> Option<Room> {
        let room = self.slab.try_remove(place as usize)?;
        self.by_name.remove(&room.name);
        Some(room)
    }
}

impl Room {
    pub(super) fn member_mut(&mut self, session: SessionId) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.session == session)
    }

    /// Takes a member out.
    pub(super) fn take(&mut self, session: SessionId) -> Option<Member> {
        let at = self.members.iter().position(|member| member.session == session)?;
        let member = self.members.remove(at);
        if self.members.len() < self.members.capacity() / 4 {
            self.members.shrink_to_fit();
        }
        Some(member)
    }
}
