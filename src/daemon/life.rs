//! The daemon's life: start, serve, reload, drain, stop.

use super::admin_key;
use super::admin_socket::{self, NoSocket, SocketFile};
use super::certificates::{self, CertificateWatch};
use super::control::RelayControl;
use super::descriptors;
use super::doors;
use super::error::StartError;
use super::keeper::{self, Books};
use super::relays::Relays;
use super::service_manager::{self, ServiceManager};
use super::services::{self, Parts};
use super::signaling::SignalingSide;
use super::state::{MISSED_BEATS_MAX, State};
use super::steering::{self, Helm, Order};
use crate::auth::{ApiKey, ApiKeyHash, Scope};
use crate::base::Random;
use crate::config::Plan;
use crate::http::api::{Desk, EventKind, Fault, Kept, Minting, Reloaded, Services, TokenJudge};
use crate::http::signaling::NEWS_MAX;
use crate::http::{self, AdminSettings, PublicSettings, Sources};
use crate::net::tls::HandedOver;
use crate::net::{PassedSockets, interfaces};
use crate::storage::Store;
use arc_swap::ArcSwap;
use serde_json::json;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

/// How often shards must show that they turn.
const BEAT_EVERY: Duration = Duration::from_secs(2);

/// Connections that wait to be taken over by HTTP; one more is closed.
const HANDED_OVER_MAX: usize = 256;

/// How long a stop waits for what the storage has still to write.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a drain looks whether somebody is left.
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(50);

/// Where a new plan comes from at SIGHUP and by order: reads the config again.
pub type Reread<'a> = dyn FnMut() -> Result<Plan, Vec<Fault>> + 'a;

/// A daemon whose sockets are bound and whose shards run.
#[derive(Debug)]
pub struct Daemon {
    plan: Plan,
    relays: Relays,
    certificates: Option<CertificateWatch>,
    state: Arc<State>,
    manager: ServiceManager,
    admin: Option<TcpListener>,
    public: Option<TcpListener>,
    socket: Option<(UnixListener, SocketFile)>,
    store: Store,
    kept: Kept,
    /// The books, and where it tells what happens.
    desk: Arc<Desk>,
    /// What the API mints credentials by.
    minting: Arc<ArcSwap<Minting>>,
    /// What is missing, to be said once the rest serves.
    missing: Vec<String>,
    /// What public HTTP goes by.
    public_settings: Arc<ArcSwap<PublicSettings>>,
    signaling: Option<SignalingSide>,
    random: Random,
    /// Connections of `tls` doors that speak HTTP.
    handed_over: mpsc::Receiver<HandedOver>,
}

/// Why the daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Somebody asked for it.
    Asked,
    /// A relay shard died, so that clients would find a deaf socket.
    ShardLost,
}

impl Daemon {
    /// Binds everything that was not `passed`, and starts the shards.
    ///
    /// # Errors
    /// One sentence that names the key; nothing is left behind.
    pub fn start(plan: Plan, mut passed: PassedSockets, mut random: Random) -> Result<Self, StartError> {
        descriptors::raise_limit(&plan);
        let admin = admin_listener(&plan, &mut passed)?;
        let public = public_listener(&plan, &mut passed)?;
        let mut missing = Vec::new();
        let socket = match admin_socket::bind(&plan.admin_socket) {
            Ok(bound) => Some(bound),
            Err(NoSocket::Warning(why)) => {
                missing.push(why);
                None
            }
            Err(NoSocket::Error(error)) => return Err(error),
        };
        let (hand_over, handed_over) = mpsc::channel(HANDED_OVER_MAX);
        let certificates = plan.tls.as_ref().map(CertificateWatch::start).transpose()?;
        let tls = certificates.as_ref().map(CertificateWatch::tls).transpose()?;
        // Before any door: who is revoked is known when the first client comes.
        let (store, no_store) = services::open(&plan.storage);
        let (mut kept, nothing_kept) = services::kept(&store, &plan);
        let key_not_kept = admin_key::import(&store, &mut kept, plan.admin_key);
        let credentials = services::credentials(&kept);
        let relays = Relays::start(&plan, &mut passed, random.fork(), credentials, tls, hand_over)?;
        doors::warn_of_left(&passed);
        let state = Arc::new(State::new(&relays, store.clone()));
        if nothing_kept.is_some() {
            state.revocations_are_unknown();
        }
        missing.extend(nothing_kept.or(no_store).or(key_not_kept));
        state.certificates(certificates.as_ref().map(CertificateWatch::state));
        let public_settings = Arc::new(ArcSwap::from_pointee(plan.public.clone()));
        let minting = Arc::new(ArcSwap::from_pointee(Minting::new(&plan.mint_settings())));
        let desk = Arc::new(Desk::new(random.next_u64()));
        let signaling = None;
        Ok(Self {
            plan,
            relays,
            certificates,
            state,
            manager: ServiceManager::of_environment(),
            admin,
            public,
            socket,
            store,
            kept,
            desk,
            minting,
            missing,
            public_settings,
            signaling,
            random,
            handed_over,
        })
    }

