//! Events of which only the latest counts: one at once, then at most one in each interval, and the last one always.

use super::bus::{Deliver, Goal, Message};
use super::hub::Timer;
use super::{Hub, SessionId};
use crate::base::{Now, TimerId};
use std::sync::Arc;

/// One stream of such events: of one session, by name and receiver. It is there while its interval runs.
#[derive(Debug)]
pub(super) struct Slot {
    number: u32,
    goal: Goal,
    name: Box<str>,
    timer: TimerId,
    /// The latest that was not sent.
    pending: Option<Box<Deliver>>,
}

impl Hub {
    /// Sends `event` now or when its interval is over. Where a session has too many streams the new ones are sent at
    /// once, as far as its budget goes.
    pub(super) fn coalesce(&mut self, now: Now, id: SessionId, goal: Goal, name: &str, event: Deliver) {
        let Some(session) = self.town.sessions.get_mut(id) else { return };
        if let Some(slot) = session.slots.iter_mut().find(|slot| slot.goal == goal && *slot.name == *name) {
            slot.pending = Some(Box::new(event));
            return;
        }
        if session.slots.len() < self.settings.messages.coalescing_per_session {
            let number = self.next_number;
            self.next_number = number.wrapping_add(1);
            let at = now.at.after(self.settings.messages.interval);
            let timer = self.timers.schedule(at, Timer::Slot(id, number));
            session.slots.push(Slot { number, goal, name: Box::from(name), timer, pending: None });
        }
        self.publish(Message::Deliver(event));
    }

    /// The interval of a stream is over.
    pub(super) fn on_slot(&mut self, now: Now, id: SessionId, number: u32) {
        let Some(session) = self.town.sessions.get_mut(id) else { return };
        let Some(at) = session.slots.iter().position(|slot| slot.number == number) else { return };
        let slot = &mut session.slots[at];
        let Some(event) = slot.pending.take() else {
            session.slots.swap_remove(at);
            if session.slots.is_empty() {
                session.slots = Vec::new();
            }
            return;
        };
        let again = now.at.after(self.settings.messages.interval);
        slot.timer = self.timers.schedule(again, Timer::Slot(id, number));
        self.publish(Message::Deliver(*event));
    }

    /// The session is over: what waits goes out now.
    pub(super) fn flush_slots(&mut self, slots: Vec<Slot>) {
        for slot in slots {
            self.timers.cancel(slot.timer);
            if let Some(event) = slot.pending {
                self.publish(Message::Deliver(*event));
            }
        }
    }
}

/// What tells the streams of all sessions apart.
pub(super) fn key(sender: &str, goal: &Goal, name: &str) -> Arc<str> {
    let (kind, target) = match goal {
        Goal::User(user) => ("u", user),
        Goal::Room(room) => ("r", room),
    };
    format!("{sender}/{kind}/{}/{target}/{name}", target.len()).into()
}
