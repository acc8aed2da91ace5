//! The PROXY protocol: what a load balancer says about the client before the client's first byte.
//!
//! Versions 1 (a line of text) and 2 (binary) as in HAProxy's `doc/proxy-protocol.txt`, whose sections
//! are named below.
//!
//! ```text
//! PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n
//!
//! | signature, 12 bytes | 2, command | family, protocol | length | addresses and ports | TLVs |
//! ```

use super::Malformed;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The longest header that is taken. The longest line of version 1 has 107 bytes (section 2.1); what
/// senders of version 2 add to their addresses fits a TCP segment (section 2), and here nearly two.
pub const HEADER_BYTES_MAX: usize = 1024;

const V1_PREFIX: &[u8] = b"PROXY ";
const V1_BYTES_MAX: usize = 107;
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_BYTES: usize = 16;

/// What the front of a connection holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The start of a header, which is not whole yet.
    Incomplete,
    /// A whole header.
    Header {
        /// Bytes of the header: where the client's own bytes begin. At most [`HEADER_BYTES_MAX`].
        length: usize,
        /// Source and destination of the client's connection, where an IPv4-mapped address is IPv4.
        /// `None` when the connection speaks for itself (UNKNOWN, LOCAL, no Internet address): its
        /// own addresses count.
        source: Option<(SocketAddr, SocketAddr)>,
    },
}

/// Reads the header that `bytes`, the start of a connection, must begin with.
///
/// The answer does not depend on how the bytes arrive: while a header grows it is `Incomplete`, and
/// whatever follows it changes nothing. TLVs are skipped unread, a checksum among them too.
///
/// # Errors
/// `NotProxyProtocol` when no header begins so, at the first byte that shows it; `BadProxyHeader` when
/// one does and breaks its format, is longer than [`HEADER_BYTES_MAX`], or speaks of datagrams. The
/// connection must be closed (section 2: never guess whether a header is there).
pub fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    if agrees(bytes, V2_SIGNATURE) {
        parse_v2(bytes)
    } else if agrees(bytes, V1_PREFIX) {
        parse_v1(bytes)
    } else {
        Err(Malformed::NotProxyProtocol)
    }
}

/// Whether a connection begins like one that brings a header, which only configured sources may.
///
/// Looks at the first 12 bytes and needs 6 of them for version 1, all 12 for version 2; with fewer the
/// answer is `false`, since other protocols begin with the same letters.
pub fn looks_like(first_bytes: &[u8]) -> bool {
    first_bytes.starts_with(V1_PREFIX) || first_bytes.starts_with(V2_SIGNATURE)
}

/// Whether `bytes` and `start` are the same as far as both go.
fn agrees(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, wanted)| byte == wanted)
}

/// Section 2.1: one line of US-ASCII that ends in CR LF.
fn parse_v1(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let window = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = window.iter().position(|byte| !(b' '..=b'~').contains(byte)) else {
        return incomplete_unless(window.len() == V1_BYTES_MAX);
    };
    match window[end..] {
        [b'\r', b'\n', ..] => {}
        [b'\r'] => return incomplete_unless(window.len() == V1_BYTES_MAX),
        _ => return Err(Malformed::BadProxyHeader),
    }
    // Nothing but ASCII came before `end`, and the first six bytes are the prefix.
    let line = str::from_utf8(&window[V1_PREFIX.len()..end]).map_err(|_| Malformed::BadProxyHeader)?;
    let source = match line.split_once(' ') {
        Some(("TCP4", rest)) => Some(parse_endpoints::<Ipv4Addr>(rest)?),
        Some(("TCP6", rest)) => Some(parse_endpoints::<Ipv6Addr>(rest)?),
        // What else stands on that line is to be ignored.
        Some(("UNKNOWN", _)) => None,
        None if line == "UNKNOWN" => None,
        _ => return Err(Malformed::BadProxyHeader),
    };
    Ok(Parsed::Header { length: end + 2, source })
}

