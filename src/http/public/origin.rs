//! Which web pages may connect (RFC 6454): the guard against a foreign page that uses its visitor's browser.
//!
//! A browser names the page's origin in every WebSocket handshake and in every request that goes to another origin
//! or is no GET. Whoever is no browser can send what it likes, and needs a token like everybody.

use axum::http::{HeaderMap, HeaderValue, header};

/// Origins that may connect (`signaling.origins`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Pages of this very server: host and port are those of `Host`.
    #[default]
    Own,
    /// These, as browsers write them.
    Listed(Vec<String>),
    /// Every page of the web, though never with what its browser keeps for us.
    Any,
}

/// Whether a page of another origin than ours has its visitor's browser ask, as far as that tells.
pub(in crate::http) fn is_foreign(headers: &HeaderMap) -> bool {
    !Origins::Own.judge(headers, false).may_use_cookies(headers)
}

/// What the rule says of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// No origin: no browser, or one that asks the server that the page came from.
    None,
    /// Welcome.
    Allowed {
        /// As it was sent.
        origin: HeaderValue,
        /// Whether the page may use what its browser keeps for us, such as cookies.
        with_credentials: bool,
    },
    /// Refused.
    Refused(Vec<u8>),
}

impl Origins {
    /// Judges a request. `is_secure`: its client's side was under TLS.
    pub(super) fn judge(&self, headers: &HeaderMap, is_secure: bool) -> Judged {
        let mut all = headers.get_all(header::ORIGIN).into_iter();
        let origin = match (all.next(), all.next()) {
            (None, _) => return Judged::None,
            (Some(origin), None) => origin,
            (Some(one), Some(_)) => return Judged::Refused(one.as_bytes().to_vec()),
        };
        let text = origin.to_str().unwrap_or_default();
        let is_allowed = match self {
            Self::Own => is_own(text, headers, is_secure),
            Self::Listed(origins) => origins.iter().any(|listed| listed == text),
            Self::Any => true,
        };
        match is_allowed {
            true => Judged::Allowed { origin: origin.clone(), with_credentials: *self != Self::Any },
            false => Judged::Refused(origin.as_bytes().to_vec()),
        }
    }
}

impl Judged {
    /// Whether a cookie says who asks, rather than in whose browser a foreign page runs. A page on another site can
    /// have its visitor's browser send some requests without an origin, which newer browsers then tell.
    pub(super) fn may_use_cookies(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Allowed { with_credentials, .. } => *with_credentials,
            Self::None => {
                headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none")
            }
            Self::Refused(_) => false,
        }
    }

    /// Tells the browser that the page may read the answer, and caches that it may differ from page to page.
    pub(super) fn share(&self, headers: &mut HeaderMap) {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        match self {
            Self::Allowed { origin, with_credentials: true } => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
            Self::Allowed { .. } => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Self::None | Self::Refused(_) => {}
        }
    }

    /// The origin that was welcomed.
    pub(super) fn origin(&self) -> Option<Box<str>> {
        match self {
            Self::Allowed { origin, .. } => origin.to_str().ok().map(Box::from),
            Self::None | Self::Refused(_) => None,
        }
    }
}

