//! Signaling tokens: which are taken, which are refused and why, and key sets that change while the daemon runs.

mod algorithms;
mod claims;
mod hostile;
mod key_sets;
mod published;
mod rotation;
#[path = "../support/token.rs"]
mod token;

use serde_json::{Value, json};
use turnstone::auth::Secret;
use turnstone::auth::token::{KeySet, TokenRules, Verifier};
use turnstone::base::UnixTime;

const NOW: UnixTime = UnixTime(1_800_000_000);
const SECRET: &str = "a-secret-that-the-issuer-shares-with-us-01";

/// Claims that are good for another minute.
fn alice() -> Value {
    json!({ "sub": "alice", "exp": NOW.0 + 60 })
}

fn by_secret(secret: &str) -> Verifier {
    let keys = KeySet::from_secret(&Secret::new(secret)).expect("long enough");
    Verifier::new(keys, TokenRules::default())
}

fn by_set(set: &str) -> Verifier {
    Verifier::new(KeySet::parse(set.as_bytes()).expect("a key set"), TokenRules::default())
}

fn by_pem(pem: &str) -> Verifier {
    Verifier::new(KeySet::from_pem(pem.as_bytes()).expect("a public key"), TokenRules::default())
}
