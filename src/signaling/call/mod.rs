//! The calls of this daemon: the server, not a client, decides who rings, who won and when it is over.

use super::{Party, Refusal};
use crate::base::Now;
use std::sync::Arc;

/// What the calls need to know of the rest of the hub, and must not change.
pub trait World {
    /// The devices of `user` that have a session now, resumable ones included; each once, in a stable order.
    fn devices(&self, user: &str) -> Vec<Arc<str>>;
    /// What the programs of this device said that they can do.
    fn abilities(&self, party: &Party) -> Abilities;
    /// The display name in the token of this device.
    fn display_name(&self, party: &Party) -> Option<Arc<str>>;
    /// Whether `caller` may start a call to `callee`: blocks, claims and the budget of starts.
    ///
    /// # Errors
    /// The refusal that the caller gets.
    fn may_call(&self, caller: &Party, callee: &str) -> Result<(), Refusal>;
    /// Whether this device is in `room` now.
    fn is_in_room(&self, party: &Party, room: &str) -> bool;
    /// A `iceServers` array (JSON) with credentials of this user for this call, good for `ttl_s` seconds; `None` while
    /// no relay is offered.
    fn ice_servers(&self, now: Now, user: &str, call_id: &str, ttl_s: u64) -> Option<Box<str>>;
}

/// What a client declared (`caps` of its hello).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// `"glare"`: it takes the winning call of a glare by itself.
    pub glare: bool,
    /// `"report"`: it sends `call:connected`.
    pub report: bool,
    /// `"explicit_accept"`: as a callee it always sends `call:accepted`, so that nothing is shown to it before.
    pub explicit_accept: bool,
}
