//! A client of the plain wire: one WebSocket, one session.

use super::arrival::Arrival;
use super::connection::Ended;
use super::driver::{Common, Key, WRITE_BYTES};
use super::mailbox::Ticket;
use super::seats::{Auth, BUSY, Entered, Seats};
use crate::auth::token::TokenRefused;
use crate::base::{Now, Timestamp};
use crate::metrics::{Carrier, MessageDirection, signaling_closed, signaling_messages, signaling_opened};
use crate::signaling::{Identity, Inbound, Outgoing, Refusal};
use crate::wire::json::Refused;
use crate::wire::plain::{self, Hello, Malformed, Request};
use crate::wire::websocket::{CloseCode, Incoming, Opcode, write_frame};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

/// The namespace of plain clients.
const NAMESPACE: u16 = 0;

/// One plain client.
pub(super) struct Plain {
    pub(super) seats: Seats,
    /// The answer to its hello.
    reply: Vec<u8>,
    /// It was told why not, and goes.
    is_refused: bool,
    /// When it is asked whether it is there, or must have said hello, or must have answered.
    due: Timestamp,
    /// Something came since then.
    is_heard: bool,
    awaits: Awaits,
    ping: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaits {
    Hello,
    /// Its token takes a newer key set.
    Judgement,
    Events,
    Pong,
}

impl Plain {
    pub(super) fn new(common: &mut Common, now: Now, key: Key) -> Self {
        common.backend.counters().increment(signaling_opened(Carrier::Plain));
        Self {
            seats: Seats::new(key),
            reply: Vec::new(),
            is_refused: false,
            due: now.at.after(common.settings.hello_timeout),
            is_heard: false,
            awaits: Awaits::Hello,
            ping: false,
        }
    }

    pub(super) fn next_deadline(&self) -> Timestamp {
        self.due
    }

    pub(super) fn on_deadline(&mut self, common: &Common, now: Now) -> Result<(), Ended> {
        if now.at < self.due {
            return Ok(());
        }
        match self.awaits {
            Awaits::Hello | Awaits::Judgement => {
                return Err(Ended::Violation(CloseCode::POLICY, "no hello in time"));
            }
            Awaits::Pong if !self.is_heard => {
                return Err(Ended::Violation(CloseCode::POLICY, "no pong in time"));
            }
            // Whoever speaks is there.
            Awaits::Events if !self.is_heard => {
                self.awaits = Awaits::Pong;
                self.ping = true;
                self.due = now.at.after(common.settings.ping_timeout);
            }
            Awaits::Events | Awaits::Pong => {
                self.awaits = Awaits::Events;
                self.due = now.at.after(common.settings.ping_interval);
            }
        }
        self.is_heard = false;
        Ok(())
    }

    pub(super) fn on_incoming(
        &mut self,
        common: &mut Common,
        now: Now,
        about: &Arrival,
        incoming: Incoming<'_>,
    ) -> Result<(), Ended> {
        self.is_heard = true;
        if self.is_refused {
            return Ok(());
        }
        match incoming {
            Incoming::Text(text) => {
                common.backend.counters().increment(signaling_messages(MessageDirection::Received));
                self.on_text(common, now, about, &text)
            }
            Incoming::Binary(_) => {
                Err(Ended::Violation(CloseCode::UNSUPPORTED, "this subprotocol has no binary messages"))
            }
            Incoming::Close { code: Some(CloseCode::NORMAL), .. } => Err(Ended::Left),
            Incoming::Close { .. } => Err(Ended::Closed),
            Incoming::Ping(_) | Incoming::Pong(_) => Ok(()),
        }
    }

    fn on_text(&mut self, common: &mut Common, now: Now, about: &Arrival, text: &str) -> Result<(), Ended> {
        match self.awaits {
            Awaits::Hello => self.on_hello(common, now, about, text),
            Awaits::Judgement => Err(Ended::Violation(CloseCode::POLICY, "an event before the welcome")),
            Awaits::Events | Awaits::Pong => {
                let Request { id, event, data } = Request::decode(text)?;
                let Some(session) = self.seats.session(NAMESPACE) else { return Ok(()) };
                let event = Inbound { name: &event, data, more: "", attachments: &[], ack: id };
                common.backend.on_event(now, session, event);
                Ok(())
            }
        }
    }

    fn on_hello(&mut self, common: &mut Common, now: Now, about: &Arrival, text: &str) -> Result<(), Ended> {
        let hello = match Hello::decode(text) {
            Ok(hello) => hello,
            Err(malformed) => {
                self.refuse(&Refusal::new(crate::metrics::SignalingError::BadRequest, malformed.message()));
                return Ok(());
            }
        };
        self.awaits = Awaits::Judgement;
        let entered = self.seats.enter(common, now, about, NAMESPACE, Auth::from(hello), "{}");
        self.on_entered(common, now, &entered);
        Ok(())
    }

