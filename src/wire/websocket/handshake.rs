//! The values of the opening handshake (RFC 6455 sections 4.1 and 4.2).

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::{GeneralPurpose, PAD, STANDARD};

/// The only `Sec-WebSocket-Version` there is; another is answered with 426 and this (section 4.4).
pub const VERSION: &str = "13";

/// The `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (section 4.2.2), which proves that the server has
/// understood. `None` when the key is not 16 bytes in base64, which is to be answered with 400.
pub fn accept_key(key: &str) -> Option<String> {
    let mut nonce = [0; 18];
    if key.len() != 24 || LENIENT.decode_slice(key, &mut nonce) != Ok(16) {
        return None;
    }
    let mut sha1 = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    sha1.update(key.as_bytes());
    sha1.update(GUID);
    Some(STANDARD.encode(sha1.finish()))
}

/// Whether the value of a header such as `Connection` or `Upgrade` names `token`, which is
/// case-insensitive there (sections 4.2.1 and RFC 9110 section 7.6.1).
pub fn has_token(list: &str, token: &str) -> bool {
    tokens(list).any(|listed| listed.eq_ignore_ascii_case(token))
}

/// The elements of a header's value that is a list with commas; empty ones are skipped
/// (RFC 9110 section 5.6.1).
pub fn tokens(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(|element| element.trim_matches([' ', '\t'])).filter(|element| !element.is_empty())
}

/// The first of the client's subprotocols that we speak: its `Sec-WebSocket-Protocol` stands in its
/// order of preference (section 4.1), and names are compared byte by byte. `None` means that the answer
/// names none.
pub fn choose_subprotocol<'a>(offered: &str, ours: &[&'a str]) -> Option<&'a str> {
    tokens(offered).find_map(|offer| ours.iter().copied().find(|name| *name == offer))
}

/// Section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A last character with bits that mean nothing is taken (RFC 4648 section 3.5), as other servers do: the
/// key is never used for what it decodes to.
const LENIENT: GeneralPurpose = GeneralPurpose::new(&ALPHABET, PAD.with_decode_allow_trailing_bits(true));

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // RFC 6455 section 1.3
    fn the_key_of_the_rfc_gets_the_answer_of_the_rfc() {
        let accept = accept_key("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept.as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    #[test] // RFC 6455 section 4.2.1: a value that, decoded, is 16 bytes
    fn a_key_that_is_not_sixteen_bytes_of_base64_gets_none() {
        for key in [
            "",
            "AQIDBAUGBwgJCgsMDQ4P",
            "AQIDBAUGBwgJCgsMDQ4PEBE=",
            "AQIDBAUGBwgJCgsMDQ4PEBES",
            "AQIDBAUGBwgJCgsMDQ4PEA",
            " AQIDBAUGBwgJCgsMDQ4PEA==",
            "AQIDBAUGBwgJCgsMDQ4P-_==",
            "ÄQIDBAUGBwgJCgsMDQ4PEA=",
        ] {
            assert_eq!(accept_key(key), None, "{key}");
        }
        assert!(accept_key("AQIDBAUGBwgJCgsMDQ4PEC==").is_some());
    }

    #[test] // RFC 6455 section 4.2.1
    fn a_token_is_found_wherever_it_stands_in_whatever_case() {
        for list in ["Upgrade", "keep-alive, Upgrade", "keep-alive,\tUPGRADE ,", ",,upgrade"] {
            assert!(has_token(list, "upgrade"), "{list}");
        }
        for list in ["", ",", "keep-alive", "upgrade-insecure", "up grade", "upgrade; q=1", "websocket/13"] {
            assert!(!has_token(list, "upgrade"), "{list}");
        }
    }

    #[test] // RFC 6455 section 4.2.2
    fn the_subprotocol_is_the_first_offer_that_we_speak() {
        let ours = ["turnstone.v1.json", "turnstone.v2.json"];
        for (offered, chosen) in [
            ("turnstone.v2.json, turnstone.v1.json", Some(ours[1])),
            ("mqtt,turnstone.v1.json", Some(ours[0])),
            ("Turnstone.v1.json", None),
            ("", None),
        ] {
            assert_eq!(choose_subprotocol(offered, &ours), chosen, "{offered}");
        }
    }
}
