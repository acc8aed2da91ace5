//! How a table of the file becomes a struct: one list of keys gives the struct, its defaults, its
//! reader, the set of known keys, and what `--print-effective` prints.

use super::report::Report;
use super::suggest;
use super::tree::{Entry, Node, Value, join, quoted_key};
use std::collections::BTreeMap;

/// A setting that can be read from the file and printed back.
pub(super) trait Setting: Sized {
    /// The checked value. `None` when it is not acceptable; then `report` has an error.
    fn read(node: Node, report: &mut Report) -> Option<Self>;

    /// The value as TOML, secrets as stars.
    fn show(&self) -> Shown;
}

/// A setting as TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// A value on one line.
    Value(String),
    /// An optional key without a value.
    Unset,
    /// A table, printed as `[header]`.
    Table(Vec<(String, Shown)>),
    /// Tables, printed as `[[header]]`; never empty.
    Tables(Vec<Shown>),
}

impl Shown {
    /// The whole table as TOML text; `path` is its header.
    pub(super) fn write(&self, path: &str, out: &mut String) {
        let Self::Table(entries) = self else { return };
        for (key, shown) in entries {
            match shown {
                Self::Value(text) => *out += &format!("{} = {text}\n", quoted_key(key)),
                Self::Unset => *out += &format!("# {key} is not set\n"),
                Self::Table(_) | Self::Tables(_) => {}
            }
        }
        // TOML wants the plain keys of a table before its inner tables.
        for (key, shown) in entries {
            let inner = join(path, key);
            match shown {
                Self::Table(_) => {
                    *out += &format!("\n[{inner}]\n");
                    shown.write(&inner, out);
                }
                Self::Tables(tables) => {
                    for table in tables {
                        *out += &format!("\n[[{inner}]]\n");
                        table.write(&inner, out);
                    }
                }
                Self::Value(_) | Self::Unset => {}
            }
        }
    }

    /// Every key inside with its value as text, secrets as stars.
    pub(super) fn flat(&self, path: &str, found: &mut Vec<(String, String)>) {
        match self {
            Self::Value(text) => found.push((path.to_owned(), text.clone())),
            Self::Unset => found.push((path.to_owned(), String::new())),
            Self::Table(entries) => {
                entries.iter().for_each(|(key, shown)| shown.flat(&join(path, key), found))
            }
            Self::Tables(_) => found.push((path.to_owned(), format!("{self:?}"))),
        }
    }

    /// Every key inside, as (section, key).
    pub(super) fn keys(&self, path: &str, found: &mut Vec<(String, String)>) {
        match self {
            Self::Table(entries) => {
                for (key, shown) in entries {
                    found.push((path.to_owned(), key.clone()));
                    shown.keys(&join(path, key), found);
                }
            }
            Self::Tables(tables) => {
                if let Some(table) = tables.first() {
                    table.keys(path, found);
                }
            }
            Self::Value(_) | Self::Unset => {}
        }
    }
}

/// A table that is being read key by key.
pub(super) struct Table {
    path: String,
    entries: BTreeMap<String, Entry>,
}

impl Table {
    /// The table in `node`; anything else is an error.
    pub(super) fn open(node: Node, report: &mut Report) -> Option<Self> {
        match node.value {
            Value::Table(entries) => Some(Self { path: node.path, entries }),
            _ => {
                // `auth = "my secret"`: what stands where a section belongs may be anything.
                report.hide(node.place);
                node.refuse_type("a section", format!("write [{}] on a line of its own", node.path), report);
                None
            }
        }
    }

    /// The value of `key`; `None` when it is not written or not acceptable.
    pub(super) fn take<T: Setting>(&mut self, key: &str, report: &mut Report) -> Option<T> {
        let entry = self.entries.remove(key)?;
        report.mark_given(&entry.node);
        T::read(entry.node, report)
    }

