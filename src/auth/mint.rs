//! Makes time-limited credentials. Nothing is written anywhere: the HMAC is the record.

use super::name::{NAME_BYTES_MAX, NameFields};
use super::password::{SigningKey, Variant};
use super::settings::Secret;
use crate::base::UnixTime;
use std::fmt;
use std::time::Duration;

/// What a credential shall say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MintRequest<'a> {
    /// The time of minting, wall clock: the credential is good from then on.
    pub now: UnixTime,
    /// The time of minting that the name says, which revocations go by.
    pub minted_at: UnixTime,
    /// How long it is good, whole seconds; the caller keeps it within `Settings::max_ttl`.
    pub ttl: Duration,
    /// Whose it is: quotas and usage go by it. Any text.
    pub subject: &'a str,
    /// An id to revoke it by.
    pub id: Option<&'a str>,
    /// The call that it is for.
    pub call_id: Option<&'a str>,
    /// What to count it under.
    pub label: Option<&'a str>,
    /// Allocations that may live at once; tightens the configured limit only.
    pub allocations_max: Option<u32>,
    /// Relayed payload in bit/s; tightens the configured limit only.
    pub bits_per_second: Option<u64>,
}

impl<'a> MintRequest<'a> {
    /// A request for `subject` with nothing else in it.
    pub fn new(now: UnixTime, ttl: Duration, subject: &'a str) -> Self {
        Self {
            now,
            minted_at: now,
            ttl,
            subject,
            id: None,
            call_id: None,
            label: None,
            allocations_max: None,
            bits_per_second: None,
        }
    }
}

/// What a client needs: the `username` and `credential` of an `RTCIceServer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The name; ASCII, at most 508 bytes.
    pub username: String,
    /// The password, 28 or 44 characters of base64.
    pub password: Secret,
    /// From this second on it is void.
    pub expires: UnixTime,
}

/// Why no credential was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MintError {
    /// The name would have this many bytes, more than the 508 that USERNAME can hold.
    NameTooLong {
        /// Bytes of the name, with all its text percent-encoded.
        bytes: usize,
    },
}

impl fmt::Display for MintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::NameTooLong { bytes } = self;
        write!(
            f,
            "the username would have {bytes} bytes, at most {NAME_BYTES_MAX} are possible: \
             shorten subject, label or ids (characters other than letters and digits count three times)"
        )
    }
}

impl std::error::Error for MintError {}

/// Makes credentials by one secret, which is prepared once.
#[derive(Clone, Debug)]
pub struct Minter(SigningKey);

impl Minter {
    /// Makes passwords of this kind with `secret`.
    pub fn new(secret: &Secret, variant: Variant) -> Self {
        Self(SigningKey::new(secret, 0, variant))
    }

    /// Makes the credential that `request` describes.
    ///
    /// # Errors
    /// `NameTooLong`.
    pub fn mint(&self, request: &MintRequest<'_>) -> Result<Credential, MintError> {
        mint_with(&self.0, request)
    }
}

/// Makes the credential that `request` describes.
///
/// # Errors
/// `NameTooLong`.
pub fn mint(secret: &Secret, variant: Variant, request: &MintRequest<'_>) -> Result<Credential, MintError> {
    Minter::new(secret, variant).mint(request)
}

fn mint_with(key: &SigningKey, request: &MintRequest<'_>) -> Result<Credential, MintError> {
    let expires = request.now.after(request.ttl);
    let fields = NameFields {
        expires,
        subject: request.subject,
        minted_at: request.minted_at,
        id: request.id,
        call_id: request.call_id,
        label: request.label,
        allocations_max: request.allocations_max,
        bits_per_second: request.bits_per_second,
    };
    let username = fields.to_string();
    if username.len() > NAME_BYTES_MAX {
        return Err(MintError::NameTooLong { bytes: username.len() });
    }
    let password = Secret::new(key.password(&username).as_str());
    Ok(Credential { username, password, expires })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_700_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_credential_says_all_that_was_asked_for() {
        let request = MintRequest {
            id: Some("c1"),
            call_id: Some("k9"),
            label: Some("a b"),
            allocations_max: Some(2),
            bits_per_second: Some(64_000),
            ..MintRequest::new(NOW, HOUR, "bob@example.com")
        };
        let made = mint(&Secret::new("north"), Variant::Sha256, &request).expect("short");
        assert_eq!(made.username, "1700003600:bob%40example.com;i=c1;t=1700000000;c=k9;l=a%20b;a=2;b=64000");
        assert_eq!(made.expires, UnixTime(1_700_003_600));
        assert_eq!(made.password.expose().len(), 44);
    }

    #[test] // RFC 8489 section 14.3
    fn a_name_of_509_bytes_is_refused_and_one_of_508_is_made() {
        let bytes_around_subject = "1700003600:;t=1700000000".len();
        for (bytes, result) in [(508, Ok(508)), (509, Err(MintError::NameTooLong { bytes: 509 }))] {
            let subject = "a".repeat(bytes - bytes_around_subject);
            let request = MintRequest::new(NOW, HOUR, &subject);
            let made = mint(&Secret::new("north"), Variant::Sha1, &request);
            assert_eq!(made.map(|m| m.username.len()), result);
        }
    }
}
