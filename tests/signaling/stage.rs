//! A daemon that signals, and clients of it.

use crate::daemon::{Config, Daemon, free_port, loopback};
use crate::node::{Client, Node};
use crate::token::Signer;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::SystemTime;

pub(crate) const KEY: &str = "the-key-of-the-tokens-of-these-tests-0001";

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) node: Node,
    pub(crate) daemon: Daemon,
    pub(crate) public: SocketAddr,
}

impl Stage {
    /// `None` where there is no Node; that was said then.
    pub(crate) fn set(test: &str) -> Option<Self> {
        Self::with(test, "")
    }

    /// The same with more sections.
    pub(crate) fn with(test: &str, sections: &str) -> Option<Self> {
        let node = Node::spawn(test)?;
        let (daemon, public) = daemon_with(sections);
        node.await_ready();
        Some(Self { node, daemon, public })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.public)
    }

    /// An unmodified socket.io-client of `user`, over a WebSocket, whose device has the same name.
    #[track_caller]
    pub(crate) fn socketio(&self, user: &str) -> Client<'_> {
        self.socketio_as(user, user, json!({}))
    }

    /// One of several devices of `user`.
    #[track_caller]
    pub(crate) fn socketio_as(&self, user: &str, device: &str, auth: Value) -> Client<'_> {
        let client = self.opening(device, &self.url(), with(token(user), device, auth), websocket());
        in_by_socketio(&client);
        client
    }

    /// A client of which nothing was seen yet.
    pub(crate) fn opening(&self, name: &str, url: &str, auth: Value, options: Value) -> Client<'_> {
        Client::open(&self.node, name, "socket.io", url, auth, options)
    }

    /// Node's `ws` on the plain wire.
    #[track_caller]
    pub(crate) fn plain(&self, user: &str) -> Client<'_> {
        let client = self.opening_plain(user, self.public, json!({ "token": token(user), "device": user }));
        in_by_plain(&client);
        client
    }

    /// Our own client, in, with a device of the same name.
    #[track_caller]
    pub(crate) fn sdk(&self, user: &str) -> Client<'_> {
        let client =
            self.opening_sdk(user, &self.url(), json!({ "token": token(user) }), json!({ "device": user }));
        client.await_seen("connected");
        client
    }

    pub(crate) fn opening_sdk(&self, name: &str, url: &str, auth: Value, mut options: Value) -> Client<'_> {
        options["from"] = self.url().into();
        Client::open(&self.node, name, "sdk", url, auth, options)
    }

    pub(crate) fn opening_plain(&self, name: &str, at: SocketAddr, hello: Value) -> Client<'_> {
        Client::open(&self.node, name, "plain", &format!("ws://{at}/ws"), hello, json!({}))
    }
}

/// A daemon whose tokens are signed by [`KEY`], with a second mount path.
fn daemon_with(more: &str) -> (Daemon, SocketAddr) {
    let public = loopback(free_port());
    let sections = format!(
        "[auth.jwt]\nsecret = \"{KEY}\"\n[signaling]\nsocketio_paths = [\"/socket.io/\", \"/api/socket\"]\n{more}"
    );
    (Daemon::start(&Config { public: Some(public), sections, ..Config::default() }), public)
}

pub(crate) fn websocket() -> Value {
    json!({ "transports": ["websocket"] })
}

#[track_caller]
pub(crate) fn in_by_socketio(client: &Client<'_>) {
    client.see("open");
    client.see("auth");
    client.see("connect");
    client.hear("connection:established");
}

#[track_caller]
pub(crate) fn in_by_plain(client: &Client<'_>) -> Value {
    client.see("open");
    let welcome = client.see("welcome");
    client.hear("connection:established");
    welcome
}

/// For an hour.
pub(crate) fn token(user: &str) -> String {
    token_until(user, now_s() + 3600)
}

pub(crate) fn token_until(user: &str, exp: u64) -> String {
    Signer::secret(KEY).token(&json!({ "sub": user, "exp": exp }))
}

pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs()
}

pub(crate) fn with(token: String, device: &str, mut auth: Value) -> Value {
    auth["token"] = token.into();
    auth["deviceId"] = device.into();
    auth
}
