//! What the API works with.

use super::{Ids, TokenJudge};
use crate::auth::{ApiKeys, Revocations};
use crate::http::Sources;
use crate::storage::Store;
use crate::turn::{AllocationId, EndReason, Session};
use arc_swap::ArcSwap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// An answer that comes.
pub type Coming<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the API asks of the rest of the daemon. All of it goes through mailboxes: no packet waits for an answer.
pub trait Control: Send + Sync + 'static {
    /// Live sessions of all drivers that `wanted` picks, each with the number of its driver.
    fn sessions<'a>(
        &'a self,
        wanted: &'a (dyn Fn(&Session) -> bool + Sync),
    ) -> Coming<'a, Vec<(usize, Session)>>;
    /// One session, with its peers.
    fn session(&self, driver: usize, allocation: AllocationId) -> Coming<'_, Option<Session>>;
    /// Ends a session. `false` when there is none.
    fn end(&self, driver: usize, allocation: AllocationId, why: EndReason) -> Coming<'_, bool>;
    /// Takes these orders over instead of those before. Returns how many sessions ended by them, or `None` when a driver
    /// could not be told within a second.
    fn revoke(&self, revocations: Arc<Revocations>) -> Coming<'_, Option<usize>>;
}

/// What the handlers share.
pub struct Services {
    /// What is kept.
    pub store: Store,
    /// The rest of the daemon.
    pub control: Arc<dyn Control>,
    /// What the daemon tells of itself.
    pub sources: Arc<dyn Sources>,
    /// API keys that are good.
    pub keys: ArcSwap<ApiKeys>,
    /// Who judges the tokens of users; `None` where no key is configured.
    pub tokens: Option<TokenJudge>,
    /// Where ids and new keys come from.
    pub ids: Ids,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}
