//! Who calls.

use super::Shared;
use crate::auth::{API_KEY_PREFIX, ApiKey, Scope};
use crate::http::problem::Problem;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Who calls, in the extensions of each request to the API.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// Somebody on this machine who may open the admin socket.
    Local,
    /// The holder of an API key.
    Key(Arc<ApiKey>),
}

impl Caller {
    /// Lets through who may do what `scope` allows.
    pub(crate) fn must(&self, scope: Scope) -> Result<(), Problem> {
        match self {
            Self::Local => Ok(()),
            Self::Key(key) if key.may(scope) => Ok(()),
            Self::Key(_) => Err(Problem::forbidden(
                format!("this API key lacks the scope `{scope}`"),
                "make a key with it: `turnstone api-key new --scope`",
            )),
        }
    }
}

/// Finds out who calls, or refuses.
pub(super) async fn identify(State(services): State<Shared>, mut request: Request, next: Next) -> Response {
    let key = bearer(request.headers()).filter(|token| token.starts_with(API_KEY_PREFIX));
    let caller = key.and_then(|key| services.keys.load().find(key).cloned()).map(Caller::Key);
    match caller {
        Some(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        None => Problem::unauthorized().into_response(),
    }
}

/// What follows `Bearer` in the only Authorization header.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (scheme, token) = values.next()?.to_str().ok()?.split_once(' ')?;
    (values.next().is_none() && scheme.eq_ignore_ascii_case("bearer")).then_some(token.trim())
}
