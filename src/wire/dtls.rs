//! As much of DTLS 1.2 as a server needs in front of its sessions: the ClientHello and the
//! HelloVerifyRequest that answers it without state (RFC 6347 section 4.2.1).
//!
//! ```text
//! record:    | type 1 | version 2 | epoch 2 | sequence 6 | length 2 | fragment ..
//! handshake: | type 1 | length 3 | message_seq 2 | fragment offset 3 | fragment length 3 | body ..
//! hello:     | version 2 | random 32 | session id 1 + 0..32 | cookie 1 + 0..255 | suites, ..
//! ```

/// Bytes of a cookie that we issue; DTLS allows 255 (RFC 6347 section 4.2.1).
pub const COOKIE_BYTES: usize = 32;

/// Bytes of [`hello_verify_request`]: fewer than the 67 of the smallest ClientHello, so that nobody is
/// ever sent more than came in his name.
pub const HELLO_VERIFY_REQUEST_BYTES: usize = BODY_AT + 2 + 1 + COOKIE_BYTES;

/// The front of a ClientHello: what a cookie is about, and what is chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHello<'a> {
    /// Sequence number of its record, 48 bits.
    pub record_sequence: u64,
    /// Number of the message in its handshake: 0, and one more after each HelloVerifyRequest.
    pub message_seq: u16,
    /// The random bytes of the client, the same in all its hellos of one handshake.
    pub random: &'a [u8; 32],
    /// What the client echoes: empty at first.
    pub cookie: &'a [u8],
    version: [u8; 2],
    /// Cipher suites, two bytes each; those that this fragment holds.
    suites: &'a [u8],
    suites_are_whole: bool,
}

/// Why a hello is refused in the clear: the number of the alert (RFC 5246 section 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alert {
    /// Nothing in common.
    HandshakeFailure = 40,
    /// Too old.
    ProtocolVersion = 70,
}

impl<'a> ClientHello<'a> {
    /// The hello at the front of a datagram, or its first fragment when that reaches past the cookie: a
    /// hello with keys of post-quantum size does not fit one datagram.
    ///
    /// `None` for everything else, be it another record of DTLS or no DTLS at all.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let record = Record::parse(datagram)?;
        let (header, body) = record.fragment.split_first_chunk::<HANDSHAKE_BYTES>()?;
        if record.kind != HANDSHAKE || record.epoch != 0 || header[0] != CLIENT_HELLO {
            return None;
        }
        let (length, offset, fragment) = (u24(header, 1), u24(header, 6), u24(header, 9));
        if offset != 0 || fragment > length {
            return None;
        }
        let mut rest = body.get(..fragment)?;
        let version = take::<2>(&mut rest)?;
        let random = take::<32>(&mut rest)?;
        let session_id = take_short(&mut rest)?;
        let cookie = take_short(&mut rest)?;
        let suites_length = take(&mut rest).map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
        (version[0] == VERSION_MAJOR && session_id.len() <= SESSION_ID_BYTES_MAX).then_some(Self {
            record_sequence: record.sequence,
            message_seq: u16::from_be_bytes([header[4], header[5]]),
            random,
            cookie,
            version: *version,
            suites: &rest[..suites_length.min(rest.len())],
            suites_are_whole: suites_length <= rest.len(),
        })
    }

    /// Why no session with any of these cipher suites can begin with this hello, as far as it is seen here.
    /// The oldest version is DTLS 1.2.
    pub fn fault(&self, suites: &[u16]) -> Option<Alert> {
        if self.version > VERSION_1_2 {
            return Some(Alert::ProtocolVersion);
        }
        let has_none = self.suites_are_whole && !suites.iter().any(|suite| self.offers(*suite));
        has_none.then_some(Alert::HandshakeFailure)
    }

    /// Whether the client offers this cipher suite.
    pub fn offers(&self, suite: u16) -> bool {
        self.suites.chunks_exact(2).any(|offered| offered == suite.to_be_bytes())
    }
}

