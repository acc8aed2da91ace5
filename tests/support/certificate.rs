//! A DTLS door with a certificate of its own, where the build has DTLS.
#![allow(dead_code, unreachable_pub)]

use crate::daemon::{Folder, free_port, loopback};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, SignatureAlgorithm};
use std::net::SocketAddr;

/// The door, as sections of a config.
#[derive(Debug)]
pub struct Dtls {
    pub port: u16,
    pub sections: String,
    /// Holds certificate and key until the daemon has ended.
    _folder: Option<Folder>,
}

impl Dtls {
    /// A door with an ECDSA certificate; none in a build without DTLS, which would warn of it.
    pub fn new() -> Self {
        if cfg!(feature = "dtls") {
            Self::with_key(&PKCS_ECDSA_P256_SHA256)
        } else {
            Self { port: 0, sections: String::new(), _folder: None }
        }
    }

    /// A door whose certificate has a key of this kind.
    pub fn with_key(kind: &'static SignatureAlgorithm) -> Self {
        let key = KeyPair::generate_for(kind).expect("a key");
        let names = rcgen::CertificateParams::new(["turn.example".to_owned()]).expect("a name");
        let leaf = names.self_signed(&key).expect("a certificate");
        let folder = Folder::new();
        let cert = folder.write("cert.pem", &pem("CERTIFICATE", leaf.der()));
        let key = folder.write("key.pem", &pem("PRIVATE KEY", &key.serialize_der()));
        let port = free_port();
        let sections = format!(
            "{}[tls]\nmode = \"files\"\ncert = \"{}\"\nkey = \"{}\"\n",
            door(loopback(port)),
            cert.display(),
            key.display()
        );
        Self { port, sections, _folder: Some(folder) }
    }
}

/// A section for DTLS alone.
pub fn door(address: SocketAddr) -> String {
    format!("[[listen]]\naddress = \"{address}\"\ntransports = [\"dtls\"]\n")
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
