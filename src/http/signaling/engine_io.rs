//! A client of Socket.IO: Engine.IO below, namespaces above, by long polling or WebSocket.

use super::arrival::{Answer, Arrival};
use super::connection::{Ended, Socket, Untold};
use super::driver::{Common, Key};
use super::mailbox::Ticket;
use super::seats::{Auth, Entered, Seats};
use super::settings::Namespace;
use super::sink::Sink;
use crate::auth::token::TokenRefused;
use crate::base::{Now, Timestamp};
use crate::metrics::{
    Carrier as Label, MessageDirection, signaling_closed, signaling_messages, signaling_opened,
};
use crate::signaling::engine::{Carrier, Control, End, Engine, Output};
use crate::signaling::{Identity, Inbound, Outgoing, Refusal};
use crate::wire::engine_io::{self, Data, Packet, Reject};
use crate::wire::json::Refused;
use crate::wire::socket_io::{self, Content, Malformed};
use crate::wire::websocket::CloseCode;
use bytes::Bytes;
use std::collections::VecDeque;
use tokio::sync::oneshot;

/// Answers to CONNECT that may wait for a client that does not read them.
const REPLIES_MAX: usize = 64;

/// Refused CONNECTs of one connection; each may have cost the check of a signature.
const REFUSALS_MAX: u8 = 32;

/// One Engine.IO session.
pub(super) struct EngineIo {
    engine: Engine,
    /// Its name in the query; never shown to anybody else.
    pub(super) sid: Box<str>,
    poll: Option<oneshot::Sender<Answer>>,
    decoder: socket_io::Decoder,
    pub(super) seats: Seats,
    /// Packets that are of no session: answers to CONNECT, echoes.
    replies: VecDeque<Reply>,
    /// How many of its CONNECTs were refused.
    refusals: u8,
    /// By when it must be in a namespace; `None` while it is.
    hello_by: Option<Timestamp>,
    /// By when the attachments that were announced must be there.
    attachments_by: Option<Timestamp>,
    label: Label,
    /// A poll was answered with the end of the session.
    is_told: bool,
}

enum Reply {
    Text(Box<[u8]>),
    Binary(Box<[u8]>),
}

impl EngineIo {
    pub(super) fn by_polling(common: &mut Common, now: Now, key: Key, sid: Box<str>) -> Self {
        let engine = Engine::by_polling(now.at, &common.settings.engine());
        Self::new(common, now, key, sid, engine, Label::Polling)
    }

    pub(super) fn by_websocket(common: &mut Common, now: Now, key: Key, sid: Box<str>) -> Self {
        let engine = Engine::by_websocket(now.at, &common.settings.engine());
        Self::new(common, now, key, sid, engine, Label::WebSocket)
    }

