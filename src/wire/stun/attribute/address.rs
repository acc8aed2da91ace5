//! Address attributes, plain (RFC 8489 section 14.1) and XOR'ed (section 14.2).
//!
//! ```text
//! |0 0 0 0 0 0 0 0|    Family     |             Port              |
//! |          Address (32 bits for family 1, 128 bits for 2)       |
//! ```

use crate::wire::Malformed;
use crate::wire::stun::{MAGIC_COOKIE, TransactionId};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const FAMILY_V4: u8 = 1;
const FAMILY_V6: u8 = 2;
const BYTES_MAX: usize = 20;

/// MAPPED-ADDRESS, ALTERNATE-SERVER and their like.
///
/// # Errors
/// `AttributeValue` for an unknown family or a length that does not fit the family.
pub fn decode_address(value: &[u8]) -> Result<SocketAddr, Malformed> {
    let (&[_, family, p0, p1], address) = value.split_first_chunk::<4>().ok_or(Malformed::AttributeValue)?;
    let ip = match (family, address.len()) {
        (FAMILY_V4, 4) => IpAddr::V4(Ipv4Addr::from(array::<4>(address)?)),
        (FAMILY_V6, 16) => IpAddr::V6(Ipv6Addr::from(array::<16>(address)?)),
        _ => return Err(Malformed::AttributeValue),
    };
    Ok(SocketAddr::new(ip, u16::from_be_bytes([p0, p1])))
}

/// XOR-MAPPED-ADDRESS and its like; `id` is that of the message.
///
/// # Errors
/// As [`decode_address`].
pub fn decode_xor_address(value: &[u8], id: TransactionId) -> Result<SocketAddr, Malformed> {
    decode_address(value).map(|address| xor(address, id))
}

/// The value and its length.
pub(in crate::wire::stun) fn encode_address(address: SocketAddr) -> ([u8; BYTES_MAX], usize) {
    let mut value = [0; BYTES_MAX];
    value[2..4].copy_from_slice(&address.port().to_be_bytes());
    let length = match address.ip() {
        IpAddr::V4(ip) => {
            value[1] = FAMILY_V4;
            value[4..8].copy_from_slice(&ip.octets());
            8
        }
        IpAddr::V6(ip) => {
            value[1] = FAMILY_V6;
            value[4..20].copy_from_slice(&ip.octets());
            20
        }
    };
    (value, length)
}

/// The value and its length, XOR'ed with cookie and transaction id.
pub(in crate::wire::stun) fn encode_xor_address(
    address: SocketAddr,
    id: TransactionId,
) -> ([u8; BYTES_MAX], usize) {
    encode_address(xor(address, id))
}

/// XOR is its own inverse: the port with the top half of the cookie, an IPv4 address with the
/// cookie, an IPv6 address with cookie and transaction id.
fn xor(address: SocketAddr, id: TransactionId) -> SocketAddr {
    let port = address.port() ^ (MAGIC_COOKIE >> 16) as u16;
    let ip = match address.ip() {
        IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from(u32::from(ip) ^ MAGIC_COOKIE)),
        IpAddr::V6(ip) => {
            let mut mask = [0; 16];
            mask[..4].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
            mask[4..].copy_from_slice(&id.0);
            IpAddr::V6(Ipv6Addr::from(u128::from(ip) ^ u128::from_be_bytes(mask)))
        }
    };
    SocketAddr::new(ip, port)
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Malformed> {
    bytes.try_into().map_err(|_| Malformed::AttributeValue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // RFC 8489 section 14.2
    fn both_families_survive_the_xor_with_the_transaction_id() {
        let id = TransactionId([0xb7, 0xe7, 0xa7, 1, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae]);
        for text in ["192.0.2.1:32853", "[2001:db8:1234:5678:11:2233:4455:6677]:32853"] {
            let address: SocketAddr = text.parse().expect("literal");
            let (value, length) = encode_xor_address(address, id);
            assert_eq!(decode_xor_address(&value[..length], id), Ok(address));
            assert_ne!(decode_address(&value[..length]), Ok(address));
            let (plain, length) = encode_address(address);
            assert_eq!(decode_address(&plain[..length]), Ok(address));
        }
    }

    #[test] // security P5: family 0 and 3, lengths of the other family
    fn family_and_length_must_fit() {
        for (family, length) in [(0, 8), (3, 8), (1, 20), (2, 8), (1, 7), (2, 19), (1, 4), (1, 0)] {
            let mut value = vec![0; length];
            if length > 1 {
                value[1] = family;
            }
            assert_eq!(decode_address(&value), Err(Malformed::AttributeValue));
        }
    }
}
