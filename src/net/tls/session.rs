//! The server's side of one TLS connection, without I/O.

use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use std::fmt;
use std::sync::Arc;

/// What encryption adds to a record at most: header, explicit nonce, content type, tag, and some for a message about
/// keys that goes first.
const RECORD_OVERHEAD: usize = 256;

/// Plaintext of one record (RFC 8446 section 5.1).
const RECORD_BYTES: usize = 1 << 14;

/// What a session leaves of its input at most: one record that is not whole (RFC 8446 section 5.2, with the longer
/// ones of TLS 1.2), or a ClientHello in pieces. rustls would wait for 64 KiB, in any number of pieces.
pub const INCOMING_BYTES_MAX: usize = 5 + RECORD_BYTES + 2048;

/// One TLS 1.2 or 1.3 connection.
///
/// It keeps keys and nothing that was received: the caller keeps the bytes that [`TlsSession::receive`] did not
/// consume, as that left them, and hands them in again in front of what comes next.
pub struct TlsSession {
    connection: UnbufferedServerConnection,
    /// It failed, or we have closed it: rustls must not be asked again.
    ended: Option<Ended>,
    /// The client sends no more, which rustls says once.
    is_half_closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Failed,
    Closed,
}

/// What [`TlsSession::receive`] made of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes at the front of the input that are done with.
    pub consumed: usize,
    /// The client has said that it sends no more, now or before, or we have.
    pub closed: bool,
}

/// The connection cannot go on.
#[derive(Clone, Debug, PartialEq)]
pub enum TlsError {
    /// The client broke the protocol, or wants what is not offered, which an alert has told it.
    Protocol(rustls::Error),
    /// A ClientHello in pieces beyond [`INCOMING_BYTES_MAX`], or a later handshake message in pieces, which nobody
    /// sends: there are only those of five bytes.
    Fragments,
    /// The handshake is not over, the session has failed, or it is closed.
    NotOpen,
    /// More was sent than the keys are good for.
    KeysUsedUp,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => error.fmt(f),
            Self::Fragments => f.write_str("a handshake message is split over too many records"),
            Self::NotOpen => f.write_str("the TLS session is not open"),
            Self::KeysUsedUp => f.write_str("TLS has no more keys for this connection"),
        }
    }
}

impl std::error::Error for TlsError {}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self::Protocol(error)
    }
}

/// What to do after one step.
enum Step {
    Again,
    Wait,
    Closed,
}

