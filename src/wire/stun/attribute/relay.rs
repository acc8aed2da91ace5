//! The attributes of TURN that are no address (RFC 8656 section 18, RFC 6062 section 6.2).

use crate::wire::Malformed;
use crate::wire::channel_data::ChannelNumber;
use std::time::Duration;

/// REQUESTED-ADDRESS-FAMILY and ADDITIONAL-ADDRESS-FAMILY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestedFamily {
    /// 1
    V4,
    /// 2
    V6,
    /// Anything else: refused with 440.
    Other(u8),
}

/// ADDRESS-ERROR-CODE: which family of a dual allocation failed, and why (section 18.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressErrorCode {
    /// The family that is missing.
    pub family: RequestedFamily,
    /// 440 or 508.
    pub code: u16,
}

/// ICMP: what the network said about a datagram to a peer (section 18.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// 0 to 127.
    pub icmp_type: u8,
    /// 0 to 511 on the wire; ICMP itself has 255 at most.
    pub code: u8,
    /// The MTU or pointer of the message, else zero.
    pub data: u32,
}

/// LIFETIME in seconds.
///
/// # Errors
/// `AttributeValue` unless four bytes; likewise below with their own sizes.
pub fn decode_lifetime(value: &[u8]) -> Result<Duration, Malformed> {
    Ok(Duration::from_secs(u64::from(u32::from_be_bytes(exact(value)?))))
}

/// CHANNEL-NUMBER; `None` is a number outside 0x4000-0x7FFF, answered with 400.
///
/// # Errors
/// As [`decode_lifetime`].
pub fn decode_channel_number(value: &[u8]) -> Result<Option<ChannelNumber>, Malformed> {
    let [n0, n1, _, _] = exact(value)?;
    Ok(ChannelNumber::new(u16::from_be_bytes([n0, n1])))
}

/// REQUESTED-TRANSPORT: the protocol number (17 is UDP, 6 is TCP).
///
/// # Errors
/// As [`decode_lifetime`].
pub fn decode_requested_transport(value: &[u8]) -> Result<u8, Malformed> {
    exact::<4>(value).map(|bytes| bytes[0])
}

/// REQUESTED-ADDRESS-FAMILY or ADDITIONAL-ADDRESS-FAMILY.
///
/// # Errors
/// As [`decode_lifetime`].
pub fn decode_requested_family(value: &[u8]) -> Result<RequestedFamily, Malformed> {
    exact::<4>(value).map(|bytes| family(bytes[0]))
}

/// EVEN-PORT: whether the next higher port shall be reserved (the R bit).
///
/// # Errors
/// `AttributeValue` unless one byte.
pub fn decode_even_port(value: &[u8]) -> Result<bool, Malformed> {
    exact::<1>(value).map(|bytes| bytes[0] & 0x80 != 0)
}

/// RESERVATION-TOKEN.
///
/// # Errors
/// `AttributeValue` unless eight bytes.
pub fn decode_reservation_token(value: &[u8]) -> Result<[u8; 8], Malformed> {
    exact(value)
}

/// CONNECTION-ID (RFC 6062 section 6.2.1).
///
/// # Errors
/// As [`decode_lifetime`].
pub fn decode_connection_id(value: &[u8]) -> Result<u32, Malformed> {
    exact(value).map(u32::from_be_bytes)
}

/// Reads an ADDRESS-ERROR-CODE.
///
/// # Errors
/// `AttributeValue` when shorter than four bytes.
pub fn decode_address_error_code(value: &[u8]) -> Result<AddressErrorCode, Malformed> {
    let &[f, _, class, number] = value.first_chunk::<4>().ok_or(Malformed::AttributeValue)?;
    Ok(AddressErrorCode { family: family(f), code: u16::from(class & 7) * 100 + u16::from(number) })
}

/// The value, without a reason phrase.
pub const fn encode_address_error_code(error: AddressErrorCode) -> [u8; 4] {
    let family = match error.family {
        RequestedFamily::V4 => 1,
        RequestedFamily::V6 => 2,
        RequestedFamily::Other(other) => other,
    };
    [family, 0, (error.code / 100) as u8, (error.code % 100) as u8]
}

/// Reads an ICMP attribute.
///
/// # Errors
/// `AttributeValue` unless eight bytes.
pub fn decode_icmp(value: &[u8]) -> Result<Icmp, Malformed> {
    let [_, _, t, c, d0, d1, d2, d3] = exact(value)?;
    // Seven bits of type, nine of code.
    Ok(Icmp { icmp_type: t >> 1, code: c, data: u32::from_be_bytes([d0, d1, d2, d3]) })
}

/// The value.
pub const fn encode_icmp(icmp: Icmp) -> [u8; 8] {
    let d = icmp.data.to_be_bytes();
    [0, 0, icmp.icmp_type << 1, icmp.code, d[0], d[1], d[2], d[3]]
}

const fn family(number: u8) -> RequestedFamily {
    match number {
        1 => RequestedFamily::V4,
        2 => RequestedFamily::V6,
        other => RequestedFamily::Other(other),
    }
}

fn exact<const N: usize>(value: &[u8]) -> Result<[u8; N], Malformed> {
    value.try_into().map_err(|_| Malformed::AttributeValue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_and_wrong_sizes_are_refused() {
        assert_eq!(decode_lifetime(&[0, 0, 2, 88]), Ok(Duration::from_secs(600)));
        assert_eq!(decode_lifetime(&[0, 0, 2]), Err(Malformed::AttributeValue));
        assert_eq!(decode_even_port(&[0x80]), Ok(true));
        assert_eq!(decode_even_port(&[0x7f]), Ok(false));
        assert_eq!(decode_requested_transport(&[17, 0, 0, 0]), Ok(17));
        assert_eq!(decode_channel_number(&[0x3f, 0xff, 0, 0]), Ok(None));
        assert_eq!(decode_channel_number(&[0x40, 0, 0, 0]), Ok(Some(ChannelNumber::FIRST)));
        assert_eq!(decode_connection_id(&[1, 2, 3, 4]), Ok(0x0102_0304));
        assert_eq!(decode_connection_id(&[1, 2, 3]), Err(Malformed::AttributeValue));
        assert_eq!(decode_requested_family(&[3, 0, 0, 0]), Ok(RequestedFamily::Other(3)));
        let error = AddressErrorCode { family: RequestedFamily::V6, code: 440 };
        assert_eq!(decode_address_error_code(&encode_address_error_code(error)), Ok(error));
    }

    #[test] // RFC 8656 section 18.13: seven bits of type, nine of code
    fn icmp_packs_type_and_code_into_sixteen_bits() {
        let icmp = Icmp { icmp_type: 3, code: 4, data: 1280 };
        assert_eq!(encode_icmp(icmp), [0, 0, 6, 4, 0, 0, 5, 0]);
        assert_eq!(decode_icmp(&encode_icmp(icmp)), Ok(icmp));
    }
}
