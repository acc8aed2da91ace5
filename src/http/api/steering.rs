//! What operators see of the daemon as a whole and order it to do: `/v1/status`, `/v1/cert`, and on the admin socket
//! alone `/v1/reload`, `/v1/drain` and `/v1/undrain`.

use super::clock::{now, rfc3339};
use super::{Caller, Coming, Shared, answer, failures, figures, published};
use crate::auth::Scope;
use crate::base::{Transport, UnixTime};
use crate::http::admin::reasons;
use crate::http::problem::Problem;
use crate::http::{Readiness, Sources};
use crate::metrics::{
    CallState, Carrier, CounterId, Direction, Dropped, Label, Snapshot, allocations_ended,
    allocations_started, busy_nanos, calls_entered, calls_left, connections_accepted, connections_closed,
    dropped, relay_bytes, relay_packets, rooms_made, rooms_removed, sessions_closed, sessions_opened,
    signaling_closed, signaling_opened,
};
use crate::storage::{Health, StoreError};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Serialize;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// What the API asks of the loop that runs the daemon.
pub trait Steering: Send + Sync + 'static {
    /// What is listened on for clients.
    fn doors(&self) -> Vec<(Transport, SocketAddr)>;
    /// Where HTTP is listened for: public and admin.
    fn http(&self) -> (Option<SocketAddr>, Option<SocketAddr>);
    /// How long the daemon has served.
    fn uptime(&self) -> Duration;
    /// Live allocations.
    fn sessions(&self) -> u32;
    /// How many there may be; `None` for as many as there are ports.
    fn sessions_max(&self) -> Option<u32>;
    /// Bytes per second from clients and from peers, over the last few seconds.
    fn rate(&self) -> (u64, u64);
    /// Reads the config again, as SIGHUP does. `None`: the daemon is about to end.
    fn reload(&self) -> Coming<'_, Option<Result<Reloaded, Vec<Fault>>>>;
    /// Refuses new allocations, or takes them again. `None`: the daemon is about to end. `false`: not every thread was
    /// told.
    fn drain(&self, draining: bool) -> Coming<'_, Option<bool>>;
}

/// What is wrong with a config.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// File, line and column; or the key.
    pub at: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// A config that was taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// Keys whose new value holds now.
    pub changed: Vec<String>,
    /// Keys that differ from what holds and need a restart.
    pub needs_restart: Vec<String>,
    /// Every thread was told.
    pub complete: bool,
}

/// For operators on each of their doors.
pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/v1/status", get(status)).route("/v1/cert", get(cert))
}

/// For the command line alone.
pub(super) fn orders() -> Router<Shared> {
    Router::new()
        .route("/v1/reload", post(reload))
        .route("/v1/drain", post(drain))
        .route("/v1/undrain", post(undrain))
}

async fn status(State(services): State<Shared>, caller: Caller) -> Result<Response, Problem> {
    caller.must(Scope::Read)?;
    let (sources, steering) = (&services.sources, &services.steering);
    let readiness = sources.readiness();
    let shards: Vec<_> = sources.shards().iter().map(|shard| Snapshot::sum([&**shard])).collect();
    let sum = published(&**sources);
    let (public, admin) = steering.http();
    let doors: Vec<_> = steering.doors().into_iter().map(door).collect();
    let ports = sources.relay_ports();
    let uptime = steering.uptime();
    Ok(answer::json(
        StatusCode::OK,
        &json!({
            "version": env!("CARGO_PKG_VERSION"),
            "commit": option_env!("TURNSTONE_COMMIT").unwrap_or("unknown"),
            "state": state_name(&readiness),
            "draining": readiness.draining,
            "ready": readiness.is_ready(),
            "reasons": reasons(&readiness),
            "started_at": rfc3339(UnixTime(now().0.saturating_sub(uptime.as_secs()))),
            "uptime_s": uptime.as_secs(),
            "doors": doors,
            "http": { "public": public, "admin": admin },
            "sessions": steering.sessions(),
            "capacity": figures::capacity(&services).await,
            "ports": { "used": ports.used, "free": ports.free, "quarantined": ports.quarantined },
            "connections": connections(&sum),
            "traffic": traffic(&sum, steering.rate()),
            "drops": drops(&sum),
            "failures": figures::failures(&services),
            "workers": workers(&shards, &readiness.stalled_workers),
            "signaling": signaling(&**sources, &sum),
            "storage": storage(sources.storage().as_ref()),
            "certificates": certificates(&**sources),
            "reload": last_reload(&**sources),
        }),
    ))
}

pub(super) fn state_name(readiness: &Readiness) -> &'static str {
    match (readiness.starting, readiness.draining) {
        (true, _) => "starting",
        (false, true) => "draining",
        (false, false) => "serving",
    }
}

fn door((transport, address): (Transport, SocketAddr)) -> Value {
    json!({ "transport": Transport::VALUES[transport.index()], "address": address })
}

fn traffic(sum: &Snapshot, (from_client, from_peer): (u64, u64)) -> Value {
    let all = |of: fn(Direction, Transport) -> CounterId, direction| -> u64 {
        Transport::ALL.iter().map(|transport| sum.value(of(direction, *transport))).sum()
    };
    let dropped: u64 = Dropped::ALL.iter().map(|reason| sum.value(dropped(*reason))).sum();
    json!({
        "bytes_from_client": all(relay_bytes, Direction::FromClient),
        "bytes_from_peer": all(relay_bytes, Direction::FromPeer),
        "packets_from_client": all(relay_packets, Direction::FromClient),
        "packets_from_peer": all(relay_packets, Direction::FromPeer),
        "rate_from_client_bps": from_client.saturating_mul(8),
        "rate_from_peer_bps": from_peer.saturating_mul(8),
        "dropped_packets": dropped,
    })
}

