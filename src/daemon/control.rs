//! What the API asks of the drivers, and how the answers come together.

use crate::auth::{self, Authenticator, Revocations, StoredUser};
use crate::base::{Now, UnixTime};
use crate::http::api::{Coming, Control, Seen};
use crate::net::Clock;
use crate::relay::{Command, Question, Registry};
use crate::turn::{Account, AccountsPage, AllocationId, EndReason, Session, SessionsPage};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

/// How long all drivers together may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// A mailbox that is full has room again after a turn of its driver.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// What came from elsewhere than the config and holds over a reload.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// Static users that the config does not know.
    pub users: Vec<StoredUser>,
    /// Credentials that are void before their time.
    pub revocations: Arc<Revocations>,
}

/// Whom drivers let in: by the config, and by what came since.
#[derive(Debug)]
pub(super) struct Admittance {
    settings: auth::Settings,
    credentials: Credentials,
    authenticator: Arc<Authenticator>,
}

impl Admittance {
    pub(super) fn new(settings: &auth::Settings, credentials: Credentials) -> Self {
        let authenticator = Arc::new(Authenticator::with_stored(settings, &credentials.users));
        Self { settings: settings.clone(), credentials, authenticator }
    }

    /// The config has changed.
    pub(super) fn reload(&mut self, settings: &auth::Settings) {
        self.settings = settings.clone();
        self.prepare();
    }

    fn set_users(&mut self, users: Vec<StoredUser>) {
        self.credentials.users = users;
        self.prepare();
    }

    fn prepare(&mut self) {
        self.authenticator = Arc::new(Authenticator::with_stored(&self.settings, &self.credentials.users));
    }

    pub(super) fn authenticator(&self) -> Arc<Authenticator> {
        Arc::clone(&self.authenticator)
    }

    pub(super) fn revocations(&self) -> Arc<Revocations> {
        Arc::clone(&self.credentials.revocations)
    }
}

/// Locked while a driver is told, so that each hears last what came last.
pub(super) fn lock(admittance: &Mutex<Admittance>) -> MutexGuard<'_, Admittance> {
    admittance.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was relayed since it was asked for last.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    /// In no order; a key may be there more than once.
    pub accounts: Vec<Account>,
    /// Drivers that have not told all within a second; what they had to tell comes the next time.
    pub missing: Vec<usize>,
}

/// The way to all drivers.
#[derive(Debug)]
pub struct RelayControl {
    registry: Arc<Registry>,
    clock: Clock,
    admittance: Arc<Mutex<Admittance>>,
    gathering: tokio::sync::Mutex<Vec<Gathering>>,
}

/// What one driver has told of its accounts. It outlives the one who asked, since nothing is told twice.
#[derive(Debug, Default)]
struct Gathering {
    accounts: Vec<Account>,
    next: u32,
    coming: Option<oneshot::Receiver<AccountsPage>>,
}

impl RelayControl {
    pub(super) fn new(registry: Arc<Registry>, clock: Clock, admittance: Arc<Mutex<Admittance>>) -> Self {
        let gathering = (0..registry.drivers()).map(|_| Gathering::default()).collect();
        Self { registry, clock, admittance, gathering: tokio::sync::Mutex::new(gathering) }
    }

    /// All that was relayed since the last call, by subject, label, call and door. Nothing is lost when the caller does
    /// not wait for the answer: then the next one has it.
    pub async fn accounts(&self) -> Accounts {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let mut gathering = self.gathering.lock().await;
        let gathered = gathering.iter_mut().enumerate();
        let gathered = gathered.map(|(driver, gathering)| {
            Box::pin(self.gather(driver, deadline, gathering)) as Coming<'_, bool>
        });
        let complete = all(gathered.collect()).await;
        Accounts {
            accounts: gathering.iter_mut().flat_map(|gathering| gathering.accounts.drain(..)).collect(),
            missing: missing(complete.into_iter()),
        }
    }

    /// Returns whether the driver has told all.
    async fn gather(&self, driver: usize, deadline: Instant, gathering: &mut Gathering) -> bool {
        loop {
            if gathering.coming.is_none() {
                let from = gathering.next;
                let post = |answer| self.registry.ask(driver, Question::Accounts { from, answer });
                gathering.coming = post_soon(deadline, post).await;
            }
            let Some(coming) = &mut gathering.coming else { return false };
            let Ok(page) = timeout_at(deadline, coming).await else { return false };
            gathering.coming = None;
            // The thread has ended.
            let Ok(page) = page else { return false };
            gathering.accounts.extend(page.accounts);
            gathering.next = page.next.unwrap_or(0);
            if page.next.is_none() {
                return true;
            }
        }
    }

    /// Sessions of one driver that `wanted` picks; `false` when not all were looked at.
    async fn sessions_of(
        &self,
        driver: usize,
        deadline: Instant,
        wanted: &(dyn Fn(&Session) -> bool + Sync),
    ) -> (Vec<(usize, Session)>, bool) {
        let (mut sessions, mut from) = (Vec::new(), 0);
        loop {
            let page = self.ask(driver, deadline, |answer| Question::Sessions { from, answer }).await;
            let Some(SessionsPage { sessions: page, next }) = page else { return (sessions, false) };
            sessions.extend(page.into_iter().filter(wanted).map(|session| (driver, session)));
            match next {
                Some(next) => from = next,
                None => return (sessions, true),
            }
        }
    }

