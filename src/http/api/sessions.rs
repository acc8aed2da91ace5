//! `/v1/sessions`: live allocations are listed, shown and ended.

use super::session_json::id_text;
use super::{Busy, Caller, Fields, Path, Seen, Shared, answer, session_json};
use crate::auth::{NAME_BYTES_MAX, Scope};
use crate::base::Transport;
use crate::http::problem::Problem;
use crate::metrics::Label;
use crate::turn::{AllocationId, EndReason, Session};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};

/// Sessions in one answer.
const LIMIT_MAX: u64 = 100_000;
/// As many, where the query says nothing.
const LIMIT: u64 = 10_000;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/v1/sessions", get(list).delete(end_all))
        .route("/v1/sessions/{id}", get(show).delete(end))
}

async fn list(
    State(services): State<Shared>,
    caller: Caller,
    mut fields: Fields,
) -> Result<Response, Problem> {
    caller.must(Scope::Read)?;
    let order = Order::take(&mut fields)?;
    let limit = fields.whole("limit", 1..=LIMIT_MAX, " sessions")?.unwrap_or(LIMIT) as usize;
    let filter = Filter::take(&mut fields)?;
    fields.done()?;
    let mut seen = filter.sessions(&services).await;
    let total = seen.sessions.len();
    order.sort(&mut seen.sessions);
    seen.sessions.truncate(limit);
    let now = services.control.now();
    let told = seen.sessions.iter().map(|(driver, session)| session_json(*driver, session, now));
    let sessions: Vec<_> = told.collect();
    let answer = json!({ "sessions": sessions, "total": total, "complete": seen.missing.is_empty() });
    Ok(answer::json(StatusCode::OK, &answer))
}

async fn show(State(services): State<Shared>, caller: Caller, Path(id): Path) -> Result<Response, Problem> {
    caller.must(Scope::Read)?;
    let (driver, allocation) = read_id(&id).ok_or_else(nobody)?;
    let session = services.control.session(driver, allocation).await?.ok_or_else(nobody)?;
    let mut answer = session_json(driver, &session, services.control.now());
    answer["peers"] = json!(session.peers);
    Ok(answer::json(StatusCode::OK, &answer))
}

async fn end(State(services): State<Shared>, caller: Caller, Path(id): Path) -> Result<Response, Problem> {
    caller.must(Scope::Admin)?;
    let (driver, allocation) = read_id(&id).ok_or_else(nobody)?;
    match services.control.end(driver, allocation, EndReason::Killed).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(nobody()),
    }
}

/// Ends all that a filter picks; a request without one is a mistake.
async fn end_all(
    State(services): State<Shared>,
    caller: Caller,
    mut fields: Fields,
) -> Result<Response, Problem> {
    caller.must(Scope::Admin)?;
    let filter = Filter::take(&mut fields)?;
    fields.done()?;
    if filter == Filter::default() {
        let message = "give at least one filter: subject, label, call, client, transport or peer";
        return Err(Problem::field("subject", message));
    }
    let mut seen = filter.sessions(&services).await;
    let mut ended = 0;
    for (driver, session) in std::mem::take(&mut seen.sessions) {
        // One that has no time now is not waited for again.
        if seen.missing.contains(&driver) {
            continue;
        }
        match services.control.end(driver, session.allocation, EndReason::Killed).await {
            Ok(there) => ended += usize::from(there),
            Err(Busy) => seen.missing.push(driver),
        }
    }
    let complete = seen.missing.is_empty();
    Ok(answer::json(StatusCode::OK, &json!({ "ended": ended, "complete": complete })))
}

impl From<Busy> for Problem {
    fn from(_: Busy) -> Self {
        Self::worker_silent()
    }
}

fn nobody() -> Problem {
    Problem::not_found("GET /v1/sessions lists the sessions there are; ids are never used again")
}

/// Which sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Filter {
    subject: Option<String>,
    label: Option<String>,
    call: Option<String>,
    client: Option<(IpAddr, Option<u16>)>,
    transport: Option<Transport>,
    peer: Option<IpAddr>,
}

impl Filter {
    fn take(fields: &mut Fields) -> Result<Self, Problem> {
        let mut text = |name| fields.any_text(name, 1..=NAME_BYTES_MAX);
        let (subject, label, call) = (text("subject")?, text("label")?, text("call")?);
        let (client, transport, peer) = (text("client")?, text("transport")?, text("peer")?);
        let client = client.map(|text| {
            let address = text.parse::<SocketAddr>().map(|address| (address.ip(), Some(address.port())));
            let address = address.or_else(|_| text.parse::<IpAddr>().map(|ip| (ip, None)));
            address.map_err(|_| Problem::field("client", "it must be an IP address, with or without a port"))
        });
        let transport = transport.map(|text| {
            let known = Transport::ALL.iter().find(|one| Transport::VALUES[one.index()] == text);
            let message = || format!("it must be one of: {}", Transport::VALUES.join(", "));
            known.copied().ok_or_else(|| Problem::field("transport", message()))
        });
        let peer = peer.map(|text| {
            text.parse().map_err(|_| Problem::field("peer", "it must be an IP address, without a port"))
        });
        let (client, transport, peer) = (client.transpose()?, transport.transpose()?, peer.transpose()?);
        Ok(Self { subject, label, call, client, transport, peer })
    }

