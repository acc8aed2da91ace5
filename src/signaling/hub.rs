//! The hub: who calls what.

use super::bus::{Deliver, Message, Origin, Request, To};
use super::call::{CallRecord, Calls, Command, Output, Recipients};
use super::clock::Clock;
use super::json::Object;
use super::limits::{Kind, SourceBudgets, hasher};
use super::messages::Pairs;
use super::payload::Payload;
use super::people::People;
use super::rooms::Rooms;
use super::session::Sessions;
use super::town::Town;
use super::{Class, Inbound, Push, Refusal, SessionId, Settings};
use crate::base::{Now, Random, Timestamp, Wheel};
use crate::metrics::{CounterSet, Label, SignalingError, signaling_errors};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use slab::Slab;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// 8 ms: fine enough for cursors.
const TICK_NANOS: u64 = 1 << 23;
/// Answers that are awaited from the bus; a local one answers at once.
const PENDING_MAX: usize = 1 << 16;
/// Every so often a part of the sessions gives up what it need not keep any more.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
const SWEEP_PARTS: usize = 12;

/// Sessions, presence, rooms, messages and calls of one node. See the module.
#[derive(Debug)]
pub struct Hub {
    pub(super) settings: Settings,
    pub(super) random: Random,
    pub(super) clock: Clock,
    /// What this node is called on the bus, and what its sequence numbers belong to.
    pub(super) node: u64,
    epoch: Box<str>,
    pub(super) seq: u64,
    /// For slots and timers that need a name within a session.
    pub(super) next_number: u32,
    pub(super) town: Town,
    pub(super) pairs: Pairs,
    /// Bytes of all messages that are kept.
    pub(super) talk_bytes: usize,
    pub(super) calls: Calls,
    pub(super) source_budgets: SourceBudgets,
    pub(super) timers: Wheel<Timer, TICK_NANOS>,
    pub(super) effects: VecDeque<Effect>,
    pending: Slab<Pending>,
    /// Tells those apart that had the same place.
    pending_serial: u32,
    pub(super) counters: CounterSet,
    /// Receivers of the event at hand; empty between two.
    pub(super) scratch: Vec<SessionId>,
    sweep_part: usize,
    pub(super) is_stopping: bool,
}

/// What the driver has to do.
#[derive(Debug)]
pub enum Effect {
    /// [`Hub::next_outgoing`] has something for this session; said once until it was drained empty.
    Ready(SessionId),
    /// Close the transport (never by a packet that tells the client to stay away), after writing what is queued as far
    /// as the connection takes it; then [`Hub::on_lost`].
    Close {
        /// Whose.
        session: SessionId,
        /// Why. The session can be resumed, [`Closing::Replaced`] aside.
        why: Closing,
    },
    /// Verify this token and call [`Hub::on_verified`].
    Verify {
        /// Who sent it.
        session: SessionId,
        /// What to answer.
        ack: Option<u64>,
        /// At most 8 KiB.
        token: Box<str>,
    },
    /// Put it on the bus; with one node, hand it to [`Hub::on_bus`] before anything else.
    Publish(Message),
    /// A call is over.
    CallEnded(Box<CallRecord>),
}

/// Why a transport is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The client does not read what there is for it.
    Overflow,
    /// The token ended and was not renewed.
    TokenExpired,
    /// Too many events were refused.
    CoolDown,
    /// The daemon stops.
    Shutdown,
    /// The same client came back with a new session.
    Replaced,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The end of a session that is away.
    Window(SessionId),
    /// The end of a token, or a minute before it.
    Token(SessionId),
    /// Grace and memory of a user.
    User(u32),
    /// The shortest time between two updates of a user.
    Quiet(u32),
    /// A room may be idle.
    Room(u32),
    /// A pair may be idle.
    Pair(u32),
    /// Somebody stopped typing without saying so.
    Typing(SessionId, u32),
    /// The interval of coalescing events.
    Slot(SessionId, u32),
    /// A part of the sessions gives up what is old.
    Sweep,
}

/// What a verb leads to.
pub(super) enum Reply {
    /// This answer.
    Now(Box<str>),
    /// An answer that comes over the bus.
    Later,
}

/// An answer that is awaited from the bus.
#[derive(Debug)]
struct Pending {
    serial: u32,
    session: SessionId,
    /// The transport that asked.
    transport: u32,
    ack: Option<u64>,
    event: Cow<'static, str>,
}

