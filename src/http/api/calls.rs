//! `GET /v1/calls`: calls that live, then those that have ended, the latest first.

use super::clock::{now, rfc3339};
use super::times::{Range, range};
use super::usage::{figures, word};
use super::{Caller, Fields, Path, Shared, answer, session_json};
use crate::auth::Scope;
use crate::base::{Traffic, UnixTime};
use crate::http::problem::Problem;
use crate::signaling::{LiveCall, LiveParty, LiveStep, Stand};
use crate::storage::records::{CallParty, CallRow, PartyTraffic, live_call_key};
use crate::storage::{Key, Page, Table};
use crate::turn::Session;
use crate::usage::CallUse;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use ulid::Ulid;

/// Calls of one answer.
const LIMIT_MAX: u64 = 500;

/// Calls that are looked at for one answer, when few of them are wanted.
const LOOKED_AT_MAX: usize = 10_000;

/// Records that are read in one go.
const AT_ONCE: usize = 200;

/// How far back it is looked when no range is given: to the first call.
const SINCE: Duration = Duration::from_secs(36_500 * 86_400);

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/v1/calls", get(list)).route("/v1/calls/{id}", get(show))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Live,
    Ended,
}

struct Asked {
    user: Option<String>,
    range: Range,
    which: Option<Which>,
    limit: usize,
    cursor: Option<String>,
}

impl Asked {
    fn read(mut fields: Fields) -> Result<Self, Problem> {
        let range = range(&mut fields, now(), SINCE)?;
        let user = fields.any_text("user", 1..=1024)?;
        let which = word(&mut fields, "state", &[("live", Which::Live), ("ended", Which::Ended)])?;
        let limit = fields.whole("limit", 1..=LIMIT_MAX, "")?.unwrap_or(100) as usize;
        let cursor = fields.text("cursor", 0..=64)?;
        fields.done()?;
        if cursor.as_ref().is_some_and(|cursor| Ulid::from_string(cursor).is_err()) {
            return Err(Problem::field("cursor", "`cursor` must be what `next` of the page before said"));
        }
        Ok(Self { user, range, which, limit, cursor })
    }

    fn wants(&self, which: Which) -> bool {
        self.which.is_none_or(|wanted| wanted == which)
    }
}

async fn list(State(services): State<Shared>, caller: Caller, fields: Fields) -> Result<Response, Problem> {
    caller.must(Scope::Read)?;
    let asked = Asked::read(fields)?;
    let (mut calls, mut more) = (Vec::new(), false);
    if asked.wants(Which::Live) && asked.cursor.is_none() {
        (calls, more) = live(&services, &asked).await?;
    }
    let next = match asked.wants(Which::Ended) {
        true => ended(&services, &asked, &mut calls).await?,
        false => None,
    };
    Ok(answer::json(StatusCode::OK, &json!({ "calls": calls, "more": more, "next": next })))
}

/// Live calls up to the limit of the page, and whether there are more.
async fn live(services: &Shared, asked: &Asked) -> Result<(Vec<Value>, bool), Problem> {
    let Range { from, to } = asked.range;
    let is_wanted = |call: &&LiveCall| {
        (from.0..to.0).contains(&call.started_s)
            && asked.user.as_ref().is_none_or(|user| users(call).any(|of_call| of_call == user))
    };
    let (mut told, mut page) = (Vec::new(), Page::of(Key::of(Table::LiveCalls), AT_ONCE));
    page.backwards = true;
    loop {
        let calls = services.store.page::<LiveCall>(page.clone()).await?;
        for call in calls.iter().filter(is_wanted) {
            if told.len() == asked.limit {
                return Ok((told, true));
            }
            told.push(live_json(services, call));
        }
        let Some(last) = calls.last() else { return Ok((told, false)) };
        page.to = Some(live_call_key(&last.id));
    }
}

/// Adds ended calls up to the limit of the page. Returns where the next one begins.
async fn ended(
    services: &Shared,
    asked: &Asked,
    calls: &mut Vec<Value>,
) -> Result<Option<Box<str>>, Problem> {
    let (mut found, mut looked_at) = (0, 0);
    let mut before: Option<Box<str>> = asked.cursor.as_deref().map(Box::from);
    loop {
        let Range { from, to } = asked.range;
        let page = CallRow::range(from, to, before.as_deref(), AT_ONCE);
        let rows = services.store.page::<CallRow>(page).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        for row in &rows {
            looked_at += 1;
            before = Some(row.id.clone());
            if asked.user.as_ref().is_none_or(|user| row.is_of(user)) {
                calls.push(call_json(row));
                found += 1;
            }
            if found == asked.limit || looked_at == LOOKED_AT_MAX {
                return Ok(before);
            }
        }
    }
}

async fn show(State(services): State<Shared>, caller: Caller, Path(id): Path) -> Result<Response, Problem> {
    caller.must(Scope::Read)?;
    let of_call = |session: &Session| session.call_id.as_deref() == Some(id.as_str());
    let seen = services.control.sessions(&of_call).await;
    let known = known(&services, &id).await?;
    let mut call = match known.or_else(|| untold(&services, &id, !seen.sessions.is_empty())) {
        Some(call) => call,
        None => return Err(Problem::not_found("GET /v1/calls lists the calls there are")),
    };
    call["missing_drivers"] = json!(seen.missing);
    let now = services.control.now();
    let told = seen.sessions.iter().map(|(driver, session)| session_json(*driver, session, now));
    call["sessions"] = told.collect();
    Ok(answer::json(StatusCode::OK, &call))
}

