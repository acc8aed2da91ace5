//! TCP relaying (RFC 6062): Connect, ConnectionBind, and connections that peers make.
//!
//! ```text
//! Connect ------> Connecting --on_connected--> Unbound --on_connection_bound--> Bound
//!                  | 30 s: 447                  ^   | 30 s: closed               |
//! on_peer_connection ---------------------------+   |                            |
//!                  +--------------------------------+-- on_connection_closed, ---+
//!                                                       or the allocation ends
//! ```
//! The bytes of a bound connection never pass through here.

use super::accounts::Meter;
use super::address::{AllocationId, ClientAddr, ConnectionId, PeerConnection, PeerProtocol, RelayId, plain};
use super::allocation::{Allocation, Relay, Slot};
use super::authenticate::Requester;
use super::connections::{Connection, Stage, Unanswered};
use super::error::Reject;
use super::peer_path::PeerPath;
use super::permission::single_peer;
use super::request::Request;
use super::respond::{Asked, Body, REPLY_BYTES_MAX, Signer};
use super::server::{Outcome, Server};
use super::settings::Settings;
use super::verdict::{Effect, Reply};
use crate::auth::CredentialId;
use crate::base::Now;
use crate::metrics::{PeerConnection as Became, peer_connections, peer_denied};
use crate::wire::stun::{AttributeType, Class, MessageWriter, Method, TransactionId, attribute};
use std::net::SocketAddr;
use std::sync::Arc;

/// A ConnectionBind that the driver looks into.
#[derive(Debug)]
pub(super) struct Binding {
    client: ClientAddr,
    asked: Asked,
    signer: Signer,
}

impl Server {
    /// Connect (RFC 6062 section 5.2): the answer follows when the connection stands, or fails.
    ///
    /// It wants no permission and makes none, since the client names the very peer.
    pub(super) fn connect(
        &mut self,
        now: Now,
        index: usize,
        signer: &Signer,
        request: &Request<'_>,
    ) -> Result<(), Reject> {
        if self.allocations[index].live().tcp.is_none() {
            return Err(Reject::Forbidden);
        }
        let peer = single_peer(request)?;
        if peer.port() == 0 {
            return Err(Reject::BadRequest);
        }
        let local = self.check_family(now, index, peer.ip())?.internal;
        self.check_peer(PeerPath::Connect, peer)?;
        self.check_connectable(index, peer)?;
        self.take_connection(now, index, true)?;

        let connection = Connection {
            id: self.new_connection_id(index),
            peer,
            stage: Stage::Connecting {
                request: Box::new(Unanswered { asked: request.asked(), signer: signer.clone() }),
                deadline: now.at.after(Settings::CONNECT_TIMEOUT),
                failed: false,
            },
        };
        let (connection, credential) = self.insert_connection(index, connection);
        let peer = self.policy.to_internal(PeerProtocol::Tcp, peer);
        self.effects.push_back(Effect::Connect { connection, local, peer, credential });
        Ok(())
    }

    /// The driver's answer to [`Effect::Connect`]. Returns whether it shall keep the connection, for a
    /// ConnectionBind to come; its id must be known to all drivers before the effects are drained.
    pub fn on_connected(&mut self, now: Now, connection: PeerConnection, connected: bool) -> bool {
        let Some(entry) = self.connection(connection) else { return false };
        let Stage::Connecting { failed, deadline, .. } = &mut entry.stage else { return true };
        // A success that comes too late is a failure like all others.
        if !connected || *deadline <= now.at {
            *failed = true;
            return false;
        }
        let unbound = Stage::Unbound { deadline: now.at.after(Settings::BIND_TIMEOUT) };
        let stage = std::mem::replace(&mut entry.stage, unbound);
        self.counters.increment(peer_connections(Became::Connected));
        let index = connection.allocation.index as usize;
        if let Stage::Connecting { request, .. } = stage {
            self.tell(index, &request, &Body::Connected(connection.id));
        }
        self.reschedule(index);
        true
    }

    /// A peer at `from`, as the kernel saw it, has connected to a relayed address (RFC 6062 section 5.3).
    ///
    /// Returns how it is called and who may come for it; its id must be known to all drivers before the
    /// effects are drained. `None`: close it at once.
    pub fn on_peer_connection(
        &mut self,
        now: Now,
        relay: RelayId,
        from: SocketAddr,
    ) -> Option<(PeerConnection, CredentialId)> {
        let peer = self.policy.to_external(PeerProtocol::Tcp, plain(from));
        let Some(index) = self.permitted(now, relay, peer) else {
            self.counters.increment(peer_connections(Became::Refused));
            return None;
        };
        self.take_connection(now, index, false).ok()?;
        let id = self.new_connection_id(index);
        let stage = Stage::Unbound { deadline: now.at.after(Settings::BIND_TIMEOUT) };
        let accepted = self.insert_connection(index, Connection { id, peer, stage });
        self.counters.increment(peer_connections(Became::Accepted));
        let message = connection_attempt(TransactionId(self.random.bytes()), id, peer)?;
        let client = self.allocations[index].live().client;
        self.effects.push_back(Effect::Send { client, message });
        Some(accepted)
    }

