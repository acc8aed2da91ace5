//! What the API works with.

use super::{Desk, Ids, Logins, Minting, Orders, Steering, TokenJudge, Users};
use crate::auth::{ApiKeys, Revocations, StoredUser};
use crate::base::Now;
use crate::http::Sources;
use crate::http::signaling::Door;
use crate::storage::Store;
use crate::turn::{AllocationId, EndReason, Session};
use arc_swap::ArcSwap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// An answer that comes.
pub type Coming<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Live sessions, each with the number of its driver.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// In no order.
    pub sessions: Vec<(usize, Session)>,
    /// Drivers that have not told all of theirs in time.
    pub missing: Vec<usize>,
}

/// A driver had no time for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// What the API asks of the rest of the daemon. All of it goes through mailboxes: no packet waits for an answer.
pub trait Control: Send + Sync + 'static {
    /// Both clocks, by which sessions tell their times.
    fn now(&self) -> Now;
    /// Live sessions of all drivers that `wanted` picks, as far as a second suffices.
    fn sessions<'a>(&'a self, wanted: &'a (dyn Fn(&Session) -> bool + Sync)) -> Coming<'a, Seen>;
    /// One session, with its peers.
    fn session(&self, driver: usize, allocation: AllocationId) -> Coming<'_, Result<Option<Session>, Busy>>;
    /// Ends a session. `false` when there is none.
    fn end(&self, driver: usize, allocation: AllocationId, why: EndReason) -> Coming<'_, Result<bool, Busy>>;
    /// Takes these orders over instead of those before. Returns how many sessions ended by them, or `None` when a driver
    /// could not be told within a second. They hold from the call on, also over a reload, and no driver hears of earlier
    /// ones later.
    fn revoke(&self, revocations: Arc<Revocations>) -> Coming<'_, Option<usize>>;
    /// Takes these static users over, beside those of the config, in place of those before. `false` when a driver could
    /// not be told within a second. They hold from the call on, also over a reload, and no driver hears of earlier ones
    /// later; live sessions of users that are gone go on.
    fn set_users(&self, users: Vec<StoredUser>) -> Coming<'_, bool>;
}

/// What the handlers share.
pub struct Services {
    /// What is kept.
    pub store: Store,
    /// The rest of the daemon.
    pub control: Arc<dyn Control>,
    /// The loop that runs the daemon.
    pub steering: Arc<dyn Steering>,
    /// What the daemon tells of itself.
    pub sources: Arc<dyn Sources>,
    /// API keys that are good.
    pub keys: ArcSwap<ApiKeys>,
    /// Held by the one who makes a key, until that is durable.
    pub making_keys: tokio::sync::Mutex<()>,
    /// Who is logged in to the dashboard.
    pub logins: Logins,
    /// Who judges the tokens of users; `None` where no key is configured.
    pub tokens: Option<TokenJudge>,
    /// What credentials are minted by.
    pub minting: Arc<ArcSwap<Minting>>,
    /// Credentials that are void before their time.
    pub revocations: Orders,
    /// Static users that the config does not know.
    pub users: Users,
    /// Where signaling is reached; `None` where it is off.
    pub signaling: Option<Door>,
    /// Where ids and new keys come from.
    pub ids: Ids,
    /// The books, and what happens.
    pub desk: Arc<Desk>,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}
