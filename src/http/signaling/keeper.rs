//! What signaling keeps: the hub's deeds, done by the storage while the thread goes on.
//!
//! Writes of messages and calls are handed over by the thread itself, so that the storage writes them in order. What takes
//! more than one step runs beside it, and its outcome comes as a letter.

use super::deeds;
use super::mailbox::{Door, Letter};
use super::retention::{self, Retention};
use crate::base::Now;
use crate::signaling::{CallRecord, Deed, LiveCall, Outcome, SentBefore, Unstored};
use crate::storage::records::{CallRow, SentRecord, batch_of};
use crate::storage::{Batch, Key, Page, Record, Store, StoreError, Table};
use crate::usage::CallUse;
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// How long the thread waits for what was kept before it lets the first client in.
const RESTORE_WITHIN: Duration = Duration::from_secs(5);
/// How long it waits, at its end, for what it has handed over.
const FINISH_WITHIN: Duration = Duration::from_secs(3);
/// Calls and messages that are taken over at a start.
const CALLS_MAX: usize = 100_000;
const SENT_MAX: usize = 20_000;

/// Where signaling keeps what is to outlive the daemon.
#[derive(Clone, Debug)]
pub struct Keeping {
    /// The storage.
    pub store: Store,
    /// Where to wait for it.
    pub runtime: Handle,
}

/// What was kept when the daemon ended.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) calls: Vec<LiveCall>,
    pub(super) sent: Vec<SentBefore>,
}

/// The thread's way to the storage.
pub(super) struct Keeper {
    keeping: Keeping,
    door: Door,
    retention: Arc<ArcSwap<Retention>>,
    sweeper: AbortHandle,
}

impl Keeper {
    pub(super) fn new(keeping: Keeping, door: Door, retention: Retention) -> Self {
        let retention = Arc::new(ArcSwap::from_pointee(retention));
        let sweeping = retention::sweep_on(keeping.store.clone(), Arc::clone(&retention));
        let sweeper = keeping.runtime.spawn(sweeping).abort_handle();
        Self { keeping, door, retention, sweeper }
    }

    /// What was kept of calls, and of messages that were sent at `sent_since_ms` or later.
    pub(super) fn kept(&self, sent_since_ms: u64) -> Kept {
        let sent = Page {
            from: SentRecord::since(sent_since_ms),
            to: Key::of(Table::SentMessages).end(),
            limit: SENT_MAX,
            backwards: true,
        };
        let calls = self.wait_for(Page::of(Key::of(Table::LiveCalls), CALLS_MAX));
        Kept { calls, sent: self.wait_for::<SentRecord>(sent).into_iter().map(SentBefore::from).collect() }
    }

    pub(super) fn retain(&self, retention: Retention) {
        self.retention.store(Arc::new(retention));
    }

    /// A live call has changed. Nobody waits for it: with a broken storage calls go on.
    pub(super) fn call_live(&self, call: &LiveCall) {
        self.keeping.store.commit_then(Batch::new().put(call), |_| {});
    }

    /// A call is over, and nobody else records it. What it relayed is not known here.
    pub(super) fn call_ended(&self, call: &CallRecord) {
        let row = CallRow { is_partial: true, ..CallRow::new(call, &CallUse::default()) };
        self.keeping.store.commit_then(row.ending(), |_| {});
    }

    /// Does what the hub asks for; what becomes of it comes as [`Letter::Stored`].
    pub(super) fn carry_out(&self, number: u64, deed: Deed) {
        let (store, door) = (self.keeping.store.clone(), self.door.clone());
        let runtime = self.keeping.runtime.clone();
        let batch = match deed {
            Deed::Write(message) => batch_of(*message),
            Deed::Part { user, conversation } => Some(deeds::parting(&user, &conversation)),
            deed => {
                runtime.spawn(async move {
                    let result = deeds::carry_out(&store, deed).await.map_err(unstored);
                    door.deliver(Letter::Stored(number, result)).await;
                });
                return;
            }
        };
        let Some(batch) = batch else { return self.tell(number, Err(Unstored::Unavailable)) };
        store.commit_then(batch, move |result| {
            let letter = Letter::Stored(number, result.map(|()| Outcome::Done).map_err(unstored));
            runtime.spawn(async move { door.deliver(letter).await });
        });
    }

