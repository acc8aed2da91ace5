//! Credentials from the API of the real binary, used at its relay and taken back.

use crate::caller::Caller;
use crate::daemon::{Config, Daemon, Folder, free_port, loopback};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

const ICE_SERVERS: &str = "/v1/ice-servers";
const PAGE: &str = "https://app.example.org";

struct Api {
    daemon: Daemon,
    public: SocketAddr,
}

impl Api {
    #[track_caller]
    fn start(config: Config) -> Self {
        let public = loopback(free_port());
        Self { daemon: Daemon::start(&Config { public: Some(public), ..config }), public }
    }

    /// Status, head in lower case and JSON of a request on the public side.
    fn public(&self, method: &str, path: &str, lines: &[&str], body: &str) -> (u16, String, Value) {
        ask(TcpStream::connect(self.public).unwrap(), method, path, lines, body)
    }

    fn operator(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let socket = UnixStream::connect(self.daemon.socket_path()).unwrap();
        let (status, _, json) = ask(socket, method, path, &[], body);
        (status, json)
    }

    /// The line with a new key of this scope.
    fn key(&self, scope: &str) -> String {
        let (status, made) =
            self.operator("POST", "/v1/api-keys", &json!({ "name": "t", "scopes": [scope] }).to_string());
        assert_eq!(status, 201, "{made}");
        format!("Authorization: Bearer {}", made["key"].as_str().unwrap())
    }

    /// Username and password of a credential.
    fn mint(&self, key: &str, body: Value) -> (String, String) {
        let (status, _, made) = self.public("POST", ICE_SERVERS, &[key], &body.to_string());
        assert_eq!(status, 201, "{made}");
        let turn = &made["iceServers"][1];
        let text = |name: &str| turn[name].as_str().unwrap().to_owned();
        (text("username"), text("credential"))
    }
}

/// Status, head in lower case and JSON of a request.
pub(crate) fn ask(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    lines: &[&str],
    body: &str,
) -> (u16, String, Value) {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{lines}\r\n"
    );
    stream.write_all((head + body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), serde_json::from_str(body).unwrap_or_default())
}

fn of(api: &Api, credential: &(String, String)) -> Caller {
    Caller::of(api.daemon.server, &credential.0, &credential.1)
}

