//! `/v1/credentials/revoke` and `/v1/revocations`: credentials that are void before their time.
//!
//! An order holds in memory first, everywhere, and is made durable then: what is refused on the disk is refused all
//! the same, and the answer says so.

use super::clock::{now, rfc3339};
use super::leftover::take_leftover;
use super::whole::whole;
use super::{Caller, EventKind, Path, Services, Shared, answer, body};
use crate::auth::{MintTimes, NAME_BYTES_MAX, Revocation, Revocations, Scope, Target};
use crate::base::UnixTime;
use crate::http::problem::Problem;
use crate::storage::records::RevocationRecord;
use crate::storage::{Batch, StoreError};
use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Orders at once.
pub(super) const ORDERS_MAX: usize = 100_000;

/// Users who were taken away and are remembered.
const GONE_USERS_MAX: usize = 1000;

/// How long signaling may have no room for news.
const SIGNALING_TIMEOUT: Duration = Duration::from_secs(1);

/// Orders by their ids.
type ById = BTreeMap<String, RevocationRecord>;

/// What holds beside the orders that have ids: of calls that ended, and of users who are gone.
type Unlisted = (Arc<[Revocation]>, VecDeque<Revocation>);

/// All orders, with their ids.
#[derive(Debug)]
pub struct Orders {
    /// Held while a change is prepared, and never while somebody waits for the disk or a driver: an order holds at once,
    /// however slow they are.
    by_id: Arc<Mutex<ById>>,
    /// Credentials of calls that ended before the start. Drivers hear of those that end later by themselves.
    ended_calls: Arc<[Revocation]>,
    /// Static users who were taken away since the start, the latest last.
    gone_users: std::sync::Mutex<VecDeque<Revocation>>,
    in_force: ArcSwap<MintTimes>,
}

impl Orders {
    /// These, also those that have passed: they refuse nothing, and go with the next change. `ended_calls` are not listed.
    pub fn new(records: Vec<RevocationRecord>, ended_calls: Vec<Revocation>) -> Self {
        let by_id: ById = records.into_iter().map(|record| (record.id.clone(), record)).collect();
        let in_force = Arc::new(prepared(by_id.values(), &ended_calls));
        let in_force = ArcSwap::from_pointee(MintTimes::default().under(in_force));
        Self {
            by_id: Arc::new(Mutex::new(by_id)),
            ended_calls: ended_calls.into(),
            gone_users: std::sync::Mutex::default(),
            in_force,
        }
    }

    /// The mint time of a credential that is made now, so that no order of before voids it; `None` while there is a ban.
    pub(super) fn mint_time(&self, now: UnixTime, subject: &str, label: Option<&str>) -> Option<UnixTime> {
        self.in_force.load().next(now, subject, label)
    }

    /// A static user is there no more. An order counts until the drivers have heard of it and of what was about to begin, so
    /// that those of long ago give way.
    fn note_gone(&self, user: &str) {
        let gone = Revocation { target: Target::User(user.into()), at: UnixTime(0), until: None };
        let mut users = self.gone_users.lock().unwrap_or_else(PoisonError::into_inner);
        users.retain(|before| *before != gone);
        users.push_back(gone);
        if users.len() > GONE_USERS_MAX {
            users.pop_front();
        }
    }

    fn unlisted(&self) -> Unlisted {
        let gone_users = self.gone_users.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (Arc::clone(&self.ended_calls), gone_users)
    }

    /// What credentials are judged by: for newcomers on every door, from the first one on.
    pub fn in_force(&self) -> Arc<Revocations> {
        Arc::clone(self.in_force.load().orders())
    }
}

pub(super) fn prepared<'r>(
    records: impl IntoIterator<Item = &'r RevocationRecord>,
    ended_calls: impl IntoIterator<Item = &'r Revocation>,
) -> Revocations {
    let orders: Vec<Revocation> = records.into_iter().filter_map(RevocationRecord::order).collect();
    let ended_calls: Vec<&Revocation> = ended_calls.into_iter().collect();
    Revocations::new(orders.iter().chain(ended_calls))
}

/// What came of a change.
struct Changed {
    /// Sessions that ended by it; `None` when a driver, or signaling, could not be told.
    ended: Option<usize>,
    written: Result<(), StoreError>,
}

