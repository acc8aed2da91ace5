//! Credentials that are void although their time is not over: whoever comes with one is refused, and what lives by one
//! ends.

use super::allocation::Slot;
use super::server::Server;
use super::session::EndReason;
use crate::auth::{Claimed, Identity, Revocations};
use crate::base::{Now, Timestamp, UnixTime};
use crate::metrics::ended_calls_full;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Ended calls whose credentials are refused.
const ENDED_CALLS_MAX: usize = 65_536;

/// So many are kept before it is looked which of them are over.
const CALLS_MIN: usize = 64;

/// What a server knows of void credentials.
#[derive(Debug)]
pub(super) struct Revoking {
    orders: Arc<Revocations>,
    walk: Option<Walk>,
    /// Calls that ended while this server ran, until when their credentials might be good. By the keyed hash of their
    /// ids, of which two are the same for nobody, so that each takes a few bytes.
    ended_calls: HashMap<u64, UnixTime, ahash::RandomState>,
    hasher: ahash::RandomState,
    /// When those that are over are forgotten again: the table is twice as large as what it kept then.
    sweep_at: usize,
    /// Live allocations by call.
    by_call: HashMap<Arc<str>, Vec<u32>, ahash::RandomState>,
}

/// Looks at all allocations once, whatever comes between. Those that are made meanwhile were judged when they were made,
/// so the places that there were at its beginning are enough, and a table that grows leads it nowhere.
#[derive(Clone, Copy, Debug)]
struct Walk {
    at: u32,
    /// Places behind the last one.
    end: u32,
    /// Pages that are left.
    pages: u32,
    ended: usize,
}

impl Revoking {
    /// `hasher`: ids of calls come from clients.
    pub(super) fn new(hasher: ahash::RandomState) -> Self {
        Self {
            orders: Arc::default(),
            walk: None,
            ended_calls: HashMap::with_hasher(hasher.clone()),
            hasher: hasher.clone(),
            sweep_at: CALLS_MIN,
            by_call: HashMap::with_hasher(hasher),
        }
    }

    pub(super) fn join(&mut self, identity: &Identity, index: u32) {
        if let Some(call) = &identity.call_id {
            self.by_call.entry(Arc::clone(call)).or_default().push(index);
        }
    }

    pub(super) fn leave(&mut self, identity: &Identity, index: u32) {
        let Some(call) = &identity.call_id else { return };
        if let Some(members) = self.by_call.get_mut(call) {
            members.retain(|member| *member != index);
            if members.is_empty() {
                self.by_call.remove(call);
            }
        }
    }

    /// Why this credential is good for nothing new, if it is not.
    pub(super) fn void(&self, now: Now, identity: &Identity) -> Option<EndReason> {
        let ended = identity.call_id.as_deref().and_then(|call| self.ended_calls.get(&self.hash(call)));
        let over = ended.is_some_and(|until| now.unix < *until);
        if over { Some(EndReason::CallEnded) } else { self.revoked(now, identity) }
    }

    /// Why orders say that it is void. The end of a call alone leaves live allocations their grace.
    fn revoked(&self, now: Now, identity: &Identity) -> Option<EndReason> {
        let claimed = identity.claimed();
        if self.orders.is_empty() || !self.orders.deny(now.unix, &claimed) {
            return None;
        }
        let by_call = !self.orders.deny(now.unix, &Claimed { call_id: None, ..claimed });
        Some(if by_call { EndReason::CallEnded } else { EndReason::Revoked })
    }

    /// Returns whether there was room.
    fn remember_call(&mut self, now: Now, call_id: &str, until: UnixTime) -> bool {
        if self.ended_calls.len() >= self.sweep_at {
            self.ended_calls.retain(|_, until| now.unix < *until);
            self.sweep_at = (2 * self.ended_calls.len()).clamp(CALLS_MIN, ENDED_CALLS_MAX);
        }
        let call = self.hash(call_id);
        let has_room = self.ended_calls.len() < ENDED_CALLS_MAX || self.ended_calls.contains_key(&call);
        if has_room {
            self.ended_calls.insert(call, until);
        }
        has_room
    }

    fn hash(&self, call_id: &str) -> u64 {
        self.hasher.hash_one(call_id)
    }
}

impl Server {
    /// Takes these orders over in place of those before: newcomers that they deny get 401 from now on. Live allocations
    /// that they deny end with the calls of [`Server::revoke_some`] that must follow.
    pub fn set_revocations(&mut self, orders: Arc<Revocations>) {
        let end = self.allocations.capacity() as u32;
        let pages = end.div_ceil(Self::PAGE_SLOTS).max(1);
        let (at, ended) = self.revoking.walk.map_or((0, 0), |walk| (walk.at, walk.ended));
        self.revoking.orders = orders;
        self.revoking.walk = Some(Walk { at, end, pages, ended });
    }

    /// Whether [`Server::revoke_some`] has work left.
    pub fn is_revoking(&self) -> bool {
        self.revoking.walk.is_some()
    }

    /// Ends what orders deny among [`Server::PAGE_SLOTS`] places. Returns how many allocations ended since the orders
    /// came, once all were looked at.
    pub fn revoke_some(&mut self, now: Now) -> Option<usize> {
        let mut walk = self.revoking.walk?;
        let end = walk.at.saturating_add(Self::PAGE_SLOTS).min(walk.end);
        for index in walk.at..end {
            if let Some(reason) = self.revoked_at(now, index as usize) {
                self.end_at(now, index as usize, reason);
                walk.ended += 1;
            }
        }
        walk.at = if end < walk.end { end } else { 0 };
        walk.pages -= 1;
        self.revoking.walk = (walk.pages > 0).then_some(walk);
        self.revoking.walk.is_none().then_some(walk.ended)
    }

    /// A call has ended: its credentials are refused until `until`, and its allocations end after `grace`, whatever
    /// their clients ask for. Returns how many there are.
    pub fn end_call(&mut self, now: Now, call_id: &str, grace: Duration, until: UnixTime) -> usize {
        if !self.revoking.remember_call(now, call_id, until) {
            self.counters.increment(ended_calls_full());
        }
        let members = self.revoking.by_call.get(call_id).cloned().unwrap_or_default();
        for index in &members {
            let index = *index as usize;
            if grace.is_zero() {
                self.end_at(now, index, EndReason::CallEnded);
                continue;
            }
            let allocation = self.allocations[index].live_mut();
            let ends_at = *allocation.ends_at.get_or_insert(now.at.after(grace));
            for relay in allocation.relays.iter_mut().flatten() {
                relay.expires = relay.expires.min(ends_at);
            }
            self.reschedule(index);
        }
        members.len()
    }

    /// Why the allocation at this place may not live on.
    pub(super) fn revoked_at(&self, now: Now, index: usize) -> Option<EndReason> {
        let Slot::Live(allocation) = self.allocations.get(index)? else { return None };
        let reason = self.revoking.revoked(now, &allocation.identity)?;
        (reason != EndReason::CallEnded || allocation.ends_at.is_none()).then_some(reason)
    }

    /// Why an allocation ends whose time is over.
    pub(super) fn why_over(&self, now: Now, index: usize) -> EndReason {
        let Some(Slot::Live(allocation)) = self.allocations.get(index) else { return EndReason::Expired };
        let is_over = |ends_at: Timestamp| ends_at <= now.at;
        if allocation.ends_at.is_some_and(is_over) {
            EndReason::CallEnded
        } else if self.settings.strict_expiry && allocation.identity.expires.is_some_and(|at| at <= now.unix)
        {
            EndReason::CredentialExpired
        } else {
            EndReason::Expired
        }
    }
}
