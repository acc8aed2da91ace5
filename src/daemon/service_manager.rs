//! What the service manager hears (sd_notify(3)), where one started this process: it is ready, reloads, stops, and
//! lives.
//!
//! A stop asks for no more time than the unit gives (`EXTEND_TIMEOUT_USEC`): how long a stop may take is the say of who
//! wrote the unit, and `check-config` warns where a drain may take longer.

use super::relays::Relays;
use super::watchdog::Watchdog;
use crate::http::{Readiness, Reload};
use sd_notify::NotifyState;
use std::time::{Duration, Instant};
use tokio::time::sleep_until;

/// The service manager, or nobody.
#[derive(Debug)]
pub(super) struct ServiceManager {
    watchdog: Option<Watchdog>,
    next_look: Instant,
    /// What it was told last in words.
    status: String,
    is_deaf: bool,
}

impl ServiceManager {
    /// Who the environment names.
    pub(super) fn of_environment() -> Self {
        let period = sd_notify::watchdog_enabled().filter(|period| !period.is_zero());
        let watchdog = period.map(Watchdog::new);
        Self { watchdog, next_look: Instant::now(), status: String::new(), is_deaf: false }
    }

    /// Every door listens, and the loop runs; also when a reload is over.
    pub(super) fn ready(&mut self, status: String) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
        self.status = status;
    }

    /// A reload begins.
    pub(super) fn reloading(&mut self) {
        // Without the time the notification would be wrong; the clock is always there.
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            self.tell(&[NotifyState::Reloading, now]);
        }
    }

    /// The end begins.
    pub(super) fn stopping(&mut self, status: String) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status(&status)]);
        self.status = status;
    }

    /// How it is now, in words; told when it is news.
    pub(super) fn status(&mut self, status: String) {
        if status != self.status {
            self.tell(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    /// Waits for the time to look whether the watchdog may be fed; for ever where there is none.
    pub(super) async fn look_is_due(&self) {
        match &self.watchdog {
            Some(_) => sleep_until(self.next_look.into()).await,
            None => std::future::pending().await,
        }
    }

    /// Feeds the watchdog if it is time and every driver turns.
    pub(super) fn look(&mut self, relays: &Relays) {
        let Some(watchdog) = &mut self.watchdog else { return };
        let now = Instant::now();
        self.next_look = now + watchdog.look_every();
        if watchdog.look(now, relays.turns()) {
            self.tell(&[NotifyState::Watchdog]);
        }
    }

    fn tell(&mut self, news: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(news)
            && !self.is_deaf
        {
            self.is_deaf = true;
            tracing::warn!(%error, "the service manager cannot be told ($NOTIFY_SOCKET)");
        }
    }
}

/// How a daemon is that serves.
pub(super) fn serving(sessions: u32, readiness: &Readiness, reload: Reload) -> String {
    let mut status = format!("Serving {}", count(sessions));
    if readiness.draining {
        status += "; draining by order: no new allocations";
    }
    if !readiness.stalled_workers.is_empty() {
        status += "; relay workers make no progress";
    }
    if readiness.stalled_signaling {
        status += "; signaling makes no progress";
    }
    if let Some(trouble) = &readiness.storage {
        status += &format!("; {trouble}");
    }
    if !reload.successful {
        status += "; the last reload failed: the config before it is in force";
    }
    status
}

/// What a drain waits for.
pub(super) fn draining(sessions: u32, left: Duration) -> String {
    format!("Draining: {} left, {} s at most", count(sessions), left.as_secs())
}

fn count(sessions: u32) -> String {
    format!("{sessions} {}", if sessions == 1 { "session" } else { "sessions" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_is_amiss_in_one_line() {
        let fine = Reload { successful: true, success_unix: 0 };
        assert_eq!(serving(1, &Readiness::default(), fine), "Serving 1 session");
        let bad = Readiness {
            draining: true,
            stalled_workers: vec![1],
            stalled_signaling: true,
            storage: Some("storage makes no progress".into()),
            ..Readiness::default()
        };
        let said = serving(2, &bad, Reload { successful: false, ..fine });
        assert_eq!(said.split("; ").count(), 6, "{said}");
        assert!(said.starts_with("Serving 2 sessions; draining by order") && !said.contains('\n'), "{said}");
        assert_eq!(draining(3, Duration::from_secs(29)), "Draining: 3 sessions left, 29 s at most");
    }
}
