//! Opens and closes relay sockets as a core wants it, for whoever drives one.

use super::mailbox::Command;
use super::obey::Revokers;
use super::registry::Registry;
use super::socket::{Appetite, Losses};
use crate::auth::CredentialId;
use crate::base::{Family, Now, Timestamp};
use crate::metrics::port_early_reuse;
use crate::net::{UdpOptions, UdpSocket, tcp};
use crate::turn::{
    AllocationId, ClientAddr, Effect, Grant, Lease, OpenError, OpenRequest, Opened, OpenedRelay,
    PeerProtocol, PortParity, REPLY_BYTES_MAX, RelayId, Server, SessionEvent,
};
use crate::wire::stun::RequestedFamily;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

/// Ports that are tried when the kernel says that another process holds them.
const BIND_TRIES: usize = 16;

/// One bound relay port. `S`: the socket, as its driver watches it.
#[derive(Debug)]
pub(super) struct RelaySocket<S> {
    pub(super) id: RelayId,
    pub(super) socket: S,
    pub(super) losses: Losses,
    pub(super) appetite: Appetite,
}

/// What a driver of a core does for its relay ports.
pub(super) trait Driver {
    /// A watched socket; it is closed and no longer watched when it is dropped.
    type Socket;

    /// Watches a relay socket, whose place is `slot` from now on.
    fn watch(&mut self, slot: usize, socket: UdpSocket) -> io::Result<Self::Socket>;

    /// Sends `reply` to a client whose request had to wait for its ports.
    fn answer(&mut self, server: &mut Server, client: &ClientAddr, reply: &[u8]);

    /// Takes connections of peers in at a relayed address (RFC 6062), until [`Driver::unlisten`]. Where
    /// clients send datagrams, nobody has such an address, and the next two have nothing to do either.
    fn listen(&mut self, _relay: RelayId, _listener: TcpListener) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Closes a relayed address that takes connections in, if this is one.
    fn unlisten(&mut self, _relay: RelayId) {}

    /// Does what the core wants done about connections to peers.
    fn connections(&mut self, _server: &mut Server, _effect: Effect) {}
}

/// The relay ports of one core.
#[derive(Debug)]
pub(super) struct RelayPorts<S> {
    /// The driver's number in the registry.
    index: usize,
    registry: Arc<Registry>,
    options: UdpOptions,
    sockets: Vec<Option<RelaySocket<S>>>,
    waiting: Vec<Waiting>,
    pub(super) revokers: Revokers,
}

/// Allocations of one core that wait at once; one more gets 486.
pub(super) const WAITING_MAX: usize = 16;

/// How long one waits.
const WAITING_TIMEOUT: Duration = Duration::from_secs(1);

/// An allocation that waits until another core has looked for an idle predecessor.
#[derive(Debug)]
pub(super) struct Waiting {
    allocation: AllocationId,
    request: OpenRequest,
    credential: CredentialId,
    /// Cores that were not asked yet: one after another, so that one predecessor gives way, not one each.
    unasked: std::ops::Range<usize>,
    deadline: Timestamp,
}

