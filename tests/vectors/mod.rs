//! Published messages as bytes, from the `.hex` files beside this one: hexadecimal with `#` comments.

/// RFC 5769 section 2.1.
pub(crate) fn request() -> Vec<u8> {
    bytes(include_str!("rfc5769_request.hex"))
}

/// RFC 5769 section 2.2.
pub(crate) fn response_ipv4() -> Vec<u8> {
    bytes(include_str!("rfc5769_response_ipv4.hex"))
}

/// RFC 5769 section 2.3.
pub(crate) fn response_ipv6() -> Vec<u8> {
    bytes(include_str!("rfc5769_response_ipv6.hex"))
}

/// RFC 5769 section 2.4.
pub(crate) fn request_long_term() -> Vec<u8> {
    bytes(include_str!("rfc5769_request_long_term.hex"))
}

/// RFC 8489 appendix B.1 with the mistakes of its print.
pub(crate) fn userhash_as_printed() -> Vec<u8> {
    bytes(include_str!("rfc8489_b1_as_printed.hex"))
}

/// RFC 8489 appendix B.1 as erratum 6268 corrects it.
pub(crate) fn userhash_corrected() -> Vec<u8> {
    bytes(include_str!("rfc8489_b1_erratum_6268.hex"))
}

fn bytes(text: &str) -> Vec<u8> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .map(|pair| u8::from_str_radix(pair, 16).expect("vector files hold pairs of hex digits"))
        .collect()
}
