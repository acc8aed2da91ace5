//! What a verb has to say is said, or the verb has failed.

use crate::daemon::{
    BINARY, Config, Daemon, Ended, Folder, PATIENCE, eventually, run_to_end, send_signal, wait,
};
use crate::verbs::{ask, ask_json};
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

/// Runs a verb whose standard output is `sink`.
#[track_caller]
fn into(sink: &str, daemon: &Daemon, arguments: &[&str]) -> Ended {
    let script = format!("exec \"$@\" > {sink}");
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh", BINARY]).args(arguments);
    run_to_end(command.arg("--config").arg(daemon.config_path()), PATIENCE)
}

#[test]
fn a_verb_that_cannot_say_what_it_found_has_failed() {
    let daemon = Daemon::start(
        &Config::default().auth("[auth.jwt]\nsecret = \"a-secret-of-32-characters-or-more-1\""),
    );
    for verb in [
        &["status"][..],
        &["status", "--json"],
        &["usage", "--json"],
        &["usage", "--format", "csv"],
        &["sessions"],
        &["user", "list"],
        &["secret", "list"],
        &["check-config"],
        &["credentials", "new", "--subject", "alice"],
        &["token", "new", "--user", "alice"],
        &["export", "-"],
        &["version"],
    ] {
        let ended = into("/dev/full", &daemon, verb);
        assert_eq!((ended.code, ended.stderr.lines().count()), (1, 1), "{verb:?}: {ended:#?}");
        assert!(ended.stderr.contains("standard output: No space left"), "{verb:?}: {}", ended.stderr);
    }
}

#[test]
fn a_key_that_could_not_be_shown_is_named_with_the_way_to_take_it_away() {
    let daemon = Daemon::start(&Config::default());
    for json in [&[][..], &["--json"]] {
        let verb = [&["api-key", "new", "--name", "app", "--scope", "read"], json].concat();
        let ended = into("/dev/full", &daemon, &verb);
        assert_eq!((ended.code, ended.stderr.lines().count()), (1, 1), "{ended:#?}");
        let listed = ask_json(&daemon, &["api-key", "list"]);
        let id = listed["api_keys"][0]["id"].as_str().unwrap();
        assert!(ended.stderr.contains(&format!("turnstone api-key revoke {id}")), "{}", ended.stderr);
        assert_eq!(ask(&daemon, &["api-key", "revoke", id]).code, 0);
    }
}

#[test]
fn a_reader_that_has_seen_enough_ends_a_verb_in_peace() {
    let daemon = Daemon::start(&Config::default());
    let follow = ["events", "--follow", "--types", "drain"];
    let mut command = Command::new(BINARY);
    command.args(follow).arg("--config").arg(daemon.config_path());
    let mut events = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(events.stdout.take().unwrap());
    // The stream may not have begun by the first.
    let (first, line) = std::sync::mpsc::sync_channel(1);
    let reader = std::thread::spawn(move || {
        let mut line = String::new();
        let read = out.read_line(&mut line);
        first.send(line).unwrap();
        read.map(drop)
    });
    let line = eventually(PATIENCE, "an event", || {
        assert_eq!(ask(&daemon, &["drain"]).code, 0);
        line.try_recv().ok()
    });
    assert!(line.contains("drain"), "{line}");
    reader.join().unwrap().unwrap();
    let status = eventually(PATIENCE, "it ends", || {
        assert_eq!(ask(&daemon, &["drain"]).code, 0);
        events.try_wait().unwrap()
    });
    let stderr = std::io::read_to_string(events.stderr.take().unwrap()).unwrap();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn an_interrupted_copy_leaves_nothing_behind() {
    let folder = Folder::new();
    // A daemon that is slow to say what it has: it never does.
    let config = folder.write("turnstone.toml", &Config::default().text());
    let socket = UnixListener::bind(folder.path().join("admin.sock")).unwrap();
    let copies = folder.path().join("copies");
    std::fs::create_dir(&copies).unwrap();
    for (verb, signal) in [("backup", libc::SIGINT), ("export", libc::SIGTERM)] {
        let mut command = Command::new(BINARY);
        command.arg(verb).arg(copies.join("copy")).arg("--config").arg(&config);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        // It has begun when it asks, and the partial file is there then.
        let asking = socket.accept().unwrap();
        assert_eq!(std::fs::read_dir(&copies).unwrap().count(), 1, "{verb}");
        send_signal(&child, signal);
        let status = wait(&mut child, PATIENCE).expect("it ends");
        let stderr = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
        assert_eq!((status.code(), stderr.as_str()), (Some(1), "turnstone: interrupted\n"), "{verb}");
        assert_eq!(std::fs::read_dir(&copies).unwrap().count(), 0, "{verb}");
        drop(asking);
    }
}