impl<S> RelayPorts<S> {
    /// No ports yet. `index`: the driver's number in `registry`.
    pub(super) fn new(index: usize, registry: Arc<Registry>, options: UdpOptions) -> Self {
        Self {
            index,
            registry,
            options,
            sockets: Vec::new(),
            waiting: Vec::new(),
            revokers: Revokers::default(),
        }
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The socket in a place.
    pub(super) fn at(&mut self, slot: usize) -> Option<&mut RelaySocket<S>> {
        self.sockets.get_mut(slot)?.as_mut()
    }

    /// The socket of a relayed address.
    pub(super) fn find(&self, relay: RelayId) -> Option<&RelaySocket<S>> {
        self.sockets.get(slot_of(relay))?.as_ref().filter(|socket| socket.id == relay)
    }

    /// As [`RelayPorts::find`].
    pub(super) fn find_mut(&mut self, relay: RelayId) -> Option<&mut RelaySocket<S>> {
        self.sockets.get_mut(slot_of(relay))?.as_mut().filter(|socket| socket.id == relay)
    }

    /// Does what the core wants done; called after each input, before its reply is sent.
    pub(super) fn drain_effects(
        &mut self,
        now: Now,
        server: &mut Server,
        driver: &mut impl Driver<Socket = S>,
    ) {
        while let Some(effect) = server.next_effect() {
            match effect {
                Effect::Open { allocation, request } => self.open(now, server, driver, allocation, request),
                Effect::ClosePort { relay, internal } => {
                    driver.unlisten(relay);
                    if let Some(slot) = self.sockets.get_mut(slot_of(relay)) {
                        *slot = None;
                    }
                    self.registry.close_port(now.at, internal);
                }
                Effect::Ended(ended) => {
                    self.registry.end(&ended.session.subject);
                    self.tell(server, |_| Some(SessionEvent::Ended(ended)));
                }
                Effect::Connect { .. }
                | Effect::BindConnection { .. }
                | Effect::CloseConnection { .. }
                | Effect::Send { .. } => driver.connections(server, effect),
            }
        }
    }

    fn open(
        &mut self,
        now: Now,
        server: &mut Server,
        driver: &mut impl Driver<Socket = S>,
        allocation: AllocationId,
        request: OpenRequest,
    ) {
        let mut result = self.registry.open(now.at, &request);
        if result == Err(OpenError::Quota)
            && self.registry.is_one_too_many(&request)
            && let Some(credential) = server.credential_of(allocation)
        {
            if server.evict_idle(now, &request.subject, credential) {
                self.drain_effects(now, server, driver);
                result = self.registry.open(now.at, &request);
            } else if self.waiting.len() < WAITING_MAX {
                let (unasked, deadline) = (0..self.registry.drivers(), now.at.after(WAITING_TIMEOUT));
                let waiting = Waiting { allocation, request, credential, unasked, deadline };
                self.ask_next(now, server, driver, waiting);
                return;
            }
        }
        self.finish_open(now, server, driver, allocation, &request, result);
    }

    /// Asks the next core to end an idle allocation; without one the quota stands.
    fn ask_next(
        &mut self,
        now: Now,
        server: &mut Server,
        driver: &mut impl Driver<Socket = S>,
        mut waiting: Waiting,
    ) {
        while let Some(other) = waiting.unasked.next() {
            let (subject, credential) = (Arc::clone(&waiting.request.subject), waiting.credential);
            let ask =
                Command::EvictIdle { subject, credential, asker: self.index, allocation: waiting.allocation };
            if other != self.index && self.registry.post(other, ask) {
                self.waiting.push(waiting);
                return;
            }
        }
        let Waiting { allocation, request, .. } = waiting;
        self.finish_open(now, server, driver, allocation, &request, Err(OpenError::Quota));
    }

    /// Another core has ended an idle allocation, or found none.
    pub(super) fn on_eviction_tried(
        &mut self,
        now: Now,
        server: &mut Server,
        driver: &mut impl Driver<Socket = S>,
        allocation: AllocationId,
    ) {
        let Some(at) = self.waiting.iter().position(|w| w.allocation == allocation) else { return };
        let waiting = self.waiting.swap_remove(at);
        match self.registry.open(now.at, &waiting.request) {
            Err(OpenError::Quota) => self.ask_next(now, server, driver, waiting),
            result => self.finish_open(now, server, driver, allocation, &waiting.request, result),
        }
    }

    /// Driver `asker` needs room for `allocation`: ends an idle allocation of the same credential, and says so.
    pub(super) fn on_evict_idle(
        &mut self,
        now: Now,
        server: &mut Server,
        driver: &mut impl Driver<Socket = S>,
        (subject, credential): (&str, CredentialId),
        (asker, allocation): (usize, AllocationId),
    ) {
        server.evict_idle(now, subject, credential);
        self.drain_effects(now, server, driver);
        // The asker gives up by itself when this cannot be delivered.
        let _delivered = self.registry.post(asker, Command::EvictionTried { allocation });
    }

    /// When the first of those that wait has waited long enough.
    pub(super) fn waiting_deadline(&self) -> Option<Timestamp> {
        self.waiting.iter().map(|waiting| waiting.deadline).min()
    }

    /// Refuses those whose answer did not come in time.
    pub(super) fn give_up_waiting(
        &mut self,
        now: Now,
        server: &mut Server,
        driver: &mut impl Driver<Socket = S>,
    ) {
        while let Some(at) = self.waiting.iter().position(|waiting| waiting.deadline <= now.at) {
            let Waiting { allocation, request, .. } = self.waiting.swap_remove(at);
            self.finish_open(now, server, driver, allocation, &request, Err(OpenError::Quota));
        }
    }

    /// Forgets a request whose client is gone: no port was opened for it yet.
    pub(super) fn forget_waiting(&mut self, allocation: AllocationId) {
        self.waiting.retain(|waiting| waiting.allocation != allocation);
    }

    /// Binds what was granted, tells the core and sends its answer.
    fn finish_open(
        &mut self,
        now: Now,
        server: &mut Server,
        driver: &mut impl Driver<Socket = S>,
        allocation: AllocationId,
        request: &OpenRequest,
        granted: Result<Grant, OpenError>,
    ) {
        let opened = granted.and_then(|grant| self.bind(now, server, driver, allocation, request, grant));
        let mut reply = [0; REPLY_BYTES_MAX];
        if let Some(told) = server.on_opened(now, allocation, opened, &mut reply) {
            driver.answer(server, &told.client, &reply[..told.length]);
        }
        self.tell(server, |server| Some(SessionEvent::Started(Box::new(server.session(now, allocation)?))));
    }

    /// Binds the leased ports. A dual allocation may lose one family; a pair is tried with other ports;
    /// when nothing can be bound, all is given back.
    fn bind(
        &mut self,
        now: Now,
        server: &mut Server,
        driver: &mut impl Driver<Socket = S>,
        allocation: AllocationId,
        request: &OpenRequest,
        mut grant: Grant,
    ) -> Result<Opened, OpenError> {
        let total = grant.total.clone();
        for _ in 0..BIND_TRIES {
            let opened = self.bind_granted(now, server, driver, allocation, request, &grant);
            if opened.relays.iter().any(Option::is_some) {
                return Ok(Opened { total, ..opened });
            }
            let Some(token) = grant.reservation else { break };
            self.registry.cancel_reservation(now.at, token);
            match self.registry.lease_again(now.at, request) {
                Ok(other) => grant = other,
                Err(_) => break,
            }
        }
        if let Some(token) = grant.reservation {
            self.registry.cancel_reservation(now.at, token);
        }
        self.registry.end(&request.subject);
        Err(OpenError::NoPort)
    }

    fn bind_granted(
        &mut self,
        now: Now,
        server: &mut Server,
        driver: &mut impl Driver<Socket = S>,
        allocation: AllocationId,
        request: &OpenRequest,
        grant: &Grant,
    ) -> Opened {
        let mut opened = Opened {
            reservation: grant.reservation,
            missing: grant.missing.map(|(family, error)| missing(family, error)),
            ..Opened::default()
        };
        for family in Family::ALL {
            let Some(lease) = grant.leases[family as usize] else { continue };
            let relay = RelayId { allocation, family };
            match self.bind_one(now, server, driver, relay, request, lease) {
                Some(bound) => opened.relays[family as usize] = Some(bound),
                None => opened.missing = Some(missing(family, OpenError::NoPort)),
            }
        }
        opened
    }

    /// Binds one lease, or another port in its place where the client does not need this very one.
    fn bind_one(
        &mut self,
        now: Now,
        server: &mut Server,
        driver: &mut impl Driver<Socket = S>,
        relay: RelayId,
        request: &OpenRequest,
        mut lease: Lease,
    ) -> Option<OpenedRelay> {
        let exchangeable = request.token.is_none() && request.parity != PortParity::EvenAndReserveNext;
        let even = request.parity == PortParity::Even;
        for _ in 0..BIND_TRIES {
            let socket = match lease.protocol {
                PeerProtocol::Udp => {
                    UdpSocket::relay(lease.internal.ip(), lease.internal.port(), self.options).map(Bound::Udp)
                }
                PeerProtocol::Tcp => tcp::listen_relay(lease.internal).map(Bound::Tcp),
            };
            match socket {
                Ok(socket) => return self.install(now, server, driver, relay, lease, socket),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && exchangeable => {
                    match self.registry.exchange(now.at, lease, even) {
                        Some(other) => lease = other,
                        None => break,
                    }
                }
                Err(_) => break,
            }
        }
        self.registry.close_port(now.at, lease.internal);
        None
    }

    fn install(
        &mut self,
        now: Now,
        server: &mut Server,
        driver: &mut impl Driver<Socket = S>,
        relay: RelayId,
        lease: Lease,
        socket: Bound,
    ) -> Option<OpenedRelay> {
        let watched = match socket {
            Bound::Udp(socket) => self.watch(driver, relay, socket),
            Bound::Tcp(listener) => driver.listen(relay, listener),
        };
        if watched.is_err() {
            self.registry.close_port(now.at, lease.internal);
            return None;
        }
        self.registry.bound(&lease);
        if lease.early {
            server.counters().increment(port_early_reuse());
        }
        Some(OpenedRelay { internal: lease.internal, external: lease.external })
    }

    fn watch(
        &mut self,
        driver: &mut impl Driver<Socket = S>,
        relay: RelayId,
        socket: UdpSocket,
    ) -> io::Result<()> {
        let slot = slot_of(relay);
        let socket = driver.watch(slot, socket)?;
        if slot >= self.sockets.len() {
            self.sockets.resize_with(slot + 1, || None);
        }
        let (losses, appetite) = (Losses::default(), Appetite::default());
        self.sockets[slot] = Some(RelaySocket { id: relay, socket, losses, appetite });
        Ok(())
    }
}

/// A relayed address before anybody watches it.
enum Bound {
    Udp(UdpSocket),
    Tcp(TcpListener),
}

/// Two places for each allocation, one per family.
fn slot_of(relay: RelayId) -> usize {
    relay.allocation.index as usize * 2 + relay.family as usize
}

/// Tokens below are doors.
const RELAY_TOKENS: u64 = 1 << 32;

pub(super) fn relay_token(slot: usize) -> u64 {
    RELAY_TOKENS + slot as u64
}

/// The relay slot of a poller token, or the door as `Err`.
pub(super) fn place_of(token: u64) -> Result<usize, usize> {
    match token.checked_sub(RELAY_TOKENS) {
        Some(slot) => Ok(slot as usize),
        None => Err(token as usize),
    }
}

fn missing(family: Family, error: OpenError) -> (RequestedFamily, u16) {
    let family = match family {
        Family::V4 => RequestedFamily::V4,
        Family::V6 => RequestedFamily::V6,
    };
    (family, error.reject().code())
}
