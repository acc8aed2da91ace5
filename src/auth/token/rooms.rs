//! The rooms that a token opens.

use serde::Deserialize;
use std::borrow::Cow;

/// Names of rooms, exact or with a `*` at their end for any continuation: the claim `rooms`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomList(Box<[Box<str>]>);

impl RoomList {
    /// Whether the list has `room`. A `*` elsewhere than at the end stands for itself.
    pub fn admits(&self, room: &str) -> bool {
        self.0.iter().any(|entry| match entry.strip_suffix('*') {
            Some(start) => room.starts_with(start),
            None => **entry == *room,
        })
    }

    /// The entries as the token has them.
    pub fn entries(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|entry| &**entry)
    }

    pub(super) fn new(entries: Box<[Box<str>]>) -> Self {
        Self(entries)
    }
}

/// One text or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMore<'a> {
    One(#[serde(borrow)] Cow<'a, str>),
    More(#[serde(borrow)] Vec<Text<'a>>),
}

/// Borrowed unless it has escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl OneOrMore<'_> {
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        let (one, more) = match self {
            Self::One(one) => (Some(&**one), &[][..]),
            Self::More(more) => (None, &more[..]),
        };
        one.into_iter().chain(more.iter().map(|Text(text)| &**text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_at_the_end_stands_for_any_continuation() {
        let list = |entries: &[&str]| RoomList::new(entries.iter().map(|entry| Box::from(*entry)).collect());
        let rooms = list(&["lobby", "team-7-*", "a*b"]);
        for (room, is_admitted) in [
            ("lobby", true),
            ("lobby2", false),
            ("Lobby", false),
            ("team-7-", true),
            ("team-7-x*", true),
            ("team-77", false),
            ("a*b", true),
            ("axb", false),
            ("", false),
        ] {
            assert_eq!(rooms.admits(room), is_admitted, "{room}");
        }
        assert!(list(&["*"]).admits("anything") && !list(&[]).admits("anything"));
    }
}
