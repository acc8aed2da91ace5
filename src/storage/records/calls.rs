//! Calls that have ended.

use super::super::{Batch, Key, Page, Record, Table};
use super::live_call_key;
use crate::base::{Traffic, UnixTime};
use crate::metrics::Label;
use crate::signaling::{CallRecord, Callee, Party};
use crate::usage::CallUse;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// A device of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallParty {
    /// The `sub` of its token.
    pub user: Box<str>,
    /// Which of the user's; `None` where none took the call.
    pub device: Option<Box<str>>,
}

/// What one subject's credentials of the call relayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartyTraffic {
    /// Whose; `None` for all subjects beyond the bound.
    pub subject: Option<Box<str>>,
    /// `from_client`: what the party sent.
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// The latest `call:stats` of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartyStats {
    /// Which device.
    #[serde(flatten)]
    pub party: CallParty,
    /// What it said: JSON.
    pub digest: Box<str>,
}

/// A call that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRow {
    /// Its ULID, which begins with the time of its start.
    pub id: Box<str>,
    /// Who started it.
    pub caller: CallParty,
    /// With whom; `None` for a call in a room.
    pub callee: Option<CallParty>,
    /// In which room; `None` for a call between two.
    pub room: Option<Box<str>>,
    /// `audio` or `video`.
    pub media: Box<str>,
    /// Why it ended.
    pub reason: Box<str>,
    /// Who ended it; `None` for a timer or the daemon.
    pub ended_by: Option<CallParty>,
    /// When it began to ring.
    pub started: UnixTime,
    /// When a device took it.
    pub answered: Option<UnixTime>,
    /// When it ended.
    pub ended: UnixTime,
    /// From the answer to the end.
    pub duration_ms: u64,
    /// What devices said of their media.
    pub stats: Vec<PartyStats>,
    /// What its credentials relayed, by subject.
    pub traffic: Vec<PartyTraffic>,
    /// Whether its sessions were over, too, when this was written: `false` until the grace has passed.
    pub is_final: bool,
    /// Whether traffic may be missing: the daemon began anew while it lasted, or nobody could ask what it had relayed.
    #[serde(default)]
    pub is_partial: bool,
    /// Until when its credentials are refused, by the longest life that one could have when it ended; `None` where
    /// whoever recorded it did not know.
    #[serde(default)]
    pub void_until: Option<UnixTime>,
}

impl CallRow {
    /// The row of a call that just ended, and what it relayed so far.
    pub fn new(record: &CallRecord, usage: &CallUse) -> Self {
        let (callee, room) = match &record.callee {
            Callee::User { user, device } => {
                let device = device.as_deref().map(Box::from);
                (Some(CallParty { user: Box::from(&**user), device }), None)
            }
            Callee::Room(room) => (None, Some(Box::from(&**room))),
        };
        let digest = |(party, digest): &(Party, Box<str>)| PartyStats {
            party: CallParty::from(party),
            digest: digest.clone(),
        };
        Self {
            id: record.id.clone(),
            caller: CallParty::from(&record.caller),
            callee,
            room,
            media: record.media.as_str().into(),
            reason: crate::metrics::EndReason::VALUES[record.reason.index()].into(),
            ended_by: record.ended_by.as_ref().map(CallParty::from),
            started: record.started,
            answered: record.answered,
            ended: record.ended,
            duration_ms: record.duration_ms,
            stats: record.stats.iter().map(digest).collect(),
            traffic: traffic(usage),
            is_final: false,
            is_partial: false,
            void_until: None,
        }
    }

    /// What writes it down: at no moment the call neither lives nor has ended, or both.
    pub fn ending(&self) -> Batch {
        Batch::new().delete(live_call_key(&self.id)).put(self)
    }

    /// What all of its sessions relayed.
    pub fn total(&self) -> Traffic {
        let mut total = Traffic::default();
        self.traffic.iter().for_each(|party| total.add(&party.traffic));
        total
    }

    /// Whether `user` took part in it, as far as it is known.
    pub fn is_of(&self, user: &str) -> bool {
        let parties = [Some(&self.caller), self.callee.as_ref()];
        parties.into_iter().flatten().any(|party| *party.user == *user)
            || self.stats.iter().any(|stats| *stats.party.user == *user)
            || self.traffic.iter().any(|party| party.subject.as_deref() == Some(user))
    }