    /// The relay side.
    pub fn relays(&self) -> &Relays {
        &self.relays
    }

    /// Lets in who has this API key, until the daemon ends.
    pub(super) fn let_in(&mut self, key: &str, name: &str, scope: Scope) {
        let id = format!("key_{:016x}", self.random.next_u64()).into();
        let facts = ApiKey { id, name: name.into(), scopes: vec![scope], created_at: keeper::now() };
        self.kept.keys = self.kept.keys.with(ApiKeyHash::of(key), facts);
    }

    /// Serves until a signal ends it: SIGTERM drains first and a second one does not wait, SIGINT does
    /// not wait at all, SIGHUP calls `reread`.
    ///
    /// # Errors
    /// Signals cannot be watched.
    pub async fn serve(mut self, reread: &mut Reread<'_>) -> io::Result<Ending> {
        let mut signals = Signals::new()?;
        let (news, calls) = mpsc::channel(NEWS_MAX);
        let store = self.store.clone();
        self.signaling =
            SignalingSide::start(&self.plan, self.random.fork(), store, self.kept.ran_until, news)?;
        if let Some(signaling) = &self.signaling {
            self.state.signaling(signaling.published());
        }
        let (stop_http, http_stopped) = watch::channel(false);
        for what in std::mem::take(&mut self.missing) {
            tracing::error!("{what}; relaying and signaling go on");
        }
        let (helm, orders) = Helm::new(&self.plan, &self.relays);
        let control = Arc::new(self.relays.control());
        let services = self.services(&helm, &control);
        if !services.tell_signaling().await {
            tracing::error!("the signaling thread is too busy to hear of revocations");
        }
        let books = Books::start(&services, (self.relays.registry(), &control), &self.plan, calls);
        let forgetting = tokio::spawn(services::forget_revocations(Arc::clone(&services)));
        let admin = self.serve_admin(&services, http_stopped.clone());
        let socket = self.serve_socket(&services, http_stopped.clone());
        let public = self.serve_public(&services, http_stopped);
        self.manager.ready(self.status());
        let ending = self.obey(&mut signals, &helm, orders, reread).await;
        self.manager.stopping("Stopping: what is left is written down".into());
        // While HTTP still answers: a client that polls hears by a poll why its call ends.
        if let Some(signaling) = self.signaling.take() {
            signaling.stop();
        }
        let books = books.close_calls().await;
        services.desk.events.end();
        // No request waits for anything of ours but the answer to a scrape.
        let _nobody_listens_any_more = stop_http.send(true);
        forgetting.abort();
        for http in admin.into_iter().chain(socket).chain([public]) {
            let _panicked_and_said_so = http.await;
        }
        let last = books.stop().await;
        self.relays.stop();
        last.write().await;
        if !self.store.close(STORE_TIMEOUT) {
            tracing::warn!("the storage did not take everything in time; it is checked at the next start");
        }
        Ok(ending)
    }

    /// What the API works with. To be called once, when signaling runs.
    fn services(&mut self, helm: &Arc<Helm>, control: &Arc<RelayControl>) -> Arc<Services> {
        services::services(Parts {
            helm: Arc::clone(helm),
            store: self.store.clone(),
            kept: std::mem::take(&mut self.kept),
            desk: Arc::clone(&self.desk),
            minting: Arc::clone(&self.minting),
            state: Arc::clone(&self.state),
            control: Arc::clone(control),
            tokens: self.signaling.as_ref().and_then(SignalingSide::tokens).map(TokenJudge::new),
            signaling: self.signaling.as_ref().map(SignalingSide::door),
            random: self.random.fork(),
        })
    }