    /// ConnectionBind (RFC 6062 section 5.4), on a connection that has no allocation of its own. Its
    /// credential must be that of the allocation, which may live in another server: the driver knows.
    pub(super) fn connection_bind(
        &mut self,
        from: &ClientAddr,
        requester: Requester,
        signer: Signer,
        request: &Request<'_>,
    ) -> Outcome {
        let Requester::Newcomer(identity) = requester else {
            return Outcome::rejected(Reject::BadRequest, Some(signer));
        };
        let id = request.connection_id.and_then(|value| attribute::decode_connection_id(value).ok());
        let Some(id) = id.filter(|_| from.transport.is_stream()) else {
            return Outcome::rejected(Reject::BadRequest, Some(signer));
        };
        self.binding = Some(Binding { client: *from, asked: request.asked(), signer });
        self.effects.push_back(Effect::BindConnection {
            client: *from,
            connection: ConnectionId(id),
            credential: identity.credential,
        });
        Outcome::Pending
    }

    /// The driver's answer to [`Effect::BindConnection`]: whether it has the connection, which is this
    /// client's from now on. Writes the response into `reply`.
    pub fn on_bound(&mut self, bound: bool, reply: &mut [u8]) -> Option<Reply> {
        let Binding { client, asked, signer } = self.binding.take()?;
        let body = if bound { Body::Done } else { Body::Rejected(Reject::BadRequest) };
        let length = self.respond(&asked, &body, None, Some(&signer), reply)?;
        Some(Reply { client, length })
    }

    /// A client has come for a connection of this server, here or elsewhere.
    pub fn on_connection_bound(&mut self, connection: PeerConnection) {
        let Some(entry) = self.connection(connection) else { return };
        if let Stage::Unbound { .. } = entry.stage {
            entry.stage = Stage::Bound;
            let subject = self.allocations[connection.allocation.index as usize].live().subject;
            self.subjects.release_pending(subject, 1);
        }
    }

    /// A connection that stood is gone: the peer or the client closed it (RFC 6062 section 5.5).
    pub fn on_connection_closed(&mut self, connection: PeerConnection) {
        let Some(index) = self.index_of(connection.allocation) else { return };
        let allocation = self.allocations[index].live_mut();
        let Some(tcp) = &mut allocation.tcp else { return };
        let gone = tcp.take(|c| c.id == connection.id);
        let (subject, pending) = (allocation.subject, pending(&gone));
        self.subjects.release_pending(subject, pending);
    }

    /// Ends the connections of an allocation whose peer `is_over` names.
    pub(super) fn close_connections(&mut self, index: usize, is_over: impl Fn(SocketAddr) -> bool) {
        let Some(tcp) = &mut self.allocations[index].live_mut().tcp else { return };
        let closed = tcp.take(|c| is_over(c.peer));
        self.give_up(index, closed);
    }

    /// Answers the Connects that were not carried out in time, and closes what nobody came for.
    pub(super) fn expire_connections(&mut self, now: Now, index: usize) {
        let Some(Slot::Live(allocation)) = self.allocations.get_mut(index) else { return };
        let Some(tcp) = &mut allocation.tcp else { return };
        let due = tcp.take_due(now.at);
        self.give_up(index, due);
    }

    /// Ends connections that were taken out of the table: every Connect gets an answer.
    pub(super) fn give_up(&mut self, index: usize, connections: Vec<Connection>) {
        let allocation = self.allocations[index].live();
        let (id, subject) = (allocation.id(index), allocation.subject);
        self.subjects.release_pending(subject, pending(&connections));
        for connection in connections {
            let mut stands = true;
            match connection.stage {
                Stage::Connecting { request, failed, .. } => {
                    stands = !failed;
                    self.counters.increment(peer_connections(Became::Failed));
                    self.tell(index, &request, &Body::Rejected(Reject::ConnectionFailed));
                }
                Stage::Unbound { .. } => self.counters.increment(peer_connections(Became::Unbound)),
                Stage::Bound => {}
            }
            if stands {
                let connection = PeerConnection { allocation: id, id: connection.id };
                self.effects.push_back(Effect::CloseConnection { connection });
            }
        }
    }

