//! A bounded HTTP/1.1 server: accepts, limits and ends connections; knows nothing of their content.
//!
//! `hyper` directly rather than `axum::serve`, which sets no header deadline, no cap on connections
//! and no limit on how long a peer may take to read an answer.

use super::api::Source;
use crate::net::tcp;
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Bounds of one server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Open connections; one more is closed at once.
    pub(super) connections: usize,
    /// From the first wait for a request until its header is complete; also ends idle connections.
    pub(super) header_read: Duration,
    /// Age at which a connection gets no further request, which bounds slow readers too.
    pub(super) connection_age: Duration,
    /// Time that a request under way has to finish after its connection's age.
    pub(super) last_request: Duration,
    /// The same at shutdown.
    pub(super) finish: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 64,
            header_read: Duration::from_secs(10),
            connection_age: Duration::from_secs(60),
            last_request: Duration::from_secs(5),
            finish: Duration::from_secs(5),
        }
    }
}

const HEADERS_MAX: usize = 64;
/// Bytes of a request's line and headers together.
pub(super) const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Out of descriptors or memory: the next accept would fail as well, so it must not spin.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Among the extensions of an answer that goes on until its reader or the daemon ends: its connection may grow older
/// than others for as long as it does. Whoever answers so bounds how many there are.
#[derive(Clone, Debug)]
pub(super) struct Endless(watch::Receiver<()>);

/// An endless answer goes on until this is dropped. What its reader has not taken then, it has to take soon.
#[derive(Debug)]
pub(super) struct GoesOn {
    _held: watch::Sender<()>,
}

impl Endless {
    /// An answer that has just begun.
    pub(super) fn begin() -> (Self, GoesOn) {
        let (held, endless) = watch::channel(());
        (Self(endless), GoesOn { _held: held })
    }

    async fn ended(mut self) {
        while self.0.changed().await.is_ok() {}
    }
}

/// Serves until `shutdown` is over, then lets requests under way finish within `bounds.finish`.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    shutdown: impl Future<Output = ()>,
) {
    let mut connections = Connections::new(bounds);
    let mut accepting = Accepting::new(Some(listener), "the admin listener");
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            () = connections.one_ended() => {}
            (stream, from) = accepting.next() => {
                if connections.has_room() {
                    let router = TowerToHyperService::new(router.clone());
                    let service = service_fn(move |mut request: Request<Incoming>| {
                        request.extensions_mut().insert(Source(from.ip().to_canonical()));
                        router.call(request)
                    });
                    connections.serve(stream, service);
                }
            }
        }
    }
    drop(accepting);
    connections.finish().await;
}

/// A listener whose failures are told once and bring nothing to an end.
pub(super) struct Accepting {
    listener: Option<TcpListener>,
    name: &'static str,
    fails: bool,
}

impl Accepting {
    /// `name`: what the log calls it. Without a listener nobody ever comes.
    pub(super) fn new(listener: Option<TcpListener>, name: &'static str) -> Self {
        Self { listener, name, fails: false }
    }

