//! Free events of applications.

use super::bus::{Deliver, Goal, Message, To};
use super::json::Object;
use super::payload::{Payload, at_most, bad, required};
use super::{Class, Hub, Inbound, Refusal, SessionId, coalesce};
use crate::base::Now;
use std::borrow::Cow;

/// Bytes of the name of a free event.
const EVENT_NAME_BYTES_MAX: usize = 64;

/// Names that the hub or the client libraries use themselves: an application that sent them under this name would be
/// taken for them as soon as a relay rule or a client gives free events their own names back.
const RESERVED: [&str; 13] = [
    "connect",
    "connect_error",
    "connecting",
    "disconnect",
    "disconnecting",
    "error",
    "event",
    "heartbeat",
    "heartbeat:ack",
    "newListener",
    "removeListener",
    "user_offline",
    "user_online",
];

/// Families of native events.
const RESERVED_FAMILIES: [&str; 9] =
    ["auth:", "call:", "connection:", "event:", "message:", "presence:", "room:", "server:", "webrtc:"];

impl Hub {
    /// `event:emit {to|room, name, data, class?}`
    pub(super) fn on_emit(
        &mut self,
        now: Now,
        id: SessionId,
        payload: &Payload<'_>,
        inbound: &Inbound<'_>,
    ) -> Result<(), Refusal> {
        let goal = payload.goal()?;
        let name = required(payload.name()?, "name")?;
        check_name(&name)?;
        let data = payload.data()?.unwrap_or("null");
        check_placeholders(data, inbound.attachments.len())?;
        let class = payload.class()?;
        self.expect_member(id, &goal)?;
        let Some(session) = self.town.sessions.get(id) else { return Ok(()) };
        let mut event = Deliver {
            to: to(&goal),
            except: Some(self.origin(id)),
            event: Cow::Borrowed("event"),
            data: write(Some(&session.identity.user), &goal, &name, data),
            attachments: inbound.attachments.to_vec(),
            class: Class::Reliable,
        };
        match class.as_deref() {
            None => self.publish(Message::Deliver(event)),
            Some("droppable") => {
                event.class = Class::Droppable;
                self.publish(Message::Deliver(event));
            }
            Some("coalesce") => {
                event.class = Class::Coalescing(coalesce::key(&session.public.text(), &goal, &name));
                self.coalesce(now, id, goal, &name, event);
            }
            Some(_) => return Err(bad("`class` must be \"coalesce\" or \"droppable\"".into())),
        }
        Ok(())
    }
}

/// Where an event for this goal goes.
pub(super) fn to(goal: &Goal) -> To {
    match goal {
        Goal::User(user) => To::User(user.clone()),
        Goal::Room(room) => To::Room(room.clone()),
    }
}

/// The object that `event` carries; `from` is null where no user sent it.
pub(super) fn write(from: Option<&str>, goal: &Goal, name: &str, data: &str) -> Box<str> {
    let object = Object::sized(data.len() + name.len() + from.map_or(4, str::len) + 64);
    let object = match from {
        Some(user) => object.text("from", user),
        None => object.raw("from", "null"),
    };
    let object = match goal {
        Goal::Room(room) => object.text("room", room),
        Goal::User(_) => object,
    };
    object.text("name", name).raw("data", data).finish()
}

pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    at_most(name, EVENT_NAME_BYTES_MAX, "name")?;
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(bad("`name` must be a string of 1 to 64 bytes without control characters".into()));
    }
    if RESERVED.contains(&name) || RESERVED_FAMILIES.iter().any(|family| name.starts_with(family)) {
        return Err(bad(format!("`name`: \"{name}\" is a name of the server's own")));
    }
    Ok(())
}

/// Clients put the attachments back where placeholders stand, and break off the connection at one that points to none.
/// No client may do that to others.
fn check_placeholders(data: &str, attachments: usize) -> Result<(), Refusal> {
    if attachments == 0 || !data.contains("placeholder") && !data.contains('\\') {
        return Ok(());
    }
    let value: serde_json::Value =
        serde_json::from_str(data).map_err(|_| bad("`data` must be JSON".into()))?;
    if points_within(&value, attachments) {
        return Ok(());
    }
    Err(bad("`data` points to a binary attachment that there is not".into()))
}

/// No deeper than the wire lets a payload be.
fn points_within(value: &serde_json::Value, attachments: usize) -> bool {
    match value {
        serde_json::Value::Array(items) => items.iter().all(|item| points_within(item, attachments)),
        serde_json::Value::Object(fields) => {
            let is_placeholder = fields.get("_placeholder") == Some(&serde_json::Value::Bool(true));
            let points = fields.get("num").and_then(serde_json::Value::as_u64);
            let is_good = points.is_some_and(|num| num < attachments as u64);
            (!is_placeholder || is_good) && fields.values().all(|field| points_within(field, attachments))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_points_to_an_attachment_that_there_is() {
        let holder = |num: &str| format!(r#"[{{"a":{{"_placeholder":true,"num":{num}}}}}]"#);
        for (data, attachments, is_good) in [
            (holder("0"), 1, true),
            (holder("1"), 1, false),
            (holder("-1"), 1, false),
            (holder("0.5"), 1, false),
            (holder("\"0\""), 1, false),
            (holder("7"), 0, true),
            (r#"{"_placeholder":true}"#.into(), 1, false),
            (r#"{"\u005fplaceholder":true,"num":5}"#.into(), 1, false),
            (r#"{"_placeholder":false,"num":5}"#.into(), 1, true),
            ("null".into(), 1, true),
        ] {
            assert_eq!(check_placeholders(&data, attachments).is_ok(), is_good, "{data} with {attachments}");
        }
    }

    #[test]
    fn names_of_the_servers_own_are_refused() {
        for name in
            ["connect", "disconnect", "error", "call:start", "webrtc:x", "message:receive", "", "a\nb"]
        {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        assert!(check_name(&"n".repeat(65)).is_err());
        for name in ["cursor", "code_change", "Call:start", &"n".repeat(64)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
    }
}
