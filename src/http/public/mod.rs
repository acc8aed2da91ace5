//! The public routes, as they answer on every `tls` door: `/healthz` and `/readyz` for now.

use super::Sources;
use super::admin::{Problem, healthz, protect, told};
use super::server::{Bounds, serve_handed_over};
use crate::net::tls::HandedOver;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::{Router, routing::get};
use std::future::Future;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Connections served at once; some more wait where they were handed over.
const CONNECTIONS_MAX: usize = 1024;

/// Serves the connections that come by `incoming`, one byte stream each with TLS already done, until `shutdown`
/// is over, and then at most some seconds more for requests under way.
pub async fn serve_public(
    incoming: mpsc::Receiver<HandedOver>,
    sources: Arc<dyn Sources>,
    shutdown: impl Future<Output = ()>,
) {
    let bounds = Bounds { connections: CONNECTIONS_MAX, ..Bounds::default() };
    serve_handed_over(incoming, router(sources), bounds, shutdown).await;
}

fn router(sources: Arc<dyn Sources>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(async || Problem::NotFound)
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .layer(from_fn(shield))
        .with_state(sources)
}

async fn readyz(State(sources): State<Arc<dyn Sources>>) -> Response {
    told(&sources.readiness())
}

async fn shield(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    protect(response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answer, FakeSources};
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_connection_that_was_handed_over_is_answered_and_ends_with_the_server() {
        let (hand_over, incoming) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(serve_public(incoming, Arc::new(FakeSources::with_workers(1)), async {
            let _either_way = stopped.await;
        }));
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let local = listener.local_addr().expect("bound");
        for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/metrics", 404), ("/", 404)] {
            let mut client = TcpStream::connect(local).await.expect("connected");
            let (socket, remote) = listener.accept().expect("accepted");
            socket.set_nonblocking(true).expect("a socket");
            let request = format!("GET {path} HTTP/1.1\r\nHost: anything\r\nConnection: close\r\n\r\n");
            // A part of the request was read before the hand-over.
            let (read, rest) = request.as_bytes().split_at(9);
            let handed = HandedOver {
                socket,
                tls: None,
                incoming: Vec::new(),
                plain: read.to_vec(),
                unsent: Vec::new(),
                remote,
                local,
                held: Box::new(()),
            };
            hand_over.send(handed).await.expect("the server takes it");
            client.write_all(rest).await.expect("open");
            let answer = Answer::read(&mut client).await;
            assert_eq!(answer.status, status, "{path}");
            assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
        }
        stop.send(()).expect("it runs");
        serving.await.expect("no panic");
        assert!(hand_over.is_closed());
    }
}
