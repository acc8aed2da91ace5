//! The same credentials in the words of others, so that apps made for them change their URL alone: the TURN REST draft
//! (draft-uberti-behave-turn-rest-00, which Matrix servers speak too) and Cloudflare's.

use super::ice_servers::{IceServer, NAME_BYTES_MAX, secret};
use super::minting::{Minted, Wish, mint};
use super::{Caller, Fields, Path, Shared, Source, body};
use crate::http::problem::Problem;
use crate::http::server::HEADER_BYTES_MAX;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde_json::json;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/turn", get(turn).post(turn))
        .route("/v1/turn/keys/{id}/credentials/generate-ice-servers", post(ice_servers))
        .route("/v1/turn/keys/{id}/credentials/generate", post(one_ice_server))
}

type From = Option<Extension<Source>>;

fn source(from: From) -> Option<Source> {
    from.map(|Extension(source)| source)
}

/// Parameters in the query, or in the form of a POST that has no query.
async fn turn(
    State(services): State<Shared>,
    caller: Caller,
    from: From,
    method: Method,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Problem> {
    let mut fields = match query {
        None if method == Method::POST => body::form(body).await?,
        query => Fields::query(query.unwrap_or_default().as_bytes())?,
    };
    let service = fields.text("service", 1..=64)?;
    if service.is_some_and(|service| service != "turn") {
        return Err(Problem::field("service", "`service` must be turn"));
    }
    // The key of the draft; who calls has been found out by it.
    fields.any_text("key", 1..=HEADER_BYTES_MAX)?;
    let ttl_s = services.minting.load().ttl(&mut fields, "ttl")?;
    let wish = Wish { ttl_s, user: fields.text("username", 1..=NAME_BYTES_MAX)?, ..Wish::default() };
    fields.done()?;
    let minted = mint(&services, &caller, source(from), wish)?;
    let uris: Vec<_> = minted.turn_urls().collect();
    let (username, password) = (&minted.username, minted.password.expose());
    let answer = json!({ "username": username, "password": password, "ttl": minted.ttl_s, "uris": uris });
    Ok(secret(StatusCode::OK, &answer))
}

async fn ice_servers(
    State(services): State<Shared>,
    caller: Caller,
    from: From,
    Path(id): Path,
    body: Body,
) -> Result<Response, Problem> {
    let minted = cloudflare(&services, &caller, source(from), &id, body).await?;
    Ok(secret(StatusCode::CREATED, &json!({ "iceServers": IceServer::list(&minted) })))
}

/// The older call: one object in place of the list.
async fn one_ice_server(
    State(services): State<Shared>,
    caller: Caller,
    from: From,
    Path(id): Path,
    body: Body,
) -> Result<Response, Problem> {
    let minted = cloudflare(&services, &caller, source(from), &id, body).await?;
    let urls = minted.stun_urls().chain(minted.turn_urls()).collect();
    Ok(secret(StatusCode::CREATED, &json!({ "iceServers": IceServer::with(&minted, urls) })))
}

/// `id`: theirs names a TURN key beside the token, ours is the id of the API key itself.
async fn cloudflare(
    services: &Shared,
    caller: &Caller,
    source: Option<Source>,
    id: &str,
    body: Body,
) -> Result<Minted, Problem> {
    if !matches!(caller, Caller::Key(key) if *key.id == *id) {
        return Err(Problem::not_found(
            "the id in the path is that of the API key: `turnstone api-key list`",
        ));
    }
    let mut fields = body::fields(body).await?;
    let ttl_s = services.minting.load().ttl(&mut fields, "ttl")?;
    let user = fields.text("customIdentifier", 1..=NAME_BYTES_MAX)?;
    fields.done()?;
    mint(services, caller, source, Wish { ttl_s, user, ..Wish::default() })
}
