//! Collects everything that is wrong while a configuration is read, so that all of it is said at once.

use super::finding::Finding;
use super::source::{Place, Source};
use super::tree::{Node, Value};
use std::collections::BTreeMap;

/// The sources read so far, the keys they gave, and what was wrong with them.
#[derive(Debug, Default)]
pub(super) struct Report {
    sources: Vec<Source>,
    problems: Vec<Problem>,
    /// Every key that a source really holds.
    given: BTreeMap<String, Given>,
}

#[derive(Debug)]
struct Given {
    place: Place,
    is_empty_table: bool,
}

#[derive(Debug)]
struct Problem {
    place: Place,
    key: Option<String>,
    message: String,
    help: Option<String>,
    is_error: bool,
}

impl Report {
    /// Adds a text and returns its index for [`Place::source`]. The first one is the main file.
    pub(super) fn add_source(&mut self, name: String, text: String) -> usize {
        self.sources.push(Source::new(name, text));
        self.sources.len() - 1
    }

    /// The text of a source.
    pub(super) fn text(&self, source: usize) -> &str {
        &self.sources[source].text
    }

    /// Keeps a place out of every message: it holds, or may hold, a secret.
    pub(super) fn hide(&mut self, place: Place) {
        self.sources[place.source].hide(place.start..place.end);
    }

    /// Remembers that a source holds this value.
    pub(super) fn mark_given(&mut self, node: &Node) {
        let is_empty_table = matches!(&node.value, Value::Table(entries) if entries.is_empty());
        self.given.insert(node.path.clone(), Given { place: node.place, is_empty_table });
    }

    /// Whether the user wrote this key. A header with nothing below it asks for nothing.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.given.get(key).is_some_and(|given| !given.is_empty_table)
    }

    /// Where the value of a key stands, when the user wrote it.
    pub(super) fn given_place(&self, key: &str) -> Option<Place> {
        self.given.get(key).map(|given| given.place)
    }

    /// Whether an error was already reported for this key or something inside it.
    pub(super) fn has_error(&self, key: &str) -> bool {
        self.problems.iter().any(|problem| {
            let rest = problem.key.as_deref().and_then(|found| found.strip_prefix(key));
            problem.is_error && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// An error at a place.
    pub(super) fn error(
        &mut self,
        place: Place,
        key: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(place, key, message.into(), help.into(), true);
    }

    /// An error at a key's value; when the key is not written, at the section around it.
    pub(super) fn error_at(&mut self, key: &str, message: impl Into<String>, help: impl Into<String>) {
        self.push(self.place_of(key), key, message.into(), help.into(), true);
    }

    /// A warning at a key's value.
    pub(super) fn warn_at(&mut self, key: &str, message: impl Into<String>, help: impl Into<String>) {
        self.push(self.place_of(key), key, message.into(), help.into(), false);
    }

    /// A warning at a place.
    pub(super) fn warn_place(
        &mut self,
        place: Place,
        key: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(place, key, message.into(), help.into(), false);
    }

    /// Errors and warnings, each in the order of the sources.
    pub(super) fn finish(mut self) -> (Vec<Finding>, Vec<Finding>) {
        self.problems.sort_by_key(|problem| (problem.place.source, problem.place.start));
        let finding = |problem: Problem| {
            let source = &self.sources[problem.place.source];
            let snippet = source.snippet(problem.place.start, problem.place.end);
            Finding {
                file: source.name.clone(),
                at: Some(snippet.at()),
                key: problem.key,
                message: problem.message,
                help: problem.help,
                is_error: problem.is_error,
                snippet: Some(snippet),
            }
        };
        std::mem::take(&mut self.problems).into_iter().map(finding).partition(|found| found.is_error)
    }

    fn push(&mut self, place: Place, key: &str, message: String, help: String, is_error: bool) {
        let key = (!key.is_empty()).then(|| key.to_owned());
        let help = (!help.is_empty()).then_some(help);
        self.problems.push(Problem { place, key, message, help, is_error });
    }

    fn place_of(&self, key: &str) -> Place {
        let mut key = key;
        loop {
            if let Some(place) = self.given_place(key) {
                return place;
            }
            match key.rfind(['.', '[']) {
                Some(cut) => key = &key[..cut],
                None => return Place::default(),
            }
        }
    }
}
