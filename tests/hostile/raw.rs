//! A client that sends whatever it is told to, byte by byte.

use crate::daemon::PATIENCE;
use crate::place::{Place, token};
use crate::tls_client::Link;
use serde_json::json;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Opcodes.
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const PING: u8 = 9;

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Ping,
    Pong,
    /// With its code.
    Close(u16),
    /// No more comes, by a FIN or a reset.
    End,
}

pub(crate) struct Raw {
    pub(crate) link: Link,
    buffer: Vec<u8>,
}

pub(crate) fn connect(server: SocketAddr) -> Link {
    let socket = TcpStream::connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    Link::clear(socket)
}

/// One request with its headers, each with a line end, and a body; the answer's status and text.
pub(crate) fn http(link: &mut Link, line: &str, headers: &str, body: &[u8]) -> io::Result<(u16, String)> {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("{line} HTTP/1.1\r\nHost: turn.example.org\r\n{length}{headers}\r\n");
    link.write_all(&[head.as_bytes(), body].concat())?;
    answer(link)
}

/// Reads one answer, by its `Content-Length`.
pub(crate) fn answer(link: &mut Link) -> io::Result<(u16, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if link.read(&mut byte)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    let length = head.to_ascii_lowercase();
    let length = length.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    link.read_exact(&mut body)?;
    Ok((status, String::from_utf8(body).unwrap()))
}

impl Raw {
    /// A WebSocket at `path`, over a connection that is open.
    pub(crate) fn upgrade(mut link: Link, path: &str, headers: &str) -> Result<Self, (u16, String)> {
        let headers = format!(
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}"
        );
        match http(&mut link, &format!("GET {path}"), &headers, b"").unwrap() {
            (101, _) => Ok(Self { link, buffer: Vec::new() }),
            refused => Err(refused),
        }
    }

    /// At `/ws`, before the hello.
    pub(crate) fn plain(place: &Place) -> Self {
        Self::upgrade(connect(place.public), "/ws", "Sec-WebSocket-Protocol: turnstone.v1.json\r\n").unwrap()
    }

    /// Said hello.
    pub(crate) fn plain_in(place: &Place, user: &str) -> Self {
        let mut one = Self::plain(place);
        one.text(&json!({ "hello": { "token": token(user) } }).to_string());
        assert!(matches!(one.hear(), Heard::Text(text) if text.starts_with("{\"welcome\"")));
        one.hear();
        one
    }

    /// Engine.IO, before the CONNECT.
    pub(crate) fn engine(place: &Place) -> Self {
        let path = "/socket.io/?EIO=4&transport=websocket";
        let mut one = Self::upgrade(connect(place.public), path, "").unwrap();
        assert!(matches!(one.hear(), Heard::Text(text) if text.starts_with("0{")));
        one
    }

    /// In the namespace `/`.
    pub(crate) fn engine_in(place: &Place, user: &str) -> Self {
        let mut one = Self::engine(place);
        one.text(&format!("40{}", json!({ "token": token(user) })));
        assert!(matches!(one.hear(), Heard::Text(text) if text.starts_with("40{")));
        one.hear();
        one
    }

    pub(crate) fn text(&mut self, text: &str) {
        // Whoever is closed in the middle of it sees that when it reads.
        let _closed = self.try_send(&frame(TEXT, text.as_bytes()));
    }

    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.link.write_all(bytes)
    }

    /// The next frame.
    pub(crate) fn hear(&mut self) -> Heard {
        loop {
            if let Some((heard, length)) = parse(&self.buffer) {
                self.buffer.drain(..length);
                return heard;
            }
            let mut bytes = [0; 16 << 10];
            match self.link.read(&mut bytes) {
                Ok(0) => return Heard::End,
                Ok(count) => self.buffer.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Heard::End,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    /// Reads until the server closes; gives the texts before, and the code of the close frame if one came.
    pub(crate) fn until_closed(&mut self) -> (Vec<String>, Option<u16>) {
        let (mut texts, mut code) = (Vec::new(), None);
        loop {
            match self.hear() {
                Heard::Text(text) => texts.push(text),
                Heard::Close(with) => code = Some(with),
                Heard::End => return (texts, code),
                Heard::Binary(_) | Heard::Ping | Heard::Pong => {}
            }
        }
    }

    /// The texts up to one that `is_last` takes.
    pub(crate) fn until(&mut self, mut is_last: impl FnMut(&str) -> bool) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            match self.hear() {
                Heard::Text(text) if is_last(&text) => {
                    texts.push(text);
                    return texts;
                }
                Heard::Text(text) => texts.push(text),
                Heard::Close(_) | Heard::End => panic!("closed: {texts:#?}"),
                _ => {}
            }
        }
    }

    /// A connection that ends with a reset.
    pub(crate) fn reset(self) {
        let _gone = socket2::SockRef::from(&self.link.socket).set_linger(Some(std::time::Duration::ZERO));
    }
}

fn parse(bytes: &[u8]) -> Option<(Heard, usize)> {
    let (opcode, length) = (bytes.first()? & 15, *bytes.get(1)?);
    let (length, start) = match length {
        126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap())), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()), 10),
        length => (u64::from(length), 2),
    };
    let end = start + length as usize;
    let payload = bytes.get(start..end)?;
    let heard = match opcode {
        1 => Heard::Text(String::from_utf8(payload.to_vec()).unwrap()),
        2 => Heard::Binary(payload.to_vec()),
        8 => Heard::Close(payload.get(..2).map_or(1005, |code| u16::from_be_bytes([code[0], code[1]]))),
        9 => Heard::Ping,
        _ => Heard::Pong,
    };
    Some((heard, end))
}

/// A whole masked frame.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    header_and(0x80 | opcode, payload.len() as u64, payload)
}

/// A masked frame with this first byte, which says that it has `length` bytes.
pub(crate) fn header_and(first: u8, length: u64, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = vec![first];
    match length {
        0..126 => out.push(0x80 | length as u8),
        126..65536 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out.extend_from_slice(&KEY);
    out.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}
