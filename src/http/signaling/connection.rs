//! One connection of a client: what carries it, and the wire that it speaks.

use super::arrival::Arrival;
use super::driver::Common;
use super::engine_io::EngineIo;
use super::link::Link;
use super::mailbox::Ticket;
use super::plain::Plain;
use super::seats::Seats;
use crate::auth::token::TokenRefused;
use crate::base::{Now, TimerId, Timestamp};
use crate::signaling::{Closing, Identity, SessionId};
use crate::wire::websocket::{CloseCode, Incoming, Opcode, Reader, Violation, write_frame};

/// A client.
pub(super) struct Connection {
    /// Tells those apart that had the same place.
    pub(super) generation: u32,
    /// The WebSocket; a long-polling client has none.
    pub(super) socket: Option<Socket>,
    pub(super) wire: Wire,
    pub(super) about: Box<Arrival>,
    /// When somebody looks after it, at the latest when it has something to do.
    pub(super) timer: Option<(Timestamp, TimerId)>,
}

/// A WebSocket.
pub(super) struct Socket {
    pub(super) link: Link,
    pub(super) reader: Reader,
    /// The last ping that has no answer yet (RFC 6455 section 5.5.3: earlier ones need none).
    pub(super) ping: Option<Box<[u8]>>,
    /// Whether the poller was asked for writability.
    pub(super) watches_writable: bool,
}

/// What it speaks.
pub(super) enum Wire {
    /// Socket.IO over Engine.IO.
    EngineIo(Box<EngineIo>),
    /// `turnstone.v1.json`.
    Plain(Box<Plain>),
    /// We have closed it; what still comes is dropped, until the client has closed too or this time.
    ///
    /// The name is that of a client which polls and had no poll under way: its next one is told.
    Leaving(Timestamp, Option<Untold>),
}

/// A long-polling client that has not heard of the end of its session.
pub(super) struct Untold {
    /// The transport id.
    pub(super) sid: Box<str>,
    /// What its next poll is answered.
    pub(super) farewell: &'static [u8],
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The connection broke.
    Broken,
    /// The client closed it.
    Closed,
    /// The client closed it with a goodbye, for good.
    Left,
    /// The client broke the rules of the wire, said it too slowly, or said nothing.
    Violation(CloseCode, &'static str),
    /// The hub wants it.
    Hub(Closing),
}

impl From<Violation> for Ended {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation.close_code(), violation.as_str())
    }
}

impl Ended {
    /// The close frame that tells the client; none where nobody listens.
    pub(super) fn close_frame(self) -> Option<(CloseCode, &'static str)> {
        match self {
            Self::Broken => None,
            Self::Closed | Self::Left => Some((CloseCode::NORMAL, "")),
            Self::Violation(code, reason) => Some((code, reason)),
            Self::Hub(why) => Some(match why {
                Closing::Overflow => (CloseCode::TRY_AGAIN, "the client does not keep up"),
                Closing::TokenExpired => (CloseCode::POLICY, "the token has expired"),
                Closing::CoolDown => (CloseCode::POLICY, "too many events"),
                Closing::Shutdown => (CloseCode::GOING_AWAY, "the server stops"),
                Closing::Replaced => (CloseCode::POLICY, "the session goes on elsewhere"),
            }),
        }
    }
}

impl Socket {
    pub(super) fn new(link: Link, message_bytes_max: u32) -> Self {
        Self { link, reader: Reader::new(message_bytes_max), ping: None, watches_writable: false }
    }

    /// The answer to a ping, if one waits. A client that does not read gets none: it could make us keep them for ever.
    pub(super) fn write_pong(&mut self, out: &mut Vec<u8>) {
        if !self.link.is_blocked()
            && let Some(payload) = self.ping.take()
        {
            write_frame(out, Opcode::Pong, &payload);
        }
    }
}

