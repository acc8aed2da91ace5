//! The certificates that are served, chosen by server name (RFC 6066 section 3).

use super::certificate::Certificate;
use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// What handshakes get from now on; those before keep what they have. Shared by all threads.
#[derive(Debug)]
pub struct Certificates {
    set: ArcSwap<Set>,
}

/// One or more, so that there is always an answer.
#[derive(Debug)]
struct Set {
    first: Certificate,
    others: Vec<Certificate>,
}

impl Certificates {
    /// `first` is for clients that name no server, or one that nobody is here.
    pub fn new(first: Certificate, others: Vec<Certificate>) -> Self {
        Self { set: ArcSwap::from_pointee(Set { first, others }) }
    }

    /// Takes others in their place, for the next handshake on.
    pub fn replace(&self, first: Certificate, others: Vec<Certificate>) {
        self.set.store(Arc::new(Set { first, others }));
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Arc<CertifiedKey> {
        let set = self.set.load();
        let fits = |certificate: &&Certificate| certificate.key.key.choose_scheme(schemes).is_some();
        let all = || std::iter::once(&set.first).chain(&set.others);
        let named = |is_for: fn(&str, &str) -> bool| {
            let name = name?;
            all().filter(|certificate| certificate.names().iter().any(|own| is_for(own, name))).find(fits)
        };
        let chosen = named(is_exact).or_else(|| named(is_wildcard)).or_else(|| all().find(fits));
        Arc::clone(&chosen.unwrap_or(&set.first).key)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.choose(hello.server_name(), hello.signature_schemes()))
    }
}

fn is_exact(own: &str, name: &str) -> bool {
    own.eq_ignore_ascii_case(name)
}

/// RFC 9525 section 6.3: the asterisk is the whole of one label, the first.
fn is_wildcard(own: &str, name: &str) -> bool {
    let (own, name) = (own.strip_prefix("*."), name.split_once('.'));
    own.zip(name).is_some_and(|(own, (_, rest))| own.eq_ignore_ascii_case(rest))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Made, made, made_with};
    use super::*;

    const ALL: [SignatureScheme; 2] = [SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519];

    fn pair(Made { cert, key }: Made) -> Certificate {
        Certificate::from_pem(cert.as_bytes(), key.as_bytes()).expect("a pair")
    }

    #[test]
    fn the_exact_name_goes_before_a_wildcard_and_that_before_the_first() {
        let names: [&[&str]; 4] =
            [&["first.example"], &["*.example.org"], &["turn.example.org"], &["10.0.0.1"]];
        let pairs = names.map(|names| pair(made(names)));
        let [first, others @ ..] = pairs.clone();
        let certificates = Certificates::new(first, others.to_vec());
        let chosen = |name| {
            let key = certificates.choose(name, &ALL);
            pairs.iter().position(|pair| pair.key.cert == key.cert).expect("one of them")
        };
        assert_eq!(chosen(None), 0);
        assert_eq!(chosen(Some("turn.example.org")), 2);
        assert_eq!(chosen(Some("TURN.example.org")), 2);
        assert_eq!(chosen(Some("other.example.org")), 1);
        for name in ["a.b.example.org", "example.org", "org", "nobody.example", "*.example.org.evil"] {
            assert_eq!(chosen(Some(name)), 0, "{name}");
        }
    }

    #[test]
    fn a_key_that_the_client_knows_goes_before_one_that_it_does_not() {
        let p256 = pair(made(&["turn.example.org"]));
        let ed25519 = pair(made_with(&["turn.example.org"], &rcgen::PKCS_ED25519));
        let certificates = Certificates::new(ed25519.clone(), vec![p256.clone()]);
        assert_eq!(certificates.choose(Some("turn.example.org"), &ALL).cert, ed25519.key.cert);
        assert_eq!(certificates.choose(Some("turn.example.org"), &ALL[..1]).cert, p256.key.cert);
        assert_eq!(certificates.choose(None, &ALL[..1]).cert, p256.key.cert);
        assert_eq!(certificates.choose(None, &[]).cert, ed25519.key.cert, "the handshake will say why not");
    }
}
