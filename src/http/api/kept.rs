//! What the store keeps for the API, read before any door opens.

use super::keys::KEYS_MAX;
use super::revocations::{self, ORDERS_MAX};
use super::users::USERS_MAX;
use crate::auth::{ApiKeys, Revocation, Revocations, StoredUser, Target};
use crate::base::UnixTime;
use crate::storage::records::{ApiKeyRecord, CallRow, RevocationRecord, RunRow, UserRecord};
use crate::storage::{Key, Page, Record, Store, StoreError};
use std::time::Duration;

/// Calls that are looked at for those that have just ended: the latest ones.
const CALLS_MAX: usize = 65_536;

/// Records of calls that are read in one go.
const CALLS_AT_ONCE: usize = 1024;

/// The longest life of a credential that any config allows: the one before may have allowed more than this one.
const TTL_MAX: Duration = Duration::from_secs(365 * 86_400);

/// Records are ordered by the start of the call. One that lasted longer is not looked for.
const CALL_DURATION_MAX: Duration = Duration::from_secs(7 * 86_400);

/// What was kept.
#[derive(Debug, Default)]
pub struct Kept {
    /// For [`super::Services::keys`].
    pub keys: ApiKeys,
    /// For [`super::Orders`].
    pub revocations: Vec<RevocationRecord>,
    /// For [`super::Users`].
    pub users: Vec<UserRecord>,
    /// Calls that have ended, for [`super::Orders`]: their credentials are void.
    pub ended_calls: Vec<Revocation>,
    /// The daemon ran until then, at least, when it ran last: as far as its books tell.
    pub ran_until: Option<UnixTime>,
}

impl Kept {
    /// Reads it all. Blocks until the store has answered: for the start, where nobody waits yet.
    ///
    /// # Errors
    /// There is no store, or it cannot be read: no key is good, and revocations are unknown.
    pub fn read(store: &Store) -> Result<Self, StoreError> {
        // And the one of the operator's file.
        let keys = all::<ApiKeyRecord>(store, KEYS_MAX + 1)?;
        let keys = keys.iter().filter_map(ApiKeyRecord::entry).collect();
        let (revocations, users) = (all(store, ORDERS_MAX)?, all(store, USERS_MAX)?);
        let run = store.page_blocking::<RunRow>(Page::of(RunRow::place(), 1))?;
        let ran_until = run.first().map(|run| run.settled_until);
        Ok(Self { keys, revocations, users, ended_calls: Vec::new(), ran_until })
    }

    /// Reads which calls have ended whose credentials may still have time: `ttl_max` is the longest that one lives,
    /// where the record does not say. Blocks as [`Kept::read`] does.
    ///
    /// # Errors
    /// As there.
    pub fn with_ended_calls(
        mut self,
        store: &Store,
        now: UnixTime,
        ttl_max: Duration,
    ) -> Result<Self, StoreError> {
        let from = UnixTime(now.0.saturating_sub((TTL_MAX + CALL_DURATION_MAX).as_secs()));
        // A clock that was set back has records of the future.
        let to = now.after(CALL_DURATION_MAX);
        let (mut before, mut looked_at) = (None::<Box<str>>, 0);
        while looked_at < CALLS_MAX {
            let rows: Vec<CallRow> =
                store.page_blocking(CallRow::range(from, to, before.as_deref(), CALLS_AT_ONCE))?;
            let Some(last) = rows.last() else { break };
            before = Some(last.id.clone());
            looked_at += rows.len();
            let orders = rows.iter().map(|row| of_ended(row, ttl_max));
            self.ended_calls.extend(orders.filter(|order| order.until.is_some_and(|until| now < until)));
        }
        Ok(self)
    }

    /// Static users beside those of the config, for doors that are about to open.
    pub fn stored_users(&self) -> Vec<StoredUser> {
        self.users.iter().filter_map(UserRecord::user).collect()
    }