fn incomplete_unless(is_too_long: bool) -> Result<Parsed, Malformed> {
    if is_too_long { Err(Malformed::BadProxyHeader) } else { Ok(Parsed::Incomplete) }
}

/// `source address, destination address, source port, destination port`, one space between two.
fn parse_endpoints<Ip: FromStr + Into<IpAddr>>(fields: &str) -> Result<(SocketAddr, SocketAddr), Malformed> {
    let mut fields = fields.split(' ');
    let mut next = || fields.next().ok_or(Malformed::BadProxyHeader);
    let mut ip = || next()?.parse::<Ip>().map_err(|_| Malformed::BadProxyHeader);
    let (source, destination) = (ip()?, ip()?);
    let ports = (parse_port(next()?)?, parse_port(next()?)?);
    match fields.next() {
        Some(_) => Err(Malformed::BadProxyHeader),
        None => Ok((endpoint(source, ports.0), endpoint(destination, ports.1))),
    }
}

/// Digits only and no leading zero: the integer parser of the standard library takes both.
fn parse_port(field: &str) -> Result<u16, Malformed> {
    match field.as_bytes() {
        [b'0'] => Ok(0),
        [b'1'..=b'9', ..] => field.parse().map_err(|_| Malformed::BadProxyHeader),
        _ => Err(Malformed::BadProxyHeader),
    }
}

