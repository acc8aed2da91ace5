//! Keys of the HTTP API: 256 random bits that are shown once; what is kept is their SHA-256.

use crate::base::UnixTime;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// What every key begins with, so that people and scanners of secrets know one when they see it.
pub const API_KEY_PREFIX: &str = "tsk_";

/// What a key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Minting credentials, and what the back end of an app does.
    Mint,
    /// Reading sessions, usage and calls.
    Read,
    /// Everything.
    Admin,
}

impl Scope {
    /// All, the least first.
    pub const ALL: [Self; 3] = [Self::Mint, Self::Read, Self::Admin];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mint => "mint",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scope| scope.name() == text);
        found.ok_or_else(|| "a scope is one of: mint, read, admin".to_owned())
    }
}

/// A key as the daemon knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// By which it is listed and revoked.
    pub id: Box<str>,
    /// What its maker called it.
    pub name: Box<str>,
    /// What it is good for.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: UnixTime,
}

impl ApiKey {
    /// Whether it is good for `scope`; `admin` is good for everything.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }
}

/// The SHA-256 of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyHash(pub [u8; 32]);

impl ApiKeyHash {
    /// The hash of a key as it is presented.
    pub fn of(key: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, key.as_bytes());
        Self(*hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes"))
    }
}

/// The text of a key made of these random bits.
pub fn api_key_text(random: [u8; 32]) -> String {
    format!("{API_KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(random))
}

/// All keys that are good. Found by their hash, of which nobody can choose the bits: how long the search takes tells
/// nothing about a key.
#[derive(Clone, Debug, Default)]
pub struct ApiKeys(HashMap<ApiKeyHash, Arc<ApiKey>>);

impl ApiKeys {
    /// The key that is presented.
    pub fn find(&self, presented: &str) -> Option<&Arc<ApiKey>> {
        self.0.get(&ApiKeyHash::of(presented))
    }

    /// The key with this hash.
    pub fn get(&self, hash: ApiKeyHash) -> Option<&Arc<ApiKey>> {
        self.0.get(&hash)
    }

    /// Whether the key with this id is one of them.
    pub fn has(&self, id: &str) -> bool {
        self.0.values().any(|key| *key.id == *id)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &ApiKey> {
        self.0.values().map(|key| &**key)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These keys and one more.
    pub fn with(&self, hash: ApiKeyHash, key: ApiKey) -> Self {
        let mut all = self.0.clone();
        all.insert(hash, Arc::new(key));
        Self(all)
    }

    /// These keys but the one with this id.
    pub fn without(&self, id: &str) -> Self {
        let others = self.0.iter().filter(|(_, key)| *key.id != *id);
        Self(others.map(|(hash, key)| (*hash, Arc::clone(key))).collect())
    }
}

impl FromIterator<(ApiKeyHash, ApiKey)> for ApiKeys {
    fn from_iter<T: IntoIterator<Item = (ApiKeyHash, ApiKey)>>(keys: T) -> Self {
        Self(keys.into_iter().map(|(hash, key)| (hash, Arc::new(key))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, scope: Scope) -> ApiKey {
        ApiKey { id: id.into(), name: "app".into(), scopes: vec![scope], created_at: UnixTime(7) }
    }

    #[test]
    fn a_key_is_found_by_its_whole_text_alone() {
        let text = api_key_text([7; 32]);
        assert_eq!(text.len(), 4 + 43);
        let key = key("k1", Scope::Mint);
        let keys: ApiKeys = [(ApiKeyHash::of(&text), key.clone())].into_iter().collect();
        assert_eq!(keys.find(&text).map(|found| &**found), Some(&key));
        for other in ["", &text[4..], &text[..46], &format!("{text} ")] {
            assert_eq!(keys.find(other), None, "{other}");
        }
    }

    #[test]
    fn admin_is_good_for_everything_and_no_other_scope_for_more_than_itself() {
        let key = |scope| key("k", scope);
        for asked in Scope::ALL {
            assert!(key(Scope::Admin).may(asked));
            assert_eq!(key(Scope::Mint).may(asked), asked == Scope::Mint);
            assert_eq!(key(Scope::Read).may(asked), asked == Scope::Read);
            assert_eq!(asked.name().parse(), Ok(asked));
        }
        assert!("Admin".parse::<Scope>().is_err());
    }

    #[test]
    fn a_key_goes_by_its_id_and_leaves_the_others() {
        let keys = ApiKeys::default().with(ApiKeyHash::of("a"), key("k1", Scope::Mint));
        let keys = keys.with(ApiKeyHash::of("b"), key("k2", Scope::Mint));
        let left = keys.without("k1");
        assert_eq!((keys.len(), left.len()), (2, 1));
        assert!(left.find("a").is_none() && left.find("b").is_some());
        assert_eq!(left.iter().map(|key| &*key.id).collect::<Vec<_>>(), ["k2"]);
        assert!(left.without("k2").is_empty());
    }
}
