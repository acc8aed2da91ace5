//! Who keeps the books: asks the drivers again and again what was relayed, and writes it down.
//!
//! Nobody waits for the keeper. While the store takes nothing, pages wait in bounded memory; what is relayed goes on.

mod calls;
mod drivers;
mod endings;
mod old;
mod seconds;
#[cfg(test)]
mod tests;
mod writing;

use calls::CallKeeper;

use super::control::RelayControl;
use crate::base::{Now, Traffic, Transport, UnixTime};
use crate::config::Plan;
use crate::http::api::{Coming, Desk, Services};
use crate::http::signaling::CallNews;
use crate::net::Clock;
use crate::relay::Registry;
use crate::storage::Store;
use crate::usage::{Account, Period};
use old::Old;
use seconds::Watched;
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use writing::Writing;

/// How often drivers are asked. With the time that their answers take, usage is less than a second behind the counters
/// and the sessions.
pub(super) const SAMPLE_EVERY: Duration = Duration::from_millis(750);

/// How long a sample out of turn may take, behind the one that may be under way.
const SAMPLED_WITHIN: Duration = Duration::from_secs(3);

/// Starts and ends of sessions that may wait.
const SESSIONS_MAX: usize = 4096;

/// How long a call is remembered that relays nothing: longer than any credential lives.
const CALL_IDLE: Duration = Duration::from_secs(25 * 3600);

/// What was relayed since the last question, under one key.
#[derive(Clone, Debug)]
pub(super) struct Delta {
    /// Whose; empty where the driver had to put many together.
    pub(super) subject: Arc<str>,
    pub(super) label: Option<Arc<str>>,
    pub(super) call_id: Option<Arc<str>>,
    pub(super) door: SocketAddr,
    pub(super) transport: Transport,
    pub(super) traffic: Traffic,
}

/// The drivers, as far as the books go.
pub(super) trait Drivers: fmt::Debug + Send + Sync + 'static {
    /// All that was relayed since the last call. Nothing is told twice, and nothing is lost.
    fn deltas(&self) -> Coming<'_, Vec<Delta>>;
    /// A call has ended: its credentials are refused until `until`, and its sessions end after `grace`. Waits for
    /// nobody.
    fn end_call(&self, call_id: &str, grace: Duration, until: UnixTime);
    /// Tells drivers of the ends that they have not heard of. `false` when some have no time.
    fn tell_ends(&self) -> bool;
}

/// The books of the daemon, and the calls in them.
#[derive(Debug)]
pub(super) struct Books {
    keeping: Keeping,
    calls: CallKeeper,
}

impl Books {
    /// Opens them; `news` is what signaling tells of calls. Needs the control runtime around it.
    pub(super) fn start(
        services: &Services,
        relays: (&Registry, &Arc<RelayControl>),
        plan: &Plan,
        news: mpsc::Receiver<CallNews>,
    ) -> Self {
        let (desk, store) = (&services.desk, &services.store);
        let (registry, control) = relays;
        if let Some(sessions) = registry.follow(SESSIONS_MAX) {
            tokio::spawn(drivers::tell_of_sessions(desk.clone(), control.clock(), sessions));
        }
        let minting = services.minting.clone();
        let drivers: Arc<dyn Drivers> = Watched::start(control.clone(), services);
        Self {
            keeping: Keeping::start(desk.clone(), store.clone(), drivers.clone(), plan.usage_retention),
            calls: CallKeeper::start(desk.clone(), store.clone(), drivers, minting, news),
        }
    }

    /// Signaling has ended: waits until its calls are recorded, with all that they relayed until now.
    pub(super) async fn close_calls(self) -> Keeping {
        self.keeping.sample().await;
        self.calls.finish().await;
        self.keeping
    }
}

/// The running keeper.
#[derive(Debug)]
pub(super) struct Keeping {
    stop: oneshot::Sender<()>,
    /// Who waits for a sample out of turn.
    ask: mpsc::Sender<oneshot::Sender<()>>,
    task: JoinHandle<Keeper>,
}

