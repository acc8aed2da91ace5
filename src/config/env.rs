//! Environment variables that replace keys of the file: `TURNSTONE_AUTH__TTL=30m` is `auth.ttl`.

use super::report::Report;
use super::source::Place;
use super::tree::{Entry, Node, Value, join};
use std::collections::BTreeMap;
use toml::de::DeValue;

const PREFIX: &str = "TURNSTONE_";
const SEPARATOR: &str = "__";

/// Deeper than any key of the format.
const DEPTH_MAX: usize = 8;

/// The variables of this process that can matter here.
///
/// Unlike `std::env::vars` it does not panic on bytes that are not UTF-8; they become U+FFFD.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        name.starts_with(PREFIX).then(|| (name, value.to_string_lossy().into_owned()))
    })
}

/// Puts every override into the tree; each one becomes a source of its own, so errors name it.
pub(super) fn apply(root: &mut Node, env: impl IntoIterator<Item = (String, String)>, report: &mut Report) {
    // Sorted, so that the same variables give the same errors in the same order.
    let overrides: BTreeMap<_, _> =
        env.into_iter().filter(|(name, _)| name.starts_with(PREFIX) && name.contains(SEPARATOR)).collect();
    for (name, value) in overrides {
        let keys = name[PREFIX.len()..].to_lowercase();
        let keys: Vec<&str> = keys.split(SEPARATOR).collect();
        let source = report.add_source(format!("environment variable {name}"), value);
        if keys.len() > DEPTH_MAX {
            let place = Place { source, start: 0, end: report.text(source).len() };
            report.hide(place);
            report.error(place, "", format!("no key has {} parts", keys.len()), "unset the variable");
        } else {
            insert(root, &keys, source, report);
        }
    }
}

fn insert(root: &mut Node, keys: &[&str], source: usize, report: &mut Report) {
    let place = Place { source, start: 0, end: report.text(source).len() };
    let path = keys.iter().fold(String::new(), |path, key| join(&path, key));
    let leaf = leaf(report.text(source), source, path.clone());
    let mut table = root;
    for (depth, key) in keys.iter().enumerate() {
        let Value::Table(entries) = &mut table.value else {
            report.hide(place);
            let message = format!("`{}` is not a section that a variable could reach into", table.path);
            return report.error(place, &path, message, "set it in the file");
        };
        if depth + 1 == keys.len() {
            entries.insert((*key).to_owned(), Entry { key: place, node: leaf });
            return;
        }
        let inner = join(&table.path, key);
        let empty = Node { path: inner, place, value: Value::Table(BTreeMap::new()), bare: None };
        table = &mut entries.entry((*key).to_owned()).or_insert(Entry { key: place, node: empty }).node;
    }
}

/// The value as TOML when it is that, else as the text that it is.
fn leaf(text: &str, source: usize, path: String) -> Node {
    let place = Place { source, start: 0, end: text.len() };
    match DeValue::parse(text) {
        Ok(value) => {
            let node = Node::new(value.get_ref(), value.span(), source, path);
            let is_bare = !matches!(node.value, Value::Text(_) | Value::Array(_) | Value::Table(_));
            Node { bare: is_bare.then(|| text.to_owned()), place, ..node }
        }
        Err(_) => Node { path, place, value: Value::Text(text.to_owned()), bare: None },
    }
}
