//! A JSON object whose names are unique, each value still as it was written.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The members of an object, sorted by name. Values are JSON but not looked into, however deep they go.
#[derive(Debug)]
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// The object in `json`; `None` for anything else, and when a name is there twice: a reader that takes the first
    /// and one that takes the last would see two different tokens (RFC 7519 section 4, RFC 7515 section 4).
    pub(super) fn parse(json: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(json).ok()?;
        let Self(mut members) = serde_json::from_str(text).ok()?;
        members.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let is_unique = members.windows(2).all(|pair| pair[0].0 != pair[1].0);
        is_unique.then_some(Self(members))
    }

    /// The value of `name` as it was written.
    pub(super) fn raw(&self, name: &str) -> Option<&'a str> {
        let at = self.0.binary_search_by(|(other, _)| (**other).cmp(name)).ok()?;
        Some(self.0[at].1.get())
    }

    /// The value of `name` as a `T`.
    ///
    /// # Errors
    /// It is there and something else.
    pub(super) fn optional<T: Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, serde_json::Error> {
        self.raw(name).map(serde_json::from_str).transpose()
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AnyObject)
    }
}

struct AnyObject;

impl<'de> Visitor<'de> for AnyObject {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((Name(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        Ok(Members(members))
    }
}

/// A name, borrowed unless it has escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_comes_twice_in_any_spelling_refuses_the_object() {
        for (json, is_fine) in [
            (r#"{"a":1,"b":1}"#, true),
            (r#" { "a" : [ {"b":1,"b":2} ] } "#, true),
            ("{}", true),
            (r#"{"a":1,"b":1,"a":1}"#, false),
            (r#"{"sub":1,"\u0073ub":2}"#, false),
            (r#"{"a":1}x"#, false),
            (r#"{"a":1,}"#, false),
            (r#"{"a":01}"#, false),
            (r#"{"\ud800":1}"#, false),
            ("[1]", false),
            ("1", false),
            ("", false),
        ] {
            assert_eq!(Members::parse(json.as_bytes()).is_some(), is_fine, "{json}");
        }
        assert!(Members::parse(b"{\"a\":\"\xFF\"}").is_none());
    }

    #[test]
    fn values_are_found_by_name_and_depth_costs_no_stack() {
        let deep = format!("{{\"z\":{}{},\"a\":\"x\"}}", "[".repeat(100_000), "]".repeat(100_000));
        let members = Members::parse(deep.as_bytes()).expect("an object");
        assert_eq!(members.raw("a"), Some("\"x\""));
        assert_eq!(members.raw("b"), None);
        assert!(members.optional::<u64>("a").is_err());
        assert_eq!(members.optional::<u64>("b").expect("absent"), None);
    }
}
