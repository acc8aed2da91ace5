//! How a client reaches us, and which kind of address it is about.

use std::net::IpAddr;

/// Transport between client and server, part of the 5-tuple (RFC 8656 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
    /// A stream under TLS.
    Tls,
    /// Datagrams under DTLS.
    Dtls,
}

impl Transport {
    /// All, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Udp, Self::Tcp, Self::Tls, Self::Dtls];

    /// Whether messages follow each other in a stream, where ChannelData is padded (RFC 8656
    /// section 12.5).
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }

    /// Whether the client has proven that it receives at its address, so that nothing is reflected
    /// at anybody.
    pub const fn proves_source(self) -> bool {
        !matches!(self, Self::Udp)
    }
}

/// Address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, in the order of their discriminants.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}
