//! The body of a POST, in bounded memory and time.

use super::refusal::Refusal;
use axum::body::{Body, Bytes, HttpBody};
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::timeout;

/// Within this time a body has arrived, however long it is.
pub(super) const ARRIVES_WITHIN: Duration = Duration::from_secs(10);

/// For the types and separators of packets beside the longest one.
const SLACK: u64 = 256;

/// Bytes of the longest payload: a message is a third longer in base64.
pub(super) const fn bytes_max(message_bytes_max: u64) -> u64 {
    message_bytes_max.saturating_add(2) / 3 * 4 + SLACK
}

/// The whole body. One that says that it is longer than `max` is not read at all, and memory grows with what has
/// arrived.
pub(super) async fn read(body: Body, max: usize, within: Duration) -> Result<Bytes, Refusal> {
    if body.size_hint().lower() > max as u64 {
        return Err(Refusal::TooLong(max));
    }
    timeout(within, collect(body, max)).await.map_err(|_| Refusal::TooSlow)?
}

async fn collect(mut body: Body, max: usize) -> Result<Bytes, Refusal> {
    let mut whole = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        // Trailers mean nothing here.
        let Ok(data) = frame.map_err(|_| Refusal::Broken)?.into_data() else { continue };
        if whole.len() + data.len() > max {
            return Err(Refusal::TooLong(max));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.into())
}
