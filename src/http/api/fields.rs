//! The fields of a body or of a query: each is taken once, by its name and range, and what is left over is refused.
//!
//! Read by hand rather than by a derived type, because an answer has to name the field and what it may hold.

use crate::http::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use percent_encoding::percent_decode;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::ops::RangeInclusive;

/// Bytes of a field's name that are repeated to who sent it.
const NAME_SHOWN_MAX: usize = 64;

/// Fields that were not taken yet.
#[derive(Debug)]
pub(crate) struct Fields {
    left: Map<String, Value>,
    /// The object that they are in, and a dot.
    inside: String,
    /// Values are text, as in a query: a number is one when it reads as one.
    is_text: bool,
}

/// Those of the query.
impl<S: Sync> FromRequestParts<S> for Fields {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::query(parts.uri.query().unwrap_or_default().as_bytes())
    }
}

impl Fields {
    /// The members of a JSON object. No body at all is an object without members.
    pub(crate) fn json(body: &[u8]) -> Result<Self, Problem> {
        let left = match body {
            [] => Map::new(),
            body => serde_json::from_slice(body).map_err(|_| no_object())?,
        };
        Ok(Self { left, inside: String::new(), is_text: false })
    }

    /// The pairs of a query, or of a form in a body (`application/x-www-form-urlencoded`).
    pub(crate) fn query(query: &[u8]) -> Result<Self, Problem> {
        let mut left = Map::new();
        for pair in query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let at = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = pair.split_at(at.unwrap_or(pair.len()));
            let name = decoded(name).ok_or_else(not_utf8)?;
            let value = decoded(value.get(1..).unwrap_or_default()).ok_or_else(not_utf8)?;
            if let Some(_twice) = left.insert(name.clone(), Value::String(value)) {
                return Err(Problem::field(shown("", &name), "it is there twice"));
            }
        }
        Ok(Self { left, inside: String::new(), is_text: true })
    }

    /// A text of so many bytes without control characters.
    pub(crate) fn text(
        &mut self,
        name: &str,
        bytes: RangeInclusive<usize>,
    ) -> Result<Option<String>, Problem> {
        let range =
            || format!("a text of {} to {} bytes without control characters", bytes.start(), bytes.end());
        self.any_text(name, bytes.clone())?
            .map(|text| match text.chars().any(char::is_control) {
                true => Err(self.wrong(name, range())),
                false => Ok(text),
            })
            .transpose()
    }

    /// A text of so many bytes, whatever they are.
    pub(crate) fn any_text(
        &mut self,
        name: &str,
        bytes: RangeInclusive<usize>,
    ) -> Result<Option<String>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if bytes.contains(&text.len()) => Ok(Some(text)),
            Some(_) => {
                let range = format!("a text of {} to {} bytes", bytes.start(), bytes.end());
                Err(self.wrong(name, range))
            }
        }
    }

    /// A whole number. `what`: its unit and where its bounds come from.
    pub(crate) fn whole(
        &mut self,
        name: &str,
        range: RangeInclusive<u64>,
        what: &str,
    ) -> Result<Option<u64>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = match &value {
            Value::String(digits) if self.is_text => digits.parse().ok(),
            value => value.as_u64(),
        };
        match number.filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let range = format!("a whole number from {} to {}{what}", range.start(), range.end());
                Err(self.wrong(name, range))
            }
        }
    }

    /// Any JSON.
    pub(crate) fn any(&mut self, name: &str) -> Option<Value> {
        self.take(name)
    }

    /// `true` or `false`; absent is `false`.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(Value::String(text)) if self.is_text && (text == "true" || text == "false") => {
                Ok(text == "true")
            }
            Some(_) => Err(self.wrong(name, "true or false".to_owned())),
        }
    }

    /// A list of different words of `all`, at least one of them.
    pub(crate) fn words<T: Copy + PartialEq>(
        &mut self,
        name: &str,
        all: &[(&'static str, T)],
    ) -> Result<Option<Vec<T>>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let known = |word: &Value| all.iter().find(|(name, _)| word == *name).map(|(_, value)| *value);
        let words = match &value {
            Value::Array(words) if words.len() <= all.len() => {
                words.iter().map(known).collect::<Option<Vec<_>>>()
            }
            _ => None,
        };
        let is_double =
            |words: &Vec<T>| words.iter().enumerate().any(|(at, word)| words[..at].contains(word));
        match words.filter(|words| !words.is_empty() && !is_double(words)) {
            Some(words) => Ok(Some(words)),
            None => {
                let all: Vec<_> = all.iter().map(|(name, _)| *name).collect();
                Err(self.wrong(name, format!("a list with some of: {}, each once", all.join(", "))))
            }
        }
    }

    /// The members of an object in it.
    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Self>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(left)) => {
                Ok(Some(Self { left, inside: format!("{}{name}.", self.inside), is_text: false }))
            }
            Some(_) => Err(self.wrong(name, "an object".to_owned())),
        }
    }

    /// What a field must be that is not there.
    pub(crate) fn required<T>(&self, name: &str, found: Option<T>, what: &str) -> Result<T, Problem> {
        found.ok_or_else(|| self.wrong(name, format!("given: {what}")))
    }

    /// Refuses what nobody took.
    pub(crate) fn done(self) -> Result<(), Problem> {
        match self.left.iter().find(|(_, value)| !value.is_null()) {
            None => Ok(()),
            Some((name, _)) => Err(Problem::field(shown(&self.inside, name), "there is no such field here")),
        }
    }

    /// `null` is the same as absent.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    fn wrong(&self, name: &str, range: String) -> Problem {
        let field = format!("{}{name}", self.inside);
        let message = format!("`{field}` must be {range}");
        Problem::field(field, message)
    }
}

