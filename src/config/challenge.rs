//! How much larger than its request the daemon's answer to a stranger is.

use super::checked::Config;

/// The 401 answer to the smallest Allocate request, in bytes of UDP payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// An Allocate request with REQUESTED-TRANSPORT alone.
    pub request_bytes: u32,
    /// The answer with ERROR-CODE, REALM and NONCE.
    pub reply_bytes: u32,
}

impl Challenge {
    /// Reply over request: what a reflected attack gains. 2.0 with a realm of at most 4 bytes.
    pub fn factor(&self) -> f64 {
        f64::from(self.reply_bytes) / f64::from(self.request_bytes)
    }
}

impl Config {
    /// The challenge with this realm (RFC 8489 section 9.2.4), `auth.modern` off.
    pub fn challenge(&self) -> Challenge {
        let realm_bytes = self.server.realm.len().next_multiple_of(4) as u32;
        Challenge {
            request_bytes: HEADER_BYTES + ATTRIBUTE_BYTES + 4,
            reply_bytes: HEADER_BYTES
                + (ATTRIBUTE_BYTES + 4) // ERROR-CODE without a reason
                + (ATTRIBUTE_BYTES + realm_bytes)
                + (ATTRIBUTE_BYTES + NONCE_BYTES),
        }
    }
}

const HEADER_BYTES: u32 = 20;
const ATTRIBUTE_BYTES: u32 = 4;
const NONCE_BYTES: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_realm_of_four_bytes_doubles_a_request_of_28_bytes() {
        let challenge = Config::default().challenge();
        assert_eq!((challenge.request_bytes, challenge.reply_bytes), (28, 56));
        assert!((challenge.factor() - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_longer_realm_is_padded_to_four_bytes() {
        let mut config = Config::default();
        config.server.realm = "turn.example.org".to_owned();
        assert_eq!(config.challenge().reply_bytes, 68);
        config.server.realm.push('!');
        assert_eq!(config.challenge().reply_bytes, 72);
    }
}
