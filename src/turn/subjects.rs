//! The subjects that have allocations here, and their rates.

use super::bandwidth::Wallet;
use super::ledger::SubjectTotal;
use super::settings::Settings;
use crate::base::{Now, Rate, Timestamp, TokenBucket};
use slab::Slab;
use std::collections::HashMap;
use std::sync::Arc;

/// Place of a subject in its table.
pub(super) type SubjectIndex = u32;

/// Bounded by the allocations: a subject without one is forgotten.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    entries: Slab<Subject>,
    by_name: HashMap<Arc<str>, SubjectIndex>,
}

#[derive(Debug)]
struct Subject {
    name: Arc<str>,
    /// Places of its allocations in the server's table.
    members: Vec<u32>,
    /// Its allocations on all servers.
    total: SubjectTotal,
    /// Connections to peers that are being made or wait for their ConnectionBind.
    pending: u32,
    packets: TokenBucket,
    peers: TokenBucket,
    wallet: Wallet,
}

impl Subjects {
    /// The allocation at `member` belongs to `name`. Returns the subject and the place among its
    /// members.
    ///
    /// `total`: the subject's allocations on all servers, from the ledger.
    pub(super) fn join(&mut self, name: &Arc<str>, member: u32, total: &SubjectTotal) -> (SubjectIndex, u32) {
        let index = match self.by_name.get(name) {
            Some(index) => *index,
            None => self.enter(name, total),
        };
        let subject = &mut self.entries[index as usize];
        subject.members.push(member);
        (index, subject.members.len() as u32 - 1)
    }

    /// The member at `at` leaves. Returns which allocation took its place there, if any.
    pub(super) fn leave(&mut self, index: SubjectIndex, at: u32) -> Option<u32> {
        let subject = &mut self.entries[index as usize];
        subject.members.swap_remove(at as usize);
        let moved = subject.members.get(at as usize).copied();
        if subject.members.is_empty() {
            let subject = self.entries.remove(index as usize);
            self.by_name.remove(&subject.name);
        }
        moved
    }

    /// Places of the subject's allocations.
    pub(super) fn members(&self, name: &str) -> &[u32] {
        self.by_name.get(name).map_or(&[], |index| &self.entries[*index as usize].members)
    }

    fn enter(&mut self, name: &Arc<str>, total: &SubjectTotal) -> SubjectIndex {
        let index = self.entries.insert(Subject {
            name: Arc::clone(name),
            members: Vec::new(),
            total: total.clone(),
            pending: 0,
            packets: TokenBucket::default(),
            peers: TokenBucket::default(),
            wallet: Wallet::default(),
        }) as SubjectIndex;
        self.by_name.insert(Arc::clone(name), index);
        index
    }

    /// Takes one datagram from the subject's rate.
    pub(super) fn take_packet(&mut self, now: Now, settings: &Settings, index: SubjectIndex) -> bool {
        let Some(rate) = settings.packets_per_user else { return true };
        let subject = &mut self.entries[index as usize];
        let rate = subject.part_of(rate);
        subject.packets.take(now.at, rate, 1)
    }

    /// Whether the subject may relay `bytes` at `rate` bits a second; [`Subjects::spend_bytes`] takes them.
    pub(super) fn has_bytes(&mut self, now: Timestamp, index: SubjectIndex, bytes: u64, rate: u64) -> bool {
        let Subject { wallet, total, .. } = &mut self.entries[index as usize];
        let has = wallet.fill(bytes, rate, |cost| total.bandwidth().draw(now, cost, 0));
        if !has {
            total.bandwidth().note_dry(now);
        }
        has
    }

    /// Takes bytes that [`Subjects::has_bytes`] has found.
    pub(super) fn spend_bytes(&mut self, index: SubjectIndex, bytes: u64) {
        self.entries[index as usize].wallet.spend(bytes);
    }

    /// What the subject has on all servers.
    pub(super) fn total_of(&self, index: SubjectIndex) -> SubjectTotal {
        self.entries[index as usize].total.clone()
    }

    /// Takes `count` new peers from the subject's rate.
    pub(super) fn take_peers(
        &mut self,
        now: Now,
        settings: &Settings,
        index: SubjectIndex,
        count: u32,
    ) -> bool {
        let Some(rate) = settings.new_peers_per_second else { return true };
        let subject = &mut self.entries[index as usize];
        let rate = subject.part_of(rate);
        subject.peers.take(now.at, rate, count)
    }

    /// Takes a place for a connection to a peer that is not bound yet.
    pub(super) fn take_pending(&mut self, index: SubjectIndex) -> bool {
        let subject = &mut self.entries[index as usize];
        let has_room = subject.pending < subject.part_of_number(Settings::CONNECTIONS_PENDING_MAX);
        subject.pending += u32::from(has_room);
        has_room
    }

    /// Gives places back.
    pub(super) fn release_pending(&mut self, index: SubjectIndex, count: u32) {
        self.entries[index as usize].pending -= count;
    }
}

impl Subject {
    /// A subject's rate holds over all servers: each spends by its part of the allocations.
    fn part_of(&self, rate: Rate) -> Rate {
        Rate { per_second: self.part_of_number(rate.per_second), burst: self.part_of_number(rate.burst) }
    }

    fn part_of_number(&self, n: u32) -> u32 {
        let own = self.members.len() as u32;
        let total = self.total.get();
        if own >= total {
            return n;
        }
        let part = u64::from(n) * u64::from(own) / u64::from(total);
        (part as u32).max(1)
    }
}
