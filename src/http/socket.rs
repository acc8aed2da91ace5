//! The API on the admin socket: HTTP/1.1 over a Unix socket. Who can open the socket may do everything.

use super::api::{self, Services};
use super::problem::Problem;
use super::server::{ACCEPT_PAUSE, Bounds, Connections};
use axum::Router;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::os::unix::net::UnixListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::sleep;

/// Serves the command line on `listener` until `shutdown` is over, and then for a moment more.
///
/// # Errors
/// When the listener cannot be handed to the runtime.
pub async fn serve_socket(
    listener: UnixListener,
    services: Arc<Services>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let router = router(&services);
    let mut connections = Connections::new(bounds());
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            () = connections.one_ended() => {}
            stream = accept(&listener), if connections.has_room() => {
                connections.serve(stream, TowerToHyperService::new(router.clone()));
            }
        }
    }
    drop(listener);
    connections.finish().await;
    Ok(())
}

fn router(services: &Arc<Services>) -> Router {
    api::socket_routes(services)
        .fallback(async || Problem::not_found("is the command line as new as the daemon?"))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
}

/// One request a connection, and that one may be a backup or a stream of events.
fn bounds() -> Bounds {
    Bounds {
        last_request: Duration::from_secs(30 * 86_400),
        finish: Duration::from_secs(1),
        ..Bounds::default()
    }
}

async fn accept(listener: &tokio::net::UnixListener) -> UnixStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(_out_of_descriptors) => sleep(ACCEPT_PAUSE).await,
        }
    }
}
