//! How a client reaches us.

/// Transport between client and server, part of the 5-tuple (RFC 8656 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
}
