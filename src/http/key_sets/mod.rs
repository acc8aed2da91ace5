//! The keys that signaling tokens are judged by, kept up to date while the daemon runs.

mod fetch;
mod keeper;
mod schedule;
mod url;

pub use schedule::Pace;
pub use url::{BadUrl, KeySetUrl};

use super::WebClient;
use crate::auth::token::{Claims, KeySet, TokenRefused, TokenRules, Verifier};
use crate::base::{Random, UnixTime};
use arc_swap::ArcSwap;
use keeper::{Keeper, Progress};
use std::sync::Arc;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

/// Checked settings of signaling tokens (`[auth.jwt]`).
#[derive(Clone, Debug, PartialEq)]
pub struct TokenSettings {
    /// Who signs them.
    pub keys: KeySource,
    /// What they must say.
    pub rules: TokenRules,
    /// Whether one may come in the query of the URL, where logs of proxies show it.
    pub query: bool,
    /// The cookie that may hold one; none when `None`.
    pub cookie: Option<String>,
}

/// Where the keys come from.
#[derive(Clone, Debug, PartialEq)]
pub enum KeySource {
    /// They are known.
    Fixed(KeySet),
    /// The issuer publishes them here, and changes them.
    Url(KeySetUrl),
}

/// The keys in force. Clones share them; the task that fetches ends with the last one.
#[derive(Clone, Debug)]
pub struct KeySets(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    settings: watch::Sender<TokenSettings>,
    progress: watch::Receiver<Progress>,
    pace: Pace,
    task: AbortHandle,
}

/// What the handles and the task have in common.
#[derive(Debug)]
struct Shared {
    current: ArcSwap<Verifier>,
    /// Somebody asks for a newer set.
    asked: Notify,
}

impl KeySets {
    /// Begins to fetch, where there is a URL; until the first set is there, no key is known.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(settings: TokenSettings, client: WebClient, pace: Pace, random: Random) -> Self {
        let first = match &settings.keys {
            KeySource::Fixed(keys) => keys.clone(),
            KeySource::Url(_) => KeySet::default(),
        };
        let verifier = Verifier::new(first, settings.rules.clone());
        let shared = Arc::new(Shared { current: ArcSwap::from_pointee(verifier), asked: Notify::new() });
        let (settings, new_settings) = watch::channel(settings);
        let (tell, progress) = watch::channel(Progress::default());
        let keeper = Keeper::new(Arc::clone(&shared), new_settings, tell, client, pace, random);
        let task = tokio::spawn(keeper.run()).abort_handle();
        Self(Arc::new(Handle { shared, settings, progress, pace, task }))
    }

    /// The judge of this moment. Costs a reference count.
    pub fn current(&self) -> Arc<Verifier> {
        self.0.shared.current.load_full()
    }

    /// Takes over other settings. A set from a URL that stays is kept.
    pub fn reload(&self, settings: TokenSettings) {
        self.0.settings.send_if_modified(|old| {
            let is_other = *old != settings;
            *old = settings;
            is_other
        });
    }

    /// Judges a token as [`Verifier::verify`] does, and once more when its key is not known and a newer set has come
    /// within [`Pace::patience`].
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn verify(&self, token: &str, now: UnixTime) -> Result<Claims, TokenRefused> {
        match self.current().verify(token, now) {
            Err(TokenRefused::UnknownKey) if self.unknown_key().await => self.current().verify(token, now),
            judged => judged,
        }
    }

    /// Asks for a newer set, because a token names a key that is in none, and waits for it as long as
    /// [`Pace::patience`] says, but not at all when none may be fetched by then.
    ///
    /// However often it is called, an attempt is made at most once in [`Pace::unknown_key`]. Whether another set is in
    /// force now than at the call, so that judging again is of use.
    pub async fn unknown_key(&self) -> bool {
        let mut progress = self.0.progress.clone();
        let before = progress.borrow_and_update().clone();
        let deadline = Instant::now() + self.0.pace.patience;
        let Some(due) = before.unknown_key_due else { return false };
        if !before.is_fetching {
            self.0.shared.asked.notify_one();
        }
        if before.is_fetching || due <= deadline {
            let ended = progress.wait_for(|progress| progress.attempts > before.attempts);
            let _too_late_or_stopped = timeout_at(deadline, ended).await;
        }
        self.0.progress.borrow().sets > before.sets
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}
