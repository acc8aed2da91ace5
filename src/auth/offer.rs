//! What a challenge offers beyond RFC 5389, and how its nonce says so.
//!
//! A nonce that begins with `obMatJos2` goes on with 24 bits of STUN Security Features, as four
//! characters of base64 (RFC 8489 section 9.2). Whoever strips PASSWORD-ALGORITHMS from a challenge on
//! its way leaves the bit behind, and whoever clears the bit breaks the nonce, whose MAC covers it.
//!
//! On the order of the bits the sources are at odds. Section 9.2 and the nonce in RFC 8656 section 20
//! count from the left, and so does the `stun-rs` crate; the verified erratum 6290 and the nonce in
//! appendix B.1 count from the right, and so does libjuice. Each feature is set here under both
//! numbers, so that either kind of client finds it. Seen from the other side these are bits 23 and 22,
//! which nobody has assigned, and which clients must ignore as they do the others.

use super::settings::Settings;
use crate::wire::stun::attribute::{PasswordAlgorithm, encode_password_algorithm};

/// What a challenge offers beyond RFC 5389.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offer {
    /// Nothing: MD5 keys and MESSAGE-INTEGRITY.
    #[default]
    Classic,
    /// PASSWORD-ALGORITHMS, hence SHA-256 keys and MESSAGE-INTEGRITY-SHA256.
    Algorithms,
    /// These, and anonymous usernames: a client that can will send USERHASH.
    AlgorithmsAndAnonymity,
}

impl Offer {
    /// Characters of the longest nonce cookie.
    pub(super) const COOKIE_CHARS_MAX: usize = 13;

    /// The value of PASSWORD-ALGORITHMS, best first: a client takes the first that it knows.
    const PASSWORD_ALGORITHMS: [u8; 8] = {
        let [a, b, c, d] = encode_password_algorithm(PasswordAlgorithm::Sha256);
        let [e, f, g, h] = encode_password_algorithm(PasswordAlgorithm::Md5);
        [a, b, c, d, e, f, g, h]
    };

    /// Anonymous usernames only without shared secrets: a client that sees this feature must send
    /// USERHASH (section 9.2.5), and the hash of a time-limited name leads back to nothing.
    pub fn of(settings: &Settings) -> Self {
        match (settings.modern, settings.secrets.is_empty()) {
            (false, _) => Self::Classic,
            (true, false) => Self::Algorithms,
            (true, true) => Self::AlgorithmsAndAnonymity,
        }
    }

    /// Whether anything is offered that RFC 5389 does not know.
    pub fn is_modern(self) -> bool {
        self != Self::Classic
    }

    /// The value of PASSWORD-ALGORITHMS in a challenge; nothing with [`Offer::Classic`].
    pub fn password_algorithms(self) -> Option<&'static [u8]> {
        self.is_modern().then_some(&Self::PASSWORD_ALGORITHMS)
    }

    /// The characters in front of each nonce: none, or 13.
    pub(super) const fn cookie(self) -> &'static [u8] {
        match self {
            Self::Classic => b"",
            Self::Algorithms => b"obMatJos2gAAB",
            Self::AlgorithmsAndAnonymity => b"obMatJos2wAAD",
        }
    }

    /// Whether `nonce` begins as nonces of an offer with password algorithms do, ours or forged.
    pub fn is_in(nonce: &[u8]) -> bool {
        [Self::Algorithms, Self::AlgorithmsAndAnonymity].iter().any(|offer| nonce.starts_with(offer.cookie()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    #[test] // RFC 8489 sections 9.2 and 18.1, erratum 6290, security U12
    fn the_cookie_names_each_feature_from_the_left_and_from_the_right() {
        const PASSWORD_ALGORITHMS: u32 = 0;
        const USERNAME_ANONYMITY: u32 = 1;
        for (offer, features) in [
            (Offer::Algorithms, &[PASSWORD_ALGORITHMS][..]),
            (Offer::AlgorithmsAndAnonymity, &[PASSWORD_ALGORITHMS, USERNAME_ANONYMITY]),
        ] {
            let bits = features.iter().fold(0, |bits, n| bits | 1 << n | 1 << (23 - n));
            let cookie = format!("obMatJos2{}", STANDARD.encode(&u32::to_be_bytes(bits)[1..]));
            assert_eq!(offer.cookie(), cookie.as_bytes());
            assert_eq!(cookie.len(), Offer::COOKIE_CHARS_MAX);
            assert!(Offer::is_in(cookie.as_bytes()) && !Offer::is_in(&cookie.as_bytes()[1..]));
        }
        assert!(!Offer::is_in(b"obMatJos2AAAAAAAAAAAAAAAAAAAA"));
    }

    #[test] // RFC 8489 section 18.5
    fn sha256_stands_before_md5_and_neither_has_parameters() {
        assert_eq!(Offer::Algorithms.password_algorithms(), Some(&[0, 2, 0, 0, 0, 1, 0, 0][..]));
        assert_eq!(Offer::Classic.password_algorithms(), None);
    }
}
