//! The public routes: `/healthz`, `/readyz`, the client for browsers, the test page where it is on, and the way into
//! signaling, on `http.public` and on every `tls` door.
//!
//! Whatever can be said of a client before it has a session is said here: who it is behind its proxies, whether its
//! page may connect, whether its handshake makes sense and its body fits. What is left goes to the signaling thread
//! by a queue of fixed length: polls with a way to answer them, WebSockets as bare connections.

mod apps;
mod body;
mod origin;
mod proxies;
mod query;
mod refusal;
mod refusals;
mod token;
mod visit;
mod websocket;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use origin::Origins;
pub(in crate::http) use origin::is_foreign;
pub use refusals::PublicRefusals;
pub use token::TokenPlaces;

use super::admin::{healthz, protect, told};
use super::api::{self, MintCounts, Services};
use super::pages;
use super::problem::Problem;
use super::server::{Accepting, Bounds, Connections};
use super::signaling::Door;
use super::{CertificateState, PortCounts, Readiness, Reload, Sources};
use crate::metrics::Published;
use crate::net::tcp;
use crate::net::tls::HandedOver;
use crate::turn::Bandwidth;
use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use ipnet::IpNet;
use proxies::Peer;
use refusal::RefusedOrigins;
use refusals::Reason;
use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use visit::Place;

/// First segments of paths that are, or will be, routes of their own: nothing is mounted over them.
pub const ROUTES: [&str; 8] = ["ws", "healthz", "readyz", "v1", "turn", "openapi.json", "test", "sdk"];

/// Connections in HTTP at once, of all listeners: half of what `limits.connections_total` allows unless told
/// otherwise, so that the rest stays for TURN. WebSockets have left HTTP and do not count.
const CONNECTIONS_MAX: usize = 8192;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// How long a connection may go from poll to poll. Under TLS a new one is dear.
const CONNECTION_AGE: Duration = Duration::from_secs(300);

/// Checked settings of the public side. All but `address` and the paths may change while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicSettings {
    /// Where plain HTTP listens (`http.public`).
    pub address: Option<SocketAddr>,
    /// Whether there is a test page (`http.test_page`).
    pub test_page: bool,
    /// Who may speak for others (`http.trusted_proxies`).
    pub trusted_proxies: Vec<IpNet>,
    /// The way into signaling; `None` while that is switched off.
    pub signaling: Option<SignalingRules>,
}

/// Who may come to signaling, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignalingRules {
    /// Mount paths of Socket.IO, each of which answers with and without a slash at its end. They begin with `/`,
    /// have nothing in them that a URL would escape, and none is, but for that slash, another or one of [`ROUTES`].
    pub socketio_paths: Vec<String>,
    /// Pages that may connect.
    pub origins: Origins,
    /// Longest message, in bytes.
    pub message_bytes_max: usize,
    /// Where a token may be.
    pub tokens: TokenPlaces,
}

impl PublicSettings {
    /// These settings as far as a server can follow them that began with `bound`: its listener and paths stay.
    pub fn within(self, bound: &Self) -> Self {
        let signaling = bound.signaling.clone().map(|bound| {
            let socketio_paths = bound.socketio_paths.clone();
            self.signaling.map_or(bound, |rules| SignalingRules { socketio_paths, ..rules })
        });
        Self { address: bound.address, signaling, ..self }
    }

    /// Pages that may ask, for signaling and for the API.
    fn origins(&self) -> &Origins {
        self.signaling.as_ref().map_or(&Origins::Own, |rules| &rules.origins)
    }

    /// Mount paths of Socket.IO, where there are any.
    pub fn paths(&self) -> &[String] {
        self.signaling.as_ref().map_or(&[], |rules| &rules.socketio_paths)
    }

    /// Binds the plain listener early, so that a taken port stops the start.
    ///
    /// # Errors
    /// Those of `bind` and `listen`: taken, not on this host, not permitted.
    pub fn bind(&self) -> io::Result<Option<TcpListener>> {
        let Some(address) = self.address else { return Ok(None) };
        let listener = TcpListener::bind(address)?;
        socket2::SockRef::from(&listener).listen(BACKLOG)?;
        listener.set_nonblocking(true)?;
        Ok(Some(listener))
    }
}

/// The most that one request can make the process keep, in bytes, when messages have up to `message_bytes_max`.
pub fn request_bytes_max(message_bytes_max: u64) -> u64 {
    // What hyper reads at once, what the connection reads at once, and the body.
    2 * (16 << 10) + body::bytes_max(message_bytes_max)
}

