//! The attributes of NAT behaviour discovery that are no address (RFC 5780 section 7).

use crate::wire::Malformed;
use std::num::NonZeroU16;

/// CHANGE-REQUEST: where the answer shall leave from, compared with where the request arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeRequest {
    /// From the other address.
    pub ip: bool,
    /// From the other port.
    pub port: bool,
}

/// CHANGE-REQUEST (section 7.2): two flags, and 30 bits that are ignored.
///
/// # Errors
/// `AttributeValue` unless four bytes.
pub fn decode_change_request(value: &[u8]) -> Result<ChangeRequest, Malformed> {
    let &[_, _, _, flags] = value else { return Err(Malformed::AttributeValue) };
    Ok(ChangeRequest { ip: flags & 4 != 0, port: flags & 2 != 0 })
}

/// RESPONSE-PORT (section 7.5): two bytes, or four by those who count the padding in, as coturn's tools
/// do. Nothing can be sent to port zero.
///
/// # Errors
/// `AttributeValue` for another length or port zero.
pub fn decode_response_port(value: &[u8]) -> Result<NonZeroU16, Malformed> {
    let (&[p0, p1] | &[p0, p1, _, _]) = value else { return Err(Malformed::AttributeValue) };
    NonZeroU16::new(u16::from_be_bytes([p0, p1])).ok_or(Malformed::AttributeValue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // RFC 5780 section 7.2
    fn the_flags_are_the_second_and_third_lowest_bit() {
        let flags = |value: &[u8]| decode_change_request(value).map(|change| (change.ip, change.port));
        assert_eq!(flags(&[0, 0, 0, 0]), Ok((false, false)));
        assert_eq!(flags(&[0, 0, 0, 2]), Ok((false, true)));
        assert_eq!(flags(&[0, 0, 0, 4]), Ok((true, false)));
        assert_eq!(flags(&[0xFF; 4]), Ok((true, true)));
        for length in [0, 3, 5] {
            assert_eq!(flags(&vec![6; length]), Err(Malformed::AttributeValue));
        }
    }

    #[test] // RFC 5780 section 7.5
    fn a_response_port_may_count_its_padding_and_is_not_zero() {
        let port = |value: &[u8]| decode_response_port(value).map(NonZeroU16::get);
        assert_eq!(port(&[0x13, 0x88]), Ok(5000));
        assert_eq!(port(&[0x13, 0x88, 0xFF, 0xFF]), Ok(5000));
        for bad in [&[][..], &[0x13], &[0x13, 0x88, 0], &[0, 0], &[0, 0, 1, 1], &[1; 5]] {
            assert_eq!(port(bad), Err(Malformed::AttributeValue));
        }
    }
}
