//! Who types. The hub says itself that somebody stopped, when they do not go on.

use super::bus::{Deliver, Goal, Message, To};
use super::hub::Timer;
use super::json::Object;
use super::payload::Payload;
use super::{Class, Hub, Refusal, SessionId};
use crate::base::{Now, TimerId};
use std::borrow::Cow;

/// To so many rooms and users somebody may type at once.
const GOALS_MAX: usize = 8;

/// A session types to somebody.
#[derive(Debug)]
pub(super) struct Typing {
    number: u32,
    goal: Goal,
    timer: TimerId,
}

impl Hub {
    /// `message:typing {to|room}`
    pub(super) fn on_typing(
        &mut self,
        now: Now,
        id: SessionId,
        payload: &Payload<'_>,
    ) -> Result<(), Refusal> {
        let goal = payload.goal()?;
        self.expect_member(id, &goal)?;
        let at = now.at.after(self.settings.messages.typing);
        let number = self.next_number;
        let Some(session) = self.town.sessions.get_mut(id) else { return Ok(()) };
        if let Some(typing) = session.typing.iter_mut().find(|typing| typing.goal == goal) {
            self.timers.cancel(typing.timer);
            typing.timer = self.timers.schedule(at, Timer::Typing(id, typing.number));
        } else if session.typing.len() < GOALS_MAX {
            let timer = self.timers.schedule(at, Timer::Typing(id, number));
            session.typing.push(Typing { number, goal: goal.clone(), timer });
            self.next_number = number.wrapping_add(1);
        } else {
            return Err(super::limits::wait(
                "typing in too many places at once",
                self.settings.messages.typing,
            ));
        }
        self.tell_typing(id, &goal, "message:typing");
        Ok(())
    }

    /// `message:stop_typing {to|room}`
    pub(super) fn on_stop_typing(&mut self, id: SessionId, payload: &Payload<'_>) -> Result<(), Refusal> {
        let goal = payload.goal()?;
        self.expect_member(id, &goal)?;
        let Some(session) = self.town.sessions.get_mut(id) else { return Ok(()) };
        if let Some(at) = session.typing.iter().position(|typing| typing.goal == goal) {
            let typing = session.typing.swap_remove(at);
            self.timers.cancel(typing.timer);
            self.tell_typing(id, &goal, "message:stop_typing");
        }
        Ok(())
    }

    /// Nothing more was typed for a while.
    pub(super) fn on_typing_over(&mut self, id: SessionId, number: u32) {
        let Some(session) = self.town.sessions.get_mut(id) else { return };
        let Some(at) = session.typing.iter().position(|typing| typing.number == number) else { return };
        let goal = session.typing.swap_remove(at).goal;
        self.tell_typing(id, &goal, "message:stop_typing");
    }

    /// The session is about to end, and with it whatever it types.
    pub(super) fn stop_all_typing(&mut self, id: SessionId) {
        let Some(session) = self.town.sessions.get_mut(id) else { return };
        for typing in std::mem::take(&mut session.typing) {
            self.timers.cancel(typing.timer);
            self.tell_typing(id, &typing.goal, "message:stop_typing");
        }
    }

    fn tell_typing(&mut self, id: SessionId, goal: &Goal, event: &'static str) {
        let Some(session) = self.town.sessions.get(id) else { return };
        let from = Object::new().text("from", &session.identity.user);
        let (to, data) = match goal {
            Goal::User(user) => (To::User(user.clone()), from.finish()),
            Goal::Room(room) => (To::Room(room.clone()), from.text("room", room).finish()),
        };
        self.publish(Message::Deliver(Deliver {
            to,
            except: Some(self.origin(id)),
            event: Cow::Borrowed(event),
            data,
            attachments: Vec::new(),
            class: Class::Droppable,
        }));
    }
}
