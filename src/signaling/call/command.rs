//! What a client may say about calls.

use super::super::Refusal;
use super::fields::{Fields, opaque, wrong};
use crate::metrics::{EndReason, SignalingError};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// Bytes of `data` of `call:start` and of `digest` of `call:stats`.
pub(super) const DATA_BYTES_MAX: usize = 4096;
/// Bytes of an offer or answer; a message of any wire is no longer.
const DESCRIPTION_BYTES_MAX: usize = 65_536;
/// Bytes of one candidate: browsers write some 200.
const CANDIDATE_BYTES_MAX: usize = 4096;
/// Candidates in one event: more than a client gathers in a moment.
const BATCH_MAX: usize = 32;

/// One event of a client, read and checked; nothing in it is borrowed, so that it can travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command(pub(super) Verb);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Start(Box<Start>),
    Accept(Target),
    Reject(Target, Decline),
    Describe(Box<Describe>),
    Candidates(Candidates),
    Connected(Target),
    Stats(Target, Box<str>),
    Restart(Target),
    End(Target, Option<EndReason>),
    Join(Target, Option<Box<str>>),
    Leave(Target),
    Sync,
}

/// Which call is meant: by id, or by the user at its other end, or neither when there is only one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) call_id: Option<Ulid>,
    pub(super) to: Option<Box<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) goal: Goal,
    pub(super) media: Media,
    pub(super) client_ref: Option<Box<str>>,
    pub(super) timeout_ms: Option<u64>,
    pub(super) data: Option<Box<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    User(Box<str>),
    Room(Box<str>),
}

impl Goal {
    /// The user or the room.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::User(name) | Self::Room(name) => name,
        }
    }
}

/// `call_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// Sound alone.
    Audio,
    /// Sound and picture.
    Video,
}

impl Media {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }
}

