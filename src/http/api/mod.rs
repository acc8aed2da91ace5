//! The API under `/v1`: on `http.public` and every `tls` door for apps, on `http.admin` and the admin socket for
//! operators. One set of handlers; who calls is found out once, in front of all of them.

pub(crate) mod answer;
pub(crate) mod body;
mod caller;
mod calls;
pub(crate) mod clock;
mod copies;
mod desk;
mod events;
mod facades;
mod failures;
mod feed;
mod fields;
mod figures;
mod ice_servers;
mod ids;
mod kept;
mod keys;
mod leftover;
mod limiter;
mod login;
mod mint_counts;
mod minting;
mod openapi;
mod participants;
mod path;
mod presence;
mod publish;
mod revocations;
mod seconds;
mod services;
mod session_json;
mod sessions;
mod steering;
#[cfg(test)]
mod testing;
mod times;
mod usage;
mod users;
mod whole;

pub(crate) use caller::Caller;
pub use caller::TokenJudge;
pub use calls::call_json;
pub use desk::Desk;
pub use feed::{EventKind, Events};
pub(crate) use fields::Fields;
pub use ids::Ids;
pub use kept::Kept;
pub use login::Logins;
pub use mint_counts::MintCounts;
pub use minting::{MintSettings, Minting, longest_life};
pub use participants::TokenSigner;
pub(crate) use path::Path;
pub use revocations::Orders;
pub use seconds::{DoorName, Seconds, published};
pub use services::{Busy, Coming, Control, Seen, Services};
pub use session_json::session_json;
pub use steering::{Fault, Reloaded, Steering};
pub use usage::{HOURS_KEPT, MINUTES_KEPT};
pub use users::Users;

use axum::Router;
use axum::middleware::from_fn_with_state;
use std::net::IpAddr;
use std::sync::Arc;

/// From where a request comes, in its extensions where that counts: on the public and the admin side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source(pub(crate) IpAddr);

/// What handlers share.
pub(crate) type Shared = Arc<Services>;

/// Routes for apps: `http.public` and `tls` doors.
pub(crate) fn public_routes(services: &Shared) -> Router {
    let routes = Router::new().merge(ice_servers::routes()).merge(facades::routes()).merge(back_end());
    let routes = routes.merge(participants::routes());
    let routes = routes.layer(from_fn_with_state(services.clone(), caller::identify));
    routes.merge(openapi::routes()).with_state(services.clone())
}

/// Routes for operators on `http.admin`, where a caller needs an API key or the cookie of a login with one.
pub(crate) fn admin_routes(services: &Shared) -> Router {
    let routes = operators();
    let routes = routes.layer(from_fn_with_state(services.clone(), caller::identify_operator));
    routes.merge(login::routes()).merge(openapi::routes()).with_state(services.clone())
}

/// The same routes, and those of the command line alone, on the admin socket: who can open it may do everything.
pub(crate) fn socket_routes(services: &Shared) -> Router {
    let routes = operators().merge(steering::orders()).merge(copies::routes());
    routes.layer(axum::Extension(Caller::Local)).with_state(services.clone())
}

fn operators() -> Router<Shared> {
    Router::new()
        .merge(keys::routes())
        .merge(revocations::routes())
        .merge(steering::routes())
        .merge(figures::routes())
        .merge(usage::routes())
        .merge(events::routes())
        .merge(calls::routes())
        .merge(users::routes())
        .merge(sessions::routes())
        .merge(back_end())
}

/// What the app's back end says to clients, and asks about them.
fn back_end() -> Router<Shared> {
    Router::new().merge(publish::routes()).merge(presence::routes())
}
