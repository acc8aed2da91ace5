//! The task that keeps a key set up to date.

use super::fetch::{FetchFailed, Fetched, fetch};
use super::schedule::Schedule;
use super::{KeySetUrl, KeySource, Pace, Shared, TokenSettings};
use crate::auth::token::{KeySet, Verifier};
use crate::base::{Random, Timestamp};
use crate::http::WebClient;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// What those who wait for a newer set must know.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// Attempts that have ended.
    pub(super) attempts: u64,
    /// Sets that were taken into force.
    pub(super) sets: u64,
    /// One is under way.
    pub(super) is_fetching: bool,
    /// When an unknown key can cause an attempt; `None` where nothing is fetched.
    pub(super) unknown_key_due: Option<Instant>,
}

/// How it stands, so that the log has a line for each change and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Untried,
    Good,
    Failing,
    /// The last good set was too old.
    Lost,
}

pub(super) struct Keeper {
    shared: Arc<Shared>,
    settings: watch::Receiver<TokenSettings>,
    progress: watch::Sender<Progress>,
    client: WebClient,
    pace: Pace,
    random: Random,
    /// The origin of [`Timestamp`]s.
    origin: Instant,
}

/// What is known of one URL.
struct Source {
    url: KeySetUrl,
    keys: KeySet,
    schedule: Schedule,
    standing: Standing,
}

impl Keeper {
    pub(super) fn new(
        shared: Arc<Shared>,
        settings: watch::Receiver<TokenSettings>,
        progress: watch::Sender<Progress>,
        client: WebClient,
        pace: Pace,
        random: Random,
    ) -> Self {
        let origin = Instant::now();
        // Before the first handle exists, so that nobody finds a set that seems never to come.
        if matches!(settings.borrow().keys, KeySource::Url(_)) {
            progress.send_modify(|progress| progress.unknown_key_due = Some(origin));
        }
        Self { shared, settings, progress, client, pace, random, origin }
    }

    /// Until the last handle is gone.
    pub(super) async fn run(mut self) {
        let mut source = None;
        loop {
            let settings = self.settings.borrow_and_update().clone();
            source = self.take_over(&settings, source);
            let goes_on = match &mut source {
                Some(source) => self.follow(source).await,
                None => self.settings.changed().await.is_ok(),
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Puts settings into force; what is known of a URL that stays is kept.
    fn take_over(&mut self, settings: &TokenSettings, known: Option<Source>) -> Option<Source> {
        let source = match &settings.keys {
            KeySource::Fixed(keys) => {
                self.publish(keys.clone());
                None
            }
            KeySource::Url(url) => {
                let source = known.filter(|known| known.url == *url).unwrap_or_else(|| Source {
                    url: url.clone(),
                    keys: KeySet::default(),
                    schedule: Schedule::new(self.pace, self.random.fork(), self.now()),
                    standing: Standing::Untried,
                });
                self.publish(source.keys.clone());
                Some(source)
            }
        };
        self.announce(source.as_ref(), false);
        source
    }

    /// Fetches whenever it is due, until the settings change: `false` when there will be no others.
    async fn follow(&mut self, source: &mut Source) -> bool {
        loop {
            let due = self.instant(source.schedule.due());
            tokio::select! {
                changed = self.settings.changed() => return changed.is_ok(),
                () = self.shared.asked.notified() => source.schedule.on_unknown_key(),
                () = sleep_until(due) => self.attempt(source).await,
            }
        }
    }

    async fn attempt(&mut self, source: &mut Source) {
        source.schedule.on_attempt(self.now());
        self.announce(Some(source), true);
        match fetch(&self.client, &source.url, self.pace.timeout).await {
            Ok(fetched) => self.succeed(source, fetched),
            Err(error) => self.fail(source, &error),
        }
        self.progress.send_modify(|progress| progress.attempts += 1);
        self.announce(Some(source), false);
    }

    fn succeed(&mut self, source: &mut Source, fetched: Fetched) {
        source.schedule.on_success(self.now(), fetched.max_age);
        let (url, keys, skipped) = (&source.url, fetched.keys.len(), fetched.keys.skipped());
        if source.standing != Standing::Good {
            source.standing = Standing::Good;
            tracing::info!(%url, keys, skipped, "key set fetched (auth.jwt.jwks_url)");
        }
        if source.keys != fetched.keys {
            source.keys = fetched.keys;
            self.publish(source.keys.clone());
        }
    }

    fn fail(&mut self, source: &mut Source, error: &FetchFailed) {
        source.schedule.on_failure(self.now());
        let url = &source.url;
        match source.standing {
            Standing::Untried => {
                tracing::warn!(%url, %error, "no key set (auth.jwt.jwks_url): tokens are refused until it comes");
                source.standing = Standing::Failing;
            }
            Standing::Good => {
                tracing::warn!(%url, %error, "the key set cannot be fetched (auth.jwt.jwks_url); the last one is used");
                source.standing = Standing::Failing;
            }
            Standing::Failing if source.schedule.is_too_old(self.now()) => {
                tracing::error!(%url, %error, "the last key set is too old (auth.jwt.jwks_url): tokens are refused");
                source.standing = Standing::Lost;
                source.keys = KeySet::default();
                self.publish(KeySet::default());
            }
            Standing::Failing | Standing::Lost => {}
        }
    }

    fn publish(&self, keys: KeySet) {
        let rules = self.settings.borrow().rules.clone();
        self.shared.current.store(Arc::new(Verifier::new(keys, rules)));
        self.progress.send_modify(|progress| progress.sets += 1);
    }

    fn announce(&self, source: Option<&Source>, is_fetching: bool) {
        let due = source.map(|source| self.instant(source.schedule.unknown_key_due()));
        self.progress.send_modify(|progress| {
            progress.is_fetching = is_fetching;
            progress.unknown_key_due = due;
        });
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO.after(self.origin.elapsed())
    }

    fn instant(&self, at: Timestamp) -> Instant {
        self.origin + at.since(Timestamp::ZERO)
    }
}
