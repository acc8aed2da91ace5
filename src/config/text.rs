//! Settings that the file writes as text, and the plain ones: booleans, numbers, paths, secrets.

use super::report::Report;
use super::section::{Setting, Shown};
use super::suggest;
use super::tree::{Node, Value, quoted};
use crate::auth::Secret;
use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::path::PathBuf;

/// A setting that is one text in the file.
pub(super) trait TextSetting: Sized {
    /// What it is, with article: "a duration".
    const WHAT: &'static str;
    /// A good value, as an example for messages.
    const EXAMPLE: &'static str;

    /// Checks the text.
    fn from_text(text: &str) -> Result<Self, Refusal>;

    /// The text that reads back as this value.
    fn to_text(&self) -> String;

    /// What a bare number was most likely meant to be: `30` for a duration is `30s`.
    fn from_bare(_number: i128) -> Option<String> {
        None
    }
}

/// Why a text was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What is wrong with it, as the end of a sentence that begins with the key.
    pub(super) message: String,
    /// What to write instead.
    pub(super) help: String,
}

impl Refusal {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

impl<T: TextSetting> Setting for T {
    fn read(node: Node, report: &mut Report) -> Option<Self> {
        let Some(text) = node.text() else {
            let meant = match node.value {
                Value::Integer(number) => T::from_bare(number),
                _ => None,
            };
            let example = meant.unwrap_or_else(|| T::EXAMPLE.to_owned());
            node.refuse_type(T::WHAT, format!("write {}", quoted(&example)), report);
            return None;
        };
        match T::from_text(text) {
            Ok(value) => Some(value),
            Err(refusal) => {
                let message = format!("`{}`: {}", node.path, refusal.message);
                report.error(node.place, &node.path, message, refusal.help);
                None
            }
        }
    }

    fn show(&self) -> Shown {
        Shown::Value(quoted(&self.to_text()))
    }
}

/// Declares an enum whose variants are words in the file.
macro_rules! words {
    (
        $(#[$about:meta])*
        $name:ident ($what:literal) { $( $(#[$doc:meta])* $variant:ident = $word:literal, )* }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $( $(#[$doc])* $variant, )*
        }

        impl $name {
            /// The word of the file.
            pub const fn word(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }
        }

        impl $crate::config::text::TextSetting for $name {
            const WHAT: &'static str = $what;
            const EXAMPLE: &'static str = [$( $word ),*][0];

            fn from_text(text: &str) -> Result<Self, $crate::config::text::Refusal> {
                match text {
                    $( $word => Ok(Self::$variant), )*
                    _ => Err($crate::config::text::Refusal::new(
                        format!("\"{text}\" is not {}", $what),
                        $crate::config::suggest::one_of(text, &[$( $word ),*]),
                    )),
                }
            }

            fn to_text(&self) -> String {
                self.word().to_owned()
            }
        }
    };
}
pub(super) use words;

impl TextSetting for String {
    const WHAT: &'static str = "text";
    const EXAMPLE: &'static str = "...";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Err(Refusal::new("the text is empty", "write a value, or delete the line"));
        }
        if text.chars().any(char::is_control) {
            return Err(Refusal::new("the text has a control character", "write printable characters only"));
        }
        Ok(text.to_owned())
    }

    fn to_text(&self) -> String {
        self.clone()
    }

    fn from_bare(number: i128) -> Option<String> {
        Some(number.to_string())
    }
}

impl TextSetting for PathBuf {
    const WHAT: &'static str = "a path";
    const EXAMPLE: &'static str = "/etc/turnstone/secret";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        String::from_text(text).map(Self::from)
    }

    fn to_text(&self) -> String {
        self.to_string_lossy().into_owned()
    }
}

/// An address of a web service, `http://` or `https://`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebUrl(String);

impl WebUrl {
    /// The address as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TextSetting for WebUrl {
    const WHAT: &'static str = "a URL";
    const EXAMPLE: &'static str = "https://app.example.org/hooks";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let is_plain = |c: char| c.is_ascii_graphic();
        match rest {
            Some(rest) if !rest.is_empty() && !rest.starts_with('/') && rest.chars().all(is_plain) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(Refusal::new(
                format!("\"{}\" is not a URL", text.escape_debug()),
                format!("write it with scheme and host, such as \"{}\"", Self::EXAMPLE),
            )),
        }
    }

    fn to_text(&self) -> String {
        self.0.clone()
    }
}