/// Takes a connection in, of one source or of one that is nobody's: a proxy's. Returns its place among those that
/// may be open, or `None` when there is none left.
pub(crate) type Admit = dyn Fn(Option<IpAddr>) -> Option<Box<dyn Any + Send>> + Send + Sync;

/// What [`serve_public`] works with.
pub(crate) struct Public {
    /// The settings in force; whoever holds the other end may change them.
    pub settings: Arc<ArcSwap<PublicSettings>>,
    /// The signaling thread, unless there is none.
    pub door: Option<Door>,
    /// Asked for each connection of the plain listener; others come with their place.
    pub admit: Box<Admit>,
    /// What `/readyz` tells.
    pub sources: Arc<dyn Sources>,
    /// What the API works with; `None` for no API.
    pub services: Option<Arc<Services>>,
}

/// Serves plain HTTP on `listener`, and the connections that come by `handed_over` with TLS already done, until
/// `shutdown` is over, and then at most some seconds more for requests under way.
///
/// # Errors
/// When the listener cannot be handed to the runtime. Once it serves, it fails no more.
pub(crate) async fn serve_public(
    listener: Option<TcpListener>,
    handed_over: mpsc::Receiver<HandedOver>,
    public: Public,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    serve_bounded(listener, handed_over, public, bounds(), shutdown).await
}

/// Serves one signaling thread on `listener` and nothing else, at one path, to everybody: for the public test suites.
///
/// # Errors
/// As those of a listener that is handed to the runtime.
pub async fn serve_fixture(listener: TcpListener, path: &str, door: Door) -> io::Result<()> {
    let rules = SignalingRules {
        socketio_paths: vec![path.to_owned()],
        message_bytes_max: 1_000_000,
        origins: Origins::Any,
        ..SignalingRules::default()
    };
    let settings = PublicSettings { signaling: Some(rules), ..PublicSettings::default() };
    let public = Public {
        settings: Arc::new(ArcSwap::from_pointee(settings)),
        door: Some(door),
        admit: Box::new(|_| Some(Box::new(()))),
        sources: Arc::new(NoSources::default()),
        services: None,
    };
    let (_nobody, handed_over) = mpsc::channel(1);
    serve_public(Some(listener), handed_over, public, std::future::pending()).await
}

/// A process that has signaling and nothing else.
#[derive(Default)]
struct NoSources {
    refusals: PublicRefusals,
    mint_counts: MintCounts,
}

impl Sources for NoSources {
    fn shards(&self) -> &[Arc<Published>] {
        &[]
    }

    fn signaling(&self) -> Option<&Arc<Published>> {
        None
    }

    fn relay_ports(&self) -> PortCounts {
        PortCounts::default()
    }

    fn bandwidth(&self) -> Bandwidth {
        Bandwidth::default()
    }

    fn readiness(&self) -> Readiness {
        Readiness::default()
    }

    fn certificates(&self) -> Option<CertificateState> {
        None
    }

    fn last_reload(&self) -> Reload {
        Reload { successful: true, success_unix: 0 }
    }

    fn public_refusals(&self) -> &PublicRefusals {
        &self.refusals
    }

    fn mint_counts(&self) -> &MintCounts {
        &self.mint_counts
    }
}

/// [`serve_public`] with other bounds.
async fn serve_bounded(
    listener: Option<TcpListener>,
    mut handed_over: mpsc::Receiver<HandedOver>,
    public: Public,
    bounds: Bounds,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let listener = listener.map(tokio::net::TcpListener::from_std).transpose()?;
    let mut accepting = Accepting::new(listener, "the listener of http.public");
    let mut connections = Connections::new(bounds);
    let Public { settings, door, admit, sources, services } = public;
    let api = services.map(|services| api::public_routes(&services)).unwrap_or_default();
    let mounts = settings.load().signaling.as_ref().map(|rules| rules.socketio_paths.clone());
    let doorkeeper = Doorkeeper { settings: Arc::clone(&settings), admit, sources: Arc::clone(&sources) };
    let router = router(Shared { settings, door, sources, refused: RefusedOrigins::new() }, mounts, api);
    let mut shutdown = pin!(shutdown);
    loop {
        let has_room = connections.has_room();
        let one = tokio::select! {
            biased;
            () = &mut shutdown => break,
            () = connections.one_ended() => continue,
            // What finds no room waits there, and one more is refused by who hands over.
            Some(one) = handed_over.recv(), if has_room => Some(one),
            (stream, remote) = accepting.next() => doorkeeper.welcome(stream, remote, has_room),
        };
        // One that the runtime cannot watch is closed, as one over a limit would be.
        let peer = one.as_ref().map(|one| Peer::new(one.remote, one.tls.is_some()));
        if let (Some(peer), Some(Ok(stream))) = (peer, one.map(HandedOver::open)) {
            let inner = TowerToHyperService::new(router.clone());
            connections.serve(stream, Addressed { inner, peer });
        }
    }
    drop((accepting, handed_over));
    connections.finish().await;
    Ok(())
}