impl Keeping {
    /// `retention`: how long days are kept. Needs the control runtime around it.
    pub(super) fn start(
        desk: Arc<Desk>,
        store: Store,
        drivers: Arc<dyn Drivers>,
        retention: Duration,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (ask, asked) = mpsc::channel(1);
        let keeper = Keeper {
            writing: Writing::new(desk.clone(), store.clone(), now()),
            old: Old::new(store, retention),
            desk,
            drivers,
            clock: Clock::start(),
            doors: HashMap::new(),
            lost_pages: 0,
        };
        Self { stop, ask, task: tokio::spawn(keeper.run(stopped, asked)) }
    }

    /// Asks the drivers now. Over once what they told is booked, some seconds later at most.
    async fn sample(&self) {
        let (done, sampled) = oneshot::channel();
        let sample = async {
            // It ends by itself only when it panicked, which was said.
            let _ended = self.ask.send(done).await;
            let _ended = sampled.await;
        };
        let _the_drivers_are_slow = timeout(SAMPLED_WITHIN, sample).await;
    }

    /// Asks the drivers a last time. They may end then; [`Last::write`] must follow.
    pub(super) async fn stop(self) -> Last {
        // It ends by itself only when it panicked, which was said.
        let _ended = self.stop.send(());
        Last(self.task.await.ok())
    }
}

/// What is to be written before the daemon ends.
#[must_use]
pub(super) struct Last(Option<Keeper>);

impl Last {
    /// Writes the open minute, too.
    pub(super) async fn write(self) {
        if let Some(mut keeper) = self.0 {
            keeper.desk.books().set_aside();
            keeper.writing.finish().await;
        }
    }
}

#[derive(Debug)]
struct Keeper {
    desk: Arc<Desk>,
    drivers: Arc<dyn Drivers>,
    writing: Writing,
    old: Old,
    clock: Clock,
    /// Their names in the books: as many as there are doors.
    doors: HashMap<(Transport, SocketAddr), Arc<str>>,
    lost_pages: u64,
}

impl Keeper {
    async fn run(
        mut self,
        mut stopped: oneshot::Receiver<()>,
        mut asked: mpsc::Receiver<oneshot::Sender<()>>,
    ) -> Self {
        let mut sample = interval(SAMPLE_EVERY);
        sample.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                _ = &mut stopped => {
                    self.sample().await;
                    return self;
                }
                Some(done) = asked.recv() => {
                    self.sample().await;
                    let _nobody_waits_any_more = done.send(());
                }
                () = self.writing.next() => {}
                _ = sample.tick() => self.sample().await,
            }
        }
    }

    async fn sample(&mut self) {
        let deltas = self.drivers.deltas().await;
        let now = self.clock.now();
        if self.book(now, &deltas) {
            self.writing.due();
            self.desk.calls().forget_idle(now.at, CALL_IDLE);
            self.say_losses();
        }
        self.old.look();
    }

    /// Returns whether a minute ended.
    fn book(&mut self, now: Now, deltas: &[Delta]) -> bool {
        let mut books = self.desk.books();
        let minute_ended = books.turn(now.unix);
        for delta in deltas {
            let door = (delta.transport, delta.door);
            let door = self.doors.entry(door).or_insert_with(|| door_name(door.0, door.1)).clone();
            let account = Account { subject: delta.subject.clone(), label: delta.label.clone(), door };
            books.book(now.unix, &account, &delta.traffic);
        }
        drop(books);
        let mut calls = self.desk.calls();
        for (delta, call) in deltas.iter().filter_map(|delta| Some((delta, delta.call_id.as_ref()?))) {
            calls.add(now.at, call, &delta.subject, &delta.traffic);
        }
        minute_ended
    }

    /// Once a minute at most.
    fn say_losses(&mut self) {
        let lost = self.desk.books().lost_pages();
        if lost > self.lost_pages {
            let pages = lost - self.lost_pages;
            tracing::warn!(
                pages,
                "too much of the usage waits for the store; minutes were given up, the oldest first"
            );
            self.lost_pages = lost;
        }
    }
}

/// How a door is called in reports.
fn door_name(transport: Transport, address: SocketAddr) -> Arc<str> {
    use crate::metrics::Label;
    format!("{} {address}", Transport::VALUES[transport.index()]).into()
}

/// The wall clock.
pub(super) fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// Where a minute begins that nothing of is on the disk.
fn minute(now: UnixTime) -> UnixTime {
    Period::Minute.start(now)
}
