//! Who calls.

use super::clock::now;
use super::{Shared, Source};
use crate::auth::token::{Claims, TokenRefused};
use crate::auth::{API_KEY_PREFIX, ApiKey, BrowserSessionId, Scope};
use crate::http::KeySets;
use crate::http::problem::Problem;
use crate::metrics::{Label, SignalingError};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Tokens that may wait for a newer key set. Whoever comes above that comes back later.
const WAITING_MAX: usize = 256;

/// Who calls, in the extensions of each request to the API.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// Somebody on this machine who may open the admin socket.
    Local,
    /// The holder of an API key.
    Key(Arc<ApiKey>),
    /// A person who showed this key to the dashboard, by the cookie of that session.
    Browser {
        /// What they may do.
        key: Arc<ApiKey>,
        session: BrowserSessionId,
    },
    /// A user of an app, by the token that opens signaling to them.
    Token(Arc<Claims>),
}

impl Caller {
    /// Lets through who may do what `scope` allows. A user of an app may do nothing of that: what is there for them
    /// asks for them by name.
    pub(crate) fn must(&self, scope: Scope) -> Result<(), Problem> {
        match self {
            Self::Local => Ok(()),
            Self::Key(key) | Self::Browser { key, .. } if key.may(scope) => Ok(()),
            Self::Key(_) | Self::Browser { .. } => Err(Problem::forbidden(
                format!("this API key lacks the scope `{scope}`"),
                "make a key with it: `turnstone api-key new --scope`",
            )),
            Self::Token(_) => Err(Problem::forbidden(
                format!("this takes an API key with the scope `{scope}`, not a user's token"),
                "call it from your back end, with a key of `turnstone api-key new --scope`",
            )),
        }
    }
}

impl Caller {
    /// Whether it may go on with what it began: its API key was not taken away, and its login is not over.
    pub(super) fn is_good(&self, services: &Shared) -> bool {
        match self {
            Self::Key(key) => services.keys.load().has(&key.id),
            Self::Browser { session, .. } => services.is_logged_in(*session),
            Self::Local | Self::Token(_) => true,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or_else(Problem::internal)
    }
}

/// Judges the tokens of callers, by the keys that signaling judges by.
#[derive(Debug)]
pub struct TokenJudge {
    keys: KeySets,
    waiting: Semaphore,
}

impl TokenJudge {
    /// Judges by `keys`.
    pub fn new(keys: KeySets) -> Self {
        Self { keys, waiting: Semaphore::new(WAITING_MAX) }
    }

    async fn judge(&self, token: &str) -> Result<Claims, Problem> {
        let code = |why: TokenRefused| SignalingError::VALUES[why.code().index()];
        let refused = |why: TokenRefused| Problem::token_refused(code(why), why.sentence());
        match self.keys.current().verify(token, now()) {
            Err(TokenRefused::UnknownKey) => {
                let _place = self.waiting.try_acquire().map_err(|_| busy())?;
                self.keys.verify(token, now()).await.map_err(refused)
            }
            judged => judged.map_err(refused),
        }
    }
}

fn busy() -> Problem {
    let message = "too many tokens wait for the keys of their issuer";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message, "try again").retry_after(2)
}

/// Finds out who calls, or refuses.
pub(super) async fn identify(State(services): State<Shared>, mut request: Request, next: Next) -> Response {
    let source = request.extensions().get().copied();
    // A body cannot be shared with what waits here, so that what is presented is taken along.
    let presented = presented(&request).map(Cow::into_owned);
    match caller(&services, source, presented.as_deref()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        // Who presents nothing guesses nothing and costs nothing, and a judge without time has not judged.
        Err(problem) if presented.is_some() && problem.status() == StatusCode::UNAUTHORIZED => {
            let one_too_many = services.minting.load().guessed(source).err();
            one_too_many.unwrap_or(problem).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

/// The same where people may come by the cookie of a login, too.
pub(super) async fn identify_operator(
    State(services): State<Shared>,
    mut request: Request,
    next: Next,
) -> Response {
    match Caller::by_cookie(&services, request.method(), request.headers()) {
        None => identify(State(services), request, next).await,
        Some(Ok(caller)) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Some(Err(problem)) => problem.into_response(),
    }
}

/// An API key is looked up at no cost, so that a good one is good whoever else guesses at its source. A signature costs
/// something: who presents too many bad ones has no more of them verified for a while.
async fn caller(
    services: &Shared,
    source: Option<Source>,
    presented: Option<&str>,
) -> Result<Caller, Problem> {
    let presented = presented.ok_or_else(Problem::unauthorized)?;
    if presented.starts_with(API_KEY_PREFIX) {
        let keys = services.keys.load();
        return keys.find(presented).cloned().map(Caller::Key).ok_or_else(Problem::unauthorized);
    }
    let judge = services.tokens.as_ref().ok_or_else(Problem::unauthorized)?;
    services.minting.load().may_guess(source)?;
    judge.judge(presented).await.map(|claims| Caller::Token(Arc::new(claims)))
}

/// A key or a token. The TURN REST draft has it in the query, and only there it may be: URLs end up in logs.
fn presented(request: &Request) -> Option<Cow<'_, str>> {
    let in_query = || {
        let query = request.uri().query().filter(|_| request.uri().path() == "/turn")?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let (_, key) = pairs.find(|(name, _)| *name == "key")?;
        percent_decode_str(key).decode_utf8().ok()
    };
    bearer(request.headers()).map(Cow::Borrowed).or_else(in_query)
}

/// What follows `Bearer` in the only Authorization header.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (scheme, token) = values.next()?.to_str().ok()?.split_once(' ')?;
    (values.next().is_none() && scheme.eq_ignore_ascii_case("bearer")).then_some(token.trim())
}