/// The answer to a hello without a good cookie.
///
/// Record and message carry the numbers of the hello's (RFC 6347 section 4.2.1: a server without state
/// has none of its own).
pub fn hello_verify_request(
    hello: &ClientHello<'_>,
    cookie: &[u8; COOKIE_BYTES],
) -> [u8; HELLO_VERIFY_REQUEST_BYTES] {
    let mut out = [0; HELLO_VERIFY_REQUEST_BYTES];
    put_headers(&mut out, HELLO_VERIFY_REQUEST, hello.record_sequence, hello.message_seq);
    // RFC 6347 section 4.2.1: DTLS 1.0, whatever version is going to be negotiated.
    out[BODY_AT..BODY_AT + 2].copy_from_slice(&VERSION_1_0);
    out[BODY_AT + 2] = COOKIE_BYTES as u8;
    out[BODY_AT + 3..].copy_from_slice(cookie);
    out
}

/// The answer to a hello that nothing can come of: a fatal alert, which the client may believe or not.
pub fn alert(hello: &ClientHello<'_>, alert: Alert) -> [u8; ALERT_BYTES] {
    let mut out = [0; ALERT_BYTES];
    put_record_header(&mut out, ALERT, hello.record_sequence);
    out[RECORD_BYTES..].copy_from_slice(&[FATAL, alert as u8]);
    out
}

/// The smallest hello that a client could have sent before it had a cookie: no session, one cipher
/// suite, no extension.
pub fn bare_hello(random: &[u8; 32], message_seq: u16) -> [u8; BARE_HELLO_BYTES] {
    let mut out = [0; BARE_HELLO_BYTES];
    put_headers(&mut out, CLIENT_HELLO, u64::from(message_seq), message_seq);
    out[BODY_AT..BODY_AT + 2].copy_from_slice(&VERSION_1_2);
    out[BODY_AT + 2..BODY_AT + 34].copy_from_slice(random);
    // Session id and cookie stay empty. TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, and no compression.
    out[BODY_AT + 36..].copy_from_slice(&[0, 2, 0xC0, 0x2B, 1, 0]);
    out
}

/// Whether a datagram begins with a HelloVerifyRequest.
pub fn is_hello_verify_request(datagram: &[u8]) -> bool {
    let message = Record::parse(datagram).filter(|record| record.kind == HANDSHAKE && record.epoch == 0);
    message.is_some_and(|record| record.fragment.first() == Some(&HELLO_VERIFY_REQUEST))
}

/// Adds `by` to the sequence number of every record that is not encrypted, modulo 2^48.
///
/// Nothing authenticates those numbers, so whoever passes the records on may count them on.
pub fn advance_plaintext_records(mut datagram: &mut [u8], by: u64) {
    while let Some(record) = Record::parse(datagram) {
        let end = RECORD_BYTES + record.fragment.len();
        if record.epoch == 0 {
            let sequence = record.sequence.wrapping_add(by).to_be_bytes();
            datagram[SEQUENCE_AT..SEQUENCE_AT + 6].copy_from_slice(&sequence[2..]);
        }
        datagram = &mut datagram[end..];
    }
}

struct Record<'a> {
    kind: u8,
    epoch: u16,
    sequence: u64,
    fragment: &'a [u8],
}

impl<'a> Record<'a> {
    /// The first record of a datagram.
    fn parse(datagram: &'a [u8]) -> Option<Self> {
        let (header, rest) = datagram.split_first_chunk::<RECORD_BYTES>()?;
        let [kind, major, _, e0, e1, s0, s1, s2, s3, s4, s5, l0, l1] = *header;
        let fragment = rest.get(..usize::from(u16::from_be_bytes([l0, l1])))?;
        (major == VERSION_MAJOR).then_some(Self {
            kind,
            epoch: u16::from_be_bytes([e0, e1]),
            sequence: u64::from_be_bytes([0, 0, s0, s1, s2, s3, s4, s5]),
            fragment,
        })
    }
}

