//! Socket addresses in the byte layout of the kernel, without unsafe code.
//!
//! ```text
//! sockaddr_in   family:2  port:2 (big endian)  address:4   zero:8
//! sockaddr_in6  family:2  port:2 (big endian)  flowinfo:4  address:16  scope id:4
//! ```

use std::mem::{offset_of, size_of};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

const V4_BYTES: usize = size_of::<libc::sockaddr_in>();
const V6_BYTES: usize = size_of::<libc::sockaddr_in6>();

const _: () = assert!(
    V4_BYTES == 16
        && V6_BYTES == 28
        && offset_of!(libc::sockaddr_in, sin_port) == 2
        && offset_of!(libc::sockaddr_in, sin_addr) == 4
        && offset_of!(libc::sockaddr_in6, sin6_port) == 2
        && offset_of!(libc::sockaddr_in6, sin6_addr) == 8
        && offset_of!(libc::sockaddr_in6, sin6_scope_id) == 24
);

/// A `sockaddr_in` or `sockaddr_in6`, with room for either.
#[derive(Clone, Copy)]
#[repr(C, align(4))]
pub(super) struct RawAddress([u8; V6_BYTES]);

impl RawAddress {
    /// Room for the kernel to write into; it names no address yet.
    pub(super) const EMPTY: Self = Self([0; V6_BYTES]);

    /// The address that the kernel wrote as `len` bytes; `None` if it is not a whole IP address.
    ///
    /// The scope id is kept: without it a link-local peer cannot be answered.
    pub(super) fn parse(&self, len: usize) -> Option<SocketAddr> {
        let bytes = &self.0;
        let port = u16::from_be_bytes([bytes[2], bytes[3]]);
        match self.family() {
            libc::AF_INET if len >= V4_BYTES => {
                let ip: [u8; 4] = array(bytes, 4);
                Some(SocketAddr::new(Ipv4Addr::from(ip).into(), port))
            }
            libc::AF_INET6 if len >= V6_BYTES => {
                let ip = Ipv6Addr::from(array::<16>(bytes, 8));
                let scope_id = u32::from_ne_bytes(array(bytes, 24));
                Some(SocketAddrV6::new(ip, port, 0, scope_id).into())
            }
            _ => None,
        }
    }

    /// How many bytes the kernel shall read.
    pub(super) fn len(&self) -> usize {
        if self.family() == libc::AF_INET { V4_BYTES } else { V6_BYTES }
    }

    /// All bytes, for the kernel to read or fill.
    pub(super) const fn as_bytes(&self) -> &[u8; V6_BYTES] {
        &self.0
    }

    /// All bytes, for the kernel to fill. Any content is allowed: [`Self::parse`] checks it.
    pub(super) const fn as_bytes_mut(&mut self) -> &mut [u8; V6_BYTES] {
        &mut self.0
    }

    fn family(&self) -> i32 {
        i32::from(u16::from_ne_bytes([self.0[0], self.0[1]]))
    }
}

impl From<SocketAddr> for RawAddress {
    fn from(address: SocketAddr) -> Self {
        let mut bytes = [0; V6_BYTES];
        let family = match address {
            SocketAddr::V4(v4) => {
                bytes[4..8].copy_from_slice(&v4.ip().octets());
                libc::AF_INET
            }
            SocketAddr::V6(v6) => {
                bytes[8..24].copy_from_slice(&v6.ip().octets());
                bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                libc::AF_INET6
            }
        };
        bytes[..2].copy_from_slice(&(family as libc::sa_family_t).to_ne_bytes());
        bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        Self(bytes)
    }
}

/// `N` bytes of `bytes` from `at` on; both come from the layout above, which fits.
fn array<const N: usize>(bytes: &[u8; V6_BYTES], at: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[at + i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_survive_the_round_trip_with_port_and_scope() {
        let link_local = SocketAddrV6::new("fe80::1234".parse().unwrap(), 3478, 0, 9);
        for address in
            ["203.0.113.7:65535".parse().unwrap(), "[2001:db8::1]:1".parse().unwrap(), link_local.into()]
        {
            let raw = RawAddress::from(address);
            assert_eq!(raw.parse(raw.len()), Some(address));
        }
    }

    #[test]
    fn the_flow_label_is_left_at_zero() {
        let with_flow: SocketAddr = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 1, 0xabcde, 0).into();
        let raw = RawAddress::from(with_flow);
        assert_eq!(raw.parse(raw.len()), Some("[::1]:1".parse().unwrap()));
    }

    #[test]
    fn a_short_or_foreign_address_is_not_parsed() {
        let raw = RawAddress::from("127.0.0.1:1".parse::<SocketAddr>().unwrap());
        assert_eq!(raw.parse(V4_BYTES - 1), None);
        let raw = RawAddress::from("[::1]:1".parse::<SocketAddr>().unwrap());
        assert_eq!(raw.parse(V4_BYTES), None);
        assert_eq!(RawAddress::EMPTY.parse(V6_BYTES), None);
    }
}
