//! `/v1/backup` and `/v1/export`, on the admin socket alone: the whole store as a stream, made while it is in use.

use super::{Caller, Shared};
use crate::auth::Scope;
use crate::http::problem::Problem;
use crate::storage::{CopyError, Store, backup, export};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http_body_util::channel::{Channel, Sender};
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

/// Bytes that are on their way between the store and the connection.
const PIECE_BYTES: usize = 256 << 10;

/// Pieces that wait for a slow reader; the copy waits with them.
const PIECES_MAX: usize = 2;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/v1/backup", get(send_backup)).route("/v1/export", get(send_export))
}

async fn send_backup(State(services): State<Shared>, caller: Caller) -> Result<Response, Problem> {
    caller.must(Scope::Admin)?;
    let (store, (read, mut write)) = (services.store.clone(), duplex(PIECE_BYTES));
    let copying = tokio::spawn(async move { backup(&store, &mut write).await.map(drop) });
    stream(read, copying, "application/octet-stream").await
}

async fn send_export(State(services): State<Shared>, caller: Caller) -> Result<Response, Problem> {
    caller.must(Scope::Admin)?;
    let (store, (read, mut write)): (Store, _) = (services.store.clone(), duplex(PIECE_BYTES));
    let copying = tokio::spawn(async move { export(&store, &mut write).await.map(drop) });
    stream(read, copying, "application/x-ndjson").await
}

/// The answer begins once there is something to say, so that a store that cannot be read is a problem document.
async fn stream(
    mut read: DuplexStream,
    copying: JoinHandle<Result<(), CopyError>>,
    kind: &'static str,
) -> Result<Response, Problem> {
    let mut piece = vec![0; PIECE_BYTES];
    let begin = read.read(&mut piece).await.unwrap_or(0);
    if begin == 0 {
        copying.await.map_err(|_panicked| Problem::internal())?.map_err(problem)?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let (sender, body) = Channel::<Bytes, CopyError>::new(PIECES_MAX);
    tokio::spawn(pass_on(read, piece, begin, sender, copying));
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, kind)], Body::new(body)).into_response())
}

/// A copy that fails, or a reader that goes, breaks the answer off before its end: it cannot pass for a whole one.
async fn pass_on(
    mut read: DuplexStream,
    mut piece: Vec<u8>,
    begin: usize,
    mut sender: Sender<Bytes, CopyError>,
    copying: JoinHandle<Result<(), CopyError>>,
) {
    let mut count = begin;
    while count > 0 {
        if sender.send_data(Bytes::copy_from_slice(&piece[..count])).await.is_err() {
            // Nobody reads any more; without its other end the copy fails too.
            return;
        }
        count = read.read(&mut piece).await.unwrap_or(0);
    }
    let result = copying.await.unwrap_or_else(|_| Err(CopyError::Inconsistent("nothing readable".into())));
    if let Err(error) = result {
        tracing::error!("a copy of the store was broken off: {error}");
        sender.abort(error);
    }
}

fn problem(error: CopyError) -> Problem {
    match error {
        CopyError::Store(error) => error.into(),
        other => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no_copy",
            other.to_string(),
            "relaying and signaling go on",
        ),
    }
}
