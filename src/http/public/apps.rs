//! What stands in front of the API for apps: who asks, behind its proxies, and whether its page may.

use super::Shared;
use super::origin::Judged;
use super::refusals::Reason;
use super::visit::{client_of, preflight};
use crate::http::api::Source;
use crate::http::problem::Problem;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Lets in whom signaling would let in: pages of `signaling.origins`, and whoever is no browser.
pub(super) async fn admit(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let settings = shared.settings.load_full();
    let Some(client) = client_of(&settings, &request) else { return Problem::internal().into_response() };
    let judged = settings.origins().judge(request.headers(), client.is_secure);
    let mut response = match &judged {
        Judged::Refused(origin) => {
            shared.refused.tell(origin);
            shared.sources.public_refusals().count(Reason::Origin);
            foreign_page().into_response()
        }
        _ if request.method() == Method::OPTIONS => preflight(),
        _ => {
            request.extensions_mut().insert(Source(client.address));
            next.run(request).await
        }
    };
    judged.share(response.headers_mut());
    response
}

fn foreign_page() -> Problem {
    let hint = "add its origin to signaling.origins in the config of this server";
    Problem::forbidden("pages of this origin may not ask here", hint)
}
