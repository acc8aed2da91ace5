//! What comes from the rest of the daemon: clients above all.

use super::arrival::{Answer, Arrival, Request, Wire as WireKind};
use super::connection::{Connection, Ended, Socket, Wire};
use super::driver::{Common, Driver, Key, PART_BYTES, at};
use super::engine_io::EngineIo;
use super::link::Link;
use super::mailbox::{Letter, Question, Ticket};
use super::plain::Plain;
use super::settings::DriverSettings;
use crate::auth::token::TokenRefused;
use crate::base::{Now, Rate, subscriber};
use crate::net::tls::HandedOver;
use crate::signaling::Identity;
use crate::wire::engine_io::{self, Query, Reject};
use crate::wire::websocket::{CloseCode, write_close};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

/// Letters taken in one turn.
const LETTERS_PER_TURN: usize = 64;

/// How fast one source may open sessions by polling; a WebSocket costs it a connection. Loopback is exempt, as a proxy
/// of this host.
pub(super) const OPENINGS: Rate = Rate { per_second: 20, burst: 200 };

/// No key is the waker's token.
const GENERATION_MASK: u32 = u32::MAX >> 1;

impl Driver {
    pub(super) fn take_letters(&mut self, now: Now) {
        for _ in 0..LETTERS_PER_TURN {
            let Ok(letter) = self.inbox.try_recv() else { return };
            self.on_letter(now, letter);
            self.carry_out(now);
        }
        // Perhaps there are more: the next turn does not wait.
        self.poller.waker().wake();
    }

    fn on_letter(&mut self, now: Now, letter: Letter) {
        match letter {
            Letter::Request(request) => match *request {
                Request::Get { about, reply } => self.on_get(now, about, reply),
                Request::Post { about, body, reply } => self.on_post(now, &about, &body, reply),
                Request::WebSocket { about, wire, connection } => {
                    self.on_websocket(now, about, wire, connection)
                }
            },
            Letter::PollLost(sid) => self.with_engine(now, &sid, |wire, _, _| {
                wire.notice_lost_poll();
                Ok(())
            }),
            Letter::Judged(ticket, judged) => self.on_judged(now, ticket, judged),
            Letter::Reload(settings, hub) => {
                // Sessions know their namespaces by number.
                let namespaces = std::mem::take(&mut self.common.settings.namespaces);
                self.common.settings = DriverSettings { namespaces, ..*settings };
                if let Some(keeper) = &self.keeper {
                    keeper.retain(self.common.settings.retention);
                }
                self.common.backend.reload(*hub);
            }
            Letter::MintTimes(times) => self.common.backend.mint_by(times),
            Letter::Question(question) => self.on_question(now, question),
            Letter::Stored(number, result) => self.common.backend.on_stored(now, number, result),
            Letter::Beat(asked) => self.given.store(asked, Ordering::Relaxed),
            Letter::Stop => self.stop(now),
        }
    }

    /// Whoever asked may be gone by now.
    fn on_question(&mut self, now: Now, question: Question) {
        match question {
            Question::Publish(event, answer) => {
                let _gone = answer.send(self.common.backend.publish_event(now, event));
            }
            Question::Presence(whose, answer) => {
                let _gone = answer.send(self.common.backend.presence_of(&whose));
            }
        }
    }

    fn on_judged(&mut self, now: Now, ticket: Ticket, judged: Result<Identity, TokenRefused>) {
        let key = ticket.connection;
        let Some(connection) = at(&mut self.connections, key) else { return };
        let result = connection.on_judged(&mut self.common, now, ticket, judged);
        self.settle(now, key, result);
    }

    /// Long polling: a GET opens a session, or asks for what there is.
    fn on_get(&mut self, now: Now, about: Arrival, reply: oneshot::Sender<Answer>) {
        let sid = match Query::parse(&about.query) {
            Ok(Query { sid, .. }) => sid.map(Box::<str>::from),
            Err(reject) => return answer(reply, Answer::reject(reject)),
        };
        if let Some(sid) = sid {
            let Some(key) = self.session_of(&about, &sid) else {
                return answer(reply, Answer::reject(Reject::UnknownSid));
            };
            if let Some(Connection { wire: Wire::Leaving(_, Some(untold)), .. }) =
                at(&mut self.connections, key)
            {
                let farewell = untold.farewell;
                self.remove(key);
                return answer(reply, Answer::text(Bytes::from_static(farewell)));
            }
            return self.with_engine(now, &sid, |wire, common, _| {
                wire.on_poll(common, now, reply);
                Ok(())
            });
        }
        if !self.may_open(now, &about) {
            return answer(reply, Answer::busy());
        }
        let (key, sid) = (self.vacant(), self.new_sid());
        let mut wire = EngineIo::by_polling(&mut self.common, now, key, sid.clone());
        wire.on_first_poll(reply);
        self.common.key_by_sid.insert(sid, key);
        self.insert(key, about, Wire::EngineIo(Box::new(wire)), None);
    }

