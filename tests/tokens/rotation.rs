//! A key set from a real server, while its keys change and while it fails.

use super::token::{Behaviour, KeyServer, Signer, key_set};
use super::{NOW, SECRET, alice};
use std::future::Future;
use std::time::Duration;
use tokio::time::timeout;
use turnstone::auth::Secret;
use turnstone::auth::token::{KeySet, TokenRefused, TokenRules};
use turnstone::base::Random;
use turnstone::http::{KeySetUrl, KeySets, KeySource, Pace, TokenSettings, WebClient};

/// No test waits longer for what must happen.
const BOUND: Duration = Duration::from_secs(20);

const DAY: Duration = Duration::from_secs(86_400);

/// The pace of the daemon, with its rests made short.
fn quick() -> Pace {
    let rest = Duration::from_millis(20);
    Pace { unknown_key: rest, back_off: [rest, rest * 2], patience: BOUND, ..Pace::default() }
}

fn settings(keys: KeySource) -> TokenSettings {
    TokenSettings { keys, rules: TokenRules::default(), query: false, cookie: None }
}

fn from(url: &str) -> TokenSettings {
    settings(KeySource::Url(KeySetUrl::parse(url).expect("a URL")))
}

fn start(settings: TokenSettings, pace: Pace) -> KeySets {
    KeySets::start(settings, WebClient::new().expect("TLS"), pace, Random::seeded(1))
}

async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(BOUND, looking).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn a_token_by_a_new_key_is_taken_as_soon_as_the_issuer_has_published_it() {
    let (old, new) = (Signer::p256(), Signer::rsa());
    let server = KeyServer::start(Behaviour::serves(&key_set(&[old.named_jwk("old")])));
    let keys = start(from(&server.url()), quick());
    // Nothing is there at the start: the first token waits for it.
    let judged = keys.verify(&old.named_token("old", &alice()), NOW).await;
    assert_eq!(judged.map(|claims| claims.subject.to_string()), Ok("alice".to_owned()));
    let request = server.last_request();
    assert!(
        request.starts_with("GET /keys HTTP/1.1\n") && request.to_lowercase().contains("\nhost: 127.0.0.1:")
    );
    let fresh = new.named_token("new", &alice());
    assert_eq!(keys.verify(&fresh, NOW).await, Err(TokenRefused::UnknownKey));
    server.behaves(Behaviour::serves(&key_set(&[old.named_jwk("old"), new.named_jwk("new")])));
    assert!(keys.verify(&fresh, NOW).await.is_ok());
    assert!(keys.current().verify(&old.named_token("old", &alice()), NOW).is_ok());
    // A key that is gone from the set is gone here, too.
    server.behaves(Behaviour::serves(&key_set(&[new.named_jwk("new")])));
    assert_eq!(keys.verify(&new.named_token("third", &alice()), NOW).await, Err(TokenRefused::UnknownKey));
    let revoked = keys.current().verify(&old.named_token("old", &alice()), NOW);
    assert_eq!(revoked, Err(TokenRefused::UnknownKey));
}

#[tokio::test]
async fn ten_thousand_unknown_keys_cause_no_request_within_the_rest() {
    let signer = Signer::ed25519();
    let server = KeyServer::start(Behaviour::serves(&key_set(&[signer.named_jwk("k")])));
    let keys = start(from(&server.url()), Pace { unknown_key: DAY, ..quick() });
    let good = signer.named_token("k", &alice());
    assert!(keys.verify(&good, NOW).await.is_ok());
    assert_eq!(server.requests(), 1);
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..10_000 {
        let (keys, forged) = (keys.clone(), signer.named_token(&format!("x{n}"), &alice()));
        asking.spawn(async move { keys.verify(&forged, NOW).await });
    }
    // None of them waits: the next request is not for this day.
    let all = timeout(BOUND, asking.join_all()).await.expect("no task waits");
    assert!(all.iter().all(|judged| *judged == Err(TokenRefused::UnknownKey)));
    assert_eq!(server.requests(), 1);
    assert!(keys.verify(&good, NOW).await.is_ok());
}

