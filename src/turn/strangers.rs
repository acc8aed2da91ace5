//! Budgets for what nobody has authenticated: fixed memory, whoever asks.

use super::settings::{ReplyBudget, Settings};
use crate::base::{BudgetTable, Now, Random, TokenBucket, subscriber};
use std::net::IpAddr;

/// Buckets of a table: 256 KiB, far below one a source, but enough that a flood from some sources
/// leaves most others their own.
const BUCKETS: usize = 1 << 14;

/// Replies to strangers, and wrong guesses by (source, user).
#[derive(Debug)]
pub(super) struct Strangers {
    replies: BudgetTable,
    total: TokenBucket,
    budget: ReplyBudget,
    guesses: BudgetTable,
}

impl Strangers {
    pub(super) fn new(settings: &Settings, random: &mut Random) -> Self {
        let share = |rate: crate::base::Rate| rate.split(settings.shards);
        let budget = ReplyBudget {
            per_source: share(settings.replies.per_source),
            total: share(settings.replies.total),
        };
        Self {
            replies: BudgetTable::new(BUCKETS, budget.per_source, hasher(random)),
            total: TokenBucket::default(),
            budget,
            guesses: BudgetTable::new(BUCKETS, Settings::GUESSES, hasher(random)),
        }
    }

    /// Whether a UDP reply to this source fits its budget; takes it. Loopback is exempt.
    pub(super) fn may_reply(&mut self, now: Now, source: IpAddr) -> bool {
        source.is_loopback()
            || (self.replies.take(now.at, subscriber(source))
                && self.total.take(now.at, self.budget.total, 1))
    }

    /// Whether [`Strangers::may_reply`] would say yes to this source. Takes nothing.
    pub(super) fn has_budget(&self, now: Now, source: IpAddr) -> bool {
        source.is_loopback() || self.replies.peek(now.at, subscriber(source))
    }

    /// Whether this source may try a password of this user once more. Takes nothing.
    pub(super) fn may_guess(&self, now: Now, source: IpAddr, user: &[u8; 32]) -> bool {
        self.guesses.peek(now.at, (subscriber(source), user))
    }

    /// A guess was wrong.
    pub(super) fn guessed_wrong(&mut self, now: Now, source: IpAddr, user: &[u8; 32]) {
        self.guesses.take(now.at, (subscriber(source), user));
    }
}

fn hasher(random: &mut Random) -> ahash::RandomState {
    ahash::RandomState::with_seeds(random.next_u64(), random.next_u64(), random.next_u64(), random.next_u64())
}
