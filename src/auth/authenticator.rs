//! Judges requests that carry a user and an integrity (RFC 8489 section 9.2.4).
//!
//! What a stranger can time or count tells him nothing: every USERNAME that fails costs one check
//! for the static user (with the key of its neighbour when there is none) and one derivation plus one check
//! for each candidate key, whatever it looks like, and the static user is found by a search
//! that takes the same steps for every name and reads the same memory. Every USERHASH that fails costs that search and that
//! check of a static user, since no time-limited name can be found by its hash.

use super::keys::{KeyHash, LongTermKeys, Scheme};
use super::login::{Login, userhash};
use super::name::MintedName;
use super::offer::Offer;
use super::password::SigningKey;
use super::revocations::Claimed;
use super::settings::Settings;
use super::stored_user::StoredUser;
use crate::base::UnixTime;
use crate::wire::stun::{IntegrityKey, Message};
use aws_lc_rs::digest;
use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::Profile;
use std::borrow::Cow;
use std::sync::Arc;

/// Names a credential, that is a whole username: the first 128 bits of its SHA-256.
///
/// The same on every node and after every start, and nobody can find a second name for an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialId([u8; 16]);

impl CredentialId {
    /// The id of a username as it stands in USERNAME.
    pub fn of(username: &str) -> Self {
        Self(digest(username.as_bytes()))
    }

    /// The id as bytes.
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }
}

/// Who sent a request.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The very credential: two requests with the same id come from the same one.
    pub credential: CredentialId,
    /// Whom quotas, usage and lookups count; the whole name of a static user, or of one without a
    /// subject.
    pub subject: Arc<str>,
    /// What the minter wants to see it counted under.
    pub label: Option<Arc<str>>,
    /// The call that the credential was made for.
    pub call_id: Option<Arc<str>>,
    /// The id that the credential can be revoked by (`i=`).
    pub credential_id: Option<Arc<str>>,
    /// When it was minted (`t=`); `None` for names of other minters and for static users.
    pub minted_at: Option<UnixTime>,
    /// Check what follows and sign the replies.
    pub keys: LongTermKeys,
    /// From this second on the credential is void; `None` for a static user.
    pub expires: Option<UnixTime>,
    /// Allocations that may live at once, where that is less than the configured limit.
    pub allocations_max: Option<u32>,
    /// Relayed payload in bit/s, where that is less than the configured limit.
    pub bits_per_second: Option<u64>,
}

/// Why a request was not let through. All are answered alike, with 401; the metrics tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthFailure {
    /// Neither a static user nor the name of a time-limited credential.
    UnknownUser,
    /// The user may exist; the integrity stands on another password.
    BadIntegrity,
    /// The integrity is right and the name's time is over.
    Expired,
}

/// All that is needed to judge a request, prepared once. Shards share one behind an `Arc`.
#[derive(Debug)]
pub struct Authenticator {
    realm: String,
    offer: Offer,
    /// Sorted by id.
    users: Vec<StoredUser>,
    /// Digest of a USERHASH and place among the users, sorted. Not the USERHASH itself, of which a
    /// stranger could choose each bit and time the search.
    by_hash: Vec<([u8; 16], usize)>,
    candidates: Vec<SigningKey>,
    /// Stand in where there are no static users at all, so that the work is the same.
    nobody: LongTermKeys,
}

impl Authenticator {
    /// Prepares the keys of all secrets and static users of `settings`.
    ///
    /// Names and passwords of static users go through the profile OpaqueString (RFC 8265 section
    /// 4.2), as RFC 8489 sections 9.2.2 and 14.3 want it; text that the profile refuses is taken
    /// as it is. The realm is taken as it is, since clients get to see it so.
    pub fn new(settings: &Settings) -> Self {
        Self::with_stored(settings, &[])
    }

    /// The same with users that the config does not know. One whose name is in the config too is the config's; one of
    /// another realm is nobody.
    pub fn with_stored(settings: &Settings, stored: &[StoredUser]) -> Self {
        let realm = settings.realm.clone();
        let mut users: Vec<_> =
            settings.users.iter().map(|(name, password)| StoredUser::new(name, &realm, password)).collect();
        users.extend(stored.iter().filter(|user| *user.realm == realm).cloned());
        // Stable, so that the config's user comes first.
        users.sort_by_key(|user| user.id);
        users.dedup_by_key(|user| user.id);
        let hashed = |(at, user): (usize, &StoredUser)| (digest(&userhash(&user.name, &realm)), at);
        let mut by_hash: Vec<_> = users.iter().enumerate().map(hashed).collect();
        by_hash.sort_unstable();
        let nobody = LongTermKeys::new(b"", realm.as_bytes(), b"");
        let offer = Offer::of(settings);
        Self { realm, offer, users, by_hash, candidates: SigningKey::candidates(settings), nobody }
    }

    /// What challenges offer.
    pub fn offer(&self) -> Offer {
        self.offer
    }

    /// Whether there is a static user with this credential.
    pub fn knows(&self, user: CredentialId) -> bool {
        self.users.binary_search_by_key(&user, |known| known.id).is_ok()
    }

    /// Verifies the integrity of a request, which the caller found to be there, by its `scheme`.
    ///
    /// `now`: wall clock; matters for time-limited names alone. Requests on an allocation that
    /// lives are checked with the keys of its [`Identity`], so that expiry does not end it.
    ///
    /// # Errors
    /// One [`AuthFailure`]; also when another integrity is there than the scheme's.
    pub fn authenticate(
        &self,
        now: UnixTime,
        login: Login<'_>,
        scheme: Scheme,
        message: &Message<'_>,
    ) -> Result<Identity, AuthFailure> {
        self.judge(now, login, scheme.hash, |key| scheme.verify(message, key))
    }

