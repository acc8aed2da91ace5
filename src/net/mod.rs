//! Rank 4: what the kernel offers to one shard, and nothing of the protocol.
//!
//! Readiness is level-triggered: what a loop turn leaves behind is reported again by the next
//! [`Poller::wait`], so a turn may stop at its budget at any time.

pub mod interfaces;
mod poll;

pub use interfaces::Family;
pub use poll::{Event, Poller, Waker};
