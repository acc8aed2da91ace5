//! Says in plain words why a username and its password work or do not.

use super::authenticator::opaque_string;
use super::name::{MintedName, NAME_BYTES_MAX};
use super::password::{SigningKey, Variant};
use super::settings::Settings;
use crate::base::UnixTime;
use aws_lc_rs::constant_time;
use std::fmt;

/// What there is to say about a username and its password. `Display` is a sentence for the operator
/// that never repeats the name or the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Explanation {
    /// A time-limited credential that works now.
    Valid {
        /// Which secret it was made with; 0 is the newest.
        secret_index: usize,
        /// Which HMAC it was made with.
        variant: Variant,
        /// Seconds that it still works.
        expires_in_s: u64,
        /// That is longer than any credential that this configuration would make.
        beyond_max_ttl: bool,
    },
    /// A static user with the right password.
    StaticUser,
    /// The password is right and the time is over.
    Expired {
        /// Which secret it was made with; 0 is the newest.
        secret_index: usize,
        /// Which HMAC it was made with.
        variant: Variant,
        /// Seconds since it expired.
        by_s: u64,
    },
    /// The password is the right HMAC, written in another way than padded standard base64.
    WrongEncoding {
        /// Which secret it was made with; 0 is the newest.
        secret_index: usize,
        /// Which HMAC it was made with.
        variant: Variant,
    },
    /// The name is that of a time-limited credential, the password was made with no secret of ours.
    WrongSecret {
        /// How many secrets are configured.
        secrets: usize,
        /// The password has a length that no HMAC has in base64.
        password_chars: Option<usize>,
        /// Seconds since the name expired, when it did.
        expired_by_s: Option<u64>,
    },
    /// A static user with another password.
    WrongPassword,
    /// Neither a static user nor a time-limited name.
    UnknownUser,
    /// No client can use this name.
    MalformedName(NameFault),
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFault {
    /// It is empty.
    Empty,
    /// It has this many bytes, more than the 508 that USERNAME can hold.
    TooLong {
        /// Bytes of the name.
        bytes: usize,
    },
    /// It begins with digits that are no time: 2^64 or above.
    ExpiryTooLarge,
    /// The password fits the name, which does not begin with an expiry.
    NoExpiry,
}

impl Explanation {
    /// Whether the daemon would let a client with this name and password in.
    pub fn is_valid(&self) -> bool {
        matches!(self, Self::Valid { .. } | Self::StaticUser)
    }
}

/// Judges `username` and `password` as [`super::Authenticator`] would, and says why.
///
/// `now`: wall clock. For the command line: it tells more than a stranger may know.
pub fn explain(settings: &Settings, now: UnixTime, username: &str, password: &str) -> Explanation {
    if username.is_empty() {
        return Explanation::MalformedName(NameFault::Empty);
    }
    if username.len() > NAME_BYTES_MAX {
        return Explanation::MalformedName(NameFault::TooLong { bytes: username.len() });
    }
    let static_password = settings.users.iter().find(|(name, _)| opaque_string(name) == username);
    if static_password
        .is_some_and(|(_, right)| same(&opaque_string(right.expose()), &opaque_string(password)))
    {
        return Explanation::StaticUser;
    }
    match MintedName::parse(username) {
        Some(name) => minted(settings, now, username, name.expires(), password),
        None if static_password.is_some() => Explanation::WrongPassword,
        None => not_a_name(settings, username, password),
    }
}

fn minted(
    settings: &Settings,
    now: UnixTime,
    username: &str,
    expires: UnixTime,
    password: &str,
) -> Explanation {
    let expired = now >= expires;
    let by_s = now.secs_since(expires);
    let Some((key, exactly)) = maker(settings, username, password) else {
        let known_length = Variant::ALL.iter().any(|v| v.password_chars() == password.len());
        return Explanation::WrongSecret {
            secrets: settings.secrets.len(),
            password_chars: (!known_length).then(|| password.chars().count()),
            expired_by_s: expired.then_some(by_s),
        };
    };
    let SigningKey { secret_index, variant, .. } = key;
    if expired {
        return Explanation::Expired { secret_index, variant, by_s };
    }
    if !exactly {
        return Explanation::WrongEncoding { secret_index, variant };
    }
    let expires_in_s = expires.secs_since(now);
    let beyond_max_ttl = expires_in_s > settings.max_ttl.as_secs();
    Explanation::Valid { secret_index, variant, expires_in_s, beyond_max_ttl }
}

fn not_a_name(settings: &Settings, username: &str, password: &str) -> Explanation {
    if maker(settings, username, password).is_some() {
        return Explanation::MalformedName(NameFault::NoExpiry);
    }
    let head = username.split(':').next().unwrap_or(username);
    if !head.is_empty() && head.bytes().all(|b| b.is_ascii_digit()) {
        return Explanation::MalformedName(NameFault::ExpiryTooLarge);
    }
    Explanation::UnknownUser
}

