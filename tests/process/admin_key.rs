//! The key that the package makes: who has the file is let in as an operator, and by nothing that it held before.

use crate::daemon::{Config, Daemon, Folder, verb};
use crate::minting::ask;
use std::net::TcpStream;

const FIRST: &str = "tsk_0123456789abcdef0123456789abcdef";
const SECOND: &str = "tsk_fedcba9876543210fedcba9876543210";

/// What asking with a key is answered with.
fn status(daemon: &Daemon, key: &str) -> u16 {
    let stream = TcpStream::connect(daemon.admin).unwrap();
    ask(stream, "GET", "/v1/api-keys", &[&format!("Authorization: Bearer {key}")], "").0
}

#[test]
fn the_key_in_the_file_lets_an_operator_in_until_another_start_finds_another_one() {
    let folder = Folder::new();
    let file = folder.write("admin-key", &format!("{FIRST}\n"));
    let config = Config::default();
    let text = config.text().replace("[admin]\n", &format!("[admin]\nkey_file = {file:?}\n"));
    let mut daemon = Daemon::start_text(&config, &text, 200);
    assert_eq!((status(&daemon, FIRST), status(&daemon, SECOND)), (200, 401));
    daemon.crash_and_start();
    assert_eq!((status(&daemon, FIRST), status(&daemon, SECOND)), (200, 401));
    folder.write("admin-key", SECOND);
    daemon.stop_and_start();
    assert_eq!((status(&daemon, FIRST), status(&daemon, SECOND)), (401, 200));
    daemon.write_config(&config.text());
    daemon.stop_and_start();
    assert_eq!((status(&daemon, FIRST), status(&daemon, SECOND)), (401, 401));
}

#[test]
fn check_config_names_a_key_file_that_is_missing() {
    let text = Config::default().text().replace("[admin]\n", "[admin]\nkey_file = \"/nonexistent/key\"\n");
    let ended = verb(&["check-config"], &text);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(
        ended.stderr.contains("admin.key_file") && ended.stderr.contains("/nonexistent/key"),
        "{ended:?}"
    );
}