#[test]
fn a_minted_credential_relays_until_it_is_revoked_and_a_ban_outlives_the_daemon() {
    let storage = Folder::new();
    let config = Config { storage: storage.path().display().to_string(), ..Config::default() };
    let api = Api::start(config.clone());
    let key = api.key("mint");
    let (alice, carol) =
        (api.mint(&key, json!({ "user": "alice2" })), api.mint(&key, json!({ "user": "carol" })));
    let (mut hers, mut others) = (of(&api, &alice), of(&api, &carol));
    hers.allocate();
    others.allocate();
    api.daemon.await_allocations(2);

    let (status, said) = api.operator("POST", "/v1/credentials/revoke", r#"{"subject":"alice2"}"#);
    assert_eq!((status, &said["sessions_ended"]), (200, &json!(1)), "{said}");
    api.daemon.await_allocations(1);
    assert_eq!(of(&api, &alice).try_allocate(&[]).code, 401, "what was minted before is void");
    of(&api, &api.mint(&key, json!({ "user": "alice2" }))).allocate();
    of(&api, &carol).allocate();

    let (status, _) = api.operator("POST", "/v1/credentials/revoke", r#"{"subject":"carol","ban":true}"#);
    assert_eq!(status, 200);
    api.daemon.signal(libc::SIGKILL);
    drop(api);
    let api = Api::start(config);
    assert_eq!(of(&api, &carol).try_allocate(&[]).code, 401, "known before the first client comes");
    let (status, _, refused) = api.public("POST", ICE_SERVERS, &[&key], r#"{"user":"carol"}"#);
    assert_eq!((status, &refused["code"]), (403, &json!("banned")));
    of(&api, &api.mint(&key, json!({ "user": "alice2" }))).allocate();
}

#[test]
fn a_stored_user_relays_at_once_and_after_a_reload_and_goes_with_its_sessions() {
    let api = Api::start(Config::default());
    let add = r#"{"name":"eve/1","password":"a long password"}"#;
    let (status, made) = api.operator("POST", "/v1/users", add);
    assert_eq!(status, 201, "{made}");
    let eve = || Caller::of(api.daemon.server, "eve/1", "a long password");
    eve().allocate();
    let reloads = "turnstone_config_last_reload_successful";
    api.daemon.signal(libc::SIGHUP);
    api.daemon.await_metric(reloads, |value| value == 1.0);
    eve().allocate();
    let (status, refused) = api.operator("POST", "/v1/users", r#"{"name":"alice","password":"p"}"#);
    assert_eq!((status, &refused["code"]), (409, &json!("in_config")));
    api.daemon.await_allocations(2);
    assert_eq!(api.operator("DELETE", "/v1/users/eve%2F1", "").0, 204);
    api.daemon.await_allocations(0);
    assert_eq!(eve().try_allocate(&[]).code, 401);
}

#[test]
fn pages_of_allowed_origins_may_mint_and_others_may_not() {
    let sections = format!("[signaling]\norigins = [\"{PAGE}\"]\n");
    let api = Api::start(Config { sections, ..Config::default() });
    let key = api.key("mint");
    let (own, foreign) = (format!("Origin: {PAGE}"), "Origin: https://evil.example");
    let preflight =
        [&*own, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization"];
    let (status, head, _) = api.public("OPTIONS", ICE_SERVERS, &preflight, "");
    assert_eq!(status, 204, "{head}");
    for line in [
        &*format!("access-control-allow-origin: {PAGE}"),
        "access-control-allow-headers: content-type, authorization",
    ] {
        assert!(head.contains(line), "no {line} in {head}");
    }
    let (status, head, _) = api.public("POST", ICE_SERVERS, &[&own, &key], "");
    assert_eq!(status, 201, "{head}");
    assert!(
        head.contains(&format!("access-control-allow-origin: {PAGE}"))
            && head.contains("cache-control: no-store")
    );
    for method in ["OPTIONS", "POST"] {
        let (status, head, refused) = api.public(method, ICE_SERVERS, &[foreign, &key], "");
        assert_eq!((status, &refused["code"]), (403, &json!("forbidden")), "{method}");
        assert!(!head.contains("access-control-allow-origin"), "{head}");
    }
}

#[test]
fn urls_are_those_of_doors_and_bad_keys_have_to_wait() {
    let api = Api::start(Config::default().limits("mints_per_source = \"1/s\""));
    let key = api.key("mint");
    let (_, _, made) = api.public("POST", ICE_SERVERS, &[&key], "");
    let server = api.daemon.server;
    let urls = json!([format!("turn:{server}?transport=udp"), format!("turn:{server}?transport=tcp")]);
    assert_eq!(
        (&made["iceServers"][0]["urls"], &made["iceServers"][1]["urls"]),
        (&json!([format!("stun:{server}")]), &urls)
    );
    let refused = (0..100).map(|_| api.public("POST", ICE_SERVERS, &["Authorization: Bearer tsk_x"], ""));
    let statuses: Vec<_> = refused.take_while(|(status, ..)| *status == 401).collect();
    assert!((4..100).contains(&statuses.len()), "{}", statuses.len());
    assert_eq!(api.public("POST", ICE_SERVERS, &[&key], "").0, 201, "a good key never has to");
    let minted = "turnstone_credentials_minted_total{by=\"key\"}";
    assert_eq!(api.daemon.metrics().get(minted), 2.0);
    let log = api.daemon.log();
    assert!(!log.iter().any(|line| line.contains("tsk_")), "{log:#?}");
}