/// Why a callee does not take a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decline {
    Declined,
    Busy,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Describe {
    pub(super) target: Target,
    pub(super) to_device: Option<Box<str>>,
    pub(super) kind: Description,
    pub(super) body: Box<str>,
    pub(super) neg: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Description {
    Offer,
    Answer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidates {
    pub(super) target: Target,
    pub(super) to_device: Option<Box<str>>,
    pub(super) items: Batch,
    pub(super) neg: Option<u64>,
}

/// Nearly always one, which then takes no list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Batch {
    One(Box<str>),
    Many(Vec<Box<str>>),
}

impl Command {
    /// Reads an event by its name and first argument, one JSON value. `None`: no event of calls.
    ///
    /// Descriptions, candidates, `data` and `digest` stay JSON as they came and are never looked into.
    ///
    /// # Errors
    /// `bad_request` with the name of the field that is missing or of the wrong type; `too_large`.
    pub fn parse(name: &str, data: &str) -> Option<Result<Self, Refusal>> {
        let read: fn(&Fields<'_>) -> Result<Verb, Refusal> = match name {
            "webrtc:ice-candidate" => candidates,
            "webrtc:offer" => |fields| describe(fields, Description::Offer),
            "webrtc:answer" => |fields| describe(fields, Description::Answer),
            "call:start" => start,
            "call:accepted" => |fields| target(fields).map(Verb::Accept),
            "call:rejected" => |fields| Ok(Verb::Reject(target(fields)?, decline(fields)?)),
            "call:connected" => |fields| target(fields).map(Verb::Connected),
            "call:stats" => stats,
            "call:restart" => |fields| target(fields).map(Verb::Restart),
            "call:end" => |fields| Ok(Verb::End(target(fields)?, end_reason(fields)?)),
            "call:join" => |fields| Ok(Verb::Join(target(fields)?, fields.room()?)),
            "call:leave" => |fields| target(fields).map(Verb::Leave),
            "call:sync" => |_| Ok(Verb::Sync),
            _ => return None,
        };
        Some(Fields::parse(data).and_then(|fields| read(&fields)).map(Self))
    }
}

fn target(fields: &Fields<'_>) -> Result<Target, Refusal> {
    Ok(Target { call_id: fields.call_id()?, to: fields.to()? })
}

fn start(fields: &Fields<'_>) -> Result<Verb, Refusal> {
    let goal = match (fields.to()?, fields.room()?) {
        (Some(user), None) => Goal::User(user),
        (None, Some(room)) => Goal::Room(room),
        _ => return Err(wrong("callee_id", "there, or `room` instead of it")),
    };
    let media = match fields.call_type()?.as_deref() {
        Some("audio") => Media::Audio,
        Some("video") | None => Media::Video,
        Some(_) => return Err(wrong("call_type", "\"audio\" or \"video\"")),
    };
    Ok(Verb::Start(Box::new(Start {
        goal,
        media,
        client_ref: fields.client_ref()?,
        timeout_ms: fields.timeout_ms()?,
        data: fields.data.map(|raw| opaque(raw, "data", DATA_BYTES_MAX)).transpose()?,
    })))
}

fn describe(fields: &Fields<'_>, kind: Description) -> Result<Verb, Refusal> {
    let (raw, name) = match kind {
        Description::Offer => (fields.offer, "offer"),
        Description::Answer => (fields.answer, "answer"),
    };
    let raw = raw.filter(|raw| raw.get().starts_with('{')).ok_or_else(|| wrong(name, "an object"))?;
    Ok(Verb::Describe(Box::new(Describe {
        target: target(fields)?,
        to_device: fields.to_device()?,
        kind,
        body: opaque(raw, name, DESCRIPTION_BYTES_MAX)?,
        neg: fields.neg()?,
    })))
}

fn candidates(fields: &Fields<'_>) -> Result<Verb, Refusal> {
    let items = match (fields.candidate, fields.candidates()?) {
        (Some(one), None) => Batch::One(opaque(one, "candidate", CANDIDATE_BYTES_MAX)?),
        (None, Some(many)) if many.len() <= BATCH_MAX => {
            let each = many.iter().map(|raw| opaque(raw, "candidates", CANDIDATE_BYTES_MAX));
            Batch::Many(each.collect::<Result<_, _>>()?)
        }
        (None, Some(_)) => {
            return Err(Refusal::new(SignalingError::TooLarge, "`candidates` has more than 32 of them"));
        }
        _ => return Err(wrong("candidate", "there (or null), or `candidates` instead of it")),
    };
    let (target, to_device) = (target(fields)?, fields.to_device()?);
    Ok(Verb::Candidates(Candidates { target, to_device, items, neg: fields.neg()? }))
}

fn stats(fields: &Fields<'_>) -> Result<Verb, Refusal> {
    let raw = fields.digest.ok_or_else(|| wrong("digest", "there"))?;
    Ok(Verb::Stats(target(fields)?, opaque(raw, "digest", DATA_BYTES_MAX)?))
}

/// Any other word is a plain "no": what a person typed is no reason to let it ring on.
fn decline(fields: &Fields<'_>) -> Result<Decline, Refusal> {
    Ok(match fields.reason()?.as_deref() {
        Some("busy") => Decline::Busy,
        _ => Decline::Declined,
    })
}

/// The reasons that a client may know better than we; any other word ends the call as a plain hang-up.
fn end_reason(fields: &Fields<'_>) -> Result<Option<EndReason>, Refusal> {
    Ok(match fields.reason()?.as_deref() {
        Some("ice_failed") => Some(EndReason::IceFailed),
        Some("ice_timeout") => Some(EndReason::IceTimeout),
        Some("media_failed") => Some(EndReason::MediaFailed),
        Some("busy") => Some(EndReason::Busy),
        Some("error") => Some(EndReason::Error),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, data: &str) -> (&'static str, String) {
        let refusal = Command::parse(name, data).expect("an event of calls").expect_err(data);
        (refusal.code_text(), refusal.message.into_owned())
    }

    fn read(name: &str, data: &str) -> Verb {
        Command::parse(name, data).expect("an event of calls").expect(data).0
    }

    #[test]
    fn wrong_types_are_refused_with_the_name_of_the_field() {
        for (name, data, field) in [
            ("call:start", r#"{"callee_id":7}"#, "`callee_id`"),
            ("call:start", r#"{"to":{}}"#, "`to`"),
            ("call:start", r#"{"to":""}"#, "`to`"),
            ("call:start", r#"{"to":"b","room":"r"}"#, "`room`"),
            ("call:start", "{}", "`callee_id`"),
            ("call:start", r#"{"to":"b","call_type":"smell"}"#, "`call_type`"),
            ("call:start", r#"{"to":"b","timeout_ms":-1}"#, "`timeout_ms`"),
            ("call:start", r#"{"to":"b","client_ref":[]}"#, "`client_ref`"),
            ("call:end", r#"{"call_id":1}"#, "`call_id`"),
            ("call:end", r#"{"reason":1}"#, "`reason`"),
            ("call:rejected", r#"{"reason":true}"#, "`reason`"),
            ("webrtc:offer", r#"{"to":"b","offer":"v=0"}"#, "`offer`"),
            ("webrtc:answer", r#"{"to":"b"}"#, "`answer`"),
            ("webrtc:answer", r#"{"to":"b","answer":{},"neg":"1"}"#, "`neg`"),
            ("webrtc:ice-candidate", r#"{"to":"b"}"#, "`candidate`"),
            ("webrtc:ice-candidate", r#"{"to":"b","candidates":{}}"#, "`candidates`"),
            ("webrtc:ice-candidate", r#"{"candidate":null,"to_device":0}"#, "`to_device`"),
            ("call:stats", "{}", "`digest`"),
        ] {
            let (code, message) = refused(name, data);
            assert_eq!(code, "bad_request", "{name} {data}");
            assert!(message.contains(field), "{name} {data}: {message}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for data in ["", "[]", r#"["b"]"#, "1", "\"to\"", "{", r#"{"to":"a","to":"b"}"#, "nul"] {
            assert_eq!(refused("call:start", data).0, "bad_request", "{data}");
        }
        assert_eq!(read("call:sync", "null"), Verb::Sync);
    }

    #[test]
    fn every_field_has_its_cap() {
        let long = |n| "x".repeat(n);
        for (name, data) in [
            ("call:start", format!(r#"{{"to":"{}"}}"#, long(129))),
            ("call:start", format!(r#"{{"to":"b","client_ref":"{}"}}"#, long(129))),
            ("call:start", format!(r#"{{"to":"b","data":"{}"}}"#, long(4095))),
            ("call:stats", format!(r#"{{"digest":"{}"}}"#, long(4095))),
            ("webrtc:ice-candidate", format!(r#"{{"candidate":"{}"}}"#, long(4095))),
            ("webrtc:ice-candidate", format!(r#"{{"candidates":[{}]}}"#, ["{}"; 33].join(","))),
            ("webrtc:offer", format!(r#"{{"offer":{{"sdp":"{}"}}}}"#, long(65_530))),
        ] {
            assert_eq!(refused(name, &data).0, "too_large", "{name}");
        }
        read("call:start", &format!(r#"{{"to":"{}","data":"{}"}}"#, long(128), long(4094)));
    }

    #[test]
    fn unknown_fields_are_passed_over_and_opaque_ones_stay_as_they_came() {
        let data = r#" {"__proto__":{"x":1},"constructor":[],"candidate": {"a" : "\u0041"} ,"to":"\u0062"}"#;
        let Verb::Candidates(read) = read("webrtc:ice-candidate", data) else { panic!("a candidate") };
        assert_eq!(read.items, Batch::One(r#"{"a" : "\u0041"}"#.into()));
        assert_eq!(read.target, Target { call_id: None, to: Some("b".into()) });
    }

    #[test]
    fn the_end_of_candidates_is_not_a_missing_one() {
        let Verb::Candidates(read) = read("webrtc:ice-candidate", r#"{"candidate":null}"#) else {
            panic!("a candidate")
        };
        assert_eq!(read.items, Batch::One("null".into()));
    }

    #[test]
    fn a_call_id_that_is_none_of_ours_names_a_call_that_nobody_has() {
        for text in ["", "x", "../../etc", "01ARZ3NDEKTSV4RRFFQ69G5FAVX"] {
            let data = format!(r#"{{"call_id":"{text}"}}"#);
            let Verb::Accept(target) = read("call:accepted", &data) else { panic!("an accept") };
            assert_eq!(target.call_id, Some(Ulid::nil()));
        }
    }

    #[test]
    fn other_events_are_none_of_ours() {
        for name in ["", "message:send", "call:", "call:incoming", "webrtc:", "CALL:START"] {
            assert_eq!(Command::parse(name, "{}"), None);
        }
    }
}
