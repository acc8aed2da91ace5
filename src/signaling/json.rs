//! Writes the JSON objects that clients get.

use ulid::{ULID_LEN, Ulid};

/// One object, written field by field.
pub(super) struct Object(String);

impl Object {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self(String::from("{"))
    }

    /// An empty one whose text will have about `bytes` bytes.
    pub(super) fn sized(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push('{');
        Self(text)
    }

    /// One that names its call, as nearly all about calls do.
    pub(super) fn of_call(id: Ulid) -> Self {
        Self::sized(192).id("call_id", id)
    }

    /// The id of a call.
    pub(super) fn id(mut self, key: &str, id: Ulid) -> Self {
        self.key(key);
        self.0.push('"');
        self.0.push_str(id.array_to_str(&mut [0; ULID_LEN]));
        self.0.push('"');
        self
    }

    /// A string.
    pub(super) fn text(mut self, key: &str, value: &str) -> Self {
        self.key(key);
        push_text(&mut self.0, value);
        self
    }

    /// A value that is JSON already.
    pub(super) fn raw(mut self, key: &str, json: &str) -> Self {
        self.key(key);
        self.0.push_str(json);
        self
    }

    /// A whole number.
    pub(super) fn number(mut self, key: &str, value: u64) -> Self {
        self.key(key);
        // Digits from the end; 20 hold any u64.
        let (mut digits, mut at, mut rest) = ([0u8; 20], 20, value);
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.0.extend(digits[at..].iter().map(|digit| char::from(*digit)));
        self
    }

    /// `true` or `false`.
    pub(super) fn flag(self, key: &str, value: bool) -> Self {
        self.raw(key, if value { "true" } else { "false" })
    }

    /// A field for which there may be no value.
    pub(super) fn maybe<T>(self, value: Option<T>, add: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => add(self, value),
            None => self,
        }
    }

    /// A string, when there is one.
    pub(super) fn maybe_text(self, key: &str, value: Option<&str>) -> Self {
        self.maybe(value, |object, value| object.text(key, value))
    }

    /// A value that is JSON already, when there is one.
    pub(super) fn maybe_raw(self, key: &str, json: Option<&str>) -> Self {
        self.maybe(json, |object, json| object.raw(key, json))
    }

    /// How long the text is so far.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The text.
    pub(super) fn finish(mut self) -> Box<str> {
        self.0.push('}');
        self.0.into_boxed_str()
    }

    fn key(&mut self, key: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        push_text(&mut self.0, key);
        self.0.push(':');
    }
}

/// An array of values that are JSON already.
pub(super) fn array(items: impl IntoIterator<Item = impl AsRef<str>>) -> Box<str> {
    let mut text = String::from("[");
    for item in items {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(item.as_ref());
    }
    text.push(']');
    text.into_boxed_str()
}

/// The answer that says nothing but yes.
pub(super) fn done() -> Box<str> {
    Box::from("{}")
}

fn push_text(to: &mut String, value: &str) {
    if value.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        to.push('"');
        to.push_str(value);
        to.push('"');
    } else {
        to.push_str(&serde_json::Value::from(value).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_string_and_number_survives_a_round_trip() {
        let id = Ulid::from_parts(7, 9);
        for value in ["", "plain", "\"quoted\"", "back\\slash", "line\nbreak\0", "é\u{2028}😀"] {
            let text = Object::new()
                .text("value", value)
                .text(value, "key")
                .number("n", u64::MAX)
                .number("z", 0)
                .id("id", id)
                .finish();
            let read: serde_json::Value = serde_json::from_str(&text).expect("is JSON");
            assert_eq!(read["value"], value);
            assert_eq!(read[value], "key");
            assert_eq!(read["n"], u64::MAX);
            assert_eq!(read["z"], 0);
            assert_eq!(read["id"], id.to_string());
        }
        assert_eq!(&*Object::new().finish(), "{}");
        assert_eq!(&*array(["1", "{}"]), "[1,{}]");
    }
}
