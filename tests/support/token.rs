//! Signs tokens for tests, by keys made at run time and without the code that judges them; and a server of key sets.
#![allow(dead_code, unreachable_pub)]

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RsaEncoding, RsaKeyPair,
};
use aws_lc_rs::{hmac, signature::RsaPublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The keys of an issuer.
#[derive(Debug)]
pub enum Signer {
    Secret(String),
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    pub fn secret(text: &str) -> Self {
        Self::Secret(text.to_owned())
    }

    pub fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"))
    }

    pub fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))
    }

    pub fn p384() -> Self {
        Self::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("a key"))
    }

    pub fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().expect("a key"))
    }

    /// The algorithms that it can sign with, in the words of a token's header.
    pub fn algorithms(&self) -> &'static [&'static str] {
        match self {
            Self::Secret(_) => &["HS256", "HS384", "HS512"],
            Self::Rsa(_) => &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
            Self::P256(_) => &["ES256"],
            Self::P384(_) => &["ES384"],
            Self::Ed25519(_) => &["EdDSA"],
        }
    }

    /// A token with the first of its algorithms.
    pub fn token(&self, claims: &Value) -> String {
        self.signed(&json!({ "alg": self.algorithms()[0], "typ": "JWT" }), claims)
    }

    /// The same with the name of the key in its header.
    pub fn named_token(&self, id: &str, claims: &Value) -> String {
        self.signed(&json!({ "alg": self.algorithms()[0], "kid": id }), claims)
    }

    /// A token with this header, signed by what `alg` says there, or by the first algorithm where it says nonsense.
    pub fn signed(&self, header: &Value, claims: &Value) -> String {
        self.signed_text(&header.to_string(), &claims.to_string())
    }

    /// The same for texts that no JSON library writes.
    pub fn signed_text(&self, header: &str, claims: &str) -> String {
        let said: Option<Value> = serde_json::from_str(header).ok();
        let said = said.as_ref().and_then(|header| header["alg"].as_str()).unwrap_or_default();
        let known = self.algorithms().iter().find(|algorithm| **algorithm == said);
        let algorithm = known.unwrap_or(&self.algorithms()[0]);
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let signature = self.signature(algorithm, signed.as_bytes());
        format!("{signed}.{}", encode(&signature))
    }

    /// The bare signature over `message`.
    pub fn signature(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Secret(secret) => hmac_by(algorithm, secret.as_bytes(), message),
            Self::Rsa(key) => {
                let padding: &'static dyn RsaEncoding = match algorithm {
                    "RS256" => &signature::RSA_PKCS1_SHA256,
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    other => panic!("{other} is not for RSA"),
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(padding, &random, message, &mut signature).expect("signed");
                signature
            }
            Self::P256(key) | Self::P384(key) => {
                key.sign(&random, message).expect("signed").as_ref().to_vec()
            }
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    /// The public key as an issuer publishes it (RFC 7517); the secret itself for a secret, which nobody should.
    pub fn jwk(&self) -> Value {
        match self {
            Self::Secret(secret) => json!({ "kty": "oct", "k": encode(secret.as_bytes()) }),
            Self::Rsa(key) => {
                let parts = RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
                json!({ "kty": "RSA", "n": encode(&parts.n), "e": encode(&parts.e) })
            }
            Self::P256(key) => ec_jwk("P-256", key),
            Self::P384(key) => ec_jwk("P-384", key),
            Self::Ed25519(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key().as_ref()) })
            }
        }
    }

    /// The same under a name.
    pub fn named_jwk(&self, id: &str) -> Value {
        let mut jwk = self.jwk();
        jwk["kid"] = id.into();
        jwk
    }

    /// SubjectPublicKeyInfo as PEM.
    pub fn pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Secret(_) => panic!("a secret has no public part"),
            Self::Rsa(key) => key.public_key().as_der(),
            Self::P256(key) | Self::P384(key) => key.public_key().as_der(),
            Self::Ed25519(key) => key.public_key().as_der(),
        }
        .expect("DER");
        pem("PUBLIC KEY", der.as_ref())
    }
}

/// A key set of these keys.
pub fn key_set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn ec_jwk(curve: &str, key: &EcdsaKeyPair) -> Value {
    let point = &key.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
}

/// An HMAC under any bytes as the key, as somebody makes it who confuses keys.
pub fn hmac_by(algorithm: &str, key: &[u8], message: &[u8]) -> Vec<u8> {
    let algorithm = match algorithm {
        "HS256" => hmac::HMAC_SHA256,
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        other => panic!("{other} is no HMAC"),
    };
    hmac::sign(&hmac::Key::new(algorithm, key), message).as_ref().to_vec()
}

/// What the server of key sets does with a request.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Answers this status line, these header lines, and this body.
    Answers { status: &'static str, headers: String, body: Vec<u8> },
    /// Closes the connection.
    Closes,
    /// Reads the request and never answers.
    Hangs,
    /// Answers, and sends a byte of the body now and then, without end.
    Drips,
}

impl Behaviour {
    pub fn serves(key_set: &str) -> Self {
        Self::Answers { status: "200 OK", headers: String::new(), body: key_set.as_bytes().to_vec() }
    }
}

/// An HTTP server on a loopback port of its own, which ends with the value.
#[derive(Debug)]
pub struct KeyServer {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    behaviour: Behaviour,
    requests: Vec<String>,
    /// Connections that are kept silent.
    held: Vec<TcpStream>,
    is_over: bool,
}

impl KeyServer {
    pub fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let state = State { behaviour, requests: Vec::new(), held: Vec::new(), is_over: false };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.lock().expect("sound").is_over {
                    return;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || answer(stream, &shared));
            }
        });
        Self { address, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    /// From the next request on.
    pub fn behaves(&self, behaviour: Behaviour) {
        let mut state = self.state.lock().expect("sound");
        state.behaviour = behaviour;
        state.held.clear();
    }

    /// How many requests have come.
    pub fn requests(&self) -> usize {
        self.state.lock().expect("sound").requests.len()
    }

    /// The head of the last one.
    pub fn last_request(&self) -> String {
        self.state.lock().expect("sound").requests.last().cloned().unwrap_or_default()
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        if let Ok(mut state) = self.state.lock() {
            state.is_over = true;
            state.held.clear();
        }
        // Wakes the thread that accepts.
        let _ended_already = TcpStream::connect(self.address);
    }
}

/// One request a connection.
fn answer(stream: TcpStream, state: &Mutex<State>) {
    let mut lines = BufReader::new(&stream).lines();
    let head: Vec<String> =
        lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    if head.is_empty() {
        return;
    }
    let behaviour = {
        let mut state = state.lock().expect("sound");
        state.requests.push(head.join("\n"));
        state.behaviour.clone()
    };
    let mut out = &stream;
    match behaviour {
        Behaviour::Closes => {}
        Behaviour::Hangs => {
            let held = stream.try_clone().expect("a descriptor");
            state.lock().expect("sound").held.push(held);
        }
        Behaviour::Answers { status, headers, body } => {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n"
            );
            // A client that has read enough is gone.
            let _gone = out.write_all(head.as_bytes()).and_then(|()| out.write_all(&body));
        }
        Behaviour::Drips => {
            let mut sent = out.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            while sent.is_ok() && !state.lock().expect("sound").is_over {
                sent = out.write_all(b" ");
                thread::yield_now();
            }
        }
    }
}