    fn serve_admin(
        &mut self,
        services: &Arc<Services>,
        mut stopped: watch::Receiver<bool>,
    ) -> Option<tokio::task::JoinHandle<()>> {
        let listener = self.admin.take()?;
        let settings = settings(&self.plan, self.plan.admin?);
        let (sources, services) = (Arc::clone(&self.state), Arc::clone(services));
        Some(tokio::spawn(async move {
            let stop = async move {
                let _the_daemon_is_gone = stopped.wait_for(|stop| *stop).await;
            };
            if let Err(error) = http::serve_admin(listener, settings, sources, services, stop).await {
                tracing::error!(%error, "admin HTTP ended; relaying goes on");
            }
        }))
    }

    fn serve_socket(
        &mut self,
        services: &Arc<Services>,
        mut stopped: watch::Receiver<bool>,
    ) -> Option<tokio::task::JoinHandle<()>> {
        let (listener, file) = self.socket.take()?;
        let services = Arc::clone(services);
        Some(tokio::spawn(async move {
            let stop = async move {
                let _the_daemon_is_gone = stopped.wait_for(|stop| *stop).await;
            };
            if let Err(error) = http::serve_socket(listener, services, stop).await {
                tracing::error!(%error, "the admin socket ended; relaying goes on");
            }
            drop(file);
        }))
    }

    fn serve_public(
        &mut self,
        services: &Arc<Services>,
        mut stopped: watch::Receiver<bool>,
    ) -> tokio::task::JoinHandle<()> {
        // A receiver whose sender is gone at once takes its place.
        let handed_over = std::mem::replace(&mut self.handed_over, mpsc::channel(1).1);
        let listener = self.public.take();
        let door = self.signaling.as_ref().map(SignalingSide::door);
        let admission = self.relays.admission();
        let public = http::Public {
            settings: Arc::clone(&self.public_settings),
            door,
            admit: Box::new(move |source| admission.hold(source)),
            sources: self.state.clone(),
            services: Some(Arc::clone(services)),
        };
        tokio::spawn(async move {
            let stop = async move {
                let _the_daemon_is_gone = stopped.wait_for(|stop| *stop).await;
            };
            if let Err(error) = http::serve_public(listener, handed_over, public, stop).await {
                tracing::error!(%error, "public HTTP ended; relaying goes on");
            }
        })
    }

    async fn obey(
        &mut self,
        signals: &mut Signals,
        helm: &Helm,
        mut orders: mpsc::Receiver<Order>,
        reread: &mut Reread<'_>,
    ) -> Ending {
        let mut sample = tokio::time::interval(steering::SAMPLE_EVERY);
        let mut beat = tokio::time::interval(BEAT_EVERY);
        let mut look = tokio::time::interval(certificates::LOOK_EVERY);
        loop {
            tokio::select! {
                _ = look.tick() => self.look_at_certificates(),
                _ = sample.tick() => helm.sample(),
                () = self.manager.look_is_due() => self.manager.look(&self.relays),
                Some(order) = orders.recv() => self.follow(order, reread),
                _ = beat.tick() => {
                    self.look_around();
                    self.manager.status(self.status());
                    if self.has_lost_a_shard() {
                        return Ending::ShardLost;
                    }
                }
                _ = signals.hang_up.recv() => {
                    let _told_by_the_log = self.reload(reread);
                }
                _ = signals.interrupt.recv() => return self.cut(),
                _ = signals.terminate.recv() => {
                    // Whoever orders something now is told that it is too late.
                    drop(orders);
                    return self.drain(signals, helm).await;
                }
            }
        }
    }

    fn look_at_certificates(&mut self) {
        if let Some(certificates) = &mut self.certificates {
            certificates.look(false);
            self.state.certificates(Some(certificates.state()));
        }
    }

    /// Takes over what `[tls]` names in `plan`. A bad pair of the list in use is its own matter; another list is
    /// taken over whole or not at all.
    fn reload_certificates(&mut self, plan: &Plan) -> Result<(), StartError> {
        if let (Some(certificates), Some(tls)) = (&mut self.certificates, &plan.tls) {
            certificates.reload(tls)?;
            self.state.certificates(Some(certificates.state()));
        }
        Ok(())
    }

