//! What the API asks of the drivers, and how the answers come together.

use super::admittance::{Admittance, lock};
use super::ends::{End, Ends};
use crate::auth::{Revocations, StoredUser};
use crate::base::{Now, UnixTime};
use crate::http::api::{Busy, Coming, Control, Seen};
use crate::net::Clock;
use crate::relay::{Command, Question, Registry};
use crate::turn::{Account, AccountsPage, AllocationId, EndReason, Session, SessionsPage};
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};

/// How long all drivers together may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// A mailbox that is full has room again after a turn of its driver.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(5);

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
    untold: Mutex<Untold>,
    ends: Mutex<Ends>,
}

/// What drivers are still to be told. It is noted before it is tried, since whoever tries may be dropped.
#[derive(Debug, Default, PartialEq, Eq)]
struct Untold {
    /// Drivers that are to hear of users.
    users: BTreeSet<usize>,
    /// Drivers that are to hear of revocations.
    orders: BTreeSet<usize>,
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
        let gathering = tokio::sync::Mutex::new(gathering);
        let ends = Mutex::new(Ends::new(registry.drivers()));
        Self { registry, clock, admittance, gathering, untold: Mutex::default(), ends }
    }

    /// The clock of the drivers.
    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// All that was relayed since the last call, by subject, label, call and door. Nothing is lost when the caller does
    /// not wait for the answer: then the next one has it. To be called at a steady pace: drivers that were too busy to
    /// hear of a revocation or of users are told again here.
    pub async fn accounts(&self) -> Accounts {
        self.tell_again();
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

    /// A call has ended: its credentials are refused until `until`, and its sessions end after `grace`. Waits for
    /// nobody; [`RelayControl::tell_ends`] brings it to the drivers.
    pub fn end_call(&self, call_id: &str, grace: Duration, until: UnixTime) {
        self.ends().note(End { call_id: call_id.into(), grace, until });
    }

    /// Tells drivers of the ends of calls that they have not heard of, as many as their mailboxes take. `false` when
    /// some are left: it is to be called again soon.
    pub fn tell_ends(&self) -> bool {
        self.ends().tell(|driver, End { call_id, grace, until }| {
            let (call_id, grace, until) = (Arc::clone(call_id), *grace, *until);
            self.registry.tell(driver, Command::EndCall { call_id, grace, until })
        })
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
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

    async fn ask<T>(
        &self,
        driver: usize,
        deadline: Instant,
        question: impl Fn(oneshot::Sender<T>) -> Question,
    ) -> Option<T> {
        answer_to(deadline, |answer| self.registry.ask(driver, question(answer))).await
    }

    /// Tells a driver of the orders in force. Returns how many sessions ended by them.
    async fn revoke_on(&self, driver: usize, deadline: Instant) -> Option<usize> {
        let post = |answer| {
            let mut untold = self.untold();
            let is_told = self.post_orders(driver, answer);
            if is_told {
                untold.orders.remove(&driver);
            }
            is_told
        };
        let posted = post_soon(deadline, post).await;
        timeout_at(deadline, posted?).await.ok()?.ok()
    }

    fn post_orders(&self, driver: usize, answer: oneshot::Sender<usize>) -> bool {
        let admittance = lock(&self.admittance);
        self.registry.ask(driver, Question::Revoke { orders: admittance.revocations(), answer })
    }

    fn post_users(&self, driver: usize) -> bool {
        let admittance = lock(&self.admittance);
        self.registry.tell(driver, Command::Authenticate(admittance.authenticator()))
    }

    /// Tells every driver of the users there are, as soon as there is room in its mailbox. Returns whether all were
    /// told in time.
    async fn users_on_all(&self) -> bool {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        loop {
            self.tell_users();
            let all_told = self.untold().users.is_empty();
            if all_told || Instant::now() >= deadline {
                return all_told;
            }
            sleep(ASK_AGAIN_AFTER).await;
        }
    }

    fn tell_users(&self) {
        self.untold().users.retain(|driver| !self.post_users(*driver));
    }

    /// Frees what no driver has any more.
    fn free_replaced(&self) {
        let given_up = lock(&self.admittance).given_up();
        if !given_up.is_empty() {
            spawn_blocking(move || drop(given_up));
        }
    }

    fn tell_again(&self) {
        self.free_replaced();
        let nobody_waits = || oneshot::channel().0;
        self.tell_users();
        let mut untold = self.untold();
        untold.orders.retain(|driver| !self.post_orders(*driver, nobody_waits()));
    }

    fn untold(&self) -> MutexGuard<'_, Untold> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn session(&self, driver: usize, allocation: AllocationId) -> Coming<'_, Result<Option<Session>, Busy>> {
        Box::pin(async move {
            if driver >= self.registry.drivers() {
                return Ok(None);
            }
            let deadline = Instant::now() + ANSWER_TIMEOUT;
            let question = |answer| Question::Session { allocation, answer };
            self.ask(driver, deadline, question).await.ok_or(Busy)
        })
    }

    fn end(&self, driver: usize, allocation: AllocationId, why: EndReason) -> Coming<'_, Result<bool, Busy>> {
        Box::pin(async move {
            if driver >= self.registry.drivers() {
                return Ok(false);
            }
            let deadline = Instant::now() + ANSWER_TIMEOUT;
            let question = |answer| Question::End { allocation, reason: why, answer };
            self.ask(driver, deadline, question).await.ok_or(Busy)
        })
    }

    fn revoke(&self, revocations: Arc<Revocations>) -> Coming<'_, Option<usize>> {
        lock(&self.admittance).set_revocations(revocations);
        self.untold().orders = (0..self.registry.drivers()).collect();
        Box::pin(async move {
            let deadline = Instant::now() + ANSWER_TIMEOUT;
            let drivers = 0..self.registry.drivers();
            let told = drivers.map(|driver| Box::pin(self.revoke_on(driver, deadline)) as Coming<'_, _>);
            let ended = all(told.collect()).await.into_iter().sum();
            self.free_replaced();
            ended
        })
    }

    fn set_users(&self, users: Vec<StoredUser>) -> Coming<'_, bool> {
        lock(&self.admittance).set_users(users);
        self.untold().users = (0..self.registry.drivers()).collect();
        Box::pin(async move {
            let all_told = self.users_on_all().await;
            self.free_replaced();
            all_told
        })
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

#[cfg(test)]
mod tests {
    use super::super::admittance::Credentials;
    use super::*;
    use crate::auth::{self, Revocation, Target};
    use crate::base::Random;
    use crate::net::UdpOptions;
    use crate::relay::{Prepared, Setup};
    use crate::turn::{Ledger, LedgerSettings, OwnAddresses, PeerPolicy, PeerRules, PortRange, Server};

    /// A driver without doors, whose thread does not run yet.
    fn stalled() -> (Prepared, RelayControl) {
        let ports = PortRange { first: 50_000, last: 50_009 };
        let quarantine = Duration::ZERO;
        let (allocations_per_user, allocations_total, addresses) = (1, 0, Vec::new());
        let ledger = LedgerSettings { addresses, ports, quarantine, allocations_per_user, allocations_total };
        let registry = Arc::new(Registry::new(Ledger::new(&ledger, Random::seeded(1))));
        let admittance = Admittance::new(&auth::Settings::of_nobody(), Credentials::default());
        let clock = Clock::start();
        let own = OwnAddresses { relays: Vec::new(), hosts: Vec::new(), endpoints: Vec::new() };
        let server = Server::new(
            Arc::default(),
            admittance.authenticator(),
            PeerPolicy::new(PeerRules::default(), own),
            [7; 32],
            Random::seeded(2),
            clock.now(),
        );
        let (relay_options, doors) = (UdpOptions::default(), Vec::new());
        let shared = Arc::clone(&registry);
        let setup = Setup { index: 0, drivers: 1, server, doors, relay_options, registry: shared, clock };
        let (prepared, handle) = Prepared::new(setup).expect("a poller");
        registry.connect(vec![handle.mailbox]);
        (prepared, RelayControl::new(registry, clock, Arc::new(Mutex::new(admittance))))
    }

    #[tokio::test]
    async fn a_driver_that_is_too_busy_is_missed_within_a_second_and_told_when_it_has_time() {
        let (shard, control) = stalled();
        while control.registry.tell(0, Command::Drain(false)) {}
        let ban = Revocation { target: Target::Subject("mallory".into()), at: UnixTime(1), until: None };
        let orders = Arc::new(Revocations::new(&[ban]));
        let until = control.clock.now().unix.after(Duration::from_secs(3600));
        let allocation = AllocationId { index: 0, generation: 0 };
        control.end_call("k9", Duration::ZERO, until);
        assert!(!control.tell_ends());
        let (revoked, told, seen, accounts, one, killed) = tokio::join!(
            control.revoke(orders),
            control.set_users(Vec::new()),
            control.sessions(&|_| true),
            control.accounts(),
            control.session(0, allocation),
            control.end(0, allocation, EndReason::Killed)
        );
        assert_eq!((revoked, told), (None, false));
        assert_eq!((seen.missing, accounts.missing), (vec![0], vec![0]));
        assert_eq!((one, killed), (Err(Busy), Err(Busy)));
        assert_eq!(control.session(1, allocation).await, Ok(None), "there is no such driver");
        assert_eq!(*control.untold(), Untold { users: [0].into(), orders: [0].into() });

        let (alive, ended) = crossbeam_channel::bounded(0);
        let thread = shard.spawn(alive).expect("a thread");
        // The first call may still find the mailbox full.
        let deadline = Instant::now() + Duration::from_secs(20);
        while !(control.accounts().await.missing.is_empty()
            && *control.untold() == Untold::default()
            && control.tell_ends())
        {
            assert!(Instant::now() < deadline);
        }
        assert_eq!(control.sessions(&|_| true).await.missing, [0; 0]);
        assert!(control.registry.tell(0, Command::Stop));
        let _disconnected = ended.recv();
        thread.join().expect("no panic").expect("a sound poller");
    }
}