fn bounds() -> Bounds {
    Bounds {
        connections: CONNECTIONS_MAX,
        connection_age: CONNECTION_AGE,
        last_request: visit::REQUEST_MAX,
        ..Bounds::default()
    }
}

/// Lets connections of the plain listener in.
struct Doorkeeper {
    settings: Arc<ArcSwap<PublicSettings>>,
    admit: Box<Admit>,
    sources: Arc<dyn Sources>,
}

impl Doorkeeper {
    fn welcome(&self, stream: TcpStream, remote: SocketAddr, has_room: bool) -> Option<HandedOver> {
        let peer = Peer::new(remote, false);
        let is_proxy = peer.is_trusted(&self.settings.load().trusted_proxies);
        let source = Some(peer.address).filter(|_| !is_proxy);
        let held = has_room.then(|| (self.admit)(source)).flatten();
        let Some(held) = held else {
            self.sources.public_refusals().count(Reason::NoPlace);
            tcp::reset_on_close(&stream);
            return None;
        };
        let local = stream.local_addr().ok()?;
        tcp::tune(&stream).ok()?;
        let socket = stream.into_std().ok()?;
        let (incoming, plain, unsent) = (Vec::new(), Vec::new(), Vec::new());
        Some(HandedOver { socket, tls: None, incoming, plain, unsent, remote, local, held })
    }
}

/// Puts the other end of its connection into each request.
struct Addressed {
    inner: TowerToHyperService<Router>,
    peer: Peer,
}

impl Service<hyper::Request<Incoming>> for Addressed {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <TowerToHyperService<Router> as Service<hyper::Request<Incoming>>>::Future;

    fn call(&self, mut request: hyper::Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        self.inner.call(request)
    }
}

/// What all requests share.
struct Shared {
    settings: Arc<ArcSwap<PublicSettings>>,
    door: Option<Door>,
    sources: Arc<dyn Sources>,
    refused: RefusedOrigins,
}

/// `mounts`: the paths of Socket.IO; `None` for no signaling at all.
fn router(shared: Shared, mounts: Option<Vec<String>>, api: Router) -> Router {
    let mut router = Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz));
    if let Some(mounts) = mounts.filter(|_| shared.door.is_some()) {
        router = router.route("/ws", any(|shared, request| visit::visit(shared, Place::Plain, request)));
        for (path, mount) in mounts.iter().zip(0..) {
            let path = path.trim_end_matches('/');
            let visit = any(move |shared, request| visit::visit(shared, Place::EngineIo(mount), request));
            router = router.route(path, visit.clone()).route(&format!("{path}/"), visit);
        }
    }
    let shared = Arc::new(shared);
    let wrong_method = async || Problem::method_not_allowed();
    // The answer to a wrong method lies behind `admit`, too: a preflight is an OPTIONS that no route knows.
    let api = api.method_not_allowed_fallback(wrong_method);
    router
        .merge(pages::sdk())
        .merge(pages::test())
        .with_state(shared.clone())
        .merge(api.layer(from_fn_with_state(shared.clone(), apps::admit)))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(shared, only_if_wanted))
        .layer(from_fn(shield))
}

async fn nothing_here() -> Problem {
    Problem::not_found("try /healthz, /readyz, /ws, /openapi.json or /sdk/turnstone.js")
}

/// The test page is there only where the config says so, with all that it asks for.
async fn only_if_wanted(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_of_test_page = path == "/test" || path.starts_with("/test/");
    match is_of_test_page && !shared.settings.load().test_page {
        true => nothing_here().await.into_response(),
        false => next.run(request).await,
    }
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    told(&shared.sources.readiness())
}

async fn shield(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        protect(response.headers_mut());
    }
    response
}
