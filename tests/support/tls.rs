//! A TLS client for tests: rustls on a blocking socket, which believes every certificate and shows it.
#![allow(dead_code, unreachable_pub)]

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion,
};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// A connection in the clear or under TLS.
#[derive(Debug)]
pub struct Link {
    pub socket: TcpStream,
    pub tls: Option<Box<ClientConnection>>,
}

impl Link {
    pub fn clear(socket: TcpStream) -> Self {
        Self { socket, tls: None }
    }

    /// Shakes hands, asking for `name` and these protocols.
    pub fn secure(
        mut socket: TcpStream,
        version: &'static SupportedProtocolVersion,
        name: &'static str,
        alpn: &[&[u8]],
    ) -> io::Result<Self> {
        let mut tls = Box::new(connection(version, name, alpn));
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        Ok(Self { socket, tls: Some(tls) })
    }

    /// The certificate that the server showed.
    pub fn certificate(&self) -> Vec<u8> {
        let shown = self.tls.as_ref().and_then(|tls| tls.peer_certificates());
        shown.expect("a server shows a certificate")[0].to_vec()
    }

    /// `plain` as it goes over the wire, not sent yet: under TLS records of its own.
    pub fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        let Some(tls) = &mut self.tls else { return plain.to_vec() };
        let mut wire = Vec::new();
        tls.writer().write_all(plain).expect("memory");
        while tls.wants_write() {
            tls.write_tls(&mut wire).expect("memory");
        }
        wire
    }
}

impl Read for Link {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.socket.read(into),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.socket).read(into),
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.socket.write(bytes),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.socket).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            None => self.socket.flush(),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.socket).flush(),
        }
    }
}

/// One client, asking for `name`, that has not said anything yet.
pub fn connection(
    version: &'static SupportedProtocolVersion,
    name: &'static str,
    alpn: &[&[u8]],
) -> ClientConnection {
    let name = ServerName::try_from(name).expect("a name");
    ClientConnection::new(client_config(version, alpn), name).expect("a client")
}

/// What one client needs; clients that share it resume each other's sessions.
pub fn client_config(version: &'static SupportedProtocolVersion, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let mut config = builder
        .with_protocol_versions(&[version])
        .expect("a version")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous(provider)))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

/// A certificate for `name` and its key, in PEM.
pub fn certificate(name: &str) -> (String, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("a good name");
    (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}

/// Believes everybody, but checks that the key fits the certificate.
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
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let schemes = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let schemes = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
