//! What a client says, what the bus brings, what is due: each to whoever does it.

use super::bus::{Message, Request, To};
use super::call::{Command, Output, Recipients};
use super::hub::{Effect, Reply, SWEEP_EVERY, Timer};
use super::limits::Kind;
use super::payload::Payload;
use super::{Class, Hub, Inbound, Refusal, SessionId};
use crate::base::Now;
use crate::metrics::SignalingError;
use std::borrow::Cow;

/// So many sweeps look at every session once.
const SWEEP_PARTS: usize = 12;

impl Hub {
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
            "message:history" => return self.on_history(now, id, &payload, event.ack),
            "message:read" => return self.on_read(id, &payload, event.ack),
            "message:unread" => return self.on_unread(now, id, event.ack),
            "room:join" => return self.on_room_join(id, &payload, event.ack),
            "auth:refresh" => return self.on_refresh(id, &payload, event.ack),
            "room:leave" => self.on_room_leave(id, &payload),
            "presence:set" => self.on_presence_set(now, id, &payload),
            "presence:get" => self.on_presence_get(id, &payload),
            "presence:subscribe" => self.on_presence_subscribe(id, &payload),
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
                Timer::Shelf(place) => self.on_shelf_timer(now, place),
                Timer::SentEarlier => self.sent_earlier.clear(),
                Timer::Typing(session, number) => self.on_typing_over(session, number),
                Timer::Slot(session, number) => self.on_slot(now, session, number),
                Timer::Sweep => self.sweep(now),
            }
        }
        self.calls.on_deadline(now, &self.town);
        self.take_outputs();
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
                Output::Live(call) => self.effects.push_back(Effect::CallLive(call)),
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
                if let Some(user) = self.town.people.at_mut(session.user) {
                    user.trim_refs(now.at, self.settings.messages.client_ref);
                }
            }
        }
        self.sweep_part = (self.sweep_part + 1) % SWEEP_PARTS;
    }
}

fn unknown_event() -> Refusal {
    Refusal::new(SignalingError::BadRequest, "there is no event of this name")
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
    const NAMES: [&str; 13] = [
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
        "call:leave",
    ];
    let known = NAMES.iter().find(|name| **name == event);
    known.map_or_else(|| Cow::Owned(event.to_owned()), |name| Cow::Borrowed(*name))
}
