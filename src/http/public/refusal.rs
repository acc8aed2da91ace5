//! What a client is told that does not get in: a status, and the error object of Engine.IO.

use crate::wire::engine_io::Reject;
use crate::wire::websocket;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Bytes of a refused origin that are repeated.
const ORIGIN_SHOWN_MAX: usize = 256;

/// How often a refused origin is logged, whichever it is: strangers choose it.
const TELL_EVERY_S: u64 = 60;

/// Why a request to signaling is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A page of this origin may not connect.
    Origin(Vec<u8>),
    /// Neither GET, nor POST, nor OPTIONS; or no GET at `/ws`.
    Method,
    /// `transport=websocket`, or `/ws`, in a request that asks for no upgrade.
    NoUpgrade,
    /// An upgrade that no client of WebSocket asks for (RFC 6455 section 4.2.1).
    Handshake,
    /// Another version of WebSocket.
    WebSocketVersion,
    /// No subprotocol that we speak.
    Subprotocol,
    /// What Engine.IO has a code for.
    Engine(Reject),
    /// Not the text that Engine.IO sends.
    ContentType,
    /// The body is longer than this many bytes.
    TooLong(usize),
    /// The body did not arrive in time.
    TooSlow,
    /// The body broke off.
    Broken,
    /// Nobody can take it on now.
    Busy,
}

impl Refusal {
    /// Its status and the code that Engine.IO has for it.
    const fn codes(&self) -> (StatusCode, u8) {
        match self {
            Self::Origin(_) => (StatusCode::FORBIDDEN, 4),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, 2),
            Self::Engine(reject) => (StatusCode::BAD_REQUEST, reject.code()),
            Self::WebSocketVersion => (StatusCode::UPGRADE_REQUIRED, 3),
            Self::ContentType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, 3),
            Self::TooLong(_) => (StatusCode::PAYLOAD_TOO_LARGE, 3),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, 3),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, 3),
            Self::NoUpgrade | Self::Handshake | Self::Subprotocol | Self::Broken => {
                (StatusCode::BAD_REQUEST, 3)
            }
        }
    }

    fn message(&self) -> String {
        let fixed = match self {
            Self::Origin(origin) => return refused_origin(origin),
            Self::TooLong(max) => {
                return format!("the body is longer than {max} bytes: see signaling.max_message");
            }
            Self::Engine(reject) => reject.message(),
            Self::Method => "this path takes GET, and POST where it is polled",
            Self::NoUpgrade => {
                "a WebSocket asks for `Upgrade: websocket` over HTTP/1.1: does a proxy in front drop that?"
            }
            Self::Handshake => "this is no WebSocket handshake as of RFC 6455",
            Self::WebSocketVersion => "the version of WebSocket here is 13",
            Self::Subprotocol => "offer the subprotocol turnstone.v1.json; Socket.IO has a path of its own",
            Self::ContentType => "the payload of a POST is text/plain",
            Self::TooSlow => "the body did not arrive in time",
            Self::Broken => "the body is not whole",
            Self::Busy => "too busy to take this on now: try again",
        };
        fixed.to_owned()
    }
}

fn refused_origin(origin: &[u8]) -> String {
    let shown = shown(origin);
    format!("the origin {shown} may not connect: add it to signaling.origins in the config of this server")
}

/// Printable ASCII, of bounded length.
fn shown(origin: &[u8]) -> String {
    origin[..origin.len().min(ORIGIN_SHOWN_MAX)].escape_ascii().to_string()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code) = self.codes();
        let body = json!({ "code": code, "message": self.message() }).to_string();
        let kind = [(header::CONTENT_TYPE, "application/json")];
        let more: &[(HeaderName, &str)] = match self {
            Self::Method => &[(header::ALLOW, "GET, POST, OPTIONS")],
            Self::Busy => &[(header::RETRY_AFTER, "1")],
            // RFC 6455 section 4.4, RFC 9110 section 15.5.22.
            Self::WebSocketVersion => &[
                (header::SEC_WEBSOCKET_VERSION, websocket::VERSION),
                (header::UPGRADE, "websocket"),
                (header::CONNECTION, "upgrade"),
            ],
            _ => &[],
        };
        let mut response = (status, kind, body).into_response();
        for (name, value) in more {
            response.headers_mut().insert(name, axum::http::HeaderValue::from_static(value));
        }
        response
    }
}

/// Tells the log of refused origins, so that who has forgotten one finds it there.
#[derive(Debug)]
pub(super) struct RefusedOrigins {
    started: Instant,
    /// Seconds since `started` before which nothing is told.
    next_s: AtomicU64,
}

impl RefusedOrigins {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), next_s: AtomicU64::new(0) }
    }

    pub(super) fn tell(&self, origin: &[u8]) {
        if self.is_due(self.started.elapsed().as_secs()) {
            let origin = shown(origin);
            tracing::debug!(origin, "a page of an origin that is not in signaling.origins was refused");
        }
    }

    /// Whether something may be told now; then not again for a while.
    fn is_due(&self, now_s: u64) -> bool {
        let next_s = self.next_s.load(Ordering::Relaxed);
        let mine = || {
            let later_s = now_s + TELL_EVERY_S;
            self.next_s.compare_exchange(next_s, later_s, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        next_s <= now_s && mine()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_origins_come_the_log_hears_of_one_a_minute() {
        let refused = RefusedOrigins::new();
        let told: Vec<_> = (0..200).filter(|second| refused.is_due(*second)).collect();
        assert_eq!(told, [0, 60, 120, 180]);
    }

    #[test]
    fn a_refused_origin_is_repeated_escaped_and_cut() {
        let message = Refusal::Origin(b"https://a\x1b[1m\xff\"".to_vec()).message();
        assert!(message.contains(r#"https://a\x1b[1m\xff\""#), "{message}");
        assert!(message.contains("signaling.origins"), "{message}");
        assert!(Refusal::Origin(vec![b'a'; 10_000]).message().len() < 400);
    }
}
