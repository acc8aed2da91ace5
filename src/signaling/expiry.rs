//! Tokens end, and so does the daemon.

use super::hub::{Reply, Timer};
use super::json::Object;
use super::payload::{Payload, at_most, required};
use super::{Class, Closing, Effect, Hub, Identity, Refusal, SessionId};
use crate::base::{Now, UnixTime};
use crate::metrics::SignalingError;
use std::time::Duration;

/// Bytes of a token, on whatever way it comes.
const TOKEN_BYTES_MAX: usize = 8 << 10;
/// Tokens of one session that are being verified at once.
const VERIFYING_MAX: u8 = 4;
/// After a stop clients come back within this time, each at a moment of its own.
pub(super) const RETURN_MS_MAX: u32 = 5_000;

impl Hub {
    /// `auth:refresh {token}`
    pub(super) fn on_refresh(
        &mut self,
        id: SessionId,
        payload: &Payload<'_>,
        ack: Option<u64>,
    ) -> Result<Reply, Refusal> {
        let token = required(payload.token()?, "token")?;
        at_most(&token, TOKEN_BYTES_MAX, "token")?;
        let Some(session) = self.town.sessions.get_mut(id) else { return Ok(Reply::Later) };
        if session.verifying >= VERIFYING_MAX {
            return Err(super::limits::wait("a token is being verified", Duration::from_secs(1)));
        }
        session.verifying += 1;
        self.effects.push_back(Effect::Verify { session: id, ack, token: Box::from(&*token) });
        Ok(Reply::Later)
    }

    /// The answer to [`Effect::Verify`].
    pub fn on_verified(
        &mut self,
        now: Now,
        session: SessionId,
        ack: Option<u64>,
        result: Result<Identity, Refusal>,
    ) {
        let Some(known) = self.town.sessions.get_mut(session) else { return };
        // Asked for by a transport that is gone: whoever is there now waits for no such answer.
        if !known.is_attached || known.verifying == 0 {
            return;
        }
        known.verifying -= 1;
        let renewed = result.and_then(|identity| self.renew(now, session, identity));
        match (renewed, ack) {
            (Ok(expires), Some(ack)) => {
                self.answer(session, ack, Ok(Object::new().number("exp", expires.0).finish()));
            }
            (Ok(_), None) => {}
            (Err(refusal), ack) => self.refuse(now, session, ack, "auth:refresh", None, refusal),
        }
    }

    fn renew(&mut self, now: Now, id: SessionId, identity: Identity) -> Result<UnixTime, Refusal> {
        let Some(session) = self.town.sessions.get_mut(id) else { return Ok(identity.expires) };
        let is_same_device = identity.device.as_deref().is_none_or(|device| *session.device == *device);
        if identity.user != session.identity.user || !is_same_device {
            return Err(Refusal::new(
                SignalingError::Forbidden,
                "the token is another user's or another device's",
            ));
        }
        let expires = identity.expires;
        session.identity = identity;
        self.leave_forbidden_rooms(id);
        self.watch_token(now, id);
        Ok(expires)
    }

    /// A new token may open fewer rooms.
    pub(super) fn leave_forbidden_rooms(&mut self, id: SessionId) {
        let Some(session) = self.town.sessions.get(id) else { return };
        let is_forbidden = |place: &u32| {
            let room = self.town.rooms.at(*place);
            room.is_some_and(|room| !session.identity.admits(&room.name, self.settings.rooms.open))
        };
        let forbidden: Vec<u32> = session.rooms.iter().copied().filter(is_forbidden).collect();
        for place in forbidden {
            self.leave_room(id, place);
        }
    }

    /// Watches over the end of a session's token from now on.
    pub(super) fn watch_token(&mut self, now: Now, id: SessionId) {
        let Some(session) = self.town.sessions.get_mut(id) else { return };
        (session.has_notice, session.has_expired) = (false, false);
        let left = Duration::from_secs(session.identity.expires.secs_since(now.unix));
        let at = now.at.after(left.saturating_sub(self.settings.expiry.notice));
        if let Some(before) = session.expiry.replace(self.timers.schedule(at, Timer::Token(id))) {
            self.timers.cancel(before);
        }
    }

    /// The wall clock decides, and it may have been set since: so each step asks it anew.
    ///
    /// What is said of a token is not kept: a client that comes back has another one.
    pub(super) fn on_token_timer(&mut self, now: Now, id: SessionId) {
        let expiry = self.settings.expiry;
        let Some(session) = self.town.sessions.get_mut(id) else { return };
        session.expiry = None;
        let end = session.identity.expires;
        let left = Duration::from_secs(end.secs_since(now.unix));
        let over = Duration::from_secs(now.unix.secs_since(end));
        let next = if left > expiry.notice {
            left - expiry.notice
        } else if left > Duration::ZERO || over < expiry.leeway {
            if !std::mem::replace(&mut session.has_notice, true) {
                self.tell(
                    now,
                    id,
                    "auth:expiring",
                    Object::new().number("exp", end.0).finish(),
                    Class::Droppable,
                );
            }
            (left + expiry.leeway).saturating_sub(over)
        } else {
            session.has_expired = true;
            self.tell(now, id, "auth:expired", super::json::done(), Class::Droppable);
            return self.close(id, Closing::TokenExpired);
        };
        let timer = self.timers.schedule(now.at.after(next), Timer::Token(id));
        if let Some(session) = self.town.sessions.get_mut(id) {
            session.expiry = Some(timer);
        }
    }

    /// The daemon stops: every client is told when to come back, and every transport is closed. Calls end, unless they
    /// are kept: their media goes on without us, and who comes back to the next daemon finds them.
    pub fn shutdown(&mut self, now: Now) {
        self.is_stopping = true;
        if !self.keeps {
            self.calls.shutdown(now);
            self.take_outputs();
        }
        let sessions: Vec<SessionId> = self.town.sessions.iter().map(|session| session.id).collect();
        for id in sessions {
            let retry_after_ms = u64::from(self.random.below(RETURN_MS_MAX));
            let data = Object::new().number("retry_after_ms", retry_after_ms).finish();
            self.tell(now, id, "server:shutdown", data, Class::Droppable);
            self.close(id, Closing::Shutdown);
        }
    }
}
