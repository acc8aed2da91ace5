//! Doors for streams: where they listen and what they take.

use crate::base::Transport;
use crate::net::tcp;
use ipnet::IpNet;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

/// What TLS needs: a certificate and its key behind a resolver, so that both can change while this stays.
pub type Tls = Arc<rustls::ServerConfig>;

/// What one address takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamDoorSettings {
    /// Where.
    pub address: SocketAddr,
    /// TURN in the clear.
    pub tcp: bool,
    /// TURN and HTTP under TLS.
    pub tls: bool,
    /// Sources that begin each connection with a PROXY header; nobody else may.
    pub proxies: Vec<IpNet>,
}

impl StreamDoorSettings {
    /// Whether connections from `source` begin with a PROXY header.
    pub(super) fn is_proxy(&self, source: IpAddr) -> bool {
        self.proxies.iter().any(|net| net.contains(&source))
    }

    /// What it takes.
    pub fn transports(&self) -> impl Iterator<Item = Transport> {
        [(self.tcp, Transport::Tcp), (self.tls, Transport::Tls)]
            .into_iter()
            .filter(|(has, _)| *has)
            .map(|(_, t)| t)
    }
}

/// One runtime's socket of a door.
#[derive(Debug)]
pub struct StreamDoor {
    pub(super) listener: TcpListener,
    pub(super) settings: Arc<StreamDoorSettings>,
}

impl StreamDoor {
    /// What it takes, with the port that the system chose for port 0.
    pub fn settings(&self) -> &StreamDoorSettings {
        &self.settings
    }
}

/// How long a connection may take, and do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From the start, or the end of the TLS handshake, to the end of the first message, absolute and not per
    /// byte; and for each later message of a client without an allocation.
    pub message: Duration,
    /// For the TLS handshake, from its first byte.
    pub handshake: Duration,
    /// Without a message and without an allocation.
    pub idle: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            message: Duration::from_secs(10),
            handshake: Duration::from_secs(5),
            idle: Duration::from_secs(60),
        }
    }
}

/// Binds a door once for each of `runtimes`. Its port must be known: see [`tcp::probe`].
///
/// # Errors
/// As the kernel says.
pub fn bind_stream_doors(settings: &StreamDoorSettings, runtimes: usize) -> io::Result<Vec<StreamDoor>> {
    let settings = Arc::new(settings.clone());
    let bind =
        |_| Ok(StreamDoor { listener: tcp::listen(settings.address)?, settings: Arc::clone(&settings) });
    (0..runtimes).map(bind).collect()
}

/// Takes over listeners at the address of a door, one for each of `runtimes`, or one that all accept from.
///
/// # Errors
/// Out of file descriptors.
pub fn adopt_stream_doors(
    settings: &StreamDoorSettings,
    listeners: &[TcpListener],
    runtimes: usize,
) -> io::Result<Vec<StreamDoor>> {
    let settings = Arc::new(settings.clone());
    let adopt = |listener: &TcpListener| {
        Ok(StreamDoor { listener: listener.try_clone()?, settings: Arc::clone(&settings) })
    };
    listeners.iter().cycle().take(runtimes).map(adopt).collect()
}
