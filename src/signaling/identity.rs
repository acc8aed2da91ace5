//! Who a client is, by its token.

use crate::base::UnixTime;
use std::sync::Arc;

/// What a good token says. The hub believes nothing else about who somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `sub`: the user.
    pub user: Arc<str>,
    /// `device_id`.
    pub device: Option<Arc<str>>,
    /// `name`, for people.
    pub name: Option<Arc<str>>,
    /// `exp`.
    pub expires: UnixTime,
    /// `rooms`: the rooms that it opens, exact names or with a `*` at the end; `None` when the token does not say.
    pub rooms: Option<Arc<[Box<str>]>>,
    /// `roles`: what its bearer may be in a room; empty when the token does not say.
    pub roles: Arc<[Box<str>]>,
}

/// The rooms that a token lets its bearer into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRooms {
    patterns: Option<Arc<[Box<str>]>>,
    open: bool,
}

impl OpenRooms {
    /// Whether `room` is one of them.
    pub fn admit(&self, room: &str) -> bool {
        admits(self.patterns.as_deref(), self.open, room)
    }
}

fn admits(patterns: Option<&[Box<str>]>, open: bool, room: &str) -> bool {
    let Some(patterns) = patterns else { return open };
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => room.starts_with(start),
        None => **pattern == *room,
    })
}

impl Identity {
    /// Whether the token lets its bearer into `room`; `open` decides for tokens that do not say.
    pub(super) fn admits(&self, room: &str, open: bool) -> bool {
        admits(self.rooms.as_deref(), open, room)
    }

    /// The rooms that the token lets its bearer into; `open` decides for tokens that do not say.
    pub fn opens(&self, open: bool) -> OpenRooms {
        OpenRooms { patterns: self.rooms.clone(), open }
    }

    /// The role that its bearer has in a room, who asked for `wanted`; `None` when it may not have it.
    pub(super) fn role<'a>(&'a self, wanted: Option<&'a str>, open: bool) -> Option<Option<&'a str>> {
        match (wanted, &*self.roles) {
            (None, roles) => Some(roles.first().map(|role| &**role)),
            (Some(wanted), []) => open.then_some(Some(wanted)),
            (Some(wanted), roles) => roles.iter().any(|role| **role == *wanted).then_some(Some(wanted)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_names_rooms_or_roles_gives_these_and_no_others() {
        let list = |texts: &[&str]| texts.iter().map(|text| Box::from(*text)).collect::<Arc<[Box<str>]>>();
        let mut identity = Identity {
            user: Arc::from("alice"),
            device: None,
            name: None,
            expires: UnixTime(0),
            rooms: Some(list(&["lobby", "team-7-*"])),
            roles: list(&["instructor", "learner"]),
        };
        for (room, is_admitted) in
            [("lobby", true), ("lobby2", false), ("team-7-", true), ("team-7-a", true), ("team-70", false)]
        {
            assert_eq!(identity.admits(room, true), is_admitted, "{room}");
        }
        assert_eq!(identity.role(None, true), Some(Some("instructor")));
        assert_eq!(identity.role(Some("learner"), true), Some(Some("learner")));
        assert_eq!(identity.role(Some("admin"), true), None);
        (identity.rooms, identity.roles) = (None, list(&[]));
        assert!(identity.admits("lobby", true) && !identity.admits("lobby", false));
        assert_eq!(identity.role(Some("admin"), true), Some(Some("admin")));
        assert_eq!(identity.role(Some("admin"), false), None);
        assert_eq!(identity.role(None, false), Some(None));
    }
}
