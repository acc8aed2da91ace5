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

/// The test page. It loads nothing from elsewhere, runs and styles nothing that is not a file of ours, and is in
/// nobody's frame; cameras and pictures that it draws itself are its media.
pub(super) fn test<S: Clone + Send + Sync + 'static>() -> Router<S> {
    const DOCUMENT: Headers = &[(
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
    )];
    Router::new()
        .route("/test", page("test/index.html", DOCUMENT))
        .route("/test/test.js", page("test/test.js", &[]))
        .route("/test/test.css", page("test/test.css", &[]))
        .route("/test/THIRD-PARTY.txt", page("test/THIRD-PARTY.txt", &[]))
}

/// The page of who runs the daemon. It asks nobody but the daemon, and nothing in it can become a script.
pub(super) fn dashboard<S: Clone + Send + Sync + 'static>() -> Router<S> {
    const DOCUMENT: Headers = &[(
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
    )];
    Router::new()
        .route("/", page("dashboard/index.html", DOCUMENT))
        .route("/assets/dashboard.js", page("dashboard/dashboard.js", &[]))
        .route("/assets/dashboard.css", page("dashboard/dashboard.css", &[]))
        .route("/assets/THIRD-PARTY.txt", page("dashboard/THIRD-PARTY.txt", &[]))
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
