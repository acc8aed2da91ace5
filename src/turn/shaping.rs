//! Who may relay how many bytes now: the limits of the allocation, of its subject and of all, in this order.
//!
//! ```text
//! datagram -> Bucket of the allocation -> Pool of its subject, through a Wallet -> Pool of all, within a share
//!                   | empty                    | empty                              | empty
//!                   +--------------------------+------------------------------------+--> dropped, and counted
//! ```
//! A datagram is taken from all three or from none. A TCP connection to a peer (RFC 6062) loses nothing: it asks
//! before it reads, and reads later when the answer is no, so that the sender slows down.

use super::address::PeerConnection;
use super::allocation::Allocation;
use super::bandwidth::{Pool, cost, tighter};
use super::ledger::SubjectTotal;
use super::server::Server;
use super::shares::{Shareholder, Shares};
use super::verdict::Verdict;
use crate::base::{Now, Timestamp};
use crate::metrics::{Dropped, LimitScope, rate_limited_bytes};
use std::sync::Arc;

/// What limits a TCP connection to a peer, wherever its bytes pass.
#[derive(Clone, Debug, Default)]
pub struct Throttle {
    allocation: Arc<Pool>,
    /// The limit of the credential.
    bits_per_second: Option<u64>,
    subject: SubjectTotal,
}

impl Server {
    /// Takes a part in the total of a daemon. Without it the server has the total for itself.
    ///
    /// `number`: which of the servers that `shares` was made for; no two have the same.
    pub fn share_bandwidth(&mut self, shares: Arc<Shares>, number: usize) {
        self.shareholder = Shareholder::new(shares, number);
    }

    /// Takes a datagram of `bytes` from the limits of the allocation at `index`, or says why it is dropped.
    pub(super) fn take_bytes(&mut self, now: Now, index: usize, bytes: usize) -> Option<Verdict> {
        // Without limits no packet pays for them, not even with a look at memory that it needs for nothing else.
        if self.throttled == 0 && self.settings.bandwidth.is_off() {
            return None;
        }
        let bytes = bytes as u64;
        let scope = self.exceeded(now.at, index, bytes)?;
        self.counters.add(rate_limited_bytes(scope), bytes);
        Some(self.drop(Dropped::RateLimit))
    }

    /// Takes `bytes` from all limits, or names the first that has not so many.
    fn exceeded(&mut self, now: Timestamp, index: usize, bytes: u64) -> Option<LimitScope> {
        let Self { settings, allocations, subjects, shareholder, .. } = self;
        let limits = &settings.bandwidth;
        let Allocation { identity, bucket, subject, .. } = allocations[index].live_mut();
        let own = tighter(limits.per_allocation, identity.bits_per_second).map(|rate| cost(bytes, rate));
        if own.is_some_and(|cost| !bucket.has(now, cost)) {
            return Some(LimitScope::Allocation);
        }
        if limits.per_user.is_some_and(|rate| !subjects.has_bytes(now, *subject, bytes, rate)) {
            return Some(LimitScope::User);
        }
        if let Some(rate) = limits.total {
            shareholder.note_asked(bytes, rate);
            if !shareholder.fill(now, bytes, rate) {
                return Some(LimitScope::Total);
            }
        }
        if let Some(cost) = own {
            bucket.spend(now, cost);
        }
        if limits.per_user.is_some() {
            subjects.spend_bytes(*subject, bytes);
        }
        if limits.total.is_some() {
            shareholder.spend(bytes);
        }
        None
    }

    /// What limits a connection of this server.
    pub fn throttle(&self, connection: PeerConnection) -> Option<Throttle> {
        let allocation = self.allocations[self.index_of(connection.allocation)?].live();
        Some(Throttle {
            allocation: Arc::clone(&allocation.tcp.as_ref()?.pool),
            bits_per_second: allocation.identity.bits_per_second,
            subject: self.subjects.total_of(allocation.subject),
        })
    }

    /// Whether any limit counts what a connection carries.
    pub fn is_limited(&self, throttle: &Throttle) -> bool {
        throttle.bits_per_second.is_some() || !self.settings.bandwidth.is_off()
    }

    /// Whether `bytes` may be read now from either side of a connection of any server; none is taken yet. `false`:
    /// ask again in a moment.
    pub fn may_read(&mut self, now: Now, throttle: &Throttle, bytes: usize) -> bool {
        let (now, bytes) = (now.at, bytes as u64);
        let limits = self.settings.bandwidth;
        let has = |pool: &Pool, rate: u64| pool.has(now, cost(bytes, rate));
        let own = tighter(limits.per_allocation, throttle.bits_per_second);
        own.is_none_or(|rate| has(&throttle.allocation, rate))
            && limits.per_user.is_none_or(|rate| has(throttle.subject.bandwidth(), rate))
            && limits.total.is_none_or(|rate| self.may_read_of_total(now, bytes, rate))
    }

    fn may_read_of_total(&mut self, now: Timestamp, bytes: u64, rate: u64) -> bool {
        let may = self.shareholder.draw(now, bytes, rate);
        if !may {
            self.shareholder.note_asked(bytes, rate);
        }
        may
    }

    /// Takes what was read after [`Server::may_read`], and no more than was asked for there.
    ///
    /// `waited`: it was there while [`Server::may_read`] said no. That, and not the "no" to a whole buffer which nobody
    /// may be about to fill, is wanting more than there is, of each limit that has not as much left again.
    pub fn have_read(&mut self, now: Now, throttle: &Throttle, bytes: usize, waited: bool) {
        let (now, bytes) = (now.at, bytes as u64);
        let limits = &self.settings.bandwidth;
        let spend = |pool: &Pool, rate: u64| {
            let cost = cost(bytes, rate);
            pool.spend(now, cost);
            if waited && !pool.has(now, cost) {
                pool.note_dry(now);
            }
        };
        if let Some(rate) = tighter(limits.per_allocation, throttle.bits_per_second) {
            spend(&throttle.allocation, rate);
        }
        if let Some(rate) = limits.per_user {
            spend(throttle.subject.bandwidth(), rate);
        }
        if let Some(rate) = limits.total {
            self.shareholder.note_asked(bytes, rate);
            self.shareholder.spend(bytes);
            let _noted = waited && self.shareholder.fill(now, bytes, rate);
        }
    }
}
