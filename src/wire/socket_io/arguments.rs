//! Splitting the array of an event, without a tree.

use super::Malformed;
use crate::wire::json::{self, Text};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The elements of an array, each as the JSON text that it came as.
///
/// The first one was found while the array was checked; nearly all events have no other. The rest is split when it is
/// asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arguments<'a> {
    first: Option<&'a str>,
    /// Elements and commas, with a comma in front. The text was checked.
    rest: &'a str,
}

impl<'a> Arguments<'a> {
    /// Reads a whole array.
    pub(super) fn decode(payload: &'a str) -> Result<Self, Malformed> {
        let First(first) = read_array(payload)?;
        Ok(Self::behind(payload, first))
    }

    /// `first`: an element of the array `payload`, which was checked, with all others behind it.
    fn behind(payload: &'a str, first: Option<&'a str>) -> Self {
        // Both are slices of the same text, so the difference is where the element stands.
        let start = |element: &str| element.as_ptr().addr() - payload.as_ptr().addr();
        let end = payload.trim_ascii_end().len().saturating_sub(1);
        let rest = first.and_then(|first| payload.get(start(first) + first.len()..end)).unwrap_or_default();
        Self { first, rest }
    }

    /// The first argument.
    pub const fn first(&self) -> Option<&'a str> {
        self.first
    }

    /// What follows the first one, as it came: each with a comma in front.
    pub const fn rest(&self) -> &'a str {
        self.rest
    }

    /// All arguments.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut rest = self.rest.trim_ascii_start();
        self.first.into_iter().chain(std::iter::from_fn(move || {
            let text = rest.strip_prefix(',')?;
            let (element, behind) = text.split_at(element_end(text));
            rest = behind;
            Some(element.trim_ascii())
        }))
    }
}

/// Where the comma behind the first element of `text` stands, or its end. `text` is JSON, so nothing is checked.
fn element_end(text: &str) -> usize {
    let mut depth = 0usize;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => json::skip_string(&mut bytes),
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return text.len() - bytes.len() - 1,
            _ => {}
        }
    }
    text.len()
}

/// What an event's array holds: a name and arguments.
#[derive(Debug)]
pub(super) struct NamedArguments<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) arguments: Arguments<'a>,
}

impl<'a> NamedArguments<'a> {
    /// Reads a whole array in one pass that checks it all and finds name and first argument: 155 ns for an ICE
    /// candidate of 220 bytes. Checking first and then searching took 230 ns.
    pub(super) fn decode(payload: &'a str) -> Result<Self, Malformed> {
        let Named(Text(name), first) = read_array(payload)?;
        Ok(Self { name, arguments: Arguments::behind(payload, first) })
    }
}

fn read_array<'a, T: Deserialize<'a>>(payload: &'a str) -> Result<T, Malformed> {
    if !payload.starts_with('[') {
        return Err(Malformed::Payload);
    }
    serde_json::from_str(payload).map_err(|_| Malformed::Payload)
}

/// An array: its first element as text, the others checked.
struct First<'a>(Option<&'a str>);

/// An array: a name, the element behind it as text, the others checked.
struct Named<'a>(Text<'a>, Option<&'a str>);

fn read_first<'a, A: SeqAccess<'a>>(array: &mut A) -> Result<Option<&'a str>, A::Error> {
    let first = array.next_element::<&RawValue>()?.map(RawValue::get);
    while array.next_element::<IgnoredAny>()?.is_some() {}
    Ok(first)
}

impl<'de> Deserialize<'de> for First<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;

        impl<'de> Visitor<'de> for Elements {
            type Value = First<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
                read_first(&mut array).map(First)
            }
        }

        deserializer.deserialize_seq(Elements)
    }
}

impl<'de> Deserialize<'de> for Named<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;

        impl<'de> Visitor<'de> for Elements {
            type Value = Named<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an array that begins with a name")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
                let name = array.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
                Ok(Named(name, read_first(&mut array)?))
            }
        }

        deserializer.deserialize_seq(Elements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(payload: &str) -> Vec<&str> {
        let arguments = Arguments::decode(payload).unwrap();
        let all: Vec<_> = arguments.iter().collect();
        assert_eq!(arguments.first(), all.first().copied());
        all
    }

    #[test]
    fn an_array_is_split_at_its_own_commas_only() {
        assert_eq!(split("[]"), [""; 0]);
        assert_eq!(split("[1]"), ["1"]);
        assert_eq!(
            split(r#"[{"a":[1,2],"b":"x,]}\","},"\\",[[],[3,{"c":4}]],-1.5e3,null]"#),
            [r#"{"a":[1,2],"b":"x,]}\","}"#, r#""\\""#, r#"[[],[3,{"c":4}]]"#, "-1.5e3", "null"]
        );
    }

    #[test]
    fn space_around_elements_is_not_part_of_them() {
        assert_eq!(split("[ 1 ,\t{ \"a\" : 2 }\r\n, \"x\" \n] \n"), ["1", "{ \"a\" : 2 }", "\"x\""]);
        assert_eq!(split("[ 1 \n] "), ["1"]);
        assert_eq!(split("[ ] "), [""; 0]);
    }

    #[test]
    fn what_is_no_array_is_refused() {
        for payload in [
            "",
            " ",
            "{}",
            "1",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1]]",
            "[1]x",
            "[\"\\x\"]",
            " []",
        ] {
            assert_eq!(Arguments::decode(payload), Err(Malformed::Payload), "{payload:?}");
        }
    }
}
