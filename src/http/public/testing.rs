//! What the tests of the public side share: a server on loopback, its signaling side, clients on raw sockets.

use super::super::testing::{Answer as Response, FakeSources};
use super::*;
use crate::http::signaling::{Answer, Arrival, Inbox, Letter, Request, Wire};
use crate::net::Poller;
use axum::body::Bytes;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// When a test gives up on what should have happened at once.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);

/// A server with a plain listener, and the other end of its door.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) settings: Arc<ArcSwap<PublicSettings>>,
    pub(super) arrivals: Inbox,
    pub(super) hand_over: mpsc::Sender<HandedOver>,
    pub(super) places: Arc<Places>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

/// Places for connections, and whom they were given to.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) free: AtomicUsize,
    pub(super) asked: std::sync::Mutex<Vec<Option<IpAddr>>>,
    given_back: Notify,
}

impl Places {
    fn take(self: &Arc<Self>, source: Option<IpAddr>) -> Option<Box<dyn Any + Send>> {
        self.asked.lock().expect("no test panics in it").push(source);
        let taken = self.free.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |free| free.checked_sub(1));
        taken.ok().map(|_| Box::new(Place(Arc::clone(self))) as Box<dyn Any + Send>)
    }

    /// Waits until `count` places are free.
    pub(super) async fn until_free(&self, count: usize) {
        let free = async {
            while self.free.load(Ordering::SeqCst) != count {
                self.given_back.notified().await;
            }
        };
        timeout(PATIENCE, free).await.expect("the places are given back");
    }
}

struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Ordering::SeqCst);
        self.0.given_back.notify_one();
    }
}

/// Signaling at `/socket.io/` and `/api/socket`, messages of 1,000 bytes, pages of this server only.
pub(super) fn settings() -> PublicSettings {
    let rules = SignalingRules {
        socketio_paths: vec!["/socket.io/".into(), "/api/socket".into()],
        message_bytes_max: 1_000,
        ..SignalingRules::default()
    };
    PublicSettings { signaling: Some(rules), ..PublicSettings::default() }
}

/// The same with pages of these origins.
pub(super) fn with_origins(origins: Origins) -> PublicSettings {
    let mut settings = settings();
    settings.signaling.as_mut().expect("it is on").origins = origins;
    settings
}

impl Running {
    pub(super) fn start() -> Self {
        Self::with(settings(), bounds(), 1_000)
    }

    pub(super) fn with(settings: PublicSettings, bounds: Bounds, places: usize) -> Self {
        let asked = PublicSettings { address: Some((Ipv4Addr::LOCALHOST, 0).into()), ..settings };
        let listener = asked.bind().expect("loopback has a free port").expect("asked for");
        let address = listener.local_addr().expect("bound");
        let settings = Arc::new(ArcSwap::from_pointee(asked));
        let poller = Poller::new().expect("a poller");
        let (door, arrivals) = Door::with_room(2, poller.waker());
        let (hand_over, handed_over) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel::<()>();
        let places = Arc::new(Places { free: AtomicUsize::new(places), ..Places::default() });
        let admitting = Arc::clone(&places);
        let public = Public {
            settings: Arc::clone(&settings),
            door: Some(door),
            admit: Box::new(move |source| admitting.take(source)),
            sources: Arc::new(FakeSources::with_workers(1)),
            services: None,
        };
        let task = tokio::spawn(async move {
            let stopped = async { stopped.await.unwrap_or(()) };
            serve_bounded(Some(listener), handed_over, public, bounds, stopped).await
        });
        Self { address, settings, arrivals, hand_over, places, stop, task }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("listens")
    }

    /// A connection on which these bytes were sent.
    pub(super) async fn sent(&self, bytes: impl AsRef<[u8]>) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_ref()).await.expect("sent");
        stream
    }

    /// The whole answer to a request that is not handed on. `head`: its first line and headers, without `Host`.
    pub(super) async fn ask(&self, head: &str) -> Response {
        let mut stream = self.sent(self.head(head)).await;
        timeout(PATIENCE, Response::read(&mut stream)).await.expect("answered and closed")
    }

    /// A whole head: these lines, our `Host`, and the wish to close.
    pub(super) fn head(&self, head: &str) -> String {
        let address = self.address;
        let lines = head.trim_end().replace('\n', "\r\n");
        format!("{lines}\r\nHost: {address}\r\nConnection: close\r\n\r\n")
    }

    /// What comes to the signaling side next.
    pub(super) async fn next(&mut self) -> Request {
        loop {
            let letter = timeout(PATIENCE, self.arrivals.recv()).await.expect("in time").expect("it runs");
            if let Letter::Request(request) = letter {
                return *request;
            }
        }
    }

    /// The next poll.
    pub(super) async fn next_get(&mut self) -> (Arrival, oneshot::Sender<Answer>) {
        match self.next().await {
            Request::Get { about, reply } => (about, reply),
            _ => panic!("no poll"),
        }
    }

    /// The next packets of a client that polls.
    pub(super) async fn next_post(&mut self) -> (Arrival, Bytes, oneshot::Sender<Answer>) {
        match self.next().await {
            Request::Post { about, body, reply } => (about, body, reply),
            _ => panic!("no POST"),
        }
    }

    /// The next WebSocket.
    pub(super) async fn next_websocket(&mut self) -> (Arrival, Wire, HandedOver) {
        match self.next().await {
            Request::WebSocket { about, wire, connection } => (about, wire, connection),
            _ => panic!("no WebSocket"),
        }
    }

    pub(super) fn stop(self) -> JoinHandle<io::Result<()>> {
        self.stop.send(()).expect("it runs");
        self.task
    }
}

/// The answer of the signaling side.
pub(super) fn ok(body: &'static str) -> Answer {
    Answer {
        status: 200,
        content_type: "text/plain; charset=UTF-8",
        body: Bytes::from_static(body.as_bytes()),
    }
}

/// Reads up to the end of a head, and what came right behind it.
pub(super) async fn read_head(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    let read = async {
        loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = bytes.split_off(end + 4);
                return (String::from_utf8(bytes).expect("text").to_ascii_lowercase(), rest);
            }
            assert!(stream.read_buf(&mut bytes).await.expect("open") > 0, "closed after {bytes:?}");
        }
    };
    timeout(PATIENCE, read).await.expect("answered")
}

/// Reads until the server closes, which it must.
pub(super) async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is a close as well.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server closes");
    bytes
}