    fn on_entered(&mut self, common: &Common, now: Now, entered: &Entered) {
        match entered {
            Entered::Welcome(welcome) => {
                self.awaits = Awaits::Events;
                self.due = now.at.after(common.settings.ping_interval);
                let welcome = plain::Welcome {
                    session: &welcome.public_id,
                    user: &welcome.user,
                    device: &welcome.device,
                    pid: &welcome.pid,
                    recovered: welcome.recovered,
                    ping_interval_ms: u64::try_from(common.settings.ping_interval.as_millis()).ok(),
                    max_message: common.settings.message_bytes_max as usize,
                };
                plain::welcome(&mut self.reply, &welcome);
            }
            Entered::Refused(refusal) => self.refuse(refusal),
            Entered::Busy => self.refuse(&BUSY),
            Entered::Later => {}
        }
    }

    fn refuse(&mut self, refusal: &Refusal) {
        plain::refuse(&mut self.reply, &refused(refusal));
        self.is_refused = true;
    }

    /// A key set was waited for.
    pub(super) fn on_judged(
        &mut self,
        common: &mut Common,
        now: Now,
        about: &Arrival,
        ticket: Ticket,
        judged: Result<Identity, TokenRefused>,
    ) {
        if let Some((_, entered)) = self.seats.on_judged(common, now, about, ticket, judged) {
            self.on_entered(common, now, &entered);
        }
    }

    pub(super) fn has_replies(&self) -> bool {
        self.ping || self.is_refused || !self.reply.is_empty()
    }

    /// Appends the frames of what waits; while the socket is blocked only what must not wait.
    ///
    /// # Errors
    /// It was told to go.
    pub(super) fn fill(
        &mut self,
        common: &mut Common,
        out: &mut Vec<u8>,
        is_blocked: bool,
    ) -> Result<(), Ended> {
        if std::mem::take(&mut self.ping) {
            write_frame(out, Opcode::Ping, b"");
        }
        if !self.reply.is_empty() {
            write_frame(out, Opcode::Text, &std::mem::take(&mut self.reply));
        }
        if self.is_refused {
            return Err(Ended::Violation(CloseCode::POLICY, "not let in"));
        }
        while !is_blocked && out.len() < WRITE_BYTES {
            let Some((_, outgoing)) = self.seats.next_outgoing(common) else { return Ok(()) };
            common.backend.counters().increment(signaling_messages(MessageDirection::Sent));
            let mut body = std::mem::take(&mut common.body);
            body.clear();
            encode(common, &outgoing, &mut body);
            write_frame(out, Opcode::Text, &body);
            common.body = body;
        }
        if !is_blocked {
            common.touch(self.seats.key());
        }
        Ok(())
    }

    /// The connection is over.
    pub(super) fn end(self, common: &mut Common, now: Now, ended: Ended) {
        common.backend.counters().increment(signaling_closed(Carrier::Plain));
        self.seats.end(common, now, ended == Ended::Left);
    }
}

impl From<Malformed> for Ended {
    fn from(malformed: Malformed) -> Self {
        Self::Violation(CloseCode::INVALID_PAYLOAD, malformed.message())
    }
}

fn refused(refusal: &Refusal) -> Refused<'_> {
    Refused { code: refusal.code_text(), message: &refusal.message, retry_after_ms: refusal.retry_after_ms }
}

fn encode(common: &Common, outgoing: &Outgoing, out: &mut Vec<u8>) {
    match outgoing {
        Outgoing::Push(push) => {
            let offset = common.backend.offset(push);
            plain::push(out, &push.event, &push.data, offset.as_deref());
            write_attachments(out, &push.attachments);
        }
        Outgoing::Answer { ack, result: Ok(object) } => plain::answer(out, *ack, Ok(object)),
        Outgoing::Answer { ack, result: Err(refusal) } => plain::answer(out, *ack, Err(&refused(refusal))),
        Outgoing::Acknowledge { ack, arguments, attachments } => {
            plain::answer(out, *ack, Ok(&format!("[{arguments}]")));
            write_attachments(out, attachments);
        }
    }
}

/// What a placeholder in the data stands for, by its number: `"attachments":["<base64>",..]`.
fn write_attachments(out: &mut Vec<u8>, attachments: &[Bytes]) {
    if attachments.is_empty() {
        return;
    }
    let object_end = out.pop();
    debug_assert_eq!(object_end, Some(b'}'));
    out.extend_from_slice(b",\"attachments\":[");
    for (at, attachment) in attachments.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
        out.extend_from_slice(BASE64_STANDARD.encode(attachment).as_bytes());
        out.push(b'"');
    }
    out.extend_from_slice(b"]}");
}
