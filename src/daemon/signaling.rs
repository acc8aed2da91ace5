//! The signaling side: its thread, and the keys that judge its clients.

use crate::base::{Random, UnixTime};
use crate::config::Plan;
use crate::http::signaling::{CallNews, Door, Gate, Keeping, LocalHub, Setup, Signaling};
use crate::http::{KeySets, Pace, WebClient};
use crate::metrics::Published;
use crate::net::Clock;
use crate::signaling::{Hub, LiveCall};
use crate::storage::records::CallRow;
use crate::storage::{Batch, Key, Page, Store, Table};
use crate::usage::CallUse;
use std::io;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Kept calls that are read at once.
const CALLS_PER_STEP: usize = 256;

/// The running signaling side.
#[derive(Debug)]
pub(super) struct SignalingSide {
    thread: Signaling,
    tokens: Option<KeySets>,
}

impl SignalingSide {
    /// Starts what the plan asks for; calls are told to `news`, also those that nobody can come back to since it is off.
    /// `ran_until`: when the daemon ran before, at least. Needs the control runtime around it.
    ///
    /// # Errors
    /// Out of file descriptors, memory or threads; or the TLS library offers nothing.
    pub(super) fn start(
        plan: &Plan,
        mut random: Random,
        store: Store,
        ran_until: Option<UnixTime>,
        news: mpsc::Sender<CallNews>,
    ) -> io::Result<Option<Self>> {
        if plan.public.signaling.is_none() {
            tokio::spawn(end_kept_calls(store, ran_until, news));
            return Ok(None);
        }
        let tokens = match &plan.tokens {
            Some(settings) => {
                let client = WebClient::new().map_err(io::Error::other)?;
                Some(KeySets::start(settings.clone(), client, Pace::default(), random.fork()))
            }
            None => None,
        };
        let gate = match &tokens {
            Some(tokens) => Gate::keys(tokens.clone(), Handle::current()),
            None => {
                tracing::warn!("signaling lets nobody in: `[auth.jwt]` names no key to judge tokens by");
                Gate::Closed
            }
        };
        let clock = Clock::start();
        let mut hub = Hub::new(plan.hub_settings(), random.fork(), clock.now());
        ran_until.into_iter().for_each(|time| hub.ran_until(time));
        let settings = plan.driver.clone();
        let thread = Signaling::start(Setup {
            settings,
            backend: Box::new(LocalHub::new(hub)),
            gate,
            random,
            clock,
            news: Some(news),
            // What works without a storage works beside one that could not be opened.
            keeping: store.is_open().then(|| Keeping { store, runtime: Handle::current() }),
        })?;
        Ok(Some(Self { thread, tokens }))
    }

    /// The keys by which it judges tokens, when somebody signs them.
    pub(super) fn tokens(&self) -> Option<KeySets> {
        self.tokens.clone()
    }

    pub(super) fn door(&self) -> Door {
        self.thread.door()
    }

    pub(super) fn published(&self) -> &Arc<Published> {
        self.thread.published()
    }

    /// Asks for a sign of life. Gives how many of them are missing.
    pub(super) fn beat(&self) -> u64 {
        self.thread.beat()
    }

    /// Takes over what can change while sessions live. `false`: the thread is too busy to be told.
    pub(super) fn reload(&self, plan: &Plan) -> bool {
        if let (Some(tokens), Some(settings)) = (&self.tokens, &plan.tokens) {
            tokens.reload(settings.clone());
        }
        self.thread.reload(plan.driver.clone(), plan.hub_settings())
    }

    /// Ends calls and connections, and then the thread.
    pub(super) fn stop(self) {
        self.thread.stop();
    }
}

/// Ends the calls that lived when the daemon stopped, as lost, where there is no signaling any more. What cannot be done
/// now is done at the next start.
async fn end_kept_calls(store: Store, ran_until: Option<UnixTime>, news: mpsc::Sender<CallNews>) {
    let now = Clock::start().now().unix;
    let page = || Page::of(Key::of(Table::LiveCalls), CALLS_PER_STEP);
    while let Ok(calls) = store.page::<LiveCall>(page()).await
        && !calls.is_empty()
    {
        let records: Vec<_> = calls.iter().map(|call| call.lost(now, ran_until)).collect();
        let ended = records.iter().fold(Batch::new(), |batch, record| {
            let row = CallRow { is_partial: true, ..CallRow::new(record, &CallUse::default()) };
            batch.and(row.ending())
        });
        if let Err(error) = store.commit(ended).await {
            tracing::warn!(%error, "calls that lived at the last stop are still kept");
            return;
        }
        for record in records {
            if news.send(CallNews::Ended(Box::new(record))).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::EndReason;
    use crate::storage::StoreSettings;

    /// A call of a room, as it is kept.
    fn kept(number: usize) -> LiveCall {
        let member = r#"{"user":"alice","device":"phone"}"#;
        let text = format!(
            r#"{{"id":"call-{number}","media":"audio","rev":1,"started_s":100,"state":"group","room":"lobby","opener":{member},"members":[{member}]}}"#
        );
        serde_json::from_str(&text).expect("a call")
    }

    #[tokio::test]
    async fn calls_that_were_live_end_as_lost_where_signaling_is_off_now() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&StoreSettings { path: folder.path().into(), probe: None }).expect("a store");
        let count = CALLS_PER_STEP + 1;
        let calls = (0..count).fold(Batch::new(), |batch, number| batch.put(&kept(number)));
        store.commit(calls).await.expect("kept");
        let (news, mut heard) = mpsc::channel(2 * count);
        end_kept_calls(store.clone(), Some(UnixTime(160)), news).await;
        let mut ended = 0;
        while let Some(CallNews::Ended(record)) = heard.recv().await {
            assert_eq!((record.reason, record.duration_ms), (EndReason::Lost, 60_000));
            ended += 1;
        }
        let left: Vec<LiveCall> = store.page(Page::of(Key::of(Table::LiveCalls), 1)).await.expect("a page");
        assert_eq!((ended, left), (count, Vec::new()));
        let recorded: Vec<CallRow> =
            store.page(Page::of(Key::of(Table::Calls), 2 * count)).await.expect("a page");
        assert!(
            recorded.len() == count && recorded.iter().all(|row| row.is_partial && &*row.reason == "lost")
        );
    }
}
