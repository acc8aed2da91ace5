//! The query of a request, as far as it may hold a token.

use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// The first value of `name`, decoded; `+` stays, as in tokens and base64. `None` also when it is not UTF-8.
pub(super) fn value<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(found, _)| *found == name)?;
    percent_decode_str(value).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_decoded_once_and_bad_bytes_are_none() {
        assert_eq!(value("a=1&b=x%2By+z&b=2", "b").as_deref(), Some("x+y+z"));
        assert_eq!(value("b=%2541", "b").as_deref(), Some("%41"));
        assert_eq!(value("b=%ff", "b"), None);
        assert_eq!(value("bb=1&b", "b"), None);
    }
}
