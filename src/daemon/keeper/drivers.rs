//! The drivers of the relay side, as the books see them.

use super::{Delta, Drivers};
use crate::base::UnixTime;
use crate::daemon::control::RelayControl;
use crate::http::api::{Coming, Desk, EventKind, session_json};
use crate::net::Clock;
use crate::relay::Following;
use crate::turn::{Account, SessionEvent};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

impl Drivers for RelayControl {
    fn deltas(&self) -> Coming<'_, Vec<Delta>> {
        Box::pin(async {
            // What a driver had no time to tell comes with the next answer.
            let told = self.accounts().await;
            told.accounts.into_iter().map(Delta::from).collect()
        })
    }

    fn end_call(&self, call_id: &str, grace: Duration, until: UnixTime) {
        self.end_call(call_id, grace, until);
    }

    fn tell_ends(&self) -> bool {
        self.tell_ends()
    }
}

impl From<Account> for Delta {
    fn from(Account { key, traffic }: Account) -> Self {
        let (door, transport) = (key.door, key.transport);
        Self { subject: key.subject, label: key.label, call_id: key.call_id, door, transport, traffic }
    }
}

/// Tells of sessions until the drivers are gone; it holds nothing that holds them. `clock`: theirs.
pub(super) async fn tell_of_sessions(desk: Arc<Desk>, clock: Clock, mut sessions: mpsc::Receiver<Following>) {
    while let Some((driver, event)) = sessions.recv().await {
        match event {
            SessionEvent::Started(session) => {
                let told = || json!({ "session": session_json(driver, &session, clock.now()) });
                desk.events.tell(EventKind::SessionStarted, told);
            }
            SessionEvent::Ended(ended) => desk.events.tell(EventKind::SessionEnded, || {
                let session = session_json(driver, &ended.session, clock.now());
                json!({ "session": session, "reason": ended.reason.name() })
            }),
        }
    }
}