#[tokio::test]
async fn those_who_wait_share_one_request() {
    let signer = Signer::ed25519();
    let server = KeyServer::start(Behaviour::serves(&key_set(&[signer.named_jwk("k")])));
    let keys = start(from(&server.url()), Pace { unknown_key: DAY, ..quick() });
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let (keys, token) = (keys.clone(), signer.named_token("k", &alice()));
        asking.spawn(async move { keys.verify(&token, NOW).await.is_ok() });
    }
    let all = timeout(BOUND, asking.join_all()).await.expect("the set comes");
    assert!(all.into_iter().all(|is_ok| is_ok));
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn while_the_server_fails_the_last_set_serves_and_it_is_asked_again() {
    let signer = Signer::p384();
    let good = signer.named_token("k", &alice());
    let set = key_set(&[signer.named_jwk("k")]);
    let server = KeyServer::start(Behaviour::serves(&set));
    // Every set is fresh for no time, so that it is asked for again and again.
    let pace = Pace { usual: Duration::ZERO, asked: [Duration::from_millis(5); 2], ..quick() };
    let keys = start(from(&server.url()), Pace { timeout: Duration::from_millis(200), ..pace });
    until("the first set", || async { keys.verify(&good, NOW).await.is_ok() }).await;
    let answers = |status, headers: &str, body: &[u8]| Behaviour::Answers {
        status,
        headers: headers.to_owned(),
        body: body.to_vec(),
    };
    let other = KeyServer::start(Behaviour::serves(&key_set(&[Signer::p384().named_jwk("k")])));
    let location = format!("Location: {}\r\n", other.url());
    for failure in [
        Behaviour::Closes,
        Behaviour::Hangs,
        Behaviour::Drips,
        answers("500 Internal Server Error", "", set.as_bytes()),
        answers("404 Not Found", "", b"<html>"),
        answers("204 No Content", "", b""),
        answers("302 Found", &location, b""),
        answers("200 OK", "", b"<html>"),
        answers("200 OK", "", br#"{"keys":[]}"#),
        answers("200 OK", "", &[b' '; KeySet::BYTES_MAX + 1]),
        answers("200 OK", &format!("X: {}\r\n", "x".repeat(100_000)), set.as_bytes()),
    ] {
        let what = format!("{failure:.80?}");
        server.behaves(failure);
        let before = server.requests();
        until(&what, || async { server.requests() >= before + 3 }).await;
        assert!(keys.current().verify(&good, NOW).is_ok(), "{what}");
        assert_eq!(keys.current().keys().len(), 1, "{what}");
    }
    assert_eq!(other.requests(), 0, "no redirect is followed");
    let rotated = Signer::p384();
    server.behaves(Behaviour::serves(&key_set(&[rotated.named_jwk("k2")])));
    let fresh = rotated.named_token("k2", &alice());
    until("the server is back", || async { keys.current().verify(&fresh, NOW).is_ok() }).await;
}

#[tokio::test]
async fn a_server_that_never_answers_keeps_a_token_waiting_for_a_bounded_time() {
    let server = KeyServer::start(Behaviour::Hangs);
    let pace = Pace { timeout: DAY, patience: Duration::from_millis(50), ..quick() };
    let keys = start(from(&server.url()), pace);
    let token = Signer::p256().token(&alice());
    let judged = timeout(BOUND, keys.verify(&token, NOW)).await.expect("patience ends");
    assert_eq!(judged, Err(TokenRefused::UnknownKey));
    drop(keys);
}

#[tokio::test]
async fn a_set_that_is_too_old_is_given_up() {
    let signer = Signer::p256();
    let server = KeyServer::start(Behaviour::serves(&key_set(&[signer.named_jwk("k")])));
    let pace = Pace { usual: Duration::ZERO, asked: [Duration::from_millis(5); 2], ..quick() };
    let keys = start(from(&server.url()), Pace { keep: Duration::from_millis(100), ..pace });
    let good = signer.named_token("k", &alice());
    until("the first set", || async { keys.verify(&good, NOW).await.is_ok() }).await;
    server.behaves(Behaviour::Closes);
    until("it is given up", || async { keys.current().keys().is_empty() }).await;
    assert_eq!(keys.current().verify(&good, NOW), Err(TokenRefused::UnknownKey));
    server.behaves(Behaviour::serves(&key_set(&[signer.named_jwk("k")])));
    until("it is back", || async { keys.current().verify(&good, NOW).is_ok() }).await;
}

#[tokio::test]
async fn nobody_listens_and_then_somebody_does() {
    let signer = Signer::p256();
    let server = KeyServer::start(Behaviour::Closes);
    let url = server.url();
    drop(server);
    let keys = start(from(&url), quick());
    assert_eq!(keys.verify(&signer.token(&alice()), NOW).await, Err(TokenRefused::UnknownKey));
    let server = KeyServer::start(Behaviour::serves(&key_set(&[signer.jwk()])));
    keys.reload(from(&server.url()));
    until("the new URL", || async { keys.verify(&signer.token(&alice()), NOW).await.is_ok() }).await;
}

#[tokio::test]
async fn a_reload_changes_rules_and_source_and_keeps_a_set_that_stays() {
    let signer = Signer::ed25519();
    let server = KeyServer::start(Behaviour::serves(&key_set(&[signer.named_jwk("k")])));
    let keys = start(from(&server.url()), Pace { unknown_key: DAY, ..quick() });
    let token = signer.named_token("k", &alice());
    assert!(keys.verify(&token, NOW).await.is_ok());
    let strict = TokenRules { audience: Some("turnstone".into()), ..TokenRules::default() };
    keys.reload(TokenSettings { rules: strict, ..from(&server.url()) });
    let wrong = Err(TokenRefused::WrongAudience);
    until("the new rules", || async { keys.current().verify(&token, NOW) == wrong }).await;
    assert_eq!(server.requests(), 1, "the set is kept");
    let fixed = KeySet::from_secret(&Secret::new(SECRET)).expect("long enough");
    keys.reload(settings(KeySource::Fixed(fixed)));
    let by_secret = Signer::secret(SECRET).token(&alice());
    until("the secret", || async { keys.current().verify(&by_secret, NOW).is_ok() }).await;
    assert_eq!(keys.current().verify(&token, NOW), Err(TokenRefused::WrongAlgorithm));
    assert!(!keys.unknown_key().await, "nothing newer can come");
}

#[tokio::test]
async fn a_set_comes_over_tls_from_a_server_with_a_trusted_certificate_only() {
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = names.self_signed(&key).expect("a certificate");
    let signer = Signer::ed25519();
    let port = serve_tls(certificate.der().to_vec(), key.serialize_der(), key_set(&[signer.jwk()]));
    let url = format!("https://localhost:{port}/keys");
    let token = signer.token(&alice());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der().clone()).expect("a root");
    let trusting = WebClient::trusting(roots).expect("TLS");
    let keys = KeySets::start(from(&url), trusting, quick(), Random::seeded(1));
    assert!(keys.verify(&token, NOW).await.is_ok());
    let distrusting = WebClient::trusting(rustls::RootCertStore::empty()).expect("TLS");
    let keys = KeySets::start(from(&url), distrusting.clone(), quick(), Random::seeded(1));
    assert_eq!(keys.verify(&token, NOW).await, Err(TokenRefused::UnknownKey));
    let request = |path: &str| {
        let uri = format!("https://localhost:{port}{path}");
        axum::http::Request::get(uri).body(Default::default()).expect("a request")
    };
    let error = distrusting.send(request("/"), 1 << 10, BOUND).await.expect_err("nobody vouches for it");
    assert!(error.to_string().contains("UnknownIssuer"), "the reason is told: {error}");
}

/// Answers every request over TLS with this key set, until the test ends.
fn serve_tls(certificate: Vec<u8>, key: Vec<u8>, set: String) -> u16 {
    use std::io::{Read, Write};
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.into()], rustls::pki_types::PrivatePkcs8KeyDer::from(key).into());
    let config = std::sync::Arc::new(config.expect("a certificate"));
    let listener = std::net::TcpListener::bind("localhost:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let session = rustls::ServerConnection::new(config.clone()).expect("a session");
            let mut tls = rustls::StreamOwned::new(session, stream);
            let length = set.len();
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            // A client that does not trust us is gone.
            let _gone =
                tls.read(&mut [0; 4096]).and_then(|_| tls.write_all(format!("{head}{set}").as_bytes()));
            tls.conn.send_close_notify();
            let _gone = tls.flush();
        }
    });
    port
}
