//! What the API works with, put together.

use super::state::State;
use crate::auth::Revocations;
use crate::base::Random;
use crate::http::api::{Coming, Control, Ids, Kept, Services, TokenJudge};
use crate::storage::{Probe, Store, StoreError, StoreSettings};
use crate::turn::{AllocationId, EndReason, Session};
use arc_swap::ArcSwap;
use std::sync::Arc;

/// Opens the store. One that cannot be opened is a closed one that says why.
pub(super) fn open(settings: &StoreSettings) -> (Store, Option<String>) {
    // On some damage sled ends the process that opens it.
    let settings = StoreSettings { probe: Some(Probe::this_binary()), ..settings.clone() };
    match Store::open(&settings) {
        Ok(store) => (store, None),
        Err(error) => {
            let said = error.to_string();
            let why = match error {
                StoreError::Closed(why) => why,
                other => other.to_string().into(),
            };
            (Store::closed(why), Some(said))
        }
    }
}

/// What is there for the API.
pub(super) struct Parts {
    pub(super) store: Store,
    pub(super) kept: Kept,
    pub(super) state: Arc<State>,
    pub(super) tokens: Option<TokenJudge>,
    pub(super) random: Random,
}

/// Puts it together.
pub(super) fn services(parts: Parts) -> Arc<Services> {
    let Parts { store, kept, state, tokens, random } = parts;
    Arc::new(Services {
        store,
        control: Arc::new(NoControl),
        sources: state,
        keys: ArcSwap::from_pointee(kept.keys),
        tokens,
        ids: Ids::new(random),
    })
}

/// Until drivers can be asked.
struct NoControl;

impl Control for NoControl {
    fn sessions<'a>(
        &'a self,
        _wanted: &'a (dyn Fn(&Session) -> bool + Sync),
    ) -> Coming<'a, Vec<(usize, Session)>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn session(&self, _driver: usize, _allocation: AllocationId) -> Coming<'_, Option<Session>> {
        Box::pin(std::future::ready(None))
    }

    fn end(&self, _driver: usize, _allocation: AllocationId, _why: EndReason) -> Coming<'_, bool> {
        Box::pin(std::future::ready(false))
    }

    fn revoke(&self, _revocations: Arc<Revocations>) -> Coming<'_, Option<usize>> {
        Box::pin(std::future::ready(None))
    }
}
