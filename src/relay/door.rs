//! UDP listeners: one socket per door and shard on the same port.

use super::socket::{Appetite, Losses};
use crate::net::{UdpOptions, UdpSocket};
use socket2::Socket;
use std::io;
use std::net::{IpAddr, SocketAddr};

/// One shard's socket of a listener.
#[derive(Debug)]
pub struct Door {
    pub(super) socket: UdpSocket,
    pub(super) address: SocketAddr,
    pub(super) losses: Losses,
    pub(super) appetite: Appetite,
}

impl Door {
    fn new(socket: UdpSocket, address: SocketAddr) -> Self {
        Self { socket, address, losses: Losses::default(), appetite: Appetite::default() }
    }

    /// The address that it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address to send replies from: only a wildcard socket must be told.
    pub(super) fn source(&self, local: IpAddr) -> Option<IpAddr> {
        self.address.ip().is_unspecified().then_some(local)
    }
}

/// Finds out whether `address` can be bound and is nobody's. Returns it, with the port that the system
/// chose for port 0.
///
/// # Errors
/// As the kernel says; `AddrInUse` also when another process would share its port as we do, since half
/// of the clients would then be its.
pub fn probe_door(address: SocketAddr) -> io::Result<SocketAddr> {
    // A socket that shares nothing tells; it is closed again at once.
    UdpSocket::relay(address.ip(), address.port(), UdpOptions::default())?.local_addr()
}

/// Binds `address`, whose port is known, once for each of `shards`.
///
/// # Errors
/// As the kernel says.
pub fn bind_doors(address: SocketAddr, shards: usize, options: UdpOptions) -> io::Result<Vec<Door>> {
    let bind = |_| Ok(Door::new(UdpSocket::listener(address, options)?, address));
    (0..shards).map(bind).collect()
}

/// Takes over sockets on `address` that somebody else has bound, one for each shard.
///
/// # Errors
/// As [`UdpSocket::adopt`].
pub fn adopt_doors(address: SocketAddr, sockets: Vec<Socket>, options: UdpOptions) -> io::Result<Vec<Door>> {
    let adopt = |socket| Ok(Door::new(UdpSocket::adopt(socket, address, options)?, address));
    sockets.into_iter().map(adopt).collect()
}
