//! What the API works with, put together.

use super::state::State;
use crate::auth::{ApiKeys, Revocations};
use crate::http::api::{Coming, Control, Services};
use crate::storage::{Store, StoreError, StoreSettings};
use crate::turn::{AllocationId, EndReason, Session};
use arc_swap::ArcSwap;
use std::sync::Arc;

/// Opens the store. One that cannot be opened is a closed one that says why.
pub(super) fn open(settings: &StoreSettings) -> (Store, Option<String>) {
    match Store::open(settings) {
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

pub(super) fn services(store: Store, state: &Arc<State>) -> Arc<Services> {
    let sources = Arc::clone(state) as _;
    Arc::new(Services {
        store,
        control: Arc::new(NoControl),
        sources,
        keys: ArcSwap::from_pointee(ApiKeys::default()),
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
