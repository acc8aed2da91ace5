//! Every way on which bytes of a client reach a peer, or those of a peer a client.

use super::address::PeerProtocol;

/// Which half of a peer's transport address the policy looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// There is no port yet.
    Address,
    /// The address was checked when its permission was made, and is again with each reload.
    Port,
    /// Nothing was checked before.
    Both,
}

macro_rules! paths {
    ($($(#[$doc:meta])* $name:ident: $check:ident, $protocol:ident;)*) => {
        /// A path between a client and a peer, or the request that opens one.
        ///
        /// A new path says here what of its peer is checked, and in `tests/scenario` what it does with
        /// denied peers: without either it does not compile.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum PeerPath { $($(#[$doc])* $name,)* }

        impl PeerPath {
            /// Every path.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            pub(super) const fn check(self) -> Check {
                match self { $(Self::$name => Check::$check,)* }
            }

            pub(super) const fn protocol(self) -> PeerProtocol {
                match self { $(Self::$name => PeerProtocol::$protocol,)* }
            }
        }
    };
}

paths! {
    /// CreatePermission (RFC 8656 section 10.2); good for both protocols.
    CreatePermission: Address, Udp;
    /// ChannelBind (RFC 8656 section 12.2).
    ChannelBind: Both, Udp;
    /// A Send indication (RFC 8656 section 11.2).
    Send: Port, Udp;
    /// ChannelData from the client (RFC 8656 section 12.6).
    ChannelData: Port, Udp;
    /// A datagram from the peer (RFC 8656 sections 11.3 and 12.7).
    InboundDatagram: Port, Udp;
    /// Connect (RFC 6062 section 5.2).
    Connect: Both, Tcp;
    /// A connection from the peer (RFC 6062 section 5.3).
    InboundConnection: Both, Tcp;
}
