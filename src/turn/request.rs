//! The attributes of one request, read in one walk: the first of each type counts.

use super::discovery::is_of_discovery;
use super::respond::Asked;
use crate::wire::stun::{AttributeType, Message};

/// Requests above this are dropped: RFC 8489 section 6.1 wants them to fit the path MTU, and a walk
/// over 16,000 attributes would be work for a stranger.
pub(super) const REQUEST_BYTES_MAX: usize = 2048;

/// What is understood beside what always is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Understood {
    /// What clients of RFC 5766 and its drafts sent otherwise.
    pub(super) legacy: bool,
    /// RFC 5780: this is a Binding request where it is spoken.
    pub(super) discovery: bool,
    /// What RFC 8489 has beyond RFC 5389.
    pub(super) modern: bool,
}

/// Raw values; each method decodes what it needs.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) message: Message<'a>,
    pub(super) username: Option<&'a [u8]>,
    pub(super) userhash: Option<&'a [u8]>,
    pub(super) realm: Option<&'a [u8]>,
    pub(super) nonce: Option<&'a [u8]>,
    pub(super) transport: Option<&'a [u8]>,
    pub(super) lifetime: Option<&'a [u8]>,
    pub(super) even_port: Option<&'a [u8]>,
    pub(super) token: Option<&'a [u8]>,
    pub(super) family: Option<&'a [u8]>,
    pub(super) additional_family: Option<&'a [u8]>,
    pub(super) channel_number: Option<&'a [u8]>,
    pub(super) peer: Option<&'a [u8]>,
    pub(super) change_request: Option<&'a [u8]>,
    pub(super) padding: Option<&'a [u8]>,
    pub(super) response_port: Option<&'a [u8]>,
    pub(super) dont_fragment: Option<&'a [u8]>,
    pub(super) connection_id: Option<&'a [u8]>,
    pub(super) unknown: UnknownAttributes,
}

impl<'a> Request<'a> {
    pub(super) fn read(message: Message<'a>, understood: Understood) -> Self {
        let Understood { legacy, discovery, modern } = understood;
        let mut request = Self {
            message,
            username: None,
            userhash: None,
            realm: None,
            nonce: None,
            transport: None,
            lifetime: None,
            even_port: None,
            token: None,
            family: None,
            additional_family: None,
            channel_number: None,
            peer: None,
            change_request: None,
            padding: None,
            response_port: None,
            dont_fragment: None,
            connection_id: None,
            unknown: UnknownAttributes::default(),
        };
        for attribute in message.attributes() {
            let slot = match attribute.kind {
                AttributeType::USERNAME => &mut request.username,
                AttributeType::USERHASH if modern => &mut request.userhash,
                AttributeType::PASSWORD_ALGORITHM if modern => continue,
                AttributeType::REALM => &mut request.realm,
                AttributeType::NONCE => &mut request.nonce,
                AttributeType::REQUESTED_TRANSPORT => &mut request.transport,
                AttributeType::LIFETIME => &mut request.lifetime,
                AttributeType::EVEN_PORT => &mut request.even_port,
                AttributeType::RESERVATION_TOKEN => &mut request.token,
                AttributeType::REQUESTED_ADDRESS_FAMILY => &mut request.family,
                AttributeType::ADDITIONAL_ADDRESS_FAMILY => &mut request.additional_family,
                AttributeType::LEGACY_ADDITIONAL_ADDRESS_FAMILY if legacy => &mut request.additional_family,
                AttributeType::CHANNEL_NUMBER => &mut request.channel_number,
                AttributeType::XOR_PEER_ADDRESS => &mut request.peer,
                AttributeType::CHANGE_REQUEST if discovery => &mut request.change_request,
                AttributeType::PADDING if discovery => &mut request.padding,
                AttributeType::RESPONSE_PORT if discovery => &mut request.response_port,
                AttributeType::DONT_FRAGMENT => &mut request.dont_fragment,
                AttributeType::CONNECTION_ID => &mut request.connection_id,
                kind => {
                    request.unknown.note(kind);
                    continue;
                }
            };
            slot.get_or_insert(attribute.value);
        }
        request
    }

    pub(super) fn asked(&self) -> Asked {
        Asked {
            method: self.message.method(),
            transaction: self.message.transaction_id(),
            fingerprint: self.message.has_fingerprint(),
            unknown: self.unknown,
        }
    }
}

/// Attributes that must be understood and are not, up to a number that bounds the answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UnknownAttributes {
    kinds: [u16; Self::MAX],
    length: u8,
}

impl UnknownAttributes {
    const MAX: usize = 8;

    fn note(&mut self, kind: AttributeType) {
        // Known by name is not understood: these belong to mechanisms that are not offered, or not here.
        let understood = kind.is_known()
            && !matches!(kind, AttributeType::PASSWORD_ALGORITHM | AttributeType::USERHASH)
            && !is_of_discovery(kind);
        let known = !kind.is_comprehension_required() || understood;
        if !known && usize::from(self.length) < Self::MAX && !self.kinds().any(|k| k == kind) {
            self.kinds[usize::from(self.length)] = kind.0;
            self.length += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(super) fn kinds(&self) -> impl ExactSizeIterator<Item = AttributeType> + '_ {
        self.kinds[..usize::from(self.length)].iter().map(|kind| AttributeType(*kind))
    }
}