impl Setting for bool {
    fn read(node: Node, report: &mut Report) -> Option<Self> {
        if let Value::Boolean(yes) = node.value {
            return Some(yes);
        }
        let help = match node.text().map(str::to_lowercase).as_deref() {
            Some("yes" | "on" | "true" | "1") => "write true, without quotes",
            Some("no" | "off" | "false" | "0") => "write false, without quotes",
            _ => "write true or false, without quotes",
        };
        node.refuse_type("true or false", help, report);
        None
    }

    fn show(&self) -> Shown {
        Shown::Value(self.to_string())
    }
}

impl Setting for u32 {
    fn read(node: Node, report: &mut Report) -> Option<Self> {
        whole(&node, 0..=i128::from(Self::MAX), report).and_then(|number| Self::try_from(number).ok())
    }

    fn show(&self) -> Shown {
        Shown::Value(self.to_string())
    }
}

impl Setting for NonZeroU16 {
    fn read(node: Node, report: &mut Report) -> Option<Self> {
        let number = whole(&node, 1..=i128::from(u16::MAX), report)?;
        u16::try_from(number).ok().and_then(Self::new)
    }

    fn show(&self) -> Shown {
        Shown::Value(self.to_string())
    }
}

/// A whole number in a range.
pub(super) fn whole(node: &Node, range: std::ops::RangeInclusive<i128>, report: &mut Report) -> Option<i128> {
    let bounds = format!("a whole number from {} to {}", range.start(), range.end());
    match &node.value {
        Value::Integer(number) if range.contains(number) => Some(*number),
        Value::Integer(_) => {
            let message = format!("`{}` is out of range", node.path);
            report.error(node.place, &node.path, message, format!("write {bounds}"));
            None
        }
        Value::Text(text) if text.trim().parse::<i128>().is_ok() => {
            node.refuse_type("a number", format!("write {}, without quotes", text.trim()), report);
            None
        }
        _ => {
            node.refuse_type("a number", format!("write {bounds}"), report);
            None
        }
    }
}

impl Setting for Secret {
    fn read(node: Node, report: &mut Report) -> Option<Self> {
        report.hide(node.place);
        match node.text() {
            Some(text) => Some(Self::new(text)),
            None => {
                node.refuse_type("text", "put it in quotes", report);
                None
            }
        }
    }

    fn show(&self) -> Shown {
        Shown::Value("\"********\"".to_owned())
    }
}

impl Setting for BTreeMap<String, Secret> {
    fn read(node: Node, report: &mut Report) -> Option<Self> {
        let Value::Table(entries) = node.value else {
            report.hide(node.place);
            node.refuse_type("a table of names and passwords", "write name = \"password\"", report);
            return None;
        };
        let mut users = Self::new();
        for (name, entry) in entries {
            report.mark_given(&Node { place: entry.key, ..entry.node.clone() });
            if let Some(password) = Secret::read(entry.node, report) {
                users.insert(name, password);
            }
        }
        Some(users)
    }

    fn show(&self) -> Shown {
        Shown::Table(self.iter().map(|(name, password)| (name.clone(), password.show())).collect())
    }
}

/// A table whose keys another part defines; only its syntax is checked here.
#[derive(Clone, Debug, PartialEq)]
pub struct FreeTable(pub toml::Table);

impl Setting for FreeTable {
    fn read(node: Node, report: &mut Report) -> Option<Self> {
        match free(&node) {
            toml::Value::Table(table) => Some(Self(table)),
            _ => {
                node.refuse_type("a table", suggest::list(&["[[signaling.rule]]"], '`'), report);
                None
            }
        }
    }

    fn show(&self) -> Shown {
        // In one line, because inside a list of free tables a header could not be told from a key.
        Shown::Value(toml::Value::Table(self.0.clone()).to_string())
    }
}

fn free(node: &Node) -> toml::Value {
    match &node.value {
        Value::Text(text) | Value::Datetime(text) => toml::Value::String(text.clone()),
        Value::Integer(number) => toml::Value::Integer(i64::try_from(*number).unwrap_or(i64::MAX)),
        Value::Float(number) => toml::Value::Float(*number),
        Value::Boolean(yes) => toml::Value::Boolean(*yes),
        Value::Array(items) => toml::Value::Array(items.iter().map(free).collect()),
        Value::Table(entries) => {
            toml::Value::Table(entries.iter().map(|(key, entry)| (key.clone(), free(&entry.node))).collect())
        }
    }
}
