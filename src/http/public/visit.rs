//! One request to signaling: judged as far as HTTP goes, handed on, answered.

use super::body::{self, ARRIVES_WITHIN};
use super::origin::Judged;
use super::proxies::{Client, Peer};
use super::refusal::Refusal;
use super::refusals::Reason;
use super::{PublicSettings, Shared, SignalingRules, token, websocket};
use crate::http::problem::Problem;
use crate::http::signaling::{Answer, Arrival, Busy, Door, Request, Wire};
use crate::wire::engine_io::{Query, Reject, Transport};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// An answer has come by then: the longest poll, and time enough for a thread that has a lot to do.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// How long one request can take.
pub(super) const REQUEST_MAX: Duration = ARRIVES_WITHIN.saturating_add(ANSWERED_WITHIN);

/// The longest `sid` that can be one of ours, and some.
const SID_BYTES_MAX: usize = 64;

/// How long a browser may remember what it may send, in seconds.
const PREFLIGHT_AGE_S: &str = "600";

type HttpRequest = axum::extract::Request;

/// Which path was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// One of `signaling.socketio_paths`, by its index.
    EngineIo(u16),
    /// `/ws`.
    Plain,
}

/// Answers a request at `place`.
pub(super) async fn visit(State(shared): State<Arc<Shared>>, place: Place, request: HttpRequest) -> Response {
    let settings: Arc<PublicSettings> = shared.settings.load_full();
    let (Some(rules), Some(door)) = (&settings.signaling, &shared.door) else {
        return Problem::not_found("signaling is switched off").into_response();
    };
    let Some(client) = client_of(&settings, &request) else { return Problem::internal().into_response() };
    let judged = rules.origins.judge(request.headers(), client.is_secure);
    let answered = match &judged {
        Judged::Refused(origin) => {
            shared.refused.tell(origin);
            Err(Refusal::Origin(origin.clone()))
        }
        Judged::None | Judged::Allowed { .. } => {
            Visit { place, rules, door, client, judged: &judged }.answer(request).await
        }
    };
    let mut response = answered.unwrap_or_else(|refusal| {
        shared.sources.public_refusals().count(Reason::from(&refusal));
        refusal.into_response()
    });
    judged.share(response.headers_mut());
    response
}

/// Who asks, behind its proxies.
pub(super) fn client_of(settings: &PublicSettings, request: &HttpRequest) -> Option<Client> {
    let peer = request.extensions().get::<Peer>()?;
    let mut client = peer.client(request.headers(), &settings.trusted_proxies);
    if client.address.is_loopback() && peer.is_trusted(&settings.trusted_proxies) {
        // Clients on this host are exempt from limits per source, and its proxy is none of them: whom it does not
        // name, or names in two ways, has one source together with all others like that.
        client.address = Ipv4Addr::UNSPECIFIED.into();
    }
    Some(client)
}

/// A request of a client that may connect.
struct Visit<'v> {
    place: Place,
    rules: &'v SignalingRules,
    door: &'v Door,
    client: Client,
    judged: &'v Judged,
}