    /// Where the call of this id is.
    pub fn place(id: &str) -> Key {
        Key::of(Table::Calls).text(id)
    }

    /// Calls that began in `from..to`, the latest first, `limit` at most; `before`: those in front of this one.
    pub fn range(from: UnixTime, to: UnixTime, before: Option<&str>, limit: usize) -> Page {
        let to = Self::place(before.unwrap_or(&first_id(to)));
        Page { from: Self::place(&first_id(from)), to: Some(to), limit, backwards: true }
    }
}

impl Record for CallRow {
    const TABLE: Table = Table::Calls;

    fn key(&self) -> Key {
        Self::place(&self.id)
    }
}

impl From<&Party> for CallParty {
    fn from(party: &Party) -> Self {
        Self { user: Box::from(&*party.user), device: Some(Box::from(&*party.device)) }
    }
}

fn traffic(usage: &CallUse) -> Vec<PartyTraffic> {
    let party = |(subject, traffic): (Option<&str>, &Traffic)| PartyTraffic {
        subject: subject.map(Box::from),
        traffic: *traffic,
    };
    let known = usage.by_subject.iter().map(|(subject, traffic)| (Some(&**subject), traffic));
    let others = (!usage.others.is_zero()).then_some((None, &usage.others));
    known.chain(others).map(party).collect()
}

/// The first id of all calls that begin in this second or later.
fn first_id(time: UnixTime) -> String {
    Ulid::from_parts(time.0.saturating_mul(1000), 0).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::EndReason;
    use crate::signaling::Media;
    use crate::storage::{Store, StoreSettings};
    use std::sync::Arc;

    fn ended(second: u64) -> CallRecord {
        let party = |user: &str| Party { user: user.into(), device: "phone".into() };
        CallRecord {
            id: Ulid::from_parts(second * 1000, 7).to_string().into(),
            caller: party("alice"),
            callee: Callee::User { user: "bob\0/".into(), device: None },
            media: Media::Video,
            reason: EndReason::Hangup,
            ended_by: Some(party("alice")),
            started: UnixTime(second),
            answered: None,
            ended: UnixTime(second + 9),
            duration_ms: 0,
            stats: vec![(party("alice"), "{\"rtt\":1}".into())],
        }
    }

    fn relayed(subject: &str, bytes: u64) -> CallUse {
        let traffic = Traffic { bytes_from_client: bytes, ..Traffic::default() };
        CallUse { by_subject: [(Arc::from(subject), traffic)].into(), others: Traffic::default() }
    }

    #[test]
    fn a_call_is_of_whoever_called_was_called_or_relayed() {
        let row = CallRow::new(&ended(100), &relayed("carol", 5));
        assert_eq!(row.total().bytes(), 5);
        assert!(row.is_of("alice") && row.is_of("bob\0/") && row.is_of("carol") && !row.is_of("bob"));
    }

    #[tokio::test]
    async fn calls_are_found_by_the_time_of_their_start_the_latest_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&StoreSettings { path: folder.path().into(), probe: None }).expect("opens");
        let rows = [100, 200, 300].map(|second| CallRow::new(&ended(second), &CallUse::default()));
        let batch = rows.iter().fold(Batch::new(), |batch, row| batch.put(row));
        store.commit(batch).await.expect("written");
        let find = async |from, to, before: Option<&str>, limit| {
            let range = CallRow::range(UnixTime(from), UnixTime(to), before, limit);
            let found = store.page::<CallRow>(range).await.expect("read");
            found.iter().map(|row| row.started.0).collect::<Vec<_>>()
        };
        assert_eq!(find(0, 1000, None, 9).await, [300, 200, 100]);
        assert_eq!(find(0, 1000, None, 2).await, [300, 200]);
        assert_eq!(find(0, 1000, Some(&rows[1].id), 2).await, [100]);
        assert_eq!(find(200, 300, None, 9).await, [200]);
        assert_eq!(store.get(CallRow::place(&rows[0].id)).await, Ok(Some(rows[0].clone())));
    }
}
