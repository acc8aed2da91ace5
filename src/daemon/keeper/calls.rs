//! What remains of a call: its credentials void, its sessions ended, its record written.

use super::{Drivers, now};
use crate::http::api::{Desk, EventKind};
use crate::http::signaling::CallNews;
use crate::signaling::CallRecord;
use crate::storage::records::CallRow;
use crate::storage::{Store, StoreError};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How long sessions of a call may go on behind its end.
const GRACE: Duration = Duration::from_secs(5);

/// Calls whose end is being written at once.
const ENDING_MAX: usize = 4096;

/// How long drivers may take to tell what was relayed until now: the next sample, and the answers to it.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// How often a write is tried that found the store with too much to do, a second apart.
const TRIES: usize = 30;

/// How long the end of all may take when the daemon stops.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// Waits for calls to end.
#[derive(Debug)]
pub(in crate::daemon) struct CallKeeper {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    desk: Arc<Desk>,
    store: Store,
    drivers: Arc<dyn Drivers>,
    /// How long a credential may live.
    ttl_max: Duration,
    fails: AtomicBool,
}

impl CallKeeper {
    /// `news`: from signaling. Needs the control runtime around it.
    pub(in crate::daemon) fn start(
        desk: Arc<Desk>,
        store: Store,
        drivers: Arc<dyn Drivers>,
        ttl_max: Duration,
        news: mpsc::Receiver<CallNews>,
    ) -> Self {
        let shared = Arc::new(Shared { desk, store, drivers, ttl_max, fails: AtomicBool::new(false) });
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(run(shared, news, stopped)) }
    }

    /// Signaling has ended: writes what it left, without the grace.
    pub(in crate::daemon) async fn finish(self) {
        self.stop.send_replace(true);
        if timeout(FINISH_WITHIN, self.task).await.is_err() {
            tracing::error!("the store did not take the last calls in time");
        }
    }
}

/// Until signaling is gone and all is written.
async fn run(shared: Arc<Shared>, mut news: mpsc::Receiver<CallNews>, stopped: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(ENDING_MAX));
    while let Some(news) = news.recv().await {
        let record = match news {
            CallNews::Live(call) => {
                if call.rev == 0 {
                    shared.desk.events.tell(EventKind::CallStarted, || json!({ "call": call }));
                }
                continue;
            }
            CallNews::Ended(record) => record,
        };
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let (shared, stopped) = (shared.clone(), stopped.clone());
        tokio::spawn(async move {
            shared.end(&record, stopped).await;
            drop(place);
        });
    }
    // All places are free again: all is written.
    let _never_closed = room.acquire_many(ENDING_MAX as u32).await;
}

impl Shared {
    async fn end(&self, record: &CallRecord, mut stopped: watch::Receiver<bool>) {
        let until = now().after(self.ttl_max);
        if !self.drivers.end_call(&record.id, GRACE, until).await {
            tracing::debug!(call = record.id, "not every relay thread could be told that a call has ended");
        }
        let row = self.row(record, false);
        self.desk.events.tell(EventKind::CallEnded, || json!({ "call": crate::http::api::call_json(&row) }));
        self.write(&row).await;
        // What was relayed until the last moment is told with the next sample.
        let over = sleep(GRACE + TOLD_WITHIN);
        tokio::select! {
            () = over => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
        self.write(&self.row(record, true)).await;
    }

    fn row(&self, record: &CallRecord, is_final: bool) -> CallRow {
        let mut calls = self.desk.calls();
        let usage = match is_final {
            true => calls.take(&record.id),
            false => calls.of(&record.id).cloned().unwrap_or_default(),
        };
        CallRow { is_final, ..CallRow::new(record, &usage) }
    }

    async fn write(&self, row: &CallRow) {
        let mut result = Ok(());
        for _ in 0..TRIES {
            result = self.store.commit(row.ending()).await;
            if result != Err(StoreError::Busy) {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
        let failed = self.fails.swap(result.is_err(), Ordering::Relaxed);
        match result {
            Err(error) if !failed => tracing::error!(%error, "calls that end are not recorded"),
            Ok(()) if failed => tracing::info!("calls that end are recorded again"),
            _ => {}
        }
    }
}