    /// Asks every driver; `post` hands the question to one. `None` for those without an answer.
    async fn ask_all<T: Send>(
        &self,
        post: impl Fn(usize, oneshot::Sender<T>) -> bool + Send + Sync,
    ) -> Vec<Option<T>> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let post = &post;
        let asked = (0..self.registry.drivers()).map(|driver| {
            Box::pin(answer_to(deadline, move |answer| post(driver, answer))) as Coming<'_, Option<T>>
        });
        all(asked.collect()).await
    }

    async fn ask<T>(
        &self,
        driver: usize,
        deadline: Instant,
        question: impl Fn(oneshot::Sender<T>) -> Question,
    ) -> Option<T> {
        answer_to(deadline, |answer| self.registry.ask(driver, question(answer))).await
    }

    /// Tells every driver, as soon as there is room in its mailbox. Returns whether all were told in time.
    async fn tell_all(&self, tell: impl Fn(usize) -> bool) -> bool {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let mut untold: Vec<_> = (0..self.registry.drivers()).collect();
        loop {
            untold.retain(|driver| !tell(*driver));
            if untold.is_empty() || Instant::now() >= deadline {
                return untold.is_empty();
            }
            sleep(ASK_AGAIN_AFTER).await;
        }
    }
}

impl Control for RelayControl {
    fn now(&self) -> Now {
        self.clock.now()
    }

    fn sessions<'a>(&'a self, wanted: &'a (dyn Fn(&Session) -> bool + Sync)) -> Coming<'a, Seen> {
        Box::pin(async move {
            let deadline = Instant::now() + ANSWER_TIMEOUT;
            let asked = (0..self.registry.drivers())
                .map(|driver| Box::pin(self.sessions_of(driver, deadline, wanted)) as Coming<'_, _>);
            let (sessions, complete): (Vec<_>, Vec<_>) = all(asked.collect()).await.into_iter().unzip();
            let missing = missing(complete.into_iter());
            Seen { sessions: sessions.into_iter().flatten().collect(), missing }
        })
    }

    fn session(&self, driver: usize, allocation: AllocationId) -> Coming<'_, Option<Session>> {
        Box::pin(async move {
            let deadline = Instant::now() + ANSWER_TIMEOUT;
            let question = |answer| Question::Session { allocation, answer };
            self.ask(driver, deadline, question).await.flatten()
        })
    }

    fn end(&self, driver: usize, allocation: AllocationId, why: EndReason) -> Coming<'_, bool> {
        Box::pin(async move {
            let deadline = Instant::now() + ANSWER_TIMEOUT;
            let question = |answer| Question::End { allocation, reason: why, answer };
            self.ask(driver, deadline, question).await.unwrap_or(false)
        })
    }

    fn revoke(&self, revocations: Arc<Revocations>) -> Coming<'_, Option<usize>> {
        lock(&self.admittance).credentials.revocations = revocations;
        Box::pin(async move {
            let post = |driver, answer| {
                let admittance = lock(&self.admittance);
                self.registry.ask(driver, Question::Revoke { orders: admittance.revocations(), answer })
            };
            self.ask_all(post).await.into_iter().sum()
        })
    }

    fn end_call<'a>(
        &'a self,
        call_id: &'a str,
        grace: Duration,
        until: UnixTime,
    ) -> Coming<'a, Option<usize>> {
        Box::pin(async move {
            let call_id: Arc<str> = call_id.into();
            let post = |driver, answer| {
                let call_id = Arc::clone(&call_id);
                self.registry.ask(driver, Question::EndCall { call_id, grace, until, answer })
            };
            self.ask_all(post).await.into_iter().sum()
        })
    }

    fn set_users(&self, users: Vec<StoredUser>) -> Coming<'_, bool> {
        lock(&self.admittance).set_users(users);
        Box::pin(self.tell_all(|driver| {
            let admittance = lock(&self.admittance);
            self.registry.tell(driver, Command::Authenticate(admittance.authenticator()))
        }))
    }
}

/// The answer to what `post` hands over.
async fn answer_to<T>(deadline: Instant, post: impl Fn(oneshot::Sender<T>) -> bool) -> Option<T> {
    let coming = post_soon(deadline, post).await?;
    timeout_at(deadline, coming).await.ok()?.ok()
}

/// Hands a question over, as soon as there is room for it.
async fn post_soon<T>(
    deadline: Instant,
    post: impl Fn(oneshot::Sender<T>) -> bool,
) -> Option<oneshot::Receiver<T>> {
    loop {
        let (answer, coming) = oneshot::channel();
        if post(answer) {
            return Some(coming);
        }
        if Instant::now() >= deadline {
            return None;
        }
        sleep(ASK_AGAIN_AFTER).await;
    }
}

/// Waits for all of them at once.
async fn all<T>(mut coming: Vec<Coming<'_, T>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = coming.iter().map(|_| None).collect();
    poll_fn(move |cx| {
        for (done, coming) in done.iter_mut().zip(&mut coming).filter(|(done, _)| done.is_none()) {
            if let Poll::Ready(result) = coming.as_mut().poll(cx) {
                *done = Some(result);
            }
        }
        match done.iter().all(Option::is_some) {
            true => Poll::Ready(done.iter_mut().filter_map(Option::take).collect()),
            false => Poll::Pending,
        }
    })
    .await
}

/// The numbers of those that are not complete.
fn missing(complete: impl Iterator<Item = bool>) -> Vec<usize> {
    complete.enumerate().filter(|(_, complete)| !complete).map(|(driver, _)| driver).collect()
}
