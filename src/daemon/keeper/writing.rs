//! From the books to the store, one batch at a time.

use super::minute;
use crate::base::UnixTime;
use crate::http::api::{Desk, EventKind};
use crate::storage::records::{GapRow, RunRow, put_page};
use crate::storage::{Batch, Store, StoreError};
use crate::usage::{Gap, Page};
use serde_json::json;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

/// Pages of one batch: some 2 MB at most.
const PAGES_AT_ONCE: usize = 128;

/// When it is tried again after the store had too much to do.
const AGAIN_SOON: Duration = Duration::from_secs(1);

/// When it is tried again after the store took nothing.
const AGAIN_LATER: Duration = Duration::from_secs(60);

/// How long the end may take: a store that hangs does not hold the daemon.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// What the store said to a batch.
type Answer = Result<(), StoreError>;

#[derive(Debug)]
pub(super) struct Writing {
    desk: Arc<Desk>,
    store: Store,
    under_way: Option<(Vec<Page>, oneshot::Receiver<Answer>)>,
    /// When there is something to write.
    due: Option<Instant>,
    fails: bool,
}

impl Writing {
    pub(super) fn new(desk: Arc<Desk>, store: Store) -> Self {
        Self { desk, store, under_way: None, due: None, fails: false }
    }

    /// Notes that this process keeps the books now, and what the last one may have left out.
    pub(super) async fn begin(&mut self, now: UnixTime) {
        let settled_until = minute(now);
        let mut batch = Batch::new().put(&RunRow { settled_until, ended: false });
        let gap = match self.store.get::<RunRow>(RunRow::place()).await {
            Ok(Some(run)) if !run.ended => Some(run.settled_until),
            // It is not known until when the books are whole.
            Err(StoreError::Damaged) => Some(settled_until),
            _ => None,
        };
        if let Some(from) = gap {
            // A clock that was set back makes the gap no smaller.
            let gap = Gap { from: from.min(now), to: now.max(from) };
            tracing::warn!(
                from_unix_s = gap.from.0,
                "the daemon did not end by itself; usage of its last minute may be missing and is shown as partial"
            );
            batch = batch.put(&GapRow(gap));
        }
        let written = self.store.commit(batch).await;
        self.judge(&written);
    }

    /// There is something to write, now or once what is under way is written.
    pub(super) fn due(&mut self) {
        self.due.get_or_insert_with(Instant::now);
    }

    /// Waits for the next thing to do and does it. Dropped while it waits, it loses nothing.
    pub(super) async fn next(&mut self) {
        if let Some((_, answer)) = &mut self.under_way {
            let gone = || Err(StoreError::Closed("its thread has ended".into()));
            let answer = answer.await.unwrap_or_else(|_| gone());
            return self.on_answer(answer);
        }
        match self.due {
            Some(at) => sleep_until(at).await,
            None => pending().await,
        }
        self.due = None;
        self.submit(false);
    }

    /// `ended`: the daemon ends by itself.
    fn submit(&mut self, ended: bool) {
        let (pages, settled_until) = {
            let books = self.desk.books();
            let pages = books.waiting(PAGES_AT_ONCE);
            let is_all = pages.len() == books.waiting_pages();
            (pages, books.settled_until().filter(|_| is_all))
        };
        let mut batch = pages.iter().fold(Batch::new(), put_page);
        if let Some(settled_until) = settled_until {
            batch = batch.put(&RunRow { settled_until, ended });
        }
        let (done, answer) = oneshot::channel();
        self.under_way = Some((pages, answer));
        self.store.commit_then(batch, move |result| {
            let _the_keeper_is_gone = done.send(result);
        });
    }

    fn on_answer(&mut self, answer: Answer) {
        let Some((pages, _)) = self.under_way.take() else { return };
        self.judge(&answer);
        match answer {
            Ok(()) => {
                let mut books = self.desk.books();
                books.written(&pages);
                if books.waiting_pages() > 0 {
                    drop(books);
                    self.due();
                }
            }
            Err(StoreError::Busy) => self.due = Some(Instant::now() + AGAIN_SOON),
            Err(_) => self.due = Some(Instant::now() + AGAIN_LATER),
        }
    }

    /// Says once that the store takes nothing, and once that it does again.
    fn judge(&mut self, answer: &Answer) {
        let fails = answer.as_ref().is_err_and(|error| *error != StoreError::Busy);
        if std::mem::replace(&mut self.fails, fails) == fails {
            return;
        }
        match answer {
            Err(error) => {
                tracing::error!(%error, "usage is not written; it waits in memory, some hours of it at most");
            }
            Ok(()) => tracing::info!("usage is written again"),
        }
        let message = answer.as_ref().err().map(ToString::to_string);
        let events = &self.desk.events;
        events.tell(EventKind::Storage, || json!({ "writes": !fails, "message": message }));
    }

    /// Writes all that waits, as far as the store takes it.
    pub(super) async fn finish(&mut self) {
        let all = async {
            loop {
                match self.under_way {
                    Some(_) => self.next().await,
                    None => self.submit(true),
                }
                let nothing_waits = self.desk.books().waiting_pages() == 0;
                if self.under_way.is_none() && (nothing_waits || self.fails) {
                    break;
                }
            }
        };
        if timeout(FINISH_WITHIN, all).await.is_err() {
            tracing::error!("the store did not take the last of the usage in time");
        }
    }
}