impl Hub {
    /// A hub without sessions.
    pub fn new(settings: Settings, mut random: Random, now: Now) -> Self {
        let mut timers = Wheel::new(now.at);
        timers.schedule(now.at.after(SWEEP_EVERY), Timer::Sweep);
        let hasher = hasher(&mut random);
        let town = Town {
            sessions: Sessions::new(&hasher),
            people: People::new(&hasher),
            rooms: Rooms::new(&hasher),
            relay: settings.relay.clone(),
        };
        Self {
            clock: Clock::new(now),
            node: random.next_u64(),
            epoch: URL_SAFE_NO_PAD.encode(random.bytes::<6>()).into(),
            seq: 0,
            next_number: 0,
            town,
            pairs: Pairs::new(&hasher),
            talk_bytes: 0,
            calls: Calls::new(settings.calls.clone(), random.fork(), now.at),
            source_budgets: SourceBudgets::new(&settings.rates, &mut random),
            timers,
            effects: VecDeque::new(),
            pending: Slab::new(),
            pending_serial: 0,
            counters: CounterSet::default(),
            scratch: Vec::new(),
            sweep_part: 0,
            is_stopping: false,
            settings,
            random,
        }
    }

    /// Goes by other settings from now on.
    pub fn reload(&mut self, settings: Settings) {
        if settings.rates.source != self.settings.rates.source {
            self.source_budgets = SourceBudgets::new(&settings.rates, &mut self.random);
        }
        self.calls.reload(settings.calls.clone());
        self.town.relay = settings.relay.clone();
        self.settings = settings;
    }

    /// An event of a client. Exactly one answer follows to each that asks for one, while its transport lasts.
    pub fn on_event(&mut self, now: Now, session: SessionId, event: Inbound<'_>) {
        let Some(known) = self.town.sessions.get_mut(session) else { return };
        if !known.is_attached || known.is_closing {
            return;
        }
        known.heard_at = now.at;
        match self.obey(now, session, &event) {
            Ok(Reply::Later) => {}
            Ok(Reply::Now(answer)) => {
                if let Some(ack) = event.ack {
                    self.answer(session, ack, Ok(answer));
                }
            }
            Err(refusal) => {
                let call_id = call_id_of(&event);
                self.refuse(now, session, event.ack, event.name, call_id.as_deref(), refusal);
            }
        }
    }

    fn obey(&mut self, now: Now, id: SessionId, event: &Inbound<'_>) -> Result<Reply, Refusal> {
        let kind = Kind::of(event.name);
        self.spend(now, id, kind, 1)?;
        if matches!(kind, Kind::Media | Kind::CallStart) {
            return self.command(id, event);
        }
        let payload = Payload::parse(event.data)?;
        let done = |result: Result<(), Refusal>| result.map(|()| super::json::done());
        let answer = match event.name {
            "message:send" => return self.on_send(id, &payload, event),
            "room:join" => return self.on_room_join(id, &payload, event.ack),
            "auth:refresh" => return self.on_refresh(id, &payload, event.ack),
            "room:leave" => self.on_room_leave(id, &payload),
            "presence:set" => self.on_presence_set(now, id, &payload),
            "presence:get" => self.on_presence_get(id, &payload),
            "presence:subscribe" => self.on_presence_subscribe(id, &payload),
            "message:history" => self.on_history(id, &payload),
            "message:read" => self.on_read(id, &payload),
            "message:typing" => done(self.on_typing(now, id, &payload)),
            "message:stop_typing" => done(self.on_stop_typing(id, &payload)),
            "heartbeat" => Ok(self.on_heartbeat(now, id)),
            "event:emit" => done(self.on_emit(now, id, &payload, event)),
            _ => Err(unknown_event()),
        };
        answer.map(Reply::Now)
    }

    /// An event of calls: read here, decided by whoever owns the call.
    fn command(&mut self, id: SessionId, event: &Inbound<'_>) -> Result<Reply, Refusal> {
        let command = Command::parse(event.name, event.data).ok_or_else(unknown_event)??;
        let Some(session) = self.town.sessions.get(id) else { return Ok(Reply::Later) };
        let from = session.party();
        let request = self.expect(id, event.ack, known_name(event.name))?;
        self.publish(Message::Call { from, request, command });
        Ok(Reply::Later)
    }

