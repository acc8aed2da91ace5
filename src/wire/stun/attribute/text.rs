//! Attributes of text: bounded in length and checked to be UTF-8 (RFC 8489 sections 14.3, 14.4,
//! 14.9, 14.10, 14.14).

use crate::wire::Malformed;

/// USERNAME: fewer than 509 bytes of UTF-8, not empty (RFC 8489 section 14.3).
///
/// # Errors
/// `AttributeValue` otherwise; the same for the others below with their own bounds.
pub fn decode_username(value: &[u8]) -> Result<&str, Malformed> {
    text(value, 1, 508)
}

/// REALM: fewer than 128 characters, up to 763 bytes (section 14.9).
///
/// # Errors
/// As [`decode_username`].
pub fn decode_realm(value: &[u8]) -> Result<&str, Malformed> {
    text(value, 0, 763)
}

/// NONCE: fewer than 128 characters, up to 763 bytes (section 14.10).
///
/// # Errors
/// As [`decode_username`].
pub fn decode_nonce(value: &[u8]) -> Result<&[u8], Malformed> {
    if value.len() <= 763 { Ok(value) } else { Err(Malformed::AttributeValue) }
}

/// SOFTWARE: up to 763 bytes (section 14.14).
///
/// # Errors
/// As [`decode_username`].
pub fn decode_software(value: &[u8]) -> Result<&str, Malformed> {
    text(value, 0, 763)
}

/// USERHASH: SHA-256 of username ":" realm (section 14.4).
///
/// # Errors
/// `AttributeValue` unless it is 32 bytes long.
pub fn decode_userhash(value: &[u8]) -> Result<[u8; 32], Malformed> {
    value.try_into().map_err(|_| Malformed::AttributeValue)
}

fn text(value: &[u8], bytes_min: usize, bytes_max: usize) -> Result<&str, Malformed> {
    if !(bytes_min..=bytes_max).contains(&value.len()) {
        return Err(Malformed::AttributeValue);
    }
    std::str::from_utf8(value).map_err(|_| Malformed::AttributeValue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // security P5
    fn text_out_of_bounds_or_not_utf8_is_refused() {
        assert_eq!(decode_username(b""), Err(Malformed::AttributeValue));
        assert_eq!(decode_username(&[b'a'; 508]).map(str::len), Ok(508));
        assert_eq!(decode_username(&[b'a'; 509]), Err(Malformed::AttributeValue));
        assert_eq!(decode_username(&[0xff]), Err(Malformed::AttributeValue));
        assert_eq!(decode_realm(&[b'a'; 764]), Err(Malformed::AttributeValue));
        assert_eq!(decode_nonce(&[0xff; 763]).map(<[u8]>::len), Ok(763));
        assert_eq!(decode_userhash(&[0; 31]), Err(Malformed::AttributeValue));
    }
}