    /// What credentials are judged by, for doors that are about to open.
    pub fn revocations_in_force(&self) -> Revocations {
        revocations::prepared(&self.revocations, &self.ended_calls)
    }
}

fn of_ended(call: &CallRow, ttl_max: Duration) -> Revocation {
    Revocation {
        target: Target::Call(call.id.clone()),
        at: call.ended,
        until: Some(call.void_until.unwrap_or(call.ended.after(ttl_max))),
    }
}

/// Records of one table.
fn all<R: Record>(store: &Store, limit: usize) -> Result<Vec<R>, StoreError> {
    store.page_blocking(Page::of(Key::of(R::TABLE), limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Claimed;
    use crate::metrics::EndReason;
    use crate::signaling::{CallRecord, Callee, Media, Party};
    use crate::storage::{Batch, StoreSettings};
    use crate::usage::CallUse;
    use ulid::Ulid;

    const NOW: UnixTime = UnixTime(1_800_000_000);
    const TTL: Duration = Duration::from_secs(86_400);

    /// A call that began and ended so many seconds ago.
    fn call(began_ago: u64, ended_ago: u64, number: u128) -> CallRow {
        let started = NOW.0 - began_ago;
        let record = CallRecord {
            id: Ulid::from_parts(started * 1000, number).to_string().into(),
            caller: Party { user: "alice".into(), device: "phone".into() },
            callee: Callee::User { user: "bob".into(), device: None },
            media: Media::Audio,
            reason: EndReason::Hangup,
            ended_by: None,
            started: UnixTime(started),
            answered: None,
            ended: UnixTime(NOW.0 - ended_ago),
            duration_ms: 0,
            stats: Vec::new(),
        };
        CallRow::new(&record, &CallUse::default())
    }

    #[tokio::test]
    async fn how_long_the_daemon_ran_before_is_known_by_its_books() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&StoreSettings { path: folder.path().into(), probe: None }).expect("opens");
        assert_eq!(Kept::read(&store).expect("read").ran_until, None);
        let run = RunRow { settled_until: NOW, ended: false };
        store.commit(Batch::new().put(&run)).await.expect("written");
        assert_eq!(Kept::read(&store).expect("read").ran_until, Some(NOW));
    }

    #[test]
    fn credentials_of_calls_that_ended_within_their_time_are_void_at_the_next_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&StoreSettings { path: folder.path().into(), probe: None }).expect("opens");
        let (just, long, old) = (call(9, 5, 0), call(5 * 86_400, 86_399, 0), call(90_000, 86_400, 0));
        // Both while the config allowed other lives than now.
        let until = |seconds| Some(UnixTime(NOW.0 + seconds));
        let lowered = CallRow { void_until: until(5), ..call(30 * 86_400, 29 * 86_400, 1) };
        let raised = CallRow { void_until: until(0), ..call(100, 60, 3000) };
        // More than are read in one go.
        let others: Vec<_> = (0..2000).map(|number| call(60, 50, number)).collect();
        let rows = others.iter().chain([&just, &long, &old, &lowered, &raised]);
        store.commit_blocking(rows.fold(Batch::new(), Batch::put)).expect("written");

        let kept = Kept::read(&store).and_then(|kept| kept.with_ended_calls(&store, NOW, TTL));
        let kept = kept.expect("read");
        assert_eq!(kept.ended_calls.len(), others.len() + 3);
        let orders = kept.revocations_in_force();
        let is_void = |now, call: &CallRow| {
            let (subject, call_id) = ("alice", Some(&*call.id));
            orders.deny(now, &Claimed { id: None, subject, label: None, call_id, minted_at: Some(now) })
        };
        assert!(is_void(NOW, &just) && is_void(NOW, &long) && !is_void(NOW, &old));
        assert!(is_void(NOW, &lowered) && !is_void(NOW, &raised), "the record knows");
        assert!(others.iter().all(|call| is_void(NOW, call)));
        assert!(!is_void(UnixTime(NOW.0 + 1), &long), "no credential of it has time left");
    }
}
