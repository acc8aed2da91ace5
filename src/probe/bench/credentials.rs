//! With which names and passwords clients come.

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_STANDARD, Engine};
use std::fmt;
use std::time::{Duration, SystemTime};

/// How long a minted name is valid.
const VALID_FOR: Duration = Duration::from_secs(3600);

/// What a server lets clients in by.
#[derive(Clone)]
pub enum Credentials {
    /// One user for all clients.
    Password {
        /// The USERNAME.
        username: String,
        /// Its password.
        password: String,
    },
    /// A secret shared with the server, by which each client gets a name of its own as the TURN REST draft has it:
    /// `<expiry>:<user>-<number>` with the base64 of its HMAC-SHA1.
    Secret {
        /// What the names have in common.
        user: String,
        /// The secret.
        secret: String,
    },
}

impl Credentials {
    /// Name and password of the client with this number.
    pub(super) fn of(&self, client: usize) -> (String, String) {
        match self {
            Self::Password { username, password } => (username.clone(), password.clone()),
            Self::Secret { user, secret } => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                mint((now + VALID_FOR).as_secs(), &format!("{user}-{client}"), secret)
            }
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password { .. } => "Password",
            Self::Secret { .. } => "Secret",
        })
    }
}

fn mint(expiry: u64, user: &str, secret: &str) -> (String, String) {
    let name = format!("{expiry}:{user}");
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    let password = BASE64_STANDARD.encode(hmac::sign(&key, name.as_bytes()));
    (name, password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_mints_what_openssl_computes() {
        // printf %s 1433895918:alice | openssl dgst -sha1 -hmac north -binary | base64
        let (name, password) = mint(1_433_895_918, "alice", "north");
        assert_eq!((&*name, &*password), ("1433895918:alice", "RqMvcGPYTJMGThVLSi4amT4zFtI="));
    }

    #[test]
    fn a_secret_makes_a_user_of_each_client() {
        let credentials = Credentials::Secret { user: "bench".into(), secret: "north".into() };
        let names: Vec<_> = (0..2).map(|client| credentials.of(client).0).collect();
        assert!(names[0].ends_with(":bench-0") && names[1].ends_with(":bench-1"), "{names:?}");
    }

    #[test]
    fn debugging_shows_no_password() {
        let credentials = Credentials::Password { username: "a".into(), password: "tell-nobody".into() };
        assert!(!format!("{credentials:?}").contains("tell"));
    }
}
