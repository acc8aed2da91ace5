//! The daemon that browsers come to: TURN over UDP, TCP and TLS on one port, with signaling and the test page.

use crate::daemon::{Config, Daemon, eventually, free_port, loopback};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Signs the tokens of its users.
pub(crate) const JWT_SECRET: &str = "a-secret-of-at-least-32-characters-00002";

pub(crate) struct House {
    pub(crate) daemon: Daemon,
    pub(crate) public: SocketAddr,
}

impl House {
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::with("mode = \"self-signed\"")
    }

    /// One with other lines in `[tls]`.
    #[track_caller]
    pub(crate) fn with(tls: &str) -> Self {
        let public = loopback(free_port());
        let sections = format!("[auth.jwt]\nsecret = \"{JWT_SECRET}\"\n[tls]\n{tls}\n");
        let config = Config {
            transports: "\"udp\", \"tcp\", \"tls\"",
            sections,
            public: Some(public),
            ..Config::default()
        };
        let text = config.text().replace("[http]\n", "[http]\ntest_page = true\n");
        Self { daemon: Daemon::start_text(&config, &text, 200), public }
    }

    /// What every script needs to know.
    pub(crate) fn facts(&self) -> Value {
        let server = self.daemon.server;
        json!({
            "base": format!("http://localhost:{}", self.public.port()),
            "secure_base": format!("https://localhost:{}", server.port()),
            "key": self.key("mint"),
            "urls": [
                format!("stun:{server}"), format!("turn:{server}?transport=udp"),
                format!("turn:{server}?transport=tcp"), format!("turns:{server}?transport=tcp"),
            ],
        })
    }

    /// A new API key of this scope.
    pub(crate) fn key(&self, scope: &str) -> String {
        let made = self.operator(
            "POST",
            "/v1/api-keys",
            &json!({ "name": "browser", "scopes": [scope] }).to_string(),
        );
        made["key"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
    }

    /// What the admin socket answers.
    pub(crate) fn operator(&self, method: &str, path: &str, body: &str) -> Value {
        let mut socket = UnixStream::connect(self.daemon.socket_path()).unwrap();
        let length = body.len();
        write!(
            socket,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_default()
    }

    /// Waits until no relay session is left, for the six seconds that a call may take to be taken down.
    #[track_caller]
    pub(crate) fn await_no_sessions(&self) {
        eventually(Duration::from_secs(6), "no sessions", || {
            let listed = self.operator("GET", "/v1/sessions", "");
            let sessions = listed["sessions"].as_array().unwrap_or_else(|| panic!("{listed}"));
            sessions.is_empty().then_some(())
        });
    }
}
