//! Connections to peers that wait for their clients (RFC 6062 section 5.4), which may come to any runtime.

use crate::auth::CredentialId;
use crate::turn::{ConnectionId, Meter, Throttle};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

/// Connections to peers of the whole daemon: being made, waiting and in use.
pub const PEER_CONNECTIONS_MAX: usize = 4096;

/// One of [`PEER_CONNECTIONS_MAX`] places; dropping it makes room.
#[derive(Debug)]
pub(super) struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// A connection to a peer. What the peer sends meanwhile waits in the kernel, which stops the peer when it
/// has enough.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) stream: TcpStream,
    /// Who may come for it.
    pub(super) credential: CredentialId,
    /// What limits its bytes.
    pub(super) throttle: Throttle,
    pub(super) tether: Tether,
    pub(super) place: Place,
    /// Where its bytes are counted for its allocation.
    pub(super) meter: Arc<Meter>,
}

/// The end of a connection that its bytes pass. Dropping it tells the runtime of the allocation that the
/// connection is gone.
#[derive(Debug)]
pub(super) struct Tether {
    bound: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
}

/// The end of a connection in the runtime of its allocation. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Leash(#[expect(dead_code, reason = "held for its drop")] oneshot::Sender<()>);

/// What becomes of a connection, for the runtime of its allocation.
#[derive(Debug)]
pub(super) struct Fate(watch::Receiver<bool>);

/// The two ends of a new connection.
pub(super) fn tether() -> (Tether, Leash, Fate) {
    let (bound, fate) = watch::channel(false);
    let (leash, ended) = oneshot::channel();
    (Tether { bound, ended }, Leash(leash), Fate(fate))
}

impl Tether {
    /// A client has come.
    pub(super) fn bind(&self) {
        self.bound.send_replace(true);
    }

    /// Returns when the allocation has let go of the connection.
    pub(super) async fn ended(&mut self) {
        let _dropped = (&mut self.ended).await;
    }
}

impl Fate {
    /// Waits for a client to come. `false`: the connection is gone.
    pub(super) async fn bound(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

/// All connections that wait, and all places.
#[derive(Debug)]
pub(super) struct Waiting {
    streams: Mutex<HashMap<ConnectionId, Parked>>,
    places: Arc<Semaphore>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { streams: Mutex::default(), places: Arc::new(Semaphore::new(PEER_CONNECTIONS_MAX)) }
    }
}

impl Waiting {
    /// Room for one more connection.
    pub(super) fn place(&self) -> Option<Place> {
        Arc::clone(&self.places).try_acquire_owned().ok().map(Place)
    }

    /// Lets a connection wait. `false`, when another runtime drew the same id: it is closed.
    pub(super) fn park(&self, id: ConnectionId, parked: Parked) -> bool {
        match self.streams().entry(id) {
            Entry::Occupied(_) => false,
            Entry::Vacant(free) => {
                free.insert(parked);
                true
            }
        }
    }

    /// Hands a connection to a client, if it may have it.
    pub(super) fn take(&self, id: ConnectionId, credential: CredentialId) -> Option<Parked> {
        let mut streams = self.streams();
        streams.get(&id).filter(|parked| parked.credential == credential)?;
        streams.remove(&id)
    }

    /// Closes what waits under this id.
    pub(super) fn close(&self, id: ConnectionId) {
        self.streams().remove(&id);
    }

    /// A panic of one runtime must not take the others along: the map is sound after each call.
    fn streams(&self) -> MutexGuard<'_, HashMap<ConnectionId, Parked>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
