//! Revocations and bans.

use super::super::{Key, Record, Table};
use crate::auth::{Revocation, Target};
use crate::base::UnixTime;
use serde::{Deserialize, Serialize};

/// For so long an order is kept: the longest lifetime that a credential may have had, whatever is configured now.
const KEPT_S: u64 = 365 * 86_400;

/// An order to refuse credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationRecord {
    /// By which it is listed and lifted.
    pub id: String,
    /// What `name` names: `id`, `subject` or `label`.
    pub kind: String,
    /// Whose credentials.
    pub name: String,
    /// When it was given, in seconds since the Unix epoch.
    pub at: u64,
    /// Until when it refuses names that do not say when they were minted; none for a ban.
    pub until: Option<u64>,
}

impl Record for RevocationRecord {
    const TABLE: Table = Table::Revocations;

    fn key(&self) -> Key {
        Self::key_of(&self.id)
    }
}

impl RevocationRecord {
    /// What a revocation may be of, by the name of its kind.
    pub const KINDS: [&'static str; 3] = ["id", "subject", "label"];

    /// Where the revocation of this id is.
    pub fn key_of(id: &str) -> Key {
        Key::of(Table::Revocations).text(id)
    }

    /// As credentials are judged by it; `None` for a kind that this build does not know.
    pub fn order(&self) -> Option<Revocation> {
        let name = self.name.as_str().into();
        let target = match self.kind.as_str() {
            "id" => Target::Id(name),
            "subject" => Target::Subject(name),
            "label" => Target::Label(name),
            _ => return None,
        };
        Some(Revocation { target, at: UnixTime(self.at), until: self.until.map(UnixTime) })
    }

    /// Whether it refuses nothing any more: no credential of before it is alive.
    pub fn has_passed(&self, now: UnixTime) -> bool {
        self.until.is_some_and(|until| until.max(self.at.saturating_add(KEPT_S)) <= now.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_an_order_and_no_other_word_is() {
        let record = |kind: &str, until| RevocationRecord {
            id: "rev_1".into(),
            kind: kind.into(),
            name: "a\u{1b}/b".into(),
            at: 100,
            until,
        };
        for kind in RevocationRecord::KINDS {
            let order = record(kind, Some(200)).order().expect("known");
            assert_eq!((order.at, order.until), (UnixTime(100), Some(UnixTime(200))));
        }
        assert_eq!(
            record("subject", None).order().map(|order| order.target),
            Some(Target::Subject("a\u{1b}/b".into()))
        );
        assert_eq!(record("planet", None).order(), None);
        let year = UnixTime(100 + 365 * 86_400);
        for until in [200, year.0] {
            let record = record("id", Some(until));
            assert!(!record.has_passed(UnixTime(year.0 - 1)) && record.has_passed(year), "{until}");
        }
        assert!(!record("id", Some(year.0 + 1)).has_passed(year));
        assert!(!record("id", None).has_passed(UnixTime(u64::MAX)));
    }
}
