//! The long-term credential mechanism (RFC 8489 section 9.2.4) in front of every TURN request.

use super::address::ClientAddr;
use super::error::Reject;
use super::request::Request;
use super::respond::Signer;
use super::server::Server;
use crate::auth::{AuthFailure, CredentialId, Identity};
use crate::base::Now;
use crate::metrics::{AllocationFailure, AuthFailed, allocation_failures, auth_challenges, auth_failures};
use crate::wire::stun::{Method, attribute};

/// Whose request it is.
#[derive(Debug)]
pub(super) enum Requester {
    /// The owner of the live allocation at this index.
    Owner(usize),
    /// Somebody with valid credentials on a 5-tuple without an allocation.
    Newcomer(Identity),
}

/// Why a request goes no further; signed when its integrity was right.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) reject: Reject,
    pub(super) signer: Option<Signer>,
}

impl From<Reject> for Refused {
    fn from(reject: Reject) -> Self {
        Self { reject, signer: None }
    }
}

impl Server {
    /// Who sent this request?
    ///
    /// The nonce is checked before any key is derived, so that forged integrity costs a stranger's
    /// target nothing but a short hash.
    pub(super) fn authenticate(
        &mut self,
        now: Now,
        from: &ClientAddr,
        request: &Request<'_>,
    ) -> Result<Requester, Refused> {
        if !request.message.has_integrity() {
            self.counters.increment(auth_challenges());
            return Err(Reject::Unauthorized.into());
        }
        let (Some(username), Some(_), Some(nonce)) = (request.username, request.realm, request.nonce) else {
            return Err(Reject::BadRequest.into());
        };
        let username = attribute::decode_username(username).map_err(|_| Reject::BadRequest)?;
        if self.nonces.check(now.unix, from.remote, nonce).is_err() {
            self.counters.increment(auth_failures(AuthFailed::StaleNonce));
            return Err(Reject::StaleNonce.into());
        }
        match self.live_at(now, from) {
            Some(index) => self.authenticate_owner(now, from, request, username, index),
            None => self.verify(now, from, request, username).map(Requester::Newcomer),
        }
    }

    /// A request on a live allocation is checked with the key that made it.
    fn authenticate_owner(
        &mut self,
        now: Now,
        from: &ClientAddr,
        request: &Request<'_>,
        username: &str,
        index: usize,
    ) -> Result<Requester, Refused> {
        let identity = &self.allocations[index].live().identity;
        if identity.credential != CredentialId::of(username) {
            let other = self.verify(now, from, request, username)?;
            return Err(Refused { reject: self.refuse_other(request), signer: Some(Signer::of(&other)) });
        }
        if !request.message.check_integrity(identity.algorithm, &identity.key) {
            self.counters.increment(auth_failures(AuthFailed::BadIntegrity));
            return Err(Reject::Unauthorized.into());
        }
        if self.settings.strict_expiry && identity.expires.is_some_and(|expires| expires <= now.unix) {
            self.counters.increment(auth_failures(AuthFailed::Expired));
            return Err(Reject::Unauthorized.into());
        }
        Ok(Requester::Owner(index))
    }

    /// Another user, who exists, on a live 5-tuple: 441 (RFC 8656 section 5). An Allocate gets 437
    /// (section 7.2 item 2), which makes a client try again from another port.
    fn refuse_other(&mut self, request: &Request<'_>) -> Reject {
        if request.message.method() == Method::ALLOCATE {
            self.counters.increment(allocation_failures(AllocationFailure::Mismatch));
            return Reject::AllocationMismatch;
        }
        self.counters.increment(auth_failures(AuthFailed::OtherUser));
        Reject::WrongCredentials
    }

    /// Checks credentials from scratch, within the guessing budget of (source, user).
    fn verify(
        &mut self,
        now: Now,
        from: &ClientAddr,
        request: &Request<'_>,
        username: &str,
    ) -> Result<Identity, Refused> {
        let source = from.remote.ip();
        // A source that would get no answer gets no key derived either, and cannot spend the guesses of
        // the many users that share this table's buckets.
        if !from.transport.proves_source() && !self.strangers.has_budget(now, source) {
            return Err(Reject::Unauthorized.into());
        }
        let failed = if !self.strangers.may_guess(now, source, username.as_bytes()) {
            AuthFailed::Guessing
        } else {
            match self.authenticator.authenticate(now.unix, username, &request.message) {
                Ok(identity) => return Ok(identity),
                Err(AuthFailure::BadIntegrity) => AuthFailed::BadIntegrity,
                Err(AuthFailure::UnknownUser) => AuthFailed::UnknownUser,
                Err(AuthFailure::Expired) => AuthFailed::Expired,
            }
        };
        if matches!(failed, AuthFailed::BadIntegrity | AuthFailed::UnknownUser) {
            self.strangers.guessed_wrong(now, source, username.as_bytes());
        }
        self.counters.increment(auth_failures(failed));
        Err(Reject::Unauthorized.into())
    }
}
