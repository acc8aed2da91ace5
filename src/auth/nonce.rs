//! Nonces without state, bound to time and to the client's address.
//!
//! ```text
//! nonce = [ cookie, 13 characters ] 16 characters of base64 = | time, 4 bytes | MAC, 8 bytes |
//! time = seconds since 1970, modulo 2^32, big endian
//! MAC  = SipHash-2-4 over time, address family, address, port, cookie
//! key  = HMAC-SHA256(master, label, hour of `time`), the first 16 bytes
//! ```
//! The key changes with each hour of the time in the nonce. Whoever has the same master (the shards
//! of one daemon, the nodes of a fleet) accepts the nonces of the others with nothing to agree on,
//! and learning one hour's key forges nothing of another hour.
//!
//! A nonce from another address is stale, not wrong: a client behind a NAT that changed its port
//! gets 438 with a fresh nonce and goes on (RFC 8489 section 9.2.4). So is one that was made with
//! another [`Offer`]: the client learns what is offered now.

use super::offer::Offer;
use crate::base::UnixTime;
use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use siphasher::sip::SipHasher24;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use zeroize::Zeroize;

/// The nonce does not belong to this client and this time: answered with 438 and a fresh one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaleNonce;

/// A nonce as it stands in NONCE: printable ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce {
    chars: [u8; Nonces::CHARS_MAX],
    length: u8,
}

impl Nonce {
    /// The characters, at most [`Nonces::CHARS_MAX`].
    pub fn as_bytes(&self) -> &[u8] {
        &self.chars[..usize::from(self.length)]
    }
}

/// Issues nonces and checks them. Keeps three keys and nothing about any client; never allocates.
#[derive(Clone)]
pub struct Nonces {
    master: hmac::Key,
    /// Hour of the key in the middle.
    epoch: u64,
    /// Keys of the hour before `epoch`, of `epoch`, and of the hour after it, which the clocks of
    /// other nodes may have reached.
    keys: [SipHasher24; 3],
}

impl Nonces {
    /// Characters of a nonce without cookie.
    pub const CHARS: usize = 16;
    /// Characters of a nonce with one.
    pub const CHARS_MAX: usize = Offer::COOKIE_CHARS_MAX + Self::CHARS;
    /// How long a nonce is good, in seconds (RFC 8656 section 5 recommends an hour at most).
    pub const AGE_S_MAX: u64 = 3600;
    /// How far the clock of whoever issued a nonce may be ahead of ours, in seconds.
    pub const AHEAD_S_MAX: u64 = 60;

    /// `master`: 256 bits that nobody outside knows. `now` may be corrected by any later call.
    pub fn new(mut master: [u8; 32], now: UnixTime) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &master);
        master.zeroize();
        let epoch = epoch_of(now);
        Self { keys: keys_around(&key, epoch), master: key, epoch }
    }

    /// A nonce for `client` that is good for [`Nonces::AGE_S_MAX`] seconds from `now`, while `offer`
    /// stands.
    pub fn issue(&mut self, now: UnixTime, client: SocketAddr, offer: Offer) -> Nonce {
        self.turn_to(now);
        let time = (now.0 as u32).to_be_bytes();
        let mut bytes = [0; NONCE_BYTES];
        bytes[..TIME_BYTES].copy_from_slice(&time);
        bytes[TIME_BYTES..].copy_from_slice(&mac(&self.keys[1], time, client, offer));
        let cookie = offer.cookie();
        let mut chars = [0; Self::CHARS_MAX];
        chars[..cookie.len()].copy_from_slice(cookie);
        STANDARD
            .encode_slice(bytes, &mut chars[cookie.len()..])
            .expect("12 bytes are 16 characters of base64");
        Nonce { chars, length: (cookie.len() + Self::CHARS) as u8 }
    }

    /// Whether `nonce`, the raw value of NONCE, was issued to `client` with `offer` within the last hour.
    ///
    /// Takes the same time for every wrong MAC.
    ///
    /// # Errors
    /// `StaleNonce` for another client or offer, too old, too far ahead, or no nonce of ours at all.
    pub fn check(
        &mut self,
        now: UnixTime,
        client: SocketAddr,
        offer: Offer,
        nonce: &[u8],
    ) -> Result<(), StaleNonce> {
        self.turn_to(now);
        let (time, tag) = nonce.strip_prefix(offer.cookie()).and_then(decode).ok_or(StaleNonce)?;
        let issued = issue_time(now, u32::from_be_bytes(time)).ok_or(StaleNonce)?;
        // Within an hour and a minute around `now` lie at most three hours.
        let at = (epoch_of(issued) + 1).checked_sub(self.epoch).ok_or(StaleNonce)?;
        let key = self.keys.get(at as usize).ok_or(StaleNonce)?;
        constant_time::verify_slices_are_equal(&mac(key, time, client, offer), &tag).map_err(|_| StaleNonce)
    }

    /// Derives keys only when the hour changed.
    fn turn_to(&mut self, now: UnixTime) {
        let epoch = epoch_of(now);
        if epoch != self.epoch {
            self.keys = keys_around(&self.master, epoch);
            self.epoch = epoch;
        }
    }
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonces(..)")
    }
}

