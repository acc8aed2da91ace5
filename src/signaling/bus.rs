//! What one session does to another.
//!
//! A hub hands every such deed to its driver ([`super::Effect::Publish`]) and acts only when it hears it
//! ([`super::Hub::on_bus`]), in the order of the bus. With one node the driver hands it straight back; with several
//! it goes to all who need it. So nothing here is borrowed, and everything is named as every node would name it.

use super::call::{Command, DeviceChange};
use super::{Class, Party, Refusal, SessionId};
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;

/// A session of any node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The node that holds it: a random number that the node drew when it started.
    pub node: u64,
    /// What that node calls it.
    pub session: SessionId,
}

/// Where the answer to a message is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// The node that asks.
    pub node: u64,
    /// Its number for the answer.
    pub number: u64,
}

/// A deed.
#[derive(Debug)]
pub enum Message {
    /// An event for clients.
    Deliver(Deliver),
    /// A session comes into a room or leaves it.
    Room(RoomChange),
    /// Somebody sends a message, which gets its id and its number from whoever keeps the conversation.
    Say(Box<Say>),
    /// How a user is now.
    Presence(Presence),
    /// Something for the calls.
    Call {
        /// Who says it.
        from: Party,
        /// For the answer.
        request: Request,
        /// What it is.
        command: Command,
    },
    /// A device came, was lost, is back or is gone.
    Device {
        /// Which.
        party: Party,
        /// What happened.
        change: DeviceChange,
    },
    /// The answer to a message that carried a request.
    Answer {
        /// Which.
        request: Request,
        /// A JSON object without `ok`, or why not.
        result: Result<Box<str>, Refusal>,
    },
}

/// An event for clients.
#[derive(Debug)]
pub struct Deliver {
    /// Who gets it.
    pub to: To,
    /// This session does not.
    pub except: Option<Origin>,
    /// Its name.
    pub event: Cow<'static, str>,
    /// One JSON object.
    pub data: Box<str>,
    /// Binary attachments that `data` points to with placeholders.
    pub attachments: Vec<Bytes>,
    /// What may become of it when a client does not keep up.
    pub class: Class,
}

/// Who gets an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// One session.
    Session(Origin),
    /// Every session of one device.
    Device(Party),
    /// Every session of several devices; each device once.
    Devices(Vec<Party>),
    /// Every session of a user.
    User(Arc<str>),
    /// Every member of a room.
    Room(Arc<str>),
}

/// A session comes into a room or leaves it.
#[derive(Debug)]
pub struct RoomChange {
    /// The room.
    pub room: Arc<str>,
    /// The session.
    pub member: Origin,
    /// Of this device.
    pub party: Party,
    /// Which of both.
    pub step: RoomStep,
}

/// What happens to a member of a room.
#[derive(Debug)]
pub enum RoomStep {
    /// It comes, or tells anew what it is.
    Join {
        /// Its role.
        role: Option<Box<str>>,
        /// What it tells about itself: one JSON value.
        info: Option<Box<str>>,
        /// For the answer.
        request: Request,
    },
    /// It leaves.
    Leave,
}

/// A message from one user to another, or to a room.
#[derive(Debug)]
pub struct Say {
    /// The session that sends it.
    pub from: Origin,
    /// Of this device.
    pub party: Party,
    /// To whom.
    pub to: Goal,
    /// What it says: one JSON value.
    pub body: Box<str>,
    /// The message that it belongs to.
    pub thread: Option<Box<str>>,
    /// What it points to: a JSON array.
    pub attachments: Option<Box<str>>,
    /// The client's own name for it.
    pub client_ref: Option<Box<str>>,
    /// It is to outlive the daemon.
    pub store: bool,
    /// For the answer.
    pub request: Request,
}

impl Say {
    /// About what it takes while it waits.
    pub(super) fn bytes(&self) -> usize {
        let attachments = self.attachments.as_deref().map_or(0, str::len);
        2 * (self.body.len() + attachments) + 512
    }

    /// Whether both are one message, which its sender sent again under its name.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.client_ref.is_some()
            && self.client_ref == other.client_ref
            && self.party.user == other.party.user
    }
}

/// To whom a client speaks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Goal {
    /// A user.
    User(Arc<str>),
    /// A room.
    Room(Arc<str>),
}

/// How a user is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// The user.
    pub user: Arc<str>,
    /// The rooms of the user's sessions.
    pub rooms: Vec<Arc<str>>,
    /// Whether the user just came or went; the older names of these two events go out as well.
    pub turned: Option<bool>,
    /// The object that `presence:update` carries.
    pub data: Box<str>,
}
