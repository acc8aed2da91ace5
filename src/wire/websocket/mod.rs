//! The server's side of WebSocket (RFC 6455): handshake values, frames, messages, close codes.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! |F|R|R|R| opcode|M| length      | longer length: 0, 2 or 8 bytes
//! |I|S|S|S|  (4)  |A|   (7)       | masking key: 4 bytes from a client, none from a server
//! |N|V|V|V|       |S|             | payload
//! ```
//!
//! One thread serves thousands of connections that mostly say nothing. So a [`Reader`] is a few bytes that
//! read out of a buffer that all connections share: a message that lies there in one frame is unmasked in
//! place and lent, and only what is not whole is kept, for as long as it is not whole. No extension is
//! known (section 9), hence no reserved bit is ever legal.

mod close;
mod frame;
mod handshake;
mod incoming;
mod mask;
mod reader;
mod violation;

pub use close::{CLOSE_REASON_BYTES_MAX, CloseCode, write_close};
pub use frame::{FrameHeader, Opcode, frame_header, write_frame};
pub use handshake::{VERSION, accept_key, choose_subprotocol, has_token, tokens};
pub use incoming::Incoming;
pub use reader::{FRAGMENTS_MAX, Reader};
pub use violation::Violation;

/// The longest payload of a close, ping or pong (RFC 6455 section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;
