//! Rank 2: who may have a relay, and who a signaling client is.
//!
//! Two kinds of user stand side by side: static ones with a password from the config, and
//! time-limited names whose password is an HMAC over the name under a shared secret, so that minting
//! one writes nothing and checking one looks nothing up.
//!
//! - [`mint()`] makes a time-limited credential, [`explain()`] says why one does or does not work.
//! - [`MintedName`] reads such a name.
//! - [`Nonces`] issues and checks nonces that are bound to a client's address, without state.
//! - [`Offer`] is what a challenge offers beyond RFC 5389, [`Scheme`] what a request made of it.
//! - [`Cookies`] does the same for clients of DTLS, before they have a session.
//! - [`Authenticator`] judges a request, [`StoredUser`] is a static user that the config does not know.
//! - [`Revocations`] are credentials that are void before their time, and [`MintTimes`] keep new ones clear of them.
//! - [`ApiKeys`] are the keys of the HTTP API, [`BrowserSessions`] what somebody may do who showed one to the dashboard.
//! - [`user_name`] and [`user_password`] say what a static user may be called, and its password.
//! - [`token`] judges the tokens of signaling clients.
#![forbid(unsafe_code)]

mod api_key;
mod authenticator;
mod browser_sessions;
mod cookie;
mod explain;
mod keys;
mod login;
mod mint;
mod name;
mod nonce;
mod offer;
mod password;
mod revocations;
mod settings;
mod stored_user;
pub mod token;
mod user_text;

pub use api_key::{API_KEY_PREFIX, ApiKey, ApiKeyHash, ApiKeys, Scope, api_key_text};
pub use authenticator::{AuthFailure, Authenticator, CredentialId, Identity};
pub use browser_sessions::{
    BROWSER_SESSION_AGE, BROWSER_SESSION_IDLE, BROWSER_SESSIONS_MAX, BrowserSession, BrowserSessionId,
    BrowserSessions,
};
pub use cookie::Cookies;
pub use explain::{Explanation, NameFault, explain};
pub use keys::{BadAlgorithms, KeyHash, LongTermKeys, Scheme};
pub use login::Login;
pub use mint::{Credential, MintError, MintRequest, Minter, mint};
pub use name::{MintedName, NAME_BYTES_MAX, NameFields};
pub use nonce::{Nonce, Nonces, StaleNonce};
pub use offer::Offer;
pub use password::Variant;
pub use revocations::{Claimed, MintTimes, Revocation, Revocations, Target};
pub use settings::{Secret, Settings};
pub use stored_user::StoredUser;
pub use user_text::{BadText, user_name, user_password};
