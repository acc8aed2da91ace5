//! What a token says, once its signature is known to be good.

use super::TokenRefused;
use super::members::Members;
use super::rooms::{OneOrMore, RoomList};
use super::verifier::TokenRules;
use crate::base::UnixTime;
use std::borrow::Cow;
use std::sync::Arc;

/// Bytes of `sub` and of `device_id`, of an entry of `rooms` or `roles`.
const WORD_BYTES_MAX: usize = 128;
const NAME_BYTES_MAX: usize = 256;
const ROOMS_MAX: usize = 64;
const ROLES_MAX: usize = 32;

/// The largest number that every JSON library keeps whole (RFC 8259 section 6).
const WHOLE_MAX: u64 = 1 << 53;

/// What a good token says of its bearer. Everything is bounded, and no text has a control character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `sub`: the user, 1 to 128 bytes.
    pub subject: Arc<str>,
    /// `device_id`: which of the user's devices, 1 to 128 bytes.
    pub device: Option<Arc<str>>,
    /// `name`: for people to read, at most 256 bytes.
    pub name: Option<Arc<str>>,
    /// `exp`: from this second on the token is void, give or take [`TokenRules::LEEWAY`].
    pub expires: UnixTime,
    /// `nbf`: it was void before.
    pub not_before: Option<UnixTime>,
    /// `rooms`: the rooms that the user may enter, at most 64 entries; `None` when the token does not say.
    pub rooms: Option<RoomList>,
    /// `roles`: at most 32, none when the token does not say.
    pub roles: Box<[Box<str>]>,
}

impl Claims {
    /// Reads the payload of a token and judges it at `now`.
    pub(super) fn read(json: &[u8], rules: &TokenRules, now: UnixTime) -> Result<Self, TokenRefused> {
        let members = Members::parse(json).ok_or(TokenRefused::BadPayload)?;
        let expires = time(&members, "exp")?.ok_or(TokenRefused::BadTime)?;
        let (not_before, _) = (time(&members, "nbf")?, time(&members, "iat")?);
        let claims = Self {
            subject: subject(&members)?,
            device: text(&members, "device_id", 1..=WORD_BYTES_MAX)?,
            name: text(&members, "name", 0..=NAME_BYTES_MAX)?,
            expires,
            not_before,
            rooms: words(&members, "rooms", ROOMS_MAX)?.map(RoomList::new),
            roles: words(&members, "roles", ROLES_MAX)?.unwrap_or_default(),
        };
        issued_for_us(&members, rules)?;
        claims.in_time(now)?;
        Ok(claims)
    }

    /// RFC 7519 sections 4.1.4 and 4.1.5, with the same leeway on both ends.
    fn in_time(&self, now: UnixTime) -> Result<(), TokenRefused> {
        if now >= self.expires.after(TokenRules::LEEWAY) {
            return Err(TokenRefused::Expired);
        }
        if self.not_before.is_some_and(|start| now.after(TokenRules::LEEWAY) < start) {
            return Err(TokenRefused::NotYetValid);
        }
        Ok(())
    }
}

/// A time as a JSON integer. RFC 7519 section 2 allows fractions; those who read a text or a float as "no time given"
/// took tokens that had expired, so that anything else than a plain whole number is refused.
fn time(members: &Members<'_>, name: &str) -> Result<Option<UnixTime>, TokenRefused> {
    match members.optional::<u64>(name) {
        Ok(Some(seconds)) if seconds <= WHOLE_MAX => Ok(Some(UnixTime(seconds))),
        Ok(None) => Ok(None),
        _ => Err(TokenRefused::BadTime),
    }
}

fn subject(members: &Members<'_>) -> Result<Arc<str>, TokenRefused> {
    let subject = members.optional::<Cow<'_, str>>("sub").ok().flatten();
    let subject = subject.filter(|text| is_word(text)).ok_or(TokenRefused::BadSubject)?;
    Ok(Arc::from(&*subject))
}

/// An optional text; `null` is the same as absent.
fn text(
    members: &Members<'_>,
    name: &str,
    bytes: std::ops::RangeInclusive<usize>,
) -> Result<Option<Arc<str>>, TokenRefused> {
    let found = members.optional::<Option<Cow<'_, str>>>(name).map_err(|_| TokenRefused::BadClaim)?;
    let is_fine = |text: &str| bytes.contains(&text.len()) && !text.chars().any(char::is_control);
    match found.flatten() {
        Some(text) if is_fine(&text) => Ok(Some(Arc::from(&*text))),
        Some(_) => Err(TokenRefused::BadClaim),
        None => Ok(None),
    }
}

/// A word or a list of at most `max`. `null` is neither: it might have meant "none" or "all".
fn words(members: &Members<'_>, name: &str, max: usize) -> Result<Option<Box<[Box<str>]>>, TokenRefused> {
    let found = members.optional::<OneOrMore<'_>>(name).map_err(|_| TokenRefused::BadClaim)?;
    let Some(found) = found else { return Ok(None) };
    if found.iter().count() > max || !found.iter().all(is_word) {
        return Err(TokenRefused::BadClaim);
    }
    Ok(Some(found.iter().map(Box::from).collect()))
}

fn is_word(text: &str) -> bool {
    (1..=WORD_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// What is not asked for is not looked at; RFC 7519 section 4.1.3 would refuse every `aud` then, and with it the tokens
/// of most issuers.
fn issued_for_us(members: &Members<'_>, rules: &TokenRules) -> Result<(), TokenRefused> {
    if let Some(wanted) = &rules.issuer {
        let issuer = members.optional::<Cow<'_, str>>("iss").ok().flatten();
        if issuer.is_none_or(|issuer| *issuer != **wanted) {
            return Err(TokenRefused::WrongIssuer);
        }
    }
    if let Some(wanted) = &rules.audience {
        let audience = members.optional::<OneOrMore<'_>>("aud").ok().flatten();
        if audience.is_none_or(|audience| audience.iter().all(|entry| *entry != **wanted)) {
            return Err(TokenRefused::WrongAudience);
        }
    }
    Ok(())
}
