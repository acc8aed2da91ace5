//! `POST /v1/ice-servers`: what `new RTCPeerConnection(..)` takes, with a credential for it.

use super::clock::rfc3339;
use super::minting::{Minted, Wish, mint};
use super::{Caller, Fields, Shared, Source, answer, body};
use crate::base::Transport;
use crate::http::problem::Problem;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::post;
use axum::{Extension, Router};
use serde::Serialize;

/// Bytes of a user or label; what fits in a username is less, and is told where it matters.
pub(super) const NAME_BYTES_MAX: usize = 4096;

/// Bytes of the id of a call.
const CALL_ID_BYTES_MAX: usize = 64;

/// Every JSON library keeps numbers up to here whole (RFC 8259 section 6).
const WHOLE_MAX: u64 = (1 << 53) - 1;

const TRANSPORTS: [(&str, Transport); 4] =
    [("udp", Transport::Udp), ("tcp", Transport::Tcp), ("tls", Transport::Tls), ("dtls", Transport::Dtls)];

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/v1/ice-servers", post(ice_servers))
}

async fn ice_servers(
    State(services): State<Shared>,
    caller: Caller,
    source: Option<Extension<Source>>,
    body: Body,
) -> Result<Response, Problem> {
    let mut fields = body::fields(body).await?;
    let wish = wish(&services, &mut fields)?;
    fields.done()?;
    let minted = mint(&services, &caller, source.map(|Extension(source)| source), wish)?;
    let answer = Answer {
        ice_servers: IceServer::list(&minted),
        ice_transport_policy: "all",
        ttl: minted.ttl_s,
        expires_at: rfc3339(minted.expires),
        credential_id: &minted.id,
    };
    Ok(secret(StatusCode::CREATED, &answer))
}

fn wish(services: &Shared, fields: &mut Fields) -> Result<Wish, Problem> {
    let mut wish = Wish {
        ttl_s: services.minting.load().ttl(fields, "ttl")?,
        user: fields.text("user", 1..=NAME_BYTES_MAX)?,
        label: fields.text("label", 1..=NAME_BYTES_MAX)?,
        call_id: fields.text("call_id", 1..=CALL_ID_BYTES_MAX)?,
        transports: fields.words("transports", &TRANSPORTS)?,
        ..Wish::default()
    };
    if let Some(mut limits) = fields.object("limits")? {
        wish.allocations = limits.whole("allocations", 1..=u64::from(u32::MAX), "")?;
        wish.bits_per_second = limits.whole("bandwidth_bps", 1..=WHOLE_MAX, " (bit/s of relayed payload)")?;
        limits.done()?;
    }
    Ok(wish)
}

/// Exactly the members that the WebRTC API has.
#[derive(Serialize)]
pub(super) struct IceServer<'a> {
    urls: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<&'a str>,
}

impl<'a> IceServer<'a> {
    /// At most one for STUN and one for TURN.
    pub(super) fn list(minted: &'a Minted) -> Vec<Self> {
        let stun: Vec<_> = minted.stun_urls().collect();
        let turn = Self::with(minted, minted.turn_urls().collect());
        let stun = (!stun.is_empty()).then_some(Self { urls: stun, username: None, credential: None });
        stun.into_iter().chain([turn]).collect()
    }

    /// One with a credential.
    pub(super) fn with(minted: &'a Minted, urls: Vec<&'a str>) -> Self {
        Self { urls, username: Some(&minted.username), credential: Some(minted.password.expose()) }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    ice_servers: Vec<IceServer<'a>>,
    ice_transport_policy: &'a str,
    ttl: u64,
    expires_at: String,
    credential_id: &'a str,
}

/// An answer that nobody on the way may keep.
pub(super) fn secret(status: StatusCode, value: &impl Serialize) -> Response {
    let mut response = answer::json(status, value);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
#[path = "minting_tests.rs"]
mod tests;