    /// What is left when all known keys are taken is unknown.
    pub(super) fn close(self, known: &[&str], report: &mut Report) {
        for (key, entry) in self.entries {
            hide_values(&entry.node, report);
            let home = match self.path.as_str() {
                "" => "at the top level".to_owned(),
                path => format!("in [{path}]"),
            };
            let message = format!("unknown key `{}` {home}", quoted_key(&key));
            report.error(entry.key, &entry.node.path, message, help_for_unknown(&key, &self.path, known));
        }
    }
}

/// An unknown key may be a misspelt `secrets`, so no value under it is shown.
fn hide_values(node: &Node, report: &mut Report) {
    match &node.value {
        Value::Table(entries) => entries.values().for_each(|entry| hide_values(&entry.node, report)),
        _ => report.hide(node.place),
    }
}

fn help_for_unknown(key: &str, path: &str, known: &[&str]) -> String {
    if let Some(meant) = suggest::closest(key, known.iter().copied()) {
        return format!("did you mean `{meant}`?");
    }
    let all = super::every_key();
    if let Some((home, _)) = all.iter().find(|(home, name)| name == key && home != path) {
        return match home.as_str() {
            "" => format!("`{key}` is a section of its own: write [{key}]"),
            home => format!("`{key}` belongs in [{home}]"),
        };
    }
    if let Some((home, name)) = all
        .iter()
        .filter(|(home, _)| !home.is_empty())
        .find(|(_, name)| suggest::closest(key, [name.as_str()]).is_some())
    {
        return format!("did you mean `{name}` in [{home}]?");
    }
    format!("known keys here: {}", suggest::list(known, '`'))
}

/// Declares one section of the file: a struct whose fields are the keys, with type and default.
macro_rules! section {
    (
        $(#[$about:meta])*
        $name:ident { $( $(#[$doc:meta])* $key:ident : $kind:ty = $default:expr; )* }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[$doc])* pub $key: $kind, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $key: $default, )* }
            }
        }

        impl $crate::config::section::Setting for $name {
            fn read(
                node: $crate::config::tree::Node,
                report: &mut $crate::config::report::Report,
            ) -> Option<Self> {
                let mut table = $crate::config::section::Table::open(node, report)?;
                let read = Self {
                    $( $key: table.take(stringify!($key), report).unwrap_or_else(|| $default), )*
                };
                table.close(&[$( stringify!($key) ),*], report);
                Some(read)
            }

            fn show(&self) -> $crate::config::section::Shown {
                $crate::config::section::Shown::Table(vec![
                    $( (stringify!($key).to_owned(), self.$key.show()), )*
                ])
            }
        }
    };
}
pub(super) use section;

impl<T: Setting> Setting for Option<T> {
    fn read(node: Node, report: &mut Report) -> Option<Self> {
        T::read(node, report).map(Some)
    }

    fn show(&self) -> Shown {
        self.as_ref().map_or(Shown::Unset, T::show)
    }
}

impl<T: Setting> Setting for Vec<T> {
    /// All items, or `None` when one is not acceptable, so that an index always fits the file's.
    fn read(node: Node, report: &mut Report) -> Option<Self> {
        let Value::Array(items) = node.value else {
            report.hide(node.place);
            node.refuse_type("a list", "put it in brackets: [ ... ]", report);
            return None;
        };
        let read = |item: Node| {
            report.mark_given(&item);
            T::read(item, report)
        };
        // Every item is read before one refused item refuses the list: all errors are wanted.
        let read: Vec<Option<T>> = items.into_iter().map(read).collect();
        read.into_iter().collect()
    }

    fn show(&self) -> Shown {
        let items: Vec<Shown> = self.iter().map(T::show).collect();
        if !items.is_empty() && items.iter().all(|item| matches!(item, Shown::Table(_))) {
            return Shown::Tables(items);
        }
        let texts: Vec<&str> = items
            .iter()
            .filter_map(|item| match item {
                Shown::Value(text) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        Shown::Value(format!("[{}]", texts.join(", ")))
    }
}
