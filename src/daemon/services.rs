//! What the API works with, put together.

use super::admittance::Credentials;
use super::control::RelayControl;
use super::keeper;
use super::state::State;
use super::steering::Helm;
use crate::base::{EvenClock, Random};
use crate::config::Plan;
use crate::http::api::{Desk, Ids, Kept, Minting, Orders, Services, TokenJudge, Users, longest_life};
use crate::http::signaling::Door;
use crate::net::Clock;
use crate::storage::{Probe, Store, StoreError, StoreSettings};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Duration;

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

/// What the store has kept. When that cannot be read it is nothing, and a sentence says so.
pub(super) fn kept(store: &Store, plan: &Plan) -> (Kept, Option<String>) {
    let calls = |kept: Kept| kept.with_ended_calls(store, keeper::now(), longest_life(plan.auth.max_ttl));
    match Kept::read(store).and_then(calls) {
        Ok(kept) => (kept, None),
        Err(error) => {
            let unknown = "API keys, stored users and revocations of before are unknown";
            (Kept::default(), Some(format!("{error}; {unknown}")))
        }
    }
}

/// Whom drivers let in and whom not, from the first client on.
pub(super) fn credentials(kept: &Kept) -> Credentials {
    Credentials { users: kept.stored_users(), revocations: Arc::new(kept.revocations_in_force()) }
}

/// How often revocations that have passed are taken away.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Takes revocations away that have passed, for as long as it is left to run. A wall clock that is ahead at the start takes
/// none away: it would be gone for good when the clock is set right.
pub(super) async fn forget_revocations(services: Arc<Services>) {
    let clock = Clock::start();
    let mut even = EvenClock::new(clock.now());
    let mut due = tokio::time::interval(FORGET_EVERY);
    loop {
        due.tick().await;
        if even.is_believed(clock.now()) {
            services.forget_passed_revocations().await;
        }
    }
}

/// What is there for the API.
pub(super) struct Parts {
    pub(super) store: Store,
    pub(super) kept: Kept,
    pub(super) desk: Arc<Desk>,
    pub(super) minting: Arc<ArcSwap<Minting>>,
    pub(super) state: Arc<State>,
    pub(super) control: Arc<RelayControl>,
    pub(super) helm: Arc<Helm>,
    pub(super) tokens: Option<TokenJudge>,
    pub(super) signaling: Option<Door>,
    pub(super) random: Random,
}

/// Puts it together.
pub(super) fn services(parts: Parts) -> Arc<Services> {
    let Parts { signaling, store, kept, desk, minting, state, control, helm, tokens, random } = parts;
    Arc::new(Services {
        store,
        control,
        steering: helm,
        sources: state,
        keys: ArcSwap::from_pointee(kept.keys),
        making_keys: Default::default(),
        logins: Default::default(),
        tokens,
        minting,
        revocations: Orders::new(kept.revocations, kept.ended_calls),
        desk,
        users: Users::new(kept.users),
        signaling,
        ids: Ids::new(random),
    })
}
