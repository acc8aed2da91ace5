//! Who takes part.

use std::sync::Arc;

/// A session as the driver names it. Never reused while the daemon runs; no client ever sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// One device of one user: what a call binds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Party {
    /// The `sub` of the token.
    pub user: Arc<str>,
    /// The token's device, or what the client calls itself, or the public id of its first session.
    pub device: Arc<str>,
}