    /// Asks the shards for a sign of life, and the host for its addresses: a new one is no peer either.
    fn look_around(&mut self) {
        self.relays.beat();
        self.state.look(&self.relays);
        if let Some(signaling) = &self.signaling {
            let stalls = signaling.beat() > MISSED_BEATS_MAX;
            if self.state.signaling_stalls(stalls) {
                tracing::error!("the signaling thread makes no progress; relaying goes on");
            }
        }
        if self.state.storage_stalls() {
            tracing::error!("the storage makes no progress; relaying and signaling go on");
        }
        let Ok(addresses) = interfaces::all() else { return };
        if addresses.iter().any(|address| !self.plan.hosts.contains(address)) {
            self.plan.hosts.extend(addresses);
            self.plan.hosts.sort_unstable();
            self.plan.hosts.dedup();
            tracing::info!("this host has a new address; peers cannot reach it");
            self.tell_shards();
        }
    }

    /// What the service manager shows.
    fn status(&self) -> String {
        let sessions = self.relays.registry().allocations();
        service_manager::serving(sessions, &self.state.readiness(), self.state.last_reload())
    }

    fn has_lost_a_shard(&self) -> bool {
        let lost = self.relays.has_lost_a_shard();
        if lost {
            tracing::error!("a relay shard ended by itself; stopping, so that it is started anew");
        }
        lost
    }

    fn tell_shards(&self) -> bool {
        let told = self.relays.reload(&self.plan);
        if !told {
            tracing::error!("a relay shard is too busy to be told; it goes on with the settings before");
        }
        told
    }

    fn tell_signaling(&self) -> bool {
        let told = self.signaling.as_ref().is_none_or(|signaling| signaling.reload(&self.plan));
        if !told {
            tracing::error!(
                "the signaling thread is too busy to be told; it goes on with the settings before"
            );
        }
        told
    }

    fn follow(&mut self, order: Order, reread: &mut Reread<'_>) {
        // Whoever gave it may not wait any more; it is followed all the same.
        let _nobody_waits = match order {
            Order::Reload(answer) => answer.send(self.reload(reread)).is_ok(),
            Order::Drain(draining, answer) => answer.send(self.set_drain(draining)).is_ok(),
        };
    }

    /// Refuses new allocations, or takes them again. Returns whether every thread was told.
    fn set_drain(&mut self, draining: bool) -> bool {
        let sessions = self.relays.registry().allocations();
        match draining {
            true => tracing::info!(sessions, "draining by order: no new allocations"),
            false => tracing::info!(sessions, "the drain is over: new allocations are welcome"),
        }
        self.state.drain(draining);
        let told = self.relays.drain(draining);
        if !told {
            tracing::error!("a relay shard is too busy to be told to drain, or not to");
        }
        let event = || json!({ "draining": draining, "sessions": sessions, "ends": false, "complete": told });
        self.desk.events.tell(EventKind::Drain, event);
        told
    }

    /// Takes over what can change while running; the rest is named. Tells how it went.
    fn reload(&mut self, reread: &mut Reread<'_>) -> Result<Reloaded, Vec<Fault>> {
        self.manager.reloading();
        let result = self.take_over(reread);
        self.manager.ready(self.status());
        self.desk.events.tell(EventKind::Reload, || match &result {
            Ok(Reloaded { changed, needs_restart, complete }) => json!({
                "successful": true, "changed": changed, "needs_restart": needs_restart, "complete": complete,
            }),
            Err(faults) => json!({ "successful": false, "faults": faults }),
        });
        result
    }

