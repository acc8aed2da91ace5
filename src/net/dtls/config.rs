//! What all sessions have in common: the certificate, how `dimpl` is set up, and limits.

use super::admission;
use dimpl::crypto::Dtls12CipherSuite;
use dimpl::{Config, DtlsCertificate};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Certificate and settings of new sessions; those that exist keep theirs.
pub struct DtlsConfig {
    /// For clients that know ChaCha20-Poly1305, whose nonces are record numbers. Those of AES-GCM are
    /// 64 bits that `dimpl` draws at random, and two equal ones would tell both records apart from noise.
    pub(super) chacha: Arc<Config>,
    /// For all others.
    pub(super) any: Arc<Config>,
    pub(super) certificate: DtlsCertificate,
}

/// The private key is not ECDSA on P-256 or P-384, the only ones that DTLS works with here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotEcdsa;

/// How many sessions there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All.
    pub sessions: usize,
    /// Those of them whose handshake is not done.
    pub half_open: usize,
}

impl DtlsConfig {
    /// `leaf`: the certificate that clients see, in DER; the rest of its chain is not sent. `key`: its
    /// private key, PKCS #8 or SEC 1 in DER.
    ///
    /// # Errors
    /// `NotEcdsa` for an RSA or Ed25519 key, another curve, or bytes that are no key.
    pub fn new(leaf: Vec<u8>, key: Vec<u8>) -> Result<Self, NotEcdsa> {
        let provider = admission::provider();
        provider.key_provider.load_private_key(&key).map_err(|_| NotEcdsa)?;
        let config = |suites: &[u16]| {
            let suites: Vec<_> = suites.iter().map(|suite| Dtls12CipherSuite::from_u16(*suite)).collect();
            let config = Config::builder()
                .with_crypto_provider(provider.clone())
                .dtls12_cipher_suites(&suites)
                .use_server_cookie(true)
                .require_client_certificate(false)
                .handshake_timeout(Limits::HANDSHAKE)
                .flight_start_rto(FIRST_RETRY)
                .max_queue_rx(QUEUE_DATAGRAMS_MAX)
                .build();
            Arc::new(config.expect("constant settings that a test builds"))
        };
        Ok(Self {
            chacha: config(&SUITES[..1]),
            any: config(&SUITES[1..]),
            certificate: DtlsCertificate { certificate: leaf, private_key: key },
        })
    }
}

impl Limits {
    /// For one thread.
    pub const DEFAULT: Self = Self { sessions: 2048, half_open: 128 };
    /// From the first hello with a good cookie to the end of the handshake.
    pub const HANDSHAKE: Duration = Duration::from_secs(5);
    /// How long a session without allocation may say nothing.
    pub const IDLE: Duration = Duration::from_secs(60);
    /// Largest datagram of a handshake: hellos with post-quantum keys come in several.
    pub const HANDSHAKE_BYTES_MAX: usize = 2048;
    /// Largest plaintext, in either direction (RFC 6347 section 4.1).
    pub const PLAIN_BYTES_MAX: usize = 1 << 14;
    /// What the worst session may hold on the heap: each of the eight records that a datagram may have
    /// takes a buffer, and keeps it.
    pub const SESSION_BYTES_MAX: usize = 128 << 10;
    /// What the worst half-open session may hold: messages that wait for an earlier one, unpacked.
    pub const HALF_OPEN_BYTES_MAX: usize = 320 << 10;
    /// Largest datagram: a record of that plaintext with header, nonce and tag, and some room.
    pub const DATAGRAM_BYTES_MAX: usize = Self::PLAIN_BYTES_MAX + 256;
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Debug for DtlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DtlsConfig(..)")
    }
}

impl fmt::Display for NotEcdsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DTLS needs an ECDSA key on P-256 or P-384")
    }
}

impl std::error::Error for NotEcdsa {}

/// TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 (RFC 7905), then
/// TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 and TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 (RFC 5289).
pub(super) const SUITES: [u16; 3] = [0xCCA9, 0xC02C, 0xC02B];

/// RFC 6347 section 4.2.4.1.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Datagrams of a handshake that may wait for an earlier one. A client's longest flight is three.
const QUEUE_DATAGRAMS_MAX: usize = 6;
