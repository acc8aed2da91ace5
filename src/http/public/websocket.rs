//! From an HTTP request to a bare WebSocket connection (RFC 6455 section 4.2).

use super::refusal::Refusal;
use crate::http::signaling::{Arrival, Place as Seat, Request, Wire};
use crate::net::tls::{HandedOver, TlsStream};
use crate::wire::websocket::{VERSION, accept_key, has_token, tokens};
use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use axum::response::Response;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

/// What is spoken at `/ws`.
pub(super) const SUBPROTOCOL: &str = "turnstone.v1.json";

type HttpRequest = axum::extract::Request;

/// Whether a request asks for a WebSocket. HTTP/1.0 cannot (RFC 9110 section 7.8).
pub(super) fn is_asked_for(request: &HttpRequest) -> bool {
    request.version() == Version::HTTP_11 && lists(request.headers(), &header::UPGRADE, "websocket")
}

/// The value of `Sec-WebSocket-Accept` for a handshake that is right; it asks for a WebSocket.
pub(super) fn check(request: &HttpRequest) -> Result<HeaderValue, Refusal> {
    let headers = request.headers();
    // Bytes that belong to a body would else be taken for frames.
    if !lists(headers, &header::CONNECTION, "upgrade") || request.body().size_hint().exact() != Some(0) {
        return Err(Refusal::Handshake);
    }
    if single(headers, &header::SEC_WEBSOCKET_VERSION) != Some(VERSION) {
        return Err(Refusal::WebSocketVersion);
    }
    let accept = single(headers, &header::SEC_WEBSOCKET_KEY).and_then(accept_key);
    accept.and_then(|accept| accept.try_into().ok()).ok_or(Refusal::Handshake)
}

/// Whether the client offers the subprotocol of plain clients.
pub(super) fn offers_plain(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter();
    lines.filter_map(|line| line.to_str().ok()).flat_map(tokens).any(|offer| offer == SUBPROTOCOL)
}

/// Answers with 101, and sends the connection by `place` once that is written. No extension is taken.
pub(super) fn switch(
    mut request: HttpRequest,
    accept: HeaderValue,
    about: Arrival,
    wire: Wire,
    place: Seat,
) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    // It ends with the connection's task, which resolves it one way or the other.
    tokio::spawn(async move {
        let connection = upgrade.await.ok().and_then(out_of_http);
        if let Some(connection) = connection {
            place.send(Request::WebSocket { about, wire, connection });
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if wire == Wire::Plain {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    response
}

/// The connection, with the bytes that came behind the request.
fn out_of_http(upgraded: Upgraded) -> Option<HandedOver> {
    let parts = upgraded.downcast::<TokioIo<TlsStream>>().ok()?;
    parts.io.into_inner().into_handed_over(&parts.read_buf).ok()
}

fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.into_iter().any(|line| has_token(line, token))
}

fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut all = headers.get_all(name).into_iter();
    all.next().filter(|_| all.next().is_none())?.to_str().ok()
}