    /// The next connection. Dropped while it waits, it loses none.
    pub(super) async fn next(&mut self) -> (TcpStream, SocketAddr) {
        let Self { listener: Some(listener), name, fails } = self else { return pending().await };
        loop {
            match listener.accept().await {
                Ok(accepted) => {
                    *fails = false;
                    return accepted;
                }
                Err(error) if tcp::is_of_one_connection(&error) => {}
                Err(error) => {
                    if !std::mem::replace(fails, true) {
                        tracing::warn!(%error, "{name} cannot accept, trying on");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// The connections of one server.
pub(super) struct Connections {
    bounds: Bounds,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Connections {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, tasks: JoinSet::new(), stop: watch::Sender::new(false) }
    }

    /// Whether one more may be served.
    pub(super) fn has_room(&self) -> bool {
        self.tasks.len() < self.bounds.connections
    }

    /// Waits until one has ended; for ever while there is none.
    pub(super) async fn one_ended(&mut self) {
        if self.tasks.join_next().await.is_none() {
            pending().await
        }
    }

    /// Serves one more.
    pub(super) fn serve<T, S>(&mut self, stream: T, service: S)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Send + 'static,
        S::Future: Send,
    {
        self.tasks.spawn(connection(stream, service, self.bounds, self.stop.subscribe()));
    }

    /// Lets requests under way finish.
    pub(super) async fn finish(mut self) {
        self.stop.send_replace(true);
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        // Each connection bounds itself by `finish`; the second one is for the scheduler.
        if timeout(self.bounds.finish.saturating_mul(2), all_ended).await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}

/// Errors of a connection go nowhere: whoever can reach the port can cause them at will.
async fn connection<T, S>(stream: T, service: S, bounds: Bounds, mut stopped: watch::Receiver<bool>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
{
    let (note, last_answer) = watch::channel(None::<Endless>);
    let service = service_fn(move |request| {
        let (answer, note) = (service.call(request), note.clone());
        async move {
            let answer = answer.await?;
            note.send_replace(answer.extensions().get().cloned());
            Ok::<_, Infallible>(answer)
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header_read)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut serving = pin!(serving);
    let aged = tokio::select! {
        _ = serving.as_mut() => return,
        _ = stopped.wait_for(|stopped| *stopped) => false,
        () = sleep(bounds.connection_age) => true,
    };
    serving.as_mut().graceful_shutdown();
    if aged {
        let endless = last_answer.borrow().clone();
        let last_request = async {
            if let Some(endless) = endless {
                endless.ended().await;
            }
            sleep(bounds.last_request).await;
        };
        tokio::select! {
            _ = serving.as_mut() => return,
            () = last_request => return,
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
    }
    let _ = timeout(bounds.finish, serving).await;
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answer, Running};
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    /// Below hyper's own default deadline and below that of [`Bounds`], so that neither passes a test.
    const PATIENCE: Duration = Duration::from_secs(8);

    fn short() -> Bounds {
        Bounds { header_read: Duration::from_millis(200), ..Bounds::default() }
    }

    /// Waits for the close, which is the condition; the limit only keeps a broken server from
    /// holding the test forever.
    async fn closed(stream: &mut TcpStream) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
        // A reset is a close as well.
        let _ = read.expect("the server closes");
        bytes
    }

    #[tokio::test]
    async fn a_header_that_never_ends_is_cut_off_even_while_bytes_trickle_in() {
        let server = Running::start(short());
        let mut stream = server.connect().await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n").await.expect("sent");
        let (mut read, mut write) = stream.into_split();
        // One more byte at a time, far more often than the deadline.
        let trickle = tokio::spawn(async move {
            while write.write_all(b"x").await.is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
        });
        let mut bytes = Vec::new();
        let ended = timeout(PATIENCE, read.read_to_end(&mut bytes)).await;
        assert!(ended.is_ok(), "the server closes");
        assert!(!bytes.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&bytes));
        trickle.abort();
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_and_one_that_idles_after_an_answer_are_closed() {
        let server = Running::start(short());
        assert!(closed(&mut server.connect().await).await.is_empty());
        let mut idle = server.connect().await;
        idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
        assert!(closed(&mut idle).await.ends_with(b"ok\n"));
    }

    #[tokio::test]
    async fn a_connection_grows_old_even_when_it_keeps_asking() {
        let bounds = Bounds { connection_age: Duration::from_millis(200), ..Bounds::default() };
        let server = Running::start(bounds);
        let mut stream = server.connect().await;
        let asking = async {
            let mut answer = [0u8; 1024];
            loop {
                let sent = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
                if sent.is_err() || stream.read(&mut answer).await.unwrap_or(0) == 0 {
                    break;
                }
            }
        };
        timeout(PATIENCE, asking).await.expect("the server closes");
    }

    #[tokio::test]
    async fn an_endless_answer_that_is_over_keeps_no_place_when_nobody_reads_what_is_left() {
        let bounds = Bounds {
            connections: 1,
            connection_age: Duration::from_millis(50),
            last_request: Duration::from_millis(50),
            ..Bounds::default()
        };
        let (endless, goes_on) = Endless::begin();
        // More than the buffers of two sockets hold.
        let much = move || async move { (axum::Extension(endless), vec![0u8; 64 << 20]) };
        let router =
            Router::new().route("/much", axum::routing::get(much)).route("/", axum::routing::get(""));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("bound");
        let server = tokio::spawn(serve(listener, router, bounds, pending()));
        let connect = async || TcpStream::connect(address).await.expect("listens");
        let answered = async {
            loop {
                let mut stream = connect().await;
                // Where this thread is not let run, it may grow old before its request is read.
                let _ = stream.write_all(b"GET /much HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
                if stream.read(&mut [0u8; 64]).await.unwrap_or(0) > 0 {
                    break stream;
                }
            }
        };
        let _silent = timeout(PATIENCE, answered).await.expect("one is answered in time");
        drop(goes_on);
        let room = async {
            loop {
                let mut stream = connect().await;
                // A send may meet the close of a connection that is still over the cap.
                let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
                if stream.read(&mut [0u8; 64]).await.unwrap_or(0) > 0 {
                    break;
                }
            }
        };
        timeout(PATIENCE, room).await.expect("there is room again");
        server.abort();
    }

    #[tokio::test]
    async fn a_connection_over_the_cap_is_closed_and_one_that_ends_makes_room() {
        let server = Running::start(Bounds { connections: 2, ..Bounds::default() });
        let mut held = [server.connect().await, server.connect().await];
        // An answer proves that the server has taken both in.
        for stream in &mut held {
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
            assert!(stream.read(&mut [0u8; 1024]).await.expect("answered") > 0);
        }
        assert!(closed(&mut server.connect().await).await.is_empty());
        drop(held);
        let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let room = async {
            loop {
                let mut stream = server.connect().await;
                // A send may meet the close of a connection that is still over the cap.
                let _ = stream.write_all(request).await;
                if closed(&mut stream).await.ends_with(b"ok\n") {
                    break;
                }
            }
        };
        timeout(PATIENCE, room).await.expect("there is room again");
    }

    #[tokio::test]
    async fn too_many_headers_and_too_long_ones_get_431() {
        let server = Running::start(Bounds::default());
        let many = "X: y\r\n".repeat(HEADERS_MAX + 1);
        let long = format!("X: {}\r\n", "y".repeat(2 * HEADER_BYTES_MAX));
        for headers in [many, long] {
            let answer =
                server.raw(&format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")).await;
            assert_eq!(answer.status, 431);
        }
    }

    #[tokio::test]
    async fn shutdown_closes_idle_connections_and_the_port_and_ends_without_an_error() {
        let server = Running::start(Bounds::default());
        let address = server.address;
        let mut silent = server.connect().await;
        let mut idle = server.connect().await;
        idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
        assert!(idle.read(&mut [0u8; 1024]).await.expect("answered") > 0);
        let task = server.stop();
        assert!(closed(&mut silent).await.is_empty());
        assert!(closed(&mut idle).await.is_empty());
        let ended = timeout(PATIENCE, task).await.expect("ends").expect("no panic");
        assert!(ended.is_ok());
        assert!(TcpStream::connect(address).await.is_err(), "the port is free again");
    }

    #[tokio::test]
    async fn a_request_under_way_at_shutdown_is_answered() {
        let server = Running::start(Bounds::default());
        let mut stream = server.connect().await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n").await.expect("sent");
        // A second connection's answer proves that the loop has accepted the first one.
        assert_eq!(server.request("GET", "/healthz").await.status, 200);
        let task = server.stop();
        stream.write_all(b"\r\n").await.expect("still open");
        assert_eq!(Answer::read(&mut stream).await.status, 200);
        timeout(PATIENCE, task).await.expect("ends").expect("no panic").expect("no error");
    }
}
