//! The admin socket and the store, as they come and go with the daemon.

use crate::caller::Caller;
use crate::daemon::{Config, Daemon, Folder, PATIENCE, eventually, verb};
use crate::start::assert_refused;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

#[test]
fn the_admin_socket_is_for_owner_and_group_speaks_http_and_goes_with_the_daemon() {
    let mut daemon = Daemon::start(&Config::default());
    let path = daemon.socket_path();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /nothing HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("application/problem+json"), "{answer}");
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.exit_code(PATIENCE), 0);
    assert!(!path.exists(), "it is gone with the daemon");
}

#[test]
fn the_socket_of_a_killed_daemon_is_replaced_and_that_of_a_living_one_is_an_error() {
    let config = Config::default();
    let socket = Folder::new();
    let at = |config: &Config| {
        let own = format!("socket = {:?}", socket.path().join("admin.sock"));
        config.text().replace("socket = \"admin.sock\"", &own)
    };
    let first = Daemon::start_text(&config, &at(&config), 200);
    let second = Config::default();
    assert_refused(&verb(&["run"], &at(&second)), "admin.socket", "another process listens on");
    first.signal(libc::SIGKILL);
    drop(first);
    assert!(socket.path().join("admin.sock").exists(), "nobody took it away");
    let _second = Daemon::start_text(&second, &at(&second), 200);
    UnixStream::connect(socket.path().join("admin.sock")).unwrap();
}

#[test]
fn without_the_folder_of_the_socket_there_is_none_and_the_rest_serves() {
    let config = Config::default();
    let text = config.text().replace("\"admin.sock\"", "\"missing/admin.sock\"");
    let daemon = Daemon::start_text(&config, &text, 200);
    daemon.await_logged("missing/admin.sock");
    Caller::new(daemon.server).allocate();
}

#[test]
fn a_store_that_cannot_open_is_told_by_readyz_and_the_log_and_relaying_goes_on() {
    let folder = Folder::new();
    let file = folder.write("a-file", "no folder");
    let config = Config { storage: file.display().to_string(), ..Config::default() };
    let daemon = Daemon::start_until(&config, 503);
    let body = daemon.get("/readyz").1;
    assert!(body.contains("\"code\":\"storage\"") && body.contains("a-file"), "{body}");
    let told = |words: &str| daemon.log().iter().filter(|line| line.contains(words)).count();
    // What it means for the books is a line of theirs, which comes later.
    eventually(PATIENCE, "usage waits", || (told("usage is not written") == 1).then_some(()));
    assert_eq!(told("relaying and signaling go on"), 1, "{:#?}", daemon.log());
    assert_eq!(told("there is no storage"), 2, "{:#?}", daemon.log());
    Caller::new(daemon.server).allocate();
}
