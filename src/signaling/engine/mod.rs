//! One Engine.IO session: which carrier may send, the upgrade from polling to a WebSocket, the heartbeat.
//!
//! ```text
//!              +-- polling: a GET that waits ---------+
//!  Engine ---- |                                      | ---- one client
//!              +-- WebSocket: candidate -> probed ->  |
//!                  carrier, for the rest of the time -+
//! ```
//! The driver tells what came and what was lost, then drains [`Engine::next_output`], and then, when
//! [`Engine::carrier`] names one, sends messages, which wait with the hub and not here. A message never goes to a
//! WebSocket that has not taken over, so that order is kept across the upgrade.
//!
//! Whatever an error is, it ends this session only; the session of the hub can be resumed.

mod session;
#[cfg(test)]
mod tests;

pub use session::Engine;

use crate::wire::engine_io::{Open, PROBE, Packet};
use std::time::Duration;

/// What all sessions have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// From a pong to the next ping.
    pub ping_interval: Duration,
    /// From a ping to its pong. Also how long a session that is being closed waits for a last GET.
    pub ping_timeout: Duration,
    /// From a WebSocket with the `sid` of a polling session to its upgrade packet.
    pub upgrade_timeout: Duration,
    /// Bytes of the largest body or message that is taken; the client is told.
    pub max_payload: usize,
}

impl Default for Settings {
    /// What other servers of the protocol have; 64 KiB.
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            max_payload: 64 * 1024,
        }
    }
}

/// What can take messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// The GET that waits. After one answer, with any number of packets, there is none until the next GET.
    Poll,
    /// The WebSocket.
    Socket,
}

/// A packet that is the engine's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The first one of a session. `may_upgrade`: the session began by polling.
    Open {
        /// A WebSocket may take over.
        may_upgrade: bool,
    },
    /// Are you there?
    Ping,
    /// `3probe`: the WebSocket works.
    ProbeAnswer,
    /// Nothing; it only ends a GET.
    Noop,
    /// The session is over.
    Close,
}

impl Control {
    /// Appends the packet.
    pub fn encode(self, sid: &str, settings: &Settings, out: &mut Vec<u8>) {
        match self {
            Self::Open { may_upgrade } => {
                let open = Open {
                    sid,
                    may_upgrade,
                    ping_interval_ms: settings.ping_interval.as_millis() as u64,
                    ping_timeout_ms: settings.ping_timeout.as_millis() as u64,
                    max_payload: settings.max_payload,
                };
                open.encode(out);
            }
            Self::Ping => Packet::Ping("").encode(out),
            Self::ProbeAnswer => Packet::Pong(PROBE).encode(out),
            Self::Noop => Packet::Noop.encode(out),
            Self::Close => Packet::Close.encode(out),
        }
    }
}

/// What the driver has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Answer the GET that waits, with status 200. Messages that wait too may go in the same body: behind `Open`,
    /// in front of `Close`.
    AnswerPoll(Control),
    /// Send on the WebSocket.
    Send(Control),
    /// Close the WebSocket, and report nothing of it any more. The session may go on without.
    CloseSocket,
    /// The session is over: forget its `sid`. This is the last output.
    Ended(End),
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client said so.
    ByClient,
    /// The driver said so.
    ByServer,
    /// The carrier is gone: the WebSocket was closed, or a request was broken off.
    Lost,
    /// No pong in time.
    PingTimeout,
    /// A packet that is malformed, or has no place there.
    Protocol,
    /// Two GETs or two POSTs at once.
    Overlap,
}
