//! Writes the JSON objects that clients get.

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
    pub(super) fn number(self, key: &str, value: u64) -> Self {
        self.raw(key, &value.to_string())
    }

    /// `true` or `false`.
    pub(super) fn flag(self, key: &str, value: bool) -> Self {
        self.raw(key, if value { "true" } else { "false" })
    }

    /// A string, when there is one.
    pub(super) fn maybe_text(self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(key, value),
            None => self,
        }
    }

    /// A value that is JSON already, when there is one.
    pub(super) fn maybe_raw(self, key: &str, json: Option<&str>) -> Self {
        match json {
            Some(json) => self.raw(key, json),
            None => self,
        }
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
pub(super) fn array<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::from("[");
    for item in items {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(item);
    }
    text.push(']');
    text
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
        for value in ["", "plain", "\"quoted\"", "back\\slash", "line\nbreak\0", "é\u{2028}😀"] {
            let text = Object::new().text("value", value).text(value, "key").number("n", u64::MAX).finish();
            let read: serde_json::Value = serde_json::from_str(&text).expect("is JSON");
            assert_eq!(read["value"], value);
            assert_eq!(read[value], "key");
            assert_eq!(read["n"], u64::MAX);
        }
        assert_eq!(&*Object::new().finish(), "{}");
        assert_eq!(array(["1", "{}"]), "[1,{}]");
    }
}
