//! The relay side as one thing: doors, shards, their threads, and how they are told.

use super::admittance::{Admittance, Credentials, lock};
use super::control::RelayControl;
use super::doors;
use super::dtls::Dtls;
use super::error::StartError;
use super::pinning::Pinning;
use super::wishes::Wishes;
use crate::auth::Cookies;
use crate::base::{Random, Transport};
use crate::config::Plan;
use crate::metrics::Published;
use crate::net::tls::HandedOver;
use crate::net::{Clock, PassedSockets, UdpOptions};
use crate::relay::stream::{self, Deadlines, StreamDoor};
use crate::relay::{Admission, Command, Door, Handle, Prepared, Registry, Setup, ShardUpdate};
use crate::turn::{Ledger, OwnAddresses, PeerPolicy, Server, Shares};
use crossbeam_channel::Receiver;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a stop waits for the shards.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// All shards and stream runtimes, running.
#[derive(Debug)]
pub struct Relays {
    registry: Arc<Registry>,
    clock: Clock,
    admittance: Arc<Mutex<Admittance>>,
    wishes: Mutex<Wishes>,
    dtls: Dtls,
    admission: Arc<Admission>,
    drivers: Vec<Handle>,
    threads: Vec<JoinHandle<io::Result<()>>>,
    /// Disconnects when the last thread has ended.
    ended: Receiver<()>,
    published: Vec<Arc<Published>>,
    addresses: Vec<(Transport, SocketAddr)>,
    /// Beats at the last look, and how many looks ago they moved.
    seen: Vec<(AtomicU64, AtomicU64)>,
}

impl Relays {
    /// Binds every door, then starts the threads: an error leaves nothing behind.
    ///
    /// `passed`: sockets that are bound already; those of doors are taken. `credentials`: what is known of users beside the config. `tls`: for doors with TLS. `http`: where connections go that speak HTTP.
    ///
    /// # Errors
    /// What could not be bound, or that the system gives no thread or descriptor.
    pub fn start(
        plan: &Plan,
        passed: &mut PassedSockets,
        mut random: Random,
        credentials: Credentials,
        tls: Option<stream::Tls>,
        http: mpsc::Sender<HandedOver>,
    ) -> Result<Self, StartError> {
        let options = plan.listener_options;
        let doors = doors::bind(plan, &plan.doors, options, passed)?;
        let streams = doors::bind_streams(plan, passed)?;
        // Its sessions have no place for more than one datagram at a time.
        let options = UdpOptions { offload: false, ..options };
        let dtls_doors = doors::bind(plan, plan.dtls_doors(), options, passed)?;
        let addresses = addresses(&doors, &streams, &dtls_doors);
        let drivers = doors.len() + streams.len();
        let shares = Arc::new(Shares::new(drivers));
        let mut ledger = Ledger::new(&plan.ledger, random.fork());
        ledger.share_bandwidth(Arc::clone(&shares));
        ledger.set_bandwidth(plan.turn.bandwidth);
        let registry = Arc::new(Registry::new(ledger));
        let admission = Arc::new(Admission::new(plan.connections, random.fork()));
        let admittance = Admittance::new(&plan.auth, credentials);
        let update = update(plan, &registry, &admittance);
        let (clock, nonce_master) = (Clock::start(), random.bytes());
        let dtls = Dtls::load(plan.dtls.as_ref())?;
        let mut dtls_setups = Vec::new();
        for doors in dtls_doors {
            dtls_setups.push(dtls.setup(doors, Cookies::new(nonce_master, clock.now().unix), random.fork()));
        }
        let mut server = |number| {
            let (settings, authenticator) = (Arc::clone(&update.settings), Arc::clone(&update.authenticator));
            let policy = update.policy.clone();
            let mut server =
                Server::new(settings, authenticator, policy, nonce_master, random.fork(), clock.now());
            server.set_revocations(Arc::clone(&update.revocations));
            server.share_bandwidth(Arc::clone(&shares), number);
            server
        };

        let (mut shards, mut runtimes, mut handles) = (Vec::new(), Vec::new(), Vec::new());
        for (index, doors) in doors.into_iter().enumerate() {
            let (relay_options, registry) = (plan.relay_options, Arc::clone(&registry));
            let setup =
                Setup { index, drivers, server: server(index), doors, relay_options, registry, clock };
            let (shard, handle) =
                Prepared::new(setup).map_err(|error| StartError::system("cannot watch sockets", &error))?;
            shards.push(shard);
            handles.push(handle);
        }
        for doors in streams {
            let (runtime, handle) = stream::Prepared::new(stream::Setup {
                index: handles.len(),
                drivers,
                server: server(handles.len()),
                doors,
                tls: tls.clone(),
                dtls: dtls_setups.pop().flatten(),
                deadlines: Deadlines::default(),
                relay_options: plan.relay_options,
                registry: Arc::clone(&registry),
                admission: Arc::clone(&admission),
                http: http.clone(),
                clock,
            });
            runtimes.push(runtime);
            handles.push(handle);
        }
        registry.connect(handles.iter().map(|driver| driver.mailbox.clone()).collect());
        let (alive, ended) = crossbeam_channel::bounded(0);
        let pinning = Pinning::new(plan.pin_workers);
        let shards = shards.into_iter().enumerate();
        let threads = shards.map(|(core, shard)| pinning.at(core, || shard.spawn(alive.clone())));
        let runtimes = runtimes.into_iter().enumerate();
        let runtimes = runtimes.map(|(core, runtime)| pinning.at(core, || runtime.spawn(alive.clone())));
        let threads = threads.chain(runtimes).collect::<io::Result<Vec<_>>>();
        let threads = threads.map_err(|error| StartError::system("cannot start a relay thread", &error))?;
        Ok(Self {
            registry,
            clock,
            admittance: Arc::new(Mutex::new(admittance)),
            wishes: Mutex::new(Wishes::new(update)),
            dtls,
            admission,
            published: handles.iter().map(|driver| Arc::clone(&driver.published)).collect(),
            seen: handles.iter().map(|_| Default::default()).collect(),
            drivers: handles,
            threads,
            ended,
            addresses,
        })
    }

