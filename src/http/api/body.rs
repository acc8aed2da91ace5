//! Bodies of requests, bounded in bytes and in time.

use super::Fields;
use crate::http::problem::Problem;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::StatusCode;
use http_body_util::LengthLimitError;
use std::error::Error;
use std::time::Duration;
use tokio::time::timeout;

/// Bytes of a body with a few fields.
const FIELDS_BYTES_MAX: usize = 16 << 10;

/// Within this time a body has arrived, however long it is.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);

/// The whole body, of at most `max` bytes.
pub(crate) async fn bytes(body: Body, max: usize) -> Result<Bytes, Problem> {
    match timeout(ARRIVES_WITHIN, to_bytes(body, max)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if error.source().is_some_and(|why| why.is::<LengthLimitError>()) => {
            Err(too_long(max))
        }
        Ok(Err(_)) => Err(Problem::field("body", "the body is not whole")),
        Err(_) => {
            let (status, hint) = (StatusCode::REQUEST_TIMEOUT, "send it at once");
            Err(Problem::new(status, "too_slow", "the body did not arrive in time", hint))
        }
    }
}

/// The fields of a JSON body.
pub(crate) async fn fields(body: Body) -> Result<Fields, Problem> {
    Fields::json(&bytes(body, FIELDS_BYTES_MAX).await?)
}

/// The fields of a form in a body.
pub(crate) async fn form(body: Body) -> Result<Fields, Problem> {
    Fields::query(&bytes(body, FIELDS_BYTES_MAX).await?)
}

fn too_long(max: usize) -> Problem {
    let message = format!("the body is longer than {max} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_long", message, "send less")
}
