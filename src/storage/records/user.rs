//! Static TURN users that were added while running.

use super::super::{Key, Record, Table};
use super::{hex, unhex};
use crate::auth::StoredUser;
use serde::{Deserialize, Serialize};

/// A static user: key material, never a password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRecord {
    /// The name as OpaqueString prepares it.
    pub name: String,
    /// The realm that the keys are for.
    pub realm: String,
    /// MD5 of name, realm and password, 32 hexadecimal digits. Worth as much as the password.
    pub md5: String,
    /// SHA-256 of the same, 64 digits.
    pub sha256: String,
    /// When it was added, in seconds since the Unix epoch.
    pub created_at: u64,
}

impl std::fmt::Debug for UserRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserRecord").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Record for UserRecord {
    const TABLE: Table = Table::Users;

    fn key(&self) -> Key {
        Self::key_of(&self.name)
    }
}

impl UserRecord {
    /// Where the user of this name is.
    pub fn key_of(name: &str) -> Key {
        Key::of(Table::Users).text(name)
    }

    /// What is kept of a user.
    pub fn new(user: &StoredUser, created_at: u64) -> Self {
        let (md5, sha256) = user.keys();
        let (name, realm) = (user.name().to_owned(), user.realm().to_owned());
        Self { name, realm, md5: hex(md5), sha256: hex(sha256), created_at }
    }

    /// As requests are judged by it; `None` when its keys are none.
    pub fn user(&self) -> Option<StoredUser> {
        let keys = (&unhex::<16>(&self.md5)?, &unhex::<32>(&self.sha256)?);
        Some(StoredUser::from_keys(&self.name, &self.realm, keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Secret;

    #[test]
    fn a_record_gives_back_the_user_and_shows_no_key() {
        let user = StoredUser::new("a\u{1b}/b", "turn", &Secret::new("password"));
        let record = UserRecord::new(&user, 7);
        let again = record.user().expect("whole");
        assert_eq!((again.name(), again.realm(), again.keys()), (user.name(), user.realm(), user.keys()));
        assert!(!format!("{record:?}").contains(&record.md5));
        let cut = UserRecord { md5: record.md5[1..].into(), ..record };
        assert!(cut.user().is_none());
    }
}
