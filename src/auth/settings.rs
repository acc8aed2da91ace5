//! What the operator decided about credentials, checked.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

/// A shared secret or a password. It has no readable `Debug` and its memory is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself: for key derivation only, never for a log line.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Checked credential settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// REALM of every challenge; at most 127 characters (RFC 8489 section 14.9).
    pub realm: String,
    /// Shared secrets of time-limited credentials, newest first, at most [`Settings::SECRETS_MAX`].
    pub secrets: Vec<Secret>,
    /// Static users and their passwords.
    pub users: BTreeMap<String, Secret>,
    /// Offer what RFC 8489 has beyond RFC 5389: see [`super::Offer`].
    pub modern: bool,
    /// Expiry ends live sessions too, not only new ones.
    pub strict_expiry: bool,
    /// Lifetime of a minted credential when the caller names none.
    pub ttl: Duration,
    /// Longest lifetime of a minted credential.
    pub max_ttl: Duration,
}

impl Settings {
    /// More active secrets than this would make a wrong password cost too much.
    pub const SECRETS_MAX: usize = 4;

    /// Lets nobody in.
    #[cfg(test)]
    pub(crate) fn of_nobody() -> Self {
        Self {
            realm: "turn".into(),
            secrets: Vec::new(),
            users: BTreeMap::new(),
            modern: false,
            strict_expiry: false,
            ttl: Duration::ZERO,
            max_ttl: Duration::ZERO,
        }
    }
}
