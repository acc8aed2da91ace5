//! The long-term credential mechanism (RFC 8489 section 9.2.4) in front of every TURN request.

use super::address::ClientAddr;
use super::error::Reject;
use super::request::Request;
use super::respond::Signer;
use super::server::Server;
use crate::auth::{AuthFailure, Identity, Login, Offer, Scheme};
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

/// Whom a request says it is from, and how it says so.
#[derive(Clone, Copy)]
struct Claim<'a> {
    login: Login<'a>,
    scheme: Scheme,
}

impl Server {
    /// Who sent this request, and how is its response signed?
    ///
    /// The order is that of RFC 8489 section 9.2.4 but for the nonce, which is checked before any key is
    /// derived, so that forged integrity costs a stranger's target nothing but a short hash.
    pub(super) fn authenticate(
        &mut self,
        now: Now,
        from: &ClientAddr,
        request: &Request<'_>,
    ) -> Result<(Requester, Signer), Refused> {
        if !request.message.has_integrity() {
            self.counters.increment(auth_challenges());
            return Err(Reject::Unauthorized.into());
        }
        let offer = self.authenticator.offer();
        let (login, Some(_), Some(nonce)) = (login(request)?, request.realm, request.nonce) else {
            return Err(Reject::BadRequest.into());
        };
        let Some(login) = login else { return Err(no_login(offer, nonce).into()) };
        let scheme = Scheme::of(offer, &request.message, nonce).map_err(|_| Reject::BadRequest)?;
        if self.nonces.check(now.unix, from.remote, offer, nonce).is_err() {
            self.counters.increment(auth_failures(AuthFailed::StaleNonce));
            return Err(Reject::StaleNonce.into());
        }
        let claim = Claim { login, scheme };
        match self.live_at(now, from) {
            Some(index) => self.authenticate_owner(now, from, request, claim, index),
            None => {
                let identity = self.verify(now, from, request, claim)?;
                let signer = Signer::of(&identity, scheme);
                Ok((Requester::Newcomer(identity), signer))
            }
        }
    }

    /// A request on a live allocation is checked with the keys that made it.
    fn authenticate_owner(
        &mut self,
        now: Now,
        from: &ClientAddr,
        request: &Request<'_>,
        claim: Claim<'_>,
        index: usize,
    ) -> Result<(Requester, Signer), Refused> {
        let Claim { login, scheme } = claim;
        let identity = &self.allocations[index].live().identity;
        if !login.names(identity, &self.settings.realm) {
            let other = self.verify(now, from, request, claim)?;
            let signer = Some(Signer::of(&other, scheme));
            return Err(Refused { reject: self.refuse_other(request), signer });
        }
        if !scheme.verify(&request.message, identity.keys.of(scheme.hash)) {
            self.counters.increment(auth_failures(AuthFailed::BadIntegrity));
            return Err(Reject::Unauthorized.into());
        }
        if self.settings.strict_expiry && identity.expires.is_some_and(|expires| expires <= now.unix) {
            self.counters.increment(auth_failures(AuthFailed::Expired));
            return Err(Reject::Unauthorized.into());
        }
        let signer = Signer::of(identity, scheme);
        if let Some(reason) = self.revoked_at(now, index) {
            self.counters.increment(auth_failures(AuthFailed::Revoked));
            self.end_at(now, index, reason);
            return Err(Reject::Unauthorized.into());
        }
        Ok((Requester::Owner(index), signer))
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
        Claim { login, scheme }: Claim<'_>,
    ) -> Result<Identity, Refused> {
        let source = from.remote.ip();
        let user = login.hash(&self.settings.realm);
        // A source that would get no answer gets no key derived either, and cannot spend the guesses of
        // the many users that share this table's buckets.
        if !from.transport.proves_source() && !self.strangers.has_budget(now, source) {
            return Err(Reject::Unauthorized.into());
        }
        let failed = if !self.strangers.may_guess(now, source, &user) {
            AuthFailed::Guessing
        } else {
            match self.authenticator.authenticate(now.unix, login, scheme, &request.message) {
                // Asked behind the integrity alone: strangers learn nothing of who was revoked.
                Ok(identity) if self.revoking.void(now, &identity, &self.authenticator).is_some() => {
                    AuthFailed::Revoked
                }
                Ok(identity) => return Ok(identity),
                Err(AuthFailure::BadIntegrity) => AuthFailed::BadIntegrity,
                Err(AuthFailure::UnknownUser) => AuthFailed::UnknownUser,
                Err(AuthFailure::Expired) => AuthFailed::Expired,
            }
        };
        if matches!(failed, AuthFailed::BadIntegrity | AuthFailed::UnknownUser) {
            self.strangers.guessed_wrong(now, source, &user);
        }
        self.counters.increment(auth_failures(failed));
        Err(Reject::Unauthorized.into())
    }
}

/// USERNAME, or USERHASH where it is understood. `None` without either.
///
/// A request with both names its user twice, and nothing says which one counts: 400.
fn login<'a>(request: &Request<'a>) -> Result<Option<Login<'a>>, Reject> {
    let login = match (request.username, request.userhash) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(Reject::BadRequest),
        (Some(name), None) => attribute::decode_username(name).map(Login::Name),
        (None, Some(hash)) => attribute::decode_userhash(hash).map(Login::Hash),
    };
    login.map(Some).map_err(|_| Reject::BadRequest)
}

/// Why a request without a user that we understand is refused. Under a nonce of an offer that a reload
/// took back, the user may be a USERHASH: the fresh nonce tells its client to send USERNAME.
fn no_login(offer: Offer, nonce: &[u8]) -> Reject {
    if !offer.is_modern() && Offer::is_in(nonce) { Reject::StaleNonce } else { Reject::BadRequest }
}