fn epoch_of(time: UnixTime) -> u64 {
    time.0 / EPOCH_S
}

fn keys_around(master: &hmac::Key, epoch: u64) -> [SipHasher24; 3] {
    [epoch.wrapping_sub(1), epoch, epoch.wrapping_add(1)].map(|epoch| {
        let mut context = hmac::Context::with_key(master);
        context.update(b"turnstone nonce 1");
        context.update(&epoch.to_be_bytes());
        let tag = context.sign();
        let key = tag.as_ref().first_chunk().expect("HMAC-SHA256 has 32 bytes");
        SipHasher24::new_with_key(key)
    })
}

fn decode(nonce: &[u8]) -> Option<([u8; TIME_BYTES], [u8; MAC_BYTES])> {
    if nonce.len() != Nonces::CHARS {
        return None;
    }
    let mut bytes = [0; NONCE_BYTES];
    let length = STANDARD.decode_slice(nonce, &mut bytes).ok()?;
    let (time, tag) = bytes.split_first_chunk()?;
    (length == NONCE_BYTES).then_some((*time, tag.try_into().ok()?))
}

/// The whole time behind the 32 bits of a nonce, when it lies within the accepted span around `now`.
fn issue_time(now: UnixTime, time: u32) -> Option<UnixTime> {
    let age_s = u64::from((now.0 as u32).wrapping_sub(time));
    let ahead_s = u64::from(time.wrapping_sub(now.0 as u32));
    if age_s <= Nonces::AGE_S_MAX {
        Some(UnixTime(now.0.checked_sub(age_s)?))
    } else if ahead_s <= Nonces::AHEAD_S_MAX {
        Some(UnixTime(now.0.checked_add(ahead_s)?))
    } else {
        None
    }
}

fn mac(key: &SipHasher24, time: [u8; TIME_BYTES], client: SocketAddr, offer: Offer) -> [u8; MAC_BYTES] {
    const CLIENT_END: usize = TIME_BYTES + 1 + 16 + 2;
    let end = CLIENT_END + offer.cookie().len();
    let mut input = [0; CLIENT_END + Offer::COOKIE_CHARS_MAX];
    input[..4].copy_from_slice(&time);
    match client.ip() {
        IpAddr::V4(ip) => {
            input[4] = 4;
            input[5..9].copy_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            input[4] = 6;
            input[5..21].copy_from_slice(&ip.octets());
        }
    }
    input[21..CLIENT_END].copy_from_slice(&client.port().to_be_bytes());
    input[CLIENT_END..end].copy_from_slice(offer.cookie());
    key.hash(&input[..end]).to_be_bytes()
}

