//! What browsers load from us: files of `web/dist`, which are built from `web/` and committed, embedded in the binary.
//!
//! A file is found once, when its route is made, and its answer is told apart from others by the hash of its bytes.
//! Whoever has it asks again each time and hears 304: a page and its scripts are always of one version.

mod embedded;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::{MethodRouter, get};
use embedded::Embedded;

/// Headers of an answer beside those of every file: names in lower case, and values.
pub(super) type Headers = &'static [(&'static str, &'static str)];

/// Apps import the client from pages of their own.
const FOR_EVERYBODY: Headers =
    &[("access-control-allow-origin", "*"), ("cross-origin-resource-policy", "cross-origin")];

/// The client, with its types.
pub(super) fn sdk<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/sdk/turnstone.js", page("sdk/turnstone.js", FOR_EVERYBODY))
        .route("/sdk/turnstone.d.ts", page("sdk/turnstone.d.ts", FOR_EVERYBODY))
}

/// Serves a file of `web/dist` to GET and HEAD, with `headers` beside its type, its tag and what all files share.
///
/// A document brings its own `Content-Security-Policy` in `headers`; what brings none may load nothing.
pub(super) fn page<S: Clone + Send + Sync + 'static>(
    file: &'static str,
    headers: Headers,
) -> MethodRouter<S> {
    let embedded = Embedded::find(file);
    get(async move |asked: HeaderMap| {
        embedded.map_or_else(embedded::missing, |file| file.answer(&asked, headers))
    })
}

#[cfg(test)]
mod tests;
