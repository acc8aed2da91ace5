//! Reads the payloads of all events but those of calls. Nothing is copied before it is known to be wanted.

use super::Refusal;
use super::bus::Goal;
use crate::metrics::SignalingError;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;

/// Bytes of a name: user, room, device, `client_ref`, `thread`.
pub(super) const NAME_BYTES_MAX: usize = 128;
/// What a name looks like.
pub(super) const NAME_SHAPE: &str = "a string of 1 to 128 bytes without control characters";

/// Every field that such an event may have, as raw JSON. Any other field is passed over.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Payload<'a> {
    #[serde(borrow)]
    to: Option<&'a RawValue>,
    #[serde(borrow)]
    room: Option<&'a RawValue>,
    #[serde(borrow)]
    with: Option<&'a RawValue>,
    #[serde(borrow)]
    role: Option<&'a RawValue>,
    #[serde(borrow)]
    info: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    meta: Option<&'a RawValue>,
    #[serde(borrow)]
    users: Option<&'a RawValue>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    #[serde(borrow)]
    store: Option<&'a RawValue>,
    #[serde(borrow)]
    thread: Option<&'a RawValue>,
    #[serde(borrow)]
    attachments: Option<&'a RawValue>,
    #[serde(borrow)]
    client_ref: Option<&'a RawValue>,
    #[serde(borrow)]
    before: Option<&'a RawValue>,
    #[serde(borrow)]
    limit: Option<&'a RawValue>,
    #[serde(borrow)]
    seq: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    class: Option<&'a RawValue>,
    #[serde(borrow)]
    token: Option<&'a RawValue>,
}

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident: $kind:ident -> $type:ty,)*) => {
        impl<'a> Payload<'a> { $(
            $(#[$doc])*
            pub(super) fn $name(&self) -> Result<Option<$type>, Refusal> {
                self.$name.map(|raw| $kind(raw, stringify!($name))).transpose()
            }
        )* }
    };
}

fields! {
    /// A user.
    to: name_of -> Cow<'a, str>,
    /// A room.
    room: name_of -> Cow<'a, str>,
    /// The other user of a pair.
    with: name_of -> Cow<'a, str>,
    /// What somebody is in a room.
    role: name_of -> Cow<'a, str>,
    /// `active` or `idle`.
    status: text -> Cow<'a, str>,
    /// The message that a message belongs to.
    thread: name_of -> Cow<'a, str>,
    /// The client's own name for a message.
    client_ref: name_of -> Cow<'a, str>,
    /// Name of a free event.
    name: text -> Cow<'a, str>,
    /// What may become of a free event.
    class: text -> Cow<'a, str>,
    /// A JWT.
    token: text -> Cow<'a, str>,
    /// Names of users.
    users: names -> Vec<Cow<'a, str>>,
    /// Whether a message shall be stored.
    store: flag -> bool,
    /// Messages below this number.
    before: number -> u64,
    /// So many messages.
    limit: number -> u64,
    /// The latest message that was read.
    seq: number -> u64,
    /// What a member tells about itself.
    info: any -> &'a str,
    /// Free data of a user.
    meta: any -> &'a str,
    /// What a message says.
    body: any -> &'a str,
    /// What a message points to.
    attachments: any -> &'a str,
    /// What a free event carries.
    data: any -> &'a str,
}

impl<'a> Payload<'a> {
    /// Reads one JSON object; `null` counts as an empty one.
    ///
    /// # Errors
    /// `bad_request`.
    pub(super) fn parse(data: &'a str) -> Result<Self, Refusal> {
        const WRONG: Refusal = Refusal::new(
            SignalingError::BadRequest,
            "the payload must be one JSON object, without a field twice",
        );
        match data.trim_ascii_start().as_bytes().first() {
            Some(b'n') if data.trim_ascii() == "null" => Ok(Self::default()),
            // A struct would also be read from an array, field by field.
            Some(b'{') => serde_json::from_str(data).map_err(|_| WRONG),
            _ => Err(WRONG),
        }
    }

    /// To whom the client speaks: exactly one of `to` and `room`.
    pub(super) fn goal(&self) -> Result<Goal, Refusal> {
        pick(self.to()?, self.room()?, "`to` or `room` is needed, and not both")
    }

    /// Which conversation is meant: exactly one of `with` and `room`.
    pub(super) fn conversation(&self) -> Result<Goal, Refusal> {
        pick(self.with()?, self.room()?, "`with` or `room` is needed, and not both")
    }
}

fn pick(
    user: Option<Cow<'_, str>>,
    room: Option<Cow<'_, str>>,
    neither: &'static str,
) -> Result<Goal, Refusal> {
    match (user, room) {
        (Some(user), None) => Ok(Goal::User(Arc::from(&*user))),
        (None, Some(room)) => Ok(Goal::Room(Arc::from(&*room))),
        _ => Err(Refusal::new(SignalingError::BadRequest, neither)),
    }
}

