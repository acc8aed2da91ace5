//! Where the packets of Engine.IO go.

use super::driver::WRITE_BYTES;
use crate::wire::engine_io::{self, Packet};
use crate::wire::websocket::{Opcode, write_frame};

/// Where packets go.
pub(super) enum Sink<'o> {
    /// Frames of a WebSocket.
    Socket(&'o mut Vec<u8>),
    /// The body of an answer.
    Poll(&'o mut Vec<u8>),
}

impl Sink<'_> {
    /// `packet`: of Engine.IO, text.
    pub(super) fn text(&mut self, packet: &[u8]) {
        match self {
            Self::Socket(out) => write_frame(out, Opcode::Text, packet),
            Self::Poll(body) => {
                engine_io::separate(body);
                body.extend_from_slice(packet);
            }
        }
    }

    pub(super) fn binary(&mut self, bytes: &[u8]) {
        match self {
            Self::Socket(out) => write_frame(out, Opcode::Binary, bytes),
            Self::Poll(body) => {
                engine_io::separate(body);
                Packet::from_binary(bytes).encode(body);
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        let (Self::Socket(out) | Self::Poll(out)) = self;
        out.len() >= WRITE_BYTES
    }
}