impl Visit<'_> {
    async fn answer(self, request: HttpRequest) -> Result<Response, Refusal> {
        let is_upgrade = websocket::is_asked_for(&request);
        match (request.method(), self.place) {
            (&Method::OPTIONS, _) => Ok(preflight()),
            (&Method::GET, _) if is_upgrade => self.upgrade(request),
            (&Method::GET, Place::EngineIo(_)) => self.poll(request).await,
            (&Method::GET, Place::Plain) => Err(Refusal::NoUpgrade),
            (&Method::POST, Place::EngineIo(_)) => self.post(request).await,
            (_, Place::EngineIo(_)) => Err(Refusal::Engine(Reject::BadHandshakeMethod)),
            _ => Err(Refusal::Method),
        }
    }

    fn upgrade(self, request: HttpRequest) -> Result<Response, Refusal> {
        let wire = match self.place {
            Place::EngineIo(_) => Wire::EngineIo,
            Place::Plain => Wire::Plain,
        };
        if wire == Wire::EngineIo {
            engine_query(&request, Transport::WebSocket)?;
        } else if !websocket::offers_plain(request.headers()) {
            return Err(Refusal::Subprotocol);
        }
        let accept = websocket::check(&request)?;
        let about = self.arrival(&request);
        // Taken before the 101, which cannot be taken back.
        let place = self.door.try_reserve().map_err(|Busy| Refusal::Busy)?;
        Ok(websocket::switch(request, accept, about, wire, place))
    }

    async fn poll(self, request: HttpRequest) -> Result<Response, Refusal> {
        let sid = engine_query(&request, Transport::Polling)?.map(Box::from);
        let about = self.arrival(&request);
        let mut watch = PollWatch { door: self.door, sid };
        let answered = self.ask(|reply| Request::Get { about, reply }).await;
        watch.sid = None;
        answered
    }

    async fn post(self, request: HttpRequest) -> Result<Response, Refusal> {
        if !is_text(request.headers()) {
            return Err(Refusal::ContentType);
        }
        let about = self.arrival(&request);
        let max = body::bytes_max(self.rules.message_bytes_max as u64) as usize;
        let body = body::read(request.into_body(), max, ARRIVES_WITHIN).await?;
        self.ask(|reply| Request::Post { about, body, reply }).await
    }

    /// Hands a request on and waits for its answer. Dropped meanwhile, as the connection of a client that goes away
    /// is, it closes the way of the answer.
    async fn ask(
        &self,
        request: impl FnOnce(oneshot::Sender<Answer>) -> Request,
    ) -> Result<Response, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.door.try_send(request(reply)).map_err(|Busy| Refusal::Busy)?;
        let answered = timeout(ANSWERED_WITHIN, answer).await.ok().and_then(Result::ok);
        answered.map(written).ok_or(Refusal::Busy)
    }

    fn arrival(&self, request: &HttpRequest) -> Arrival {
        let (headers, query) = (request.headers(), query_of(request));
        let cookies = self.judged.may_use_cookies(headers);
        Arrival {
            client: self.client.address,
            secure: self.client.is_secure,
            origin: self.judged.origin(),
            mount: match self.place {
                Place::EngineIo(mount) => mount,
                Place::Plain => 0,
            },
            query: query.into(),
            token: token::find(headers, query, &self.rules.tokens, cookies),
        }
    }
}

/// Tells the signaling thread when the connection of a client that polls is gone before the answer: this is dropped
/// with it.
struct PollWatch<'v> {
    door: &'v Door,
    sid: Option<Box<str>>,
}

impl Drop for PollWatch<'_> {
    fn drop(&mut self) {
        if let Some(sid) = &self.sid {
            self.door.poll_lost(sid);
        }
    }
}

fn query_of(request: &HttpRequest) -> &str {
    request.uri().query().unwrap_or_default()
}

/// The transport id in the query of a request that does what its query says.
fn engine_query(request: &HttpRequest, does: Transport) -> Result<Option<&str>, Refusal> {
    let query = Query::parse(query_of(request)).map_err(Refusal::Engine)?;
    match (query.transport, does) {
        (Transport::WebSocket, Transport::Polling) => Err(Refusal::NoUpgrade),
        (Transport::Polling, Transport::WebSocket) => Err(Refusal::Engine(Reject::BadRequest)),
        _ if query.sid.is_some_and(|sid| !is_sid(sid)) => Err(Refusal::Engine(Reject::UnknownSid)),
        _ => Ok(query.sid),
    }
}

/// Whether it could be one of ours.
fn is_sid(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.len() <= SID_BYTES_MAX && text.bytes().all(is_plain)
}

/// Whether a body is the text that Engine.IO sends, as far as its header says.
fn is_text(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("text/plain")
}

/// What a page of an allowed origin may send (the Fetch standard's CORS protocol).
pub(super) fn preflight() -> Response {
    let rules = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "content-type, authorization"),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE_S),
    ];
    (StatusCode::NO_CONTENT, rules).into_response()
}

fn written(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    response
}