impl TlsSession {
    /// A connection that waits for the ClientHello.
    ///
    /// # Errors
    /// The config is unfit for a server, which `rustls` finds out when the config is built.
    pub fn new(config: &Arc<ServerConfig>) -> Result<Self, TlsError> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(Arc::clone(config))?,
            ended: None,
            is_half_closed: false,
        })
    }

    /// Takes what has arrived: whole records at the front of `incoming`, decrypted in place. Application data goes to
    /// the end of `plain`, and what must be sent (handshake, alerts, keys) to the end of `outgoing`.
    ///
    /// What is left of `incoming` is at most [`INCOMING_BYTES_MAX`]. After a close of either side all is dropped.
    ///
    /// # Errors
    /// Broken or unwelcome records, now or before; `outgoing` may hold an alert.
    pub fn receive(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> Result<Received, TlsError> {
        match self.ended {
            None if !self.is_half_closed => {}
            None | Some(Ended::Closed) => return Ok(Received { consumed: incoming.len(), closed: true }),
            Some(Ended::Failed) => return Err(TlsError::NotOpen),
        }
        let received = self.take_records(incoming, plain, outgoing);
        if received.is_err() {
            self.ended = Some(Ended::Failed);
            self.encode_alerts(outgoing);
        }
        received
    }

    fn take_records(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> Result<Received, TlsError> {
        let mut consumed = 0;
        loop {
            let status = self.connection.process_tls_records(&mut incoming[consumed..]);
            let UnbufferedStatus { discard, state, .. } = status;
            let step = take_step(state?, &mut consumed, plain, outgoing)?;
            consumed += discard;
            match step {
                Step::Again => {}
                Step::Wait => break,
                Step::Closed => {
                    self.is_half_closed = true;
                    return Ok(Received { consumed: incoming.len(), closed: true });
                }
            }
        }
        let rest = &incoming[consumed..];
        // A whole record stays only where the message in it goes on in the next one.
        let is_in_pieces = !self.is_handshaking() && has_whole_record(rest);
        if is_in_pieces || rest.len() > INCOMING_BYTES_MAX {
            return Err(TlsError::Fragments);
        }
        Ok(Received { consumed, closed: false })
    }

    /// Encrypts `plain`, in as few records as possible, to the end of `outgoing`.
    ///
    /// # Errors
    /// The handshake is not over, the connection is closed, or its keys are used up.
    pub fn send(&mut self, plain: &[u8], outgoing: &mut Vec<u8>) -> Result<(), TlsError> {
        self.with_traffic(outgoing, |traffic, outgoing| {
            let room = plain.len() + (plain.len() / RECORD_BYTES + 1) * RECORD_OVERHEAD;
            append(outgoing, room, |room| match traffic.encrypt(plain, room) {
                Err(EncryptError::InsufficientSize(error)) => Err(Some(error)),
                result => result.map_err(|_| None),
            })
        })
    }

    /// Says that nothing more will be sent, unless that was said, or the handshake is not over.
    pub fn close(&mut self, outgoing: &mut Vec<u8>) {
        // Without an open session there is nobody to say it to.
        let _not_open = self.with_traffic(outgoing, |traffic, outgoing| {
            append(outgoing, RECORD_OVERHEAD, |room| match traffic.queue_close_notify(room) {
                Err(EncryptError::InsufficientSize(error)) => Err(Some(error)),
                result => result.map_err(|_| None),
            })
        });
        self.ended.get_or_insert(Ended::Closed);
    }

    /// Whether application data cannot be exchanged yet.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// The protocol that both sides agreed on (RFC 7301), if the client named any.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// Brings the connection to where it can encrypt, and lets `work` do it.
    fn with_traffic(
        &mut self,
        outgoing: &mut Vec<u8>,
        work: impl FnOnce(&mut Traffic<'_>, &mut Vec<u8>) -> Result<(), TlsError>,
    ) -> Result<(), TlsError> {
        // During a handshake rustls may be in the middle of a message in pieces, and would then read on from there
        // in our empty input: a panic.
        if self.ended.is_some() || self.is_handshaking() {
            return Err(TlsError::NotOpen);
        }
        loop {
            match self.connection.process_tls_records(&mut []).state? {
                ConnectionState::WriteTraffic(mut traffic) => return work(&mut traffic, outgoing),
                ConnectionState::EncodeTlsData(encode) => append_encoded(encode, outgoing)?,
                ConnectionState::TransmitTlsData(transmit) => transmit.done(),
                _ => return Err(TlsError::NotOpen),
            }
        }
    }

    /// What is left to say after a failure. Asks rustls for nothing else: it would read on from where it stopped.
    fn encode_alerts(&mut self, outgoing: &mut Vec<u8>) {
        while self.connection.wants_write() {
            let Ok(ConnectionState::EncodeTlsData(encode)) =
                self.connection.process_tls_records(&mut []).state
            else {
                return;
            };
            if append_encoded(encode, outgoing).is_err() {
                return;
            }
        }
    }
}

/// Whether a whole record (RFC 8446 section 5.1) is at the front.
fn has_whole_record(bytes: &[u8]) -> bool {
    match *bytes {
        [_, _, _, high, low, ref body @ ..] => body.len() >= usize::from(u16::from_be_bytes([high, low])),
        _ => false,
    }
}

type Traffic<'c> = rustls::unbuffered::WriteTraffic<'c, ServerConnectionData>;

fn take_step(
    state: ConnectionState<'_, '_, ServerConnectionData>,
    consumed: &mut usize,
    plain: &mut Vec<u8>,
    outgoing: &mut Vec<u8>,
) -> Result<Step, TlsError> {
    match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let record = record?;
                plain.extend_from_slice(record.payload);
                *consumed += record.discard;
            }
            Ok(Step::Again)
        }
        ConnectionState::EncodeTlsData(encode) => append_encoded(encode, outgoing).map(|()| Step::Again),
        ConnectionState::TransmitTlsData(transmit) => {
            transmit.done();
            Ok(Step::Again)
        }
        ConnectionState::PeerClosed | ConnectionState::Closed => Ok(Step::Closed),
        // 0-RTT data cannot come: the config accepts none.
        _ => Ok(Step::Wait),
    }
}

fn append_encoded(
    mut encode: EncodeTlsData<'_, ServerConnectionData>,
    outgoing: &mut Vec<u8>,
) -> Result<(), TlsError> {
    append(outgoing, RECORD_OVERHEAD, |room| match encode.encode(room) {
        Err(EncodeError::InsufficientSize(error)) => Err(Some(error)),
        result => result.map_err(|_| None),
    })
}

/// Lets `write` fill the end of `outgoing`: first into `room` bytes, then into as many as it asks for.
fn append(
    outgoing: &mut Vec<u8>,
    mut room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<InsufficientSizeError>>,
) -> Result<(), TlsError> {
    let before = outgoing.len();
    loop {
        outgoing.resize(before + room, 0);
        match write(&mut outgoing[before..]) {
            Ok(written) => {
                outgoing.truncate(before + written);
                return Ok(());
            }
            Err(Some(error)) if error.required_size > room => room = error.required_size,
            Err(_) => {
                outgoing.truncate(before);
                return Err(TlsError::KeysUsedUp);
            }
        }
    }
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSession").field("handshaking", &self.is_handshaking()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
