//! One stream runtime: a thread with its own tokio runtime, its doors and its core.

use super::DtlsSetup;
use super::connection::Connection;
use super::core::Core;
use super::door::{Deadlines, StreamDoor, StreamDoorSettings, Tls};
#[cfg(feature = "dtls")]
use super::dtls;
use super::peers::Peers;
use crate::metrics::{Closed, Published, busy_nanos, connections_accepted, connections_closed};
use crate::net::Clock;
use crate::net::tls::HandedOver;
use crate::net::{UdpOptions, tcp};
use crate::relay::admission::{Admission, Admitted};
use crate::relay::mailbox::{Command, Mailbox, Wake};
use crate::relay::obey::Read;
use crate::relay::ports::RelayPorts;
use crate::relay::registry::Registry;
use crate::relay::shard::Handle;
use crate::turn::Server;
use crossbeam_channel::{Receiver, Sender};
use rustix::time::{ClockId, clock_gettime};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Context;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::{sleep, timeout};

/// How often timers are looked at and counters published while there is something to look at; a runtime without
/// clients sleeps.
const TICK: Duration = Duration::from_millis(250);

/// Out of descriptors or memory: the next accept would fail as well, so it must not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes that one read may find behind what is kept of the read before, which is one message at most.
const RAW_BYTES: usize = 2 * (66 << 10);

/// What a stream runtime is made of.
#[derive(Debug)]
pub struct Setup {
    /// Its number among all drivers of a core: stream runtimes follow the shards.
    pub index: usize,
    /// How many drivers there are.
    pub drivers: usize,
    /// The core, without allocations.
    pub server: Server,
    /// This runtime's socket of each door.
    pub doors: Vec<StreamDoor>,
    /// For doors with TLS.
    pub tls: Option<Tls>,
    /// This runtime's sockets for DTLS, and what that needs.
    pub dtls: Option<DtlsSetup>,
    /// How patient it is.
    pub deadlines: Deadlines,
    /// Kernel buffers and offloads of relay sockets.
    pub relay_options: UdpOptions,
    /// What it shares with the other drivers.
    pub registry: Arc<Registry>,
    /// How many connections there may be.
    pub admission: Arc<Admission>,
    /// Where connections go that speak HTTP.
    pub http: mpsc::Sender<HandedOver>,
    /// The common clock.
    pub clock: Clock,
}

/// A stream runtime whose thread does not run yet.
#[derive(Debug)]
pub struct Prepared {
    setup: Setup,
    mailbox: Receiver<Command>,
    notify: Arc<Notify>,
    published: Arc<Published>,
    beats: Arc<AtomicU64>,
}

/// What all tasks of a runtime share.
pub(super) struct Shared {
    pub(super) core: RefCell<Core>,
    /// What a task reads into, and the memory that it decrypts and encrypts with: one at a time.
    pub(super) raw: RefCell<Box<[u8]>>,
    pub(super) plain: RefCell<Vec<u8>>,
    pub(super) ciphertext: RefCell<Vec<u8>>,
    pub(super) tls: Option<Tls>,
    pub(super) deadlines: Deadlines,
    pub(super) http: mpsc::Sender<HandedOver>,
    pub(super) clock: Clock,
    pub(super) admission: Arc<Admission>,
    notify: Arc<Notify>,
    /// Nothing moves, so nobody looks every [`TICK`].
    asleep: Cell<bool>,
}

impl Shared {
    /// Something happened: timers and counters need attention again.
    pub(super) fn wake_if_asleep(&self) {
        if self.asleep.replace(false) {
            self.notify.notify_one();
        }
    }
}

impl Prepared {
    /// A runtime that can be told things already.
    pub fn new(setup: Setup) -> (Self, Handle) {
        let notify = Arc::new(Notify::new());
        let (sender, mailbox) = Mailbox::new(Wake::Task(Arc::clone(&notify)), setup.drivers);
        let (published, beats) = (Arc::<Published>::default(), Arc::<AtomicU64>::default());
        let handle = Handle { mailbox: sender, published: Arc::clone(&published), beats: Arc::clone(&beats) };
        (Self { setup, mailbox, notify, published, beats }, handle)
    }

    /// Serves on a thread of its own until [`Command::Stop`]. `alive` is dropped when it ends, however it ends.
    ///
    /// # Errors
    /// No thread could be made. The thread's own result is that tokio could not start.
    pub fn spawn(self, alive: Sender<()>) -> io::Result<JoinHandle<io::Result<()>>> {
        std::thread::Builder::new().name(format!("stream-{}", self.setup.index)).spawn(move || {
            let _alive = alive;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
            // Dropped with the tasks in it, which closes all connections.
            let tasks = LocalSet::new();
            tasks.block_on(&runtime, self.serve())
        })
    }

