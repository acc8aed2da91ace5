//! What a static user may be called, and what a password may be: OpaqueString (RFC 8265 section 4.2) and some more.

use super::{NAME_BYTES_MAX, Secret};
use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;

/// Why a text cannot be used: what is wrong, and what to do.
pub type BadText = (&'static str, &'static str);

/// The name as it is compared on the wire (RFC 8489 section 14.3: at most 508 bytes).
///
/// # Errors
/// One clause that says what is wrong with it, and one that says what to do.
pub fn user_name(name: &str) -> Result<String, BadText> {
    if name.is_empty() {
        return Err(("the user name is empty", "write name = \"password\""));
    }
    if name.chars().any(char::is_control) {
        return Err(("the user name has a control character", "write printable characters only"));
    }
    let looks_timed = name
        .split_once(':')
        .is_some_and(|(expiry, _)| !expiry.is_empty() && expiry.bytes().all(|b| b.is_ascii_digit()));
    if looks_timed {
        let help = "choose a name that does not begin with digits and a colon";
        return Err(("the name looks like a time-limited credential", help));
    }
    let prepared = OpaqueString::enforce(name).map_err(|_| {
        ("the name has a character that OpaqueString (RFC 8265) forbids", "use letters and digits")
    })?;
    if prepared.len() > NAME_BYTES_MAX {
        return Err(("the user name is longer than 508 bytes", "choose a shorter one"));
    }
    Ok(prepared.into_owned())
}

/// The password as keys are made of it.
///
/// # Errors
/// As those of [`user_name`].
pub fn user_password(password: &str) -> Result<Secret, BadText> {
    if password.is_empty() {
        return Err(("the password is empty", "write name = \"password\""));
    }
    OpaqueString::enforce(password).map(Secret::new).map_err(|_| {
        ("the password has a character that OpaqueString (RFC 8265) forbids", "use printable characters")
    })
}
