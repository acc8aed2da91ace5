//! How a server is spoken to: the wire, and the events by which a candidate goes to one user.

use std::io::Write as _;
use std::str::FromStr;

/// Engine.IO's own, which comes from the server, and its answer.
pub(crate) const PING: &str = "2";
pub(crate) const PONG: &[u8] = b"3";

/// One way to send a candidate from a user to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Bare TCP: messages of one length and nothing around them.
    Raw,
    /// Socket.IO, `relay {to, candidate}`: what the rivals serve, and Turnstone by a rule.
    Relay,
    /// Socket.IO, `webrtc:ice-candidate {to, candidate, call_id}` within a call.
    Native,
    /// Socket.IO, `event:emit {to, name, data}`.
    Emit,
    /// The events of `Native` over the plain WebSocket.
    Plain,
}

/// What carries the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Raw,
    SocketIo,
    Plain,
}

impl Dialect {
    pub(crate) fn wire(self) -> Wire {
        match self {
            Self::Raw => Wire::Raw,
            Self::Relay | Self::Native | Self::Emit => Wire::SocketIo,
            Self::Plain => Wire::Plain,
        }
    }

    /// Whether candidates belong to a call, which has to be set up.
    pub(crate) fn has_calls(self) -> bool {
        matches!(self, Self::Native | Self::Plain)
    }

    /// Appends the message that sends `candidate`, which is JSON, to the user `to`.
    pub(crate) fn push_candidate(self, out: &mut Vec<u8>, to: &str, call_id: &str, candidate: &[u8]) {
        let (name, middle): (&str, &[&[u8]]) = match self {
            Self::Raw => return out.extend(candidate),
            Self::Relay => ("relay", &[b"\",\"candidate\":", candidate, b"}"]),
            Self::Emit => ("event:emit", &[b"\",\"name\":\"candidate\",\"data\":", candidate, b"}"]),
            Self::Native | Self::Plain => (
                "webrtc:ice-candidate",
                &[b"\",\"call_id\":\"", call_id.as_bytes(), b"\",\"candidate\":", candidate, b"}"],
            ),
        };
        self.wire().push_event(out, name, None, |out| {
            out.extend(b"{\"to\":\"");
            out.extend(to.as_bytes());
            out.extend(middle.iter().copied().flatten());
        });
    }
}

impl Wire {
    /// Appends an event; `id` asks for an answer.
    pub(crate) fn push_event(
        self,
        out: &mut Vec<u8>,
        name: &str,
        id: Option<u32>,
        push_data: impl FnOnce(&mut Vec<u8>),
    ) {
        let id = id.map_or(String::new(), |id| match self {
            Self::Plain => format!("\"id\":{id},"),
            _ => id.to_string(),
        });
        let head = match self {
            Self::Plain => write!(out, "{{{id}\"ev\":\"{name}\",\"data\":"),
            _ => write!(out, "42{id}[\"{name}\","),
        };
        head.expect("memory takes all");
        push_data(out);
        out.push(if self == Self::Plain { b'}' } else { b']' });
    }

    /// What a message says.
    pub(crate) fn read(self, text: &[u8]) -> Said<'_> {
        let text = std::str::from_utf8(text).unwrap_or_default();
        let event = match self {
            Self::Raw => None,
            Self::SocketIo => match text.as_bytes() {
                _ if text == PING => return Said::Ping,
                [b'4', b'3', ..] => return Said::Answer(text),
                [b'4', b'2', ..] => text.split_once("[\"").map(|(_, rest)| rest),
                _ => None,
            },
            Self::Plain if text.starts_with("{\"re\":") => return Said::Answer(text),
            Self::Plain => text.split_once("\"ev\":\"").map(|(_, rest)| rest),
        };
        match event.and_then(|rest| rest.split_once('"')) {
            Some((name, _)) => Said::Event { name, text },
            None => Said::Other(text),
        }
    }
}

/// A message without a candidate.
#[derive(Debug)]
pub(crate) enum Said<'a> {
    /// Engine.IO's; it is answered in kind.
    Ping,
    Event {
        name: &'a str,
        text: &'a str,
    },
    /// To an event that had an id.
    Answer(&'a str),
    Other(&'a str),
}

impl FromStr for Dialect {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "raw" => Ok(Self::Raw),
            "relay" => Ok(Self::Relay),
            "native" => Ok(Self::Native),
            "emit" => Ok(Self::Emit),
            "plain" => Ok(Self::Plain),
            _ => Err("raw, relay, native, emit or plain"),
        }
    }
}
