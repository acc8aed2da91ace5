//! UDP sockets that receive and send in batches.

mod address;
mod batch;
mod cmsg;
mod icmp;
mod outgoing;
mod send;
mod socket;
mod sys;
#[cfg(test)]
mod testing;
mod trains;

pub use batch::{Received, RecvBatch};
pub use icmp::IcmpError;
pub use outgoing::{Header, Outgoing, Payloads};
pub use send::{SendReport, SendScratch};
pub use socket::{UdpOptions, UdpSocket};
