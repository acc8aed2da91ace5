//! The verbs that ask a running daemon: what they print, and how they end.

use crate::caller::{Caller, assert_relays, peer};
use crate::daemon::{
    BINARY, Config, Daemon, Ended, Folder, PATIENCE, eventually, free_port, loopback, run_to_end,
};
use serde_json::Value;
use std::os::unix::net::UnixListener;
use std::process::Command;

/// Runs a verb with the config of `daemon`.
#[track_caller]
pub(crate) fn ask(daemon: &Daemon, arguments: &[&str]) -> Ended {
    run_to_end(Command::new(BINARY).args(arguments).arg("--config").arg(daemon.config_path()), PATIENCE)
}

/// The same with `--json`.
#[track_caller]
pub(crate) fn ask_json(daemon: &Daemon, arguments: &[&str]) -> Value {
    let ended = ask(daemon, &[arguments, &["--json"]].concat());
    assert_eq!(ended.code, 0, "{ended:#?}");
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stdout))
}

#[test]
fn status_tells_doors_sessions_traffic_storage_and_signaling() {
    let daemon = Daemon::start(&Config::default());
    let (mut caller, peer) = (Caller::new(daemon.server), peer());
    let relayed = caller.allocate();
    assert_eq!(caller.permit(peer.local_addr().unwrap()).code, 0);
    assert_relays(&mut caller, relayed, &peer);
    let status = eventually(PATIENCE, "the counters are published", || {
        let status = ask_json(&daemon, &["status"]);
        (status["traffic"]["bytes_from_client"].as_u64() > Some(0)).then_some(status)
    });
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&status["state"], &status["ready"]), (&"serving".into(), &true.into()));
    assert_eq!((&status["sessions"], &status["ports"]["used"]), (&1.into(), &1.into()));
    assert_eq!(status["doors"][0]["address"], daemon.server.to_string());
    assert_eq!((&status["storage"]["ok"], &status["reload"]["successful"]), (&true.into(), &true.into()));
    let page = ask(&daemon, &["status"]);
    assert_eq!((page.code, page.stderr.as_str()), (0, ""));
    assert!(
        page.stdout.contains("1 sessions") && page.stdout.contains("storage       ok"),
        "{}",
        page.stdout
    );
    assert!(page.stdout.lines().all(|line| line.chars().count() <= 80), "{}", page.stdout);
}

#[test]
fn a_daemon_that_is_not_there_is_three_with_the_path_of_its_socket() {
    let folder = Folder::new();
    let path = folder.write("turnstone.toml", &Config::default().text());
    for verb in [&["status"][..], &["drain"], &["api-key", "list", "--json"]] {
        let ended = run_to_end(Command::new(BINARY).args(verb).arg("--config").arg(&path), PATIENCE);
        assert_eq!(
            (ended.code, ended.stdout.as_str(), ended.stderr.lines().count()),
            (3, "", 1),
            "{ended:#?}"
        );
        let socket = folder.path().join("admin.sock");
        assert!(ended.stderr.contains(&socket.display().to_string()), "{}", ended.stderr);
    }
    drop(UnixListener::bind(folder.path().join("admin.sock")).unwrap());
    let ended = run_to_end(Command::new(BINARY).arg("status").arg("--config").arg(&path), PATIENCE);
    assert_eq!(ended.code, 3, "{ended:#?}");
    assert!(ended.stderr.contains("it has ended"), "{}", ended.stderr);
}

#[test]
fn a_config_with_errors_does_not_keep_a_verb_from_its_daemon_and_wrong_arguments_are_two() {
    let daemon = Daemon::start(&Config::default());
    daemon.write_config(&Config::default().limits("allocations_per_usr = 1").text());
    assert_eq!(ask(&daemon, &["status"]).code, 0);
    let ended = ask(&daemon, &["reload"]);
    assert_eq!(ended.code, 1, "{ended:#?}");
    assert!(ended.stderr.contains("allocations_per_usr"), "{}", ended.stderr);
    assert!(ended.stderr.contains("stays in force"), "{}", ended.stderr);
    assert_eq!(ask(&daemon, &["status", "--jsn"]).code, 2);
    assert_eq!(ask(&daemon, &["api-key", "new"]).code, 2);
    let nowhere = run_to_end(Command::new(BINARY).args(["status", "--config", "/nowhere/t.toml"]), PATIENCE);
    assert_eq!(nowhere.code, 2, "{nowhere:#?}");
}

#[test]
fn reload_says_what_changed_and_what_needs_a_restart() {
    let config = Config::default();
    let daemon = Daemon::start(&config);
    assert_eq!(ask(&daemon, &["reload"]).stdout, "nothing has changed\n");
    let other = config.clone().listen(&[loopback(free_port())]).limits("allocations_per_user = 3");
    let other = other.auth("ttl = \"30m\"").text().replace("alice-password", "another-password");
    daemon.write_config(&other);
    let answer = ask_json(&daemon, &["reload"]);
    let changed = serde_json::json!(["auth.ttl", "auth.users", "limits.allocations_per_user"]);
    assert_eq!((&answer["changed"], &answer["needs_restart"]), (&changed, &serde_json::json!(["listen"])));
    Caller::of(daemon.server, "alice", "another-password").allocate();
}