impl Connection {
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        match &self.wire {
            Wire::EngineIo(wire) => wire.next_deadline(),
            Wire::Plain(wire) => Some(wire.next_deadline()),
            Wire::Leaving(until, _) => Some(*until),
        }
    }

    pub(super) fn on_deadline(&mut self, common: &Common, now: Now) -> Result<(), Ended> {
        match &mut self.wire {
            Wire::EngineIo(wire) => wire.on_deadline(common, now),
            Wire::Plain(wire) => wire.on_deadline(common, now),
            Wire::Leaving(..) => Ok(()),
        }
    }

    /// Handles every message in `bytes`, which came over the WebSocket.
    pub(super) fn hear(&mut self, common: &mut Common, now: Now, mut bytes: &mut [u8]) -> Result<(), Ended> {
        let Self { socket: Some(socket), wire, about, .. } = self else { return Ok(()) };
        loop {
            let Some(incoming) = socket.reader.read(&mut bytes)? else { return Ok(()) };
            match (&mut *wire, incoming) {
                (Wire::Leaving(..), Incoming::Close { .. }) => return Err(Ended::Broken),
                (Wire::Leaving(..), _) => {}
                (_, Incoming::Ping(payload)) => socket.ping = Some(payload.into()),
                (Wire::EngineIo(_), Incoming::Close { .. }) => return Err(Ended::Closed),
                (Wire::EngineIo(_), Incoming::Pong(_)) => {}
                (Wire::EngineIo(wire), Incoming::Text(text)) => wire.on_text(common, now, about, &text)?,
                (Wire::EngineIo(wire), Incoming::Binary(bytes)) => {
                    wire.on_binary(common, now, about, &bytes)?
                }
                (Wire::Plain(wire), incoming) => wire.on_incoming(common, now, about, incoming)?,
            }
        }
    }

    /// A key set was waited for.
    pub(super) fn on_judged(
        &mut self,
        common: &mut Common,
        now: Now,
        ticket: Ticket,
        judged: Result<Identity, TokenRefused>,
    ) -> Result<(), Ended> {
        match &mut self.wire {
            Wire::EngineIo(wire) => wire.on_judged(common, now, &self.about, ticket, judged),
            Wire::Plain(wire) => {
                wire.on_judged(common, now, &self.about, ticket, judged);
                Ok(())
            }
            Wire::Leaving(..) => Ok(()),
        }
    }

    pub(super) fn seats(&mut self) -> Option<&mut Seats> {
        match &mut self.wire {
            Wire::EngineIo(wire) => Some(&mut wire.seats),
            Wire::Plain(wire) => Some(&mut wire.seats),
            Wire::Leaving(..) => None,
        }
    }

    /// A session went on at another connection.
    pub(super) fn forget(&mut self, session: SessionId) {
        if let Some(seats) = self.seats() {
            seats.forget(session);
        }
    }

    /// Whether it has something to send that no session has, or its socket has to be waited for.
    pub(super) fn has_replies(&self) -> bool {
        // A read under TLS may have filled the socket, which is then to be watched.
        let of_socket = |socket: &Socket| socket.ping.is_some() || socket.link.is_blocked();
        self.socket.as_ref().is_some_and(of_socket)
            || match &self.wire {
                Wire::EngineIo(wire) => wire.has_replies(),
                Wire::Plain(wire) => wire.has_replies(),
                Wire::Leaving(..) => false,
            }
    }

    /// The WebSocket is gone, for whatever reason: whether the connection goes on without it.
    pub(super) fn survives_without_socket(&mut self) -> bool {
        match &mut self.wire {
            Wire::EngineIo(wire) => wire.survives_without_socket(),
            _ => false,
        }
    }

    /// Sends what waits. `out` is scratch.
    pub(super) fn send(&mut self, common: &mut Common, now: Now, out: &mut Vec<u8>) -> Result<(), Ended> {
        out.clear();
        match &mut self.wire {
            Wire::EngineIo(wire) => wire.send(common, now, &mut self.socket, out),
            Wire::Plain(wire) => {
                let Some(socket) = &mut self.socket else { return Err(Ended::Broken) };
                socket.write_pong(out);
                let filled = wire.fill(common, out, socket.link.is_blocked());
                socket.link.send(out).map_err(|_| Ended::Broken)?;
                filled
            }
            Wire::Leaving(..) => Ok(()),
        }
    }
}
