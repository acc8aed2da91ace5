//! What a deletion left on the disk that could not be written: it is gone from memory, and would come back at the next
//! start.

use crate::http::problem::Problem;
use crate::storage::{Batch, Key, Record, Store, StoreError};

/// Takes it away. `false`: there is nothing under `key`.
pub(super) async fn take_leftover<R: Record>(store: &Store, key: Key) -> Result<bool, Problem> {
    // Nothing holds by it already.
    let failed = |error| Problem::from(error).applied(true);
    match store.get::<R>(key.clone()).await {
        Ok(None) => return Ok(false),
        Ok(Some(_)) | Err(StoreError::Damaged) => {}
        Err(error) => return Err(failed(error)),
    }
    store.commit(Batch::new().delete(key)).await.map_err(failed)?;
    Ok(true)
}
