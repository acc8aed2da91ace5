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

/// One TLS 1.2 or 1.3 connection.
///
/// It keeps keys and nothing that was received: the caller keeps what [`TlsSession::receive`] left, which is the start
/// of one record, or of a handshake message over several of them (rustls takes up to 64 KiB).
pub struct TlsSession {
    connection: UnbufferedServerConnection,
}

/// What [`TlsSession::receive`] made of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes at the front of the input that are done with.
    pub consumed: usize,
    /// The client has said that it sends no more.
    pub closed: bool,
}

/// The connection cannot go on. The reason is of no use but to its client, which was told by an alert.
#[derive(Debug)]
pub struct TlsError(#[allow(dead_code)] Option<rustls::Error>);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(error) => error.fmt(f),
            None => f.write_str("TLS has no more keys for this connection"),
        }
    }
}

impl std::error::Error for TlsError {}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self(Some(error))
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
        Ok(Self { connection: UnbufferedServerConnection::new(Arc::clone(config))? })
    }

    /// Takes what has arrived: whole records at the front of `incoming`, decrypted in place. Application data goes to
    /// the end of `plain`, and what must be sent (handshake, alerts, keys) to the end of `outgoing`.
    ///
    /// # Errors
    /// Broken or unwelcome records; `outgoing` may hold an alert.
    pub fn receive(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> Result<Received, TlsError> {
        let mut consumed = 0;
        loop {
            let status = self.connection.process_tls_records(&mut incoming[consumed..]);
            let UnbufferedStatus { discard, state, .. } = status;
            let step = match state {
                Ok(state) => take_step(state, &mut consumed, plain, outgoing),
                Err(error) => Err(error.into()),
            };
            consumed += discard;
            match step {
                Ok(Step::Again) => {}
                Ok(Step::Wait) => return Ok(Received { consumed, closed: false }),
                Ok(Step::Closed) => return Ok(Received { consumed, closed: true }),
                Err(error) => {
                    self.encode_alerts(outgoing);
                    return Err(error);
                }
            }
        }
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

    /// Says that nothing more will be sent.
    pub fn close(&mut self, outgoing: &mut Vec<u8>) {
        // Without a finished handshake there is nobody to say it to.
        let _unfinished = self.with_traffic(outgoing, |traffic, outgoing| {
            append(outgoing, RECORD_OVERHEAD, |room| match traffic.queue_close_notify(room) {
                Err(EncryptError::InsufficientSize(error)) => Err(Some(error)),
                result => result.map_err(|_| None),
            })
        });
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
        loop {
            match self.connection.process_tls_records(&mut []).state? {
                ConnectionState::WriteTraffic(mut traffic) => return work(&mut traffic, outgoing),
                ConnectionState::EncodeTlsData(encode) => append_encoded(encode, outgoing)?,
                ConnectionState::TransmitTlsData(transmit) => transmit.done(),
                _ => return Err(TlsError(None)),
            }
        }
    }

    fn encode_alerts(&mut self, outgoing: &mut Vec<u8>) {
        while let Ok(state) = self.connection.process_tls_records(&mut []).state {
            match state {
                ConnectionState::EncodeTlsData(encode) => {
                    if append_encoded(encode, outgoing).is_err() {
                        return;
                    }
                }
                ConnectionState::TransmitTlsData(transmit) => transmit.done(),
                _ => return,
            }
        }
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
                return Err(TlsError(None));
            }
        }
    }
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSession").field("handshaking", &self.is_handshaking()).finish_non_exhaustive()
    }
}
