//! Responses as values, and how they become bytes.

use super::address::ConnectionId;
use super::discovery::Discovered;
use super::error::Reject;
use super::request::{REQUEST_BYTES_MAX, UnknownAttributes};
use crate::auth::{Identity, Nonce, Scheme};
use crate::metrics::ResponseCode;
use crate::wire::stun::{
    AttributeType, Class, IntegrityAlgorithm, IntegrityKey, MessageWriter, Method, RequestedFamily,
    TransactionId, attribute,
};
use std::net::SocketAddr;

/// A reply buffer of this size holds every response. The longest has PADDING, as much as its request.
pub const REPLY_BYTES_MAX: usize = REQUEST_BYTES_MAX;

/// FINGERPRINT with its header.
const FINGERPRINT_BYTES: usize = 8;

/// What a response says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    /// Binding: where the request came from.
    Mapped(SocketAddr),
    /// Binding at a door of NAT behaviour discovery.
    Discovered(Discovered),
    /// Allocate.
    Allocated(Allocated),
    /// Refresh: the new lifetime in seconds.
    Lifetime(u32),
    /// Connect: the connection to the peer stands.
    Connected(ConnectionId),
    /// CreatePermission, ChannelBind and ConnectionBind.
    Done,
    /// Any error.
    Rejected(Reject),
}

/// An Allocate success, kept with the allocation so that a retransmission gets the same (RFC 8656
/// section 5).
#[derive(Clone, Copy, Debug)]
pub(super) struct Allocated {
    pub(super) mapped: SocketAddr,
    pub(super) relayed: [Option<SocketAddr>; 2],
    pub(super) lifetime_s: u32,
    pub(super) reservation: Option<[u8; 8]>,
    /// The family of a dual request that could not be had, and its code.
    pub(super) missing: Option<(RequestedFamily, u16)>,
}

/// How a response is signed.
#[derive(Clone, Debug)]
pub(super) struct Signer {
    pub(super) key: IntegrityKey,
    pub(super) algorithm: IntegrityAlgorithm,
}

impl Signer {
    pub(super) fn of(identity: &Identity, scheme: Scheme) -> Self {
        Self { key: identity.keys.of(scheme.hash).clone(), algorithm: scheme.reply }
    }
}

/// What a response must know of its request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) transaction: TransactionId,
    pub(super) fingerprint: bool,
    pub(super) unknown: UnknownAttributes,
}

/// Realm, a fresh nonce and what else is offered, for the responses that ask to try again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Challenge<'a> {
    pub(super) realm: &'a str,
    pub(super) nonce: Nonce,
    /// The value of PASSWORD-ALGORITHMS.
    pub(super) algorithms: Option<&'static [u8]>,
}

impl Body {
    pub(super) fn label(&self) -> ResponseCode {
        match self {
            Self::Rejected(reject) => reject.label(),
            _ => ResponseCode::Success,
        }
    }

    /// Writes the response. No SOFTWARE and no reason text, since a stranger may have
    /// forged the sender; FINGERPRINT only when the request had one (RFC 8489 section 7.1).
    ///
    /// Returns its bytes; `None` cannot happen with a buffer of [`REPLY_BYTES_MAX`].
    pub(super) fn encode(
        &self,
        asked: &Asked,
        challenge: Option<Challenge<'_>>,
        signer: Option<&Signer>,
        reply: &mut [u8],
    ) -> Option<usize> {
        let class = if matches!(self, Self::Rejected(_)) { Class::Error } else { Class::Success };
        let mut writer = MessageWriter::new(reply, class, asked.method, asked.transaction);
        self.write_attributes(&mut writer, &asked.unknown);
        if let Self::Discovered(Discovered { pad_to: Some(total), .. }) = self {
            writer.padding(total.saturating_sub(if asked.fingerprint { FINGERPRINT_BYTES } else { 0 }));
        }
        if let Some(challenge) = challenge {
            writer.attribute(AttributeType::REALM, challenge.realm.as_bytes());
            writer.attribute(AttributeType::NONCE, challenge.nonce.as_bytes());
            if let Some(algorithms) = challenge.algorithms {
                writer.attribute(AttributeType::PASSWORD_ALGORITHMS, algorithms);
            }
        }
        if let Some(signer) = signer {
            writer.integrity(signer.algorithm, &signer.key);
        }
        if asked.fingerprint {
            writer.fingerprint();
        }
        writer.finish()
    }

    fn write_attributes(&self, writer: &mut MessageWriter<'_>, unknown: &UnknownAttributes) {
        match self {
            Self::Mapped(address) => writer.xor_address(AttributeType::XOR_MAPPED_ADDRESS, *address),
            Self::Discovered(discovered) => discovered.write(writer),
            Self::Allocated(allocated) => allocated.write(writer),
            Self::Lifetime(seconds) => writer.u32(AttributeType::LIFETIME, *seconds),
            Self::Connected(id) => writer.u32(AttributeType::CONNECTION_ID, id.0),
            Self::Done => {}
            Self::Rejected(reject) => {
                writer.error_code(reject.code());
                if *reject == Reject::UnknownAttribute {
                    writer.unknown_attributes(unknown.kinds());
                }
            }
        }
    }
}

impl Discovered {
    /// RFC 5780 section 6.1: the mapped address in both forms, since a gateway that rewrites addresses in
    /// payload betrays itself by the difference.
    fn write(&self, writer: &mut MessageWriter<'_>) {
        writer.address(AttributeType::MAPPED_ADDRESS, self.mapped);
        writer.xor_address(AttributeType::XOR_MAPPED_ADDRESS, self.mapped);
        writer.address(AttributeType::RESPONSE_ORIGIN, self.origin);
        writer.address(AttributeType::OTHER_ADDRESS, self.other);
    }
}

impl Allocated {
    fn write(&self, writer: &mut MessageWriter<'_>) {
        for relayed in self.relayed.iter().flatten() {
            writer.xor_address(AttributeType::XOR_RELAYED_ADDRESS, *relayed);
        }
        writer.u32(AttributeType::LIFETIME, self.lifetime_s);
        if let Some(token) = self.reservation {
            writer.attribute(AttributeType::RESERVATION_TOKEN, &token);
        }
        if let Some((family, code)) = self.missing {
            let error = attribute::AddressErrorCode { family, code };
            let value = attribute::encode_address_error_code(error);
            writer.attribute(AttributeType::ADDRESS_ERROR_CODE, &value);
        }
        writer.xor_address(AttributeType::XOR_MAPPED_ADDRESS, self.mapped);
    }
}
