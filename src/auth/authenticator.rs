//! Judges requests that carry USERNAME and MESSAGE-INTEGRITY (RFC 8489 section 9.2.4).
//!
//! What a stranger can time or count tells him nothing: every request that fails costs one check
//! for the static user (with a stand-in key when there is none) and one derivation plus one check
//! for each candidate key, whatever its name looks like, and the static user is found by a search
//! that takes the same steps for every name.

use super::name::MintedName;
use super::password::SigningKey;
use super::settings::{Secret, Settings};
use crate::base::UnixTime;
use crate::wire::stun::{IntegrityAlgorithm, IntegrityKey, Message};
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
        let hash = digest::digest(&digest::SHA256, username.as_bytes());
        Self(*hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes"))
    }

    /// The id as bytes.
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }
}

/// Who sent a request, and with what it was signed.
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
    /// Checks what follows and signs the replies.
    pub key: IntegrityKey,
    /// The integrity that the request had; its replies have the same.
    pub algorithm: IntegrityAlgorithm,
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
    /// Sorted by id.
    users: Vec<StaticUser>,
    candidates: Vec<SigningKey>,
    /// Stands in where there is no static user, so that the work is the same.
    nobody: IntegrityKey,
}

#[derive(Debug)]
struct StaticUser {
    id: CredentialId,
    name: Arc<str>,
    key: IntegrityKey,
}

impl Authenticator {
    /// Prepares the keys of all secrets and static users of `settings`.
    ///
    /// Names and passwords of static users go through the profile OpaqueString (RFC 8265 section
    /// 4.2), as RFC 8489 sections 9.2.2 and 14.3 want it; text that the profile refuses is taken
    /// as it is. The realm is taken as it is, since clients get to see it so.
    pub fn new(settings: &Settings) -> Self {
        let realm = settings.realm.clone();
        let mut users: Vec<_> =
            settings.users.iter().map(|(name, password)| StaticUser::new(name, &realm, password)).collect();
        users.sort_by_key(|user| user.id);
        let nobody = IntegrityKey::long_term_md5(b"", realm.as_bytes(), b"");
        Self { realm, users, candidates: SigningKey::candidates(settings), nobody }
    }

    /// Verifies the MESSAGE-INTEGRITY of a request, which the caller found to be there, under
    /// `username`, the text of its USERNAME.
    ///
    /// `now`: wall clock; matters for time-limited names alone. Requests on an allocation that
    /// lives are checked with the key of its [`Identity`], so that expiry does not end it.
    ///
    /// # Errors
    /// One [`AuthFailure`]; also when only another integrity than MESSAGE-INTEGRITY is there.
    pub fn authenticate(
        &self,
        now: UnixTime,
        username: &str,
        message: &Message<'_>,
    ) -> Result<Identity, AuthFailure> {
        self.judge(now, username, |key| message.check_integrity(IntegrityAlgorithm::Sha1, key))
    }

    /// `verify` tells whether the request was signed with this key.
    fn judge(
        &self,
        now: UnixTime,
        username: &str,
        mut verify: impl FnMut(&IntegrityKey) -> bool,
    ) -> Result<Identity, AuthFailure> {
        let id = CredentialId::of(username);
        let user = self.static_user(id);
        let right = verify(user.map_or(&self.nobody, |user| &user.key));
        if let (Some(user), true) = (user, right) {
            return Ok(user.identity());
        }
        let minted = MintedName::parse(username);
        let current = minted.filter(|name| now < name.expires());
        let mut signed = false;
        for candidate in &self.candidates {
            let key = self.derive(candidate, username);
            if verify(&key) {
                signed = true;
                if let Some(name) = current {
                    return Ok(minted_identity(id, username, name, key));
                }
            }
        }
        Err(match (minted, user) {
            (Some(_), _) if signed => AuthFailure::Expired,
            (None, None) => AuthFailure::UnknownUser,
            _ => AuthFailure::BadIntegrity,
        })
    }

    fn derive(&self, candidate: &SigningKey, username: &str) -> IntegrityKey {
        let password = candidate.password(username);
        IntegrityKey::long_term_md5(username.as_bytes(), self.realm.as_bytes(), password.as_bytes())
    }

    /// Compares digests, of which a stranger cannot choose the next bit, in a number of steps that
    /// depends on nothing but the number of users.
    fn static_user(&self, id: CredentialId) -> Option<&StaticUser> {
        let at = self.users.partition_point(|user| user.id < id);
        self.users.get(at).filter(|user| user.id == id)
    }
}

impl StaticUser {
    fn new(name: &str, realm: &str, password: &Secret) -> Self {
        let name = opaque_string(name);
        let password = opaque_string(password.expose());
        Self {
            id: CredentialId::of(&name),
            key: IntegrityKey::long_term_md5(name.as_bytes(), realm.as_bytes(), password.as_bytes()),
            name: Arc::from(name),
        }
    }

    fn identity(&self) -> Identity {
        Identity {
            credential: self.id,
            subject: Arc::clone(&self.name),
            label: None,
            call_id: None,
            key: self.key.clone(),
            algorithm: IntegrityAlgorithm::Sha1,
            expires: None,
            allocations_max: None,
            bits_per_second: None,
        }
    }
}

fn minted_identity(id: CredentialId, username: &str, name: MintedName<'_>, key: IntegrityKey) -> Identity {
    let subject = name.subject();
    Identity {
        credential: id,
        // Bare expiries name nobody: each is its own subject, or all of them would share one quota.
        subject: if subject.is_empty() { Arc::from(username) } else { Arc::from(subject) },
        label: name.label().map(Arc::from),
        call_id: name.call_id().map(Arc::from),
        key,
        algorithm: IntegrityAlgorithm::Sha1,
        expires: Some(name.expires()),
        allocations_max: name.allocations_max(),
        bits_per_second: name.bits_per_second(),
    }
}

/// `text` as the profile OpaqueString prepares it; unchanged where the profile has no answer.
pub(super) fn opaque_string(text: &str) -> Cow<'_, str> {
    OpaqueString::new().enforce(text).unwrap_or(Cow::Borrowed(text))
}

#[cfg(test)]
#[path = "authenticator_tests.rs"]
mod tests;
