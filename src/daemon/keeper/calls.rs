//! What remains of a call: its credentials void, its sessions ended, its record written.
//!
//! Two tasks share the work. One hears of ends, always at once, and sees to it that drivers hear of them too; the other
//! writes many records with one batch, as fast as the store takes them.

use super::endings::{Ending, Endings};
use super::{Drivers, now};
use crate::http::api::{Desk, EventKind, Minting, call_json};
use crate::http::signaling::CallNews;
use crate::signaling::CallRecord;
use crate::storage::records::CallRow;
use crate::storage::{Batch, Store, StoreError};
use arc_swap::ArcSwap;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How long sessions of a call may go on behind its end.
const GRACE: Duration = Duration::from_secs(5);

/// How long drivers may take to tell what was relayed until now: the next sample, and the answers to it.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// News that are heard in one go.
const NEWS_AT_ONCE: usize = 256;

/// When drivers are told again whose mailboxes were full: they have room after a turn.
const TELL_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// A batch of records takes no further one from this size on. One record is far smaller.
const BATCH_BYTES: usize = 256 << 10;

/// When it is tried again after the store had too much to do.
const WRITE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How long the end of all may take when the daemon stops.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// Waits for calls to end.
#[derive(Debug)]
pub(in crate::daemon) struct CallKeeper {
    shared: Arc<Shared>,
    hearing: JoinHandle<()>,
    writing: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    desk: Arc<Desk>,
    store: Store,
    drivers: Arc<dyn Drivers>,
    /// How long credentials may live: a reload changes it.
    minting: Arc<ArcSwap<Minting>>,
    endings: Mutex<Endings>,
    /// There is something new among them.
    news: Notify,
    fails: AtomicBool,
    gives_up: AtomicBool,
}

impl CallKeeper {
    /// `news`: from signaling. Needs the control runtime around it.
    pub(in crate::daemon) fn start(
        desk: Arc<Desk>,
        store: Store,
        drivers: Arc<dyn Drivers>,
        minting: Arc<ArcSwap<Minting>>,
        news: mpsc::Receiver<CallNews>,
    ) -> Self {
        let shared = Arc::new(Shared {
            desk,
            store,
            drivers,
            minting,
            endings: Mutex::default(),
            news: Notify::new(),
            fails: AtomicBool::new(false),
            gives_up: AtomicBool::new(false),
        });
        let hearing = tokio::spawn(hear(shared.clone(), news));
        let writing = tokio::spawn(write(shared.clone()));
        Self { shared, hearing, writing }
    }

    /// Signaling has ended: writes what it left, without the grace.
    pub(in crate::daemon) async fn finish(mut self) {
        if timeout(FINISH_WITHIN, self.all_written()).await.is_err() {
            tracing::error!("the store did not take the last calls in time");
        }
        // It may still wait for drivers, which end now.
        self.hearing.abort();
    }

    /// The same, however long the store takes.
    pub(super) async fn all_written(&mut self) {
        self.shared.change(|endings| endings.hurry = true);
        // It ends by itself only when it panicked, which was said.
        let _ended = (&mut self.writing).await;
    }
}

/// Until signaling is gone and drivers have heard of all.
async fn hear(shared: Arc<Shared>, mut news: mpsc::Receiver<CallNews>) {
    let (mut heard, mut is_open, mut all_told) = (Vec::new(), true, true);
    while is_open || !all_told {
        tokio::select! {
            count = news.recv_many(&mut heard, NEWS_AT_ONCE), if is_open => {
                heard.drain(..).for_each(|news| shared.hear(news));
                is_open = count > 0;
                shared.change(|endings| endings.complete = !is_open);
            }
            () = sleep(TELL_AGAIN_AFTER), if !all_told => {}
        }
        all_told = shared.drivers.tell_ends();
    }
}

/// Until no call is left to be recorded.
async fn write(shared: Arc<Shared>) {
    loop {
        let batch = shared.next_batch();
        if !batch.is_empty() {
            shared.commit(batch).await;
            continue;
        }
        let (is_done, due) = {
            let endings = shared.endings();
            (endings.is_done(), endings.next_due())
        };
        if is_done {
            return;
        }
        let over = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = over => {}
            () = shared.news.notified() => {}
        }
    }
}

impl Shared {
    fn hear(&self, news: CallNews) {
        match news {
            CallNews::Live(call) if call.rev == 0 => {
                self.desk.events.tell(EventKind::CallStarted, || json!({ "call": call }));
            }
            CallNews::Live(_) => {}
            CallNews::Ended(record) => self.end(record),
        }
    }

    fn end(&self, record: Box<CallRecord>) {
        let void_until = now().after(self.minting.load().longest_life());
        self.drivers.end_call(&record.id, GRACE, void_until);
        // What was relayed until the last moment is told with the next sample.
        let over = Instant::now() + GRACE + TOLD_WITHIN;
        let ending = Ending { record, void_until, over };
        let row = || self.row(&ending, false);
        self.desk.events.tell(EventKind::CallEnded, || json!({ "call": call_json(&row()) }));
        let Some(given_up) = self.endings().add(ending) else { return };
        self.desk.calls().take(&given_up.id);
        if !self.gives_up.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "more calls end than the store takes; records of some stay as of their end, without what came then, and \
                 some are made at the next start, as lost"
            );
        }
    }

    /// Final records first, then those of calls that have just ended, as many as one batch holds.
    fn next_batch(&self) -> Batch {
        let (mut batch, mut bytes) = (Batch::new(), 0);
        let mut put = |row: CallRow| {
            let ending = row.ending();
            bytes += ending.bytes();
            batch = std::mem::take(&mut batch).and(ending);
            bytes < BATCH_BYTES
        };
        let (mut endings, now) = (self.endings(), Instant::now());
        while let Some(ending) = endings.take_over(now) {
            if !put(self.row(&ending, true)) {
                return batch;
            }
        }
        while let Some(ending) = endings.take_new() {
            if !put(self.row(ending, false)) {
                break;
            }
        }
        batch
    }

    fn row(&self, Ending { record, void_until, .. }: &Ending, is_final: bool) -> CallRow {
        let mut calls = self.desk.calls();
        let usage = match is_final {
            true => calls.take(&record.id),
            false => calls.of(&record.id).cloned().unwrap_or_default(),
        };
        let is_partial = self.desk.is_partial(record.started);
        let void_until = Some(*void_until);
        CallRow { is_final, is_partial, void_until, ..CallRow::new(record, &usage) }
    }

    async fn commit(&self, batch: Batch) {
        let result = loop {
            match self.store.commit(batch.clone()).await {
                Err(StoreError::Busy) => sleep(WRITE_AGAIN_AFTER).await,
                result => break result,
            }
        };
        let failed = self.fails.swap(result.is_err(), Ordering::Relaxed);
        match result {
            Err(error) if !failed => tracing::error!(%error, "calls that end are not recorded"),
            Ok(()) if failed => tracing::info!("calls that end are recorded again"),
            _ => {}
        }
    }

    fn change(&self, change: impl FnOnce(&mut Endings)) {
        change(&mut self.endings());
        self.news.notify_one();
    }

    fn endings(&self) -> MutexGuard<'_, Endings> {
        self.endings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
