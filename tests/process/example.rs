//! The example config on loopback, as it stands.

use crate::daemon::{BINARY, Folder, PATIENCE, eventually, free_port, http_get, send_signal, verb, wait};
use std::net::SocketAddr;
use std::process::Command;

#[test]
fn the_example_on_loopback_passes_check_config_and_run() {
    let example = include_str!("../vectors/loopback.toml");
    let folder = Folder::new();
    let text = example.replace("{DIR}", &folder.path().display().to_string());
    let ended = verb(&["check-config"], &text);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("worst-case memory") && ended.stdout.contains("2.0 x"), "{}", ended.stdout);
    let ended = verb(&["check-config", "--print-effective"], &text);
    assert!(ended.stdout.contains("secrets = [\"********\"]") && !ended.stdout.contains("a-secret-of"));
    let ended = verb(&["check-config", "--json"], &text);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["ok"], true);
    // Its ports are fixed, so `run` gets others.
    let fixed = ["34780", "34443", "34808", "34809"];
    let text = fixed.iter().fold(text, |t, port| t.replace(port, &free_port().to_string()));
    let admin: SocketAddr =
        text.split("admin = \"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
    let path = folder.write("example.toml", &text);
    let mut child = Command::new(BINARY)
        .args(["run", "--config"])
        .arg(path)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually(PATIENCE, "the example serves", || {
        http_get(admin, "/readyz").filter(|(status, _)| *status == 200)
    });
    send_signal(&child, libc::SIGTERM);
    assert_eq!(wait(&mut child, PATIENCE).and_then(|status| status.code()), Some(0));
}
