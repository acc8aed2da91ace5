//! PASSWORD-ALGORITHM and PASSWORD-ALGORITHMS (RFC 8489 sections 14.11 and 14.12).
//!
//! ```text
//! |          Algorithm            | Algorithm Parameters Length   |
//! |                    Algorithm Parameters (variable)            |
//! ```

use crate::wire::Malformed;

/// How the password becomes a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordAlgorithm {
    /// 1, no parameters.
    Md5,
    /// 2, no parameters.
    Sha256,
    /// A number of the registry that we do not know.
    Other(u16),
}

/// The algorithms of a list, in order; also reads the single PASSWORD-ALGORITHM.
///
/// Ends with an error item at the first entry that does not fit.
pub fn decode_password_algorithms(
    mut value: &[u8],
) -> impl Iterator<Item = Result<PasswordAlgorithm, Malformed>> + '_ {
    std::iter::from_fn(move || {
        if value.is_empty() {
            return None;
        }
        let entry = split(value);
        value = entry.map_or(&[][..], |(_, rest)| rest);
        Some(entry.map(|(algorithm, _)| algorithm).ok_or(Malformed::AttributeValue))
    })
}

/// The value of one algorithm without parameters.
pub const fn encode_password_algorithm(algorithm: PasswordAlgorithm) -> [u8; 4] {
    let number = match algorithm {
        PasswordAlgorithm::Md5 => 1,
        PasswordAlgorithm::Sha256 => 2,
        PasswordAlgorithm::Other(number) => number,
    }
    .to_be_bytes();
    [number[0], number[1], 0, 0]
}

fn split(value: &[u8]) -> Option<(PasswordAlgorithm, &[u8])> {
    let (&[n0, n1, l0, l1], rest) = value.split_first_chunk::<4>()?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    // The last entry of a list may come without its padding.
    rest.get(..length)?;
    let rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    let algorithm = match (u16::from_be_bytes([n0, n1]), length) {
        (1, 0) => PasswordAlgorithm::Md5,
        (2, 0) => PasswordAlgorithm::Sha256,
        (other, _) => PasswordAlgorithm::Other(other),
    };
    Some((algorithm, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_its_order_and_a_torn_one_ends_in_an_error() {
        let mut list = encode_password_algorithm(PasswordAlgorithm::Sha256).to_vec();
        list.extend(encode_password_algorithm(PasswordAlgorithm::Md5));
        let read: Vec<_> = decode_password_algorithms(&list).collect();
        assert_eq!(read, [Ok(PasswordAlgorithm::Sha256), Ok(PasswordAlgorithm::Md5)]);
        list.truncate(6);
        let read: Vec<_> = decode_password_algorithms(&list).collect();
        assert_eq!(read, [Ok(PasswordAlgorithm::Sha256), Err(Malformed::AttributeValue)]);
        assert_eq!(decode_password_algorithms(&[0, 2, 0, 9]).count(), 1);
    }
}
