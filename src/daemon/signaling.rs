//! The signaling side: its thread, and the keys that judge its clients.

use crate::base::Random;
use crate::config::Plan;
use crate::http::signaling::{CallNews, Door, Gate, Keeping, LocalHub, Setup, Signaling};
use crate::http::{KeySets, Pace, WebClient};
use crate::metrics::Published;
use crate::net::Clock;
use crate::signaling::Hub;
use crate::storage::Store;
use std::io;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// The running signaling side.
#[derive(Debug)]
pub(super) struct SignalingSide {
    thread: Signaling,
    tokens: Option<KeySets>,
}

impl SignalingSide {
    /// Starts what the plan asks for; calls are told to `news`. Needs the control runtime around it.
    ///
    /// # Errors
    /// Out of file descriptors, memory or threads; or the TLS library offers nothing.
    pub(super) fn start(
        plan: &Plan,
        mut random: Random,
        store: Store,
        news: mpsc::Sender<CallNews>,
    ) -> io::Result<Option<Self>> {
        if plan.public.signaling.is_none() {
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
        let hub = Hub::new(plan.hub_settings(), random.fork(), clock.now());
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
