//! PROXY protocol headers against the `proxy-header` crate, which we did not write: both ways, and
//! wherever the two disagree, for a reason of the list.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proxy_header::{Error, ParseConfig, ProxiedAddress, ProxyHeader};
use std::net::{IpAddr, SocketAddr};
use turnstone::wire::Malformed;
use turnstone::wire::proxy_protocol::{HEADER_BYTES_MAX, Parsed, parse};

/// Why the two may answer differently to the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Difference {
    /// One of the two waits for bytes that the other needs no more to refuse.
    Patience,
    /// They take ports with a sign or a leading zero (section 2.1 forbids zeroes).
    PortForm,
    /// They take any byte where the space behind PROXY must be, and any bytes right behind UNKNOWN.
    LineForm,
    /// They take a line beyond byte 107.
    LineTooLong,
    /// They take headers about datagrams, which no stream carries.
    Datagram,
    /// They take lengths up to 65,535 bytes.
    BlockTooLong,
    /// They refuse LOCAL with a family that they do not know or a block too short for it; it is to be
    /// ignored (section 2.2).
    LocalFamily,
    /// They refuse an address without a protocol and the reverse, which may be taken as unspecified.
    Unspecified,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn what_theirs_writes_ours_reads(
        ends in ends(),
        has_ends in any::<bool>(),
        is_v1 in any::<bool>(),
        behind in vec(any::<u8>(), 0..40),
    ) {
        let header = match has_ends {
            true => ProxyHeader::with_address(ProxiedAddress::stream(ends.0, ends.1)),
            false => ProxyHeader::with_local(),
        };
        let mut bytes = Vec::new();
        match is_v1 {
            true => header.encode_v1(&mut bytes).unwrap(),
            false => header.encode_v2(&mut bytes).unwrap(),
        }
        let length = bytes.len();
        for end in 0..length {
            prop_assert_eq!(parse(&bytes[..end]), Ok(Parsed::Incomplete));
        }
        bytes.extend(behind);
        let source = has_ends.then_some(ends);
        prop_assert_eq!(parse(&bytes), Ok(Parsed::Header { length, source }));
    }

    #[test]
    fn both_answer_alike_to_lines_but_for_the_listed_reasons(line in line(), change in changes()) {
        difference(&changed(line.into_bytes(), &change));
    }

    #[test]
    fn both_answer_alike_to_binary_headers_but_for_the_listed_reasons(
        bytes in binary(),
        change in changes(),
    ) {
        difference(&changed(bytes, &change));
    }
}

