//! One session: an instance of `dimpl` that starts behind our cookie.

use super::admission::admitting;
use super::config::{DtlsConfig, SUITES};
use crate::wire::dtls::{
    COOKIE_BYTES, ClientHello, advance_plaintext_records, bare_hello, is_hello_verify_request,
};
use dimpl::{Dtls, Error, Output};
use std::sync::Arc;
use std::time::Instant;

/// The session is lost: a broken handshake, a fatal alert, or no answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    Failed,
    TimedOut,
}

/// What a session wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send the first bytes of the buffer.
    Send(usize),
    /// The client said the first bytes of the buffer.
    Plain(usize),
    /// The handshake is done.
    Connected,
    /// Nothing more until this instant.
    Wait(Instant),
    /// Both sides have said that they close.
    Closed,
}

pub(super) struct Session {
    dtls: Dtls,
    /// The random of the hello, which tells one handshake from the next.
    random: [u8; 32],
    /// The cookie that let it in.
    cookie: [u8; COOKIE_BYTES],
    connected: bool,
    /// How far the record numbers of the client were ahead of ours when it was let in.
    advance: u64,
}

impl Session {
    /// Hellos that one handshake may have sent before it was let in.
    pub(super) const HELLOS_MAX: u16 = 3;

    /// A session that waits for `hello`, whose cookie is good. Feed it the datagram next.
    ///
    /// The client counts one message more for each answer without state that it got (RFC 6347
    /// section 4.2.2). Bare hellos bring `dimpl` to the same count; what it answers is not sent.
    pub(super) fn admit(config: &DtlsConfig, hello: &ClientHello<'_>, at: Instant) -> Option<Self> {
        let cookie = *hello.cookie.first_chunk()?;
        let settings = if hello.offers(SUITES[0]) { &config.chacha } else { &config.any };
        let mut dtls = Dtls::new_12(Arc::clone(settings), config.certificate.clone(), at);
        dtls.handle_timeout(at).ok()?;
        for message_seq in 0..hello.message_seq {
            admitting(None, || dtls.handle_packet(&bare_hello(hello.random, message_seq))).ok()?;
            while let Output::Packet(_) = dtls.poll_output(&mut [0; UNSENT_BYTES_MAX]) {}
        }
        // RFC 6347 section 4.2.2: our records go on from the number of the hello's.
        let advance = hello.record_sequence.saturating_sub(u64::from(hello.message_seq));
        Some(Self { dtls, random: *hello.random, cookie, connected: false, advance })
    }

    /// Whether `hello` is the one that began this session, or a copy.
    pub(super) fn began_with(&self, hello: &ClientHello<'_>) -> bool {
        self.random == *hello.random && self.cookie == *hello.cookie
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected
    }

    /// A datagram of the client. Poll afterwards, as after each of the following.
    pub(super) fn receive(&mut self, at: Instant, datagram: &[u8]) -> Result<(), Lost> {
        self.tick(at)?;
        let cookie = (!self.connected).then_some(self.cookie);
        admitting(cookie, || self.dtls.handle_packet(datagram)).map_err(lost)
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, at: Instant) -> Result<(), Lost> {
        self.dtls.handle_timeout(at).map_err(lost)
    }

    /// Encrypts `plain`, one datagram of at most 16,384 bytes.
    pub(super) fn send(&mut self, plain: &[u8]) -> Result<(), Lost> {
        self.dtls.send_application_data(plain).map(drop).map_err(lost)
    }

    /// Says that we close.
    pub(super) fn close(&mut self) -> Result<(), Lost> {
        self.dtls.close().map_err(lost)
    }

    /// The next step; call until [`Step::Wait`] or [`Step::Closed`]. `buffer`: as large as the largest
    /// datagram that was received.
    pub(super) fn poll(&mut self, buffer: &mut [u8]) -> Result<Step, Lost> {
        loop {
            match self.dtls.poll_output(buffer) {
                Output::Packet(packet) => {
                    let length = packet.len();
                    let Some(packet) = buffer.get_mut(..length) else { return Err(Lost::Failed) };
                    // An answer without state is the gate's to give.
                    if !is_hello_verify_request(packet) {
                        advance_plaintext_records(packet, self.advance);
                        return Ok(Step::Send(length));
                    }
                }
                Output::ApplicationData(plain) => return Ok(Step::Plain(plain.len())),
                Output::Connected => {
                    self.connected = true;
                    return Ok(Step::Connected);
                }
                Output::Timeout(_) if self.dtls.is_closed() => return Ok(Step::Closed),
                Output::Timeout(at) => return Ok(Step::Wait(at)),
                Output::BufferTooSmall { .. } => return Err(Lost::Failed),
                // Answered inside; the session is closed when all of it is sent. We ask for no
                // certificate, and nobody here speaks SRTP.
                Output::CloseNotify | Output::PeerCert(_) | Output::KeyingMaterial(..) => {}
                _ => return Err(Lost::Failed),
            }
        }
    }
}

fn lost(error: Error) -> Lost {
    match error {
        Error::Timeout(_) => Lost::TimedOut,
        _ => Lost::Failed,
    }
}

/// More than an answer without state has.
const UNSENT_BYTES_MAX: usize = 128;
