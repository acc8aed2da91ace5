//! `turnstone credentials`: what it mints works, and why something else does not.

use crate::caller::Caller;
use crate::daemon::{BINARY, Config, Daemon, PATIENCE, SECRET, run_to_end, verb};
use std::process::Command;
use std::time::{Duration, SystemTime};
use turnstone::auth::{MintRequest, Secret, Variant, mint};
use turnstone::base::UnixTime;

#[test]
fn a_minted_credential_allocates() {
    let daemon = Daemon::start(&Config::default());
    for hmac in ["sha1", "sha256"] {
        let ended = run_to_end(
            Command::new(BINARY)
                .args(["credentials", "new", "--subject", "carol", "--ttl", "5m", "--json", "--hmac", hmac])
                .arg("--config")
                .arg(daemon.config_path()),
            PATIENCE,
        );
        assert_eq!(ended.code, 0, "{ended:#?}");
        let minted: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(minted["ttl"], 300);
        let (name, password) = (minted["username"].as_str().unwrap(), minted["password"].as_str().unwrap());
        let urls = minted["iceServers"].to_string();
        assert!(urls.contains(&format!("turn:{}", daemon.server)), "{urls}");
        Caller::of(daemon.server, name, password).allocate();
    }
}

#[test]
fn verify_says_that_a_credential_works() {
    let (name, password) = minted(SECRET, now(), 600);
    let ended = verify(&name, &password);
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert_eq!(verify("alice", "alice-password").code, 0);
}

#[test]
fn verify_says_by_how_many_seconds_a_credential_has_expired() {
    let (name, password) = minted(SECRET, now() - 643, 600);
    let ended = verify(&name, &password);
    assert_eq!(ended.code, 1, "{ended:#?}");
    // The two processes do not read the clock at the same moment.
    let said = (43..=73).find(|by_s| ended.stdout.contains(&format!("expired by {by_s} s")));
    assert!(said.is_some(), "{}", ended.stdout);
}

#[test]
fn verify_says_what_else_is_wrong() {
    let (name, password) = minted("another-secret-of-at-least-32-characters", now(), 600);
    for (name, password, reason) in [
        (name.as_str(), password.as_str(), "wrong secret"),
        ("nobody", "anything", "unknown user"),
        ("alice", "bobs-password", "wrong password"),
    ] {
        let ended = verify(name, password);
        assert_eq!(ended.code, 1, "{ended:#?}");
        assert!(ended.stdout.contains(reason), "no {reason} in {}", ended.stdout);
        assert!(!ended.stdout.contains(password), "a password was printed: {}", ended.stdout);
    }
}

fn verify(name: &str, password: &str) -> crate::daemon::Ended {
    let arguments = ["credentials", "verify", "--username", name, "--password", password];
    verb(&arguments, &Config::default().text())
}

fn minted(secret: &str, at_unix_s: u64, ttl_s: u64) -> (String, String) {
    let request = MintRequest::new(UnixTime(at_unix_s), Duration::from_secs(ttl_s), "carol");
    let credential = mint(&Secret::new(secret), Variant::Sha1, &request).unwrap();
    (credential.username, credential.password.expose().to_owned())
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}
