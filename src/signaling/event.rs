//! What goes in and out of a session, before any wire has touched it.

use crate::metrics::{Label, SignalingError};
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;

/// One event of a client.
#[derive(Clone, Copy, Debug)]
pub struct Inbound<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its first argument, one JSON value as it came; `null` when there was none. Depth and size are checked already.
    pub data: &'a str,
    /// Its further arguments as they came, each with a comma in front; empty for nearly all events.
    pub more: &'a str,
    /// The binary attachments that `data` points to with placeholders, in order.
    pub attachments: &'a [Bytes],
    /// The client waits for an answer to this number.
    pub ack: Option<u64>,
}

/// One event for clients, shared by all who get it.
#[derive(Debug)]
pub struct Push {
    /// Its place among all events of this daemon; later ones are greater.
    pub seq: u64,
    /// Its name.
    pub event: Cow<'static, str>,
    /// One JSON object.
    pub data: Box<str>,
    /// Binary attachments that `data` points to with placeholders.
    pub attachments: Vec<Bytes>,
    /// What may become of it when a client does not keep up.
    pub class: Class,
}

/// What may become of an event for a client that does not read, or that was away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// Kept and sent again; one that does not fit closes the transport, and the session can be resumed.
    Reliable,
    /// Only the latest of its key counts.
    Coalescing(Arc<str>),
    /// May be left out, and is never sent again.
    Droppable,
}

/// What a session has for its client.
#[derive(Clone, Debug)]
pub enum Outgoing {
    /// An event; its offset goes with it.
    Push(Arc<Push>),
    /// The answer to an event that asked for one.
    Answer {
        /// The client's number.
        ack: u64,
        /// A JSON object without `ok`, which the wire adds; or why not.
        result: Result<Box<str>, Refusal>,
    },
    /// The same with arguments of any shape, as an application wants them.
    Acknowledge {
        /// The client's number.
        ack: u64,
        /// JSON values with commas between.
        arguments: Box<str>,
        /// Binary attachments that they point to with placeholders.
        attachments: Vec<Bytes>,
    },
}

impl Outgoing {
    /// The binary attachments that go with it.
    pub fn attachments(&self) -> &[Bytes] {
        match self {
            Self::Push(push) => &push.attachments,
            Self::Answer { .. } => &[],
            Self::Acknowledge { attachments, .. } => attachments,
        }
    }
}

/// Why an event came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub code: SignalingError,
    /// For people: one sentence.
    pub message: Cow<'static, str>,
    /// When to try again.
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    /// With a sentence that is always the same.
    pub const fn new(code: SignalingError, message: &'static str) -> Self {
        Self { code, message: Cow::Borrowed(message), retry_after_ms: None }
    }

    /// The `code` that the client reads.
    pub fn code_text(&self) -> &'static str {
        SignalingError::VALUES[self.code.index()]
    }
}