/// A field that there must be.
pub(super) fn required<T>(value: Option<T>, field: &'static str) -> Result<T, Refusal> {
    value.ok_or_else(|| bad(format!("`{field}` is needed")))
}

/// Refuses a field that is longer than it may be.
pub(super) fn at_most<'a>(value: &'a str, bytes_max: usize, field: &'static str) -> Result<&'a str, Refusal> {
    if value.len() <= bytes_max {
        return Ok(value);
    }
    let message = Cow::Owned(format!("`{field}` has more than {bytes_max} bytes"));
    Err(Refusal { code: SignalingError::TooLarge, message, retry_after_ms: None })
}

/// A refusal with a sentence of its own.
pub(super) fn bad(message: String) -> Refusal {
    Refusal { code: SignalingError::BadRequest, message: Cow::Owned(message), retry_after_ms: None }
}

/// The refusal of a field that is not what it must be.
pub(super) fn wrong(field: &str, wanted: &str) -> Refusal {
    bad(format!("`{field}` must be {wanted}"))
}

fn text<'a>(raw: &'a RawValue, field: &'static str) -> Result<Cow<'a, str>, Refusal> {
    let inner = raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(inner) if !inner.contains('\\') => Ok(Cow::Borrowed(inner)),
        _ => serde_json::from_str(raw.get()).map(Cow::Owned).map_err(|_| wrong(field, "a string")),
    }
}

/// 1 to 128 bytes that can be shown and logged.
fn name_of<'a>(raw: &'a RawValue, field: &'static str) -> Result<Cow<'a, str>, Refusal> {
    let text = text(raw, field)?;
    at_most(&text, NAME_BYTES_MAX, field)?;
    if is_name(&text) { Ok(text) } else { Err(wrong(field, NAME_SHAPE)) }
}

/// Whether somebody or something may be called so.
pub(super) fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn names<'a>(raw: &'a RawValue, field: &'static str) -> Result<Vec<Cow<'a, str>>, Refusal> {
    let list: Vec<&'a RawValue> =
        serde_json::from_str(raw.get()).map_err(|_| wrong(field, "an array of strings"))?;
    list.into_iter().map(|raw| name_of(raw, field)).collect()
}

fn flag(raw: &RawValue, field: &'static str) -> Result<bool, Refusal> {
    serde_json::from_str(raw.get()).map_err(|_| wrong(field, "true or false"))
}

fn number(raw: &RawValue, field: &'static str) -> Result<u64, Refusal> {
    serde_json::from_str(raw.get()).map_err(|_| wrong(field, "a whole number that is not negative"))
}

fn any<'a>(raw: &'a RawValue, _field: &'static str) -> Result<&'a str, Refusal> {
    Ok(raw.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_the_wrong_type_is_named() {
        for (data, field) in [
            (r#"{"room":3}"#, "room"),
            (r#"{"room":""}"#, "room"),
            (r#"{"room":"a\u0000b"}"#, "room"),
            (r#"{"room":"\ud800"}"#, "room"),
            (r#"{"room":["x"]}"#, "room"),
        ] {
            let refusal = Payload::parse(data).and_then(|payload| payload.room()).expect_err(data);
            assert!(refusal.message.contains(field), "{data}: {}", refusal.message);
            assert_eq!(refusal.code, SignalingError::BadRequest);
        }
        let payload =
            Payload::parse(r#"{"users":["a",2],"store":"yes","seq":-1,"limit":1.5}"#).expect("an object");
        assert!(payload.users().is_err_and(|r| r.message.contains("users")));
        assert!(payload.store().is_err_and(|r| r.message.contains("store")));
        assert!(payload.seq().is_err_and(|r| r.message.contains("seq")));
        assert!(payload.limit().is_err_and(|r| r.message.contains("limit")));
    }

    #[test]
    fn unknown_fields_are_passed_over_and_null_is_an_empty_object() {
        let payload =
            Payload::parse(r#"{"__proto__":{"room":"x"},"constructor":1,"room":"a\"b"}"#).expect("reads");
        assert_eq!(payload.room().expect("a name").as_deref(), Some("a\"b"));
        assert!(Payload::parse(" null ").is_ok_and(|payload| payload.room() == Ok(None)));
        for data in ["[]", r#"["x"]"#, "3", "\"x\"", "true", "", "nul", r#"{"room":"a","room":"b"}"#, "{"] {
            assert!(Payload::parse(data).is_err(), "{data}");
        }
    }

    #[test]
    fn a_null_field_is_an_absent_one() {
        let payload = Payload::parse(r#"{"to":null,"room":"a","body":null}"#).expect("reads");
        assert_eq!(payload.goal(), Ok(Goal::Room(Arc::from("a"))));
        assert_eq!(payload.body(), Ok(None));
        let payload = Payload::parse(r#"{"to":"a","room":"b"}"#).expect("reads");
        assert!(payload.goal().is_err() && payload.conversation().is_ok());
    }
}
