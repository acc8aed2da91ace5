//! The certificates that `[tls]` names: where they are, and how they are read.

use super::checked::{Config, Tls, TlsMode};
use super::finding::{ConfigErrors, Finding};
use super::host::Host;
use super::public_address::PublicAddress;
use super::{Loaded, files};
use crate::net::tls::{BadPair, Certificate};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long before its end a certificate is worth a warning.
const RENEWAL_DUE: Duration = Duration::from_secs(14 * 86_400);

/// Every certificate that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPlan {
    /// For clients that name no server, or an unknown one.
    pub first: FirstCertificate,
    /// For the names in them (`[[tls.extra]]`).
    pub extra: Vec<PairFiles>,
}

/// Where the first certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstCertificate {
    /// From files.
    Files(PairFiles),
    /// Made at start, for these names.
    SelfSigned(Vec<String>),
}

/// A certificate chain and its key in two PEM files, or both in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairFiles {
    /// The section that names them: `tls` or `tls.extra[0]`.
    pub section: String,
    /// The chain, the server's own certificate first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Why a certificate cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unservable {
    /// The config key at fault.
    pub key: String,
    /// What is wrong; names the file and the user.
    pub what: String,
    /// What to do about it.
    pub help: String,
}

impl Config {
    /// The pairs of files in use, the first certificate first.
    pub fn certificate_files(&self) -> Vec<PairFiles> {
        if !self.tls.has_certificate() {
            return Vec::new();
        }
        let extra = self.tls.extra.iter().enumerate().map(|(n, extra)| PairFiles {
            section: format!("tls.extra[{n}]"),
            cert: extra.cert.clone(),
            key: extra.key.clone(),
        });
        first_files(&self.tls).into_iter().chain(extra).collect()
    }
}

impl Tls {
    /// Whether there is a certificate, so that `tls` doors open.
    pub fn has_certificate(&self) -> bool {
        matches!(self.mode, TlsMode::Files | TlsMode::SelfSigned)
    }
}

impl Loaded {
    /// Reads the certificates too, which a running daemon does by itself.
    ///
    /// # Errors
    /// Every pair that cannot be served.
    pub fn with_certificates(mut self) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        for files in self.config.certificate_files() {
            match files.load() {
                Ok(certificate) => {
                    let warnings = files.warnings(&certificate, SystemTime::now());
                    self.warnings.extend(warnings.into_iter().map(|warning| warning.finding(&files, false)));
                }
                Err(error) => errors.push(error.finding(&files, true)),
            }
        }
        if errors.is_empty() { Ok(self) } else { Err(ConfigErrors { errors, warnings: self.warnings }) }
    }
}

impl Unservable {
    fn finding(self, files: &PairFiles, is_error: bool) -> Finding {
        let file = if self.key.ends_with(".key") { &files.key } else { &files.cert };
        Finding {
            file: file.display().to_string(),
            at: None,
            message: format!("`{}`: {}", self.key, self.what),
            key: Some(self.key),
            help: Some(self.help).filter(|help| !help.is_empty()),
            is_error,
            snippet: None,
        }
    }
}

/// Makes relative paths start at the folder of the config file.
pub(super) fn anchor(tls: &mut Tls, folder: &Path) {
    let extra = tls.extra.iter_mut().flat_map(|extra| [&mut extra.cert, &mut extra.key]);
    for path in tls.cert.iter_mut().chain(&mut tls.key).chain(extra) {
        if !path.as_os_str().is_empty() {
            *path = folder.join(&*path);
        }
    }
}

/// What is served, unless TLS is off.
pub(super) fn resolve(config: &Config, host: &Host) -> Option<TlsPlan> {
    if !config.tls.has_certificate() {
        return None;
    }
    let mut files = config.certificate_files();
    let first = match first_files(&config.tls) {
        Some(_) => FirstCertificate::Files(files.remove(0)),
        None => FirstCertificate::SelfSigned(own_names(config, host)),
    };
    Some(TlsPlan { first, extra: files })
}

fn first_files(tls: &Tls) -> Option<PairFiles> {
    let (cert, key) = tls.cert.clone().zip(tls.key.clone()).filter(|_| tls.mode == TlsMode::Files)?;
    Some(PairFiles { section: "tls".to_owned(), cert, key })
}

/// By what a client may call this host.
fn own_names(config: &Config, host: &Host) -> Vec<String> {
    let mut names: Vec<String> = config.server.name.iter().cloned().collect();
    names.push("localhost".to_owned());
    let public = match &config.server.public_address {
        PublicAddress::Auto => &[][..],
        PublicAddress::Fixed(mappings) => mappings,
    };
    let addresses = public.iter().map(|mapping| mapping.external).chain(host.addresses.iter().copied());
    for address in addresses.map(|ip| ip.to_string()) {
        if !names.contains(&address) {
            names.push(address);
        }
    }
    names
}

