//! What the TLS tests share: a certificate, a server's config, and real clients.

use super::session::{Received, TlsError, TlsSession};
use super::{Certificate, Certificates};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use std::io::{Read, Write};
use std::sync::Arc;

pub(crate) const VERSIONS: [&SupportedProtocolVersion; 2] =
    [&rustls::version::TLS12, &rustls::version::TLS13];

/// A server's config with a certificate of its own.
pub(crate) fn server_config() -> Arc<ServerConfig> {
    let Made { cert, key } = made(&["turn.example.org"]);
    let certificate = Certificate::from_pem(cert.as_bytes(), key.as_bytes()).expect("a pair");
    super::server_config(Arc::new(Certificates::new(certificate, Vec::new()))).expect("a config")
}

/// A certificate and its key, in PEM.
pub(crate) struct Made {
    pub(crate) cert: String,
    pub(crate) key: String,
}

/// A certificate for `names`, with a key on P-256.
pub(crate) fn made(names: &[&str]) -> Made {
    made_with(names, &rcgen::PKCS_ECDSA_P256_SHA256)
}

/// As [`made`], with a key of another kind.
pub(crate) fn made_with(names: &[&str], kind: &'static rcgen::SignatureAlgorithm) -> Made {
    let key = rcgen::KeyPair::generate_for(kind).expect("a key");
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let params = rcgen::CertificateParams::new(names).expect("good names");
    Made { cert: params.self_signed(&key).expect("a certificate").pem(), key: key.serialize_pem() }
}

/// A client that believes every certificate.
pub(crate) fn client(version: &'static SupportedProtocolVersion, alpn: &[&[u8]]) -> ClientConnection {
    client_with(&client_config(version, alpn), "turn.example.org")
}

/// A client of its own, asking for `name`.
pub(crate) fn client_with(config: &Arc<ClientConfig>, name: &'static str) -> ClientConnection {
    ClientConnection::new(Arc::clone(config), ServerName::try_from(name).expect("a name")).expect("a client")
}

/// What clients share, tickets included.
pub(crate) fn client_config(version: &'static SupportedProtocolVersion, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let mut config = builder
        .with_protocol_versions(&[version])
        .expect("a version")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous(provider)))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.enable_secret_extraction = true;
    Arc::new(config)
}

/// A session, its client, and what has not been handed from one to the other.
pub(crate) struct Pair {
    pub(crate) client: ClientConnection,
    pub(crate) server: TlsSession,
    /// Ciphertext that the server left.
    pub(crate) partial: Vec<u8>,
    /// What the server has decrypted.
    pub(crate) plain: Vec<u8>,
    /// Ciphertext for the client.
    pub(crate) outgoing: Vec<u8>,
}

impl Pair {
    pub(crate) fn new(config: &Arc<ServerConfig>, client: ClientConnection) -> Self {
        let server = TlsSession::new(config).expect("a session");
        Self { client, server, partial: Vec::new(), plain: Vec::new(), outgoing: Vec::new() }
    }

    /// A pair whose handshake is over.
    pub(crate) fn connected(config: &Arc<ServerConfig>, client: ClientConnection) -> Self {
        let mut pair = Self::new(config, client);
        while pair.client.is_handshaking() || pair.server.is_handshaking() {
            let bytes = pair.sent_by_client();
            assert!(!bytes.is_empty(), "the handshake goes on");
            pair.give(&bytes).expect("a handshake");
            pair.give_client().expect("a handshake");
        }
        pair
    }

    /// Everything that the client has to send.
    pub(crate) fn sent_by_client(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut bytes).expect("a vector takes all");
        }
        bytes
    }

    /// Gives the server bytes from the wire, as a stream task does: behind what it left.
    pub(crate) fn give(&mut self, bytes: &[u8]) -> Result<Received, TlsError> {
        self.partial.extend_from_slice(bytes);
        let received = self.server.receive(&mut self.partial, &mut self.plain, &mut self.outgoing)?;
        self.partial.drain(..received.consumed);
        Ok(received)
    }

    /// Gives the client what the server has for it. Returns the application data.
    pub(crate) fn give_client(&mut self) -> Result<Vec<u8>, Error> {
        let outgoing = std::mem::take(&mut self.outgoing);
        let (mut rest, mut plain) = (&outgoing[..], Vec::new());
        while !rest.is_empty() {
            self.client.read_tls(&mut rest).expect("a slice never fails");
            self.client.process_new_packets()?;
            // WouldBlock once all is read: there is no end of the stream.
            let _no_more = self.client.reader().read_to_end(&mut plain);
        }
        Ok(plain)
    }

    /// What the client sends when it writes `bytes`.
    pub(crate) fn encrypted(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.client.writer().write_all(bytes).expect("a buffer without bound");
        self.sent_by_client()
    }
}

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
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
