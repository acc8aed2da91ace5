//! What a long poll is answered.

use super::arrival::Answer;
use crate::wire::engine_io::Reject;
use bytes::Bytes;
use tokio::sync::oneshot;

const TEXT: &str = "text/plain; charset=UTF-8";
const JSON: &str = "application/json";

impl Answer {
    /// Packets, or `ok`.
    pub(super) fn text(body: impl Into<Bytes>) -> Self {
        Self { status: 200, content_type: TEXT, body: body.into() }
    }

    /// Why not, as Engine.IO says it.
    pub(super) fn reject(reject: Reject) -> Self {
        let mut body = Vec::new();
        reject.encode(&mut body);
        Self { status: reject.status(), content_type: JSON, body: body.into() }
    }

    /// Too many sessions, or too fast.
    pub(super) fn busy() -> Self {
        let mut body = Vec::new();
        Reject::Forbidden.encode_with("Too many sessions; try again later", &mut body);
        Self { status: 503, content_type: JSON, body: body.into() }
    }

    /// Gives the answer to whoever waits for it. `false`: nobody does any more.
    pub(super) fn give(self, reply: oneshot::Sender<Self>) -> bool {
        reply.send(self).is_ok()
    }
}
