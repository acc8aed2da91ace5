//! Who may come in: judges tokens, at once where the key is known.

use super::mailbox::{Door, Letter, Ticket};
use crate::auth::token::{Claims, TokenRefused};
use crate::base::{Now, UnixTime};
use crate::http::KeySets;
use crate::metrics::{CounterSet, TokenFailure, signaling_auth_failures};
use crate::signaling::{Identity, Refusal};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::Handle;

/// Tokens that may wait for a newer key set. Whoever comes above that comes back later.
const WAITING_MAX: usize = 256;

/// Who judges.
pub enum Gate {
    /// Everybody comes in, as a guest of their own: for the public test suites, which know no token.
    Open,
    /// Nobody does: the config names no key.
    Closed,
    /// Whoever has a token that these keys signed.
    Keys {
        /// The keys.
        sets: KeySets,
        /// Where to wait for newer ones.
        runtime: Handle,
        /// How many tokens wait.
        waiting: Arc<AtomicUsize>,
    },
}

/// What a token is worth.
pub(super) enum Judged {
    Good(Identity),
    Refused(TokenRefused),
    /// Too many wait already: the client should come back.
    Busy,
    /// The answer comes as a letter with the same ticket.
    Later,
}

impl Gate {
    /// Judges by `sets`; `runtime` is where a newer set is waited for.
    pub fn keys(sets: KeySets, runtime: Handle) -> Self {
        Self::Keys { sets, runtime, waiting: Arc::default() }
    }

    /// Judges `token`, and if that takes a newer key set, has the answer sent to `door` under `ticket`.
    pub(super) fn judge(&self, now: Now, token: Option<&str>, ticket: Ticket, door: &Door) -> Judged {
        let Self::Keys { sets, runtime, waiting } = self else {
            return match self {
                Self::Open => Judged::Good(guest(now)),
                _ => Judged::Refused(TokenRefused::UnknownKey),
            };
        };
        let Some(token) = token else { return Judged::Refused(TokenRefused::Missing) };
        match sets.current().verify(token, now.unix) {
            Ok(claims) => Judged::Good(identity(claims)),
            Err(TokenRefused::UnknownKey) => {
                if waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
                    waiting.fetch_sub(1, Ordering::Relaxed);
                    return Judged::Busy;
                }
                let (sets, door, waiting) = (sets.clone(), door.clone(), Arc::clone(waiting));
                let token = Box::<str>::from(token);
                runtime.spawn(async move {
                    let judged = sets.verify(&token, now.unix).await.map(identity);
                    // Whoever asked waits for it, and their number is bounded: so it waits for a place as well.
                    door.deliver(Letter::Judged(ticket, judged)).await;
                    waiting.fetch_sub(1, Ordering::Relaxed);
                });
                Judged::Later
            }
            Err(refused) => Judged::Refused(refused),
        }
    }
}

/// What the client is told, and what is counted.
pub(super) fn refusal(refused: TokenRefused, counters: &mut CounterSet) -> Refusal {
    counters.increment(signaling_auth_failures(failure(refused)));
    Refusal { code: refused.code(), message: Cow::Borrowed(refused.sentence()), retry_after_ms: None }
}

fn failure(refused: TokenRefused) -> TokenFailure {
    match refused {
        TokenRefused::Missing => TokenFailure::Missing,
        TokenRefused::TooLong | TokenRefused::Malformed | TokenRefused::BadPayload => TokenFailure::Malformed,
        TokenRefused::WrongAlgorithm | TokenRefused::UnknownExtension => TokenFailure::Algorithm,
        TokenRefused::UnknownKey => TokenFailure::UnknownKey,
        TokenRefused::BadSignature => TokenFailure::Signature,
        TokenRefused::Expired | TokenRefused::NotYetValid => TokenFailure::Time,
        TokenRefused::BadTime
        | TokenRefused::BadSubject
        | TokenRefused::BadClaim
        | TokenRefused::WrongIssuer
        | TokenRefused::WrongAudience => TokenFailure::Claims,
    }
}

fn identity(claims: Claims) -> Identity {
    Identity {
        user: claims.subject,
        device: claims.device,
        name: claims.name,
        expires: claims.expires,
        rooms: claims.rooms.map(|rooms| rooms.entries().map(Box::from).collect()),
        roles: Arc::from(claims.roles),
    }
}

fn guest(now: Now) -> Identity {
    let expires = UnixTime(now.unix.0.saturating_add(365 * 86_400));
    Identity { user: "guest".into(), device: None, name: None, expires, rooms: None, roles: Arc::default() }
}
