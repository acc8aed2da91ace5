//! Keys of the HTTP API.

use super::super::{Key, Record, Table};
use super::{hex, unhex};
use crate::auth::{ApiKey, ApiKeyHash};
use crate::base::UnixTime;
use serde::{Deserialize, Serialize};

/// A key of the HTTP API: all but the key itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyRecord {
    /// By which it is listed and revoked.
    pub id: String,
    /// What its maker called it.
    pub name: String,
    /// The names of its scopes.
    pub scopes: Vec<String>,
    /// SHA-256 of the key, 64 hexadecimal digits.
    pub sha256: String,
    /// When it was made, in seconds since the Unix epoch.
    pub created_at: u64,
}

impl Record for ApiKeyRecord {
    const TABLE: Table = Table::ApiKeys;

    fn key(&self) -> Key {
        Self::key_of(&self.id)
    }
}

impl ApiKeyRecord {
    /// Where the key of this id is.
    pub fn key_of(id: &str) -> Key {
        Key::of(Table::ApiKeys).text(id)
    }

    /// What is kept of a key.
    pub fn new(hash: ApiKeyHash, key: &ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.to_string(),
            scopes: key.scopes.iter().map(ToString::to_string).collect(),
            sha256: hex(&hash.0),
            created_at: key.created_at.0,
        }
    }

    /// The key as requests are judged by it. A scope that this build does not know gives nothing; `None` when its hash
    /// is none.
    pub fn entry(&self) -> Option<(ApiKeyHash, ApiKey)> {
        let key = ApiKey {
            id: self.id.as_str().into(),
            name: self.name.as_str().into(),
            scopes: self.scopes.iter().filter_map(|scope| scope.parse().ok()).collect(),
            created_at: UnixTime(self.created_at),
        };
        Some((ApiKeyHash(unhex(&self.sha256)?), key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Scope;

    #[test]
    fn a_record_gives_back_the_key_and_nothing_for_what_it_does_not_know() {
        let key = ApiKey {
            id: "key_1".into(),
            name: "a\u{1b}/b".into(),
            scopes: vec![Scope::Mint, Scope::Read],
            created_at: UnixTime(1_700_000_000),
        };
        let mut record = ApiKeyRecord::new(ApiKeyHash::of("tsk_x"), &key);
        assert_eq!(record.entry(), Some((ApiKeyHash::of("tsk_x"), key.clone())));
        record.scopes.push("root".into());
        assert_eq!(record.entry().map(|(_, key)| key), Some(key));
        record.sha256.pop();
        assert_eq!(record.entry(), None);
    }
}