impl Services {
    /// Takes away orders that have passed. To be called now and then.
    pub async fn forget_passed_revocations(&self) {
        let now = now();
        let by_id = self.orders().await;
        if by_id.values().any(|record| record.has_passed(now)) {
            let Changed { .. } = self.change(by_id, |_, batch| batch).await;
        }
    }

    async fn orders(&self) -> OwnedMutexGuard<ById> {
        Arc::clone(&self.revocations.by_id).lock_owned().await
    }

    /// Changes the orders, in memory at once; what has passed goes with it. The drivers are told, and the disk is written,
    /// of each set after the one before; both are waited for when `by_id` is free again.
    async fn change(
        &self,
        by_id: OwnedMutexGuard<ById>,
        change: impl FnOnce(&mut ById, Batch) -> Batch + Send + 'static,
    ) -> Changed {
        let unlisted = self.revocations.unlisted();
        // Some 50 ms for a hundred thousand orders.
        let preparing = spawn_blocking(move || changed(by_id, &unlisted, change));
        let Ok((by_id, in_force, batch)) = preparing.await else {
            return Changed { ended: None, written: Err(StoreError::Closed("the daemon ends".into())) };
        };
        let times = self.revocations.in_force.load().under(Arc::clone(&in_force));
        self.revocations.in_force.store(Arc::new(times));
        let told = self.control.revoke(in_force);
        let written = self.store.begin_commit(batch);
        drop(by_id);
        let (ended, is_heard, written) = tokio::join!(told, self.tell_signaling(), written);
        Changed { ended: ended.filter(|_| is_heard), written }
    }

    /// Ends what lives by a static user who was taken away, and what is about to begin by them; nothing that was minted for a
    /// subject of the same name, by whomever. `false`: a driver had no time, and will do it.
    pub(super) async fn end_sessions_of(&self, user: &str) -> bool {
        let by_id = self.orders().await;
        self.revocations.note_gone(user);
        self.change(by_id, |_, batch| batch).await.ended.is_some()
    }

    /// Tells signaling of the orders by which it mints credentials for calls; to be called before the first client comes,
    /// too. `false`: it had no time for a second.
    pub async fn tell_signaling(&self) -> bool {
        let Some(door) = &self.signaling else { return true };
        let times = MintTimes::clone(&self.revocations.in_force.load());
        timeout(SIGNALING_TIMEOUT, door.mint_by(times)).await.is_ok()
    }
}

/// The orders after a change, what credentials are judged by then, and what is to be written.
fn changed(
    mut by_id: OwnedMutexGuard<ById>,
    (ended_calls, gone_users): &Unlisted,
    change: impl FnOnce(&mut ById, Batch) -> Batch,
) -> (OwnedMutexGuard<ById>, Arc<Revocations>, Batch) {
    let now = now();
    let passed: Vec<String> =
        by_id.values().filter(|record| record.has_passed(now)).map(|record| record.id.clone()).collect();
    let mut batch = Batch::new();
    for id in passed {
        by_id.remove(&id);
        batch = batch.delete(RevocationRecord::key_of(&id));
    }
    let batch = change(&mut by_id, batch);
    let unlisted = ended_calls.iter().chain(gone_users);
    let unlisted = unlisted.filter(|order| order.until.is_none_or(|until| now < until));
    let in_force = Arc::new(prepared(by_id.values(), unlisted));
    (by_id, in_force, batch)
}

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/v1/credentials/revoke", post(revoke))
        .route("/v1/revocations", get(list))
        .route("/v1/revocations/{id}", delete(lift))
}

async fn list(State(services): State<Shared>, caller: Caller) -> Result<Response, Problem> {
    caller.must(Scope::Read)?;
    let (now, by_id) = (now(), services.revocations.by_id.lock().await);
    let orders: Vec<_> = by_id.values().filter(|record| !record.has_passed(now)).map(told).collect();
    let known = !services.sources.readiness().unknown_revocations;
    Ok(answer::json(StatusCode::OK, &json!({ "revocations": orders, "known": known })))
}

async fn revoke(State(services): State<Shared>, caller: Caller, body: Body) -> Result<Response, Problem> {
    caller.must(Scope::Admin)?;
    let record = wanted(&services, body).await?;
    whole(add(services, record)).await
}

