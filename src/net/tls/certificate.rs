//! A certificate with its private key, from PEM or made here.

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// How long a certificate lasts that is made here.
const SELF_SIGNED_FOR: Duration = Duration::from_secs(365 * 86_400);

/// How far clocks may differ, so that it is not from the future.
const CLOCK_SKEW: Duration = Duration::from_secs(86_400);

/// A certificate chain that can be served, and the key that proves it.
#[derive(Clone)]
pub struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    names: Vec<String>,
    not_after_unix_s: i64,
}

/// Why two files are no certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadPair {
    /// The certificate file has no certificate; `has_key` when it has a key.
    NoCertificate {
        /// The two files may be swapped.
        has_key: bool,
    },
    /// The key file has no key; `has_certificate` when it has a certificate.
    NoKey {
        /// The two files may be swapped.
        has_certificate: bool,
    },
    /// The key asks for a pass phrase.
    KeyEncrypted,
    /// The certificate file is damaged.
    CertificateBroken(String),
    /// The key file is damaged, or the kind of its key is not known.
    KeyBroken(String),
    /// The key is of another certificate.
    Mismatch,
    /// The key is of a later certificate in the file, not of the first.
    NotFirst,
}

impl Certificate {
    /// From a chain, the server's own certificate first, and its key: RSA, ECDSA on P-256, P-384 or P-521, or
    /// Ed25519, in PKCS #8, PKCS #1 or SEC 1. Other sections of either text are skipped, so one file may be both.
    ///
    /// # Errors
    /// What is missing or does not fit. Dates are not judged.
    pub fn from_pem(cert: &[u8], key: &[u8]) -> Result<Self, BadPair> {
        let chain = chain(cert)?;
        let signer =
            any_supported_type(&private_key(key)?).map_err(|error| BadPair::KeyBroken(error.to_string()))?;
        let is_of = |cert: &CertificateDer<'static>| {
            CertifiedKey::new(vec![cert.clone()], Arc::clone(&signer)).keys_match()
        };
        match is_of(&chain[0]) {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Self::new(chain, signer),
            Err(Error::InconsistentKeys(_)) if chain[1..].iter().any(|cert| is_of(cert).is_ok()) => {
                Err(BadPair::NotFirst)
            }
            Err(Error::InconsistentKeys(_)) => Err(BadPair::Mismatch),
            Err(error) => Err(BadPair::CertificateBroken(error.to_string())),
        }
    }

    /// Makes one that only its maker vouches for: ECDSA on P-256, for a year from `now`.
    ///
    /// `names`: host names and IP addresses, the main one first, not empty.
    ///
    /// # Errors
    /// A name that no certificate can hold.
    pub fn self_signed(names: &[String], now: SystemTime) -> Result<Self, BadPair> {
        let broken = |error: rcgen::Error| BadPair::CertificateBroken(error.to_string());
        let mut params = rcgen::CertificateParams::new(names).map_err(broken)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = names.first() {
            params.distinguished_name.push(rcgen::DnType::CommonName, name.as_str());
        }
        params.not_before = (now - CLOCK_SKEW).into();
        params.not_after = (now + SELF_SIGNED_FOR).into();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        let key = rcgen::KeyPair::generate().map_err(broken)?;
        let made = params.self_signed(&key).map_err(broken)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let signer = any_supported_type(&key).map_err(|error| BadPair::KeyBroken(error.to_string()))?;
        Self::new(vec![made.der().clone()], signer)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        signer: Arc<dyn rustls::sign::SigningKey>,
    ) -> Result<Self, BadPair> {
        let broken = |error: &dyn fmt::Display| BadPair::CertificateBroken(error.to_string());
        let (_, leaf) = X509Certificate::from_der(&chain[0]).map_err(|error| broken(&error))?;
        let alternative = leaf.subject_alternative_name().map_err(|error| broken(&error))?;
        let names =
            alternative.iter().flat_map(|names| &names.value.general_names).filter_map(name).collect();
        let not_after_unix_s = leaf.validity().not_after.timestamp();
        Ok(Self { names, not_after_unix_s, key: Arc::new(CertifiedKey::new(chain, signer)) })
    }

    /// Its host names, in lower case, a wildcard as `*.example.org`, and its IP addresses; perhaps none.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// When it ends, in seconds since the Unix epoch.
    pub fn not_after_unix_s(&self) -> i64 {
        self.not_after_unix_s
    }

    /// How long it lasts from `now`; zero when it has ended.
    pub fn remaining(&self, now: SystemTime) -> Duration {
        let end = u64::try_from(self.not_after_unix_s).map_or(Duration::ZERO, Duration::from_secs);
        end.saturating_sub(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
    }
}

