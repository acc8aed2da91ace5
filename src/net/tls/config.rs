//! How TLS is spoken.

use super::resolver::Certificates;
use super::session::TlsError;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::server::NoServerSessionStorage;
use std::sync::Arc;

/// TURN (RFC 7443) and HTTP, ours first.
const ALPN: [&[u8]; 2] = [b"stun.turn", b"http/1.1"];

/// TLS 1.2 and 1.3 for all threads. A client that names protocols must name one of ours; most TURN clients name none.
///
/// Sessions are resumed by tickets, so that nothing is kept here for them; their keys change every six hours. No data
/// is taken before the handshake is over, because that could be repeated by others.
///
/// # Errors
/// The system has no random bytes.
pub fn server_config(certificates: Arc<Certificates>) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(certificates);
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Ticketer::new()?;
    // A client comes back with one connection; each ticket costs it and us.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::super::Certificate;
    use super::super::testing::{Pair, client_config, client_with, made};
    use super::*;
    use rustls::HandshakeKind;

    fn pair(name: &str) -> Certificate {
        let made = made(&[name]);
        Certificate::from_pem(made.cert.as_bytes(), made.key.as_bytes()).expect("a pair")
    }

    #[test]
    fn the_next_handshake_gets_the_new_certificate_and_the_connection_before_lives_on() {
        let (old, new) = (pair("old.example"), pair("new.example"));
        let certificates = Arc::new(Certificates::new(old.clone(), Vec::new()));
        let config = server_config(Arc::clone(&certificates)).expect("a config");
        for version in super::super::testing::VERSIONS {
            let client = || client_with(&client_config(version, &[]), "any.example");
            let mut before = Pair::connected(&config, client());
            certificates.replace(new.clone(), Vec::new());
            let after = Pair::connected(&config, client());
            certificates.replace(old.clone(), Vec::new());
            assert_eq!(before.client.peer_certificates().expect("one"), old.key.cert);
            assert_eq!(after.client.peer_certificates().expect("one"), new.key.cert);
            before.server.send(b"media", &mut before.outgoing).expect("sent");
            assert_eq!(before.give_client().expect("good"), b"media");
        }
    }

    #[test]
    fn a_client_resumes_by_its_ticket() {
        let certificates = Certificates::new(pair("turn.example"), Vec::new());
        let config = server_config(Arc::new(certificates)).expect("a config");
        for version in super::super::testing::VERSIONS {
            let client_config = client_config(version, &[]);
            for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
                let pair = Pair::connected(&config, client_with(&client_config, "turn.example"));
                assert_eq!(pair.client.handshake_kind(), Some(kind));
            }
        }
    }
}
