//! How much larger than its request the daemon's answer to a stranger is.

use super::checked::Config;
use crate::auth::{Nonces, Offer};

/// An answer to a stranger and the smallest request for it, in bytes of UDP payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The request.
    pub request_bytes: u32,
    /// The answer.
    pub reply_bytes: u32,
}

impl Challenge {
    /// Reply over request: what a reflected attack gains.
    pub fn factor(&self) -> f64 {
        f64::from(self.reply_bytes) / f64::from(self.request_bytes)
    }
}

impl Config {
    /// The 401 with ERROR-CODE, REALM, NONCE and, with `auth.modern`, PASSWORD-ALGORITHMS (RFC 8489 section
    /// 9.2.4) to an Allocate request with REQUESTED-TRANSPORT alone. The factor is 2.0 with a realm of at
    /// most 4 bytes, and 3.0 with `auth.modern`.
    pub fn challenge(&self) -> Challenge {
        let nonce_chars = if self.auth.modern { Nonces::CHARS_MAX } else { Nonces::CHARS };
        let offered = Offer::of(&self.auth_settings()).password_algorithms();
        Challenge {
            request_bytes: HEADER_BYTES + attribute(4),
            reply_bytes: HEADER_BYTES
                + attribute(4) // ERROR-CODE without a reason
                + attribute(self.server.realm.len())
                + attribute(nonce_chars)
                + offered.map_or(0, |algorithms| attribute(algorithms.len())),
        }
    }

    /// The largest Binding answer of a listener with `alternate` to a request without attributes: four
    /// addresses (RFC 5780 section 6.1). `None` when there is no such listener.
    pub fn discovery_answer(&self) -> Option<Challenge> {
        let listeners = self.listen.iter().filter(|listen| listen.alternates().is_some());
        let address_bytes = listeners.map(|listen| if listen.address.is_ipv4() { 8 } else { 20 }).max()?;
        let reply_bytes = HEADER_BYTES + 4 * attribute(address_bytes);
        Some(Challenge { request_bytes: HEADER_BYTES, reply_bytes })
    }
}

/// Bytes of an attribute with a value of this many, padding included.
fn attribute(value_bytes: usize) -> u32 {
    4 + value_bytes.next_multiple_of(4) as u32
}

const HEADER_BYTES: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_realm_of_four_bytes_doubles_a_request_of_28_bytes() {
        let challenge = Config::default().challenge();
        assert_eq!((challenge.request_bytes, challenge.reply_bytes), (28, 56));
        assert!((challenge.factor() - 2.0).abs() < f64::EPSILON);
    }

    #[test] // RFC 5780 section 6.1
    fn nat_discovery_answers_strangers_with_four_addresses() {
        let mut config = Config::default();
        assert_eq!(config.discovery_answer(), None);
        for (address, alternate, bytes) in
            [("192.0.2.1:3478", "192.0.2.2:3479", 68), ("[2001:db8::1]:3478", "[2001:db8::2]:3479", 116)]
        {
            let listen = &mut config.listen[0];
            listen.address = address.parse().expect("literal");
            listen.alternate = Some(alternate.parse().expect("literal"));
            let answer = config.discovery_answer().expect("asked for");
            assert_eq!((answer.request_bytes, answer.reply_bytes), (20, bytes));
        }
    }

    #[test] // security U2
    fn offering_sha256_makes_the_challenge_three_times_the_request() {
        let mut config = Config::default();
        config.auth.modern = true;
        assert_eq!(config.challenge().reply_bytes, 84);
        assert!((config.challenge().factor() - 3.0).abs() < f64::EPSILON);
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