    fn take_over(&mut self, reread: &mut Reread<'_>) -> Result<Reloaded, Vec<Fault>> {
        let usable = |plan: Plan| match self.reload_certificates(&plan) {
            Ok(()) => Ok(plan),
            Err(error) => Err(vec![error.into()]),
        };
        let plan = match reread().and_then(usable) {
            Ok(plan) => plan,
            Err(faults) => {
                for Fault { at, message, help } in &faults {
                    tracing::error!(at, help, "{message}");
                }
                self.state.reloaded(false);
                tracing::error!("the config was not taken over; the one before it stays in force");
                return Err(faults);
            }
        };
        let needs_restart = self.plan.needs_restart(&plan);
        let changed = self.plan.changes(&plan);
        self.plan = plan.within(&self.plan);
        self.public_settings.store(Arc::new(self.plan.public.clone()));
        self.minting.store(Arc::new(Minting::new(&self.plan.mint_settings())));
        let told = self.tell_shards() & self.tell_signaling();
        self.state.reloaded(told);
        if needs_restart.is_empty() {
            tracing::info!("config reloaded");
        } else {
            tracing::warn!(keys = needs_restart.join(", "), "config reloaded; these keys need a restart");
        }
        let waits = |key: &String| {
            let mut named = needs_restart.iter().flat_map(|keys| keys.split(" or "));
            named.any(|name| key.as_str() == name)
        };
        let changed = changed.into_iter().filter(|key| !waits(key)).collect();
        let needs_restart = needs_restart.into_iter().map(str::to_owned).collect();
        Ok(Reloaded { changed, needs_restart, complete: told })
    }

    /// Refuses new allocations and waits until the live ones have ended, the time is over, or another
    /// signal says to stop now.
    async fn drain(&mut self, signals: &mut Signals, helm: &Helm) -> Ending {
        let timeout = self.plan.drain_timeout;
        let sessions = self.relays.registry().allocations();
        tracing::info!(sessions, timeout_s = timeout.as_secs(), "draining: no new allocations");
        let told = self.relays.drain(true);
        if !told {
            tracing::error!("a relay shard is too busy to be told to drain");
        }
        self.state.drain(true);
        let event = || json!({ "draining": true, "sessions": sessions, "ends": true, "complete": told });
        self.desk.events.tell(EventKind::Drain, event);
        let deadline = Instant::now() + timeout;
        self.manager.stopping(service_manager::draining(sessions, timeout));
        let mut look = tokio::time::interval(DRAIN_LOOK_EVERY);
        let mut sample = tokio::time::interval(steering::SAMPLE_EVERY);
        let mut beat = tokio::time::interval(BEAT_EVERY);
        while self.relays.registry().allocations() > 0 {
            tokio::select! {
                _ = look.tick() => {
                    if self.has_lost_a_shard() {
                        return Ending::ShardLost;
                    }
                    if Instant::now() >= deadline {
                        let sessions = self.relays.registry().allocations();
                        tracing::warn!(sessions, "the time to drain is over; these sessions are cut");
                        return Ending::Asked;
                    }
                }
                _ = sample.tick() => helm.sample(),
                _ = beat.tick() => {
                    self.look_around();
                    let (sessions, now) = (self.relays.registry().allocations(), Instant::now());
                    self.manager.status(service_manager::draining(sessions, deadline - now));
                }
                _ = signals.terminate.recv() => return self.cut(),
                _ = signals.interrupt.recv() => return self.cut(),
            }
        }
        tracing::info!("drained: no session is left");
        Ending::Asked
    }

    fn cut(&self) -> Ending {
        tracing::info!("stopping at once");
        Ending::Asked
    }
}

fn admin_listener(plan: &Plan, passed: &mut PassedSockets) -> Result<Option<TcpListener>, StartError> {
    const KEY: &str = "http.admin";
    if let Some(passed) = doors::passed_http(KEY, plan.admin, passed)? {
        return Ok(Some(passed));
    }
    let bind =
        |address| settings(plan, address).bind().map_err(|error| StartError::bind(KEY, address, &error));
    plan.admin.map(bind).transpose()
}

fn public_listener(plan: &Plan, passed: &mut PassedSockets) -> Result<Option<TcpListener>, StartError> {
    const KEY: &str = "http.public";
    if let Some(passed) = doors::passed_http(KEY, plan.public.address, passed)? {
        return Ok(Some(passed));
    }
    plan.public.bind().map_err(|error| match plan.public.address {
        Some(address) => StartError::bind(KEY, address, &error),
        None => StartError::system(KEY, &error),
    })
}

fn settings(plan: &Plan, address: std::net::SocketAddr) -> AdminSettings {
    AdminSettings { address, allowed_hosts: plan.admin_hosts.clone() }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }
}
