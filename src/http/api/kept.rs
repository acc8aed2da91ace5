//! What the store keeps for the API, read before any door opens.

use super::keys::KEYS_MAX;
use super::revocations::{self, ORDERS_MAX};
use super::users::USERS_MAX;
use crate::auth::{ApiKeys, Revocations, StoredUser};
use crate::storage::records::{ApiKeyRecord, RevocationRecord, UserRecord};
use crate::storage::{Key, Page, Record, Store, StoreError};
use std::sync::mpsc;

/// What was kept.
#[derive(Debug, Default)]
pub struct Kept {
    /// For [`super::Services::keys`].
    pub keys: ApiKeys,
    /// For [`super::Orders`].
    pub revocations: Vec<RevocationRecord>,
    /// For [`super::Users`].
    pub users: Vec<UserRecord>,
}

impl Kept {
    /// Reads it all. Blocks until the store has answered: for the start, where nobody waits yet.
    ///
    /// # Errors
    /// There is no store, or it cannot be read: no key is good, and revocations are unknown.
    pub fn read(store: &Store) -> Result<Self, StoreError> {
        let keys = all::<ApiKeyRecord>(store, KEYS_MAX)?;
        let keys = keys.iter().filter_map(ApiKeyRecord::entry).collect();
        Ok(Self { keys, revocations: all(store, ORDERS_MAX)?, users: all(store, USERS_MAX)? })
    }

    /// Static users beside those of the config, for doors that are about to open.
    pub fn stored_users(&self) -> Vec<StoredUser> {
        self.users.iter().filter_map(UserRecord::user).collect()
    }

    /// What credentials are judged by, for doors that are about to open.
    pub fn revocations_in_force(&self) -> Revocations {
        revocations::prepared(&self.revocations)
    }
}

/// Records of one table.
fn all<R: Record>(store: &Store, limit: usize) -> Result<Vec<R>, StoreError> {
    let (done, answer) = mpsc::sync_channel(1);
    store.page_then(Page::of(Key::of(R::TABLE), limit), move |records| {
        let _nobody_waits_any_more = done.send(records);
    });
    answer.recv().unwrap_or_else(|_| Err(StoreError::Closed("its thread has ended".into())))
}
