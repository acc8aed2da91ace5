//! Requests without a client behind them, by the `stun` crate, and what comes back.

use std::time::Duration;
use stun::agent::TransactionId;
use stun::attributes::{ATTR_NONCE, ATTR_REALM, ATTR_USERNAME};
use stun::error_code::ErrorCodeAttribute;
use stun::fingerprint::FINGERPRINT;
use stun::integrity::MessageIntegrity;
use stun::message::{
    CLASS_ERROR_RESPONSE, CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, Getter, METHOD_ALLOCATE, METHOD_REFRESH,
    Message, MessageType, Method, Setter,
};
use stun::textattrs::TextAttribute;
use turn::proto::PROTO_UDP;
use turn::proto::lifetime::Lifetime;
use turn::proto::reqtrans::RequestedTransport;

/// What a server wants to have in each request (RFC 8489 section 9.2), and the key to prove who asks.
#[derive(Clone)]
pub(super) struct Challenge {
    realm: String,
    nonce: String,
}

/// Who asks, and how that is proven.
pub(super) struct Proof {
    username: TextAttribute,
    realm: TextAttribute,
    nonce: TextAttribute,
    integrity: MessageIntegrity,
}

/// A response.
pub(super) struct Answer {
    pub(super) transaction: [u8; 12],
    pub(super) method: Method,
    pub(super) outcome: Result<(), (u16, String)>,
    /// In an error response that asks for a proof.
    pub(super) challenge: Option<Challenge>,
}

impl Proof {
    pub(super) fn new(username: &str, password: &str, challenge: &Challenge) -> Self {
        let text = |attribute, text: &str| TextAttribute::new(attribute, text.to_owned());
        let (name, realm) = (username.to_owned(), challenge.realm.clone());
        Self {
            username: text(ATTR_USERNAME, username),
            realm: text(ATTR_REALM, &challenge.realm),
            nonce: text(ATTR_NONCE, &challenge.nonce),
            integrity: MessageIntegrity::new_long_term_integrity(name, realm, password.to_owned()),
        }
    }
}

/// An Allocate request (RFC 8656 section 7.1), at first without proof.
pub(super) fn allocate(transaction: [u8; 12], proof: Option<&Proof>) -> Result<Vec<u8>, stun::Error> {
    request(transaction, METHOD_ALLOCATE, Box::new(RequestedTransport { protocol: PROTO_UDP }), proof)
}

/// A Refresh request that ends the allocation (section 8).
pub(super) fn end(transaction: [u8; 12], proof: Option<&Proof>) -> Result<Vec<u8>, stun::Error> {
    request(transaction, METHOD_REFRESH, Box::new(Lifetime(Duration::ZERO)), proof)
}

fn request(
    transaction: [u8; 12],
    method: Method,
    what: Box<dyn Setter>,
    proof: Option<&Proof>,
) -> Result<Vec<u8>, stun::Error> {
    let mut setters: Vec<Box<dyn Setter>> =
        vec![Box::new(TransactionId(transaction)), Box::new(MessageType::new(method, CLASS_REQUEST)), what];
    if let Some(proof) = proof {
        for attribute in [&proof.username, &proof.realm, &proof.nonce] {
            setters.push(Box::new(attribute.clone()));
        }
        setters.push(Box::new(proof.integrity.clone()));
    }
    setters.push(Box::new(FINGERPRINT));
    let mut message = Message::new();
    message.build(&setters)?;
    Ok(message.raw)
}

impl Answer {
    /// Whether it asks for a proof of who asked.
    pub(super) fn is_challenge(&self) -> bool {
        matches!(self.outcome, Err((401, _)))
    }

    /// `None` of anything else.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut message = Message::new();
        message.unmarshal_binary(bytes).ok()?;
        let text = |attribute| TextAttribute::get_from_as(&message, attribute).ok().map(|text| text.text);
        let outcome = match message.typ.class {
            CLASS_SUCCESS_RESPONSE => Ok(()),
            CLASS_ERROR_RESPONSE => {
                let mut error = ErrorCodeAttribute::default();
                error.get_from(&message).ok()?;
                Err((error.code.0, String::from_utf8_lossy(&error.reason).into_owned()))
            }
            _ => return None,
        };
        let challenge =
            text(ATTR_REALM).zip(text(ATTR_NONCE)).map(|(realm, nonce)| Challenge { realm, nonce });
        Some(Self { transaction: message.transaction_id.0, method: message.typ.method, outcome, challenge })
    }
}
