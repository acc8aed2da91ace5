//! A connection that moves to another runtime, and the byte stream that it is there.

use super::session::TlsSession;
use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Encrypted bytes that may wait to be written before the writer has to.
const UNSENT_BYTES_MAX: usize = 64 << 10;

/// Read at once, and encrypted at once: one record.
const CHUNK_BYTES: usize = 16 << 10;

/// A connection on its way from one runtime to another, with all that was read from it already.
#[derive(Debug)]
pub struct HandedOver {
    /// The socket, non-blocking.
    pub socket: std::net::TcpStream,
    /// TLS, if it has that.
    pub tls: Option<Box<TlsSession>>,
    /// Bytes from the wire that nobody has looked at: ciphertext if it has TLS.
    pub incoming: Vec<u8>,
    /// Application data that was decrypted already.
    pub plain: Vec<u8>,
    /// Bytes for the wire that could not be written yet.
    pub unsent: Vec<u8>,
    /// The client, as a trusted proxy named it.
    pub remote: SocketAddr,
    /// The own address that it reached.
    pub local: SocketAddr,
    /// Kept for as long as the connection is open: its place among those that may be.
    pub held: Box<dyn Any + Send>,
}

impl HandedOver {
    /// The byte stream. Needs the tokio runtime in which it is used.
    ///
    /// # Errors
    /// The runtime has no room for another socket.
    pub fn open(self) -> io::Result<TlsStream> {
        let Self { socket, tls, mut incoming, mut plain, unsent, remote, local, held } = self;
        if tls.is_none() {
            plain.append(&mut incoming);
        }
        Ok(TlsStream {
            socket: TcpStream::from_std(socket)?,
            tls,
            incoming,
            plain,
            taken: 0,
            unsent,
            sent: 0,
            ended: false,
            closing: false,
            remote,
            local,
            held,
        })
    }
}

/// A byte stream over TCP, under TLS or in the clear.
#[derive(Debug)]
pub struct TlsStream {
    socket: TcpStream,
    tls: Option<Box<TlsSession>>,
    /// Ciphertext that is no whole record yet.
    incoming: Vec<u8>,
    /// Application data, and how much of it the reader has.
    plain: Vec<u8>,
    taken: usize,
    /// Bytes for the wire, and how many are written.
    unsent: Vec<u8>,
    sent: usize,
    /// Nothing more will come.
    ended: bool,
    /// Nothing more will be sent.
    closing: bool,
    remote: SocketAddr,
    local: SocketAddr,
    held: Box<dyn Any + Send>,
}

impl TlsStream {
    /// The connection for another runtime, with `read` in front: bytes that were read from here and are not used.
    ///
    /// # Errors
    /// This runtime cannot let go of the socket.
    pub fn into_handed_over(self, read: &[u8]) -> io::Result<HandedOver> {
        let Self { socket, tls, incoming, plain, taken, mut unsent, sent, remote, local, held, .. } = self;
        unsent.drain(..sent);
        let plain = [read, &plain[taken..]].concat();
        Ok(HandedOver { socket: socket.into_std()?, tls, incoming, plain, unsent, remote, local, held })
    }

    /// Decrypts what has arrived.
    fn decrypt(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let received = tls.receive(&mut self.incoming, &mut self.plain, &mut self.unsent);
        let received = received.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.incoming.drain(..received.consumed);
        self.ended |= received.closed;
        Ok(())
    }

    /// Reads once from the socket, to the end of `incoming`, or of `plain` in the clear.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.socket.poll_read_ready(cx)?.is_pending() {
            self.give_back_memory();
            return Poll::Pending;
        }
        let bytes = if self.tls.is_some() { &mut self.incoming } else { &mut self.plain };
        let before = bytes.len();
        bytes.resize(before + CHUNK_BYTES, 0);
        let mut into = ReadBuf::new(&mut bytes[before..]);
        let read = Pin::new(&mut self.socket).poll_read(cx, &mut into);
        let count = into.filled().len();
        bytes.truncate(before + count);
        ready!(read)?;
        self.ended |= count == 0;
        Poll::Ready(Ok(()))
    }

    /// Most connections wait most of the time; they keep the start of a record at most.
    fn give_back_memory(&mut self) {
        for bytes in [&mut self.incoming, &mut self.plain, &mut self.unsent] {
            bytes.shrink_to_fit();
        }
    }

    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.unsent.len() {
            let written = Pin::new(&mut self.socket).poll_write(cx, &self.unsent[self.sent..]);
            if written.is_pending() && self.sent > self.unsent.len() / 2 {
                // A client that never lets all of it go must not make what went stay for ever.
                self.unsent.drain(..self.sent);
                self.sent = 0;
            }
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        self.unsent.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let rest = &this.plain[this.taken..];
            if !rest.is_empty() {
                let count = rest.len().min(into.remaining());
                into.put_slice(&rest[..count]);
                this.taken += count;
                return Poll::Ready(Ok(()));
            }
            this.plain.clear();
            this.taken = 0;
            if !this.incoming.is_empty() {
                let decrypted = this.decrypt();
                // Alerts and new keys leave when they can; the writer waits for them if need be.
                let sent = this.poll_unsent(cx);
                decrypted?;
                if let Poll::Ready(Err(error)) = sent {
                    return Poll::Ready(Err(error));
                }
            }
            if this.plain.is_empty() {
                if this.ended {
                    return Poll::Ready(Ok(()));
                }
                ready!(this.poll_fill(cx))?;
            }
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.unsent.len() - this.sent >= UNSENT_BYTES_MAX {
            ready!(this.poll_unsent(cx))?;
        }
        let chunk = &bytes[..bytes.len().min(CHUNK_BYTES)];
        match &mut this.tls {
            None => this.unsent.extend_from_slice(chunk),
            Some(tls) => tls.send(chunk, &mut this.unsent).map_err(io::Error::other)?,
        }
        if let Poll::Ready(Err(error)) = this.poll_unsent(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(chunk.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_unsent(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.closing, true)
            && let Some(tls) = &mut this.tls
        {
            tls.close(&mut this.unsent);
        }
        ready!(this.poll_unsent(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
