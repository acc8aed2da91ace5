//! The description of the API, judged by the published schema of OpenAPI.

use super::daemon::{Config, Daemon, free_port, http_get, loopback};
use super::skip::skip;
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign/node");
const TEST: &str = "foreign openapi";

#[test]
fn a_validator_takes_what_both_doors_say_of_the_api() {
    if Command::new("node").arg("--version").stdout(Stdio::null()).status().is_err() {
        return skip(TEST, "no `node`");
    }
    if !Path::new(FOLDER).join("node_modules/@seriousme/openapi-schema-validator").exists() {
        return skip(TEST, "no node_modules: run `npm ci` in tests/foreign/node");
    }
    let config = Config { public: Some(loopback(free_port())), ..Config::default() };
    let daemon = Daemon::start(&config);
    let (status, document) = daemon.get("/openapi.json");
    assert_eq!(status, 200);
    let public = http_get(config.public.unwrap(), "/openapi.json");
    assert_eq!(public, Some((200, document.clone())));

    let judged = judge(&document);
    assert_eq!(judged, serde_json::json!({ "valid": true, "version": "3.1" }));
    let broken = document.replacen("\"responses\"", "\"answers\"", 1);
    assert_eq!(judge(&broken)["valid"], false, "the validator is awake");
}

fn judge(document: &str) -> Value {
    let mut node = Command::new("node")
        .arg("openapi.mjs")
        .current_dir(FOLDER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    node.stdin.take().unwrap().write_all(document.as_bytes()).unwrap();
    serde_json::from_slice(&node.wait_with_output().unwrap().stdout).unwrap()
}