    /// All that it picks. Peers are only told of one session at a time, so those that are left are asked one by one.
    async fn sessions(&self, services: &Shared) -> Seen {
        let mut seen = services.control.sessions(&|session: &Session| self.wants(session)).await;
        let Some(peer) = self.peer else { return seen };
        for (driver, session) in std::mem::take(&mut seen.sessions) {
            // One that has no time now is not waited for again.
            if seen.missing.contains(&driver) {
                continue;
            }
            match services.control.session(driver, session.allocation).await {
                Ok(Some(found)) if found.peers.contains(&peer) => seen.sessions.push((driver, session)),
                Ok(_) => {}
                Err(Busy) => seen.missing.push(driver),
            }
        }
        seen
    }

    /// Whether it picks this one, as far as its peers do not matter.
    fn wants(&self, session: &Session) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        is(&self.subject, Some(&session.subject))
            && is(&self.label, session.label.as_deref())
            && is(&self.call, session.call_id.as_deref())
            && self.transport.is_none_or(|transport| session.transport == transport)
            && self.client.is_none_or(|(ip, port)| {
                session.client.ip().to_canonical() == ip.to_canonical()
                    && port.is_none_or(|port| session.client.port() == port)
            })
    }
}

/// Which come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Those with the most bytes per second now.
    Rate,
    /// Those that have relayed most.
    Bytes,
    /// The oldest.
    Age,
}

impl Order {
    fn take(fields: &mut Fields) -> Result<Self, Problem> {
        match fields.any_text("sort", 1..=16)?.as_deref() {
            None | Some("rate") => Ok(Self::Rate),
            Some("bytes") => Ok(Self::Bytes),
            Some("age") => Ok(Self::Age),
            Some(_) => Err(Problem::field("sort", "it must be one of: rate, bytes, age")),
        }
    }

    fn sort(self, sessions: &mut [(usize, Session)]) {
        // Those that are equal keep one order, so that a list does not jump.
        let age = |session: &Session| session.created_at;
        sessions.sort_by_key(|(driver, session)| (age(session), *driver, session.allocation));
        match self {
            Self::Rate => sessions.sort_by_key(|(_, session)| Reverse(session.rate.bytes())),
            Self::Bytes => sessions.sort_by_key(|(_, session)| Reverse(session.traffic.bytes())),
            Self::Age => {}
        }
    }
}

fn read_id(text: &str) -> Option<(usize, AllocationId)> {
    let mut parts = text.split('-');
    let driver = parts.next()?.parse().ok()?;
    let (index, generation) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let allocation = AllocationId { index, generation };
    // One name each: no plus signs, no zeros in front.
    (id_text(driver, allocation) == text).then_some((driver, allocation))
}

#[cfg(test)]
mod tests {
    use super::super::testing::BUSY;
    use super::*;

    #[test]
    fn an_id_is_read_back_and_has_one_spelling() {
        let allocation = AllocationId { index: 17, generation: 3 };
        assert_eq!(id_text(2, allocation), "2-17-3");
        assert_eq!(read_id("2-17-3"), Some((2, allocation)));
        for no in ["", "2-17", "2-17-3-4", "+2-17-3", "02-17-3", "2-17-4294967296", "a-b-c", "2-17-3 "] {
            assert_eq!(read_id(no), None, "{no}");
        }
    }

    #[tokio::test]
    async fn a_worker_without_time_for_an_answer_does_not_deny_a_session() {
        let api = super::super::testing::Api::start();
        for method in ["GET", "DELETE"] {
            let answer = api.local(method, &format!("/v1/sessions/{BUSY}-0-0"), "").await;
            assert_eq!(
                (answer.status, answer.json()["code"].clone()),
                (503, json!("worker_busy")),
                "{method}"
            );
        }
    }

    #[tokio::test]
    async fn a_filter_that_makes_no_sense_is_named_with_what_it_may_be() {
        let api = super::super::testing::Api::start();
        for (query, field) in [
            ("sort=size", "sort"),
            ("limit=0", "limit"),
            ("client=nobody", "client"),
            ("transport=sctp", "transport"),
            ("peer=1.2.3.4%3A5", "peer"),
            ("subject=", "subject"),
            ("user=x", "user"),
        ] {
            let answer = api.local("GET", &format!("/v1/sessions?{query}"), "").await;
            assert_eq!((answer.status, answer.json()["field"].clone()), (400, json!(field)), "{query}");
        }
        assert_eq!(api.local("DELETE", "/v1/sessions", "").await.status, 400, "all of them by mistake");
        assert_eq!(api.local("DELETE", "/v1/sessions/0-0-0", "").await.status, 404);
        assert_eq!(api.local("GET", "/v1/sessions/x", "").await.status, 404);
        let all = api.local("GET", "/v1/sessions?transport=udp&sort=age&limit=5", "").await.json();
        assert_eq!((&all["sessions"], &all["complete"]), (&json!([]), &json!(true)));
    }
}