    /// What came over the bus, our own messages included.
    pub fn on_bus(&mut self, now: Now, message: Message) {
        match message {
            Message::Deliver(event) => self.deliver(now, event),
            Message::Room(change) => self.on_room(now, change),
            Message::Say(say) => self.on_say(now, *say),
            Message::Presence(news) => self.on_presence(now, news),
            Message::Call { from, request, command } => {
                self.calls.on_command(now, &from, request.number, command, &self.town);
                self.take_outputs();
            }
            Message::Device { party, change } => {
                self.calls.on_device(now, &party, change, &self.town);
                self.take_outputs();
            }
            Message::Answer { request, result } => self.on_answer(now, request, result),
        }
    }

    /// Does what is due; see [`Hub::next_deadline`].
    pub fn on_deadline(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop(now.at) {
            match timer {
                Timer::Window(session) => self.on_window_over(now, session),
                Timer::Token(session) => self.on_token_timer(now, session),
                Timer::User(place) => self.on_user_timer(now, place),
                Timer::Quiet(place) => self.on_quiet_over(now, place),
                Timer::Room(place) => self.on_room_timer(now, place),
                Timer::Pair(place) => self.on_pair_timer(now, place),
                Timer::Typing(session, number) => self.on_typing_over(session, number),
                Timer::Slot(session, number) => self.on_slot(now, session, number),
                Timer::Sweep => self.sweep(now),
            }
        }
        self.calls.on_deadline(now, &self.town);
        self.take_outputs();
    }

    /// When [`Hub::on_deadline`] has something to do; never late, sometimes early.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let own = self.timers.next_deadline();
        let calls = self.calls.next_deadline();
        own.into_iter().chain(calls).min()
    }

    /// The next thing for the driver to do; to be drained after each input.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Where a client that has seen `push` goes on: `<epoch>.<number>`.
    pub fn offset(&self, push: &Push) -> String {
        format!("{}.{}", self.epoch, push.seq)
    }

    /// The number in an offset of this node; `None` for any other text.
    pub(super) fn parse_offset(&self, offset: &str) -> Option<u64> {
        let (epoch, number) = offset.split_once('.')?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let is_plain = is_number && (number == "0" || !number.starts_with('0'));
        (epoch == &*self.epoch && is_plain).then(|| number.parse().ok()).flatten()
    }

    /// What is counted here.
    pub fn counters(&mut self) -> &mut CounterSet {
        &mut self.counters
    }

    pub(super) fn publish(&mut self, message: Message) {
        self.effects.push_back(Effect::Publish(message));
    }

    pub(super) fn publish_to(
        &mut self,
        to: To,
        except: Option<Origin>,
        event: &'static str,
        data: Box<str>,
        class: Class,
    ) {
        let event = Cow::Borrowed(event);
        self.publish(Message::Deliver(Deliver { to, except, event, data, attachments: Vec::new(), class }));
    }

    pub(super) fn publish_to_room(
        &mut self,
        room: Arc<str>,
        except: Option<Origin>,
        event: &'static str,
        data: Box<str>,
    ) {
        self.publish_to(To::Room(room), except, event, data, Class::Reliable);
    }

    pub(super) fn origin(&self, session: SessionId) -> Origin {
        Origin { node: self.node, session }
    }

    /// Notes that an answer is awaited from the bus.
    pub(super) fn expect(
        &mut self,
        session: SessionId,
        ack: Option<u64>,
        event: impl Into<Cow<'static, str>>,
    ) -> Result<Request, Refusal> {
        if self.pending.len() >= PENDING_MAX {
            return Err(super::limits::wait("the server is busy", Duration::from_secs(1)));
        }
        let transport = self.town.sessions.get(session).map_or(0, |session| session.transport);
        self.pending_serial = self.pending_serial.wrapping_add(1);
        let serial = self.pending_serial;
        let place = self.pending.insert(Pending { serial, session, transport, ack, event: event.into() });
        Ok(Request { node: self.node, number: u64::from(serial) << 32 | place as u64 })
    }

    fn on_answer(&mut self, now: Now, request: Request, result: Result<Box<str>, Refusal>) {
        let place = (request.number & u64::from(u32::MAX)) as usize;
        let is_known =
            self.pending.get(place).is_some_and(|pending| u64::from(pending.serial) == request.number >> 32);
        if request.node != self.node || !is_known {
            return;
        }
        let Pending { session, transport, ack, event, .. } = self.pending.remove(place);
        if self.town.sessions.get(session).is_none_or(|session| session.transport != transport) {
            return;
        }
        match (result, ack) {
            (Ok(answer), Some(ack)) => self.answer(session, ack, Ok(answer)),
            (Ok(_), None) => {}
            (Err(refusal), ack) => self.refuse(now, session, ack, &event, None, refusal),
        }
    }

    /// Tells a client that its event came to nothing: as the answer that it waits for, else as an event.
    pub(super) fn refuse(
        &mut self,
        now: Now,
        session: SessionId,
        ack: Option<u64>,
        event: &str,
        call_id: Option<&str>,
        refusal: Refusal,
    ) {
        self.counters.increment(signaling_errors(refusal.code));
        let is_flood = refusal.code == SignalingError::RateLimited;
        if let Some(ack) = ack {
            self.answer(session, ack, Err(refusal));
        } else {
            let is_call = event.starts_with("call:") || event.starts_with("webrtc:");
            let name = if is_call { "call:error" } else { "error" };
            let data = error_object(event, call_id, &refusal);
            let class = if is_call && !is_flood { Class::Reliable } else { Class::Droppable };
            self.tell(now, session, name, data, class);
        }
        self.strike(now, session);
    }

    pub(super) fn take_outputs(&mut self) {
        while let Some(output) = self.calls.next_output() {
            match output {
                Output::Answer { request: number, result } => {
                    let request = Request { node: self.node, number };
                    self.publish(Message::Answer { request, result });
                }
                Output::Emit { to, event, data } => {
                    let to = match to {
                        Recipients::Device(party) => To::Device(party),
                        Recipients::Devices(parties) => To::Devices(parties),
                    };
                    self.publish_to(to, None, event, data, Class::Reliable);
                }
                Output::Ended(record) => self.effects.push_back(Effect::CallEnded(record)),
                Output::Count(counter) => self.counters.increment(counter),
                Output::SetUp(millis) => self.counters.observe_call_setup(millis),
            }
        }
    }

    fn sweep(&mut self, now: Now) {
        self.timers.schedule(now.at.after(SWEEP_EVERY), Timer::Sweep);
        let step = self.town.sessions.places().div_ceil(SWEEP_PARTS);
        for place in self.sweep_part * step..(self.sweep_part + 1) * step {
            if let Some(session) = self.town.sessions.at_place(place) {
                session.log.trim(now.at, &self.settings.log);
            }
        }
        self.sweep_part = (self.sweep_part + 1) % SWEEP_PARTS;
    }
}