/// One record with one whole message, whose body fills the rest of `out`.
fn put_headers(out: &mut [u8], message: u8, record_sequence: u64, message_seq: u16) {
    let body = (out.len() - BODY_AT) as u32;
    put_record_header(out, HANDSHAKE, record_sequence);
    let header = &mut out[RECORD_BYTES..BODY_AT];
    header[0] = message;
    header[1..4].copy_from_slice(&body.to_be_bytes()[1..]);
    header[4..6].copy_from_slice(&message_seq.to_be_bytes());
    header[9..12].copy_from_slice(&body.to_be_bytes()[1..]);
}

/// One record, whose fragment fills the rest of `out`.
fn put_record_header(out: &mut [u8], kind: u8, sequence: u64) {
    let length = ((out.len() - RECORD_BYTES) as u16).to_be_bytes();
    out[0] = kind;
    out[1..3].copy_from_slice(&VERSION_1_0);
    out[SEQUENCE_AT..SEQUENCE_AT + 6].copy_from_slice(&sequence.to_be_bytes()[2..]);
    out[11..13].copy_from_slice(&length);
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (front, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(front)
}

/// Bytes behind a length of one byte.
fn take_short<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let [length] = *take::<1>(rest)?;
    let (front, behind) = rest.split_at_checked(usize::from(length))?;
    *rest = behind;
    Some(front)
}

fn u24(bytes: &[u8; HANDSHAKE_BYTES], at: usize) -> usize {
    u32::from_be_bytes([0, bytes[at], bytes[at + 1], bytes[at + 2]]) as usize
}

const RECORD_BYTES: usize = 13;
const SEQUENCE_AT: usize = 5;
const HANDSHAKE_BYTES: usize = 12;
/// Where the body of the first message of a datagram begins.
const BODY_AT: usize = RECORD_BYTES + HANDSHAKE_BYTES;
const BARE_HELLO_BYTES: usize = BODY_AT + 2 + 32 + 1 + 1 + 4 + 2;
const SESSION_ID_BYTES_MAX: usize = 32;
const ALERT_BYTES: usize = RECORD_BYTES + 2;
const ALERT: u8 = 21;
const FATAL: u8 = 2;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const HELLO_VERIFY_REQUEST: u8 = 3;
/// Versions count down from 254.255, which is DTLS 1.0.
const VERSION_MAJOR: u8 = 254;
const VERSION_1_0: [u8; 2] = [VERSION_MAJOR, 255];
const VERSION_1_2: [u8; 2] = [VERSION_MAJOR, 253];

#[cfg(test)]
mod tests {
    use super::*;

    const RANDOM: [u8; 32] = [9; 32];

    #[test]
    fn a_hello_is_read_up_to_its_cookie() {
        let mut bytes = bare_hello(&RANDOM, 3);
        bytes[SEQUENCE_AT..SEQUENCE_AT + 6].copy_from_slice(&[0x10, 0, 0, 0, 0, 7]);
        let hello = ClientHello::parse(&bytes).expect("a hello");
        assert_eq!((hello.record_sequence, hello.message_seq), (0x1000_0000_0007, 3));
        assert_eq!((hello.random, hello.cookie), (&RANDOM, &[][..]));
        assert!(hello.offers(0xC02B) && !hello.offers(0x2BC0) && !hello.offers(0));
        let with_cookie = with_cookie(&[5; 20]);
        assert_eq!(ClientHello::parse(&with_cookie).expect("a hello").cookie, [5; 20]);
    }

    #[test] // RFC 6347 section 4.2.3
    fn the_first_fragment_is_enough_when_it_reaches_past_the_cookie() {
        let mut bytes = with_cookie(&[5; 20]);
        let fragment = bytes.len() - BODY_AT;
        bytes[RECORD_BYTES + 1..RECORD_BYTES + 4].copy_from_slice(&[0, 8, 0]);
        assert_eq!(ClientHello::parse(&bytes).expect("a fragment").cookie, [5; 20]);
        bytes[RECORD_BYTES + 8] = 1;
        assert_eq!(ClientHello::parse(&bytes), None, "a later fragment");
        bytes[RECORD_BYTES + 8] = 0;
        bytes[RECORD_BYTES + 11] = fragment as u8 + 1;
        assert_eq!(ClientHello::parse(&bytes), None, "longer than its record");
    }

