//! All live calls, and the ways to find them.

use super::super::Party;
use super::command::Media;
use super::endpoint::earliest;
use super::group::Group;
use super::pair::{Pair, Place};
use super::phase::Phase;
use crate::base::{Now, Random, TimerId, Timestamp};
use slab::Slab;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use ulid::Ulid;

/// A live call's place in the table; free again when the call has ended.
pub(super) type CallKey = usize;

/// A live call of either form.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: Ulid,
    pub(super) media: Media,
    pub(super) started: Now,
    /// How long it was accepted, or open, before this start of the daemon.
    pub(super) earlier_ms: u64,
    /// How much of that the daemon ran, as far as it is known: all that is sure of a call of before this start, until
    /// somebody comes back to it.
    pub(super) unclaimed_ms: Option<u64>,
    /// Goes up with every change of state.
    pub(super) rev: u64,
    /// When its credentials are to be renewed.
    pub(super) renew_at: Timestamp,
    /// When it has taken its longest time.
    pub(super) max_until: Option<Timestamp>,
    /// Its one timer, never later than [`Call::deadline`].
    pub(super) armed: Option<(Timestamp, TimerId)>,
    pub(super) form: Form,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every call is a pair, and is found without one more hop"
)]
pub(super) enum Form {
    Pair(Pair),
    Group(Group),
}

impl Call {
    pub(super) fn phase(&self) -> Phase {
        match &self.form {
            Form::Pair(pair) => pair.state.phase(),
            Form::Group(_) => Phase::Active,
        }
    }

    /// When the next of its timers is due.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let of_form = match &self.form {
            Form::Pair(pair) => pair.deadline(),
            Form::Group(group) => group.deadline(),
        };
        earliest([of_form, Some(self.renew_at), self.max_until])
    }

    /// Whether this very device rings, calls, talks or is a member.
    pub(super) fn has_device(&self, party: &Party) -> bool {
        match &self.form {
            Form::Pair(pair) => !matches!(pair.place(party), Place::Aside | Place::Stranger),
            Form::Group(group) => group.position(party).is_some(),
        }
    }

    /// Whether `user` is at the other end, seen from `from`.
    fn is_with(&self, from: &Party, user: &str, scope: Scope) -> bool {
        match &self.form {
            Form::Pair(pair) => **pair.peer_of(pair.place(from)) == *user,
            Form::Group(group) => scope == Scope::Members && group.has_user(user),
        }
    }
}

/// What `to` may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The other user of a call between two.
    Peers,
    /// That, or a member of a group: for what devices tell each other.
    Members,
}

/// What a look for a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A live call in which the device takes part.
    Live(CallKey),
    /// A live call of the user's that other devices of theirs have.
    Elsewhere(CallKey),
    Several,
    None,
}

/// Calls by id, user, pair of users and room.
#[derive(Debug)]
pub(super) struct Table {
    calls: Slab<Call>,
    by_id: Map<Ulid, CallKey>,
    by_user: Map<Arc<str>, Vec<CallKey>>,
    by_pair: Map<(Arc<str>, Arc<str>), CallKey>,
    by_room: Map<Arc<str>, CallKey>,
}

pub(super) type Map<K, V> = HashMap<K, V, ahash::RandomState>;

/// A map whose order and collisions nobody can foretell.
pub(super) fn keyed_map<K: Eq + Hash, V>(random: &mut Random) -> Map<K, V> {
    let mut seed = || random.next_u64();
    HashMap::with_hasher(ahash::RandomState::with_seeds(seed(), seed(), seed(), seed()))
}

