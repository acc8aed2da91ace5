//! What arrives on a connection, stage by stage: PROXY header, TLS, the choice between TURN and HTTP, messages.

use super::connection::{Connection, End, Stage};
use super::core::{Core, Input};
use crate::base::{Now, Transport};
use crate::metrics::Closed;
use crate::net::tls::TlsSession;
use crate::wire::demux::{Kind, classify};
use crate::wire::proxy_protocol::{self, Parsed};
use std::net::SocketAddr;

/// 0x16: the record type of a TLS handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// ALPN of HTTP as it is spoken here.
const ALPN_HTTP: &[u8] = b"http/1.1";

impl Connection {
    /// Serves bytes from the wire, the incomplete ones of the read before included.
    pub(super) fn on_raw(
        &mut self,
        core: &mut Core,
        now: Now,
        raw: &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Result<(), End> {
        let mut at = 0;
        if self.stage == Stage::Proxy {
            match proxy_protocol::parse(raw).map_err(|_| Closed::ProxyHeader)? {
                Parsed::Incomplete => {
                    keep(&mut self.partial, raw);
                    return Ok(());
                }
                Parsed::Header { length, source } => {
                    at = length;
                    self.on_proxy_header(source)?;
                }
            }
        }
        if self.stage == Stage::First {
            let Some(first) = raw.get(at) else {
                self.partial.clear();
                return Ok(());
            };
            if may_become_proxy_header(&raw[at..]) {
                keep(&mut self.partial, &raw[at..]);
                return Ok(());
            }
            self.choose(*first, &raw[at..], now)?;
        }
        match self.tls {
            None => {
                let served = core.on_bytes(Input { now, from: &self.seat.from, bytes: &raw[at..] })?;
                let used = served.bytes;
                self.note(core, now, served, at + used < raw.len());
                keep(&mut self.partial, &raw[at + used..]);
            }
            Some(_) => {
                let used = self.on_tls(core, now, &mut raw[at..], plain)?;
                keep(&mut self.partial, &raw[at + used..]);
            }
        }
        core.take_peer(&self.seat.from).map_or(Ok(()), |parked| Err(End::Peer(parked)))
    }

    fn on_proxy_header(&mut self, source: Option<(SocketAddr, SocketAddr)>) -> Result<(), End> {
        self.stage = Stage::First;
        if let Some((remote, _)) = source {
            self.admitted.name_source(remote.ip())?;
            self.seat.from.remote = remote;
        }
        Ok(())
    }

    /// The first byte of a connection decides what it is.
    fn choose(&mut self, first: u8, bytes: &[u8], now: Now) -> Result<(), End> {
        match &self.shared.tls {
            Some(tls) if self.door.tls && first == TLS_HANDSHAKE => {
                self.tls = Some(Box::new(TlsSession::new(tls).map_err(|_| Closed::Tls)?));
                self.seat.from.transport = Transport::Tls;
                self.enter(Stage::Handshake, now);
            }
            _ if self.door.tcp && classify(first) == Kind::Stun => self.enter(Stage::Turn, now),
            _ if proxy_protocol::looks_like(bytes) => return Err(Closed::ProxyStranger.into()),
            _ => return Err(Closed::UnknownProtocol.into()),
        }
        Ok(())
    }

    /// Serves ciphertext. Returns how much of it was whole records.
    fn on_tls(
        &mut self,
        core: &mut Core,
        now: Now,
        raw: &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Result<usize, End> {
        let Some(tls) = &mut self.tls else { return Ok(0) };
        plain.clear();
        plain.append(&mut self.partial_plain);
        let mut ciphertext = Vec::new();
        let received = tls.receive(raw, plain, &mut ciphertext);
        let (is_up, alpn) = (!tls.is_handshaking(), tls.alpn().map(|name| name == ALPN_HTTP));
        self.push(&ciphertext)?;
        let received = received.map_err(|_| Closed::Tls)?;
        if self.stage == Stage::Handshake && is_up {
            self.enter(Stage::FirstInTls, now);
        }
        if self.stage == Stage::FirstInTls {
            match (alpn, plain.first().copied()) {
                (Some(true), _) => return self.leave_for_http(raw, received.consumed, plain),
                (None, Some(first)) if first.is_ascii_uppercase() => {
                    return self.leave_for_http(raw, received.consumed, plain);
                }
                (_, Some(first)) if classify(first) == Kind::Stun => self.stage = Stage::Turn,
                (_, Some(_)) => return Err(Closed::UnknownProtocol.into()),
                (_, None) => {}
            }
        }
        if self.stage == Stage::Turn {
            let served = core.on_bytes(Input { now, from: &self.seat.from, bytes: plain })?;
            let rest = served.bytes < plain.len() || received.consumed < raw.len();
            self.note(core, now, served, rest);
            keep(&mut self.partial_plain, &plain[served.bytes..]);
        } else {
            keep(&mut self.partial_plain, plain);
        }
        // A client may close behind more messages than fit one turn; the session says so again then.
        if received.closed && !self.unserved {
            return Err(Closed::Client.into());
        }
        Ok(received.consumed)
    }

    /// Keeps what was read for HTTP.
    fn leave_for_http(&mut self, raw: &[u8], consumed: usize, plain: &[u8]) -> Result<usize, End> {
        keep(&mut self.partial, &raw[consumed..]);
        keep(&mut self.partial_plain, plain);
        Err(End::Http)
    }
}

/// Whether these are too few bytes to tell a PROXY header from anything else, so that its counter does not
/// depend on how it is cut.
fn may_become_proxy_header(bytes: &[u8]) -> bool {
    !proxy_protocol::looks_like(bytes) && proxy_protocol::parse(bytes) == Ok(Parsed::Incomplete)
}

/// Makes `kept` the bytes `rest`.
fn keep(kept: &mut Vec<u8>, rest: &[u8]) {
    kept.clear();
    kept.extend_from_slice(rest);
}
