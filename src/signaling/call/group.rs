//! A call of the members of a room, each with each (reference: group calls as a mesh).

use super::super::Party;
use super::super::json::{Object, array};
use super::endpoint::{Endpoint, earliest};
use super::hold::Outlet;
use super::settings::GROUP_MEMBERS_HARD_MAX;
use crate::base::Timestamp;
use std::sync::Arc;

/// Who is in it.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) room: Arc<str>,
    /// Who opened it.
    pub(super) opener: Party,
    pub(super) members: Vec<Member>,
    /// Digests of members who left.
    pub(super) stats: Vec<(Party, Box<str>)>,
    next_number: u32,
    /// Members below this number knew each other before this start of the daemon.
    returning: u32,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) endpoint: Endpoint,
    /// Never given to two members of one call.
    number: u32,
    /// The ways to the members it has said something to, by their number.
    outlets: Vec<(u32, Outlet)>,
}

impl Group {
    /// One without members.
    pub(super) fn new(room: Arc<str>, opener: Party) -> Self {
        Self { room, opener, members: Vec::new(), stats: Vec::new(), next_number: 0, returning: 0 }
    }

    /// The position of a member.
    pub(super) fn position(&self, party: &Party) -> Option<usize> {
        self.members.iter().position(|member| member.endpoint.party == *party)
    }

    /// Takes a member in; the caller has seen to it that there is a place.
    pub(super) fn add(&mut self, party: Party) {
        self.add_endpoint(Endpoint::new(party));
    }

    /// Takes a member back in, before all others.
    pub(super) fn add_returning(&mut self, endpoint: Endpoint) {
        self.add_endpoint(endpoint);
        self.returning = self.next_number;
    }

    fn add_endpoint(&mut self, endpoint: Endpoint) {
        let (number, outlets) = (self.next_number, Vec::new());
        self.next_number = self.next_number.wrapping_add(1);
        self.members.push(Member { endpoint, number, outlets });
    }

    /// Lets a member go; its digest stays, for a mesh's worth of members.
    pub(super) fn remove(&mut self, at: usize) -> Party {
        let gone = self.members.remove(at);
        for member in &mut self.members {
            member.outlets.retain(|(number, _)| *number != gone.number);
        }
        if self.stats.len() < GROUP_MEMBERS_HARD_MAX {
            self.stats.extend(gone.endpoint.stats.map(|digest| (gone.endpoint.party.clone(), digest)));
        }
        gone.endpoint.party
    }

    /// Everybody but one.
    pub(super) fn others(&self, than: &Party) -> Vec<Party> {
        self.parties().filter(|party| party != than).collect()
    }

    /// Everybody.
    pub(super) fn parties(&self) -> impl Iterator<Item = Party> {
        self.members.iter().map(|member| member.endpoint.party.clone())
    }

    /// Whether a device of `user` is a member.
    pub(super) fn has_user(&self, user: &str) -> bool {
        self.members.iter().any(|member| &*member.endpoint.party.user == user)
    }

    /// The members but `than`, as clients read them.
    pub(super) fn members_json(&self, than: &Party) -> Box<str> {
        array(
            self.others(than).iter().map(|party| {
                Object::sized(64).text("user", &party.user).text("device", &party.device).finish()
            }),
        )
    }

    /// A sender and the way to a receiver, both by position and not the same.
    pub(super) fn way(&mut self, from: usize, to: usize) -> (&mut Endpoint, &mut Outlet) {
        let number = self.members[to].number;
        let returning = self.returning;
        let Member { endpoint, outlets, number: own } = &mut self.members[from];
        let at = outlets.iter().position(|(to, _)| *to == number).unwrap_or_else(|| {
            let knew = number.max(*own) < returning;
            outlets.push((number, if knew { Outlet::open() } else { Outlet::default() }));
            outlets.len() - 1
        });
        (endpoint, &mut outlets[at].1)
    }

    /// Candidates and bytes that wait for descriptions of one member.
    pub(super) fn held_of(&self, from: usize) -> (usize, usize) {
        let held = self.members[from].outlets.iter().map(|(_, outlet)| outlet.held());
        held.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// Forgets candidates whose description did not come in time.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let outlets = self.members.iter_mut().flat_map(|member| &mut member.outlets);
        outlets.for_each(|(_, outlet)| outlet.expire(now));
    }

    /// When the next of its timers is due.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let of_member = |member: &Member| {
            let held = member.outlets.iter().filter_map(|(_, outlet)| outlet.deadline()).min();
            earliest([member.endpoint.away_until, held])
        };
        self.members.iter().filter_map(of_member).min()
    }
}
