//! Cookies of DTLS: proof that a client receives at the address that it sends from, without state
//! (RFC 6347 section 4.2.1).
//!
//! ```text
//! | time, 4 bytes | MAC, 28 bytes |
//! time = seconds since 1970, modulo 2^32, big endian
//! MAC  = HMAC-SHA256 over time, address family, address, port, random of the hello; cut
//! key  = HMAC-SHA256(master, label, hour of `time`)
//! ```

use crate::base::UnixTime;
use aws_lc_rs::{constant_time, hmac};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use zeroize::Zeroize;

/// Issues cookies and checks them. Keeps two keys and nothing about any client.
#[derive(Clone)]
pub struct Cookies {
    master: hmac::Key,
    /// Hour of the second key.
    epoch: u64,
    /// Keys of the hour before `epoch` and of `epoch`.
    keys: [hmac::Key; 2],
}

impl Cookies {
    /// Bytes of a cookie.
    pub const BYTES: usize = 32;
    /// How long a cookie is good, in seconds: clients that lose datagrams double their patience up to
    /// this (RFC 6347 section 4.2.4.1).
    pub const AGE_S_MAX: u64 = 60;

    /// `master`: 256 bits that nobody outside knows; may be those of [`super::Nonces`]. `now` may be
    /// corrected by any later call.
    pub fn new(mut master: [u8; 32], now: UnixTime) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &master);
        master.zeroize();
        let epoch = epoch_of(now);
        Self { keys: keys_up_to(&key, epoch), master: key, epoch }
    }

    /// A cookie for `client` and its hello with `random`, good for [`Cookies::AGE_S_MAX`] seconds.
    pub fn issue(&mut self, now: UnixTime, client: SocketAddr, random: &[u8; 32]) -> [u8; Self::BYTES] {
        self.turn_to(now);
        cookie(&self.keys[1], (now.0 as u32).to_be_bytes(), client, random)
    }

    /// Whether `cookie` was issued to `client` for this `random` within the last minute.
    ///
    /// Takes the same time for every wrong MAC.
    pub fn is_good(&mut self, now: UnixTime, client: SocketAddr, random: &[u8; 32], given: &[u8]) -> bool {
        self.turn_to(now);
        let Some(time) = given.first_chunk() else { return false };
        let age_s = u64::from((now.0 as u32).wrapping_sub(u32::from_be_bytes(*time)));
        let Some(issued) = now.0.checked_sub(age_s).filter(|_| age_s <= Self::AGE_S_MAX) else {
            return false;
        };
        let key = &self.keys[usize::from(epoch_of(UnixTime(issued)) == self.epoch)];
        constant_time::verify_slices_are_equal(&cookie(key, *time, client, random), given).is_ok()
    }

    /// Derives keys only when the hour changed.
    fn turn_to(&mut self, now: UnixTime) {
        let epoch = epoch_of(now);
        if epoch != self.epoch {
            self.keys = keys_up_to(&self.master, epoch);
            self.epoch = epoch;
        }
    }
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookies(..)")
    }
}

fn epoch_of(time: UnixTime) -> u64 {
    time.0 / EPOCH_S
}

fn keys_up_to(master: &hmac::Key, epoch: u64) -> [hmac::Key; 2] {
    [epoch.wrapping_sub(1), epoch].map(|epoch| {
        let mut context = hmac::Context::with_key(master);
        context.update(b"turnstone dtls cookie 1");
        context.update(&epoch.to_be_bytes());
        hmac::Key::new(hmac::HMAC_SHA256, context.sign().as_ref())
    })
}

fn cookie(key: &hmac::Key, time: [u8; 4], client: SocketAddr, random: &[u8; 32]) -> [u8; Cookies::BYTES] {
    let mut context = hmac::Context::with_key(key);
    context.update(&time);
    match client.ip() {
        IpAddr::V4(ip) => [&[4][..], &ip.octets()].iter().for_each(|part| context.update(part)),
        IpAddr::V6(ip) => [&[6][..], &ip.octets()].iter().for_each(|part| context.update(part)),
    }
    context.update(&client.port().to_be_bytes());
    context.update(random);
    let tag = context.sign();
    let mut out = [0; Cookies::BYTES];
    let (front, mac) = out.split_at_mut(time.len());
    front.copy_from_slice(&time);
    mac.copy_from_slice(&tag.as_ref()[..mac.len()]);
    out
}

const EPOCH_S: u64 = 3600;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MASTER: [u8; 32] = [7; 32];
    const RANDOM: [u8; 32] = [1; 32];

    #[test] // RFC 6347 section 4.2.1: the secret may change while cookies are on their way
    fn a_cookie_is_good_for_a_minute_and_survives_a_change_of_key() {
        for start in [1_699_999_200, 1_699_999_200 + 3599, 1_700_000_000, 0, u64::from(u32::MAX) - 10] {
            let mut cookies = Cookies::new(MASTER, UnixTime(start));
            let cookie = cookies.issue(UnixTime(start), client(), &RANDOM);
            for (age_s, good) in [(0, true), (60, true), (61, false), (7200, false), (1 << 32, false)] {
                let now = UnixTime(start + age_s);
                assert_eq!(cookies.is_good(now, client(), &RANDOM, &cookie), good, "{start} {age_s}");
            }
        }
    }

    #[test]
    fn a_cookie_of_the_future_or_of_another_master_is_bad() {
        let now = UnixTime(1_700_000_000);
        let mut cookies = Cookies::new(MASTER, now);
        let ahead = cookies.issue(UnixTime(now.0 + 1), client(), &RANDOM);
        assert!(!cookies.is_good(now, client(), &RANDOM, &ahead));
        let foreign = Cookies::new([8; 32], now).issue(now, client(), &RANDOM);
        assert!(!cookies.is_good(now, client(), &RANDOM, &foreign));
    }

    proptest! {
        #[test]
        fn a_cookie_serves_its_client_and_its_hello_alone(
            now in 0..u64::from(u32::MAX) * 2, ip: IpAddr, port: u16, other_ip: IpAddr, other_port: u16,
            random: [u8; 32], other_random: [u8; 32], bit in 0usize..256, cut in 0usize..32,
        ) {
            let now = UnixTime(now);
            let mut cookies = Cookies::new(MASTER, now);
            let (client, other) = (SocketAddr::new(ip, port), SocketAddr::new(other_ip, other_port));
            let mut cookie = cookies.issue(now, client, &random);
            prop_assert!(cookies.is_good(now, client, &random, &cookie));
            prop_assert_eq!(cookies.is_good(now, other, &random, &cookie), client == other);
            prop_assert_eq!(cookies.is_good(now, client, &other_random, &cookie), random == other_random);
            prop_assert!(!cookies.is_good(now, client, &random, &cookie[..cut]));
            cookie[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!cookies.is_good(now, client, &random, &cookie));
        }

        #[test]
        fn no_bytes_panic(now: u64, given: Vec<u8>, random: [u8; 32]) {
            let mut cookies = Cookies::new(MASTER, UnixTime(now ^ 1));
            prop_assert!(!cookies.is_good(UnixTime(now), client(), &random, &given));
        }
    }

    fn client() -> SocketAddr {
        "192.0.2.1:40000".parse().expect("an address")
    }
}
