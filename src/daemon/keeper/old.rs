//! What is kept long enough goes, a little at a time.

use super::Period;
use crate::base::{EvenClock, UnixTime};
use crate::http::api::{HOURS_KEPT, MINUTES_KEPT};
use crate::net::Clock;
use crate::storage::records::{CallRow, DayPage, GapRow, HourPage, MinutePage, usage_range};
use crate::storage::{Batch, Page, Record, Store, StoreError};
use std::time::Duration;

/// How often it is looked for what is old.
const EVERY: Duration = Duration::from_secs(3600);

/// Records that are read in one go.
const AT_ONCE: usize = 128;

#[derive(Debug)]
pub(super) struct Old {
    store: Store,
    retention: Duration,
    clock: Clock,
    even: EvenClock,
    /// Due when the wall clock has run evenly for so long.
    due: Duration,
}

impl Old {
    pub(super) fn new(store: Store, retention: Duration) -> Self {
        let clock = Clock::start();
        Self { store, retention, clock, even: EvenClock::new(clock.now()), due: EvenClock::EVEN_FOR }
    }

    /// Takes away what is old, when it is time for that.
    pub(super) fn look(&mut self) {
        let now = self.clock.now();
        let even_for = self.even.even_for(now);
        if even_for.is_zero() {
            self.due = EvenClock::EVEN_FOR;
        } else if even_for >= self.due {
            self.due = even_for + EVERY;
            let (store, retention, now) = (self.store.clone(), self.retention, now.unix);
            tokio::spawn(async move {
                // A store that takes nothing has said so elsewhere.
                let _tried_again_in_an_hour = take_away(&store, now, retention).await;
            });
        }
    }
}

/// Minutes and hours have their own time, all else has `retention`.
pub(super) async fn take_away(store: &Store, now: UnixTime, retention: Duration) -> Result<(), StoreError> {
    let before = |kept: Duration| UnixTime(now.0.saturating_sub(kept.as_secs()));
    let pages = |period, kept| usage_range(period, UnixTime(0), before(kept), None, AT_ONCE);
    take::<MinutePage>(store, pages(Period::Minute, MINUTES_KEPT)).await?;
    take::<HourPage>(store, pages(Period::Hour, HOURS_KEPT)).await?;
    take::<DayPage>(store, pages(Period::Day, retention)).await?;
    take::<GapRow>(store, GapRow::before(before(retention), AT_ONCE)).await?;
    take::<CallRow>(store, CallRow::range(UnixTime(0), before(retention), None, AT_ONCE)).await
}

async fn take<R: Record>(store: &Store, range: Page) -> Result<(), StoreError> {
    loop {
        let found = store.page::<R>(range.clone()).await?;
        if found.is_empty() {
            return Ok(());
        }
        let batch = found.iter().fold(Batch::new(), |batch, record| batch.delete(record.key()));
        store.commit(batch).await?;
    }
}