    /// What is listened on, with the ports that the system chose for port 0.
    pub fn addresses(&self) -> &[(Transport, SocketAddr)] {
        &self.addresses
    }

    /// Allocations, ports and the way to all shards.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What the API asks, and who keeps accounts. One for the daemon: what it was told, it is not told again.
    pub fn control(&self) -> RelayControl {
        RelayControl::new(Arc::clone(&self.registry), self.clock, Arc::clone(&self.admittance))
    }

    pub(super) fn registry_handle(&self) -> Arc<Registry> {
        Arc::clone(&self.registry)
    }

    /// Who counts open connections.
    pub(super) fn admission(&self) -> Arc<Admission> {
        Arc::clone(&self.admission)
    }

    /// The counters of each.
    pub fn published(&self) -> &[Arc<Published>] {
        &self.published
    }

    /// Takes over all of `plan` that needs no new socket. Returns whether every thread was told; one that was not is told
    /// with the next [`Relays::beat`] that finds room in its mailbox.
    pub fn reload(&self, plan: &Plan) -> bool {
        self.registry.set_limits(plan.ledger.allocations_per_user, plan.ledger.allocations_total);
        self.registry.set_bandwidth(plan.turn.bandwidth);
        self.admission.set_limits(plan.connections);
        self.dtls.reload(plan.dtls.as_ref());
        let mut admittance = lock(&self.admittance);
        admittance.reload(&plan.auth);
        let update = update(plan, &self.registry, &admittance);
        self.wish(&admittance, |wishes, drivers| wishes.update(update, drivers))
    }

    /// Refuses new allocations, or takes them again. Returns whether every thread was told, as [`Relays::reload`].
    pub fn drain(&self, draining: bool) -> bool {
        self.wish(&lock(&self.admittance), |wishes, drivers| wishes.drain(draining, drivers))
    }

    /// Tells all drivers of a new wish, and of those that they have not heard.
    fn wish(&self, admittance: &Admittance, wish: impl FnOnce(&mut Wishes, usize)) -> bool {
        let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        wish(&mut wishes, self.registry.drivers());
        wishes.tell(admittance, |driver, command| self.registry.tell(driver, command))
    }

    /// Asks each shard for a sign of life, and tells what it has not heard; call at a steady pace.
    pub fn beat(&self) {
        let _with_the_next_beat = self.wish(&lock(&self.admittance), |_, _| {});
        for (shard, (beats, silent)) in self.drivers.iter().zip(&self.seen) {
            let now = shard.beats.load(Ordering::Relaxed);
            if beats.swap(now, Ordering::Relaxed) == now {
                silent.fetch_add(1, Ordering::Relaxed);
            } else {
                silent.store(0, Ordering::Relaxed);
            }
            shard.mailbox.nudge();
        }
    }

    /// Turns of each shard's and stream runtime's loop until now. Has each make one, so that one that makes none until
    /// the next look stands still.
    pub fn turns(&self) -> Vec<u64> {
        let turns = self.drivers.iter().map(|driver| driver.beats.load(Ordering::Relaxed)).collect();
        self.drivers.iter().for_each(|driver| driver.mailbox.nudge());
        turns
    }

    /// Shards and stream runtimes that showed no life for `beats_max` calls of [`Relays::beat`].
    pub fn stalled(&self, beats_max: u64) -> Vec<usize> {
        let silent = self.seen.iter().enumerate();
        silent
            .filter(|(_, (_, silent))| silent.load(Ordering::Relaxed) >= beats_max)
            .map(|(i, _)| i)
            .collect()
    }

    /// Whether a thread has ended although nobody stopped it.
    pub fn has_lost_a_shard(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Ends all of them; their sockets close. Waits a moment for them, but not for one that hangs.
    pub fn stop(self) {
        self.registry.broadcast(|| Command::Stop);
        // Nothing is ever sent: the wait ends when the last sender is gone, or its time is over.
        let _disconnected_or_late = self.ended.recv_timeout(STOP_TIMEOUT);
    }
}

fn addresses(
    doors: &[Vec<Door>],
    streams: &[Vec<StreamDoor>],
    dtls: &[Vec<Door>],
) -> Vec<(Transport, SocketAddr)> {
    let of = |transport, doors: &[Vec<Door>]| {
        let doors = doors.first().into_iter().flatten();
        doors.map(|door| (transport, door.address())).collect::<Vec<_>>()
    };
    let of_stream = |door: &StreamDoor| {
        let address = door.settings().address;
        door.settings().transports().map(move |transport| (transport, address)).collect::<Vec<_>>()
    };
    let streams = streams.first().into_iter().flatten().flat_map(of_stream);
    of(Transport::Udp, doors).into_iter().chain(streams).chain(of(Transport::Dtls, dtls)).collect()
}

fn update(plan: &Plan, registry: &Registry, admittance: &Admittance) -> ShardUpdate {
    let own = OwnAddresses {
        relays: registry.live_ports(),
        hosts: plan.hosts.clone(),
        endpoints: plan.endpoints.clone(),
    };
    ShardUpdate {
        settings: Arc::new(plan.turn.clone()),
        authenticator: admittance.authenticator(),
        policy: PeerPolicy::new(plan.peers.clone(), own),
        revocations: admittance.revocations(),
    }
}
