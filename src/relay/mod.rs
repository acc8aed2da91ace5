//! Rank 5: the relay data path. One shard per core ([`Prepared`] until it runs) owns its sockets, its allocations and its
//! counters; a [`Registry`] holds what they share.
//!
//! Between receive and send a shard takes no lock, allocates nothing and logs nothing. The registry's
//! lock is taken when an allocation is made or ends; everything else between threads goes through
//! [`Mailbox`]es.

mod admission;
mod door;
mod mailbox;
mod obey;
mod parked;
mod ports;
mod question;
mod registry;
mod shard;
mod socket;
pub mod stream;
mod traffic;

pub use admission::{Admission, ConnectionLimits};
pub use door::{Door, adopt_doors, bind_doors, probe_door};
pub use mailbox::{Command, Mailbox, ShardUpdate};
pub use parked::PEER_CONNECTIONS_MAX;
pub use question::Question;
pub use registry::{Following, Registry};
pub use shard::{Handle, Prepared, Setup};
