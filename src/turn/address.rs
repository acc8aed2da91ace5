//! Roles of addresses as types, so that they cannot be swapped.

use crate::base::{Family, Transport};
use std::net::{IpAddr, SocketAddr};

/// One end of a client's 5-tuple and how to answer it (RFC 8656 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddr {
    /// Where the client sends from.
    pub remote: SocketAddr,
    /// The own address and port that it sent to: replies leave from there.
    pub local: SocketAddr,
    /// How.
    pub transport: Transport,
    /// The driver's number of the listener; on TCP, TLS and DTLS that of the connection.
    pub door: u32,
}

impl ClientAddr {
    pub(super) fn five_tuple(&self) -> FiveTuple {
        // A connection is its own 5-tuple, whatever a proxy in front of it claims.
        let ports = if self.transport == Transport::Udp {
            u64::from(self.remote.port()) << 16 | u64::from(self.local.port())
        } else {
            u64::from(self.door)
        };
        FiveTuple {
            remote: bits(self.remote.ip()),
            local: bits(self.local.ip()),
            rest: ports << 16 | u64::from(self.remote.is_ipv6()) << 8 | self.transport as u64,
        }
    }
}

/// A 5-tuple packed for hashing: an IPv4 address is its number, the family is in `rest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FiveTuple {
    remote: u128,
    local: u128,
    rest: u64,
}

/// Transport between server and peers (RFC 8656 section 18.8), one for all addresses of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerProtocol {
    /// Datagrams.
    Udp,
    /// Connections (RFC 6062).
    Tcp,
}

/// CONNECTION-ID: names a connection to a peer among those of the whole daemon (RFC 6062 section 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

/// A connection to a peer, for the server whose allocation it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerConnection {
    /// Whose.
    pub allocation: AllocationId,
    /// Which.
    pub id: ConnectionId,
}

/// Names an allocation of one server; the next user of its place has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AllocationId {
    /// Place in the server's table, reused after the allocation ended.
    pub index: u32,
    /// Tells the users of one place apart.
    pub generation: u32,
}

/// Names one relay socket: an allocation has one, or one per family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayId {
    /// Whose.
    pub allocation: AllocationId,
    /// Which.
    pub family: Family,
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

/// The address without scope and flow label, which would make equal peers differ.
pub(super) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}
