//! The parsed file as a tree whose every value knows its full key and its place.

use super::report::Report;
use super::source::Place;
use super::suggest;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// A value of the file or of an environment variable.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Full key, such as `listen[1].address`.
    pub(super) path: String,
    /// Where the value stands.
    pub(super) place: Place,
    /// The value.
    pub(super) value: Value,
    /// The text of an environment variable that holds a bare number, date or boolean:
    /// `TURNSTONE_SERVER__REALM=2025` means the text.
    pub(super) bare: Option<String>,
}

/// TOML's types, owned.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A string.
    Text(String),
    /// An integer; one that does not fit is the largest.
    Integer(i128),
    /// A float.
    Float(f64),
    /// A boolean.
    Boolean(bool),
    /// A date or a time, as written.
    Datetime(String),
    /// An array.
    Array(Vec<Node>),
    /// A table.
    Table(BTreeMap<String, Entry>),
}

/// A key of a table and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where the key stands.
    pub(super) key: Place,
    /// The value.
    pub(super) node: Node,
}

impl Node {
    /// Takes a value of the `toml` crate over.
    ///
    /// `span`: byte range of the value in source number `source`.
    pub(super) fn new(value: &DeValue<'_>, span: Range<usize>, source: usize, path: String) -> Self {
        let place = Place { source, start: span.start, end: span.end };
        let value = match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                let digits = i128::from_str_radix(number.as_str(), number.radix());
                Value::Integer(digits.unwrap_or(i128::MAX))
            }
            DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(yes) => Value::Boolean(*yes),
            DeValue::Datetime(time) => Value::Datetime(time.to_string()),
            DeValue::Array(items) => Value::Array(
                (0..)
                    .zip(items.iter())
                    .map(|(i, item): (usize, _)| {
                        Self::new(item.get_ref(), item.span(), source, format!("{path}[{i}]"))
                    })
                    .collect(),
            ),
            DeValue::Table(table) => Value::Table(entries(table, source, &path)),
        };
        Self { path, place, value, bare: None }
    }

    /// The root table of a whole file.
    pub(super) fn root(table: &DeTable<'_>, source: usize) -> Self {
        let place = Place { source, ..Place::default() };
        Self { path: String::new(), place, value: Value::Table(entries(table, source, "")), bare: None }
    }

    /// What the value is, with its article, for messages.
    pub(super) fn type_name(&self) -> &'static str {
        match self.value {
            Value::Text(_) => "text",
            Value::Integer(_) => "a number",
            Value::Float(_) => "a fraction",
            Value::Boolean(_) => "a boolean",
            Value::Datetime(_) => "a date",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// The text of a string, or of a bare word in an environment variable.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => self.bare.as_deref(),
        }
    }

    /// Reports that the value has the wrong type.
    pub(super) fn refuse_type(&self, wanted: &str, help: impl Into<String>, report: &mut Report) {
        let message = format!("`{}` must be {wanted}, not {}", self.path, self.type_name());
        report.error(self.place, &self.path, message, help);
    }
}

/// A key as TOML writes it: bare when it may be.
pub(super) fn quoted_key(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !key.is_empty() && key.chars().all(is_bare) { key.to_owned() } else { quoted(key) }
}

/// A text as TOML writes it, in quotes.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// `key` inside the table `path`.
pub(super) fn join(path: &str, key: &str) -> String {
    let key = quoted_key(key);
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// Parses a whole file. Its syntax errors go to the report; then there is no tree.
pub(super) fn parse(source: usize, report: &mut Report) -> Option<Node> {
    let text = report.text(source).to_owned();
    let (table, errors) = DeTable::parse_recoverable(&text);
    if errors.is_empty() {
        return Some(Node::root(table.get_ref(), source));
    }
    hide_secrets(&text, source, report);
    let mut lines_seen = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or(text.len()..text.len());
        let start = text.floor_char_boundary(span.start);
        let line = text[..start].matches('\n').count();
        // One mistake makes the parser stumble several times on the same line.
        if lines_seen.contains(&line) {
            continue;
        }
        lines_seen.push(line);
        let place = Place { source, start, end: span.end };
        report.error(place, "", format!("not TOML: {}", error.message()), suggest::for_syntax(&text, start));
    }
    None
}

fn entries(table: &DeTable<'_>, source: usize, path: &str) -> BTreeMap<String, Entry> {
    let entry = |key: &toml::Spanned<std::borrow::Cow<'_, str>>, value: &toml::Spanned<DeValue<'_>>| {
        let span = key.span();
        let name = key.get_ref().to_string();
        let node = Node::new(value.get_ref(), value.span(), source, join(path, &name));
        (name, Entry { key: Place { source, start: span.start, end: span.end }, node })
    };
    table.iter().map(|(key, value)| entry(key, value)).collect()
}

/// Hides what may be a secret in a text that has no tree: in doubt, too much.
///
/// Every line that assigns to a key with one of [`TELLTALES`] in its name, or stands in `[auth.users]`,
/// is hidden behind its `=`, and so are the lines after it up to the next key or header.
fn hide_secrets(text: &str, source: usize, report: &mut Report) {
    let (mut start, mut in_users, mut hiding) = (0, false, false);
    for line in text.split_inclusive('\n') {
        let visible = match kind_of(line) {
            Line::Header(length) => {
                (in_users, hiding) = (line.contains("users"), false);
                length
            }
            Line::Key(key, length) => {
                hiding = in_users || TELLTALES.iter().any(|word| key.contains(word));
                if hiding { length } else { line.len() }
            }
            Line::Rest if hiding || in_users => 0,
            Line::Rest => line.len(),
        };
        report.hide(Place { source, start: start + visible, end: start + line.len() });
        start += line.len();
    }
}

/// A line as it looks without a parser; the number is how many of its bytes are name, not value.
enum Line<'a> {
    Header(usize),
    Key(&'a str, usize),
    Rest,
}

fn kind_of(line: &str) -> Line<'_> {
    let head = line.trim_start();
    if head.starts_with('[') && head[1..].starts_with(|c: char| c == '[' || c.is_ascii_alphabetic()) {
        return Line::Header(line.find(']').map_or(line.len(), |at| at + 1));
    }
    match line.split_once('=') {
        // `ab==` in the middle of a list is base64, not a key.
        Some((key, value)) if !key.contains(['"', '[', ',']) && is_value(value) => {
            Line::Key(key, key.len() + 1)
        }
        _ => Line::Rest,
    }
}

fn is_value(text: &str) -> bool {
    text.trim_start().starts_with(|c: char| c.is_alphanumeric() || "\"'[{+-".contains(c))
}

/// Parts of a key's name that betray a secret value.
const TELLTALES: [&str; 5] = ["secr", "user", "pass", "redis", "auth"];