async fn add(services: Shared, record: RevocationRecord) -> Result<Response, Problem> {
    let by_id = services.orders().await;
    if by_id.len() >= ORDERS_MAX && spent(&by_id).is_none() {
        let message = format!("there are {ORDERS_MAX} revocations, which is the most");
        return Err(Problem::conflict("full", message, "lift bans that are not needed any more"));
    }
    let kept = record.clone();
    let put = move |by_id: &mut ById, mut batch: Batch| {
        if by_id.len() >= ORDERS_MAX
            && let Some(id) = spent(by_id)
        {
            by_id.remove(&id);
            batch = batch.delete(RevocationRecord::key_of(&id));
        }
        let batch = batch.put(&kept);
        by_id.insert(kept.id.clone(), kept);
        batch
    };
    let changed = services.change(by_id, put).await;
    services.desk.events.tell(EventKind::CredentialRevoked, || json!({ "revocation": told(&record) }));
    let ended = settled(changed)?;
    let mut answer = told(&record);
    answer["sessions_ended"] = json!(ended);
    Ok(answer::json(StatusCode::OK, &answer))
}

async fn lift(State(services): State<Shared>, caller: Caller, Path(id): Path) -> Result<Response, Problem> {
    caller.must(Scope::Admin)?;
    whole(take_away(services, id)).await
}

/// Sessions that it ended already are not brought back. If the disk fails, it can be asked for again.
async fn take_away(services: Shared, id: String) -> Result<Response, Problem> {
    let by_id = services.orders().await;
    if !by_id.contains_key(&id) {
        drop(by_id);
        let place = RevocationRecord::key_of(&id);
        return match take_leftover::<RevocationRecord>(&services.store, place).await? {
            true => Ok(StatusCode::NO_CONTENT.into_response()),
            false => Err(Problem::not_found("GET /v1/revocations lists those in force")),
        };
    }
    let take = move |by_id: &mut ById, batch: Batch| {
        by_id.remove(&id);
        batch.delete(RevocationRecord::key_of(&id))
    };
    settled(services.change(by_id, take).await)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The order that gives way to a new one when all places are taken: of those whose time is over, the one that is over the
/// longest. What it refuses still is what outlived it, minted when `auth.max_ttl` was longer.
fn spent(by_id: &ById) -> Option<String> {
    let now = now().0;
    let over =
        by_id.values().filter_map(|record| record.until.filter(|until| *until <= now).zip(Some(record)));
    over.min_by_key(|(until, _)| *until).map(|(_, record)| record.id.clone())
}

/// The order that a body describes.
async fn wanted(services: &Shared, body: Body) -> Result<RevocationRecord, Problem> {
    let mut fields = body::fields(body).await?;
    let mut target = None;
    for kind in RevocationRecord::KINDS {
        // Foreign minters may have given any text, so any can be revoked.
        let Some(name) = fields.any_text(kind, 1..=NAME_BYTES_MAX)? else { continue };
        if target.replace((kind, name)).is_some() {
            return Err(Problem::field(kind, "give one of `id`, `subject` and `label`, not several"));
        }
    }
    let is_ban = fields.flag("ban")?;
    let (kind, name) = fields.required("subject", target, "one of `id`, `subject` and `label`")?;
    fields.done()?;
    let (now, max_ttl_s) = (now().0, services.minting.load().max_ttl_s());
    let at = now.max(services.revocations.in_force.load().latest().0);
    let until = (!is_ban).then(|| now.saturating_add(max_ttl_s));
    Ok(RevocationRecord { id: services.ids.next("rev"), kind: kind.into(), name, at, until })
}

fn settled(changed: Changed) -> Result<usize, Problem> {
    let everywhere = changed.ended.is_some();
    changed.written.map_err(|error| Problem::from(error).applied(everywhere))?;
    changed.ended.ok_or_else(Problem::worker_busy)
}

fn told(record: &RevocationRecord) -> Value {
    let (at, until) = (rfc3339(UnixTime(record.at)), record.until.map(|until| rfc3339(UnixTime(until))));
    let target = json!({ record.kind.as_str(): record.name });
    json!({ "id": record.id, "target": target, "at": at, "until": until, "ban": record.until.is_none() })
}

#[cfg(test)]
#[path = "revocations_tests.rs"]
mod tests;