    fn on_post(&mut self, now: Now, about: &Arrival, body: &Bytes, reply: oneshot::Sender<Answer>) {
        let sid = match Query::parse(&about.query) {
            Ok(Query { sid: Some(sid), .. }) => sid,
            Ok(_) => return answer(reply, Answer::reject(Reject::BadHandshakeMethod)),
            Err(reject) => return answer(reply, Answer::reject(reject)),
        };
        let Some(key) = self.session_of(about, sid) else {
            return answer(reply, Answer::reject(Reject::UnknownSid));
        };
        let posted = self.post(now, key, body);
        answer(reply, posted.map_or_else(Answer::reject, |()| Answer::text(Bytes::from_static(b"ok"))));
    }

    /// Handles a POST, a part at a time.
    fn post(&mut self, now: Now, key: Key, body: &[u8]) -> Result<(), Reject> {
        let parts = parts(body);
        let mut gone = Err(Reject::UnknownSid);
        for (part, left) in parts.iter().zip((0..parts.len()).rev()) {
            let Some(Connection { wire: Wire::EngineIo(wire), about, .. }) = at(&mut self.connections, key)
            else {
                return gone;
            };
            let (answer, handled) = wire.on_post(&mut self.common, now, about, part);
            self.settle(now, key, handled);
            // What ends here has ended for a poll that comes behind it.
            self.send(now, key);
            self.carry_out(now);
            answer?;
            // From here on it ends by what it said.
            gone = Ok(());
            self.send_in_time(now, part.len(), left == 0);
        }
        Ok(())
    }

    /// The session of a transport id, for whoever may know it. The id itself is the secret that its requests are bound
    /// to, since addresses and tokens change while a session lasts. What cannot change is where it is mounted and the
    /// page behind it: another page that got hold of an id is told that there is no such session. Browsers leave out
    /// the origin of some requests.
    fn session_of(&mut self, about: &Arrival, sid: &str) -> Option<Key> {
        let key = self.common.key_by_sid.get(sid).copied()?;
        let owner = &mut at(&mut self.connections, key)?.about;
        let is_same_page = match (&owner.origin, &about.origin) {
            (Some(known), Some(origin)) => known == origin,
            (None, Some(origin)) => {
                owner.origin = Some(origin.clone());
                true
            }
            (_, None) => true,
        };
        (is_same_page && owner.mount == about.mount).then_some(key)
    }

    /// Lets `act` work on the session of a transport id, if there is one.
    fn with_engine(
        &mut self,
        now: Now,
        sid: &str,
        act: impl FnOnce(&mut EngineIo, &mut Common, &Arrival) -> Result<(), Ended>,
    ) {
        let Some(key) = self.common.key_by_sid.get(sid).copied() else { return };
        let Some(Connection { wire: Wire::EngineIo(wire), about, .. }) = at(&mut self.connections, key)
        else {
            return;
        };
        let result = act(wire, &mut self.common, about);
        self.common.touch(key);
        self.settle(now, key, result);
    }

