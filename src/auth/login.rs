//! Whom a request says it is from: USERNAME or USERHASH.

use super::authenticator::{CredentialId, Identity};
use aws_lc_rs::digest;

/// Whom a request says it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login<'a> {
    /// The text of USERNAME.
    Name(&'a str),
    /// The value of USERHASH.
    Hash([u8; 32]),
}

impl Login<'_> {
    /// The same bytes for a user whichever way he is named: what budgets of guesses count by. Two
    /// budgets would double the guesses, and one of them being spent would tell who exists.
    pub fn hash(&self, realm: &str) -> [u8; 32] {
        match self {
            Self::Name(name) => userhash(name, realm),
            Self::Hash(hash) => *hash,
        }
    }

    /// Whether this is the user behind `identity`. No USERHASH is one of a time-limited name.
    pub fn names(&self, identity: &Identity, realm: &str) -> bool {
        match self {
            Self::Name(name) => identity.credential == CredentialId::of(name),
            Self::Hash(hash) => identity.expires.is_none() && userhash(&identity.subject, realm) == *hash,
        }
    }
}

/// SHA-256(username ":" realm), both after OpaqueString (RFC 8489 section 14.4).
pub(super) fn userhash(username: &str, realm: &str) -> [u8; 32] {
    let mut sha = digest::Context::new(&digest::SHA256);
    for part in [username, ":", realm] {
        sha.update(part.as_bytes());
    }
    *sha.finish().as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // RFC 8489 appendix B.1
    fn the_userhash_of_the_rfc_is_ours() {
        let hash = userhash("\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}", "example.org");
        assert_eq!(
            hash[..8],
            [0x4a, 0x3c, 0xf3, 0x8f, 0xef, 0x69, 0x92, 0xbd],
            "as in tests/vectors/rfc8489_b1_erratum_6268.hex"
        );
        assert_eq!(Login::Hash(hash).hash("any"), hash);
    }
}
