//! The API key of the first operator: what `admin.key_file` holds is good, and the storage knows it by its hash.
//!
//! The file is the truth at each start. Another key in it takes the place of the one before, and without a file that one is
//! good no more. One that was revoked by the API comes back at the next start while the file is still there.

use super::keeper;
use crate::auth::{ApiKey, ApiKeyHash, Scope};
use crate::http::api::Kept;
use crate::storage::records::ApiKeyRecord;
use crate::storage::{Batch, Store};

/// Its id and its name. Ids that the API makes look otherwise.
const ID: &str = "admin-key";

/// Makes the key of this hash good, and no other one of a file. Blocks until the store has answered: for the start, where
/// nobody waits yet. What the store does not take is good until the daemon ends; a sentence says so.
pub(super) fn import(store: &Store, kept: &mut Kept, hash: Option<ApiKeyHash>) -> Option<String> {
    let known = hash.and_then(|hash| kept.keys.get(hash));
    if known.is_some_and(|key| &*key.id == ID) {
        return None;
    }
    // One that the API made stays what it is.
    let record = hash.filter(|_| known.is_none()).map(|hash| (hash, key()));
    let batch = match &record {
        Some((hash, key)) => Batch::new().put(&ApiKeyRecord::new(*hash, key)),
        None if kept.keys.has(ID) => Batch::new().delete(ApiKeyRecord::key_of(ID)),
        None => return None,
    };
    kept.keys = kept.keys.without(ID);
    if let Some((hash, key)) = record {
        kept.keys = kept.keys.with(hash, key);
    }
    let failed = |error| format!("admin.key_file is in force until the daemon ends, but not stored: {error}");
    store.commit_blocking(batch).err().map(failed)
}

fn key() -> ApiKey {
    ApiKey { id: ID.into(), name: ID.into(), scopes: vec![Scope::Admin], created_at: keeper::now() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::StoreSettings;

    const ONE: &str = "tsk_one";
    const OTHER: &str = "tsk_other";

    /// A start with this key in the file; gives which of the two keys are good, now and for the next start.
    fn start(store: &Store, key: Option<&str>) -> Vec<&'static str> {
        let mut kept = Kept::read(store).expect("a store");
        assert_eq!(import(store, &mut kept, key.map(ApiKeyHash::of)), None);
        let good = |kept: &Kept| {
            let keys = [ONE, OTHER].into_iter().filter(|key| kept.keys.find(key).is_some());
            keys.collect::<Vec<_>>()
        };
        assert_eq!(good(&kept), good(&Kept::read(store).expect("a store")));
        good(&kept)
    }

    #[test]
    fn the_key_of_the_file_is_good_and_no_other_one_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&StoreSettings { path: folder.path().into(), probe: None }).expect("a store");
        assert_eq!(start(&store, None), [""; 0]);
        assert_eq!(start(&store, Some(ONE)), [ONE]);
        let commits = store.health().commits;
        assert_eq!(start(&store, Some(ONE)), [ONE]);
        assert_eq!(store.health().commits, commits, "it is known");
        assert_eq!(start(&store, Some(OTHER)), [OTHER]);
        assert_eq!(start(&store, None), [""; 0]);
    }

    #[test]
    fn a_key_that_the_api_made_stays_what_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&StoreSettings { path: folder.path().into(), probe: None }).expect("a store");
        let made = ApiKey { id: "key_7".into(), scopes: vec![Scope::Read], ..key() };
        store
            .commit_blocking(Batch::new().put(&ApiKeyRecord::new(ApiKeyHash::of(ONE), &made)))
            .expect("written");
        assert_eq!(start(&store, Some(OTHER)), [ONE, OTHER]);
        assert_eq!(start(&store, Some(ONE)), [ONE]);
        let kept = Kept::read(&store).expect("a store");
        assert_eq!(kept.keys.iter().map(|key| &*key.id).collect::<Vec<_>>(), ["key_7"]);
    }

    #[test]
    fn without_a_store_the_key_is_good_until_the_end_and_that_is_said() {
        let mut kept = Kept::default();
        let said = import(&Store::closed("the disk is gone"), &mut kept, Some(ApiKeyHash::of(ONE)));
        assert!(said.is_some_and(|said| said.contains("the disk is gone")));
        assert!(kept.keys.find(ONE).is_some_and(|key| key.may(Scope::Admin)));
    }
}