    /// The allocation that takes connections of `peer` on this relayed address, by permission and policy.
    fn permitted(&mut self, now: Now, relay: RelayId, peer: SocketAddr) -> Option<usize> {
        let index = self.index_of(relay.allocation)?;
        let allocation = self.allocations[index].live();
        allocation.relay(now.at, relay.family).and(allocation.tcp.as_ref())?;
        allocation.permissions.until(now.at, peer.ip())?;
        if let Err(rule) = self.policy.admit(PeerPath::InboundConnection, peer) {
            self.counters.increment(peer_denied(rule));
            return None;
        }
        Some(index)
    }

    /// 446 for a peer that has a connection; a relayed address does not connect to itself.
    fn check_connectable(&self, index: usize, peer: SocketAddr) -> Result<(), Reject> {
        let allocation = self.allocations[index].live();
        let own = |relay: &Relay| [relay.address.internal, relay.address.external];
        if allocation.relays.iter().flatten().flat_map(own).any(|own| own == peer) {
            return Err(Reject::Forbidden);
        }
        match &allocation.tcp {
            Some(tcp) if tcp.has_peer(peer) => Err(Reject::ConnectionExists),
            _ => Ok(()),
        }
    }

    /// Takes room for one more connection, in the allocation and among what its subject has pending.
    /// `new_peer`: the client chose the peer just now, which its subject's rate of new peers limits.
    fn take_connection(&mut self, now: Now, index: usize, new_peer: bool) -> Result<(), Reject> {
        let allocation = self.allocations[index].live();
        let has_room = allocation.tcp.as_ref().is_some_and(|tcp| tcp.len() < Settings::CONNECTIONS_MAX)
            && (!new_peer || self.subjects.take_peers(now, &self.settings, allocation.subject, 1))
            && self.subjects.take_pending(allocation.subject);
        if !has_room {
            self.counters.increment(peer_connections(Became::Full));
        }
        has_room.then_some(()).ok_or(Reject::InsufficientCapacity)
    }

    fn insert_connection(&mut self, index: usize, connection: Connection) -> (PeerConnection, CredentialId) {
        let allocation = self.allocations[index].live_mut();
        let name = PeerConnection { allocation: allocation.id(index), id: connection.id };
        let credential = allocation.identity.credential;
        allocation.tcp.get_or_insert_default().insert(connection);
        self.reschedule(index);
        (name, credential)
    }

    /// RFC 6062 section 5.2: unique. Unpredictable too, although a stranger's ConnectionBind is refused.
    fn new_connection_id(&mut self, index: usize) -> ConnectionId {
        let tcp = self.allocations[index].live().tcp.as_deref();
        loop {
            let id = ConnectionId(u32::from_be_bytes(self.random.bytes()));
            if !tcp.is_some_and(|tcp| tcp.has_id(id)) {
                return id;
            }
        }
    }

    fn connection(&mut self, connection: PeerConnection) -> Option<&mut Connection> {
        let index = self.index_of(connection.allocation)?;
        self.allocations[index].live_mut().tcp.as_mut()?.by_id(connection.id)
    }

    /// Where whoever has the bytes of a connection of this allocation counts them.
    pub fn meter(&self, id: AllocationId) -> Option<Arc<Meter>> {
        let tcp = self.allocations[self.index_of(id)?].live().tcp.as_ref()?;
        Some(Arc::clone(tcp.meter()))
    }

    pub(super) fn index_of(&self, id: AllocationId) -> Option<usize> {
        let index = id.index as usize;
        let is_it = |allocation: &Allocation| allocation.generation == id.generation;
        matches!(self.allocations.get(index)?, Slot::Live(allocation) if is_it(allocation)).then_some(index)
    }

    /// Sends the client of an allocation an answer that it has waited for.
    fn tell(&mut self, index: usize, Unanswered { asked, signer }: &Unanswered, body: &Body) {
        let client = self.allocations[index].live().client;
        let mut reply = [0; REPLY_BYTES_MAX];
        if let Some(length) = self.respond(asked, body, None, Some(signer), &mut reply) {
            self.effects.push_back(Effect::Send { client, message: reply[..length].into() });
        }
    }
}

fn pending(connections: &[Connection]) -> u32 {
    connections.iter().filter(|c| c.is_pending()).count() as u32
}

/// The ConnectionAttempt indication (RFC 6062 section 5.3), without integrity like all indications.
fn connection_attempt(transaction: TransactionId, id: ConnectionId, peer: SocketAddr) -> Option<Box<[u8]>> {
    let mut buffer = [0; REPLY_BYTES_MAX];
    let mut writer =
        MessageWriter::new(&mut buffer, Class::Indication, Method::CONNECTION_ATTEMPT, transaction);
    writer.u32(AttributeType::CONNECTION_ID, id.0);
    writer.xor_address(AttributeType::XOR_PEER_ADDRESS, peer);
    let length = writer.finish()?;
    Some(buffer[..length].into())
}
