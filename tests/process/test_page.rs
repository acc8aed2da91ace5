//! The test page is there when the config says so, and gives nothing to strangers.

use crate::daemon::{Config, Daemon, PATIENCE, eventually, free_port, loopback};
use crate::minting::ask;
use serde_json::{Value, json};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

const JWT: &str = "[auth.jwt]\nsecret = \"a-secret-of-at-least-32-characters-00002\"\n";
const PARTICIPANTS: &str = "/test/participants";
const PATHS: [&str; 3] = ["/test", "/test/test.js", "/test/test.css"];

/// Status, head in lower case and JSON of a request on the public side.
fn public(config: &Config, method: &str, path: &str, lines: &[&str]) -> (u16, String, Value) {
    ask(TcpStream::connect(config.public.unwrap()).unwrap(), method, path, lines, "")
}

/// The line with a new key of this scope.
fn key(daemon: &Daemon, scope: &str) -> String {
    let socket = UnixStream::connect(daemon.socket_path()).unwrap();
    let body = json!({ "name": "t", "scopes": [scope] }).to_string();
    let (_, _, made) = ask(socket, "POST", "/v1/api-keys", &[], &body);
    format!("Authorization: Bearer {}", made["key"].as_str().unwrap())
}

fn with_page(config: &Config, is_on: bool) -> String {
    config.text().replace("[http]\n", &format!("[http]\ntest_page = {is_on}\n"))
}

#[test]
fn it_is_off_unless_configured_and_a_reload_switches_it() {
    let config = Config { public: Some(loopback(free_port())), sections: JWT.into(), ..Config::default() };
    let daemon = Daemon::start(&config);
    let mint = key(&daemon, "mint");
    for (method, path) in PATHS.map(|path| ("GET", path)).into_iter().chain([
        ("POST", PARTICIPANTS),
        ("PUT", "/test"),
        ("OPTIONS", PARTICIPANTS),
        ("GET", "/test/"),
    ]) {
        let (status, _, problem) = public(&config, method, path, &[&mint]);
        assert_eq!((status, &problem["code"]), (404, &json!("not_found")), "{method} {path}");
    }
    daemon.write_config(&with_page(&config, true));
    daemon.signal(libc::SIGHUP);
    eventually(PATIENCE, "the page", || (public(&config, "GET", "/test", &[]).0 == 200).then_some(()));
    for (path, kind) in PATHS.into_iter().zip(["text/html", "text/javascript", "text/css"]) {
        let (status, head, _) = public(&config, "GET", path, &[]);
        assert_eq!(status, 200, "{path}");
        for header in
            [&*format!("content-type: {kind}"), "nosniff", "referrer-policy: no-referrer", "etag: \""]
        {
            assert!(head.contains(header), "{path}: {header} in {head}");
        }
        assert!(head.contains("content-security-policy: default-src 'none'"), "{path}: {head}");
    }
    assert_eq!(public(&config, "POST", PARTICIPANTS, &[]).0, 401);
    assert_eq!(public(&config, "POST", PARTICIPANTS, &[&key(&daemon, "read")]).0, 403);
    let foreign = [&*mint, "Origin: https://evil.example"];
    assert_eq!(public(&config, "POST", PARTICIPANTS, &foreign).0, 403);
    let (status, _, made) = public(&config, "POST", PARTICIPANTS, &[&mint]);
    assert_eq!((status, &made["expires_in_s"]), (201, &json!(600)), "{made}");

    daemon.write_config(&with_page(&config, false));
    daemon.signal(libc::SIGHUP);
    eventually(PATIENCE, "no page", || (public(&config, "GET", "/test", &[]).0 == 404).then_some(()));
}

#[test]
fn without_a_shared_secret_the_page_hears_that_it_needs_tokens_of_the_issuer() {
    let config = Config { public: Some(loopback(free_port())), ..Config::default() };
    let daemon = Daemon::start_text(&config, &with_page(&config, true), 200);
    let (status, _, problem) = public(&config, "POST", PARTICIPANTS, &[&key(&daemon, "mint")]);
    assert_eq!((status, &problem["code"]), (409, &json!("no_jwt_secret")), "{problem}");
}
