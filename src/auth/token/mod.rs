//! Who a signaling client is: signed tokens (JWT, RFC 7519 in the compact form of RFC 7515) and the keys that judge them.
//!
//! - [`KeySet`] holds keys: a shared secret, a public key from PEM, or a set from a URL (RFC 7517). Each key says by its
//!   own type which algorithms it takes; what the token says chooses among these only.
//! - [`Verifier`] judges a token by a key set and by the wanted issuer and audience, and answers with [`Claims`].
//! - [`TokenRefused`] says why not, in words that the client may read.
//! - [`issue()`] signs one, for people who have no issuer.
//!
//! A token is judged outside in: size, form, header, key, signature, and only then what it claims.

mod claims;
mod header;
mod issue;
mod key;
mod key_set;
mod members;
mod pem;
mod refused;
mod rooms;
mod verifier;

pub use claims::Claims;
pub use issue::{NotIssued, TokenRequest, issue};
pub use key_set::{BadKeySet, BadSecret, KeySet};
pub use pem::BadPem;
pub use refused::TokenRefused;
pub use rooms::RoomList;
pub use verifier::{TokenRules, Verifier};