fn no_object() -> Problem {
    Problem::field("body", "the body must be a JSON object (RFC 8259) in UTF-8")
}

fn not_utf8() -> Problem {
    Problem::field("query", "names and values must be percent-encoded UTF-8")
}

/// `+` is a blank here, as in the forms of HTML.
fn decoded(text: &[u8]) -> Option<String> {
    let blanks: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&blanks).decode_utf8().ok().map(Cow::into_owned)
}

/// A name that a client made up: cut, and with nothing that a terminal would obey.
fn shown(inside: &str, name: &str) -> String {
    let cut: String = name.chars().take(NAME_SHOWN_MAX).collect();
    format!("{inside}{}", cut.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(text: &str) -> Fields {
        Fields::json(text.as_bytes()).expect("an object")
    }

    #[test]
    fn each_wrong_value_names_its_field_and_what_it_may_be() {
        let mut fields =
            json(r#"{"ttl":90000,"user":"a\u0007","scopes":["mint","root"],"limits":{"allocations":-1}}"#);
        let said = |problem: Problem| problem.to_string();
        let ttl = fields.whole("ttl", 1..=86_400, " (seconds, auth.max_ttl)").expect_err("too much");
        assert_eq!(said(ttl), "`ttl` must be a whole number from 1 to 86400 (seconds, auth.max_ttl)");
        let user = fields.text("user", 1..=9).expect_err("a bell");
        assert_eq!(said(user), "`user` must be a text of 1 to 9 bytes without control characters");
        let scopes = fields.words("scopes", &[("mint", 1), ("read", 2)]).expect_err("no root");
        assert_eq!(said(scopes), "`scopes` must be a list with some of: mint, read, each once");
        let mut limits = fields.object("limits").expect("an object").expect("there");
        let limit = limits.whole("allocations", 1..=4, "").expect_err("negative");
        assert_eq!(said(limit), "`limits.allocations` must be a whole number from 1 to 4");
    }

    #[test]
    fn what_nobody_took_is_refused_by_name_and_null_is_absent() {
        let mut fields = json(r#"{"ttl":null,"tll":1,"x":null}"#);
        assert_eq!(fields.whole("ttl", 1..=2, "").expect("absent"), None);
        let problem = fields.done().expect_err("tll");
        assert_eq!(problem.named_field(), Some("tll"));
        let long = format!(r#"{{"{}\u001b":1}}"#, "x".repeat(63));
        let problem = json(&long).done().expect_err("unknown");
        assert_eq!(problem.named_field().map(str::len), Some(63 + r"\u{1b}".len()));
    }

    #[test]
    fn a_list_has_each_word_once_and_at_least_one() {
        let all = [("a", 1), ("b", 2)];
        let of = |text: &str| json(&format!(r#"{{"w":{text}}}"#)).words("w", &all).ok().flatten();
        assert_eq!(of(r#"["b","a"]"#), Some(vec![2, 1]));
        for bad in ["[]", r#"["a","a"]"#, r#""a""#, "[1]", r#"["A"]"#, "{}"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_query_is_decoded_and_its_numbers_are_numbers() {
        let mut query = Fields::query(b"service=turn&username=a%2Fb+c&ttl=60&x").expect("a query");
        assert_eq!(query.text("username", 1..=9).expect("good").as_deref(), Some("a/b c"));
        assert_eq!(query.whole("ttl", 1..=60, "").expect("good"), Some(60));
        assert_eq!(query.done().expect_err("more").named_field(), Some("service"));
        for bad in [&b"a=%ff"[..], b"%ff=1", b"a=1&a=1"] {
            assert!(Fields::query(bad).is_err(), "{bad:?}");
        }
        assert!(json(r#"{"ttl":"60"}"#).whole("ttl", 1..=60, "").is_err(), "a text is no number in JSON");
    }

    proptest! {
        #[test]
        fn any_bytes_are_fields_or_a_problem(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            for fields in [Fields::json(&bytes), Fields::query(&bytes)] {
                let _ = fields.and_then(Fields::done);
            }
        }
    }
}
