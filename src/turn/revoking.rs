//! Credentials that are void although their time is not over: whoever comes with one is refused, and what lives by one
//! ends.

use super::allocation::Slot;
use super::server::Server;
use super::session::EndReason;
use crate::auth::{Authenticator, Claimed, Identity, Revocations};
use crate::base::{Now, Timestamp, UnixTime};
use crate::metrics::ended_calls_full;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Ended calls whose credentials are refused.
pub const ENDED_CALLS_MAX: usize = 65_536;

/// What a server knows of void credentials.
#[derive(Debug)]
pub(super) struct Revoking {
    orders: Arc<Revocations>,
    walk: Option<Walk>,
    ended_calls: EndedCalls,
    hasher: ahash::RandomState,
    /// Live allocations by call.
    by_call: HashMap<Arc<str>, Vec<u32>, ahash::RandomState>,
}

/// Calls that ended while a server ran, until when their credentials might be good. By the keyed hash of their ids, of
/// which two are the same for nobody, so that each takes a few bytes.
#[derive(Debug)]
struct EndedCalls {
    calls_max: usize,
    until: HashMap<u64, UnixTime, ahash::RandomState>,
    /// The same, with what is over first in front.
    order: BTreeSet<(UnixTime, u64)>,
}

impl EndedCalls {
    fn new(calls_max: usize, hasher: ahash::RandomState) -> Self {
        Self { calls_max, until: HashMap::with_hasher(hasher), order: BTreeSet::new() }
    }

    fn has_ended(&self, now: UnixTime, call: u64) -> bool {
        self.until.get(&call).is_some_and(|until| now < *until)
    }

    /// A call that ended before stays ended for as long as it was said to be. What is over is forgotten, and each call
    /// once, so that an end never costs a look at all of them. Returns whether there was room: if not, the one that is
    /// over first is forgotten before its time.
    fn add(&mut self, now: UnixTime, call: u64, until: UnixTime) -> bool {
        let before = self.until.remove(&call);
        if let Some(before) = before {
            self.order.remove(&(before, call));
        }
        let until = before.map_or(until, |before| before.max(until));
        self.until.insert(call, until);
        self.order.insert((until, call));
        while self.order.first().is_some_and(|(until, _)| *until <= now) {
            self.forget_first();
        }
        let has_room = self.until.len() <= self.calls_max;
        if !has_room {
            self.forget_first();
        }
        has_room
    }

    fn forget_first(&mut self) {
        if let Some((_, call)) = self.order.pop_first() {
            self.until.remove(&call);
        }
    }
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
            ended_calls: EndedCalls::new(ENDED_CALLS_MAX, hasher.clone()),
            hasher: hasher.clone(),
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

    pub(super) fn orders(&self) -> &Arc<Revocations> {
        &self.orders
    }

    /// Why this credential is good for nothing new, if it is not.
    pub(super) fn void(&self, now: Now, identity: &Identity, users: &Authenticator) -> Option<EndReason> {
        let call = identity.call_id.as_deref();
        let over = call.is_some_and(|call| self.ended_calls.has_ended(now.unix, self.hash(call)));
        if over { Some(EndReason::CallEnded) } else { self.revoked(now, identity, users) }
    }

    /// Why orders say that it is void. The end of a call alone leaves live allocations their grace.
    fn revoked(&self, now: Now, identity: &Identity, users: &Authenticator) -> Option<EndReason> {
        let is_static = identity.expires.is_none();
        if is_static && self.orders.takes_away(&identity.subject) && !users.knows(identity.credential) {
            return Some(EndReason::Revoked);
        }
        let claimed = identity.claimed();
        if self.orders.is_empty() || !self.orders.deny(now.unix, &claimed) {
            return None;
        }
        let by_call = !self.orders.deny(now.unix, &Claimed { call_id: None, ..claimed });
        Some(if by_call { EndReason::CallEnded } else { EndReason::Revoked })
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
        let call = self.revoking.hash(call_id);
        if !self.revoking.ended_calls.add(now.unix, call, until) {
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
        let reason = self.revoking.revoked(now, &allocation.identity, &self.authenticator)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn ended_calls(calls_max: usize) -> EndedCalls {
        EndedCalls::new(calls_max, ahash::RandomState::with_seeds(1, 2, 3, 4))
    }

    fn kept(calls: &EndedCalls, now: UnixTime) -> Vec<u64> {
        assert_eq!(calls.until.len(), calls.order.len());
        (0..10).filter(|call| calls.has_ended(now, *call)).collect()
    }

    #[test]
    fn a_full_table_forgets_the_call_that_is_over_first_and_takes_the_newest() {
        let mut calls = ended_calls(3);
        let now = UnixTime(100);
        for (call, until) in [(1, 500), (2, 300), (3, 400)] {
            assert!(calls.add(now, call, UnixTime(until)));
        }
        assert!(!calls.add(now, 4, UnixTime(450)));
        assert_eq!(kept(&calls, now), [1, 3, 4]);
        // Said again, it needs no room, and ends no sooner.
        assert!(calls.add(now, 3, UnixTime(200)));
        assert_eq!(kept(&calls, UnixTime(399)), [1, 3, 4]);
        assert_eq!(kept(&calls, UnixTime(400)), [1, 4]);
    }

    #[test]
    fn calls_whose_credentials_are_over_make_room() {
        let mut calls = ended_calls(3);
        (1..=3).for_each(|call| assert!(calls.add(UnixTime(100), call, UnixTime(100 + call))));
        assert!(calls.add(UnixTime(102), 4, UnixTime(900)));
        assert_eq!((kept(&calls, UnixTime(102)), calls.until.len()), (vec![3, 4], 2));
    }
}
