//! What goes into the table of sessions, and what comes out.

use super::session::Lost;
use crate::wire::dtls::HELLO_VERIFY_REQUEST_BYTES;
use std::net::SocketAddr;

/// The two ends of a session, and the driver's number of the listener between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// Which listener.
    pub door: u32,
    /// The own address that the client sends to.
    pub local: SocketAddr,
    /// The client.
    pub remote: SocketAddr,
}

/// Names a session. The number is not used again before 2^32 others were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u32);

/// What the table asks its driver.
pub trait Host {
    /// Whether the client of this session has an allocation, which spares it.
    fn has_allocation(&self, id: SessionId) -> bool;

    /// Whether a client whose address is proven may begin a session.
    fn admit(&mut self, path: &Path) -> bool;
}

/// What a datagram was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// A hello of an unproven address: send it this, if the budget for strangers allows.
    Answer(Answer),
    /// Something for this session: poll it.
    Session(SessionId),
    /// Nothing: dropped.
    Refused(Refusal),
}

/// An answer without state: fewer bytes than it was asked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    bytes: [u8; HELLO_VERIFY_REQUEST_BYTES],
    length: usize,
}

impl Answer {
    pub(super) fn new(answer: &[u8]) -> Self {
        let mut bytes = [0; HELLO_VERIFY_REQUEST_BYTES];
        let length = answer.len().min(bytes.len());
        bytes[..length].copy_from_slice(&answer[..length]);
        Self { bytes, length }
    }

    /// The datagram.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Neither a hello nor of any session.
    NoSession,
    /// Larger than a client of this session has reason to send.
    TooBig,
    /// All sessions are in use by clients with allocations.
    Full,
    /// The driver admits no more sessions of this client.
    NotAdmitted,
    /// A hello that no session can begin with.
    BadHello,
}

/// What the driver does for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send the first `length` bytes of the buffer along the path.
    Send {
        /// From where to whom.
        path: Path,
        /// Bytes.
        length: usize,
    },
    /// The client said the first `length` bytes of the buffer.
    Plain {
        /// From where to whom.
        path: Path,
        /// Bytes.
        length: usize,
    },
    /// The handshake is done.
    Connected,
}

/// A session that is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its name.
    pub id: SessionId,
    /// Its ends.
    pub path: Path,
    /// Whether its handshake was done.
    pub connected: bool,
    /// Why.
    pub reason: EndReason,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// One side closed it with an alert.
    Closed,
    /// Nothing came over it for [`super::Limits::IDLE`], and it had no allocation.
    Idle,
    /// A broken handshake, or a fatal alert.
    Failed,
    /// The handshake was not done within [`super::Limits::HANDSHAKE`].
    TimedOut,
    /// The client began anew from the same port (RFC 6347 section 4.2.8).
    Replaced,
    /// It was in the way of a new one: the oldest half-open, or the one idle for longest.
    Evicted,
}

impl From<Lost> for EndReason {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Failed => Self::Failed,
            Lost::TimedOut => Self::TimedOut,
        }
    }
}
