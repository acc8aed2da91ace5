//! The drivers, and beside what they tell to the books the last minutes by second, for who looks at the daemon.

use super::{Delta, Drivers};
use crate::base::UnixTime;
use crate::http::Sources;
use crate::http::api::{Coming, Control, Desk, Seconds, Services, published};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Notes what the books are told.
pub(super) struct Watched<D> {
    drivers: Arc<D>,
    desk: Arc<Desk>,
    sources: Arc<dyn Sources>,
}

impl<D: Drivers + Control> Watched<D> {
    /// Begins to note.
    pub(super) fn start(drivers: Arc<D>, services: &Services) -> Arc<Self> {
        let (desk, sources) = (services.desk.clone(), services.sources.clone());
        *desk.seconds() = Seconds::begin(drivers.now(), services.steering.doors());
        Arc::new(Self { drivers, desk, sources })
    }
}

impl<D: Drivers + Control> Drivers for Watched<D> {
    fn deltas(&self) -> Coming<'_, Vec<Delta>> {
        Box::pin(async {
            let deltas = self.drivers.deltas().await;
            let relayed = deltas.iter().map(|delta| ((delta.transport, delta.door), delta.traffic));
            let (now, sum) = (self.drivers.now(), published(&*self.sources));
            let mut seconds = self.desk.seconds();
            seconds.keep_time(now);
            seconds.note(now.at, relayed, sum);
            drop(seconds);
            deltas
        })
    }

    fn end_call(&self, call_id: &str, grace: Duration, until: UnixTime) {
        Drivers::end_call(&*self.drivers, call_id, grace, until);
    }

    fn tell_ends(&self) -> bool {
        self.drivers.tell_ends()
    }
}

impl<D> fmt::Debug for Watched<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}
