//! From the bus into the queues of sessions.

use super::bus::{Deliver, Origin, To};
use super::session_log::Queued;
use super::{Class, Closing, Effect, Hub, Outgoing, Push, Refusal, SessionId};
use crate::base::Now;
use crate::metrics::{Overflow, signaling_dropped};
use std::borrow::Cow;
use std::sync::Arc;

impl Hub {
    /// Brings an event to those sessions of this node that it is for. One copy of it serves all.
    pub(super) fn deliver(&mut self, now: Now, event: Deliver) {
        let Deliver { to, except, event, data, attachments, class } = event;
        let mut receivers = std::mem::take(&mut self.scratch);
        self.receivers(&to, except, &mut receivers);
        if !receivers.is_empty() {
            let push = Arc::new(Push { seq: self.next_seq(), event, data, attachments, class });
            for id in &receivers {
                self.queue(now, *id, &push);
            }
        }
        receivers.clear();
        self.scratch = receivers;
    }

    pub(super) fn receivers(&self, to: &To, except: Option<Origin>, into: &mut Vec<SessionId>) {
        let except = except.filter(|origin| origin.node == self.node).map(|origin| origin.session);
        let people = &self.town.people;
        match to {
            To::Session(origin) => into.extend((origin.node == self.node).then_some(origin.session)),
            To::Device(party) => into.extend(people.device(party).iter().flat_map(|device| &device.sessions)),
            To::Devices(parties) => {
                let devices = parties.iter().filter_map(|party| people.device(party));
                into.extend(devices.flat_map(|device| &device.sessions));
            }
            To::User(user) => into.extend(people.find(user).iter().flat_map(|user| user.sessions())),
            To::Room(room) => {
                let members = self.town.rooms.find(room).map_or(&[][..], |room| &room.members);
                into.extend(members.iter().map(|member| member.session));
            }
        }
        if let Some(except) = except {
            into.retain(|id| *id != except);
        }
    }

    /// Queues an event for one session.
    pub(super) fn queue(&mut self, now: Now, id: SessionId, push: &Arc<Push>) {
        let Some(session) = self.town.sessions.get_mut(id) else { return };
        if !session.is_attached && push.class == Class::Droppable {
            return;
        }
        let queued = session.log.push(now.at, &self.settings.log, Arc::clone(push));
        match queued {
            Queued::Fits => {}
            Queued::Replaced => self.counters.increment(signaling_dropped(Overflow::Coalescing)),
            Queued::Dropped => return self.counters.increment(signaling_dropped(Overflow::Droppable)),
            Queued::Overflow => self.overflow(id),
        }
        self.ready(id);
    }

    /// Queues an event for one session of this node, by nobody.
    pub(super) fn tell(
        &mut self,
        now: Now,
        id: SessionId,
        event: &'static str,
        data: Box<str>,
        class: Class,
    ) {
        let seq = self.next_seq();
        let event = Cow::Borrowed(event);
        self.queue(now, id, &Arc::new(Push { seq, event, data, attachments: Vec::new(), class }));
    }

    /// Answers a client that waits for it.
    pub(super) fn answer(&mut self, id: SessionId, ack: u64, result: Result<Box<str>, Refusal>) {
        let Some(session) = self.town.sessions.get_mut(id).filter(|session| session.is_attached) else {
            return;
        };
        if !session.log.answer(&self.settings.log, ack, result) {
            self.overflow(id);
        }
        self.ready(id);
    }

    /// The next thing for the client of this session; the driver calls it when the connection can take more.
    pub fn next_outgoing(&mut self, session: SessionId) -> Option<Outgoing> {
        let session = self.town.sessions.get_mut(session)?;
        if !session.is_attached {
            return None;
        }
        if let Some(greeting) = session.greeting.take() {
            return Some(Outgoing::Push(greeting));
        }
        let next = session.log.pop(&self.settings.log);
        session.is_ready &= next.is_some();
        next
    }

    /// Tells the driver, once, that there is something to send.
    pub(super) fn ready(&mut self, id: SessionId) {
        let Some(session) = self.town.sessions.get_mut(id) else { return };
        if session.is_attached && !session.is_ready {
            session.is_ready = true;
            self.effects.push_back(Effect::Ready(id));
        }
    }

    /// Has the driver close the transport, once.
    pub(super) fn close(&mut self, id: SessionId, why: Closing) {
        let Some(session) = self.town.sessions.get_mut(id) else { return };
        if session.is_attached && !session.is_closing {
            session.is_closing = true;
            self.effects.push_back(Effect::Close { session: id, why });
        }
    }

    fn overflow(&mut self, id: SessionId) {
        let attached =
            self.town.sessions.get(id).is_some_and(|session| session.is_attached && !session.is_closing);
        if attached {
            self.counters.increment(signaling_dropped(Overflow::Reliable));
            self.close(id, Closing::Overflow);
        }
    }

    pub(super) fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }
}