    /// `verify` tells whether the request was signed with this key.
    fn judge(
        &self,
        now: UnixTime,
        login: Login<'_>,
        hash: KeyHash,
        mut verify: impl FnMut(&IntegrityKey) -> bool,
    ) -> Result<Identity, AuthFailure> {
        let (nearest, found) = match login {
            Login::Name(username) => self.named(CredentialId::of(username)),
            Login::Hash(userhash) => self.hashed(digest(&userhash)),
        };
        let right = verify(nearest.map_or(&self.nobody, |user| &user.keys).of(hash));
        let user = nearest.filter(|_| found);
        match (login, user) {
            (_, Some(user)) if right => Ok(user.identity()),
            (Login::Name(username), _) => self.judge_minted(now, username, hash, user.is_some(), verify),
            (Login::Hash(_), Some(_)) => Err(AuthFailure::BadIntegrity),
            (Login::Hash(_), None) => Err(AuthFailure::UnknownUser),
        }
    }

    /// `is_static`: there is a static user of this name too.
    fn judge_minted(
        &self,
        now: UnixTime,
        username: &str,
        hash: KeyHash,
        is_static: bool,
        mut verify: impl FnMut(&IntegrityKey) -> bool,
    ) -> Result<Identity, AuthFailure> {
        let minted = MintedName::parse(username);
        let current = minted.filter(|name| now < name.expires());
        let (name, realm) = (username.as_bytes(), self.realm.as_bytes());
        let mut signed = false;
        for candidate in &self.candidates {
            let password = candidate.password(username);
            if verify(&hash.key(name, realm, password.as_bytes())) {
                signed = true;
                if let Some(current) = current {
                    let keys = LongTermKeys::new(name, realm, password.as_bytes());
                    return Ok(minted_identity(username, current, keys));
                }
            }
        }
        Err(match (minted, is_static) {
            (Some(_), _) if signed => AuthFailure::Expired,
            (None, false) => AuthFailure::UnknownUser,
            _ => AuthFailure::BadIntegrity,
        })
    }

    /// The static user of this id, and whether it is that one and not its neighbour.
    ///
    /// Compares digests, of which a stranger cannot choose the next bit, in a number of steps that
    /// depends on nothing but the number of users. The neighbour's keys are as far from the processor
    /// as those of a user who exists: a stand-in that every unknown name shares would be close at hand
    /// and tell them apart by the time of a cache miss.
    fn named(&self, id: CredentialId) -> (Option<&StoredUser>, bool) {
        let at = nearest(&self.users, id.0, |user| user.id.0);
        let user = self.users.get(at);
        (user, user.is_some_and(|user| user.id == id))
    }

    /// The same by the digest of a USERHASH.
    fn hashed(&self, digest: [u8; 16]) -> (Option<&StoredUser>, bool) {
        let at = nearest(&self.by_hash, digest, |(hash, _)| *hash);
        let entry = self.by_hash.get(at);
        let user = entry.and_then(|(_, user)| self.users.get(*user));
        (user, entry.is_some_and(|(hash, _)| *hash == digest))
    }
}

/// Where the first of the entries that is not below `digest` stands; the last one when all are. They are sorted by
/// `of`. Compared as numbers, since of bytes the second half is looked at only when the first is equal.
fn nearest<T>(entries: &[T], digest: [u8; 16], of: impl Fn(&T) -> [u8; 16]) -> usize {
    let below = |entry: &T| u128::from_be_bytes(of(entry)) < u128::from_be_bytes(digest);
    entries.partition_point(below).min(entries.len().saturating_sub(1))
}

impl StoredUser {
    fn identity(&self) -> Identity {
        Identity {
            credential: self.id,
            subject: Arc::clone(&self.name),
            label: None,
            call_id: None,
            credential_id: None,
            minted_at: None,
            keys: self.keys.clone(),
            expires: None,
            allocations_max: None,
            bits_per_second: None,
        }
    }
}

fn minted_identity(username: &str, name: MintedName<'_>, keys: LongTermKeys) -> Identity {
    let subject = name.subject();
    Identity {
        credential: CredentialId::of(username),
        // Bare expiries name nobody: each is its own subject, or all of them would share one quota.
        subject: if subject.is_empty() { Arc::from(username) } else { Arc::from(subject) },
        label: name.label().map(Arc::from),
        call_id: name.call_id().map(Arc::from),
        credential_id: name.id().map(Arc::from),
        minted_at: name.minted_at(),
        keys,
        expires: Some(name.expires()),
        allocations_max: name.allocations_max(),
        bits_per_second: name.bits_per_second(),
    }
}

impl Identity {
    /// What revocations are asked about.
    pub fn claimed(&self) -> Claimed<'_> {
        Claimed {
            id: self.credential_id.as_deref(),
            subject: &self.subject,
            label: self.label.as_deref(),
            call_id: self.call_id.as_deref(),
            minted_at: self.minted_at,
        }
    }
}

/// The first 128 bits of SHA-256.
fn digest(bytes: &[u8]) -> [u8; 16] {
    let hash = digest::digest(&digest::SHA256, bytes);
    *hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

/// `text` as the profile OpaqueString prepares it; unchanged where the profile has no answer.
pub(super) fn opaque_string(text: &str) -> Cow<'_, str> {
    OpaqueString::new().enforce(text).unwrap_or(Cow::Borrowed(text))
}

#[cfg(test)]
#[path = "authenticator_tests.rs"]
mod tests;
