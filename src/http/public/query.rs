//! The query of a request to Engine.IO, as far as it is looked at before there is a session.

use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// The longest `sid` that can be one of ours, and some.
const SID_BYTES_MAX: usize = 64;

/// Why a WebSocket is refused before its 101, with the code that Engine.IO gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadQuery {
    /// `transport` is not what the request does.
    Transport,
    /// No `sid` of ours looks like this one.
    Sid,
    /// `EIO` is not 4.
    Version,
}

/// Checks what a WebSocket handshake says of itself.
pub(super) fn check_websocket(query: &str) -> Result<(), BadQuery> {
    if value(query, "EIO").as_deref() != Some("4") {
        return Err(BadQuery::Version);
    }
    if value(query, "transport").as_deref() != Some("websocket") {
        return Err(BadQuery::Transport);
    }
    match value(query, "sid") {
        Some(sid) if !is_sid(&sid) => Err(BadQuery::Sid),
        _ => Ok(()),
    }
}

/// Whether a request without an upgrade says that it is one.
pub(super) fn means_websocket(query: &str) -> bool {
    value(query, "transport").as_deref() == Some("websocket")
}

/// The first value of `name`, decoded; `+` stays, as in tokens and base64. `None` also when it is not UTF-8.
pub(super) fn value<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(found, _)| *found == name)?;
    percent_decode_str(value).decode_utf8().ok()
}

fn is_sid(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=SID_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_websocket_names_version_and_transport_and_perhaps_a_session() {
        for (query, wanted) in [
            ("EIO=4&transport=websocket", Ok(())),
            ("transport=websocket&EIO=4&t=Pxyz&sid=Ab_-9", Ok(())),
            ("", Err(BadQuery::Version)),
            ("EIO=3&transport=websocket", Err(BadQuery::Version)),
            ("EIO=4", Err(BadQuery::Transport)),
            ("EIO=4&transport=polling", Err(BadQuery::Transport)),
            ("EIO=4&transport=websocket&sid=", Err(BadQuery::Sid)),
            ("EIO=4&transport=websocket&sid=a%20b", Err(BadQuery::Sid)),
            ("EIO=4&transport=websocket&sid=../../x", Err(BadQuery::Sid)),
        ] {
            assert_eq!(check_websocket(query), wanted, "{query}");
        }
        let long = format!("EIO=4&transport=websocket&sid={}", "a".repeat(SID_BYTES_MAX + 1));
        assert_eq!(check_websocket(&long), Err(BadQuery::Sid));
    }

    #[test]
    fn a_value_is_decoded_once_and_bad_bytes_are_none() {
        assert_eq!(value("a=1&b=x%2By+z&b=2", "b").as_deref(), Some("x+y+z"));
        assert_eq!(value("b=%2541", "b").as_deref(), Some("%41"));
        assert_eq!(value("b=%ff", "b"), None);
        assert_eq!(value("bb=1&b", "b"), None);
    }
}