    fn on_websocket(&mut self, now: Now, about: Arrival, wire: WireKind, handed: HandedOver) {
        let (mut link, mut plain) = Link::new(handed);
        if link.take_handed_over(&mut plain).is_err() {
            return;
        }
        let sid = match wire {
            WireKind::Plain => None,
            WireKind::EngineIo => match Query::parse(&about.query) {
                Ok(query) => query.sid,
                Err(_) => return,
            },
        };
        // Whoever came now would never be told to go, and the thread would wait for them.
        if self.is_stopping {
            return refuse(link, &mut self.out, CloseCode::GOING_AWAY, "the server stops");
        }
        if sid.is_none() && self.connections.len() >= self.common.settings.connections_max {
            let why = "too many connections; try again later";
            return refuse(link, &mut self.out, CloseCode::TRY_AGAIN, why);
        }
        let key = match sid {
            Some(sid) => self.session_of(&about, sid),
            None => Some(self.vacant()),
        };
        let Some(key) = key.filter(|key| self.poller.add_edge(link.fd(), key.0).is_ok()) else {
            return refuse(link, &mut self.out, CloseCode::POLICY, "the session is unknown");
        };
        let socket = Socket::new(link, self.common.settings.message_bytes_max);
        match (wire, sid) {
            (WireKind::EngineIo, Some(_)) => {
                let Some(connection) = at(&mut self.connections, key) else { return };
                let Wire::EngineIo(wire) = &mut connection.wire else { return };
                if wire.on_socket(&self.common, now).is_err() {
                    return refuse(
                        socket.link,
                        &mut self.out,
                        CloseCode::POLICY,
                        "the session has a WebSocket already",
                    );
                }
                connection.socket = Some(socket);
            }
            (WireKind::EngineIo, None) => {
                let sid = self.new_sid();
                let wire = EngineIo::by_websocket(&mut self.common, now, key, sid.clone());
                self.common.key_by_sid.insert(sid, key);
                self.insert(key, about, Wire::EngineIo(Box::new(wire)), Some(socket));
            }
            (WireKind::Plain, _) => {
                let wire = Plain::new(&mut self.common, now, key);
                self.insert(key, about, Wire::Plain(Box::new(wire)), Some(socket));
            }
        }
        self.common.touch(key);
        let parts = plain.len().div_ceil(PART_BYTES);
        for (part, left) in plain.chunks_mut(PART_BYTES).zip((0..parts).rev()) {
            let Some(connection) = at(&mut self.connections, key) else { return };
            let result = connection.hear(&mut self.common, now, part);
            self.heard(now, key, result);
            self.send_in_time(now, part.len(), left == 0);
        }
    }

    /// Whether a source may open one more session that costs it no connection.
    fn may_open(&mut self, now: Now, about: &Arrival) -> bool {
        let is_within_budget =
            about.client.is_loopback() || self.openings.take(now.at, subscriber(about.client));
        is_within_budget && self.connections.len() < self.common.settings.connections_max && !self.is_stopping
    }

    fn new_sid(&mut self) -> Box<str> {
        BASE64_URL_SAFE_NO_PAD.encode(self.random.bytes::<16>()).into()
    }

    fn vacant(&mut self) -> Key {
        self.generation = self.generation.wrapping_add(1) & GENERATION_MASK;
        Key::new(self.connections.vacant_key(), self.generation)
    }

    fn insert(&mut self, key: Key, about: Arrival, wire: Wire, socket: Option<Socket>) {
        let Arrival { client, secure, origin, mount, .. } = &about;
        tracing::debug!(%client, secure, origin, mount, socket = socket.is_some(), "a signaling client came");
        // Its query has had its say, and may have a token in it.
        let about = Box::new(Arrival { query: Box::default(), ..about });
        let connection = Connection { generation: key.generation(), socket, wire, about, timer: None };
        let place = self.connections.insert(connection);
        debug_assert_eq!(place, key.place());
        self.common.touch(key);
        self.watch(key);
    }
}

/// The parts of a payload, each of whole packets. What is none stays whole, and is found to be none as that.
fn parts(mut body: &[u8]) -> Vec<&[u8]> {
    let is_payload = std::str::from_utf8(body).is_ok_and(|body| engine_io::payload(body).is_ok());
    let mut parts = Vec::new();
    while is_payload
        && let Some(behind) = body.get(PART_BYTES..)
        && let Some(end) = behind.iter().position(|byte| *byte == engine_io::SEPARATOR)
    {
        let (part, rest) = body.split_at(PART_BYTES + end);
        parts.push(part);
        body = &rest[1..];
    }
    parts.push(body);
    parts
}

/// Closes a WebSocket that has no session.
fn refuse(mut link: Link, out: &mut Vec<u8>, code: CloseCode, why: &'static str) {
    out.clear();
    write_close(out, code, why);
    if link.send(out).is_ok() {
        link.finish();
    }
}

/// Answers a request that belongs to no session. Whether its client still waits is its own matter.
fn answer(reply: oneshot::Sender<Answer>, answer: Answer) {
    let _gone_anyway = answer.give(reply);
}