/// Datagrams by the reason why they were dropped; what never happened is left out.
fn drops(sum: &Snapshot) -> Vec<Value> {
    let counted = failures::drops().map(|(counter, reason, title)| (sum.value(counter), reason, title));
    let told = counted.filter(|(total, ..)| *total > 0);
    told.map(|(total, reason, title)| json!({ "reason": reason, "title": title, "total": total })).collect()
}

fn connections(sum: &Snapshot) -> u64 {
    let ended = crate::metrics::Closed::ALL.iter().map(|reason| sum.value(connections_closed(*reason)));
    sum.value(connections_accepted()).saturating_sub(ended.sum())
}

fn workers(shards: &[Snapshot], stalled: &[usize]) -> Vec<Value> {
    let live = |shard: &Snapshot| {
        let count = |of: fn(Transport, crate::base::Family) -> CounterId| -> u64 {
            let each = Transport::ALL.iter().flat_map(|transport| {
                crate::base::Family::ALL.iter().map(move |family| (*transport, *family))
            });
            each.map(|(transport, family)| shard.value(of(transport, family))).sum()
        };
        count(allocations_started).saturating_sub(count(allocations_ended))
    };
    let worker = |(number, shard): (usize, &Snapshot)| {
        json!({
            "worker": number,
            "stalled": stalled.contains(&number),
            "sessions": live(shard),
            "busy_s": shard.value(busy_nanos()) as f64 / 1e9,
        })
    };
    shards.iter().enumerate().map(worker).collect()
}

fn signaling(sources: &dyn Sources, sum: &Snapshot) -> Value {
    let live = |began, ended| sum.value(began).saturating_sub(sum.value(ended));
    let connections: u64 =
        Carrier::ALL.iter().map(|carrier| live(signaling_opened(*carrier), signaling_closed(*carrier))).sum();
    let calls: u64 = CallState::ALL.iter().map(|state| live(calls_entered(*state), calls_left(*state))).sum();
    json!({
        "enabled": sources.signaling().is_some(),
        "connections": connections,
        "sessions": live(sessions_opened(), sessions_closed()),
        "rooms": live(rooms_made(), rooms_removed()),
        "calls": calls,
    })
}

pub(super) fn storage(health: Option<&Health>) -> Value {
    let Some(health) = health else { return Value::Null };
    let records: serde_json::Map<_, _> =
        health.tables.iter().map(|table| (table.table.name().to_owned(), json!(table.records))).collect();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    json!({
        "ok": health.trouble.is_none(),
        "code": health.trouble.as_ref().map(StoreError::code),
        "message": health.trouble.as_ref().map(ToString::to_string),
        "records": records,
        "damaged_records": health.damaged(),
        "commits": health.commits,
        "last_flush_ms": health.last_flush.map(ms),
        "flush_running_ms": health.flush_running.map(ms),
        "bytes_on_disk": health.bytes_on_disk,
        "bytes_queued": health.bytes_queued,
    })
}

pub(super) fn last_reload(sources: &dyn Sources) -> Value {
    let reload = sources.last_reload();
    json!({ "successful": reload.successful, "last_success_at": rfc3339(UnixTime(reload.success_unix)) })
}

async fn cert(State(services): State<Shared>, caller: Caller) -> Result<Response, Problem> {
    caller.must(Scope::Read)?;
    let current = services.sources.certificates().map(|state| state.all_current);
    let certificates = certificates(&*services.sources);
    Ok(answer::json(
        StatusCode::OK,
        &json!({ "tls": current.is_some(), "all_current": current, "certificates": certificates }),
    ))
}

/// Those of doors that speak TLS, by their own clock.
pub(super) fn certificates(sources: &dyn Sources) -> Vec<Value> {
    let state = sources.certificates();
    let now = now().0;
    let certificate = |held: &crate::http::HeldCertificate| {
        let ends = u64::try_from(held.ends_unix_s).unwrap_or(0);
        json!({
            "name": held.names.first(),
            "names": held.names,
            "source": held.source,
            "fault": held.fault,
            "expires_at": rfc3339(UnixTime(ends)),
            "expires_in_s": ends.saturating_sub(now),
        })
    };
    state.iter().flat_map(|state| &state.held).map(certificate).collect()
}

async fn reload(State(services): State<Shared>, caller: Caller) -> Result<Response, Problem> {
    caller.must(Scope::Admin)?;
    match services.steering.reload().await {
        None => Err(ending()),
        Some(Ok(reloaded)) => Ok(answer::json(StatusCode::OK, &reloaded)),
        Some(Err(faults)) => Err(Problem::bad_config(&faults)),
    }
}

async fn drain(State(services): State<Shared>, caller: Caller) -> Result<Response, Problem> {
    set_drain(&services, &caller, true).await
}

async fn undrain(State(services): State<Shared>, caller: Caller) -> Result<Response, Problem> {
    set_drain(&services, &caller, false).await
}

async fn set_drain(services: &Shared, caller: &Caller, draining: bool) -> Result<Response, Problem> {
    caller.must(Scope::Admin)?;
    let complete = services.steering.drain(draining).await.ok_or_else(ending)?;
    let sessions = services.steering.sessions();
    let answer = json!({ "draining": draining, "sessions": sessions, "complete": complete });
    Ok(answer::json(StatusCode::OK, &answer))
}

fn ending() -> Problem {
    let message = "the daemon is about to end";
    Problem::new(StatusCode::CONFLICT, "ending", message, "wait until it has started again")
}
