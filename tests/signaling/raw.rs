//! The fixture of the public protocol suites, and clients that say exactly what a test writes.

use crate::daemon::{PATIENCE, loopback};
use crate::fixture::Fixture;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use tokio::runtime::Runtime;
use tungstenite::{Message, WebSocket};
use turnstone::base::Random;
use turnstone::http::serve_fixture;
use turnstone::http::signaling::{DriverSettings, Gate, Setup, Signaling};
use turnstone::net::Clock;

/// What answers without the hub: an echo at `/engine.io/`, or the namespaces `/` and `/custom` at `/socket.io/`.
pub(crate) struct Server {
    address: SocketAddr,
    path: &'static str,
    signaling: Option<Signaling>,
    runtime: Option<Runtime>,
}

impl Server {
    pub(crate) fn echo(settings: DriverSettings) -> Self {
        Self::start("/engine.io/", DriverSettings { echo: true, ..settings })
    }

    pub(crate) fn socketio(settings: DriverSettings) -> Self {
        let namespaces = vec!["/".into(), "/custom".into()];
        Self::start("/socket.io/", DriverSettings { namespaces, ..settings })
    }

    fn start(path: &'static str, settings: DriverSettings) -> Self {
        let signaling = Signaling::start(Setup {
            settings,
            backend: Box::<Fixture>::default(),
            gate: Gate::Open,
            random: Random::seeded(7),
            clock: Clock::start(),
            news: None,
            keeping: None,
        })
        .expect("a thread");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket option");
        let address = loopback(listener.local_addr().expect("bound").port());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        runtime.spawn(serve_fixture(listener, path, signaling.door()));
        Self { address, path, signaling: Some(signaling), runtime: Some(runtime) }
    }

    /// Sends a request that is not answered yet.
    pub(crate) fn ask(&self, method: &str, query: &str, body: &str) -> Pending {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        let (path, length) = (self.path, body.len());
        let head = format!(
            "{method} {path}?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        // A server that answers too long a body may close while it is still sent. What it said is there to read.
        let _broken = stream.write_all(head.as_bytes());
        Pending(stream)
    }

    #[track_caller]
    pub(crate) fn get(&self, query: &str) -> (u16, String) {
        self.ask("GET", query, "").answer()
    }

    /// The answer to a poll.
    #[track_caller]
    pub(crate) fn poll(&self, sid: &str) -> String {
        let (status, body) = self.get(&of(sid));
        assert_eq!(status, 200, "{body}");
        body
    }

    #[track_caller]
    pub(crate) fn post(&self, sid: &str, body: &str) -> (u16, String) {
        self.ask("POST", &of(sid), body).answer()
    }

    /// Packets that are taken.
    #[track_caller]
    pub(crate) fn push(&self, sid: &str, body: &str) {
        assert_eq!(self.post(sid, body), (200, "ok".into()), "{body}");
    }

    /// A session by polling. Returns its name.
    #[track_caller]
    pub(crate) fn open(&self) -> String {
        let (status, body) = self.get("EIO=4&transport=polling");
        assert_eq!(status, 200, "{body}");
        sid_of(&body)
    }

    /// A WebSocket, of a session or for one of its own.
    #[track_caller]
    pub(crate) fn websocket(&self, sid: Option<&str>) -> Socket {
        let sid = sid.map(|sid| format!("&sid={sid}")).unwrap_or_default();
        let url = format!("ws://{}{}?EIO=4&transport=websocket{sid}", self.address, self.path);
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        Socket(tungstenite::client(url, stream).expect("101").0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(signaling) = self.signaling.take() {
            signaling.stop();
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The query of a poll of this session.
pub(crate) fn of(sid: &str) -> String {
    format!("EIO=4&transport=polling&sid={sid}")
}

/// The name of a session in its open packet.
#[track_caller]
pub(crate) fn sid_of(packet: &str) -> String {
    let open: serde_json::Value =
        serde_json::from_str(packet.strip_prefix('0').expect("open")).expect("JSON");
    open["sid"].as_str().expect("a name").to_owned()
}

/// A request whose answer may take its time.
pub(crate) struct Pending(TcpStream);

impl Pending {
    /// Status and body.
    #[track_caller]
    pub(crate) fn answer(mut self) -> (u16, String) {
        let mut text = String::new();
        // After an error the server may close before it has read everything.
        let _reset = self.0.read_to_string(&mut text);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    /// Goes away without the answer, and waits until the server has seen that.
    pub(crate) fn abandon(mut self) {
        self.0.shutdown(std::net::Shutdown::Write).expect("open");
        let mut rest = Vec::new();
        let _reset = self.0.read_to_end(&mut rest);
        assert_eq!(rest, b"", "there was an answer");
    }
}

/// A WebSocket of text and bytes.
pub(crate) struct Socket(WebSocket<TcpStream>);

impl Socket {
    #[track_caller]
    pub(crate) fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).expect("open");
    }

    #[track_caller]
    pub(crate) fn say_bytes(&mut self, bytes: &[u8]) {
        self.0.send(Message::binary(bytes.to_vec())).expect("open");
    }

    /// The next message, which is text.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> String {
        match self.0.read().expect("a message") {
            Message::Text(text) => text.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn hear_bytes(&mut self) -> Vec<u8> {
        match self.0.read().expect("a message") {
            Message::Binary(bytes) => bytes.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    /// Waits for its end, which comes after whatever `passes`. Returns the code of the close frame, if there was one.
    #[track_caller]
    pub(crate) fn expect_end(&mut self, passes: &[&str]) -> Option<u16> {
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) if passes.contains(&text.as_str()) => {}
                Ok(Message::Close(frame)) => return frame.map(|frame| frame.code.into()),
                Ok(other) => panic!("{other:?}"),
                Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("it does not end")
                }
                Err(_) => return None,
            }
        }
    }

    pub(crate) fn close(mut self) {
        self.0.close(None).expect("open");
        while self.0.read().is_ok() {}
    }
}

/// Times that no test waits for.
pub(crate) fn calm() -> DriverSettings {
    DriverSettings { message_bytes_max: 10_000, ..DriverSettings::default() }
}

/// Pings that come soon.
pub(crate) fn lively() -> DriverSettings {
    DriverSettings {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(1_500),
        ..calm()
    }
}
