//! Rank 5: what the daemon says over HTTP. Every connection is bounded in number, in header bytes and in time.
//!
//! The admin side (health, readiness, metrics) is plain HTTP/1.1 on a listener that is meant for loopback. It reads
//! published copies only, so it never waits for a worker and no worker ever waits for it, and a request must name us
//! by an allowed `Host`. The public side is there for everybody and is the way into signaling, in the clear and on
//! every `tls` door.

mod admin;
pub mod api;
mod exposition;
mod host;
mod key_sets;
mod pages;
mod problem;
mod process;
mod public;
mod requests;
mod server;
pub mod signaling;
mod socket;
#[cfg(test)]
mod testing;
mod web_client;

pub use admin::serve_admin;
pub use key_sets::{BadUrl, KeySetUrl, KeySets, KeySource, Pace, TokenSettings};
pub use public::{
    Origins, PublicRefusals, PublicSettings, ROUTES, SignalingRules, TokenPlaces, request_bytes_max,
    serve_fixture,
};
pub(crate) use public::{Public, serve_public};
pub use socket::serve_socket;
pub use web_client::{WebClient, WebError};

use crate::metrics::Published;
use crate::storage::Health;
use crate::turn::Bandwidth;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// Checked settings of the admin listener (`http.admin`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// Where to listen.
    pub address: SocketAddr,
    /// Names allowed in `Host` besides IP literals and `localhost`, without port.
    pub allowed_hosts: Vec<String>,
}

impl AdminSettings {
    /// Binds the listener for [`serve_admin`], early, so that a taken port stops the start.
    ///
    /// # Errors
    /// Those of `bind` and `listen`: taken, not on this host, not permitted.
    pub fn bind(&self) -> io::Result<TcpListener> {
        TcpListener::bind(self.address)
    }
}

/// What the admin side reads from the daemon. Every method answers at once: no lock that a worker
/// holds, no question to a worker.
pub trait Sources: Send + Sync + 'static {
    /// Published counters, one per relay worker, in worker order.
    fn shards(&self) -> &[Arc<Published>];
    /// Published counters of the signaling thread; `None` while there is none.
    fn signaling(&self) -> Option<&Arc<Published>>;
    /// Relay ports by state; they add up to the pool.
    fn relay_ports(&self) -> PortCounts;
    /// The limits of bandwidth in force.
    fn bandwidth(&self) -> Bandwidth;
    /// Whether new sessions are welcome, and why not.
    fn readiness(&self) -> Readiness;
    /// The certificates in use; `None` while TLS is off.
    fn certificates(&self) -> Option<CertificateState>;
    /// Outcome of the last reading of the config.
    fn last_reload(&self) -> Reload;
    /// How the storage is; `None` where there is none to speak of.
    fn storage(&self) -> Option<Health> {
        None
    }
    /// What the public side has refused; it counts there itself.
    fn public_refusals(&self) -> &PublicRefusals;
    /// What the API has minted; it counts there itself.
    fn mint_counts(&self) -> &api::MintCounts;
}

/// Relay ports by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortCounts {
    /// Bound for an allocation, or reserved by a token.
    pub used: u64,
    /// Ready to be taken.
    pub free: u64,
    /// Resting after use (`relay.port_quarantine`).
    pub quarantined: u64,
}

/// Whether the daemon takes new sessions. The default is ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Not every listener serves yet.
    pub starting: bool,
    /// New allocations get 508.
    pub draining: bool,
    /// Indices of workers that made no progress lately.
    pub stalled_workers: Vec<usize>,
    /// The signaling thread made no progress lately, or has ended.
    pub stalled_signaling: bool,
    /// Why nothing can be written to the storage.
    pub storage: Option<String>,
    /// What the storage kept could not be read at the start: whoever was revoked before may come in.
    pub unknown_revocations: bool,
}

impl Readiness {
    /// Nothing stands against new sessions.
    pub fn is_ready(&self) -> bool {
        !self.starting
            && !self.draining
            && self.stalled_workers.is_empty()
            && !self.stalled_signaling
            && self.storage.is_none()
            && !self.unknown_revocations
    }
}

/// Outcome of the last reading of the config, the one at the start included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reload {
    /// The last reading was accepted.
    pub successful: bool,
    /// When the config in force was accepted, in seconds since the Unix epoch.
    pub success_unix: u64,
}

/// The certificates in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateState {
    /// Each is the one in its files: none has stayed because those cannot be served.
    pub all_current: bool,
    /// When each ends, in seconds since the Unix epoch, by its first name; no name twice.
    pub ends_unix_s: Vec<(String, i64)>,
    /// All of them, the one for clients that name no host first.
    pub held: Vec<HeldCertificate>,
}

/// A certificate in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldCertificate {
    /// Host names and IP addresses, the main one first.
    pub names: Vec<String>,
    /// When it ends, in seconds since the Unix epoch.
    pub ends_unix_s: i64,
    /// The file that it was read from, or `self-signed`.
    pub source: String,
    /// Why its files cannot be served any more.
    pub fault: Option<String>,
}
