//! `GET /v1/presence?users=a,b` or `?room=r`: who is online, for the app's back end.

use super::clock::rfc3339;
use super::publish::ask;
use super::{Caller, Fields, Shared, answer};
use crate::auth::Scope;
use crate::base::UnixTime;
use crate::http::problem::Problem;
use crate::http::signaling::Question;
use crate::signaling::Whose;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::Value;
use tokio::sync::oneshot;

/// Bytes of all names: 256 of the longest.
const USERS_BYTES_MAX: usize = 256 * 129;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/v1/presence", get(presence))
}

/// `users`: by name `online, devices, last_seen, status, meta`.
async fn presence(
    State(services): State<Shared>,
    caller: Caller,
    mut fields: Fields,
) -> Result<Response, Problem> {
    caller.must(Scope::Mint)?;
    let users = fields.text("users", 1..=USERS_BYTES_MAX)?;
    let room = fields.text("room", 1..=128)?;
    fields.done()?;
    let whose = match (users, room) {
        (Some(users), None) => Whose::Users(users.split(',').map(Box::from).collect()),
        (None, Some(room)) => Whose::Room(room.into()),
        _ => {
            return Err(Problem::field(
                "users",
                "`users` (up to 256, with commas between) or `room` must be given, and not both",
            ));
        }
    };
    let (answer, told) = oneshot::channel();
    let text = ask(services.signaling.as_ref(), Question::Presence(whose, answer), told).await?;
    let mut told: Value = serde_json::from_str(&text).map_err(|_| Problem::internal())?;
    let users = told["users"].as_object_mut().into_iter().flat_map(|users| users.values_mut());
    for user in users {
        // Clients read milliseconds; the API writes times as text.
        if let Some(ms) = user["last_seen"].as_u64() {
            user["last_seen"] = rfc3339(UnixTime(ms / 1_000)).into();
        }
    }
    Ok(answer::json(StatusCode::OK, &told))
}
