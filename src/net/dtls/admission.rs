//! How a session of `dimpl` takes our word for a cookie.
//!
//! `dimpl` compares the cookie of a hello with one that it computes through its HMAC provider, by the
//! method [`HmacProvider::hmac_sha256`], which has no other caller in DTLS 1.2. Our provider answers
//! with the cookie that the gate has just checked. Were the method called for anything else, handshakes
//! would fail and none would be let in that should not be.
//!
//! The cookie lies in a thread-local because a provider is a `static` and a session is not.

use dimpl::CryptoError;
use dimpl::crypto::{CryptoProvider, HashAlgorithm, HmacProvider, aws_lc_rs};
use std::cell::Cell;

/// The cryptography of aws-lc-rs with cookies of ours.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider { hmac_provider: &Admission, ..aws_lc_rs::default_provider() }
}

/// Runs `work`, in which `cookie` is good and every other is not.
pub(super) fn admitting<T>(cookie: Option<[u8; 32]>, work: impl FnOnce() -> T) -> T {
    COOKIE.set(cookie);
    let result = work();
    COOKIE.set(None);
    result
}

thread_local! {
    static COOKIE: Cell<Option<[u8; 32]>> = const { Cell::new(None) };
}

#[derive(Debug)]
struct Admission;

impl HmacProvider for Admission {
    fn hmac_sha256(&self, key: &[u8], data: &[u8]) -> Result<[u8; 32], CryptoError> {
        match COOKIE.get() {
            Some(cookie) => Ok(cookie),
            None => aws_lc_rs::default_provider().hmac_provider.hmac_sha256(key, data),
        }
    }

    fn hmac(
        &self,
        hash: HashAlgorithm,
        key: &[u8],
        data: &[u8],
        out: &mut [u8],
    ) -> Result<usize, CryptoError> {
        aws_lc_rs::default_provider().hmac_provider.hmac(hash, key, data, out)
    }
}
