//! Sessions of people in a browser who showed an API key once: what their cookie stands for.
//!
//! A script of the page cannot read the cookie, so that a page which runs foreign text gives no key away; and what it
//! stands for ends by itself. A browser adds the cookie to whatever a page makes it send, so that changes also need a
//! text which only our own page was told (CSRF).

use super::{ApiKey, ApiKeyHash, ApiKeys};
use crate::base::{Now, Timestamp, UnixTime};
use aws_lc_rs::constant_time;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Sessions at once; one more takes the place of the one that was idle for longest.
pub const BROWSER_SESSIONS_MAX: usize = 64;

/// Without a request for so long, a session is over.
pub const BROWSER_SESSION_IDLE: Duration = Duration::from_secs(3600);

/// So long after its login, a session is over whatever happens in it.
pub const BROWSER_SESSION_AGE: Duration = Duration::from_secs(12 * 3600);

/// Names a session and gives nobody its cookie: the SHA-256 of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BrowserSessionId(ApiKeyHash);

/// A session.
#[derive(Clone, Debug)]
pub struct BrowserSession {
    /// By which it is ended.
    pub id: BrowserSessionId,
    /// The key that it was begun with, and what it may do.
    pub key: Arc<ApiKey>,
    /// What a request that changes something has to carry beside the cookie.
    pub csrf: Box<str>,
    /// When it ends at the latest.
    pub expires: UnixTime,
    begun: Timestamp,
    used: Timestamp,
}

impl BrowserSession {
    /// Whether `presented` is [`Self::csrf`]. How long it takes tells nothing.
    pub fn has_csrf(&self, presented: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(self.csrf.as_bytes(), presented).is_ok()
    }

    fn is_live(&self, now: Now, keys: &ApiKeys) -> bool {
        now.at.since(self.used) < BROWSER_SESSION_IDLE
            && now.at.since(self.begun) < BROWSER_SESSION_AGE
            && keys.has(&self.key.id)
    }
}

/// All sessions, at most [`BROWSER_SESSIONS_MAX`]. They are found by the hash of their cookie, of which nobody can choose
/// the bits: how long the search takes tells nothing about a cookie.
#[derive(Debug, Default)]
pub struct BrowserSessions(HashMap<BrowserSessionId, BrowserSession>);

impl BrowserSessions {
    /// Begins a session of whoever showed `key`. `cookie` and `csrf`: random bits, used for nothing else. Returns the
    /// value of its cookie, 43 characters that a cookie may have.
    pub fn begin(
        &mut self,
        now: Now,
        key: Arc<ApiKey>,
        cookie: [u8; 32],
        csrf: [u8; 32],
    ) -> (String, BrowserSession) {
        let cookie = URL_SAFE_NO_PAD.encode(cookie);
        let id = id_of(&cookie);
        let csrf = URL_SAFE_NO_PAD.encode(csrf).into();
        let expires = now.unix.after(BROWSER_SESSION_AGE);
        let session = BrowserSession { id, key, csrf, expires, begun: now.at, used: now.at };
        self.make_room();
        self.0.insert(id, session.clone());
        (cookie, session)
    }

    /// The session that a cookie stands for, which is in use by that; `None` when it is over, or its key was taken away.
    pub fn find(&mut self, now: Now, cookie: &str, keys: &ApiKeys) -> Option<&BrowserSession> {
        let id = id_of(cookie);
        if !self.is_live(now, id, keys) {
            self.0.remove(&id);
        }
        let session = self.0.get_mut(&id)?;
        session.used = now.at;
        Some(session)
    }

    /// Whether it goes on. This is no use of it.
    pub fn is_live(&self, now: Now, id: BrowserSessionId, keys: &ApiKeys) -> bool {
        self.0.get(&id).is_some_and(|session| session.is_live(now, keys))
    }

    /// Ends a session, if there is one.
    pub fn end(&mut self, id: BrowserSessionId) {
        self.0.remove(&id);
    }

    fn make_room(&mut self) {
        while self.0.len() >= BROWSER_SESSIONS_MAX {
            let Some(oldest) = self.0.values().min_by_key(|session| session.used).map(|one| one.id) else {
                return;
            };
            self.0.remove(&oldest);
        }
    }
}

fn id_of(cookie: &str) -> BrowserSessionId {
    BrowserSessionId(ApiKeyHash::of(cookie))
}

#[cfg(test)]
mod tests {
    use super::super::Scope;
    use super::*;

    fn at(secs: u64) -> Now {
        Now { at: Timestamp::from_secs(secs), unix: UnixTime(1_795_222_800 + secs) }
    }

    fn key(id: &str) -> ApiKey {
        ApiKey { id: id.into(), name: "n".into(), scopes: vec![Scope::Admin], created_at: UnixTime(0) }
    }

