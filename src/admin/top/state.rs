//! What is on the screen and what keys do, without a terminal.

use crate::admin::sessions::{Sort, raw};
use crate::admin::status::list;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::Value;

/// Letters of a filter.
const FILTER_MAX: usize = 40;

/// What a key asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Quit,
    /// End the session of this id.
    Kill(String),
    /// Ask again at once.
    Look,
}

/// What keys mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    List,
    /// A filter is being written.
    Filter,
    /// Is this session to be ended?
    Confirm(String),
}

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct State {
    pub(super) status: Value,
    sessions: Value,
    sort: Sort,
    pub(super) filter: String,
    pub(super) mode: Mode,
    /// The session under the bar.
    selected: Option<String>,
    pub(super) message: String,
}

impl State {
    pub(super) fn new(sort: Sort) -> Self {
        let (status, sessions) = (Value::Null, Value::Null);
        let (filter, message) = (String::new(), String::new());
        Self { status, sessions, sort, filter, mode: Mode::List, selected: None, message }
    }

    pub(super) fn sort(&self) -> Sort {
        self.sort
    }

    /// What the daemon has told now.
    pub(super) fn seen(&mut self, status: Value, sessions: Value) {
        (self.status, self.sessions) = (status, sessions);
    }

    pub(super) fn say(&mut self, message: String) {
        self.message = message;
    }

    /// Sessions that the filter lets through.
    pub(super) fn shown(&self) -> Vec<&Value> {
        let has = |session: &Value, name: &str| raw(session, name).contains(&self.filter);
        let is_shown = |session: &&Value| {
            ["id", "subject", "label", "call_id", "client"].iter().any(|name| has(session, name))
        };
        list(&self.sessions["sessions"]).filter(is_shown).collect()
    }

    /// The place of the bar among those that are shown.
    pub(super) fn selected(&self, shown: &[&Value]) -> usize {
        let id = self.selected.as_deref();
        shown.iter().position(|session| Some(raw(session, "id")) == id).unwrap_or(0)
    }

    /// What is asked for by a key.
    pub(super) fn press(&mut self, key: KeyEvent) -> Option<Deed> {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Some(Deed::Quit);
        }
        match std::mem::replace(&mut self.mode, Mode::List) {
            Mode::List => self.press_in_list(key.code),
            Mode::Filter => {
                self.press_in_filter(key.code);
                None
            }
            Mode::Confirm(id) => match key.code {
                KeyCode::Char('y' | 'Y') => Some(Deed::Kill(id)),
                _ => {
                    self.say("nothing was ended".into());
                    None
                }
            },
        }
    }

    fn press_in_list(&mut self, key: KeyCode) -> Option<Deed> {
        self.message.clear();
        match key {
            KeyCode::Char('q') | KeyCode::Esc => return Some(Deed::Quit),
            KeyCode::Char('s') => {
                self.sort = match self.sort {
                    Sort::Rate => Sort::Bytes,
                    Sort::Bytes => Sort::Age,
                    Sort::Age => Sort::Rate,
                };
                return Some(Deed::Look);
            }
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Up => self.move_by(-1),
            KeyCode::Down => self.move_by(1),
            KeyCode::Char('k') => {
                let shown = self.shown();
                if let Some(session) = shown.get(self.selected(&shown)) {
                    self.mode = Mode::Confirm(raw(session, "id").to_owned());
                }
            }
            _ => {}
        }
        None
    }

    fn press_in_filter(&mut self, key: KeyCode) {
        self.mode = Mode::Filter;
        match key {
            KeyCode::Enter => self.mode = Mode::List,
            KeyCode::Esc => {
                self.filter.clear();
                self.mode = Mode::List;
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(letter) if self.filter.chars().count() < FILTER_MAX => self.filter.push(letter),
            _ => {}
        }
    }

    fn move_by(&mut self, lines: isize) {
        let shown = self.shown();
        let last = shown.len().saturating_sub(1);
        let at = self.selected(&shown).saturating_add_signed(lines).min(last);
        self.selected = shown.get(at).map(|session| raw(session, "id").to_owned());
    }
}