#[test]
fn drain_refuses_newcomers_until_undrain_and_the_daemon_stays() {
    let mut daemon = Daemon::start(&Config::default());
    let mut caller = Caller::new(daemon.server);
    caller.allocate();
    let answer = ask_json(&daemon, &["drain"]);
    assert_eq!((&answer["draining"], &answer["sessions"]), (&true.into(), &1.into()));
    assert_eq!(daemon.get("/readyz").0, 503);
    assert_eq!(ask_json(&daemon, &["status"])["state"], "draining");
    let mut late = Caller::of(daemon.server, "bob", "bob-password");
    eventually(PATIENCE, "newcomers get 508", || (late.try_allocate(&[]).code == 508).then_some(()));
    let ended = ask(&daemon, &["drain", "--timeout", "100ms"]);
    assert_eq!(ended.code, 1, "one is left: {ended:#?}");
    assert_eq!(caller.refresh(0).code, 0);
    assert_eq!(ask(&daemon, &["drain", "--wait"]).code, 0);
    assert!(daemon.is_running());
    assert_eq!(ask_json(&daemon, &["undrain"])["draining"], false);
    eventually(PATIENCE, "newcomers are welcome", || (late.try_allocate(&[]).code == 0).then_some(()));
    assert_eq!(daemon.get("/readyz").0, 200);
}

#[test]
fn api_keys_are_made_listed_and_taken_away() {
    let daemon = Daemon::start(&Config::default());
    let made = ask_json(&daemon, &["api-key", "new", "--name", "app", "--scope", "mint,read"]);
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert!(key.starts_with("tsk_"), "{made}");
    let listed = ask(&daemon, &["api-key", "list"]);
    assert!(listed.stdout.contains(id) && listed.stdout.contains("mint,read"), "{}", listed.stdout);
    assert!(!listed.stdout.contains(key));
    assert_eq!(ask(&daemon, &["api-key", "revoke", id]).code, 0);
    assert_eq!(ask(&daemon, &["api-key", "revoke", id]).code, 1);
    let ended = ask(&daemon, &["api-key", "new", "--name", "app", "--scope", "mnt"]);
    assert_eq!((ended.code, ended.stderr.lines().count()), (1, 1), "{ended:#?}");
    assert!(ended.stderr.contains("scopes"), "{}", ended.stderr);
}

#[test]
fn cert_names_what_is_served_where_tls_is_on() {
    let config = Config { transports: "\"udp\", \"tls\"", ..Config::default() };
    let daemon = Daemon::start(&Config { sections: "[tls]\nmode = \"self-signed\"\n".into(), ..config });
    let answer = ask_json(&daemon, &["cert"]);
    let certificate = &answer["certificates"][0];
    assert_eq!((&answer["tls"], &certificate["source"]), (&true.into(), &"self-signed".into()));
    assert!(certificate["expires_in_s"].as_u64() > Some(300 * 86_400), "{answer}");
    let page = ask(&daemon, &["cert"]).stdout;
    assert!(page.contains("self-signed") && page.contains(certificate["name"].as_str().unwrap()), "{page}");
    let without = Daemon::start(&Config::default());
    assert!(ask(&without, &["cert"]).stdout.contains("no certificate"));
}

#[test]
fn a_backup_of_a_running_daemon_is_restored_once_it_is_stopped() {
    let mut daemon = Daemon::start(&Config::default());
    let made = ask_json(&daemon, &["api-key", "new", "--name", "kept", "--scope", "read"]);
    let folder = Folder::new();
    let (backup, export) = (folder.path().join("b"), folder.path().join("e"));
    let (backup, export) = (backup.to_str().unwrap(), export.to_str().unwrap());
    let ended = ask(&daemon, &["backup", backup]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:#?}");
    assert!(ended.stdout.contains(" records, "), "{}", ended.stdout);
    assert_eq!(ask(&daemon, &["export", export]).code, 0);
    let lines = std::fs::read_to_string(export).unwrap();
    assert!(lines.starts_with("{\"table\":\"api_keys\"") && lines.contains("\"sha256\""), "{lines}");
    let again = ask(&daemon, &["export", "-"]).stdout;
    assert_eq!(again.lines().next(), lines.lines().next(), "usage may have grown, keys have not");
    let ended = ask(&daemon, &["restore", backup]);
    assert_eq!((ended.code, ended.stderr.lines().count()), (1, 1), "a daemon runs: {ended:#?}");

    assert_eq!(ask(&daemon, &["api-key", "revoke", made["id"].as_str().unwrap()]).code, 0);
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.exit_code(PATIENCE), 0);
    let config = daemon.config_path();
    let stopped = |arguments: &[&str]| {
        run_to_end(Command::new(BINARY).args(arguments).arg("--config").arg(&config), PATIENCE)
    };
    assert!(stopped(&["restore", backup, "--dry-run"]).stdout.contains("nothing was changed"));
    let ended = stopped(&["restore", backup]);
    assert!(ended.code == 0 && ended.stdout.contains("api_keys"), "{ended:#?}");
    std::fs::write(export, "no backup").unwrap();
    let ended = stopped(&["restore", export]);
    assert_eq!((ended.code, ended.stderr.lines().count()), (1, 1), "{ended:#?}");
    daemon.start_again();
    let listed = ask_json(&daemon, &["api-key", "list"]);
    assert_eq!(listed["api_keys"][0]["id"], made["id"]);
}
