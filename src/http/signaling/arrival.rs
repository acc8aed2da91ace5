//! What comes to the signaling thread: clients, as HTTP has let them in.

use crate::net::tls::HandedOver;
use axum::body::Bytes;
use std::net::IpAddr;
use tokio::sync::oneshot;

/// Who comes, and how. Its origin may connect. Nothing else of it has been judged, its token least of all, so it has
/// no `Debug`: `query` and `token` must never be in a log.
pub(crate) struct Arrival {
    /// The client, seen through the proxies that are trusted; never an IPv4 address in the form of IPv6. `0.0.0.0`
    /// for everybody whom a trusted proxy on this host does not name.
    pub client: IpAddr,
    /// The client's own side was under TLS, as far as we or trusted proxies can tell.
    pub secure: bool,
    /// The web origin of the page behind it; browsers send one.
    pub origin: Option<Box<str>>,
    /// Index into `signaling.socketio_paths`; 0 at `/ws`.
    pub mount: u16,
    /// Behind the `?`, as it was sent; at most as long as a request's header may be.
    pub query: Box<str>,
    /// From a header, a subprotocol, or where the config allows it the query or a cookie.
    pub token: Option<Box<str>>,
}

/// One request for the signaling thread.
pub(crate) enum Request {
    /// A poll. Its `reply` is closed once the client has gone away.
    Get {
        /// Who polls.
        about: Arrival,
        /// Where the answer goes; dropped without one, the client is told to come back.
        reply: oneshot::Sender<Answer>,
    },
    /// Packets of a client that polls.
    Post {
        /// Who sends.
        about: Arrival,
        /// The payload, bounded by the longest message.
        body: Bytes,
        /// As for a poll.
        reply: oneshot::Sender<Answer>,
    },
    /// A WebSocket, after its 101.
    WebSocket {
        /// Who connects.
        about: Arrival,
        /// What is spoken.
        wire: Wire,
        /// The connection, with what the client has sent behind its request.
        connection: HandedOver,
    },
}

/// What is spoken over a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Engine.IO version 4, with Socket.IO in it. The query has `EIO=4`, `transport=websocket` and perhaps a
    /// well-formed `sid`.
    EngineIo,
    /// Subprotocol `turnstone.v1.json`.
    Plain,
}

/// The answer to a poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// 200 to 599.
    pub status: u16,
    /// Value of `Content-Type`.
    pub content_type: &'static str,
    /// The payload, or an error of Engine.IO.
    pub body: Bytes,
}
