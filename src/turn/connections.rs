//! The connections between one allocation and its peers, as a table (RFC 6062 section 3).

use super::accounts::Meter;
use super::address::ConnectionId;
use super::bandwidth::Pool;
use super::respond::{Asked, Signer};
use crate::base::Timestamp;
use std::net::SocketAddr;
use std::sync::Arc;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    /// As the client knows it.
    pub(super) peer: SocketAddr,
    pub(super) stage: Stage,
}

/// How far a connection has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// A Connect waits for its answer. One that has failed gets it at the deadline all the same.
    Connecting { request: Box<Unanswered>, deadline: Timestamp, failed: bool },
    /// It stands and waits for its ConnectionBind.
    Unbound { deadline: Timestamp },
    /// The client has come for it.
    Bound,
}

/// What the answer to a Connect must know of it.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) asked: Asked,
    pub(super) signer: Signer,
}

impl Connection {
    /// Whether the subject's places for connections in the making include this one.
    pub(super) fn is_pending(&self) -> bool {
        self.deadline().is_some()
    }

    fn deadline(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Connecting { deadline, .. } | Stage::Unbound { deadline } => Some(deadline),
            Stage::Bound => None,
        }
    }
}

/// At most [`super::Settings::CONNECTIONS_MAX`], in no order.
#[derive(Debug, Default)]
pub(super) struct Connections {
    all: Vec<Connection>,
    /// What all of them carry, those that are closed included.
    meter: Arc<Meter>,
    /// What they may relay together.
    pub(super) pool: Arc<Pool>,
}

impl Connections {
    pub(super) fn insert(&mut self, connection: Connection) {
        self.all.push(connection);
    }

    pub(super) fn by_id(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.all.iter_mut().find(|c| c.id == id)
    }

    pub(super) fn has_peer(&self, peer: SocketAddr) -> bool {
        self.all.iter().any(|c| c.peer == peer)
    }

    pub(super) fn has_id(&self, id: ConnectionId) -> bool {
        self.all.iter().any(|c| c.id == id)
    }

    pub(super) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// When the next answer or ConnectionBind is due.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.all.iter().filter_map(Connection::deadline).min()
    }

    /// Takes out what `is_over` names.
    pub(super) fn take(&mut self, is_over: impl Fn(&Connection) -> bool) -> Vec<Connection> {
        self.all.extract_if(.., |c| is_over(c)).collect()
    }

    /// Takes out what has waited long enough.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<Connection> {
        self.take(|c| c.deadline().is_some_and(|deadline| deadline <= now))
    }
}
