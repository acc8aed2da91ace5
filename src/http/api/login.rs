//! `/v1/login`, on `http.admin` alone: a person shows an API key once, and their browser goes by a cookie from then on.
//!
//! A page of another origin can have its visitor's browser send requests with that cookie. It is told nothing, since no
//! answer is shared with other origins; and it can change nothing, since that takes a header whose value only our own
//! page was told.

use super::clock::rfc3339;
use super::{Caller, Services, Shared, Source, answer, body};
use crate::auth::{
    API_KEY_PREFIX, ApiKey, BROWSER_SESSION_AGE, BrowserSession, BrowserSessionId, BrowserSessions, Scope,
};
use crate::http::problem::Problem;
use crate::http::public::is_foreign;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use serde_json::json;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How the name of the cookie begins.
const COOKIE: &str = "turnstone_session";

/// Where a request that changes something repeats what the page was told.
const CSRF: &str = "x-csrf-token";

/// Bytes of a key as it is typed.
const KEY_BYTES_MAX: usize = 256;

/// Who is logged in.
#[derive(Debug, Default)]
pub struct Logins(Mutex<BrowserSessions>);

impl Logins {
    fn sessions(&self) -> MutexGuard<'_, BrowserSessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/v1/login", get(show).post(log_in).delete(log_out))
}

async fn log_in(
    State(services): State<Shared>,
    source: Option<Extension<Source>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    own_page(&headers)?;
    let mut fields = body::fields(body).await?;
    let key = fields.text("key", 1..=KEY_BYTES_MAX)?;
    let key = fields.required("key", key, "an API key with the scope `admin`")?;
    fields.done()?;
    let found = services.keys.load().find(&key).filter(|_| key.starts_with(API_KEY_PREFIX)).cloned();
    let Some(key) = found else {
        services.minting.load().guessed(source.map(|Extension(source)| source))?;
        return Err(wrong_key());
    };
    if !key.may(Scope::Admin) {
        return Err(lacks_admin());
    }
    Ok(begin(&services, key, &headers))
}

fn begin(services: &Services, key: Arc<ApiKey>, headers: &HeaderMap) -> Response {
    let (cookie, csrf) = (services.ids.bytes(), services.ids.bytes());
    let (cookie, session) = services.logins.sessions().begin(services.control.now(), key, cookie, csrf);
    with_cookie(told(&session), &cookie, BROWSER_SESSION_AGE.as_secs(), headers)
}

async fn show(State(services): State<Shared>, headers: HeaderMap) -> Result<Response, Problem> {
    let session = live(&services, &Method::GET, &headers).unwrap_or_else(|| Err(logged_out()))?;
    Ok(told(&session))
}

async fn log_out(State(services): State<Shared>, headers: HeaderMap) -> Result<Response, Problem> {
    let session = live(&services, &Method::DELETE, &headers).unwrap_or_else(|| Err(logged_out()))?;
    services.logins.sessions().end(session.id);
    Ok(with_cookie(StatusCode::NO_CONTENT.into_response(), "", 0, &headers))
}

impl Services {
    /// Whether a session goes on.
    pub(super) fn is_logged_in(&self, session: BrowserSessionId) -> bool {
        self.logins.sessions().is_live(self.control.now(), session, &self.keys.load())
    }
}

impl Caller {
    /// Who comes by a cookie; `None` when there is no such cookie, or something else says who calls.
    pub(super) fn by_cookie(
        services: &Services,
        method: &Method,
        headers: &HeaderMap,
    ) -> Option<Result<Self, Problem>> {
        if headers.contains_key(header::AUTHORIZATION) {
            return None;
        }
        let session = live(services, method, headers)?;
        Some(session.map(|session| Self::Browser { key: session.key, session: session.id }))
    }
}

/// The live session of the cookie in `headers`, which may do what `method` does; `None` when there is no cookie of ours.
fn live(
    services: &Services,
    method: &Method,
    headers: &HeaderMap,
) -> Option<Result<BrowserSession, Problem>> {
    let mut cookies = cookies(headers).peekable();
    cookies.peek()?;
    let (now, keys) = (services.control.now(), services.keys.load());
    let mut sessions = services.logins.sessions();
    let session = cookies.find_map(|cookie| sessions.find(now, cookie, &keys).cloned());
    drop(sessions);
    let session = session.ok_or_else(logged_out);
    Some(session.and_then(|session| own_page(headers).and_then(|()| may(session, method, headers))))
}

fn may(session: BrowserSession, method: &Method, headers: &HeaderMap) -> Result<BrowserSession, Problem> {
    let csrf = headers.get(CSRF).map(HeaderValue::as_bytes).unwrap_or_default();
    match method.is_safe() || session.has_csrf(csrf) {
        true => Ok(session),
        false => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "csrf",
            "a change by cookie needs the text that this login came with",
            "send `csrf` of GET /v1/login as the header X-CSRF-Token",
        )),
    }
}

/// The name of the cookie at this address: browsers tell hosts apart and not ports, and several daemons are looked at by
/// `localhost`.
fn cookie_name(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let port = host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    port.map_or_else(|| COOKIE.into(), |port| format!("{COOKIE}_{port}"))
}

/// RFC 6265 section 5.4. A browser may have more than one of our name, for other paths.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let ours = cookie_name(headers);
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(name, _)| *name == ours).map(|(_, value)| value)
}

fn own_page(headers: &HeaderMap) -> Result<(), Problem> {
    match is_foreign(headers) {
        false => Ok(()),
        true => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            "the request comes from a page of another origin",
            "use the page of this very address; a proxy in front has to pass Host on as it is",
        )),
    }
}

/// The admin side itself speaks no TLS. Behind a proxy that does, the origin of the page says so.
fn is_secure(headers: &HeaderMap) -> bool {
    let origin = headers.get(header::ORIGIN).map(HeaderValue::as_bytes);
    origin.is_some_and(|origin| origin.starts_with(b"https://"))
}

fn told(session: &BrowserSession) -> Response {
    let answer = json!({ "csrf": session.csrf, "expires_at": rfc3339(session.expires) });
    answer::json(StatusCode::OK, &answer)
}

/// `value`: base64url, or nothing.
fn with_cookie(mut response: Response, value: &str, age_s: u64, headers: &HeaderMap) -> Response {
    let (name, secure) = (cookie_name(headers), if is_secure(headers) { "; Secure" } else { "" });
    let cookie = format!("{name}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={age_s}{secure}");
    let cookie = HeaderValue::try_from(cookie).expect("base64url and words of ours");
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

fn wrong_key() -> Problem {
    let hint = "make one: `turnstone api-key new --name dashboard --scope admin`; those there are: `turnstone api-key list`";
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "this API key is not good here", hint).at("key")
}

fn lacks_admin() -> Problem {
    let hint = "make one with it: `turnstone api-key new --name dashboard --scope admin`";
    Problem::forbidden("this API key lacks the scope `admin`, which the dashboard needs", hint).at("key")
}

fn logged_out() -> Problem {
    let message = "nobody is logged in by this cookie, or not any more";
    Problem::new(StatusCode::UNAUTHORIZED, "logged_out", message, "log in: POST /v1/login with an API key")
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
