//! Socket.IO, protocol version 5: packets inside the messages of Engine.IO.
//!
//! ```text
//! 0/chat,{"token":..}             connect, namespace /chat
//! 1                               disconnect, namespace /
//! 2/chat,12["name",{..}]          event that wants an answer with number 12
//! 312[{..}]                       that answer
//! 4/chat,{"message":..}           connection refused; servers only
//! 51-["name",{"_placeholder":true,"num":0}]    event; one binary message follows
//! 61-12[..]                       answer with binary
//! | | |   |
//! | | |   payload, JSON           | | namespace and comma, absent for `/`
//! | | number
//! | how many binary messages follow, and `-`
//! type
//! ```
//! Payloads stay text: an event is split into its name and its arguments, and nobody builds a tree. Whether they are
//! JSON, and no deeper than [`DEPTH_MAX`](super::json::DEPTH_MAX), is checked here.

mod arguments;
mod decoder;
mod encode;
mod packet;
mod placeholder;

pub use arguments::Arguments;
pub use decoder::{Decoder, Whole};
pub use encode::{Event, answer, begin_ack, connect, connect_error, disconnect};
pub use packet::{Auth, Content, NAMESPACE_BYTES_MAX, Packet};

/// How many binary messages may belong to one packet.
pub const ATTACHMENTS_MAX: usize = 10;

/// Why a message is not of the protocol: the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// No type in front, or one that a client does not send.
    PacketType,
    /// No number of attachments where one belongs.
    Attachments,
    /// More than [`ATTACHMENTS_MAX`] attachments.
    TooManyAttachments,
    /// A namespace that is too long, or has characters that belong to a payload.
    Namespace,
    /// A number of 2^53 or more, one where none belongs, or none where one does.
    AckId,
    /// Not JSON, or not of the shape that the type wants.
    Payload,
    /// Deeper than [`DEPTH_MAX`](super::json::DEPTH_MAX).
    TooDeep,
    /// An event with a name that Socket.IO keeps for itself.
    ReservedName,
    /// A placeholder that names no attachment.
    Placeholder,
    /// A text where an attachment should come.
    AttachmentMissing,
    /// A binary message that nothing announced.
    Unannounced,
    /// Text and attachments are larger together than a message may be.
    TooLarge,
}
