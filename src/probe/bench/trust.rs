//! TLS of the clients: whose certificates are believed.

use super::options::{Transport, Trust};
use super::stream::Tls;
use super::{BenchFailed, Target};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;

/// What the connections to `target` need, if they are secure ones.
pub(super) fn tls(transport: Transport, trust: &Trust, target: &Target) -> Result<Option<Tls>, BenchFailed> {
    if transport != Transport::Tls {
        return Ok(None);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| BenchFailed::Other(format!("TLS: {error}")))?;
    let config = match trust {
        Trust::System => builder.with_root_certificates(system()).with_no_client_auth(),
        Trust::Ca(path) => builder.with_root_certificates(authorities(path)?).with_no_client_auth(),
        Trust::Anybody => {
            let credulous = Arc::new(Credulous(provider));
            builder.dangerous().with_custom_certificate_verifier(credulous).with_no_client_auth()
        }
    };
    let name = ServerName::try_from(target.host().to_owned()).map_err(|_| {
        BenchFailed::Misused(format!("`{}` is no name that a certificate could have", target.host()))
    })?;
    Ok(Some((Arc::new(config), name)))
}

fn system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn authorities(path: &Path) -> Result<RootCertStore, BenchFailed> {
    let broken =
        |error: &dyn std::fmt::Display| BenchFailed::Misused(format!("--ca {}: {error}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| broken(&error))? {
        let certificate = certificate.map_err(|error| broken(&error))?;
        roots.add(certificate).map_err(|error| broken(&error))?;
    }
    if roots.is_empty() {
        return Err(broken(&"no certificate in it"));
    }
    Ok(roots)
}

/// Believes every certificate, and still checks that the server has its key.
#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
