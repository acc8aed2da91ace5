//! Why the daemon does not start: one line that names the config key and what to do.

use crate::config::{Unfit, Unservable};
use crate::http::api::Fault;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// Stops the daemon before it serves; the process ends with 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError {
    /// The config key at fault, as in the file.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub help: String,
}

impl StartError {
    /// From its three parts.
    pub fn new(key: impl Into<String>, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { key: key.into(), what: what.into(), help: help.into() }
    }

    /// A listener that cannot be bound.
    pub fn bind(key: &str, address: SocketAddr, error: &io::Error) -> Self {
        let (what, help) = match error.kind() {
            io::ErrorKind::AddrInUse => (
                format!("{address} is in use by another process"),
                format!("stop that process (`ss -lnp 'sport = :{}'` shows it) or choose another port", address.port()),
            ),
            io::ErrorKind::AddrNotAvailable => (
                format!("{} is not an address of this host", address.ip()),
                "use an address that `ip address` shows, or 0.0.0.0 for all of them".into(),
            ),
            io::ErrorKind::PermissionDenied => (
                format!("no permission to bind {address}"),
                "ports below 1024 need CAP_NET_BIND_SERVICE (the systemd unit grants it) or a socket unit with this address, \
                 or choose a higher port"
                    .into(),
            ),
            _ => (format!("cannot bind {address}: {error}"), "see the error of the system".into()),
        };
        Self::new(key, what, help)
    }

    /// A resource of the system that is not to be had.
    pub fn system(what: &str, error: &io::Error) -> Self {
        Self::new("system", format!("{what}: {error}"), "check the limits of the process (`ulimit -n`)")
    }
}

impl From<StartError> for Fault {
    fn from(error: StartError) -> Self {
        Self { at: error.key, message: error.what, help: error.help }
    }
}

impl From<Unfit> for StartError {
    fn from(unfit: Unfit) -> Self {
        Self::new(unfit.key, unfit.what, unfit.help)
    }
}

impl From<Unservable> for StartError {
    fn from(error: Unservable) -> Self {
        Self::new(error.key, error.what, error.help)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.key, self.what, self.help)
    }
}

impl std::error::Error for StartError {}
