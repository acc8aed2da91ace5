//! The way to the thread that owns the signaling hub and its sockets.

#[cfg_attr(not(test), expect(dead_code, reason = "read by the thread that is not there yet"))]
mod arrival;

pub(crate) use arrival::{Answer, Arrival, Request, Wire};