impl Table {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            calls: Slab::new(),
            by_id: keyed_map(random),
            by_user: keyed_map(random),
            by_pair: keyed_map(random),
            by_room: keyed_map(random),
        }
    }

    pub(super) fn insert(&mut self, call: Call) -> CallKey {
        let key = self.calls.vacant_key();
        self.by_id.insert(call.id, key);
        match &call.form {
            Form::Pair(pair) => {
                let (caller, callee) = (pair.caller.party().user.clone(), pair.callee.clone());
                self.by_pair.insert(pair_key(&caller, &callee), key);
                self.calls.insert(call);
                self.add_user(&caller, key);
                self.add_user(&callee, key);
            }
            Form::Group(group) => {
                self.by_room.insert(group.room.clone(), key);
                self.calls.insert(call);
            }
        }
        key
    }

    /// Takes a call out; the users of a group must have been taken out before.
    pub(super) fn remove(&mut self, key: CallKey) -> Option<Call> {
        let call = self.calls.try_remove(key)?;
        self.by_id.remove(&call.id);
        match &call.form {
            Form::Pair(pair) => {
                let (caller, callee) = (&pair.caller.party().user, &pair.callee);
                self.by_pair.remove(&pair_key(caller, callee));
                self.remove_user(caller, key);
                self.remove_user(callee, key);
            }
            Form::Group(group) => {
                self.by_room.remove(&group.room);
                for party in group.parties() {
                    self.remove_user(&party.user, key);
                }
            }
        }
        Some(call)
    }

    /// Notes that `user` has to do with a call.
    pub(super) fn add_user(&mut self, user: &Arc<str>, key: CallKey) {
        let keys = self.by_user.entry(user.clone()).or_default();
        if !keys.contains(&key) {
            keys.push(key);
        }
    }

    /// The reverse.
    pub(super) fn remove_user(&mut self, user: &Arc<str>, key: CallKey) {
        if let Some(keys) = self.by_user.get_mut(user) {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.by_user.remove(user);
            }
        }
    }

    pub(super) fn get(&self, key: CallKey) -> Option<&Call> {
        self.calls.get(key)
    }

    pub(super) fn get_mut(&mut self, key: CallKey) -> Option<&mut Call> {
        self.calls.get_mut(key)
    }

    /// Somebody is back in it, or new.
    pub(super) fn claim(&mut self, key: CallKey) {
        if let Some(call) = self.calls.get_mut(key) {
            call.unclaimed_ms = None;
        }
    }

    pub(super) fn pair_mut(&mut self, key: CallKey) -> Option<(Ulid, &mut Pair)> {
        match self.calls.get_mut(key)? {
            Call { id, form: Form::Pair(pair), .. } => Some((*id, pair)),
            _ => None,
        }
    }

    pub(super) fn group_mut(&mut self, key: CallKey) -> Option<(Ulid, &mut Group)> {
        match self.calls.get_mut(key)? {
            Call { id, form: Form::Group(group), .. } => Some((*id, group)),
            _ => None,
        }
    }

    pub(super) fn by_id(&self, id: Ulid) -> Option<CallKey> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn by_room(&self, room: &str) -> Option<CallKey> {
        self.by_room.get(room).copied()
    }

    /// The call between two users, whoever called.
    pub(super) fn by_pair(&self, one: &Arc<str>, other: &Arc<str>) -> Option<CallKey> {
        self.by_pair.get(&pair_key(one, other)).copied()
    }

    /// The live calls of a user: 16 or so at most.
    pub(super) fn of_user(&self, user: &str) -> &[CallKey] {
        self.by_user.get(user).map_or(&[], Vec::as_slice)
    }

    /// The live calls in which this device takes part.
    pub(super) fn of_device<'a>(&'a self, party: &'a Party) -> impl Iterator<Item = (CallKey, &'a Call)> {
        let calls = self.of_user(&party.user).iter().filter_map(|key| Some((*key, self.calls.get(*key)?)));
        calls.filter(|(_, call)| call.has_device(party))
    }

    /// The call that a message without a call id means: the sender's only one, with `to` when it says so.
    pub(super) fn find(&self, from: &Party, to: Option<&str>, scope: Scope) -> Found {
        let mut own = Found::None;
        let mut elsewhere = Found::None;
        for key in self.of_user(&from.user) {
            let Some(call) = self.calls.get(*key) else { continue };
            if to.is_some_and(|to| !call.is_with(from, to, scope)) {
                continue;
            }
            if call.has_device(from) {
                own = if own == Found::None { Found::Live(*key) } else { Found::Several };
            } else if matches!(&call.form, Form::Pair(pair) if pair.place(from) == Place::Aside) {
                elsewhere = Found::Elsewhere(*key);
            }
        }
        if own == Found::None { elsewhere } else { own }
    }

    pub(super) fn keys(&self) -> Vec<CallKey> {
        self.calls.iter().map(|(key, _)| key).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Entries of the three indices that are not by id.
    pub(super) fn index_entries(&self) -> usize {
        self.by_user.len() + self.by_pair.len() + self.by_room.len()
    }
}

/// The two users in an order that does not depend on who called.
fn pair_key(one: &Arc<str>, other: &Arc<str>) -> (Arc<str>, Arc<str>) {
    if one <= other { (one.clone(), other.clone()) } else { (other.clone(), one.clone()) }
}