    fn new(common: &mut Common, now: Now, key: Key, sid: Box<str>, engine: Engine, label: Label) -> Self {
        common.backend.counters().increment(signaling_opened(label));
        Self {
            engine,
            sid,
            poll: None,
            decoder: socket_io::Decoder::default(),
            seats: Seats::new(key),
            replies: VecDeque::new(),
            refusals: 0,
            hello_by: (!common.settings.echo).then(|| now.at.after(common.settings.hello_timeout)),
            attachments_by: None,
            label,
            is_told: false,
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        [self.engine.next_deadline(), self.hello_by, self.attachments_by].into_iter().flatten().min()
    }

    pub(super) fn on_deadline(&mut self, common: &Common, now: Now) -> Result<(), Ended> {
        let is_due = |by: Option<Timestamp>| by.is_some_and(|by| by <= now.at);
        if is_due(self.hello_by) {
            return Err(Ended::Violation(CloseCode::POLICY, "no namespace was asked for in time"));
        }
        if is_due(self.attachments_by) {
            return Err(Ended::Violation(CloseCode::POLICY, "an attachment did not come in time"));
        }
        self.engine.on_deadline(now.at, &common.settings.engine());
        Ok(())
    }

    // --- what comes ------------------------------------------------------------------------------------------------

    /// The first GET, which opened the session.
    pub(super) fn on_first_poll(&mut self, reply: oneshot::Sender<Answer>) {
        self.poll = Some(reply);
    }

    pub(super) fn on_poll(&mut self, common: &Common, now: Now, reply: oneshot::Sender<Answer>) {
        self.notice_lost_poll();
        match self.engine.on_poll(now.at, &common.settings.engine()) {
            Ok(()) => self.poll = Some(reply),
            Err(reject) => {
                let _gone_anyway = Answer::reject(reject).give(reply);
            }
        }
    }

    /// The GET that waits was broken off, perhaps.
    pub(super) fn notice_lost_poll(&mut self) {
        if self.poll.as_ref().is_some_and(oneshot::Sender::is_closed) {
            self.poll = None;
            self.engine.on_poll_lost();
        }
    }

    /// Handles a POST, or a part of one. Gives what it is to be answered, and whether the session goes on.
    pub(super) fn on_post(
        &mut self,
        common: &mut Common,
        now: Now,
        about: &Arrival,
        body: &[u8],
    ) -> (Result<(), Reject>, Result<(), Ended>) {
        self.notice_lost_poll();
        if let Err(reject) = self.engine.on_post(now.at, &common.settings.engine()) {
            return (Err(reject), Ok(()));
        }
        let handled = self.on_body(common, now, about, body);
        (self.engine.on_post_end().and(handled.map_err(|_| Reject::BadRequest)), handled)
    }

    fn on_body(&mut self, common: &mut Common, now: Now, about: &Arrival, body: &[u8]) -> Result<(), Ended> {
        let packets = std::str::from_utf8(body).ok().and_then(|body| engine_io::payload(body).ok());
        let Some(packets) = packets else {
            self.engine.on_malformed(Carrier::Poll);
            return Ok(());
        };
        for packet in packets {
            match packet {
                Ok(packet) => self.on_packet(common, now, about, Carrier::Poll, packet)?,
                Err(_) => self.engine.on_malformed(Carrier::Poll),
            }
        }
        Ok(())
    }

    pub(super) fn on_socket(&mut self, common: &Common, now: Now) -> Result<(), Reject> {
        self.notice_lost_poll();
        self.engine.on_socket(now.at, &common.settings.engine())
    }

    pub(super) fn survives_without_socket(&mut self) -> bool {
        let is_carrier = self.engine.carrier() == Some(Carrier::Socket);
        self.engine.on_socket_lost();
        !is_carrier && self.engine.next_deadline().is_some()
    }

    pub(super) fn on_text(
        &mut self,
        common: &mut Common,
        now: Now,
        about: &Arrival,
        text: &str,
    ) -> Result<(), Ended> {
        match Packet::decode(text) {
            Ok(packet) => self.on_packet(common, now, about, Carrier::Socket, packet),
            Err(_) => {
                self.engine.on_malformed(Carrier::Socket);
                Ok(())
            }
        }
    }

    pub(super) fn on_binary(
        &mut self,
        common: &mut Common,
        now: Now,
        about: &Arrival,
        bytes: &[u8],
    ) -> Result<(), Ended> {
        self.on_packet(common, now, about, Carrier::Socket, Packet::from_binary(bytes))
    }

    fn on_packet(
        &mut self,
        common: &mut Common,
        now: Now,
        about: &Arrival,
        from: Carrier,
        packet: Packet<'_>,
    ) -> Result<(), Ended> {
        let Some(data) = self.engine.on_packet(now.at, &common.settings.engine(), from, packet) else {
            return Ok(());
        };
        common.backend.counters().increment(signaling_messages(MessageDirection::Received));
        match data {
            _ if common.settings.echo => self.echo(&data),
            data => self.on_data(common, now, about, data),
        }
    }

    fn echo(&mut self, data: &Data<'_>) -> Result<(), Ended> {
        let reply = match data {
            Data::Text(text) => Reply::Text([b"4", text.as_bytes()].concat().into()),
            Data::Binary(bytes) => Reply::Binary((&**bytes).into()),
        };
        self.reply(reply)
    }

    fn reply(&mut self, reply: Reply) -> Result<(), Ended> {
        if self.replies.len() >= REPLIES_MAX {
            return Err(Ended::Violation(CloseCode::TRY_AGAIN, "the client does not keep up"));
        }
        self.replies.push_back(reply);
        Ok(())
    }

    // --- Socket.IO -------------------------------------------------------------------------------------------------

    fn on_data(
        &mut self,
        common: &mut Common,
        now: Now,
        about: &Arrival,
        data: Data<'_>,
    ) -> Result<(), Ended> {
        let bytes_max = common.settings.message_bytes_max as usize;
        match &data {
            Data::Text(text) => {
                if let Some(packet) = self.decoder.on_text(text, bytes_max)? {
                    return self.on_socket_io(common, now, about, &packet, &[]);
                }
                self.attachments_by = Some(now.at.after(common.settings.attachments_timeout));
            }
            Data::Binary(bytes) => {
                if let Some(whole) = self.decoder.on_binary(bytes, bytes_max)? {
                    self.attachments_by = None;
                    return self.on_socket_io(common, now, about, &whole.packet()?, &whole.attachments);
                }
            }
        }
        Ok(())
    }

    fn on_socket_io(
        &mut self,
        common: &mut Common,
        now: Now,
        about: &Arrival,
        packet: &socket_io::Packet<'_>,
        attachments: &[Bytes],
    ) -> Result<(), Ended> {
        let namespace = common.settings.namespace(packet.namespace);
        match &packet.content {
            Content::Connect { auth } => self.enter(common, now, about, packet.namespace, namespace, *auth),
            Content::Event { id, name, arguments } => {
                let Some(session) = namespace.and_then(|namespace| self.seats.session(namespace)) else {
                    return Err(Ended::Violation(
                        CloseCode::POLICY,
                        "an event for a namespace that is not open",
                    ));
                };
                let data = arguments.first().unwrap_or("null");
                let event = Inbound { name, data, more: arguments.rest(), attachments, ack: *id };
                common.backend.on_event(now, session, event);
                Ok(())
            }
            Content::Disconnect => {
                if let Some(namespace) = namespace {
                    self.seats.leave(common, now, namespace);
                }
                if self.seats.len() == 0 && self.hello_by.is_none() {
                    self.hello_by = Some(now.at.after(common.settings.hello_timeout));
                }
                Ok(())
            }
            // The hub asks for no answers.
            Content::Ack { .. } => Ok(()),
        }
    }

    fn enter(
        &mut self,
        common: &mut Common,
        now: Now,
        about: &Arrival,
        name: &str,
        namespace: Option<u16>,
        auth: Option<&str>,
    ) -> Result<(), Ended> {
        let Some(namespace) = namespace else {
            let mut packet = Vec::new();
            engine_io::begin_message(&mut packet);
            socket_io::connect_error(&mut packet, name, "Invalid namespace", None);
            self.count_refusal()?;
            return self.reply(Reply::Text(packet.into()));
        };
        if self.seats.knows(namespace) {
            return Err(Ended::Violation(CloseCode::POLICY, "the namespace is open already"));
        }
        if self.seats.len() >= common.settings.namespaces_per_connection {
            return Err(Ended::Violation(CloseCode::POLICY, "too many namespaces"));
        }
        let raw = auth.unwrap_or("{}");
        let entered = match Auth::read(raw) {
            Ok(auth) => self.seats.enter(common, now, about, namespace, auth, raw),
            Err(refusal) => Entered::Refused(refusal),
        };
        self.on_entered(common, namespace, &entered)
    }

    /// Honest clients show another token, or give up.
    fn count_refusal(&mut self) -> Result<(), Ended> {
        self.refusals += 1;
        if self.refusals > REFUSALS_MAX {
            return Err(Ended::Violation(CloseCode::POLICY, "too many refused connects"));
        }
        Ok(())
    }

    fn on_entered(&mut self, common: &Common, namespace: u16, entered: &Entered) -> Result<(), Ended> {
        let Namespace { name, recovers } = &common.settings.namespaces[usize::from(namespace)];
        let mut packet = Vec::new();
        engine_io::begin_message(&mut packet);
        match entered {
            Entered::Welcome(welcome) => {
                self.hello_by = None;
                let pid = Some(&*welcome.pid).filter(|pid| *recovers && !pid.is_empty());
                socket_io::connect(&mut packet, name, &welcome.public_id, pid);
            }
            // CONNECT_ERROR would be a verdict, after which the client's library stays away.
            Entered::Refused(Refusal { retry_after_ms: Some(_), .. }) | Entered::Busy => {
                return Err(Ended::Violation(CloseCode::TRY_AGAIN, "too many for now; try again later"));
            }
            Entered::Refused(refusal) => {
                socket_io::connect_error(&mut packet, name, &refusal.message, Some(refusal.code_text()));
                self.count_refusal()?;
            }
            Entered::Later => return Ok(()),
        }
        self.reply(Reply::Text(packet.into()))
    }

    /// A key set was waited for.
    pub(super) fn on_judged(
        &mut self,
        common: &mut Common,
        now: Now,
        about: &Arrival,
        ticket: Ticket,
        judged: Result<Identity, TokenRefused>,
    ) -> Result<(), Ended> {
        match self.seats.on_judged(common, now, about, ticket, judged) {
            Some((namespace, entered)) => self.on_entered(common, namespace, &entered),
            None => Ok(()),
        }
    }

    /// Whether it may have something to send that no session has: what came has led to an answer, or to the WebSocket
    /// as a new carrier.
    pub(super) fn has_replies(&self) -> bool {
        !self.replies.is_empty() || !self.engine.is_settled() || self.label == Label::Polling
    }

    // --- what goes -------------------------------------------------------------------------------------------------

    /// Sends what the engine and the sessions have. `out` is scratch, and empty.
    pub(super) fn send(
        &mut self,
        common: &mut Common,
        now: Now,
        socket: &mut Option<Socket>,
        out: &mut Vec<u8>,
    ) -> Result<(), Ended> {
        self.notice_lost_poll();
        if let Some(socket) = socket {
            socket.write_pong(out);
        }
        let ended = self.send_controls(common, socket, out);
        if ended.is_none() {
            self.send_messages(common, now, socket.as_ref(), out);
        }
        if let Some(socket) = socket
            && !out.is_empty()
        {
            socket.link.send(out).map_err(|_| Ended::Broken)?;
        }
        match ended {
            Some(ended) => Err(ended),
            None => Ok(()),
        }
    }

    fn send_controls(
        &mut self,
        common: &mut Common,
        socket: &mut Option<Socket>,
        out: &mut Vec<u8>,
    ) -> Option<Ended> {
        while let Some(output) = self.engine.next_output() {
            let settings = common.settings.engine();
            match output {
                Output::Send(control) => {
                    common.body.clear();
                    control.encode(&self.sid, &settings, &mut common.body);
                    Sink::Socket(out).text(&common.body);
                }
                Output::AnswerPoll(control) => self.answer_poll(common, control),
                // The session may go on without it.
                Output::CloseSocket => {
                    if self.engine.next_deadline().is_some() {
                        *socket = None;
                        out.clear();
                    }
                }
                Output::Ended(end) => return Some(ended(end)),
            }
        }
        self.count_carrier(common);
        None
    }

    /// A session that has moved to the WebSocket counts there.
    fn count_carrier(&mut self, common: &mut Common) {
        if self.label == Label::Polling && self.engine.carrier() == Some(Carrier::Socket) {
            self.label = Label::WebSocket;
            common.backend.counters().increment(signaling_closed(Label::Polling));
            common.backend.counters().increment(signaling_opened(Label::WebSocket));
        }
    }

    fn answer_poll(&mut self, common: &mut Common, control: Control) {
        self.is_told |= self.engine.next_deadline().is_none();
        let mut body = Vec::new();
        if control == Control::Close {
            self.fill(common, &mut Sink::Poll(&mut body));
        }
        common.body.clear();
        control.encode(&self.sid, &common.settings.engine(), &mut common.body);
        Sink::Poll(&mut body).text(&common.body);
        self.give(body);
    }

    fn give(&mut self, body: Vec<u8>) {
        let Some(reply) = self.poll.take() else { return };
        if !Answer::text(body).give(reply) {
            self.engine.on_answer_lost();
        }
    }

    fn send_messages(&mut self, common: &mut Common, _now: Now, socket: Option<&Socket>, out: &mut Vec<u8>) {
        match self.engine.carrier() {
            Some(Carrier::Socket) if !socket.is_some_and(|socket| socket.link.is_blocked()) => {
                self.fill(common, &mut Sink::Socket(out));
            }
            Some(Carrier::Poll) => {
                let mut body = Vec::new();
                self.fill(common, &mut Sink::Poll(&mut body));
                if !body.is_empty() {
                    self.engine.on_poll_answered();
                    self.give(body);
                }
            }
            _ => {}
        }
    }

    /// Moves messages to `sink` until it is full or there are none.
    fn fill(&mut self, common: &mut Common, sink: &mut Sink<'_>) {
        while let Some(reply) = self.replies.pop_front() {
            match reply {
                Reply::Text(packet) => sink.text(&packet),
                Reply::Binary(bytes) => sink.binary(&bytes),
            }
        }
        while !sink.is_full()
            && let Some((namespace, outgoing)) = self.seats.next_outgoing(common)
        {
            common.backend.counters().increment(signaling_messages(MessageDirection::Sent));
            let mut body = std::mem::take(&mut common.body);
            body.clear();
            engine_io::begin_message(&mut body);
            encode(common, &common.settings.namespaces[usize::from(namespace)], &outgoing, &mut body);
            sink.text(&body);
            for attachment in outgoing.attachments() {
                sink.binary(attachment);
            }
            common.body = body;
        }
        if sink.is_full() {
            // The rest goes with the next turn.
            common.touch(self.seats.key());
        }
    }

    /// The connection is over. Gives what is left to say when no poll was there to be told: that the hub wants it, or
    /// that the client has closed it, whose poll may have been overtaken by that.
    pub(super) fn end(mut self, common: &mut Common, now: Now, ended: Ended) -> Option<Untold> {
        let farewell: &[u8] = if ended == Ended::Closed { b"6" } else { b"1" };
        let is_untold =
            self.poll.is_none() && !self.is_told && matches!(ended, Ended::Hub(_) | Ended::Closed);
        common.backend.counters().increment(signaling_closed(self.label));
        common.key_by_sid.remove(&self.sid);
        if let Some(reply) = self.poll.take() {
            let mut body = Vec::new();
            if ended != Ended::Closed {
                self.fill(common, &mut Sink::Poll(&mut body));
            }
            Sink::Poll(&mut body).text(farewell);
            let _gone_anyway = Answer::text(body).give(reply);
        }
        self.seats.end(common, now, ended == Ended::Left);
        is_untold.then_some(Untold { sid: self.sid, farewell })
    }
}

fn ended(end: End) -> Ended {
    match end {
        End::ByClient => Ended::Closed,
        End::ByServer | End::Lost => Ended::Broken,
        End::PingTimeout => Ended::Violation(CloseCode::POLICY, "no pong in time"),
        End::Protocol => Ended::Violation(CloseCode::PROTOCOL, "not what Engine.IO says here"),
        End::Overlap => Ended::Violation(CloseCode::PROTOCOL, "two requests at once"),
    }
}

impl From<Malformed> for Ended {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::TooLarge => Self::Violation(CloseCode::TOO_BIG, "message too big"),
            _ => Self::Violation(CloseCode::INVALID_PAYLOAD, "not a packet of Socket.IO"),
        }
    }
}

/// Appends the packet of Socket.IO; attachments are messages of their own.
fn encode(common: &Common, namespace: &Namespace, outgoing: &Outgoing, out: &mut Vec<u8>) {
    let Namespace { name: namespace, recovers } = namespace;
    match outgoing {
        Outgoing::Push(push) => {
            let offset = if *recovers { common.backend.offset(push) } else { None };
            let event = socket_io::Event {
                namespace,
                id: None,
                name: &push.event,
                arguments: &[&push.data],
                offset: offset.as_deref(),
                attachments: push.attachments.len(),
            };
            event.encode(out);
        }
        Outgoing::Answer { ack, result: Ok(object) } => socket_io::answer(out, namespace, *ack, Ok(object)),
        Outgoing::Answer { ack, result: Err(refusal) } => {
            let refused = Refused {
                code: refusal.code_text(),
                message: &refusal.message,
                retry_after_ms: refusal.retry_after_ms,
            };
            socket_io::answer(out, namespace, *ack, Err(&refused));
        }
        Outgoing::Acknowledge { ack, arguments, attachments } => {
            socket_io::begin_ack(out, namespace, *ack, attachments.len());
            out.extend_from_slice(arguments.as_bytes());
            out.push(b']');
        }
    }
}
