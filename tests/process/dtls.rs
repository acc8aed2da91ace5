//! DTLS doors that cannot be opened.

use crate::certificate::{Dtls, door};
use crate::daemon::{BINARY, Config, Folder, PATIENCE, loopback, run_to_end};
use std::process::Command;

#[test]
fn an_rsa_key_stops_the_start_and_is_said_to_be_the_reason() {
    let dtls = Dtls::with_key(&rcgen::PKCS_RSA_SHA256);
    let mut config = Config::default();
    config.sections.push_str(&dtls.sections);
    let (code, said) = start(&config);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("tls.key: DTLS needs an ECDSA key"), "{said}");
}

#[test]
fn a_certificate_that_is_not_there_is_named() {
    let tls = "[tls]\nmode = \"files\"\ncert = \"/nowhere/cert.pem\"\nkey = \"/nowhere/key.pem\"\n";
    let config = Config { sections: door(loopback(5349)) + tls, ..Config::default() };
    let (code, said) = start(&config);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("tls.cert: cannot read /nowhere/cert.pem"), "{said}");
}

fn start(config: &Config) -> (i32, String) {
    let folder = Folder::new();
    let file = folder.write("turnstone.toml", &config.text());
    let ended = run_to_end(Command::new(BINARY).arg("run").arg("--config").arg(file), PATIENCE);
    (ended.code, ended.stdout + &ended.stderr)
}