/// Section 2.2.
fn parse_v2(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let Some((&[.., command, family, high, low], rest)) = bytes.split_first_chunk::<V2_BYTES>() else {
        return Ok(Parsed::Incomplete);
    };
    let addresses_bytes = match (command, family) {
        // LOCAL: the family is to be ignored, whatever it says.
        (0x20, _) => 0,
        (0x21, 0x11) => 2 * 4 + 4,
        (0x21, 0x21) => 2 * 16 + 4,
        (0x21, 0x31) => 2 * 108,
        // Family or protocol unspecified.
        (0x21, 0x00 | 0x01 | 0x10 | 0x20 | 0x30) => 0,
        _ => return Err(Malformed::BadProxyHeader),
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length < addresses_bytes || V2_BYTES + length > HEADER_BYTES_MAX {
        return Err(Malformed::BadProxyHeader);
    }
    let Some(block) = rest.get(..length) else { return Ok(Parsed::Incomplete) };
    let source = match (command, family) {
        (0x21, 0x11) => binary_endpoints::<4>(block),
        (0x21, 0x21) => binary_endpoints::<16>(block),
        _ => None,
    };
    Ok(Parsed::Header { length: V2_BYTES + length, source })
}

/// Both addresses of `N` bytes, then both ports.
fn binary_endpoints<const N: usize>(block: &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    [u8; N]: Into<IpAddr>,
{
    let (source, rest) = block.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let &[s0, s1, d0, d1] = rest.first_chunk()?;
    let (from, to) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
    Some((endpoint(*source, from), endpoint(*destination, to)))
}

/// A balancer with one socket for both families speaks of IPv4 clients in IPv4-mapped form.
fn endpoint(ip: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(ip.into().to_canonical(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &[u8] = b"\xC0\xA8\x00\x01\xC0\xA8\x00\x0B\xDC\x04\x01\xBB";

    #[test] // section 2.1, the example and the maximum of each kind of line
    fn lines_of_version_1_are_read() {
        let example = "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n";
        let request = format!("{example}GET / HTTP/1.1\r\nHost: 192.168.0.11\r\n\r\n");
        assert_eq!(parse(request.as_bytes()), header(47, "192.168.0.1:56324", "192.168.0.11:443"));
        let longest = "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n";
        let end = "255.255.255.255:65535";
        assert_eq!(parse(longest.as_bytes()), header(56, end, end));
        let longest = format!("PROXY TCP6 {0} {0} 65535 65535\r\n", ["ffff"; 8].join(":"));
        let end = format!("[{}]:65535", ["ffff"; 8].join(":"));
        assert_eq!(parse(longest.as_bytes()), header(104, &end, &end));
        let short = "PROXY TCP6 2001:DB8::1 :: 0 1\r\n";
        assert_eq!(parse(short.as_bytes()), header(short.len(), "[2001:db8::1]:0", "[::]:1"));
    }

    #[test] // section 2.1: use the real connection's parameters
    fn an_unknown_line_of_version_1_leaves_the_connection_its_addresses() {
        assert_eq!(parse(b"PROXY UNKNOWN\r\nPROXY UNKNOWN\r\n"), own(15));
        let longest = format!("PROXY UNKNOWN {0} {0} 65535 65535\r\n", ["ffff"; 8].join(":"));
        assert_eq!(longest.len(), V1_BYTES_MAX);
        assert_eq!(parse(longest.as_bytes()), own(107));
        let longer = longest.replace(" 65535\r", " 655350\r");
        assert_eq!(parse(longer.as_bytes()), Err(Malformed::BadProxyHeader));
        assert_eq!(parse(&longer.as_bytes()[..106]), Ok(Parsed::Incomplete));
        assert_eq!(parse(&longer.as_bytes()[..107]), Err(Malformed::BadProxyHeader));
    }

    #[test] // section 2.1: whatever does not match exactly aborts the connection
    fn a_line_of_version_1_is_taken_to_the_letter() {
        for rest in [
            "TCP4 192.0.2.1 192.0.2.2 080 443\r\n",
            "TCP4 192.0.2.1 192.0.2.2 00 443\r\n",
            "TCP4 192.0.2.1 192.0.2.2 +80 443\r\n",
            "TCP4 192.0.2.1 192.0.2.2 80 65536\r\n",
            "TCP4 192.0.2.1 192.0.2.2 80 \r\n",
            "TCP4 192.0.2.1 192.0.2.2 80\r\n",
            "TCP4 192.0.2.1 192.0.2.2 80 443 \r\n",
            "TCP4 192.0.2.1 192.0.2.2 80 443 5\r\n",
            "TCP4  192.0.2.1 192.0.2.2 80 443\r\n",
            "TCP4 192.0.2.01 192.0.2.2 80 443\r\n",
            "TCP4 192.0.2 192.0.2.2 80 443\r\n",
            "TCP4 2001:db8::1 2001:db8::2 80 443\r\n",
            "TCP4 192.0.2.1 2001:db8::2 80 443\r\n",
            "TCP6 192.0.2.1 192.0.2.2 80 443\r\n",
            "TCP6 fe80::1%1 ::1 80 443\r\n",
            "TCP6 1::2::3 ::1 80 443\r\n",
            "TCP4\r\n",
            "\r\n",
            "UNKNOWNS\r\n",
            "unknown\r\n",
            " UNKNOWN\r\n",
            "UDP4 192.0.2.1 192.0.2.2 80 443\r\n",
            "UNKNOWN \u{e9}\r\n",
            "UNKNOWN \t\r\n",
            "UNKNOWN\n",
            "UNKNOWN\rX",
        ] {
            let line = format!("PROXY {rest}");
            assert_eq!(parse(line.as_bytes()), Err(Malformed::BadProxyHeader), "{line:?}");
        }
    }

    #[test]
    fn a_header_of_version_2_is_read_and_its_tlvs_are_skipped() {
        let v4 = v2(0x21, 0x11, V4);
        assert_eq!(parse(&v4), header(28, "192.168.0.1:56324", "192.168.0.11:443"));
        let noop = [V4, b"\x04\x00\x02ab", b"\xE0\xFF\xFF"].concat();
        assert_eq!(parse(&v2(0x21, 0x11, &noop)), header(36, "192.168.0.1:56324", "192.168.0.11:443"));
        let mut v6 = [0; 36];
        (v6[15], v6[31], v6[33], v6[34]) = (1, 2, 80, 1);
        assert_eq!(parse(&v2(0x21, 0x21, &v6)), header(52, "[::1]:80", "[::2]:256"));
    }

    #[test] // section 2.2: LOCAL and UNSPEC
    fn a_header_without_internet_addresses_leaves_the_connection_its_own() {
        assert_eq!(parse(&v2(0x20, 0x00, b"")), own(16));
        assert_eq!(parse(&v2(0x20, 0x11, V4)), own(28));
        assert_eq!(parse(&v2(0x20, 0x11, b"")), own(16), "the family of LOCAL is ignored");
        assert_eq!(parse(&v2(0x20, 0xFF, b"abc")), own(19));
        assert_eq!(parse(&v2(0x21, 0x00, b"abc")), own(19));
        assert_eq!(parse(&v2(0x21, 0x10, V4)), own(28));
        assert_eq!(parse(&v2(0x21, 0x31, &[0; 216])), own(232));
    }

    #[test]
    fn a_header_of_version_2_that_breaks_the_format_is_refused() {
        let bad = Err(Malformed::BadProxyHeader);
        for (command, family, block) in [
            (0x11, 0x11, V4),
            (0x22, 0x11, V4),
            (0x21, 0x12, V4),
            (0x21, 0x22, &[0; 36]),
            (0x21, 0x32, &[0; 216]),
            (0x21, 0x41, V4),
            (0x21, 0x13, V4),
            (0x21, 0x11, &V4[1..]),
            (0x21, 0x21, &[0; 35]),
            (0x21, 0x31, &[0; 215]),
            (0x20, 0x00, &[0; HEADER_BYTES_MAX - 15]),
        ] {
            assert_eq!(parse(&v2(command, family, block)), bad, "{command:#x} {family:#x}");
        }
        let longest = v2(0x20, 0, &[0; HEADER_BYTES_MAX - 16]);
        assert_eq!(parse(&longest), own(HEADER_BYTES_MAX));
        let endless = [V2_SIGNATURE, &[0x21, 0x11, 0xFF, 0xFF]].concat();
        assert_eq!(parse(&endless), bad, "refused at its length, not waited for");
    }

    #[test]
    fn what_begins_no_header_is_seen_at_its_first_wrong_byte() {
        let not = Err(Malformed::NotProxyProtocol);
        for (bytes, wrong_at) in
            [(&b"\x16\x03\x01"[..], 0), (b"\0\x01\0\0", 0), (b"POST / HTTP/1.1\r\n", 1), (b"PROXY\t", 5)]
        {
            assert_eq!(parse(&bytes[..wrong_at]), Ok(Parsed::Incomplete));
            assert_eq!(parse(&bytes[..=wrong_at]), not);
            assert!(!looks_like(bytes));
        }
        assert_eq!(parse(b"\r\n\r\n\0\r\nQUIT\r"), not);
    }

    #[test]
    fn every_beginning_of_a_header_waits_for_the_rest() {
        let headers: [&[u8]; 4] = [
            b"PROXY UNKNOWN x\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            &v2(0x21, 0x11, &[V4, b"\x04\0\0"].concat()),
            &v2(0x20, 0xFF, b""),
        ];
        for header in headers {
            let whole = parse(header).expect("a header");
            for end in 0..header.len() {
                assert_eq!(parse(&header[..end]), Ok(Parsed::Incomplete), "{end} of {header:?}");
                let enough = if header[0] == b'P' { 6 } else { 12 };
                assert_eq!(looks_like(&header[..end]), end >= enough);
            }
            assert_eq!(parse(&[header, b"\x00\x01"].concat()), Ok(whole));
        }
    }

    #[test]
    fn an_ipv4_client_behind_a_socket_for_both_families_is_ipv4() {
        let line = "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c000:202 1 2\r\n";
        assert_eq!(parse(line.as_bytes()), header(line.len(), "192.0.2.1:1", "192.0.2.2:2"));
    }

    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).expect("a short block").to_be_bytes();
        [V2_SIGNATURE, &[command, family], &length, block].concat()
    }

    fn header(length: usize, source: &str, destination: &str) -> Result<Parsed, Malformed> {
        let literal = |text: &str| text.parse().expect("a literal");
        Ok(Parsed::Header { length, source: Some((literal(source), literal(destination))) })
    }

    fn own(length: usize) -> Result<Parsed, Malformed> {
        Ok(Parsed::Header { length, source: None })
    }
}
