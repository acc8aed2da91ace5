//! One attempt to fetch a key set.

use super::super::web_client::{WebClient, WebError};
use super::KeySetUrl;
use crate::auth::token::{BadKeySet, KeySet};
use axum::http::header::{ACCEPT, CACHE_CONTROL, LOCATION, USER_AGENT};
use axum::http::{HeaderMap, Request, StatusCode};
use std::fmt;
use std::time::Duration;

/// A key set, and for how long its issuer calls it fresh.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) keys: KeySet,
    pub(super) max_age: Option<Duration>,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum FetchFailed {
    Web(WebError),
    Status(StatusCode),
    /// To follow it could mean to take keys from somewhere that nobody named.
    Redirected(Option<String>),
    Bad(BadKeySet),
}

impl fmt::Display for FetchFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Web(error) => error.fmt(f),
            Self::Status(status) => write!(f, "the server answers {status}"),
            Self::Redirected(Some(to)) => write!(f, "redirects are not followed; write this URL: {to}"),
            Self::Redirected(None) => f.write_str("redirects are not followed; write the last URL"),
            Self::Bad(error) => error.fmt(f),
        }
    }
}

pub(super) async fn fetch(
    client: &WebClient,
    url: &KeySetUrl,
    timeout: Duration,
) -> Result<Fetched, FetchFailed> {
    let mut request = Request::new(Default::default());
    *request.uri_mut() = url.uri().clone();
    let headers = request.headers_mut();
    headers
        .insert(ACCEPT, axum::http::HeaderValue::from_static("application/jwk-set+json, application/json"));
    headers.insert(USER_AGENT, axum::http::HeaderValue::from_static("turnstone"));
    let answer = client.send(request, KeySet::BYTES_MAX, timeout).await.map_err(FetchFailed::Web)?;
    match answer.status() {
        StatusCode::OK => {}
        status if status.is_redirection() => {
            let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            return Err(FetchFailed::Redirected(to.map(|to| to.chars().take(200).collect())));
        }
        status => return Err(FetchFailed::Status(status)),
    }
    let keys = KeySet::parse(answer.body()).map_err(FetchFailed::Bad)?;
    Ok(Fetched { keys, max_age: max_age(answer.headers()) })
}

/// RFC 9111 section 5.2.2: the least `max-age`, or nothing where it may not be kept at all.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let seconds = values.flat_map(|value| value.split(',')).filter_map(|directive| {
        let (name, value) = directive.trim().split_once('=').unwrap_or((directive.trim(), ""));
        match name.to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => Some(0),
            // Section 1.2.2: a number too large is the largest.
            "max-age" => {
                let digits = value.trim_matches('"');
                let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                is_number.then(|| digits.parse().unwrap_or(u64::MAX))
            }
            _ => None,
        }
    });
    seconds.min().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // RFC 9111 section 5.2.2
    fn the_time_is_read_from_cache_control() {
        for (values, seconds) in [
            (&["max-age=300"][..], Some(300)),
            (&["public, max-age=300, must-revalidate"], Some(300)),
            (&["public", "Max-Age=\"7\""], Some(7)),
            (&["max-age=300, max-age=20"], Some(20)),
            (&["max-age=300, no-store"], Some(0)),
            (&["no-cache=\"x\", max-age=300"], Some(0)),
            (&["max-age=99999999999999999999999"], Some(u64::MAX)),
            (&["s-maxage=300"], None),
            (&["max-age=-1"], None),
            (&["max-age="], None),
            (&["max-age"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CACHE_CONTROL, value.parse().expect("a header"));
            }
            assert_eq!(max_age(&headers), seconds.map(Duration::from_secs), "{values:?}");
        }
    }
}