/// A call that signaling told of.
async fn known(services: &Shared, id: &str) -> Result<Option<Value>, Problem> {
    if let Some(row) = services.store.get::<CallRow>(CallRow::place(id)).await? {
        let mut call = call_json(&row);
        call["stats"] = row.stats.iter().map(|stats| digest(&stats.party, &stats.digest)).collect();
        return Ok(Some(call));
    }
    let live = services.store.get::<LiveCall>(live_call_key(id)).await?;
    Ok(live.map(|call| live_json(services, &call)))
}

/// A call of which nothing is known but what its credentials relay: the id is a back end's own.
fn untold(services: &Shared, id: &str, has_sessions: bool) -> Option<Value> {
    let usage = services.desk.calls().of(id).cloned();
    (has_sessions || usage.is_some()).then(|| {
        let mut call = traffic_json(&usage.unwrap_or_default());
        call["id"] = json!(id);
        call["state"] = Value::Null;
        call
    })
}

/// A call that has ended, as the API and the events tell it.
pub fn call_json(row: &CallRow) -> Value {
    let total = row.total();
    json!({
        "id": row.id,
        "state": "ended",
        "caller": row.caller,
        "callee": row.callee,
        "room": row.room,
        "call_type": row.media,
        "started_at": rfc3339(row.started),
        "answered_at": row.answered.map(rfc3339),
        "ended_at": rfc3339(row.ended),
        "reason": row.reason,
        "ended_by": row.ended_by,
        "duration_ms": row.duration_ms,
        "relayed": !total.is_zero(),
        "total": figures(&total),
        "parties": row.traffic.iter().map(party).collect::<Vec<_>>(),
        "final": row.is_final,
        "partial": row.is_partial,
    })
}

/// What a party's allocations relayed: `from_client` is what the party sent.
fn party(party: &PartyTraffic) -> Value {
    let mut told = figures(&party.traffic);
    told["subject"] = json!(party.subject);
    told
}

/// A device's own words about its media, if they are JSON.
fn digest(party: &CallParty, digest: &str) -> Value {
    let digest = serde_json::from_str::<&RawValue>(digest).ok();
    json!({ "user": party.user, "device": party.device, "digest": digest })
}

fn live_json(services: &Shared, call: &LiveCall) -> Value {
    let party = |party: &LiveParty| json!({ "user": party.user, "device": party.device });
    let (state, caller, callee, room, members, answered) = match &call.stand {
        Stand::Ringing { caller, callee, .. } => {
            ("ringing", party(caller), json!({ "user": callee, "device": null }), None, None, None)
        }
        Stand::Answered { caller, callee, accepted_s, step, .. } => {
            let state = if *step == LiveStep::Active { "active" } else { "connecting" };
            (state, party(caller), party(callee), None, None, Some(*accepted_s))
        }
        Stand::Group { room, opener, members } => {
            let members: Vec<_> = members.iter().map(party).collect();
            ("active", party(opener), Value::Null, Some(room), Some(members), Some(call.started_s))
        }
    };
    let calls = services.desk.calls();
    let usage = calls.of(&call.id).cloned().unwrap_or_default();
    drop(calls);
    let mut told = traffic_json(&usage);
    let started = UnixTime(call.started_s);
    let about = json!({
        "id": call.id,
        "state": state,
        "caller": caller,
        "callee": callee,
        "room": room,
        "members": members,
        "call_type": call.media.as_str(),
        "started_at": rfc3339(started),
        "answered_at": answered.map(|at| rfc3339(UnixTime(at))),
        "partial": services.desk.is_partial(started),
    });
    if let (Some(told), Value::Object(about)) = (told.as_object_mut(), about) {
        told.extend(about);
    }
    told
}

/// What a call has relayed so far.
fn traffic_json(usage: &CallUse) -> Value {
    let total = usage.total();
    let subject = |(subject, traffic): (&Arc<str>, &Traffic)| {
        let mut told = figures(traffic);
        told["subject"] = json!(**subject);
        told
    };
    json!({
        "relayed": !total.is_zero(),
        "total": figures(&total),
        "parties": usage.by_subject.iter().map(subject).collect::<Vec<_>>(),
    })
}

fn users(call: &LiveCall) -> impl Iterator<Item = &str> {
    let (first, second, members): (&LiveParty, Option<&str>, &[LiveParty]) = match &call.stand {
        Stand::Ringing { caller, callee, .. } => (caller, Some(callee), &[]),
        Stand::Answered { caller, callee, .. } => (caller, Some(&callee.user), &[]),
        Stand::Group { opener, members, .. } => (opener, None, members),
    };
    let members = members.iter().map(|member| &*member.user);
    std::iter::once(&*first.user).chain(second).chain(members)
}

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;
