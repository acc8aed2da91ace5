//! Why a token was not accepted.

use crate::metrics::SignalingError;
use std::fmt;

/// Why a token was not accepted. Nothing in it is secret: the client may read the sentence.
///
/// Everything from [`Self::WrongIssuer`] on is said of tokens with a good signature only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenRefused {
    /// There is none.
    Missing,
    /// More than 8 KiB.
    TooLong,
    /// Not the compact form of a signed token, or a header that is no JSON object with unique names.
    Malformed,
    /// The header's algorithm is not one that the key takes: `none`, or an HMAC against a public key.
    WrongAlgorithm,
    /// The header wants an extension to be understood (`crit`), and there is none here.
    UnknownExtension,
    /// No key has the id that the header names, or there is no key at all yet. A newer key set may have it.
    UnknownKey,
    /// The signature is not by the key.
    BadSignature,
    /// The payload is no JSON object with unique names.
    BadPayload,
    /// `exp` is missing, or one of `exp`, `nbf` and `iat` is not a whole number from 0 to 2^53.
    BadTime,
    /// `sub` is missing or cannot name a user.
    BadSubject,
    /// `device_id`, `name`, `rooms` or `roles` has the wrong type or is too large.
    BadClaim,
    /// `iss` is not the wanted one.
    WrongIssuer,
    /// `aud` does not have the wanted one.
    WrongAudience,
    /// `nbf` lies ahead.
    NotYetValid,
    /// `exp` has passed.
    Expired,
}

impl TokenRefused {
    /// Every reason, in order.
    pub const ALL: [Self; 15] = [
        Self::Missing,
        Self::TooLong,
        Self::Malformed,
        Self::WrongAlgorithm,
        Self::UnknownExtension,
        Self::UnknownKey,
        Self::BadSignature,
        Self::BadPayload,
        Self::BadTime,
        Self::BadSubject,
        Self::BadClaim,
        Self::WrongIssuer,
        Self::WrongAudience,
        Self::NotYetValid,
        Self::Expired,
    ];

    /// The code for programs: `unauthorized`, or `token_expired` when a fresh token is all that is missing.
    pub const fn code(self) -> SignalingError {
        match self {
            Self::Expired => SignalingError::TokenExpired,
            _ => SignalingError::Unauthorized,
        }
    }

    /// One sentence for people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Missing => "a token is required",
            Self::TooLong => "the token is longer than 8 KiB",
            Self::Malformed => "the token is not a signed JWT",
            Self::WrongAlgorithm => "the token's algorithm is not accepted here",
            Self::UnknownExtension => "the token needs an extension that is not known here (`crit`)",
            Self::UnknownKey => "the token is signed by a key that is not known here",
            Self::BadSignature => "the token's signature is wrong",
            Self::BadPayload => "the token's payload is not a JSON object, or has a claim twice",
            Self::BadTime => "`exp` is required, and `exp`, `nbf` and `iat` must be whole numbers of seconds",
            Self::BadSubject => "`sub` must be a text of 1 to 128 bytes without control characters",
            Self::BadClaim => "`device_id`, `name`, `rooms` or `roles` has the wrong type or is too large",
            Self::WrongIssuer => "the token is of another issuer",
            Self::WrongAudience => "the token is for another audience",
            Self::NotYetValid => "the token is not valid yet",
            Self::Expired => "the token has expired",
        }
    }
}

impl fmt::Display for TokenRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl std::error::Error for TokenRefused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_stands_in_the_list_once_and_has_a_sentence_of_its_own() {
        for (at, reason) in TokenRefused::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
            let alike = TokenRefused::ALL.iter().filter(|other| other.sentence() == reason.sentence());
            assert_eq!(alike.count(), 1, "{reason}");
        }
    }
}
