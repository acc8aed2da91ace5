//! Placeholders: where in a payload its attachments belong.
//!
//! A receiver puts attachment 2 where `{"_placeholder":true,"num":2}` stands, and gives up the whole connection when
//! there is none. So what one client would do to others with a wrong number is refused here.

use super::Malformed;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Looks at every object of `payload`.
///
/// `payload`: no deeper than the limit, since this goes as deep as it does.
/// `attachments`: how many there are; each may be named any number of times.
///
/// # Errors
/// `Placeholder`.
pub(super) fn check(payload: &str, attachments: usize) -> Result<(), Malformed> {
    let mut deserializer = serde_json::Deserializer::from_str(payload);
    Walk { attachments }.deserialize(&mut deserializer).map(drop).map_err(|_| Malformed::Placeholder)
}

/// Any value, all of whose placeholders name attachments.
#[derive(Clone, Copy)]
struct Walk {
    attachments: usize,
}

/// As much of a value as the object around it has to know.
enum Seen {
    True,
    /// A number that names an attachment.
    Attachment,
    Other,
}

impl<'de> DeserializeSeed<'de> for Walk {
    type Value = Seen;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Seen, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk {
    type Value = Seen;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON whose placeholders name attachments")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Seen, E> {
        Ok(if value { Seen::True } else { Seen::Other })
    }

    fn visit_u64<E>(self, value: u64) -> Result<Seen, E> {
        Ok(if value < self.attachments as u64 { Seen::Attachment } else { Seen::Other })
    }

    fn visit_i64<E>(self, _: i64) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_unit<E>(self) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Seen, A::Error> {
        while array.next_element_seed(self)?.is_some() {}
        Ok(Seen::Other)
    }

    /// A key that is there twice counts twice: which of the two a receiver takes is its own affair.
    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Seen, A::Error> {
        let (mut is_placeholder, mut numbers, mut good_numbers) = (false, 0, 0);
        while let Some(key) = object.next_key_seed(KeyOf)? {
            let value = object.next_value_seed(self)?;
            match key {
                Key::Placeholder => is_placeholder |= matches!(value, Seen::True),
                Key::Num => {
                    numbers += 1;
                    good_numbers += usize::from(matches!(value, Seen::Attachment));
                }
                Key::Other => {}
            }
        }
        if is_placeholder && (numbers == 0 || good_numbers < numbers) {
            return Err(A::Error::custom("a placeholder that names no attachment"));
        }
        Ok(Seen::Other)
    }
}

enum Key {
    Placeholder,
    Num,
    Other,
}

struct KeyOf;

impl<'de> DeserializeSeed<'de> for KeyOf {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyOf {
    type Value = Key;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Key, E> {
        Ok(match key {
            "_placeholder" => Key::Placeholder,
            "num" => Key::Num,
            _ => Key::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_that_name_attachments_pass_wherever_they_stand() {
        for payload in [
            r#"["x",{"_placeholder":true,"num":0},{"a":[{"num":1,"_placeholder":true}]}]"#,
            r#"["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#,
            r#"["x",{"_placeholder":true,"num":1,"more":{}}]"#,
            r#"["x"]"#,
        ] {
            assert_eq!(check(payload, 2), Ok(()), "{payload}");
        }
    }

    #[test]
    fn what_only_looks_like_a_placeholder_passes() {
        for payload in [
            r#"[{"_placeholder":false,"num":7}]"#,
            r#"[{"_placeholder":1,"num":7}]"#,
            r#"[{"num":7}]"#,
            r#"["_placeholder",true,1.5,-1,null]"#,
        ] {
            assert_eq!(check(payload, 1), Ok(()), "{payload}");
        }
    }

    #[test] // security S8
    fn placeholders_that_name_nothing_are_refused() {
        for payload in [
            r#"["x",{"_placeholder":true,"num":7}]"#,
            r#"[{"_placeholder":true,"num":1}]"#,
            r#"[{"_placeholder":true,"num":-1}]"#,
            r#"[{"_placeholder":true,"num":0.5}]"#,
            r#"[{"_placeholder":true,"num":"0"}]"#,
            r#"[{"_placeholder":true,"num":"splice"}]"#,
            r#"[{"_placeholder":true}]"#,
            r#"[{"\u005fplaceholder":true,"num":7}]"#,
            r#"[{"a":[[{"_placeholder":true,"num":99999999999999999999}]]}]"#,
        ] {
            assert_eq!(check(payload, 1), Err(Malformed::Placeholder), "{payload}");
        }
    }

    #[test] // security S13
    fn a_key_that_is_there_twice_hides_nothing() {
        for payload in [
            r#"[{"_placeholder":true,"num":0,"num":7}]"#,
            r#"[{"_placeholder":true,"num":7,"num":0}]"#,
            r#"[{"_placeholder":true,"_placeholder":false,"num":7}]"#,
            r#"[{"_placeholder":false,"_placeholder":true,"num":7}]"#,
        ] {
            assert_eq!(check(payload, 1), Err(Malformed::Placeholder), "{payload}");
        }
    }
}
