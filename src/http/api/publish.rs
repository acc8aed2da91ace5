//! `POST /v1/publish`: an event of the app's back end for a user or a room.

use super::{Caller, Fields, Shared, answer, body};
use crate::auth::Scope;
use crate::http::problem::Problem;
use crate::http::signaling::{Door, Question};
use crate::metrics::SignalingError;
use crate::signaling::{BackEndEvent, Goal, Refusal};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use serde_json::json;
use std::borrow::Cow;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Bytes of a body: a client's event has as many.
const BODY_BYTES_MAX: usize = 64 << 10;
/// How long the signaling thread may take; it answers within milliseconds.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/v1/publish", post(publish))
}

/// `{"to": {"user"|"room": ..}, "event": .., "data": .., "class": ..}`; `sessions`: how many it was queued for.
async fn publish(State(services): State<Shared>, caller: Caller, body: Body) -> Result<Response, Problem> {
    caller.must(Scope::Mint)?;
    let mut fields = Fields::json(&body::bytes(body, BODY_BYTES_MAX).await?)?;
    let to = fields.object("to")?;
    let mut to = fields.required("to", to, "an object with `user` or `room`")?;
    let to = match (to.text("user", 1..=128)?, to.text("room", 1..=128)?) {
        (Some(user), None) => Goal::User(user.into()),
        (None, Some(room)) => Goal::Room(room.into()),
        _ => return Err(Problem::field("to", "`to` must have `user` or `room`, and not both")),
    };
    let name = fields.text("event", 1..=64)?;
    let name = fields.required("event", name, "the name of the event")?.into();
    let data = fields.any("data").map_or_else(|| "null".into(), |data| data.to_string().into());
    let class = fields.text("class", 1..=16)?.map(Into::into);
    fields.done()?;
    let (answer, told) = oneshot::channel();
    let event = BackEndEvent { to, name, data, class };
    let sessions = ask(services.signaling.as_ref(), Question::Publish(event, answer), told).await?;
    Ok(answer::json(StatusCode::OK, &json!({ "sessions": sessions })))
}

/// Asks the signaling thread, for a while.
pub(super) async fn ask<T>(
    door: Option<&Door>,
    question: Question,
    told: oneshot::Receiver<Result<T, Refusal>>,
) -> Result<T, Problem> {
    let door = door.ok_or_else(|| unavailable("signaling is off (`signaling.enabled`)"))?;
    door.ask(question).map_err(|_| unavailable("the signaling thread has too much to do"))?;
    match timeout(ANSWERS_WITHIN, told).await {
        Ok(Ok(result)) => result.map_err(refused),
        _ => Err(unavailable("the signaling thread does not answer")),
    }
}

fn unavailable(why: &'static str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "signaling_busy", why, "try again in a second")
        .retry_after(1)
}

fn refused(refusal: Refusal) -> Problem {
    let (code, Refusal { message, retry_after_ms, .. }) = (refusal.code_text(), refusal.clone());
    match refusal.code {
        SignalingError::NotFound => {
            Problem::new(StatusCode::NOT_FOUND, code, message, "see who is there first")
        }
        SignalingError::RateLimited => {
            let seconds = retry_after_ms.unwrap_or(1_000).div_ceil(1_000);
            let status = StatusCode::TOO_MANY_REQUESTS;
            Problem::new(status, code, message, "send fewer").retry_after(seconds)
        }
        SignalingError::BadRequest | SignalingError::TooLarge => Problem::field(field_of(&message), message),
        _ => Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, message, "try again later"),
    }
}

/// The hub speaks of the field that a client calls `name`.
fn field_of(message: &str) -> Cow<'static, str> {
    let named = message.strip_prefix('`').and_then(|rest| rest.split('`').next());
    Cow::Owned(named.map_or("body", |name| if name == "name" { "event" } else { name }).to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Api;
    use super::*;

    #[tokio::test]
    async fn both_take_the_scope_mint_and_say_when_signaling_is_off() {
        let api = Api::start();
        let event = r#"{"to":{"user":"bob"},"event":"x"}"#;
        let (mint, read) = (api.key(&[Scope::Mint]), api.key(&[Scope::Read]));
        for (method, path, body) in [("POST", "/v1/publish", event), ("GET", "/v1/presence?users=bob", "")] {
            assert_eq!(api.app(&read, method, path, body).await.status, 403, "{path}");
            assert_eq!(api.app(&mint, method, path, body).await.status, 503, "{path}");
            assert_eq!(api.operator(&mint, method, path, body).await.status, 503, "{path}");
            assert_eq!(api.local(method, path, body).await.status, 503, "{path}");
        }
    }
}
