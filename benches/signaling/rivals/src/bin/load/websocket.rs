//! Just enough of RFC 6455 for a client whose server sends whole messages.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;

pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

/// Longer than any answer to an upgrade.
const ANSWER_MAX: usize = 16 * 1024;

/// A message from the server, borrowed from where it was received.
pub(crate) struct Frame<'a> {
    pub(crate) opcode: u8,
    pub(crate) payload: &'a [u8],
    /// Bytes of the frame with its header.
    pub(crate) len: usize,
}

/// The first frame of `bytes`, or none while it is not whole.
pub(crate) fn first_frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, Box<dyn Error>> {
    let [first, second, ..] = *bytes else { return Ok(None) };
    if first & !0xF != FIN || first & 0xF == 0 || second & MASKED != 0 {
        return Err("a frame that is fragmented, compressed or masked".into());
    }
    let (header, payload) = match (second, bytes) {
        (126, [_, _, a, b, ..]) => (4, u64::from(u16::from_be_bytes([*a, *b]))),
        (127, [_, _, a, b, c, d, e, f, g, h, ..]) => {
            (10, u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]))
        }
        (126 | 127, _) => return Ok(None),
        (len, _) => (2, u64::from(len)),
    };
    let len = header + payload as usize;
    let frame = bytes.get(header..len).map(|payload| Frame { opcode: first & 0xF, payload, len });
    Ok(frame)
}

/// Appends a frame; `mask` is what the client chose for it.
///
/// # Panics
/// When the payload is 64 KiB or longer, which nothing here is.
pub(crate) fn push_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8], mask: u32) {
    out.push(FIN | opcode);
    match payload.len() {
        len @ 0..126 => out.push(MASKED | len as u8),
        len => {
            out.push(MASKED | 126);
            out.extend(u16::try_from(len).expect("a short message").to_be_bytes());
        }
    }
    let mask = mask.to_be_bytes();
    out.extend(mask);
    let begin = out.len();
    out.extend(payload);
    for (byte, key) in out[begin..].iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

/// Upgrades a blocking stream. Returns what came behind the answer.
pub(crate) fn upgrade(
    stream: &mut TcpStream,
    path: &str,
    subprotocol: Option<&str>,
) -> Result<Vec<u8>, Box<dyn Error>> {
    let subprotocol = subprotocol.map_or(String::new(), |name| format!("Sec-WebSocket-Protocol: {name}\r\n"));
    let host = stream.peer_addr()?;
    // The key of the example in RFC 6455 section 1.3.
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{subprotocol}\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let end = loop {
        if let Some(at) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        let mut bytes = [0; 4096];
        let len = stream.read(&mut bytes)?;
        answer.extend(&bytes[..len]);
        if len == 0 || answer.len() > ANSWER_MAX {
            return Err(format!("no upgrade: {}", String::from_utf8_lossy(&answer)).into());
        }
    };
    if !answer.starts_with(b"HTTP/1.1 101 ") {
        return Err(format!("no upgrade: {}", String::from_utf8_lossy(&answer)).into());
    }
    Ok(answer.split_off(end))
}
