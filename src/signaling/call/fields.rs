//! Reads the fields of a payload; nothing is copied before it is known to be wanted.

use super::super::Refusal;
use crate::metrics::SignalingError;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use ulid::Ulid;

/// Bytes of an id: user, device, room, `client_ref`.
const ID_BYTES_MAX: usize = 128;

/// Every field that an event of calls may have, as raw JSON. Any other field is passed over.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Fields<'a> {
    #[serde(borrow)]
    to: Option<&'a RawValue>,
    #[serde(borrow)]
    callee_id: Option<&'a RawValue>,
    #[serde(borrow)]
    call_id: Option<&'a RawValue>,
    #[serde(borrow)]
    to_device: Option<&'a RawValue>,
    #[serde(borrow)]
    room: Option<&'a RawValue>,
    #[serde(borrow)]
    call_type: Option<&'a RawValue>,
    #[serde(borrow)]
    client_ref: Option<&'a RawValue>,
    #[serde(borrow)]
    timeout_ms: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) offer: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) answer: Option<&'a RawValue>,
    /// `null` says that there are no more candidates, which is not the same as no field.
    #[serde(borrow, deserialize_with = "present")]
    pub(super) candidate: Option<&'a RawValue>,
    #[serde(borrow)]
    candidates: Option<&'a RawValue>,
    #[serde(borrow)]
    neg: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) digest: Option<&'a RawValue>,
}

fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

impl<'a> Fields<'a> {
    /// Reads one JSON object; `null` counts as an empty one.
    pub(super) fn parse(data: &'a str) -> Result<Self, Refusal> {
        match data.trim_ascii_start().as_bytes().first() {
            Some(b'n') if data.trim_ascii() == "null" => Ok(Self::default()),
            // A struct would also be read from an array, field by field.
            Some(b'{') => serde_json::from_str(data).map_err(|_| not_an_object()),
            _ => Err(not_an_object()),
        }
    }

    /// The other user; `callee_id` is the same by its older name.
    pub(super) fn to(&self) -> Result<Option<Box<str>>, Refusal> {
        match self.to {
            Some(_) => id(self.to, "to"),
            None => id(self.callee_id, "callee_id"),
        }
    }

    pub(super) fn to_device(&self) -> Result<Option<Box<str>>, Refusal> {
        id(self.to_device, "to_device")
    }

    pub(super) fn room(&self) -> Result<Option<Box<str>>, Refusal> {
        id(self.room, "room")
    }

    pub(super) fn client_ref(&self) -> Result<Option<Box<str>>, Refusal> {
        id(self.client_ref, "client_ref")
    }

    /// A text that is no id of ours becomes one that no call has: the answer is that of any unknown call.
    pub(super) fn call_id(&self) -> Result<Option<Ulid>, Refusal> {
        let text = text(self.call_id, "call_id")?;
        Ok(text.map(|text| Ulid::from_string(&text).unwrap_or(Ulid::nil())))
    }

    pub(super) fn call_type(&self) -> Result<Option<Cow<'a, str>>, Refusal> {
        text(self.call_type, "call_type")
    }

    pub(super) fn reason(&self) -> Result<Option<Cow<'a, str>>, Refusal> {
        text(self.reason, "reason")
    }

    pub(super) fn timeout_ms(&self) -> Result<Option<u64>, Refusal> {
        number(self.timeout_ms, "timeout_ms")
    }

    pub(super) fn neg(&self) -> Result<Option<u64>, Refusal> {
        number(self.neg, "neg")
    }

    /// The batch form of `candidate`.
    pub(super) fn candidates(&self) -> Result<Option<Vec<&'a RawValue>>, Refusal> {
        self.candidates
            .map(|raw| serde_json::from_str(raw.get()))
            .transpose()
            .map_err(|_| wrong("candidates", "an array"))
    }
}

/// The refusal of a field that is missing or of the wrong type.
pub(super) fn wrong(field: &'static str, wanted: &'static str) -> Refusal {
    let message = Cow::Owned(format!("`{field}` must be {wanted}"));
    Refusal { code: SignalingError::BadRequest, message, retry_after_ms: None }
}

/// A field of opaque JSON of at most `bytes_max` bytes.
pub(super) fn opaque(raw: &RawValue, field: &'static str, bytes_max: usize) -> Result<Box<str>, Refusal> {
    if raw.get().len() > bytes_max {
        return Err(too_large(field, bytes_max));
    }
    Ok(Box::from(raw.get()))
}

fn not_an_object() -> Refusal {
    Refusal::new(SignalingError::BadRequest, "the payload must be one JSON object, without a field twice")
}

fn too_large(field: &'static str, bytes_max: usize) -> Refusal {
    let message = Cow::Owned(format!("`{field}` has more than {bytes_max} bytes"));
    Refusal { code: SignalingError::TooLarge, message, retry_after_ms: None }
}

fn id(raw: Option<&RawValue>, field: &'static str) -> Result<Option<Box<str>>, Refusal> {
    let Some(text) = text(raw, field)? else { return Ok(None) };
    match text.len() {
        0 => Err(wrong(field, "a string that is not empty")),
        1..=ID_BYTES_MAX => Ok(Some(Box::from(&*text))),
        _ => Err(too_large(field, ID_BYTES_MAX)),
    }
}

fn text<'a>(raw: Option<&'a RawValue>, field: &'static str) -> Result<Option<Cow<'a, str>>, Refusal> {
    let Some(raw) = raw.map(RawValue::get) else { return Ok(None) };
    let inner = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(inner) if !inner.contains('\\') => Ok(Some(Cow::Borrowed(inner))),
        _ => {
            serde_json::from_str(raw).map(|text| Some(Cow::Owned(text))).map_err(|_| wrong(field, "a string"))
        }
    }
}

fn number(raw: Option<&RawValue>, field: &'static str) -> Result<Option<u64>, Refusal> {
    let parsed = raw.map(|raw| serde_json::from_str(raw.get())).transpose();
    parsed.map_err(|_| wrong(field, "a whole number that is not negative"))
}
