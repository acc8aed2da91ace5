//! Starts that must fail: one line that names the key, and the right exit code.

use crate::daemon::{BINARY, Config, Daemon, Ended, Folder, PATIENCE, loopback, run_to_end, verb};
use crate::skip::skip;
use std::net::{TcpListener, UdpSocket};
use std::process::Command;

pub(crate) const NO_OTHER_USER: &str =
    "root, and `setpriv` (Debian package util-linux) cannot run the binary as another user";

#[test]
fn a_taken_udp_port_is_one_line_that_names_the_key() {
    let config = Config::default();
    let _holder = UdpSocket::bind(config.listen[0]).unwrap();
    let ended = verb(&["run"], &config.text());
    assert_refused(&ended, "listen.address", &format!("{} is in use", config.listen[0]));
}

#[test]
fn a_port_of_another_daemon_is_not_shared_with_it() {
    let config = Config::default();
    let _first = Daemon::start(&config);
    let second = Config { admin: loopback(0), ..config.clone() };
    let second = second.text().replace("admin = \"127.0.0.1:0\"", "admin = \"off\"");
    assert_refused(&verb(&["run"], &second), "listen.address", "is in use");
}

#[test]
fn an_address_of_another_host_is_one_line_that_names_the_key() {
    let config = Config::default().listen(&["192.0.2.77:3478".parse().unwrap()]);
    let ended = verb(&["run"], &config.text());
    assert_refused(&ended, "listen.address", "192.0.2.77 is not an address of this host");
    let config = Config::default().relay_addresses("\"192.0.2.77\"");
    let ended = verb(&["run"], &config.text());
    assert_refused(&ended, "relay.addresses", "192.0.2.77 is not an address of this host");
}

#[test]
fn a_privileged_port_without_permission_is_one_line_that_names_the_key() {
    const NAME: &str = "start::a_privileged_port_without_permission_is_one_line_that_names_the_key";
    let start = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if start.is_ok_and(|first| first.trim().parse::<u16>().is_ok_and(|first| first <= 1)) {
        return skip(NAME, "every user may bind port 1 here (net.ipv4.ip_unprivileged_port_start)");
    }
    let Some(mut command) = without_root() else {
        return skip(NAME, NO_OTHER_USER);
    };
    let folder = Folder::new();
    let config = Config::default().listen(&[loopback(1)]);
    let path = folder.write("turnstone.toml", &config.text());
    let ended = run_to_end(command.args(["run", "--config"]).arg(path), PATIENCE);
    assert_refused(&ended, "listen.address", "no permission to bind 127.0.0.1:1");
}

#[test]
fn a_taken_admin_port_is_one_line_that_names_the_key() {
    let config = Config::default();
    let _holder = TcpListener::bind(config.admin).unwrap();
    let ended = verb(&["run"], &config.text());
    assert_refused(&ended, "http.admin", &format!("{} is in use", config.admin));
}

#[test]
fn a_bad_config_ends_with_two_and_points_at_every_fault() {
    let config = Config::default().relay("port_quarantin = \"30s\"\nmax_lifetime = \"5 parsecs\"");
    let ended = verb(&["run"], &config.text());
    assert_eq!(ended.code, 2, "{ended:#?}");
    for words in ["port_quarantin", "port_quarantine", "parsecs", "turnstone.toml"] {
        assert!(ended.stderr.contains(words), "no {words} in {}", ended.stderr);
    }
}

#[test]
fn a_missing_config_file_ends_with_two_and_names_the_file() {
    let ended = run_to_end(Command::new(BINARY).args(["run", "--config", "/nowhere/t.toml"]), PATIENCE);
    assert_eq!(ended.code, 2, "{ended:#?}");
    assert!(ended.stderr.contains("/nowhere/t.toml"), "{}", ended.stderr);
}

#[track_caller]
pub(crate) fn assert_refused(ended: &Ended, key: &str, what: &str) {
    assert_eq!(ended.code, 1, "{ended:#?}");
    assert_eq!(ended.stderr.lines().count(), 1, "one line: {ended:#?}");
    assert!(ended.stderr.contains(&format!("{key}: ")), "no {key} in {}", ended.stderr);
    assert!(ended.stderr.contains(what), "no {what} in {}", ended.stderr);
    assert_eq!(ended.stdout, "");
}

/// The binary as a user without privileges. `None` when we are root and cannot stop to be.
pub(crate) fn without_root() -> Option<Command> {
    // SAFETY: it reads one number of this process and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return Some(Command::new(BINARY));
    }
    let mut command = Command::new("setpriv");
    let options =
        ["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"];
    let mut trial = Command::new("setpriv");
    trial.args(options).args([BINARY, "--help"]);
    command.args(options).arg(BINARY);
    trial.output().is_ok_and(|out| out.status.success()).then_some(command)
}
