//! Static users that were added while running: kept as key material, never as a password.

use super::authenticator::{CredentialId, opaque_string};
use super::keys::LongTermKeys;
use super::settings::Secret;
use std::sync::Arc;

/// A static user beside those of the config. Its keys are worth as much as its password, in its realm.
#[derive(Clone, Debug)]
pub struct StoredUser {
    pub(super) id: CredentialId,
    pub(super) name: Arc<str>,
    pub(super) realm: Arc<str>,
    pub(super) keys: LongTermKeys,
}

impl StoredUser {
    /// Makes the keys of a user in a realm. Name and password go through OpaqueString as those of the config do.
    pub fn new(name: &str, realm: &str, password: &Secret) -> Self {
        let name = opaque_string(name);
        let password = opaque_string(password.expose());
        let keys = LongTermKeys::new(name.as_bytes(), realm.as_bytes(), password.as_bytes());
        Self { id: CredentialId::of(&name), name: Arc::from(name), realm: Arc::from(realm), keys }
    }

    /// From what [`StoredUser::name`], [`StoredUser::realm`] and [`StoredUser::keys`] said.
    pub fn from_keys(name: &str, realm: &str, (md5, sha256): (&[u8; 16], &[u8; 32])) -> Self {
        let keys = LongTermKeys::from_digests(md5, sha256);
        Self { id: CredentialId::of(name), name: Arc::from(name), realm: Arc::from(realm), keys }
    }

    /// The name as OpaqueString prepares it: what is compared with USERNAME.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The realm that the keys are for: under another one the user does not exist.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// MD5 and SHA-256 of name, realm and password (RFC 8489 section 9.2.2). Secret.
    pub fn keys(&self) -> (&[u8], &[u8]) {
        self.keys.digests()
    }
}