impl PartialEq for Certificate {
    /// Whether both prove the same.
    fn eq(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (names, not_after) = (&self.names, &self.not_after_unix_s);
        f.debug_struct("Certificate")
            .field("names", names)
            .field("not_after", not_after)
            .finish_non_exhaustive()
    }
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BadPair> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| BadPair::CertificateBroken(error.to_string()))?;
    if chain.is_empty() {
        let has_key = PrivateKeyDer::pem_slice_iter(pem).any(|key| key.is_ok());
        return Err(BadPair::NoCertificate { has_key });
    }
    Ok(chain)
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, BadPair> {
    // RFC 7468 section 11, and RFC 1421 section 4.6.1.1 as OpenSSL still writes it.
    let marks: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];
    if marks.iter().any(|mark| pem.windows(mark.len()).any(|window| window == *mark)) {
        return Err(BadPair::KeyEncrypted);
    }
    match PrivateKeyDer::pem_slice_iter(pem).next() {
        Some(key) => key.map_err(|error| BadPair::KeyBroken(error.to_string())),
        None => {
            let mut sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(pem);
            let has_certificate =
                sections.any(|section| matches!(section, Ok((SectionKind::Certificate, _))));
            Err(BadPair::NoKey { has_certificate })
        }
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok().map(|ip| ip.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Made, made};
    use super::*;

    const NAMES: [&str; 3] = ["Turn.example.org", "*.example.net", "192.0.2.1"];

    #[test]
    fn a_pair_tells_its_names_and_its_end() {
        let Made { cert, key } = made(&NAMES);
        let pair = Certificate::from_pem(cert.as_bytes(), key.as_bytes()).expect("a pair");
        assert_eq!(pair.names(), ["turn.example.org", "*.example.net", "192.0.2.1"]);
        // What rcgen writes without being asked: the start of the year 4096.
        assert_eq!(pair.not_after_unix_s(), 67_090_118_400);
    }

    #[test]
    fn one_file_may_hold_chain_and_key() {
        let (Made { cert, key }, other) = (made(&NAMES), made(&["other"]));
        let both = [cert, other.cert, key].concat();
        let pair = Certificate::from_pem(both.as_bytes(), both.as_bytes()).expect("a pair");
        assert_eq!(pair.key.cert.len(), 2);
    }

    #[test]
    fn each_fault_has_its_name() {
        let (one, other) = (made(&NAMES), made(&["other"]));
        let fault =
            |cert: &str, key: &str| Certificate::from_pem(cert.as_bytes(), key.as_bytes()).expect_err("bad");
        assert_eq!(fault(&one.cert, &other.key), BadPair::Mismatch);
        assert_eq!(fault(&[&other.cert[..], &one.cert].concat(), &one.key), BadPair::NotFirst);
        assert_eq!(fault(&one.key, &one.cert), BadPair::NoCertificate { has_key: true });
        assert_eq!(fault(&one.cert, &one.cert), BadPair::NoKey { has_certificate: true });
        assert_eq!(fault("", ""), BadPair::NoCertificate { has_key: false });
        assert_eq!(fault(&one.cert, "no PEM"), BadPair::NoKey { has_certificate: false });
        let encrypted = one.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        assert_eq!(fault(&one.cert, &encrypted), BadPair::KeyEncrypted);
        let old =
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n";
        assert_eq!(fault(&one.cert, old), BadPair::KeyEncrypted);
    }

    #[test]
    fn damage_is_told_from_absence() {
        let one = made(&NAMES);
        let middle = |pem: &str, with: &str| [&pem[..100], with, &pem[101..]].concat();
        for with in ["!", ""] {
            let cert = Certificate::from_pem(middle(&one.cert, with).as_bytes(), one.key.as_bytes());
            assert!(matches!(cert, Err(BadPair::CertificateBroken(_))), "{cert:?}");
        }
        for with in ["!", ""] {
            let key = Certificate::from_pem(one.cert.as_bytes(), middle(&one.key, with).as_bytes());
            assert!(matches!(key, Err(BadPair::KeyBroken(_))), "{key:?}");
        }
        let cut = &one.cert[..one.cert.len() - 30];
        let cut = Certificate::from_pem(cut.as_bytes(), one.key.as_bytes());
        assert!(matches!(cut, Err(BadPair::CertificateBroken(_))), "{cut:?}");
    }

    #[test]
    fn one_that_is_made_here_lasts_a_year_and_has_the_names() {
        let names = ["turn.example.org", "localhost", "::1"].map(str::to_owned);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let made = Certificate::self_signed(&names, now).expect("good names");
        assert_eq!(made.names(), names);
        assert_eq!(made.remaining(now), SELF_SIGNED_FOR);
        assert_eq!(made.remaining(now + 2 * SELF_SIGNED_FOR), Duration::ZERO);
        assert!(matches!(
            Certificate::self_signed(&["b\u{fc}cher.example".to_owned()], now),
            Err(BadPair::CertificateBroken(_))
        ));
    }
}
