//! What a config must know of the machine to become a plan.

use crate::base::Family;
use crate::net::interfaces;
use std::io;
use std::net::IpAddr;

/// The machine, as far as addresses and cores go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Every address of every interface.
    pub addresses: Vec<IpAddr>,
    /// The address towards the Internet, by family.
    pub primary: [Option<IpAddr>; 2],
    /// Processors that this process may use.
    pub cores: usize,
    /// Whether IPv6 sockets can be made at all.
    pub has_ipv6: bool,
}

impl Host {
    /// Looks at this machine.
    ///
    /// # Errors
    /// The kernel refused the list of interfaces.
    pub fn look() -> io::Result<Self> {
        Ok(Self {
            addresses: interfaces::all()?,
            primary: Family::ALL.map(interfaces::primary),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            has_ipv6: std::net::UdpSocket::bind((std::net::Ipv6Addr::UNSPECIFIED, 0)).is_ok(),
        })
    }
}
