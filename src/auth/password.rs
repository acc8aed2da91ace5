//! The password of a time-limited name: base64 of an HMAC over the whole name.

use super::settings::{Secret, Settings};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use zeroize::Zeroize;

/// Which HMAC a password is.
///
/// A credential does not say which: passwords of the two have different lengths, and the server
/// treats every pair of secret and variant as a key of its own, so none can pass for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// HMAC-SHA1, a password of 28 characters: what every other TURN server and minter knows.
    Sha1,
    /// HMAC-SHA256, a password of 44 characters.
    Sha256,
}

impl Variant {
    /// Both, in the order in which the server tries them.
    pub const ALL: [Self; 2] = [Self::Sha1, Self::Sha256];

    /// Characters of a password, padding included.
    pub const fn password_chars(self) -> usize {
        match self {
            Self::Sha1 => 28,
            Self::Sha256 => 44,
        }
    }

    fn algorithm(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "HMAC-SHA1",
            Self::Sha256 => "HMAC-SHA256",
        })
    }
}

/// A shared secret made ready for one variant.
#[derive(Clone, Debug)]
pub(super) struct SigningKey {
    pub(super) variant: Variant,
    /// Position of the secret in the settings; 0 is the newest.
    pub(super) secret_index: usize,
    key: hmac::Key,
}

impl SigningKey {
    pub(super) fn new(secret: &Secret, secret_index: usize, variant: Variant) -> Self {
        let key = hmac::Key::new(variant.algorithm(), secret.expose().as_bytes());
        Self { variant, secret_index, key }
    }

    /// Every key that a password may have been made with, in the order in which they are tried:
    /// newest secret first, SHA-1 before SHA-256.
    pub(super) fn candidates(settings: &Settings) -> Vec<Self> {
        let secrets = settings.secrets.iter().take(Settings::SECRETS_MAX).enumerate();
        secrets.flat_map(|(at, secret)| Variant::ALL.map(|variant| Self::new(secret, at, variant))).collect()
    }

    /// The only password that fits `name` under this key.
    pub(super) fn password(&self, name: &str) -> Password {
        let tag = hmac::sign(&self.key, name.as_bytes());
        let mut chars = [0; PASSWORD_CHARS_MAX];
        let length = STANDARD
            .encode_slice(tag, &mut chars)
            .expect("a tag has at most 32 bytes, which are 44 characters of base64");
        Password { chars, length }
    }

    /// Whether `text` is the tag over `name` in hexadecimal: a common mistake of minters.
    pub(super) fn is_hex_tag(&self, name: &str, text: &str) -> bool {
        let tag = hmac::sign(&self.key, name.as_bytes());
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        text.eq_ignore_ascii_case(&hex)
    }
}

/// A password on the stack, wiped when dropped.
pub(super) struct Password {
    chars: [u8; PASSWORD_CHARS_MAX],
    length: usize,
}

impl Password {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.chars[..self.length]
    }

    pub(super) fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).expect("base64 is ASCII")
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        self.chars.zeroize();
    }
}

const PASSWORD_CHARS_MAX: usize = Variant::Sha256.password_chars();

#[cfg(test)]
mod tests {
    use super::*;

    // The same from: printf %s 1433895918:alice | openssl dgst -sha1 -hmac north -binary | base64
    #[test]
    fn passwords_are_those_of_every_other_minter() {
        let made = Variant::ALL.map(|variant| {
            SigningKey::new(&Secret::new("north"), 0, variant)
                .password("1433895918:alice")
                .as_str()
                .to_owned()
        });
        assert_eq!(made, [SHA1, SHA256]);
        assert_eq!(made.map(|m| m.len()), Variant::ALL.map(Variant::password_chars));
    }

    const SHA1: &str = "RqMvcGPYTJMGThVLSi4amT4zFtI=";
    const SHA256: &str = "gItEyWczeVF30g5PsXd43+urZgExD+g0JRczuDCJ9OM=";
}