    #[test]
    fn a_hello_cut_anywhere_is_none() {
        let bytes = with_cookie(&[5; 20]);
        for end in 0..bytes.len() {
            assert_eq!(ClientHello::parse(&bytes[..end]), None, "{end}");
        }
    }

    #[test]
    fn other_records_are_no_hellos() {
        for (at, value) in
            [(0, 21), (0, 23), (1, 3), (4, 1), (RECORD_BYTES, 2), (RECORD_BYTES, 3), (BODY_AT, 3)]
        {
            let mut bytes = bare_hello(&RANDOM, 0);
            bytes[at] = value;
            assert_eq!(ClientHello::parse(&bytes), None, "{at} {value}");
        }
    }

    #[test] // RFC 6347 section 4.2.1; security U5
    fn the_answer_is_smaller_than_any_hello_and_carries_its_numbers() {
        let mut bytes = bare_hello(&RANDOM, 1);
        bytes[SEQUENCE_AT + 5] = 4;
        let hello = ClientHello::parse(&bytes).expect("a hello");
        let answer = hello_verify_request(&hello, &[0xCC; COOKIE_BYTES]);
        assert!(answer.len() < bytes.len());
        assert!(is_hello_verify_request(&answer) && !is_hello_verify_request(&bytes));
        assert_eq!(answer[..BODY_AT - 12], [22, 254, 255, 0, 0, 0, 0, 0, 0, 0, 4, 0, 47]);
        assert_eq!(answer[BODY_AT - 12..BODY_AT + 3], [3, 0, 0, 35, 0, 1, 0, 0, 0, 0, 0, 35, 254, 255, 32]);
        assert_eq!(answer[BODY_AT + 3..], [0xCC; COOKIE_BYTES]);
    }

    #[test]
    fn a_hello_without_anything_in_common_is_told_so() {
        let mut bytes = bare_hello(&RANDOM, 0);
        let fault = |bytes: &[u8], suites: &[u16]| ClientHello::parse(bytes).expect("a hello").fault(suites);
        assert_eq!(fault(&bytes, &[0xCCA9, 0xC02B]), None);
        assert_eq!(fault(&bytes, &[0xCCA9]), Some(Alert::HandshakeFailure));
        bytes[BODY_AT + 36] = 1;
        assert_eq!(fault(&bytes, &[0xCCA9]), None, "the list goes on in another fragment");
        bytes[BODY_AT..BODY_AT + 2].copy_from_slice(&VERSION_1_0);
        assert_eq!(fault(&bytes, &[0xC02B]), Some(Alert::ProtocolVersion));
        let hello = ClientHello::parse(&bytes).expect("a hello");
        assert_eq!(
            alert(&hello, Alert::ProtocolVersion),
            [21, 254, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 70]
        );
    }

    #[test]
    fn only_plaintext_records_are_counted_on() {
        let (first, mut second, third) =
            (bare_hello(&RANDOM, 1), bare_hello(&RANDOM, 2), bare_hello(&RANDOM, 3));
        second[4] = 1;
        let mut datagram = [&first[..], &second, &third, b"tail"].concat();
        advance_plaintext_records(&mut datagram, 10);
        let sequence = |n: usize| datagram[n * first.len() + SEQUENCE_AT + 5];
        assert_eq!([sequence(0), sequence(1), sequence(2)], [11, 2, 13]);
        let mut last = first;
        advance_plaintext_records(&mut last, u64::MAX);
        assert_eq!(last[SEQUENCE_AT..SEQUENCE_AT + 6], [0; 6], "48 bits wrap");
    }

    fn with_cookie(cookie: &[u8]) -> Vec<u8> {
        let bare = bare_hello(&RANDOM, 0);
        let mut bytes =
            [&bare[..BODY_AT + 35], &[cookie.len() as u8], cookie, &bare[BODY_AT + 36..]].concat();
        let length = bytes.len();
        put_headers(&mut bytes, CLIENT_HELLO, 0, 0);
        assert_eq!(bytes.len(), length);
        bytes
    }
}