    /// Waits until everything that was handed over is on the disk, some seconds at most.
    pub(super) fn finish(&self) {
        let (sender, answer) = sync_channel(1);
        self.keeping.store.commit_then(Batch::new(), move |_| {
            let _nobody_waits_any_more = sender.try_send(());
        });
        let _late_or_broken = answer.recv_timeout(FINISH_WITHIN);
    }

    fn tell(&self, number: u64, result: Result<Outcome, Unstored>) {
        let door = self.door.clone();
        self.keeping.runtime.spawn(async move { door.deliver(Letter::Stored(number, result)).await });
    }

    fn wait_for<R: Record>(&self, page: Page) -> Vec<R> {
        let (sender, answer) = sync_channel(1);
        self.keeping.store.page_then::<R>(page, move |rows| drop(sender.try_send(rows)));
        match answer.recv_timeout(RESTORE_WITHIN) {
            Ok(Ok(rows)) => rows,
            // Said when it did not open, with what goes on.
            Ok(Err(StoreError::Closed(_))) => Vec::new(),
            Ok(Err(error)) => {
                tracing::warn!(%error, "signaling begins without what it had kept");
                Vec::new()
            }
            Err(_) => {
                tracing::warn!("storage does not answer: signaling begins without what it had kept");
                Vec::new()
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.sweeper.abort();
    }
}

/// Milliseconds since 1970 so long before `now`.
pub(super) fn before(now: Now, span: Duration) -> u64 {
    now.unix.0.saturating_sub(span.as_secs()).saturating_mul(1000)
}

fn unstored(error: StoreError) -> Unstored {
    match error {
        StoreError::Busy => Unstored::Busy,
        _ => Unstored::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::UnixTime;
    use crate::metrics::EndReason;
    use crate::net::Poller;
    use crate::signaling::{Callee, Conversation, LiveParty, Media, Party, Stand};
    use crate::storage::StoreSettings;
    use crate::storage::records::live_call_key;
    use tempfile::TempDir;

    fn store(folder: &TempDir) -> Store {
        Store::open(&StoreSettings { path: folder.path().into(), probe: None }).expect("opens")
    }

    #[tokio::test]
    async fn an_end_that_nobody_else_hears_of_is_recorded_in_place_of_the_live_call() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder);
        let (door, _inbox) = Door::new(Poller::new().expect("a poller").waker());
        let keeping = Keeping { store: store.clone(), runtime: Handle::current() };
        let keeper = Keeper::new(keeping, door, Retention::default());
        let party = |user: &str| LiveParty { user: user.into(), device: "phone".into() };
        let stand = Stand::Ringing { caller: party("alice"), callee: "bob".into(), expires_at_ms: 1 };
        let live = LiveCall { id: "C".into(), media: Media::Audio, rev: 0, started_s: 1, stand };
        keeper.call_live(&live);
        assert_eq!(store.get(live_call_key("C")).await, Ok(Some(live)));
        let caller = Party { user: "alice".into(), device: "phone".into() };
        keeper.call_ended(&CallRecord {
            id: "C".into(),
            caller,
            callee: Callee::User { user: "bob".into(), device: None },
            media: Media::Audio,
            reason: EndReason::Hangup,
            ended_by: None,
            started: UnixTime(1),
            answered: None,
            ended: UnixTime(9),
            duration_ms: 0,
            stats: Vec::new(),
        });
        assert_eq!(store.get::<LiveCall>(live_call_key("C")).await, Ok(None));
        let row = store.get::<CallRow>(CallRow::place("C")).await.expect("read").expect("there");
        assert_eq!((row.ended, row.is_final, row.total().is_zero()), (UnixTime(9), false, true));
        assert!(row.is_partial, "nobody asked what it relayed");
    }

    #[tokio::test]
    async fn a_closed_store_is_unavailable_and_one_that_has_no_time_is_busy() {
        let closed = Store::closed("none");
        let error = deeds::carry_out(&closed, Deed::Load(Conversation::Room("lobby".into())))
            .await
            .expect_err("closed");
        assert_eq!(unstored(error), Unstored::Unavailable);
        assert_eq!(unstored(StoreError::Busy), Unstored::Busy);
    }
}
