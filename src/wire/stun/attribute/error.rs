//! ERROR-CODE (RFC 8489 section 14.8) and UNKNOWN-ATTRIBUTES (section 14.13).

use super::AttributeType;
use crate::wire::Malformed;

/// A received ERROR-CODE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode<'a> {
    /// 300 to 699.
    pub code: u16,
    /// Reason phrase; UTF-8 is not checked.
    pub reason: &'a [u8],
}

/// Reads an ERROR-CODE.
///
/// # Errors
/// `AttributeValue` when it is too short or the code lies outside 300-699.
pub fn decode_error_code(value: &[u8]) -> Result<ErrorCode<'_>, Malformed> {
    let (&[_, _, class, number], reason) = value.split_first_chunk::<4>().ok_or(Malformed::AttributeValue)?;
    let class = class & 7;
    if !(3..=6).contains(&class) || number > 99 {
        return Err(Malformed::AttributeValue);
    }
    Ok(ErrorCode { code: u16::from(class) * 100 + u16::from(number), reason })
}

/// The value without a reason phrase.
pub(in crate::wire::stun) const fn encode_error_code(code: u16) -> [u8; 4] {
    [0, 0, (code / 100) as u8, (code % 100) as u8]
}

/// The types in an UNKNOWN-ATTRIBUTES value; an odd last byte is ignored.
pub fn decode_unknown_attributes(value: &[u8]) -> impl Iterator<Item = AttributeType> + '_ {
    value.chunks_exact(2).map(|pair| AttributeType(u16::from_be_bytes([pair[0], pair[1]])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_and_codes_out_of_range_are_refused() {
        for code in [300, 401, 438, 508, 699] {
            assert_eq!(decode_error_code(&encode_error_code(code)).map(|e| e.code), Ok(code));
        }
        for bad in [&[0, 0, 2, 0][..], &[0, 0, 7, 0], &[0, 0, 4, 100], &[0, 0, 4]] {
            assert_eq!(decode_error_code(bad), Err(Malformed::AttributeValue));
        }
    }
}
