//! Connections between relayed addresses and peers (RFC 6062): taken in, made, and kept for their clients.
//!
//! The runtime of an allocation follows each of its connections to the end, wherever its client comes to get
//! it: it holds the [`Leash`], and whoever has the bytes holds the [`Tether`].

use super::core::Core;
use super::runtime::Shared;
use crate::auth::CredentialId;
use crate::base::Now;
use crate::metrics::{PeerConnection as Became, peer_connections};
use crate::net::tcp;
use crate::relay::parked::{Fate, Leash, Parked, Place, Tether, tether};
use crate::relay::registry::Registry;
use crate::turn::{ConnectionId, PeerConnection, RelayId};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::sleep;

/// Out of descriptors or memory: the next accept would fail as well, so it must not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What one runtime holds for its allocations.
pub(super) struct Peers {
    shared: Weak<Shared>,
    registry: Arc<Registry>,
    /// As many as relayed addresses.
    listening: HashMap<RelayId, Aborted>,
    /// As many as the core knows connections.
    leashes: HashMap<PeerConnection, Leash>,
}

/// A task that ends when this is dropped.
struct Aborted(AbortHandle);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Peers {
    pub(super) fn new(shared: Weak<Shared>, registry: Arc<Registry>) -> Self {
        Self { shared, registry, listening: HashMap::new(), leashes: HashMap::new() }
    }

    /// Takes connections in at a relayed address.
    pub(super) fn listen(&mut self, relay: RelayId, listener: std::net::TcpListener) -> io::Result<()> {
        let listener = TcpListener::from_std(listener)?;
        if let Some(shared) = self.shared.upgrade() {
            let task = spawn_local(accept(shared, relay, listener));
            self.listening.insert(relay, Aborted(task.abort_handle()));
        }
        Ok(())
    }

    /// Closes a relayed address. Its connections are closed one by one.
    pub(super) fn unlisten(&mut self, relay: RelayId) {
        self.listening.remove(&relay);
    }

    /// Makes a connection.
    pub(super) fn connect(&mut self, dial: Dial) {
        let Some(shared) = self.shared.upgrade() else { return };
        let (tether, leash, fate) = tether();
        self.leashes.insert(dial.connection, leash);
        spawn_local(connect(shared, dial, tether, fate));
    }

    /// Hands a connection of any runtime to a client.
    pub(super) fn take(&self, id: ConnectionId, credential: CredentialId) -> Option<Parked> {
        self.registry.waiting().take(id, credential).inspect(|parked| parked.tether.bind())
    }

    /// Closes a connection, however far it is.
    pub(super) fn close(&mut self, connection: PeerConnection) {
        self.leashes.remove(&connection);
        self.registry.waiting().close(connection.id);
    }
}

/// A connection to make.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dial {
    pub(super) connection: PeerConnection,
    pub(super) credential: CredentialId,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
}

async fn accept(shared: Rc<Shared>, relay: RelayId, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => welcome(&shared, relay, stream, from),
            Err(error) if tcp::is_of_one_connection(&error) => {}
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// A peer has connected. Whoever may not is turned away with a reset, which leaves nothing behind here.
fn welcome(shared: &Rc<Shared>, relay: RelayId, stream: TcpStream, from: SocketAddr) {
    let core = &mut *shared.core.borrow_mut();
    let now = core.clock.now();
    let Some(place) = core.peers.registry.waiting().place() else {
        core.server.counters().increment(peer_connections(Became::Full));
        return tcp::reset_on_close(&stream);
    };
    let Some((connection, credential)) = core.server.on_peer_connection(now, relay, from) else {
        return tcp::reset_on_close(&stream);
    };
    let (tether, leash, fate) = tether();
    core.peers.leashes.insert(connection, leash);
    let stream = tcp::tune(&stream).and_then(|()| stream.into_std());
    keep(shared, core, Kept { connection, credential, stream, tether, place }, fate);
    core.settle(now);
    shared.wake_if_asleep();
}

async fn connect(shared: Rc<Shared>, dial: Dial, mut tether: Tether, fate: Fate) {
    let place = shared.core.borrow().peers.registry.waiting().place();
    let made = match &place {
        // The core lets go when the time is over.
        Some(_) => tokio::select! {
            biased;
            () = tether.ended() => return,
            made = reach(dial.local, dial.peer) => made.ok(),
        },
        None => None,
    };
    let core = &mut *shared.core.borrow_mut();
    let now = core.clock.now();
    if place.is_none() {
        core.server.counters().increment(peer_connections(Became::Full));
    }
    let kept = core.server.on_connected(now, dial.connection, made.is_some());
    match (made, place) {
        (Some(stream), Some(place)) if kept => {
            let Dial { connection, credential, .. } = dial;
            keep(&shared, core, Kept { connection, credential, stream: Ok(stream), tether, place }, fate);
        }
        _ => _ = core.peers.leashes.remove(&dial.connection),
    }
    core.settle(now);
    shared.wake_if_asleep();
}

/// RFC 6062 section 5.2: from the relayed address.
async fn reach(local: SocketAddr, peer: SocketAddr) -> io::Result<std::net::TcpStream> {
    let socket = TcpSocket::from_std_stream(tcp::relay_socket(local)?);
    let stream = socket.connect(peer).await?;
    tcp::tune(&stream)?;
    stream.into_std()
}

/// A connection that stands.
struct Kept {
    connection: PeerConnection,
    credential: CredentialId,
    stream: io::Result<std::net::TcpStream>,
    tether: Tether,
    place: Place,
}

/// Lets a connection wait for its client.
fn keep(shared: &Rc<Shared>, core: &mut Core, kept: Kept, fate: Fate) {
    let Kept { connection, credential, stream, tether, place } = kept;
    let meter = core.server.meter(connection.allocation);
    let throttle = core.server.throttle(connection).unwrap_or_default();
    let parked = stream.ok().zip(meter).is_some_and(|(stream, meter)| {
        let parked = Parked { stream, credential, meter, throttle, tether, place };
        core.peers.registry.waiting().park(connection.id, parked)
    });
    if parked {
        spawn_local(follow(Rc::clone(shared), connection, fate));
    } else {
        core.forget_peer(connection);
    }
}

/// Tells the core what becomes of a connection.
async fn follow(shared: Rc<Shared>, connection: PeerConnection, mut fate: Fate) {
    while fate.bound().await {
        shared.core.borrow_mut().server.on_connection_bound(connection);
    }
    shared.core.borrow_mut().forget_peer(connection);
}

impl Core {
    fn forget_peer(&mut self, connection: PeerConnection) {
        self.server.on_connection_closed(connection);
        self.peers.leashes.remove(&connection);
    }

    /// Does what the core wants done after an input that came from no client.
    fn settle(&mut self, now: Now) {
        self.drive(|ports, server, side| ports.drain_effects(now, server, side));
    }
}
