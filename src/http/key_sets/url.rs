//! Where a key set is fetched from.

use axum::http::Uri;
use std::fmt;
use std::net::IpAddr;

/// The address of a key set: `https`, or `http` on this machine. Whoever can change the answer on its way could sign
/// tokens for anybody.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySetUrl(Uri);

/// Why a text is not the address of a key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadUrl {
    /// Not a URL with a host.
    NotAUrl,
    /// Neither `https` nor `http`.
    UnknownScheme,
    /// `http` to another machine.
    InTheOpen,
    /// It has a user name or a password, which are not sent.
    WithPassword,
}

impl KeySetUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// It is none, or keys from there could not be trusted.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let uri: Uri = text.parse().map_err(|_| BadUrl::NotAUrl)?;
        let authority = uri.authority().filter(|authority| !authority.host().is_empty());
        let authority = authority.ok_or(BadUrl::NotAUrl)?;
        if authority.as_str().contains('@') {
            return Err(BadUrl::WithPassword);
        }
        match uri.scheme_str() {
            Some("https") => Ok(Self(uri)),
            Some("http") if is_this_machine(authority.host()) => Ok(Self(uri)),
            Some("http") => Err(BadUrl::InTheOpen),
            _ => Err(BadUrl::UnknownScheme),
        }
    }

    /// The whole address.
    pub fn uri(&self) -> &Uri {
        &self.0
    }
}

impl fmt::Display for KeySetUrl {
    /// Without its query, which may hold a key of the issuer's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, authority) = (self.0.scheme_str(), self.0.authority());
        let (scheme, authority) = (scheme.unwrap_or_default(), authority.map_or("", |host| host.as_str()));
        write!(f, "{scheme}://{authority}{}", self.0.path())
    }
}

impl fmt::Debug for KeySetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySetUrl({self})")
    }
}

fn is_this_machine(host: &str) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || literal.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_by_https_or_from_this_machine() {
        for (text, wanted) in [
            ("https://login.example.org/jwks.json?key=secret", None),
            ("https://[2001:db8::1]:8443/", None),
            ("http://127.0.0.1:9000/keys", None),
            ("http://[::1]/keys", None),
            ("http://LOCALHOST/keys", None),
            ("http://login.example.org/", Some(BadUrl::InTheOpen)),
            ("http://127.0.0.1.example.org/", Some(BadUrl::InTheOpen)),
            ("http://192.168.1.1/", Some(BadUrl::InTheOpen)),
            ("https://me:pw@login.example.org/", Some(BadUrl::WithPassword)),
            ("http://localhost@login.example.org/", Some(BadUrl::WithPassword)),
            ("ftp://login.example.org/", Some(BadUrl::UnknownScheme)),
            ("file:///etc/keys", Some(BadUrl::NotAUrl)),
            ("/keys", Some(BadUrl::NotAUrl)),
            ("login.example.org", Some(BadUrl::UnknownScheme)),
            ("https://", Some(BadUrl::NotAUrl)),
            ("", Some(BadUrl::NotAUrl)),
        ] {
            assert_eq!(KeySetUrl::parse(text).err(), wanted, "{text}");
        }
    }

    #[test]
    fn a_query_is_asked_for_but_never_shown() {
        let url = KeySetUrl::parse("https://a.example:8443/keys?apikey=hidden").expect("a URL");
        assert_eq!(url.uri().query(), Some("apikey=hidden"));
        assert_eq!(format!("{url} {url:?}").matches("hidden").count(), 0);
        assert_eq!(url.to_string(), "https://a.example:8443/keys");
    }
}
