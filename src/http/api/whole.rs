//! Changes that are made whole or not at all, whether or not somebody still waits for their answer.

use crate::http::problem::Problem;

/// Makes a change to its end: a handler ends where it waits when its client goes away, and would leave half of it.
pub(super) async fn whole<T: Send + 'static>(
    change: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(change).await.unwrap_or_else(|_| Err(Problem::internal()))
}