/// The list of reasons names only what happens.
#[test]
fn each_listed_difference_is_seen() {
    let long = [b"PROXY UNKNOWN ".as_slice(), &[b'f'; 92], b"\r\n"].concat();
    let signature = b"\r\n\r\n\0\r\nQUIT\n".as_slice();
    let v2 = |command, family, block: &[u8]| {
        [signature, &[command, family], &(block.len() as u16).to_be_bytes(), block].concat()
    };
    let cases: [(Vec<u8>, Difference); 8] = [
        (b"POST".to_vec(), Difference::Patience),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 02\r\n".to_vec(), Difference::PortForm),
        (b"PROXY_UNKNOWNS\r\n".to_vec(), Difference::LineForm),
        (long, Difference::LineTooLong),
        (v2(0x21, 0x12, &[7; 12]), Difference::Datagram),
        (v2(0x21, 0x11, &[7; HEADER_BYTES_MAX]), Difference::BlockTooLong),
        (v2(0x20, 0x44, &[]), Difference::LocalFamily),
        (v2(0x21, 0x10, &[]), Difference::Unspecified),
    ];
    for (bytes, reason) in cases {
        assert_eq!(difference(&bytes), Some(reason), "{}", bytes.escape_ascii());
    }
    assert_eq!(difference(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"), None);
}

/// Reads `bytes` with both and panics unless a difference has a reason, which is returned.
fn difference(bytes: &[u8]) -> Option<Difference> {
    let (ours, theirs) = (parse(bytes), theirs(bytes));
    match (ours, theirs) {
        (Err(_), Err(_)) => None,
        _ if ours == theirs => None,
        (Err(_), Ok(Parsed::Header { length, .. })) => Some(laxity(&bytes[..length])),
        (Err(_), Ok(Parsed::Incomplete)) | (Ok(Parsed::Incomplete), Err(_)) => Some(Difference::Patience),
        (Ok(Parsed::Header { .. }), _) if bytes.get(12) == Some(&0x20) => Some(Difference::LocalFamily),
        (Ok(Parsed::Header { .. }), Err(_)) if matches!(bytes[13], 0x01 | 0x10 | 0x20 | 0x30) => {
            Some(Difference::Unspecified)
        }
        _ => panic!("no listed reason: ours {ours:?}, theirs {theirs:?} to {}", bytes.escape_ascii()),
    }
}

/// Why ours refuses a header that theirs takes.
fn laxity(header: &[u8]) -> Difference {
    if header[0] != b'P' {
        return match header[13] {
            0x12 | 0x22 | 0x32 => Difference::Datagram,
            _ if header.len() > HEADER_BYTES_MAX => Difference::BlockTooLong,
            family => panic!("no listed reason for family {family:#x}: {}", header.escape_ascii()),
        };
    }
    let line = &header[..header.len() - 2];
    let mut ports = line.rsplit(|byte| *byte == b' ').take(2);
    let is_odd = |port: &[u8]| port.len() > 1 && matches!(port[0], b'0' | b'+');
    if header.len() > 107 {
        Difference::LineTooLong
    } else if line[6..].starts_with(b"TCP") && ports.any(is_odd) {
        Difference::PortForm
    } else {
        let is_text = line.iter().all(|byte| (b' '..=b'~').contains(byte));
        let is_named = line.starts_with(b"PROXY ") && (line.len() == 13 || line.get(13) == Some(&b' '));
        assert!(!is_text || !is_named, "no listed reason: {}", line.escape_ascii());
        Difference::LineForm
    }
}

/// Their answer in our words. They tell no header from a broken one.
fn theirs(bytes: &[u8]) -> Result<Parsed, Malformed> {
    match ProxyHeader::parse(bytes, ParseConfig::default()) {
        Err(Error::BufferTooShort) => Ok(Parsed::Incomplete),
        Err(_) => Err(Malformed::BadProxyHeader),
        Ok((header, length)) => {
            let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
            let source =
                header.proxied_address().map(|ends| (canonical(ends.source), canonical(ends.destination)));
            Ok(Parsed::Header { length, source })
        }
    }
}

/// Two ends of one family, none of them IPv4-mapped.
fn ends() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    let v4 = (any::<[u8; 4]>(), any::<[u8; 4]>()).prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b)));
    let v6 = (any::<[u16; 8]>(), any::<[u16; 8]>()).prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b)));
    (prop_oneof![v4, v6], any::<[u16; 2]>()).prop_map(|((a, b), [from, to])| {
        (SocketAddr::new(a.to_canonical(), from), SocketAddr::new(b.to_canonical(), to))
    })
}

/// A line with fields that are often right.
fn line() -> impl Strategy<Value = String> {
    let kind = prop_oneof![4 => Just("TCP4"), 4 => Just("TCP6"), 2 => Just("UNKNOWN"), 1 => Just("UDP4")];
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(|ip| IpAddr::from(ip).to_string()),
        any::<[u16; 8]>().prop_map(|ip| IpAddr::from(ip).to_string()),
        Just("::ffff:192.0.2.1".to_owned()),
        "[0-9a-f:.]{0,50}",
    ];
    let port = prop_oneof![3 => any::<u16>().prop_map(|port| port.to_string()), 1 => "[+0]?[0-9]{0,6}"];
    (kind, [ip.clone(), ip], [port.clone(), port], prop_oneof![9 => Just("\r\n"), 1 => Just("\n")])
        .prop_map(|(kind, [a, b], [from, to], end)| format!("PROXY {kind} {a} {b} {from} {to}{end}"))
}

fn binary() -> impl Strategy<Value = Vec<u8>> {
    let command = prop_oneof![4 => Just(0x21u8), 2 => Just(0x20), 1 => any::<u8>()];
    let family = prop_oneof![3 => Just(0x11u8), 3 => Just(0x21), 2 => 0..0x40u8, 1 => any::<u8>()];
    let block = prop_oneof![4 => vec(any::<u8>(), 0..60), 1 => vec(any::<u8>(), 200..1100)];
    let claimed = prop_oneof![6 => Just(None), 1 => any::<u16>().prop_map(Some)];
    (command, family, block, claimed).prop_map(|(command, family, block, claimed)| {
        let length = claimed.unwrap_or(block.len() as u16).to_be_bytes();
        [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, &block].concat()
    })
}

/// At most one byte changed, then perhaps a cut.
fn changes() -> impl Strategy<Value = (Option<(Index, u8)>, Option<Index>)> {
    (proptest::option::weighted(0.3, any::<(Index, u8)>()), proptest::option::weighted(0.3, any::<Index>()))
}

fn changed(mut bytes: Vec<u8>, (byte, cut): &(Option<(Index, u8)>, Option<Index>)) -> Vec<u8> {
    if let Some((at, value)) = byte {
        let at = at.index(bytes.len());
        bytes[at] = *value;
    }
    if let Some(cut) = cut {
        bytes.truncate(cut.index(bytes.len()));
    }
    bytes
}