    /// Two keys, and nobody who logged in.
    fn none() -> (BrowserSessions, ApiKeys) {
        let keys = ["k1", "k2"].map(|id| (ApiKeyHash::of(id), key(id)));
        (BrowserSessions::default(), keys.into_iter().collect())
    }

    fn begin(sessions: &mut BrowserSessions, now: Now, bits: u8) -> String {
        sessions.begin(now, Arc::new(key("k1")), [bits; 32], [!bits; 32]).0
    }

    #[test]
    fn a_session_is_found_by_its_whole_cookie_and_keeps_its_key_and_its_csrf() {
        let (mut sessions, keys) = none();
        let (cookie, begun) = sessions.begin(at(5), Arc::new(key("k2")), [1; 32], [2; 32]);
        assert_eq!((cookie.len(), begun.expires), (43, UnixTime(1_795_222_805 + 12 * 3600)));
        let found = sessions.find(at(6), &cookie, &keys).expect("live");
        assert_eq!((&*found.key.id, &found.csrf, found.id), ("k2", &begun.csrf, begun.id));
        for other in ["", &cookie[..42], &format!("{cookie}A"), &begun.csrf, "k2"] {
            assert!(sessions.find(at(6), other, &keys).is_none(), "{other}");
        }
    }

    #[test]
    fn the_csrf_is_taken_whole_and_is_not_the_cookie() {
        let (mut sessions, _) = none();
        let (cookie, session) = sessions.begin(at(0), Arc::new(key("k1")), [1; 32], [2; 32]);
        assert!(session.has_csrf(session.csrf.as_bytes()));
        for other in ["", &cookie, &session.csrf[..42], &format!("{} ", session.csrf)] {
            assert!(!session.has_csrf(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_session_that_is_used_goes_on_until_its_age_and_an_idle_one_ends_earlier() {
        let (mut sessions, keys) = none();
        let (used, idle) = (begin(&mut sessions, at(0), 1), begin(&mut sessions, at(0), 2));
        for half_hours in 1..24 {
            assert!(sessions.find(at(half_hours * 1800), &used, &keys).is_some(), "{half_hours} half hours");
        }
        assert!(sessions.find(at(3600), &idle, &keys).is_none(), "an hour without a request");
        assert!(sessions.find(at(12 * 3600), &used, &keys).is_none(), "twelve hours");
        assert!(sessions.find(at(1), &used, &keys).is_none(), "what is over stays over");
        assert!(sessions.0.is_empty());
    }

    #[test]
    fn to_ask_whether_it_goes_on_is_no_use_of_it() {
        let (mut sessions, keys) = none();
        let cookie = begin(&mut sessions, at(0), 1);
        let id = id_of(&cookie);
        assert!(sessions.is_live(at(3599), id, &keys));
        assert!(!sessions.is_live(at(3600), id, &keys));
        assert!(sessions.find(at(3600), &cookie, &keys).is_none());
    }

    #[test]
    fn a_session_dies_with_its_key_and_leaves_those_of_other_keys() {
        let (mut sessions, keys) = none();
        let one = begin(&mut sessions, at(0), 1);
        let (other, _) = sessions.begin(at(0), Arc::new(key("k2")), [2; 32], [0; 32]);
        let left = keys.without("k1");
        assert!(!sessions.is_live(at(1), id_of(&one), &left));
        assert!(sessions.find(at(1), &one, &left).is_none());
        assert!(sessions.find(at(1), &other, &left).is_some());
        assert!(sessions.find(at(1), &one, &keys).is_none(), "not even when a key has its id again");
    }

    #[test]
    fn one_too_many_takes_the_place_of_the_one_that_was_idle_for_longest() {
        let (mut sessions, keys) = none();
        let cookies: Vec<_> = (0..64).map(|n| begin(&mut sessions, at(u64::from(n)), n)).collect();
        assert!(sessions.find(at(100), &cookies[0], &keys).is_some(), "the oldest, and in use");
        let last = begin(&mut sessions, at(101), 64);
        assert_eq!(sessions.0.len(), BROWSER_SESSIONS_MAX);
        assert!(sessions.find(at(102), &cookies[1], &keys).is_none());
        for left in [&cookies[0], &cookies[2], &last] {
            assert!(sessions.find(at(102), left, &keys).is_some());
        }
    }

    #[test]
    fn who_logs_out_is_out() {
        let (mut sessions, keys) = none();
        let (cookie, session) = sessions.begin(at(0), Arc::new(key("k1")), [1; 32], [2; 32]);
        sessions.end(session.id);
        assert!(sessions.find(at(0), &cookie, &keys).is_none());
    }
}
