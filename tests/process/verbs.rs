//! The verbs that an operator types.

use crate::client::Caller;
use crate::daemon::{
    BINARY, Config, Daemon, Lines, PATIENCE, SECRET, eventually, run_to_end, send_signal, verb, wait,
};
use serde_json::Value;
use std::process::{Command, Stdio};

#[test]
fn a_new_credential_allocates_and_verifies() {
    let config = Config::default();
    let daemon = Daemon::start(&config);
    for hmac in ["sha1", "sha256"] {
        let made = verb(
            &["credentials", "new", "--subject", "dave", "--ttl", "10m", "--hmac", hmac, "--json"],
            &config.text(),
        );
        assert_eq!(made.code, 0, "{}", made.stderr);
        let made: Value = serde_json::from_str(&made.stdout).unwrap();
        let (username, password) = (made["username"].as_str().unwrap(), made["password"].as_str().unwrap());
        assert_eq!(made["iceServers"][1]["urls"][0], format!("turn:{}?transport=udp", daemon.server));
        Caller::new(daemon.server, "x").with_password(username, password).allocate();
        let said =
            verb(&["credentials", "verify", "--username", username, "--password", password], &config.text());
        assert_eq!(said.code, 0, "{}", said.stdout);
    }
}

#[test]
fn verify_says_why_a_credential_does_not_work() {
    let config = Config::default().text();
    let why = |username: &str, password: &str| {
        let ended = verb(&["credentials", "verify", "--username", username, "--password", password], &config);
        assert_eq!(ended.code, 1, "{}", ended.stdout);
        ended.stdout
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let expired = turnstone::auth::MintRequest::new(
        turnstone::base::UnixTime(now - 643),
        std::time::Duration::from_secs(600),
        "dave",
    );
    let secret = turnstone::auth::Secret::new(SECRET);
    let expired = turnstone::auth::mint(&secret, turnstone::auth::Variant::Sha1, &expired).unwrap();
    let said = why(&expired.username, expired.password.expose());
    assert!(said.contains("expired by 4"), "{said}");
    let said = why(&format!("{}:dave", now + 600), "AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    assert!(said.contains("secret"), "{said}");
    let said = why("nobody", "x");
    assert!(said.contains("unknown user"), "{said}");
    let said = why("alice", "wrong");
    assert!(said.contains("password"), "{said}");
}

#[test]
fn wrong_usage_ends_with_2_and_version_with_0() {
    for arguments in [&["fly"][..], &["run", "--colour"], &["credentials", "new"], &[]] {
        assert_eq!(run_to_end(Command::new(BINARY).args(arguments), PATIENCE).code, 2, "{arguments:?}");
    }
    let version = run_to_end(Command::new(BINARY).args(["version", "--json"]), PATIENCE);
    let version: Value = serde_json::from_str(&version.stdout).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn demo_proves_its_relay_prints_ice_servers_and_ends_on_ctrl_c() {
    let mut child = Command::new(BINARY)
        .arg("demo")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = Lines::of(child.stdout.take().unwrap());
    eventually(PATIENCE, "the welcome", || lines.so_far().iter().any(|l| l.contains("Ctrl-C")).then_some(()));
    let text = lines.so_far().join("\n");
    assert!(text.contains("relay works at 127.0.0.1:"), "{text}");
    let block = &text[text.find("[\n").unwrap()..=text.find("\n]").unwrap() + 1];
    let block: Value = serde_json::from_str(block).unwrap();
    let turn = &block[1];
    let url = turn["urls"][0].as_str().unwrap();
    let server = url.trim_start_matches("turn:").trim_end_matches("?transport=udp").parse().unwrap();
    let (username, credential) = (turn["username"].as_str().unwrap(), turn["credential"].as_str().unwrap());
    Caller::new(server, "x").with_password(username, credential).allocate();
    send_signal(&child, libc::SIGINT);
    assert_eq!(wait(&mut child, PATIENCE).and_then(|status| status.code()), Some(0));
}
