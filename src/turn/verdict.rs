//! What the core answers to an input, and what it wants done.

use super::{
    AllocationId, ClientAddr, ConnectionId, Ended, OpenRequest, PeerConnection, RelayId, SubjectTotal,
};
use crate::auth::CredentialId;
use crate::metrics::Dropped;
use crate::wire::stun::RequestedFamily;
use std::net::SocketAddr;
use std::ops::Range;

/// What to do with the datagram that was handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to send now; effects may wait.
    Nothing,
    /// Dropped in silence, and counted.
    Dropped(Dropped),
    /// The first `length` bytes of the reply buffer go back to the sender.
    Reply {
        /// Bytes.
        length: usize,
    },
    /// The same, but from another door or to another port: as to this client (RFC 5780 section 6.1).
    ReplyVia(Reply),
    /// Part of the received datagram goes to a peer.
    ToPeer {
        /// Through this relay socket.
        relay: RelayId,
        /// To this address (already the internal one when the peer is an own relay behind 1:1 NAT).
        peer: SocketAddr,
        /// These bytes of the datagram, possibly none.
        payload: Range<usize>,
        /// Set the DF bit (RFC 8656 section 14).
        dont_fragment: bool,
    },
    /// The whole received datagram goes to a client.
    ToClient {
        /// Whom.
        client: ClientAddr,
        /// Goes in front of the payload.
        header: Header,
        /// Zero bytes that go behind it, 0 to 3.
        padding: u8,
    },
}

/// What the driver must do; drained after each input and before its reply is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Take ports and quota from the ledger, bind, and call [`super::Server::on_opened`].
    Open {
        /// For this allocation.
        allocation: AllocationId,
        /// What the client wants.
        request: OpenRequest,
    },
    /// Close a relay socket and give its port back.
    ClosePort {
        /// Which.
        relay: RelayId,
        /// Its bound address.
        internal: SocketAddr,
    },
    /// Connect to a peer from a relayed address (RFC 6062 section 5.2), keep what it sends, and call
    /// [`super::Server::on_connected`] when it is clear how that went.
    Connect {
        /// For this connection.
        connection: PeerConnection,
        /// From where the relayed address is bound.
        local: SocketAddr,
        /// To this address (already the internal one when the peer is an own relay behind 1:1 NAT).
        peer: SocketAddr,
        /// Who may come for it.
        credential: CredentialId,
    },
    /// A client comes for a connection to a peer, made by any server (RFC 6062 section 5.4): tie both
    /// together if it is there, was made with this credential and is not taken. Call
    /// [`super::Server::on_bound`] before the next input.
    BindConnection {
        /// Who comes; nothing else arrives from there any more.
        client: ClientAddr,
        /// For which.
        connection: ConnectionId,
        /// With which credential.
        credential: CredentialId,
    },
    /// Close a connection to a peer, whether it is being made, waits or is bound, and the one of the
    /// client that it is bound to.
    CloseConnection {
        /// Which.
        connection: PeerConnection,
    },
    /// Send a message to a client whose connection stands.
    Send {
        /// Whom.
        client: ClientAddr,
        /// What.
        message: Box<[u8]>,
    },
    /// The allocation is gone: give its quota back.
    Ended(Box<Ended>),
}

/// What the driver opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Bound and advertised addresses, by family; one at least.
    pub relays: [Option<OpenedRelay>; 2],
    /// Token of the reserved next port.
    pub reservation: Option<[u8; 8]>,
    /// The family of a dual request that could not be had, and its code.
    pub missing: Option<(RequestedFamily, u16)>,
    /// The subject's allocations on all servers, this one included.
    pub total: SubjectTotal,
}

/// One bound relay port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenedRelay {
    /// Where the socket is bound.
    pub internal: SocketAddr,
    /// What peers see.
    pub external: SocketAddr,
}

/// A reply for a client, not for the sender of the input, or not by the way that the input came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Whom.
    pub client: ClientAddr,
    /// The first bytes of the reply buffer.
    pub length: usize,
}

/// Up to 48 bytes in front of relayed payload: a channel header, or a Data indication up to its data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Header {
    bytes: [u8; Self::CAPACITY],
    length: u8,
}

impl Header {
    /// A Data indication with an IPv6 peer: 20 + 24 + 4.
    pub const CAPACITY: usize = 48;

    /// The header of ChannelData.
    pub(super) fn channel(header: [u8; 4]) -> Self {
        let mut bytes = [0; Self::CAPACITY];
        bytes[..4].copy_from_slice(&header);
        Self { bytes, length: 4 }
    }

    /// Filled by `write`, which returns how many bytes it wrote, `None` when they did not fit.
    pub(super) fn written(write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<Self> {
        let mut bytes = [0; Self::CAPACITY];
        let length = write(&mut bytes)?;
        Some(Self { bytes, length: length.min(Self::CAPACITY) as u8 })
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Header({:02x?})", self.as_slice())
    }
}