fn unknown_event() -> Refusal {
    Refusal::new(SignalingError::BadRequest, "there is no event of this name")
}

fn error_object(event: &str, call_id: Option<&str>, refusal: &Refusal) -> Box<str> {
    let shown: &str = &event[..event.floor_char_boundary(64)];
    let object = Object::new()
        .text("event", shown)
        .maybe_text("call_id", call_id)
        .text("code", SignalingError::VALUES[refusal.code.index()])
        .text("message", &refusal.message);
    match refusal.retry_after_ms {
        Some(ms) => object.number("retry_after_ms", ms).finish(),
        None => object.finish(),
    }
}

/// The call that a refused event named, for those who sent it without waiting for an answer.
fn call_id_of(event: &Inbound<'_>) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        call_id: String,
    }
    let is_of_call = event.name.starts_with("call:") || event.name.starts_with("webrtc:");
    let named = (event.ack.is_none() && is_of_call).then(|| serde_json::from_str::<Named>(event.data).ok());
    named.flatten().map(|named| named.call_id).filter(|id| id.len() <= super::payload::NAME_BYTES_MAX)
}

/// The events of calls by names that need no memory of their own.
fn known_name(event: &str) -> Cow<'static, str> {
    const NAMES: [&str; 12] = [
        "webrtc:ice-candidate",
        "webrtc:offer",
        "webrtc:answer",
        "call:start",
        "call:accepted",
        "call:rejected",
        "call:connected",
        "call:stats",
        "call:end",
        "call:sync",
        "call:restart",
        "call:join",
    ];
    let known = NAMES.iter().find(|name| **name == event);
    known.map_or_else(|| Cow::Owned(event.to_owned()), |name| Cow::Borrowed(*name))
}
