//! The reference for Allocate: what is asked for, whether it can be had, and what is had.

use crate::book::Want;
use crate::model::{Allocation, Expected, Half, Model};
use crate::request::{AllocateSpec, Request};
use crate::world::Answer;
use std::net::SocketAddr;
use std::time::Duration;
use turnstone::base::Now;
use turnstone::wire::stun::{RequestedFamily, TransactionId};

#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) client: usize,
    user: usize,
    id: TransactionId,
    wanted: Wanted,
    lifetime_s: u32,
}

#[derive(Clone, Debug)]
struct Wanted {
    families: [bool; 2],
    want: Want,
    token: Option<[u8; 8]>,
}

const IDLE_S: u64 = 10;
impl Model {
    pub(crate) fn allocate(
        &mut self,
        now: Now,
        request: &Request,
        user: usize,
        spec: &AllocateSpec,
    ) -> Expected {
        let wanted = match wanted(spec) {
            Ok(_) if self.draining => Err(508),
            other => other,
        };
        let wanted = match wanted {
            Ok(wanted) => wanted,
            Err(code) => return Expected::Error { code, signed: true },
        };
        let asked_s = spec.lifetime_s.and_then(Result::ok);
        let lifetime_s = self.lifetime(now, user, asked_s);
        let pending = Pending { client: request.client, user, id: request.id, wanted, lifetime_s };
        self.pending.push(pending);
        if self.hold { Expected::Later } else { Expected::Opens }
    }

    /// The ports of `pending` were asked for, and this was the answer.
    ///
    /// Returns whether another allocation gave way.
    pub(crate) fn opened(&mut self, now: Now, pending: Pending, answer: &Answer, remote: SocketAddr) -> bool {
        self.book.expire_reservations(now.at);
        let mut code = self.check_open(now, &pending);
        // One that gives way helps only where one is too many.
        let evicted = code == Err(486) && self.over_quota(&pending) == 1 && self.evict(now, &pending);
        if evicted {
            code = self.check_open(now, &pending);
        }
        assert_eq!(answer.code, code.err().unwrap_or(0), "{pending:?}");
        assert!(answer.signed);
        if answer.code != 0 {
            return evicted;
        }
        assert_eq!((answer.mapped, answer.lifetime_s), (Some(remote), Some(pending.lifetime_s)));
        let until = now.at.after(Duration::from_secs(u64::from(pending.lifetime_s)));
        let subject = &self.users[pending.user].subject;
        let wanted = &pending.wanted;
        let ports = match wanted.token {
            Some(token) => vec![self.book.redeem(token, answer)],
            None => self.book.take(now.at, wanted.families, wanted.want, answer, subject),
        };
        self.allocations.push(Allocation {
            client: pending.client,
            user: pending.user,
            halves: ports.into_iter().map(|internal| Half { internal, until }).collect(),
            permissions: Vec::new(),
            channels: Vec::new(),
            heard: now.at,
            made_by: pending.id,
            answer: answer.clone(),
        });
        evicted
    }

    fn check_open(&self, now: Now, pending: &Pending) -> Result<(), u16> {
        if let Some(error) = self.refuse {
            return Err(error.reject().code());
        }
        let user = &self.users[pending.user];
        if self.over_quota(pending) > 0 {
            return Err(486);
        }
        if self.config.allocations_total != 0
            && self.allocations.len() as u32 >= self.config.allocations_total
        {
            return Err(508);
        }
        match pending.wanted.token {
            Some(token) if self.book.is_reserved(token, &user.subject) => Ok(()),
            Some(_) => Err(508),
            None => self.book.check(now.at, pending.wanted.families, pending.wanted.want),
        }
    }

    /// How far the subject would be over its quota: allocations and reserved ports count, a pair is two,
    /// and a token turns a reservation into an allocation.
    fn over_quota(&self, pending: &Pending) -> u32 {
        let user = &self.users[pending.user];
        let slots = match (pending.wanted.token, pending.wanted.want) {
            (Some(_), _) => 0,
            (None, Want::Pair) => 2,
            (None, _) => 1,
        };
        let held = self.held_by(&user.subject) + self.book.reserved_by(&user.subject);
        (held + slots).saturating_sub(self.config.allocations_per_user.min(user.allocations_max))
    }

    /// One of the idlest allocations of the credential must have closed, when one is idle.
    fn evict(&mut self, now: Now, pending: &Pending) -> bool {
        let idle = |a: &&Allocation| a.user == pending.user && a.heard.as_secs() + IDLE_S <= now.at.as_secs();
        let others = |(client, user): &(usize, usize)| *user == pending.user && *client != pending.client;
        if self.unexplained.is_empty() && self.ran_out.iter().any(others) {
            return false; // It was over already and had only waited for its timer.
        }
        let Some(since) = self.allocations.iter().filter(idle).map(|a| a.heard.as_secs()).min() else {
            return false;
        };
        let idlest = self.allocations.iter().filter(idle).filter(|a| a.heard.as_secs() == since);
        let closed: Vec<_> =
            idlest.filter(|a| a.halves.iter().any(|h| self.unexplained.contains(&h.internal))).collect();
        assert_eq!(closed.len(), 1, "one idle allocation gives way");
        for half in closed[0].halves.clone() {
            self.close(now, half.internal);
        }
        true
    }
}

impl Pending {
    pub(crate) fn has_token(&self) -> bool {
        self.wanted.token.is_some()
    }
}

/// RFC 8656 section 7.2, items 4 to 11.
fn wanted(spec: &AllocateSpec) -> Result<Wanted, u16> {
    match spec.transport {
        None => return Err(400),
        Some(17) => {}
        Some(_) => return Err(442),
    }
    if spec.lifetime_s == Some(Err(())) {
        return Err(400);
    }
    if spec.token.is_some()
        && (spec.even_port.is_some() || spec.family.is_some() || spec.additional.is_some())
    {
        return Err(400);
    }
    let families = match (spec.family, spec.additional) {
        (Some(_), Some(_)) | (None, Some(1)) => return Err(400),
        (None | Some(1), None) => [true, false],
        (Some(2), None) => [false, true],
        (None, Some(2)) => [true, true],
        _ => return Err(440),
    };
    let want = match spec.even_port {
        Some(true) if spec.additional.is_some() => return Err(400),
        Some(true) => Want::Pair,
        Some(false) => Want::Even,
        None => Want::Any,
    };
    Ok(Wanted { families, want, token: spec.token })
}

/// What an answer must say about the half of a dual allocation that is missing.
pub(crate) fn missing(answer: &Answer) -> Option<(bool, u16)> {
    answer.address_error.map(|(family, code)| (family == RequestedFamily::V6, code))
}
