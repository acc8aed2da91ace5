//! Public keys from PEM files (RFC 7468).

use super::key::Key;
use std::fmt;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::{PublicKey, RSAPublicKey};
use x509_parser::x509::SubjectPublicKeyInfo;

/// Why a PEM text has no public key of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPem {
    /// It has no section `PUBLIC KEY` or `CERTIFICATE`.
    NoKey,
    /// It has a private key instead.
    PrivateKey,
    /// The section is damaged.
    Broken,
    /// Another kind of key, or an RSA key of fewer than 2048 or more than 8192 bits.
    NotOfUse,
    /// More than one public key: which one signs?
    TooMany,
}

impl fmt::Display for BadPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoKey => "no public key",
            Self::PrivateKey => "a private key where the public one belongs",
            Self::Broken => "a damaged key",
            Self::NotOfUse => {
                "a key that is neither RSA of 2048 to 8192 bits, EC on P-256 or P-384, nor Ed25519"
            }
            Self::TooMany => "more than one public key",
        })
    }
}

impl std::error::Error for BadPem {}

pub(super) fn public_key(text: &[u8]) -> Result<Key, BadPem> {
    let sections: Result<Vec<Pem>, _> = Pem::iter_from_buffer(text).collect();
    let sections = sections.map_err(|_| BadPem::Broken)?;
    let of = |labels: &[&str]| -> Vec<&Pem> {
        sections.iter().filter(|section| labels.contains(&section.label.as_str())).collect()
    };
    match (&of(&["PUBLIC KEY", "RSA PUBLIC KEY"])[..], &of(&["CERTIFICATE"])[..]) {
        ([key], _) if key.label == "PUBLIC KEY" => of_info(&key.contents),
        ([key], _) => of_pkcs1(&key.contents),
        ([], [first, ..]) => {
            let certificate = first.parse_x509().map_err(|_| BadPem::Broken)?;
            of_info(certificate.public_key().raw)
        }
        ([], []) if sections.iter().any(|section| section.label.ends_with("PRIVATE KEY")) => {
            Err(BadPem::PrivateKey)
        }
        ([], []) => Err(BadPem::NoKey),
        _ => Err(BadPem::TooMany),
    }
}

/// SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
fn of_info(der: &[u8]) -> Result<Key, BadPem> {
    let (_, info) = SubjectPublicKeyInfo::from_der(der).map_err(|_| BadPem::Broken)?;
    let key = match info.parsed().map_err(|_| BadPem::Broken)? {
        PublicKey::RSA(key) => Key::rsa(key.modulus, key.exponent),
        PublicKey::EC(point) => Key::ec(point.data()),
        PublicKey::Unknown(bytes) if info.algorithm.algorithm.to_id_string() == ED25519_OID => {
            Key::ed25519(bytes)
        }
        _ => None,
    };
    key.ok_or(BadPem::NotOfUse)
}

/// RSAPublicKey (RFC 8017 appendix A.1.1).
fn of_pkcs1(der: &[u8]) -> Result<Key, BadPem> {
    let (_, key) = RSAPublicKey::from_der(der).map_err(|_| BadPem::Broken)?;
    Key::rsa(key.modulus, key.exponent).ok_or(BadPem::NotOfUse)
}

/// RFC 8410 section 3.
const ED25519_OID: &str = "1.3.101.112";
