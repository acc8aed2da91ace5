//! The certificate of DTLS doors.

use super::error::StartError;
use crate::auth::Cookies;
use crate::base::Random;
use crate::config::DtlsPlan;
use crate::relay::Door;
use crate::relay::stream::DtlsSetup;
#[cfg(feature = "dtls")]
use {
    crate::net::dtls::DtlsConfig,
    arc_swap::ArcSwap,
    rustls::pki_types::pem::PemObject,
    rustls::pki_types::{CertificateDer, PrivateKeyDer},
    std::path::Path,
    std::sync::Arc,
};

/// What all DTLS doors share.
#[cfg(feature = "dtls")]
#[derive(Debug)]
pub(super) struct Dtls(Option<Arc<ArcSwap<DtlsConfig>>>);

/// What all DTLS doors share: nothing, since this build has none.
#[cfg(not(feature = "dtls"))]
#[derive(Debug)]
pub(super) struct Dtls;

#[cfg(not(feature = "dtls"))]
impl Dtls {
    pub(super) fn load(_plan: Option<&DtlsPlan>) -> Result<Self, StartError> {
        Ok(Self)
    }

    pub(super) fn setup(&self, _doors: Vec<Door>, _cookies: Cookies, _random: Random) -> Option<DtlsSetup> {
        None
    }

    pub(super) fn reload(&self, _plan: Option<&DtlsPlan>) {}
}

#[cfg(feature = "dtls")]
impl Dtls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// A file that cannot be read or holds no PEM of its kind, or a key that DTLS has no use for.
    pub(super) fn load(plan: Option<&DtlsPlan>) -> Result<Self, StartError> {
        let config = plan.map(load).transpose()?;
        Ok(Self(config.map(|config| Arc::new(ArcSwap::from_pointee(config)))))
    }

    /// What a stream runtime needs for its `doors`.
    pub(super) fn setup(&self, doors: Vec<Door>, cookies: Cookies, random: Random) -> Option<DtlsSetup> {
        Some(DtlsSetup { doors, config: Arc::clone(self.0.as_ref()?), cookies, random })
    }

    /// New sessions get the certificate that is in the files now; a bad one changes nothing.
    pub(super) fn reload(&self, plan: Option<&DtlsPlan>) {
        let (Some(config), Some(plan)) = (&self.0, plan) else { return };
        match load(plan) {
            Ok(loaded) => config.store(Arc::new(loaded)),
            Err(error) => tracing::warn!(%error, "the DTLS certificate stays as it was"),
        }
    }
}

#[cfg(feature = "dtls")]
fn load(plan: &DtlsPlan) -> Result<DtlsConfig, StartError> {
    let leaf = CertificateDer::from_pem_slice(&read("tls.cert", &plan.cert)?);
    let leaf = leaf.map_err(|_| missing("tls.cert", "certificate", &plan.cert))?;
    let key = PrivateKeyDer::from_pem_slice(&read("tls.key", &plan.key)?);
    let key = key.map_err(|_| missing("tls.key", "private key", &plan.key))?;
    DtlsConfig::new(leaf.to_vec(), key.secret_der().to_vec()).map_err(|error| {
        let what = format!("{error}, and {} holds another", plan.key.display());
        let help =
            "get an ECDSA certificate (certbot: --key-type ecdsa), or take \"dtls\" off the transports";
        StartError::new("tls.key", what, help)
    })
}

#[cfg(feature = "dtls")]
fn read(key: &str, path: &Path) -> Result<Vec<u8>, StartError> {
    std::fs::read(path).map_err(|error| {
        let what = format!("cannot read {}: {error}", path.display());
        StartError::new(key, what, "check the path, and that the user of the daemon may read it")
    })
}

#[cfg(feature = "dtls")]
fn missing(key: &str, what: &str, path: &Path) -> StartError {
    StartError::new(key, format!("no {what} in {}", path.display()), "name a PEM file (-----BEGIN ..)")
}
