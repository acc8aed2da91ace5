//! Rank 4: what the kernel offers to one shard, and nothing of the protocol.
//!
//! A shard owns one [`Poller`], its sockets, one [`RecvBatch`] and one [`SendScratch`], all on one
//! thread. Readiness is level-triggered: what a loop turn leaves behind is reported again by the next
//! [`Poller::wait`], so a turn may stop at its budget at any time.
//!
//! Payload stays where it was received. [`UdpSocket::recv`] fills slots of the batch, the protocol names
//! a range of a slot in an [`Outgoing`], and [`UdpSocket::send_run`] gathers header, payload and padding
//! in the kernel. Nothing is allocated between construction and drop on either path.
//!
//! All unsafe code of the relay sits in `udp/sys.rs`, `watched.rs` and `passed.rs`. Addresses and control messages are encoded as plain
//! bytes by safe code beside it.

mod clock;
#[cfg(feature = "dtls")]
pub mod dtls;
pub mod interfaces;
mod passed;
mod poll;
pub mod tcp;
pub mod tls;
mod udp;
mod watched;

pub use clock::Clock;
pub use passed::PassedSockets;
pub use poll::{Event, Poller, Waker, look_away};
pub use udp::{
    Header, IcmpError, Outgoing, Payloads, Received, RecvBatch, SendReport, SendScratch, UdpOptions,
    UdpSocket,
};
pub use watched::WatchedSocket;
