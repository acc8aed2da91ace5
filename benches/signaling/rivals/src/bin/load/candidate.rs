//! The payload: an ICE candidate as browsers write it, of any length, with its time of sending in it.

use std::error::Error;

/// The foundation is free text of up to 32 letters (RFC 8839 section 5.1), so the time goes there.
const HEAD: &[u8] = b"{\"candidate\":\"candidate:";
const STAMP_DIGITS: usize = 16;
const BODY: &[u8] = b" 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 192.0.2.9 rport 46154 ufrag ";
const TAIL: &[u8] = b"\",\"sdpMid\":\"0\",\"sdpMLineIndex\":0}";
/// A user fragment is at most so long (RFC 8839 section 5.4).
const UFRAG_MAX: usize = 256;

/// In front of the time, and nowhere else in an event.
const MARK: &[u8] = b"\"candidate:";

/// The JSON of one candidate.
pub(crate) struct Candidate {
    json: Vec<u8>,
}

impl Candidate {
    pub(crate) fn of_bytes(len: usize) -> Result<Self, Box<dyn Error>> {
        let fixed = HEAD.len() + STAMP_DIGITS + BODY.len() + TAIL.len();
        let possible = fixed + 4..=fixed + UFRAG_MAX;
        if !possible.contains(&len) {
            return Err(format!("a candidate has {} to {} bytes", possible.start(), possible.end()).into());
        }
        let ufrag = vec![b'u'; len - fixed];
        Ok(Self { json: [HEAD, &[b'0'; STAMP_DIGITS], BODY, &ufrag, TAIL].concat() })
    }

    /// The JSON, sent at `now_ns`.
    pub(crate) fn stamped(&mut self, now_ns: u64) -> &[u8] {
        let digits = self.json[HEAD.len()..][..STAMP_DIGITS].iter_mut();
        for (place, digit) in (0..STAMP_DIGITS).rev().zip(digits) {
            *digit = b"0123456789abcdef"[(now_ns >> (4 * place)) as usize & 15];
        }
        &self.json
    }
}

/// When the candidate in an event was sent; none when it holds no candidate.
pub(crate) fn sent_at(event: &[u8]) -> Option<u64> {
    let at = event.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let digits = event.get(at..at + STAMP_DIGITS)?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
