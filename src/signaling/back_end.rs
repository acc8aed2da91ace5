//! What the application's back end says and asks: it is no session, and may reach everybody.

use super::bus::{Deliver, Goal, Message};
use super::emit::{check_name, to, write};
use super::json::Object;
use super::payload::{NAME_SHAPE, is_name, wrong};
use super::{Class, Hub, Refusal, coalesce};
use crate::base::Now;
use crate::metrics::SignalingError;
use std::borrow::Cow;
use std::sync::Arc;

/// An event of the back end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackEndEvent {
    /// To whom.
    pub to: Goal,
    /// Its name: one that a client could give it, too.
    pub name: Box<str>,
    /// One JSON value.
    pub data: Box<str>,
    /// What may become of it when a client does not keep up: `coalesce`, `droppable`, or nothing.
    pub class: Option<Box<str>>,
}

/// Whose presence the back end asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Of these users, 256 at most.
    Users(Vec<Box<str>>),
    /// Of those who are in a room.
    Room(Box<str>),
}

impl Hub {
    /// Brings an event of the back end to a user or a room. Returns how many sessions of this node it is for.
    ///
    /// # Errors
    /// `bad_request`, or `rate_limited`: all back ends together have the rate of one source.
    pub fn publish_event(&mut self, now: Now, event: BackEndEvent) -> Result<usize, Refusal> {
        let rate = self.settings.rates.source.other;
        if !self.back_end.take(now.at, rate, 1) {
            return Err(super::limits::rate_limited(rate));
        }
        let BackEndEvent { to: goal, name, data, class } = event;
        let (Goal::User(target) | Goal::Room(target)) = &goal;
        if !is_name(target) {
            return Err(wrong("to", NAME_SHAPE));
        }
        check_name(&name)?;
        let class = match class.as_deref() {
            None => Class::Reliable,
            Some("droppable") => Class::Droppable,
            Some("coalesce") => Class::Coalescing(coalesce::key("", &goal, &name)),
            Some(_) => return Err(wrong("class", "\"coalesce\" or \"droppable\"")),
        };
        let (to, data) = (to(&goal), write(None, &goal, &name, &data));
        let mut receivers = Vec::new();
        self.receivers(&to, None, &mut receivers);
        let event = Cow::Borrowed("event");
        self.publish(Message::Deliver(Deliver {
            to,
            except: None,
            event,
            data,
            attachments: Vec::new(),
            class,
        }));
        Ok(receivers.len())
    }

    /// The object that `presence:get` answers with, for whomever the back end asks.
    ///
    /// # Errors
    /// `not_found`: nobody is in such a room.
    pub fn presence_of(&self, whose: &Whose) -> Result<Box<str>, Refusal> {
        let names: Vec<Arc<str>> = match whose {
            Whose::Users(users) if users.len() <= super::presence::USERS_MAX => {
                users.iter().map(|user| Arc::from(&**user)).collect()
            }
            Whose::Users(_) => {
                return Err(Refusal::new(SignalingError::TooLarge, "`users` has more than 256 entries"));
            }
            Whose::Room(room) => {
                let place = self.town.rooms.place(room);
                self.members_of(
                    place.ok_or(Refusal::new(SignalingError::NotFound, "nobody is in this room"))?,
                )
            }
        };
        let (mut users, mut is_cut) = (Object::new(), false);
        for name in names {
            let record = super::presence::record(Object::new(), self.town.people.find(&name)).finish();
            is_cut = users.len() + record.len() > super::presence::ANSWER_BYTES_MAX;
            if is_cut {
                break;
            }
            users = users.raw(&name, &record);
        }
        let answer = Object::new().raw("users", &users.finish());
        Ok(if is_cut { answer.flag("more", true).finish() } else { answer.finish() })
    }
}