/// Whether `origin` has the host and port of the one `Host`. The port that a scheme implies may be left out; what a
/// proxy without TLS towards us has cut off, only the origin's own scheme tells.
fn is_own(origin: &str, headers: &HeaderMap, is_secure: bool) -> bool {
    let mut hosts = headers.get_all(header::HOST).into_iter();
    let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) else {
        return false;
    };
    let (implied, rest) = match origin.split_once("://") {
        Some(("https", rest)) => (":443", rest),
        Some(("http", rest)) => (":80", rest),
        _ => return false,
    };
    let here = if is_secure { ":443" } else { implied };
    let whole = |host: &str, implied: &str| {
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let host = host.to_ascii_lowercase();
        if has_port { host } else { host + implied }
    };
    !host.is_empty() && whole(host, here) == whole(rest, implied)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("a value"));
        }
        headers
    }

    fn is_allowed(origins: &Origins, lines: &[(&'static str, &str)], is_secure: bool) -> bool {
        matches!(origins.judge(&headers(lines), is_secure), Judged::Allowed { .. })
    }

    #[test]
    fn a_request_without_an_origin_passes_under_every_rule() {
        for origins in [Origins::Own, Origins::Listed(vec!["https://a.example".into()]), Origins::Any] {
            assert_eq!(origins.judge(&headers(&[("host", "x")]), false), Judged::None);
        }
    }

    #[test]
    fn a_listed_origin_is_allowed_byte_by_byte() {
        let listed = Origins::Listed(vec!["https://app.example".into(), "capacitor://localhost".into()]);
        for origin in ["https://app.example", "capacitor://localhost"] {
            assert!(is_allowed(&listed, &[("origin", origin)], false), "{origin}");
        }
        for origin in [
            "",
            "null",
            "http://app.example",
            "https://app.example:444",
            "https://app.example.evil.example",
            "https://evil.example/https://app.example",
            "https://xapp.example",
            "https://app.example https://app.example",
        ] {
            // Even where it is the server's own.
            assert!(!is_allowed(&listed, &[("origin", origin), ("host", "evil.example")], false), "{origin}");
        }
        let twice = [("origin", "https://app.example"), ("origin", "https://app.example")];
        assert!(!is_allowed(&listed, &twice, false));
    }

    #[test]
    fn without_a_list_it_is_the_host_that_was_asked_with_the_port_that_its_scheme_implies() {
        for (origin, host, is_secure) in [
            ("https://app.example", "app.example", false),
            ("https://app.example", "App.Example:443", true),
            ("http://app.example", "app.example", false),
            ("http://app.example", "app.example:80", true),
            ("http://127.0.0.1:8080", "127.0.0.1:8080", false),
            ("http://[::1]:8080", "[::1]:8080", false),
            ("http://[::1]", "[::1]", false),
        ] {
            assert!(is_allowed(&Origins::Own, &[("origin", origin), ("host", host)], is_secure), "{origin}");
        }
        for (origin, host, is_secure) in [
            ("http://app.example", "app.example", true),
            ("https://app.example", "app.example:80", false),
            ("https://app.example:8443", "app.example", true),
            ("https://app.example", "other.example", true),
            ("null", "null", false),
            ("", "", false),
            ("https://", "", false),
            ("app.example", "app.example", false),
            ("ftp://app.example", "app.example", false),
            ("http://[::1]", "[::1]:8080", false),
        ] {
            assert!(!is_allowed(&Origins::Own, &[("origin", origin), ("host", host)], is_secure), "{origin}");
        }
        let two = [("origin", "http://a.example"), ("host", "a.example"), ("host", "b.example")];
        assert!(!is_allowed(&Origins::Own, &two, false));
    }

    #[test]
    fn a_page_that_only_any_allows_may_use_no_cookie_and_gets_no_credentials() {
        let of = |origins: &Origins| origins.judge(&headers(&[("origin", "https://a.example")]), false);
        let shared = |judged: &Judged| {
            let mut answer = HeaderMap::new();
            judged.share(&mut answer);
            let value = |name: &str| answer.get(name).map(|value| value.to_str().expect("text").to_owned());
            (value("access-control-allow-origin"), value("access-control-allow-credentials"), value("vary"))
        };
        let (origin, yes, vary) =
            (Some("https://a.example".into()), Some("true".into()), Some("Origin".into()));
        let listed = of(&Origins::Listed(vec!["https://a.example".into()]));
        assert_eq!(shared(&listed), (origin, yes, vary.clone()));
        assert!(listed.may_use_cookies(&HeaderMap::new()));
        let any = of(&Origins::Any);
        assert_eq!(shared(&any), (Some("*".into()), None, vary.clone()));
        assert!(!any.may_use_cookies(&HeaderMap::new()));
        assert_eq!(shared(&of(&Origins::Own)), (None, None, vary));
    }

    #[test]
    fn a_request_without_an_origin_uses_a_cookie_unless_its_browser_says_that_it_is_from_elsewhere() {
        for (site, may) in
            [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false)]
        {
            assert_eq!(Judged::None.may_use_cookies(&headers(&[("sec-fetch-site", site)])), may, "{site}");
        }
        assert!(Judged::None.may_use_cookies(&HeaderMap::new()));
    }
}