impl PairFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// One sentence that names the file, and the user who cannot read it or what is missing.
    pub fn load(&self) -> Result<Certificate, Unservable> {
        let read = |name: &str, path: &Path| {
            let failed = |error: files::Unreadable| self.unservable(name, error.message, error.help);
            files::read_binary(path).map_err(failed)
        };
        let (cert, key) = (read("cert", &self.cert)?, read("key", &self.key)?);
        Certificate::from_pem(&cert, &key).map_err(|bad| self.explain(bad, &cert, &key))
    }

    /// What is worth knowing about files that can be served.
    pub fn warnings(&self, certificate: &Certificate, now: SystemTime) -> Vec<Unservable> {
        let mut warnings = Vec::new();
        let cert = self.cert.display();
        let remaining = certificate.remaining(now);
        if remaining < RENEWAL_DUE {
            let what = match remaining.as_secs() {
                0 => format!("the certificate in {cert} has expired"),
                left_s => format!("the certificate in {cert} expires in {} days", left_s / 86_400),
            };
            warnings.push(self.unservable(
                "cert",
                what,
                "renew it; new files are taken over by themselves".into(),
            ));
        }
        if certificate.names().is_empty() {
            let what = format!("the certificate in {cert} has no name, so clients refuse it");
            let help = "request one with the host name as subject alternative name".into();
            warnings.push(self.unservable("cert", what, help));
        }
        if files::is_world_readable(&self.key) {
            let key = self.key.display();
            let what = format!("every user of this machine can read the private key in {key}");
            warnings.push(self.unservable("key", what, format!("chmod o-r {key}")));
        }
        warnings
    }

    fn explain(&self, bad: BadPair, cert_bytes: &[u8], key_bytes: &[u8]) -> Unservable {
        let (cert, key) = (self.cert.display(), self.key.display());
        let swapped = "swap `cert` and `key`: they name each other's file".to_owned();
        let (at, what, help) = match bad {
            BadPair::NoCertificate { has_key: true } => {
                ("cert", format!("no certificate in {cert}, but a private key"), swapped)
            }
            BadPair::NoKey { has_certificate: true } => {
                ("key", format!("no private key in {key}, but a certificate"), swapped)
            }
            BadPair::NoCertificate { .. } => {
                ("cert", format!("no certificate in {cert}"), no_pem(cert_bytes, "x509", &self.cert))
            }
            BadPair::NoKey { .. } => {
                ("key", format!("no private key in {key}"), no_pem(key_bytes, "pkey", &self.key))
            }
            BadPair::KeyEncrypted => (
                "key",
                format!("the private key in {key} is encrypted"),
                format!(
                    "a daemon cannot be asked for a pass phrase; write it without: openssl pkey -in {key} -out FILE"
                ),
            ),
            BadPair::CertificateBroken(why) => {
                ("cert", format!("the certificate in {cert} is damaged: {why}"), "fetch it again".to_owned())
            }
            BadPair::KeyBroken(why) => (
                "key",
                format!("the private key in {key} cannot be used: {why}"),
                "use RSA with 2048 bits or more, ECDSA on P-256, P-384 or P-521, or Ed25519".to_owned(),
            ),
            BadPair::Mismatch => (
                "key",
                format!("the private key in {key} does not belong to the certificate in {cert}"),
                "name the key that the certificate was requested with; a renewal replaces both".to_owned(),
            ),
            BadPair::NotFirst => (
                "cert",
                format!("the certificate of the key in {key} is not the first one in {cert}"),
                "put the certificate of the server first, then that of its issuer, and so on".to_owned(),
            ),
        };
        self.unservable(at, what, help)
    }

    fn unservable(&self, name: &str, what: String, help: String) -> Unservable {
        Unservable { key: format!("{}.{name}", self.section), what, help }
    }
}

/// What to do about a file without PEM of the wanted kind. `verb`: of openssl, which reads that kind.
fn no_pem(bytes: &[u8], verb: &str, path: &Path) -> String {
    const DER_SEQUENCE: u8 = 0x30;
    if bytes.first() == Some(&DER_SEQUENCE) {
        let path = path.display();
        return format!(
            "the file is in DER; write it as PEM: openssl {verb} -inform der -in {path} -out FILE"
        );
    }
    "name a file in PEM, which begins with `-----BEGIN`".to_owned()
}
