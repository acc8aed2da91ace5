//! A client's connection: TCP, or TLS in it.

use crate::wire::channel_data::{self, Frame};
use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

/// How long a connection and its handshake may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Room for what is read at once, and for the start of a message before it.
const READ_BYTES: usize = 128 << 10;

/// The longest STUN message that is taken.
const STUN_BYTES_MAX: usize = 4096;

/// For which name, and how it is trusted.
pub(super) type Tls = (Arc<ClientConfig>, ServerName<'static>);

pub(super) struct Stream {
    stream: TcpStream,
    tls: Option<ClientConnection>,
    /// What the kernel did not take yet, when there is no TLS.
    unsent: Vec<u8>,
    /// What came and is no whole message yet, in its first `filled` bytes.
    incoming: Box<[u8]>,
    filled: usize,
}

impl Stream {
    /// Connects from `local`, and shakes hands. It blocks that long, and never again.
    pub(super) fn open(server: SocketAddr, local: IpAddr, tls: Option<&Tls>) -> io::Result<Self> {
        let domain = socket2::Domain::for_address(server);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(local, 0).into())?;
        socket.connect_timeout(&server.into(), ANSWER_MAX)?;
        let mut stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        let tls = tls.map(|tls| shake_hands(&mut stream, tls)).transpose()?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, tls, unsent: Vec::new(), incoming: vec![0; READ_BYTES].into(), filled: 0 })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Puts one message behind what waits; under TLS it is a record of its own, as clients do it.
    pub(super) fn queue(&mut self, parts: &[&[u8]]) {
        match &mut self.tls {
            None => parts.iter().for_each(|part| self.unsent.extend_from_slice(part)),
            Some(tls) => {
                // There is no limit, so that all is taken.
                let _taken = tls.writer().write_all(&parts.concat());
            }
        }
    }

    /// Writes what the kernel takes.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            None if self.unsent.is_empty() => {}
            None => {
                let count = unless_blocked(self.stream.write(&self.unsent))?.unwrap_or(0);
                self.unsent.drain(..count);
            }
            Some(tls) => {
                while tls.wants_write() && unless_blocked(tls.write_tls(&mut self.stream))?.is_some() {}
            }
        }
        Ok(())
    }

    /// Whether there is more to write than the kernel took.
    pub(super) fn is_stuck(&self) -> bool {
        self.tls.as_ref().map_or(!self.unsent.is_empty(), |tls| tls.wants_write())
    }

    /// Reads once and hands over each whole message.
    ///
    /// # Errors
    /// The connection is over, or what comes is no TURN.
    pub(super) fn read(&mut self, mut on_message: impl FnMut(&[u8])) -> io::Result<()> {
        let room = &mut self.incoming[self.filled..];
        match &mut self.tls {
            None => match unless_blocked(self.stream.read(room))? {
                None => return Ok(()),
                Some(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Some(count) => self.filled += count,
            },
            Some(tls) => match unless_blocked(tls.read_tls(&mut self.stream))? {
                None => return Ok(()),
                Some(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Some(_) => {
                    tls.process_new_packets().map_err(io::Error::other)?;
                    while let Some(count @ 1..) =
                        unless_blocked(tls.reader().read(&mut self.incoming[self.filled..]))?
                    {
                        self.filled += count;
                    }
                }
            },
        }
        self.take_messages(&mut on_message)
    }

    fn take_messages(&mut self, on_message: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let (mut at, filled) = (0, &mut self.incoming[..self.filled]);
        loop {
            let frame = channel_data::frame(&filled[at..], STUN_BYTES_MAX);
            match frame.map_err(|error| io::Error::other(format!("{error:?} on a TURN stream")))? {
                Frame::Stun { total } | Frame::ChannelData { total, .. } => {
                    on_message(&filled[at..at + total]);
                    at += total;
                }
                Frame::Incomplete { .. } => break,
            }
        }
        filled.copy_within(at.., 0);
        self.filled -= at;
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn shake_hands(stream: &mut TcpStream, (config, name): &Tls) -> io::Result<ClientConnection> {
    let mut tls = ClientConnection::new(Arc::clone(config), name.clone()).map_err(io::Error::other)?;
    tls.set_buffer_limit(None);
    while tls.is_handshaking() {
        tls.complete_io(stream)?;
    }
    Ok(tls)
}

fn unless_blocked<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}
