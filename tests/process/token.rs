//! `turnstone token`: what it signs lets a client in, and what it cannot sign it says.

use crate::daemon::{BINARY, Config, Daemon, PATIENCE, free_port, loopback, run_to_end, verb};
use crate::polling::Polling;
use std::process::Command;

pub(crate) const JWT: &str = "[auth.jwt]\nsecret = \"a-secret-for-tokens-of-32-characters\"\n";

pub(crate) fn public() -> Config {
    Config { public: Some(loopback(free_port())), sections: JWT.into(), ..Config::default() }
}

/// A token of `user` by the verb.
pub(crate) fn token(daemon: &Daemon, user: &str, more: &[&str]) -> String {
    let mut command = Command::new(BINARY);
    let command =
        command.args(["token", "new", "--user", user]).args(more).arg("--config").arg(daemon.config_path());
    let ended = run_to_end(command, PATIENCE);
    assert_eq!(ended.code, 0, "{ended:#?}");
    ended.stdout.trim().to_owned()
}

#[test]
fn a_signed_token_lets_its_user_in_and_into_its_rooms() {
    let config = Config {
        sections: format!("[signaling]\nopen_rooms = false\n{JWT}issuer = \"i\"\naudience = \"a\"\n"),
        ..public()
    };
    let daemon = Daemon::start(&config);
    let more = [
        "--device", "phone", "--name", "Alice", "--ttl", "5m", "--room", "lobby", "--room", "team-*",
        "--json",
    ];
    let said: serde_json::Value = serde_json::from_str(&token(&daemon, "alice", &more)).unwrap();
    assert_eq!((&said["user"], &said["ttl"]), (&"alice".into(), &300.into()));
    assert_eq!(said["socket_io"][0], format!("http://{}/socket.io/", config.public.unwrap()));
    let mut alice = Polling::open(config.public.unwrap(), "/socket.io/");
    assert!(alice.connect("/", said["token"].as_str().unwrap())["sid"].is_string());
    let established = alice.await_event("connection:established");
    assert_eq!((&established[0]["user"], &established[0]["device"]), (&"alice".into(), &"phone".into()));
    alice.post("42[\"room:join\",{\"room\":\"team-7\"}]");
    alice.post("42[\"room:join\",{\"room\":\"elsewhere\"}]");
    let error = alice.await_event("error");
    assert_eq!((&error[0]["code"], &error[0]["event"]), (&"forbidden".into(), &"room:join".into()));
}

#[test]
fn without_a_secret_it_is_one_sentence_that_says_where_to_get_a_token() {
    let new = ["token", "new", "--user", "alice"];
    let ended = verb(&new, &Config::default().text());
    assert_eq!(ended.code, 2, "{ended:#?}");
    assert!(ended.stderr.contains("[auth.jwt] names no key: add secret"), "{}", ended.stderr);
    let url = "[auth.jwt]\njwks_url = \"http://127.0.0.1:9/keys\"\naudience = \"a\"\n";
    let ended = verb(&new, &Config { sections: url.into(), ..Config::default() }.text());
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    assert!(ended.stderr.contains("ask their issuer"), "{}", ended.stderr);
}

#[test]
fn what_no_token_may_say_is_refused_with_the_argument_at_fault() {
    let long = "x".repeat(129);
    for (arguments, what) in [
        (["--user", &long, "--ttl", "1m"], "--user must have 1 to 128 bytes"),
        (["--user", "a", "--device", ""], "--device and each --room"),
        (["--user", "a", "--ttl", "25h"], "at most auth.max_ttl = 1day"),
        (["--user", "a", "--ttl", "0s"], "--ttl must be at least 1s"),
    ] {
        let all: Vec<&str> = ["token", "new"].into_iter().chain(arguments).collect();
        let ended = verb(&all, &public().text());
        assert_eq!(ended.code, 2, "{ended:#?}");
        assert!(ended.stderr.contains(what), "{}", ended.stderr);
    }
}