/// The key that made `password`, and whether it is written as it must be.
fn maker(settings: &Settings, username: &str, password: &str) -> Option<(SigningKey, bool)> {
    let candidates = SigningKey::candidates(settings);
    let exact = candidates.iter().find(|key| same(key.password(username).as_str(), password));
    if let Some(key) = exact {
        return Some((key.clone(), true));
    }
    let like = |key: &&SigningKey| {
        let right = key.password(username);
        plain_base64(right.as_str()) == plain_base64(password) || key.is_hex_tag(username, password.trim())
    };
    candidates.iter().find(like).map(|key| (key.clone(), false))
}

fn same(a: &str, b: &str) -> bool {
    constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}

/// What the usual spellings of base64 have in common.
fn plain_base64(text: &str) -> String {
    text.trim().trim_end_matches('=').replace('-', "+").replace('_', "/")
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Valid { secret_index, variant, expires_in_s, beyond_max_ttl } => {
                write!(
                    f,
                    "valid for {} more: made with {}",
                    Span(expires_in_s),
                    Made(secret_index, variant)
                )?;
                if beyond_max_ttl {
                    f.write_str(
                        "; that is longer than auth.max_ttl: was the expiry meant in seconds, and is the \
                         clock of the machine that made it right?",
                    )?;
                }
                Ok(())
            }
            Self::StaticUser => f.write_str("valid: a static user of [auth.users]"),
            Self::Expired { secret_index, variant, by_s } => {
                write!(
                    f,
                    "expired by {}: made with {}; ask for a new one",
                    Span(by_s),
                    Made(secret_index, variant)
                )?;
                clock_hint(f, by_s)
            }
            Self::WrongEncoding { secret_index, variant } => write!(
                f,
                "the password is the right HMAC (made with {}) in the wrong form: write it in standard base64 \
                 with padding, {} characters and nothing around it",
                Made(secret_index, variant),
                variant.password_chars()
            ),
            Self::WrongSecret { secrets, password_chars, expired_by_s } => {
                wrong_secret(f, secrets, password_chars)?;
                if let Some(by_s) = expired_by_s {
                    write!(f, "; the name also expired by {}", Span(by_s))?;
                    clock_hint(f, by_s)?;
                }
                Ok(())
            }
            Self::WrongPassword => f.write_str("wrong password for this static user of [auth.users]"),
            Self::UnknownUser => {
                f.write_str("unknown user: neither a static user nor <unix-expiry>:<subject>")
            }
            Self::MalformedName(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("malformed name: it is empty"),
            Self::TooLong { bytes } => {
                write!(f, "malformed name: {bytes} bytes, at most {NAME_BYTES_MAX} fit into USERNAME")
            }
            Self::ExpiryTooLarge => f.write_str(
                "malformed name: the number in front is no time; it must be seconds since 1970, as `date +%s` \
                 prints them",
            ),
            Self::NoExpiry => f.write_str(
                "malformed name: the password fits it, but it must be <unix-expiry>:<subject>, or it would \
                 never expire",
            ),
        }
    }
}

fn wrong_secret(f: &mut fmt::Formatter<'_>, secrets: usize, password_chars: Option<usize>) -> fmt::Result {
    match secrets {
        0 => f.write_str(
            "no secret is configured for this time-limited name: set auth.secrets or auth.secrets_file",
        )?,
        1 => f.write_str("wrong secret: not made with the configured secret over exactly this name")?,
        n => {
            write!(f, "wrong secret: not made with any of the {n} configured secrets over exactly this name")?
        }
    }
    match password_chars {
        Some(chars) => write!(
            f,
            "; the password has {chars} characters, one made of a name has {} ({}) or {} ({})",
            Variant::Sha1.password_chars(),
            Variant::Sha1,
            Variant::Sha256.password_chars(),
            Variant::Sha256
        ),
        None => Ok(()),
    }
}

/// Further off than any sensible lifetime: more likely a clock or a unit than an old credential.
fn clock_hint(f: &mut fmt::Formatter<'_>, by_s: u64) -> fmt::Result {
    if by_s <= DAY_S {
        return Ok(());
    }
    f.write_str("; that is far off: compare the clock of the machine that made it with the clock here")
}

const DAY_S: u64 = 86_400;

/// A secret by its place, as people count, and the HMAC.
struct Made(usize, Variant);

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let newest = if self.0 == 0 { " (the newest)" } else { "" };
        write!(f, "secret {}{newest} by {}", self.0 + 1, self.1)
    }
}

/// Seconds as they are up to two hours, then also in the largest unit that fits.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0)?;
        match self.0 {
            0..7_200 => Ok(()),
            7_200..172_800 => write!(f, " ({} hours)", self.0 / 3_600),
            _ => write!(f, " ({} days)", self.0 / DAY_S),
        }
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