    async fn serve(self) -> io::Result<()> {
        let Self { setup, mailbox, notify, published, beats } = self;
        let ports = RelayPorts::new(setup.index, Arc::clone(&setup.registry), setup.relay_options);
        let shared = Rc::new_cyclic(|shared| Shared {
            core: RefCell::new(Core::new(
                setup.server,
                ports,
                Peers::new(shared.clone(), setup.registry),
                setup.clock,
            )),
            raw: RefCell::new(vec![0; RAW_BYTES].into_boxed_slice()),
            plain: RefCell::default(),
            ciphertext: RefCell::default(),
            tls: setup.tls,
            deadlines: setup.deadlines,
            http: setup.http,
            clock: setup.clock,
            admission: setup.admission,
            notify,
            asleep: Cell::new(false),
        });
        for door in setup.doors {
            let listener = TcpListener::from_std(door.listener)?;
            spawn_local(accept(Rc::clone(&shared), listener, door.settings));
        }
        #[cfg(feature = "dtls")]
        if let Some(dtls) = setup.dtls {
            dtls::start(&shared, dtls)?;
        }
        while let Tick::Goes { busy, more } = tick(&shared, &mailbox, &published) {
            beats.fetch_add(1, Ordering::Relaxed);
            shared.asleep.set(!busy);
            if more {
                // Clients have their turn between two pages.
                yield_now().await;
                continue;
            }
            let woken = shared.notify.notified();
            if busy {
                let _ticked_or_told = timeout(TICK, woken).await;
            } else {
                woken.await;
            }
        }
        Ok(())
    }
}

enum Tick {
    Goes { busy: bool, more: bool },
    Stops,
}

/// Timers, then the mailbox, then counters.
fn tick(shared: &Shared, mailbox: &Receiver<Command>, published: &Published) -> Tick {
    let core = &mut *shared.core.borrow_mut();
    let now = core.clock.now();
    core.server.on_deadline(now);
    core.drive(|ports, server, side| ports.drain_effects(now, server, side));
    let mut read = Read::default();
    core.drive(|ports, server, side| read = ports.obey_mailbox(now, server, side, mailbox));
    let dirty = core.server.counters().is_dirty();
    if dirty || read.stop {
        count_busy(core);
        core.server.counters().publish(published);
    }
    if read.stop {
        return Tick::Stops;
    }
    Tick::Goes { busy: dirty || core.server.allocations() > 0, more: read.more }
}

/// This thread has no other work, so its CPU time is how long it was busy.
fn count_busy(core: &mut Core) {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = spent.tv_sec as u64 * 1_000_000_000 + spent.tv_nsec as u64;
    let counters = core.server.counters();
    let before = counters.value(busy_nanos());
    counters.add_quietly(busy_nanos(), nanos.saturating_sub(before));
}

/// Lets a task go on behind all others that are ready, those that the system has not told of yet included: one
/// that woke itself would run some sixty times before.
pub(super) fn yield_to_others(cx: &mut Context<'_>) {
    let _woken_then = pin!(yield_now()).poll(cx);
}

/// Takes connections in for as long as the runtime lives.
async fn accept(shared: Rc<Shared>, listener: TcpListener, door: Arc<StreamDoorSettings>) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => match welcome(&shared, &door, stream, tcp::canonical(remote)) {
                Ok(connection) => {
                    spawn_local(connection.run());
                }
                Err(reason) => count_closed(&shared, reason),
            },
            Err(error) if tcp::is_of_one_connection(&error) => {}
            Err(_) => {
                count_accepted(&shared);
                count_closed(&shared, Closed::TotalLimit);
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn welcome(
    shared: &Rc<Shared>,
    door: &Arc<StreamDoorSettings>,
    stream: TcpStream,
    remote: SocketAddr,
) -> Result<Connection, Closed> {
    count_accepted(shared);
    let source = Some(remote.ip()).filter(|ip| !door.is_proxy(*ip));
    let admitted = shared.admission.admit(source).inspect_err(|_| tcp::reset_on_close(&stream))?;
    connect(shared, door, stream, remote, admitted).map_err(|_| Closed::Client)
}

fn connect(
    shared: &Rc<Shared>,
    door: &Arc<StreamDoorSettings>,
    stream: TcpStream,
    remote: SocketAddr,
    admitted: Admitted,
) -> io::Result<Connection> {
    tcp::tune(&stream)?;
    Connection::new(Rc::clone(shared), Arc::clone(door), stream, remote, admitted)
}

fn count_accepted(shared: &Shared) {
    shared.core.borrow_mut().server.counters().increment(connections_accepted());
    shared.wake_if_asleep();
}

fn count_closed(shared: &Shared, reason: Closed) {
    shared.core.borrow_mut().server.counters().increment(connections_closed(reason));
    shared.wake_if_asleep();
}
