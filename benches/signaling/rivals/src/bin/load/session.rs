//! One client: a connection, and a user behind it.

use crate::dialect::{self, Wire};
use crate::options::{Options, User};
use crate::websocket::{self, CLOSE, PING, PONG, TEXT, first_frame};
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A server that answers no handshake for so long does not serve.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Session {
    wire: Wire,
    stream: TcpStream,
    /// The begin of a message whose end has not come.
    kept: Vec<u8>,
    /// Bytes of a message on the raw wire.
    raw_bytes: usize,
    mask: u32,
}

impl Session {
    /// Connects, and returns when the server has let the user in. From then on nothing blocks.
    pub(crate) fn open(options: &Options, user: &User) -> Result<Self, Box<dyn Error>> {
        let mut stream = TcpStream::connect_timeout(&options.server, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let wire = options.dialect.wire();
        let kept = match wire {
            Wire::Raw => Vec::new(),
            Wire::SocketIo => websocket::upgrade(&mut stream, "/socket.io/?EIO=4&transport=websocket", None)?,
            Wire::Plain => websocket::upgrade(&mut stream, "/ws", Some("turnstone.v1.json"))?,
        };
        let mask = u32::from_be_bytes(*b"mask") ^ u32::from(stream.local_addr()?.port());
        let mut session = Self { wire, stream, kept, raw_bytes: options.payload, mask };
        session.log_in(&user.token)?;
        session.stream.set_nonblocking(true)?;
        Ok(session)
    }

    fn log_in(&mut self, token: &str) -> Result<(), Box<dyn Error>> {
        let welcome = match self.wire {
            Wire::Raw => return Ok(()),
            Wire::SocketIo => {
                self.expect("0{")?;
                self.send(format!("40{{\"token\":\"{token}\"}}").as_bytes())?;
                "40"
            }
            Wire::Plain => {
                self.send(format!("{{\"hello\":{{\"token\":\"{token}\"}}}}").as_bytes())?;
                "{\"welcome\":"
            }
        };
        self.expect(welcome)
    }

    /// Waits for the next message, which has to begin with `begin`.
    fn expect(&mut self, begin: &str) -> Result<(), Box<dyn Error>> {
        loop {
            if let Some(frame) = first_frame(&self.kept)? {
                let text = String::from_utf8_lossy(frame.payload).into_owned();
                self.kept.drain(..frame.len);
                if self.wire == Wire::SocketIo && text == dialect::PING {
                    // socketioxide sends its first at once.
                    self.send(dialect::PONG)?;
                    continue;
                }
                let as_expected = text.starts_with(begin);
                return as_expected.then_some(()).ok_or_else(|| format!("not `{begin}`: {text}").into());
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes)? {
                0 => return Err("the server ended a connection".into()),
                len => self.kept.extend(&bytes[..len]),
            }
        }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends one message.
    pub(crate) fn send(&mut self, message: &[u8]) -> Result<(), Box<dyn Error>> {
        if self.wire == Wire::Raw {
            return self.write(message);
        }
        self.send_frame(TEXT, message)
    }

    fn send_frame(&mut self, opcode: u8, payload: &[u8]) -> Result<(), Box<dyn Error>> {
        // xorshift: any mask will do, as long as it is not the last one.
        self.mask ^= self.mask << 13;
        self.mask ^= self.mask >> 17;
        self.mask ^= self.mask << 5;
        let mut frame = Vec::with_capacity(payload.len() + 8);
        websocket::push_frame(&mut frame, opcode, payload, self.mask);
        self.write(&frame)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
        match self.stream.write(bytes) {
            Ok(len) if len == bytes.len() => Ok(()),
            Ok(_) => Err("a send buffer is full: the server does not read".into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads what is there, and hands each whole message to `take`.
    pub(crate) fn receive(
        &mut self,
        scratch: &mut [u8],
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), Box<dyn Error>> {
        let len = match self.stream.read(scratch) {
            Ok(0) => return Err("the server ended a connection".into()),
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if self.kept.is_empty() {
            let used = self.split(&scratch[..len], &mut take)?;
            self.kept.extend(&scratch[used..len]);
        } else {
            let mut bytes = std::mem::take(&mut self.kept);
            bytes.extend(&scratch[..len]);
            let used = self.split(&bytes, &mut take)?;
            self.kept.extend(&bytes[used..]);
        }
        Ok(())
    }

    /// Takes the whole messages off `bytes`; returns their length.
    fn split(&mut self, bytes: &[u8], take: &mut impl FnMut(&[u8])) -> Result<usize, Box<dyn Error>> {
        let mut used = 0;
        if self.wire == Wire::Raw {
            bytes.chunks_exact(self.raw_bytes).for_each(take);
            return Ok(bytes.len() - bytes.len() % self.raw_bytes);
        }
        while let Some(frame) = first_frame(&bytes[used..])? {
            used += frame.len;
            match frame.opcode {
                TEXT => take(frame.payload),
                PING => self.send_frame(PONG, frame.payload)?,
                CLOSE => {
                    let why = frame.payload.get(2..).unwrap_or_default();
                    return Err(format!("closed: {}", String::from_utf8_lossy(why)).into());
                }
                _ => {}
            }
        }
        Ok(used)
    }
}