const EPOCH_S: u64 = 3600;
const TIME_BYTES: usize = 4;
const MAC_BYTES: usize = 8;
const NONCE_BYTES: usize = TIME_BYTES + MAC_BYTES;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MASTER: [u8; 32] = [7; 32];
    const CLIENT: &str = "192.0.2.1:40000";
    const OFFER: Offer = Offer::Algorithms;
    const OFFERS: [Offer; 3] = [Offer::Classic, Offer::Algorithms, Offer::AlgorithmsAndAnonymity];

    #[test] // RFC 8656 section 5; reference point 12
    fn a_nonce_is_good_for_an_hour_and_survives_one_change_of_key() {
        for start in [1_699_999_200, 1_699_999_200 + 3599, 1_700_000_000, 0, u64::from(u32::MAX) - 10] {
            let mut nonces = Nonces::new(MASTER, UnixTime(start));
            let nonce = nonces.issue(UnixTime(start), client(), OFFER);
            for (age_s, result) in [
                (0, Ok(())),
                (1, Ok(())),
                (3600, Ok(())),
                (3601, Err(StaleNonce)),
                (1 << 32, Err(StaleNonce)),
            ] {
                assert_eq!(
                    nonces.check(UnixTime(start + age_s), client(), OFFER, nonce.as_bytes()),
                    result,
                    "{start} {age_s}"
                );
            }
        }
    }

    #[test]
    fn a_nonce_of_a_node_that_is_a_minute_ahead_is_good() {
        let now = UnixTime(1_699_999_200 - 30);
        let mut here = Nonces::new(MASTER, now);
        let mut there = Nonces::new(MASTER, UnixTime(now.0 + 60));
        let nonce = there.issue(UnixTime(now.0 + 60), client(), OFFER);
        assert_eq!(here.check(now, client(), OFFER, nonce.as_bytes()), Ok(()));
        let nonce = there.issue(UnixTime(now.0 + 61), client(), OFFER);
        assert_eq!(here.check(now, client(), OFFER, nonce.as_bytes()), Err(StaleNonce));
    }

    #[test]
    fn a_nonce_of_another_master_is_stale() {
        let now = UnixTime(1_700_000_000);
        let nonce = Nonces::new([8; 32], now).issue(now, client(), OFFER);
        assert_eq!(Nonces::new(MASTER, now).check(now, client(), OFFER, nonce.as_bytes()), Err(StaleNonce));
    }

    #[test]
    fn what_has_not_the_form_of_a_nonce_is_stale() {
        let now = UnixTime(1_700_000_000);
        let mut nonces = Nonces::new(MASTER, now);
        for offer in OFFERS {
            let nonce = nonces.issue(now, client(), offer);
            let nonce = nonce.as_bytes();
            let longer = [nonce, b"A"].concat();
            for bad in [
                &b""[..],
                &nonce[..nonce.len() - 1],
                &nonce[1..],
                &longer,
                offer.cookie(),
                b"AAAAAAAAAAAAAA==",
                b"AAAAAAAAAAAAAAA=",
                &[0xff; 16],
                b"  ",
            ] {
                assert_eq!(nonces.check(now, client(), offer, bad), Err(StaleNonce));
            }
        }
    }

    #[test] // reference point 22: NAT rebinding yields 438
    fn another_address_or_port_is_stale() {
        let now = UnixTime(1_700_000_000);
        let mut nonces = Nonces::new(MASTER, now);
        let nonce = nonces.issue(now, client(), OFFER);
        for other in ["192.0.2.1:40001", "192.0.2.2:40000", "[::ffff:192.0.2.1]:40000", "[c000:201::]:40000"]
        {
            let other = other.parse().expect("an address");
            assert_eq!(nonces.check(now, other, OFFER, nonce.as_bytes()), Err(StaleNonce), "{other}");
        }
    }

    #[test] // RFC 8489 section 9.2.1; security U12
    fn a_nonce_is_stale_under_any_other_offer_even_with_the_cookie_of_that_one() {
        let now = UnixTime(1_700_000_000);
        let mut nonces = Nonces::new(MASTER, now);
        for made in OFFERS {
            let nonce = nonces.issue(now, client(), made);
            let bare = &nonce.as_bytes()[made.cookie().len()..];
            for asked in OFFERS {
                let forged = [asked.cookie(), bare].concat();
                let expected = if made == asked { Ok(()) } else { Err(StaleNonce) };
                assert_eq!(nonces.check(now, client(), asked, nonce.as_bytes()), expected);
                assert_eq!(nonces.check(now, client(), asked, &forged), expected, "{made:?} {asked:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_nonce_serves_its_client_and_no_other(
            start in 0..u64::from(u32::MAX) * 2, age_s in 0u64..10_000, ip: IpAddr, port: u16, other_ip: IpAddr,
            other_port: u16, flip: prop::sample::Index, offer in prop::sample::select(&OFFERS[..]),
        ) {
            let mut nonces = Nonces::new(MASTER, UnixTime(start));
            let (client, other) = (SocketAddr::new(ip, port), SocketAddr::new(other_ip, other_port));
            let mut nonce = nonces.issue(UnixTime(start), client, offer).as_bytes().to_vec();
            let now = UnixTime(start + age_s);
            let young = age_s <= Nonces::AGE_S_MAX;
            prop_assert_eq!(nonces.check(now, client, offer, &nonce).is_ok(), young);
            prop_assert_eq!(nonces.check(now, other, offer, &nonce).is_ok(), client == other && young);
            let bit = flip.index(nonce.len() * 8);
            nonce[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(nonces.check(UnixTime(start), client, offer, &nonce), Err(StaleNonce));
        }

        #[test]
        fn no_bytes_panic(now: u64, nonce: Vec<u8>, sixteen: [u8; 16], offer in prop::sample::select(&OFFERS[..])) {
            let mut nonces = Nonces::new(MASTER, UnixTime(now ^ 1));
            for nonce in [&nonce[..], &sixteen, &[offer.cookie(), &sixteen].concat()] {
                prop_assert!(nonces.check(UnixTime(now), client(), offer, nonce).is_err());
            }
        }
    }

    fn client() -> SocketAddr {
        CLIENT.parse().expect("an address")
    }
}
