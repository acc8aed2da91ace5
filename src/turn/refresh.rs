//! Refresh (RFC 8656 section 8), and the end of allocations.

use super::address::{AllocationId, RelayId};
use super::allocation::Slot;
use super::error::Reject;
use super::request::Request;
use super::respond::Body;
use super::server::Server;
use super::session::{EndReason, Ended};
use super::verdict::Effect;
use crate::base::{Family, Now};
use crate::metrics::allocations_ended;
use crate::wire::stun::{RequestedFamily, attribute};
use std::time::Duration;

impl Server {
    /// Without a family attribute a dual allocation is refreshed, or deleted, as a whole (section 8.2).
    pub(super) fn refresh(&mut self, now: Now, index: usize, request: &Request<'_>) -> Result<Body, Reject> {
        let lifetime = request.lifetime.map(attribute::decode_lifetime).transpose();
        let lifetime = lifetime.map_err(|_| Reject::BadRequest)?;
        let families = self.families_to_refresh(now, index, request)?;

        if lifetime == Some(Duration::ZERO) {
            for family in families {
                self.close(now, index, family, EndReason::Released);
            }
            return Ok(Body::Lifetime(0));
        }
        let granted = self.granted_lifetime(now, lifetime, &self.allocations[index].live().identity);
        let allocation = self.allocations[index].live_mut();
        let left = allocation.ends_at.map_or(Duration::MAX, |ends_at| ends_at.since(now.at));
        let granted = granted.min(left);
        for family in families {
            if let Some(relay) = &mut allocation.relays[family as usize] {
                relay.expires = now.at.after(granted);
            }
        }
        self.reschedule(index);
        Ok(Body::Lifetime(granted.as_secs() as u32))
    }

    /// 443 when the named family is not there (section 8.2).
    fn families_to_refresh(
        &self,
        now: Now,
        index: usize,
        request: &Request<'_>,
    ) -> Result<Vec<Family>, Reject> {
        let allocation = self.allocations[index].live();
        let has = |family: &Family| allocation.relay(now.at, *family).is_some();
        let named = match request.family.map(attribute::decode_requested_family).transpose() {
            Err(_) => return Err(Reject::BadRequest),
            Ok(None) => return Ok(Family::ALL.into_iter().filter(has).collect()),
            Ok(Some(RequestedFamily::V4)) => Family::V4,
            Ok(Some(RequestedFamily::V6)) => Family::V6,
            Ok(Some(RequestedFamily::Other(_))) => return Err(Reject::PeerFamilyMismatch),
        };
        if has(&named) { Ok(vec![named]) } else { Err(Reject::PeerFamilyMismatch) }
    }

    /// Closes one relayed address; the allocation ends with its last one.
    fn close(&mut self, now: Now, index: usize, family: Family, reason: EndReason) {
        let allocation = self.allocations[index].live_mut();
        let allocation_id = AllocationId { index: index as u32, generation: allocation.generation };
        let Some(relay) = allocation.relays[family as usize].take() else { return };
        let is_last = allocation.relays.iter().all(Option::is_none);
        self.counters.increment(allocations_ended(allocation.client.transport, family));
        // The port goes first: nothing may come in through it any more.
        self.effects.push_back(Effect::ClosePort {
            relay: RelayId { allocation: allocation_id, family },
            internal: relay.address.internal,
        });
        self.close_connections(index, |peer| Family::of(peer.ip()) == family);
        if is_last {
            self.forget(now, index, reason);
        } else {
            self.reschedule(index);
        }
    }

    /// Ends an allocation with all that belongs to it.
    pub(super) fn end_at(&mut self, now: Now, index: usize, reason: EndReason) {
        for family in Family::ALL {
            if matches!(self.allocations.get(index), Some(Slot::Live(_))) {
                self.close(now, index, family, reason);
            }
        }
    }

    /// Removes an allocation whose last port is closed.
    fn forget(&mut self, now: Now, index: usize, reason: EndReason) {
        let Slot::Live(allocation) = self.allocations.remove(index) else {
            unreachable!("only live allocations have ports to close")
        };
        self.by_tuple.remove(&allocation.client.five_tuple());
        if let Some(timer) = allocation.timer {
            self.wheel.cancel(timer);
        }
        if let Some(moved) = self.subjects.leave(allocation.subject, allocation.member) {
            self.allocations[moved as usize].live_mut().member = allocation.member;
        }
        let lived = now.at.since(allocation.created_at);
        self.counters.observe_session(allocation.client.transport, lived.as_secs());
        self.revoking.leave(&allocation.identity, index as u32);
        self.throttled -= u32::from(allocation.identity.bits_per_second.is_some());
        self.close_account(&allocation);
        let session = allocation.session(index);
        self.effects.push_back(Effect::Ended(Box::new(Ended { session, reason, at: now.at })));
    }

    /// Sets the timer to the first end of a relayed address or connection.
    pub(super) fn reschedule(&mut self, index: usize) {
        let allocation = self.allocations[index].live_mut();
        if let Some(timer) = allocation.timer.take() {
            self.wheel.cancel(timer);
        }
        let id = AllocationId { index: index as u32, generation: allocation.generation };
        allocation.timer = allocation.expires().map(|at| self.wheel.schedule(at, id));
    }

    /// Ends what has run out; call when [`Server::next_deadline`] is due.
    pub fn on_deadline(&mut self, now: Now) {
        while let Some(id) = self.wheel.pop(now.at) {
            let index = id.index as usize;
            let Some(Slot::Live(allocation)) = self.allocations.get_mut(index) else { continue };
            if allocation.generation != id.generation {
                continue;
            }
            allocation.timer = None;
            self.close_expired(now, index);
        }
    }

    /// Closes the relayed addresses and connections that are over, and the allocation with the last
    /// address.
    pub(super) fn close_expired(&mut self, now: Now, index: usize) {
        self.expire_connections(now, index);
        let reason = self.why_over(now, index);
        for family in Family::ALL {
            let Some(Slot::Live(allocation)) = self.allocations.get(index) else { return };
            if allocation.relays[family as usize].is_some_and(|relay| relay.expires <= now.at) {
                self.close(now, index, family, reason);
            }
        }
        if let Some(Slot::Live(allocation)) = self.allocations.get(index)
            && allocation.timer.is_none()
        {
            self.reschedule(index);
        }
    }
}
