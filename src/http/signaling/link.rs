//! One WebSocket's socket, with TLS or without. It blocks nobody and keeps no buffer that is not needed.

use crate::net::tls::{HandedOver, INCOMING_BYTES_MAX, TlsSession};
use std::any::Any;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

/// Bytes of one read: more stay in the kernel until the others had their turn.
const READ_BYTES: usize = 64 << 10;

/// What all links of a thread read into.
pub(super) struct Scratch {
    /// From the socket, behind what a link kept.
    raw: Box<[u8]>,
    /// Decrypted.
    plain: Vec<u8>,
    /// The last read took all that there was room for: perhaps there is more.
    pub(super) was_filled: bool,
    /// Which of the two has what the last read brought.
    is_plain: bool,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            raw: vec![0; INCOMING_BYTES_MAX + READ_BYTES].into(),
            plain: Vec::new(),
            was_filled: false,
            is_plain: false,
        }
    }
}

impl Scratch {
    /// Reads once, behind `kept` bytes.
    fn fill(&mut self, mut socket: &TcpStream, kept: usize) -> io::Result<usize> {
        loop {
            let count = socket.read(&mut self.raw[kept..kept + READ_BYTES]);
            // The poller tells an arrival once: whoever was interrupted has not heard of it yet.
            if count.as_ref().is_err_and(|error| error.kind() == ErrorKind::Interrupted) {
                continue;
            }
            self.was_filled = matches!(count, Ok(READ_BYTES));
            return count;
        }
    }

    /// A part of what the last read brought.
    pub(super) fn part(&mut self, part: Range<usize>) -> &mut [u8] {
        let all = if self.is_plain { &mut self.plain[..] } else { &mut self.raw[..] };
        &mut all[part]
    }
}

/// A connected socket.
pub(super) struct Link {
    socket: TcpStream,
    tls: Option<Box<TlsSession>>,
    /// Ciphertext that is no whole record yet.
    incoming: Vec<u8>,
    /// Bytes that the socket did not take yet, and how many of them it has by now.
    unsent: Vec<u8>,
    sent: usize,
    /// The client has said, under TLS, that it sends no more.
    has_ended: bool,
    /// Its place among the connections that there may be.
    _held: Box<dyn Any + Send>,
}

/// What a read brought.
pub(super) enum Received {
    /// So many bytes of application data, at least one; see [`Scratch::part`].
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The client sends no more, or the connection is broken.
    Ended,
}

impl Link {
    /// The link and the application data that was read before it was handed over. The socket is non-blocking already.
    pub(super) fn new(handed: HandedOver) -> (Self, Vec<u8>) {
        let HandedOver { socket, tls, mut incoming, mut plain, unsent, held, .. } = handed;
        if tls.is_none() {
            plain.append(&mut incoming);
        }
        (Self { socket, tls, incoming, unsent, sent: 0, has_ended: false, _held: held }, plain)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Reads once.
    pub(super) fn read(&mut self, scratch: &mut Scratch) -> Received {
        scratch.is_plain = self.tls.is_some();
        if scratch.is_plain {
            return self.read_tls(scratch);
        }
        match scratch.fill(&self.socket, 0) {
            Ok(0) => Received::Ended,
            Ok(count) => Received::Bytes(count),
            Err(error) => nothing_or_ended(&error),
        }
    }

    fn read_tls(&mut self, scratch: &mut Scratch) -> Received {
        let Some(tls) = &mut self.tls else { return Received::Nothing };
        let kept = self.incoming.len();
        scratch.raw[..kept].copy_from_slice(&self.incoming);
        let count = match scratch.fill(&self.socket, kept) {
            Ok(0) => return Received::Ended,
            Ok(count) => count,
            Err(error) => return nothing_or_ended(&error),
        };
        scratch.plain.clear();
        let raw = &mut scratch.raw[..kept + count];
        let received = tls.receive(raw, &mut scratch.plain, &mut self.unsent);
        if let Ok(received) = &received {
            // Most of the time nothing is left, and then nothing is kept.
            self.incoming = raw[received.consumed..].to_vec();
        }
        // An alert, or new keys: what is left in the queue means that the socket is full.
        let flushed = self.flush();
        let (Ok(received), Ok(())) = (received, flushed) else { return Received::Ended };
        self.has_ended |= received.closed;
        match (scratch.plain.is_empty(), received.closed) {
            (false, _) => Received::Bytes(scratch.plain.len()),
            (true, true) => Received::Ended,
            (true, false) => Received::Nothing,
        }
    }

    /// Decrypts what came with the hand-over; call once before the first [`Link::read`].
    ///
    /// # Errors
    /// The client broke the TLS protocol.
    pub(super) fn take_handed_over(&mut self, plain: &mut Vec<u8>) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let mut raw = std::mem::take(&mut self.incoming);
        let received = tls.receive(&mut raw, plain, &mut self.unsent).map_err(io::Error::other)?;
        self.incoming = raw[received.consumed..].to_vec();
        Ok(())
    }

    /// Sends `bytes`, or keeps what the socket does not take now. To be called only while not [`Link::is_blocked`].
    ///
    /// # Errors
    /// The connection is broken.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.send(bytes, &mut self.unsent).map_err(io::Error::other)?;
            return self.flush();
        }
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return self.flush();
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.socket.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.unsent = rest.to_vec();
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends what waits, as far as the socket takes it.
    ///
    /// # Errors
    /// The connection is broken.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.unsent.len() {
            match self.socket.write(&self.unsent[self.sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unsent = Vec::new();
        self.sent = 0;
        Ok(())
    }

    /// Whether nothing comes behind what was read.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether bytes wait for the socket.
    pub(super) fn is_blocked(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Says that nothing more will be sent. What the client still sends is to be read and dropped for a while: closing
    /// with unread data would destroy the last bytes that we sent.
    pub(super) fn finish(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close(&mut self.unsent);
        }
        let _gone_anyway = self.flush();
        if !self.is_blocked() {
            let _gone_anyway = self.socket.shutdown(Shutdown::Write);
        }
    }
}

fn nothing_or_ended(error: &io::Error) -> Received {
    match error.kind() {
        ErrorKind::WouldBlock => Received::Nothing,
        _ => Received::Ended,
    }
}
