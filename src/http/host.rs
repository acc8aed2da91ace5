//! Which `Host` a request may name: the guard against DNS rebinding.
//!
//! A web page that points its own name at 127.0.0.1 makes a browser read us as the page's own
//! origin. Its requests carry that name, so a request is answered only under a name of ours or
//! under an IP literal, which no DNS answer can turn into ours.

use axum::http::{HeaderMap, Request, Version, header};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Names that a request may use, besides IP literals and `localhost`.
#[derive(Debug)]
pub(super) struct HostAllowList {
    names: Vec<String>,
}

/// Why a request is refused before it is routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostRefused {
    /// RFC 9112 section 3.2: none in HTTP/1.1, more than one, or no text.
    Malformed,
    /// A name that is not ours.
    Foreign,
}

impl HostAllowList {
    pub(super) fn new(names: &[String]) -> Self {
        Self { names: names.iter().map(|name| name.trim_end_matches('.').to_ascii_lowercase()).collect() }
    }

    /// Checks `Host` and, for a request in absolute form, the authority that overrides it
    /// (RFC 9112 section 3.2.2). HTTP/1.0 without `Host` passes: simple health checks send that,
    /// browsers never do.
    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<(), HostRefused> {
        let authority = request.uri().authority().map(|authority| authority.as_str());
        let host = single_host(request.headers())?;
        if authority.is_none() && host.is_none() && request.version() > Version::HTTP_10 {
            return Err(HostRefused::Malformed);
        }
        match [authority, host].into_iter().flatten().all(|host| self.allows(host)) {
            true => Ok(()),
            false => Err(HostRefused::Foreign),
        }
    }

    /// Whether `host`, with or without a port, is an IP literal or one of our names.
    fn allows(&self, host: &str) -> bool {
        if let Some(rest) = host.strip_prefix('[') {
            let Some((literal, port)) = rest.split_once(']') else { return false };
            return literal.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || is_port(port));
        }
        let name = match host.find(':') {
            Some(at) if is_port(&host[at..]) => &host[..at],
            Some(_) => return false,
            None => host,
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        name.parse::<Ipv4Addr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.names.iter().any(|ours| name.eq_ignore_ascii_case(ours))
    }
}

fn single_host(headers: &HeaderMap) -> Result<Option<&str>, HostRefused> {
    let mut all = headers.get_all(header::HOST).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(host), None) => host.to_str().map(Some).map_err(|_| HostRefused::Malformed),
        _ => Err(HostRefused::Malformed),
    }
}

/// `:` and digits; RFC 3986 section 3.2.3 allows none.
fn is_port(text: &str) -> bool {
    text.strip_prefix(':')
        .is_some_and(|digits| digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> HostAllowList {
        HostAllowList::new(&["Turn.Example.org".into()])
    }

    #[test]
    fn literals_localhost_and_our_names_are_allowed_in_any_case_and_with_any_port() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9640",
            "203.0.113.4:",
            "[::1]",
            "[::1]:9640",
            "localhost",
            "LocalHost:1",
            "turn.example.org",
            "TURN.example.org.:9640",
        ] {
            assert!(list().allows(host), "{host}");
        }
    }

    #[test]
    fn foreign_names_and_names_that_only_look_like_ours_are_refused() {
        for host in [
            "",
            ":9640",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil@127.0.0.1",
            "127.0.0.1:9640@evil",
            "127.0.0.1:x",
            "127.1",
            "0x7f000001",
            "[::1",
            "[::1]evil",
            "[evil.example]",
            "::1",
            "xturn.example.org",
        ] {
            assert!(!list().allows(host), "{host}");
        }
    }

    #[test] // RFC 9112 section 3.2
    fn a_request_has_one_host_and_an_absolute_target_is_checked_as_well() {
        let check = |target: &str, version, hosts: &[&str]| {
            let mut request = Request::builder().uri(target).version(version);
            for host in hosts {
                request = request.header(header::HOST, *host);
            }
            list().check(&request.body(()).expect("valid"))
        };
        assert_eq!(check("/", Version::HTTP_11, &["localhost"]), Ok(()));
        assert_eq!(check("/", Version::HTTP_10, &[]), Ok(()));
        assert_eq!(check("/", Version::HTTP_11, &[]), Err(HostRefused::Malformed));
        assert_eq!(check("/", Version::HTTP_11, &["localhost", "localhost"]), Err(HostRefused::Malformed));
        assert_eq!(check("/", Version::HTTP_10, &["evil.example"]), Err(HostRefused::Foreign));
        let absolute = "http://evil.example/metrics";
        assert_eq!(check(absolute, Version::HTTP_11, &["localhost"]), Err(HostRefused::Foreign));
        let absolute = "http://localhost/metrics";
        assert_eq!(check(absolute, Version::HTTP_11, &["evil.example"]), Err(HostRefused::Foreign));
    }
}
