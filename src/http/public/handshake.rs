//! The values of a WebSocket's opening handshake (RFC 6455 section 4.2).

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The only `Sec-WebSocket-Version` there is.
pub(super) const VERSION: &str = "13";

/// Section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The answer to `Sec-WebSocket-Key` (section 4.2.2). `None` when that is not 16 bytes in base64.
pub(super) fn accept_key(key: &str) -> Option<String> {
    STANDARD.decode(key).ok().filter(|nonce| nonce.len() == 16)?;
    let mut sha1 = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    sha1.update(key.as_bytes());
    sha1.update(GUID);
    Some(STANDARD.encode(sha1.finish()))
}

/// Whether a list such as that of `Connection` names `token`, in whatever case.
pub(super) fn has_token(list: &str, token: &str) -> bool {
    tokens(list).any(|listed| listed.eq_ignore_ascii_case(token))
}

/// The elements of a list.
pub(super) fn tokens(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // RFC 6455 section 1.3
    fn the_key_of_the_rfc_gets_the_answer_of_the_rfc() {
        let accept = accept_key("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept.as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        for key in ["", "x", "dGhlIHNhbXBsZSBub25j", "dGhlIHNhbXBsZSBub25jZTE="] {
            assert_eq!(accept_key(key), None, "{key}");
        }
    }

    #[test]
    fn a_token_is_found_wherever_it_stands() {
        assert!(has_token("keep-alive,\tUPGRADE ,", "upgrade"));
        assert!(!has_token("keep-alive, upgrade-insecure", "upgrade"));
    }
}
