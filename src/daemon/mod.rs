//! Rank 7: puts the parts together, and takes them down in order.
//!
//! A [`crate::config::Config`] becomes a [`crate::config::Plan`] for this host, a plan becomes a
//! [`Daemon`] whose sockets are all bound before anything serves, and a daemon serves until a signal
//! ends it.

mod admin_key;
mod admin_socket;
mod admittance;
mod certificates;
mod control;
mod demo;
mod descriptors;
mod doors;
mod dtls;
mod ends;
mod entropy;
mod error;
mod keeper;
mod life;
pub mod log;
mod pinning;
mod relays;
mod run;
mod service_manager;
mod services;
mod signaling;
mod state;
mod steering;
mod watchdog;
mod wishes;

pub use admittance::Credentials;
pub use control::{Accounts, RelayControl};
pub use demo::demo;
pub use entropy::random;
pub use error::StartError;
pub use life::{Daemon, Ending, Reread};
pub use relays::Relays;
pub use run::run;

/// The control runtime: HTTP, signals, timers. No packet passes through it.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("control").enable_all().build()
}
