//! `[http]` and `[signaling]`: rules, and the settings of the public side of HTTP.

use super::checked::Config;
use super::report::Report;
use super::text::{Refusal, TextSetting};
use crate::http::{Origins, PublicSettings, ROUTES, SignalingRules, TokenPlaces};

/// More mount paths than this are no application's.
const PATHS_MAX: usize = 16;

/// Bytes of a mount path.
const PATH_BYTES_MAX: usize = 128;

/// The origin of a web page as browsers send it (RFC 6454 section 6.2), or `"*"` for every page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin(String);

impl WebOrigin {
    /// The origin as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it means every page.
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }
}

impl TextSetting for WebOrigin {
    const WHAT: &'static str = "an origin";
    const EXAMPLE: &'static str = "https://app.example.org";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        let meant = if text == "*" { Some(text.to_owned()) } else { origin_of(text) };
        let is_exact = meant.as_deref() == Some(text);
        if is_exact {
            return Ok(Self(text.to_owned()));
        }
        let help = match meant {
            Some(meant) => format!("browsers send it as \"{meant}\": write that"),
            None => {
                format!("write scheme and host, and the port if it is a special one: \"{}\"", Self::EXAMPLE)
            }
        };
        Err(Refusal::new(format!("\"{}\" is not an origin", text.escape_debug()), help))
    }

    fn to_text(&self) -> String {
        self.0.clone()
    }
}

/// What a browser would send for a page at `text`; a host without a scheme is taken for one with TLS.
fn origin_of(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", &text));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let implied = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => "",
    };
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let host = authority.strip_suffix(implied).unwrap_or(authority);
    let port = host.rsplit_once(':').map_or("", |(_, port)| if port.ends_with(']') { "" } else { port });
    let is_good = !host.is_empty()
        && !host.starts_with(':')
        && host != "null"
        && host.chars().all(is_host)
        && !host.ends_with(':')
        && port.chars().all(|c| c.is_ascii_digit())
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(is_scheme);
    is_good.then(|| format!("{scheme}://{host}"))
}

/// Reports every broken rule.
pub(super) fn check(config: &Config, report: &mut Report) {
    origins(config, report);
    paths(&config.signaling.socketio_paths, report);
    for (i, net) in config.http.trusted_proxies.iter().enumerate() {
        if net.prefix_len() == 0 {
            let (key, help) = (format!("http.trusted_proxies[{i}]"), "list the addresses of your proxies");
            report.warn_at(&key, format!("`{key}`: {net} lets everybody claim any address"), help);
        }
    }
}

fn origins(config: &Config, report: &mut Report) {
    const KEY: &str = "signaling.origins";
    let origins = &config.signaling.origins;
    for (i, origin) in origins.iter().enumerate() {
        let key = format!("{KEY}[{i}]");
        if origin.is_any() && origins.len() > 1 {
            let help = "write either [\"*\"] or the origins";
            report.error_at(&key, format!("`{key}`: \"*\" already means every origin"), help);
        } else if origins[..i].contains(origin) {
            let message = format!("`{key}`: {} is there twice", origin.as_str());
            report.error_at(&key, message, "delete one of them");
        }
    }
}

fn paths(paths: &[String], report: &mut Report) {
    const KEY: &str = "signaling.socketio_paths";
    if paths.len() > PATHS_MAX {
        let message = format!("`{KEY}` has {} paths", paths.len());
        report.error_at(KEY, message, format!("{PATHS_MAX} at most"));
    }
    for (i, path) in paths.iter().enumerate() {
        let key = format!("{KEY}[{i}]");
        let is_same = |other: &&String| other.trim_end_matches('/') == path.trim_end_matches('/');
        let wrong = match path_fault(path) {
            Some((what, help)) => Some((what, help)),
            None => paths[..i].iter().find(is_same).map(|other| {
                (format!("\"{path}\" is \"{other}\" once more"), "delete one of them".to_owned())
            }),
        };
        if let Some((what, help)) = wrong {
            report.error_at(&key, format!("`{key}`: {what}"), help);
        }
    }
}

/// What is wrong with a mount path, and what to do.
fn path_fault(path: &str) -> Option<(String, String)> {
    let shown = path.escape_debug();
    let Some(inner) = path.strip_prefix('/') else {
        let meant = path.trim_matches('/');
        return Some((
            format!("\"{shown}\" is not a path"),
            format!("it begins with a slash: \"/{meant}/\""),
        ));
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    let segments = || inner.strip_suffix('/').unwrap_or(inner).split('/');
    let is_good = |segment: &str| {
        !segment.is_empty() && segment != "." && segment != ".." && segment.chars().all(is_plain)
    };
    if path.len() > PATH_BYTES_MAX || !segments().all(is_good) {
        let help = format!(
            "write up to {PATH_BYTES_MAX} letters, digits and \"-._~\" between slashes: \"/socket.io/\""
        );
        return Some((format!("\"{shown}\" is not a path to mount at"), help));
    }
    let first = segments().next().filter(|first| ROUTES.contains(first))?;
    Some((format!("/{first} is a path of this server itself"), "choose another: \"/socket.io/\"".to_owned()))
}

/// The settings of the public side.
pub(super) fn resolve(config: &Config) -> PublicSettings {
    let (signaling, jwt) = (&config.signaling, &config.auth.jwt);
    let written = || signaling.origins.iter().map(|origin| origin.as_str().to_owned()).collect();
    let origins = match signaling.origins.first() {
        None => Origins::Own,
        Some(origin) if origin.is_any() => Origins::Any,
        Some(_) => Origins::Listed(written()),
    };
    PublicSettings {
        address: config.http.public.0,
        test_page: config.http.test_page,
        trusted_proxies: config.http.trusted_proxies.clone(),
        signaling: signaling.enabled.then(|| SignalingRules {
            socketio_paths: signaling.socketio_paths.clone(),
            origins,
            message_bytes_max: usize::try_from(signaling.max_message.0).unwrap_or(usize::MAX),
            tokens: TokenPlaces { query: jwt.query, cookie: jwt.cookie.0.clone() },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_browsers_send_and_else_that_is_suggested() {
        for origin in [
            "https://app.example.org",
            "http://127.0.0.1:3000",
            "http://[::1]:3000",
            "https://xn--bcher-kva.example",
            "capacitor://localhost",
            "chrome-extension://abcdefgh",
            "*",
        ] {
            assert_eq!(WebOrigin::from_text(origin).map(|origin| origin.to_text()).as_deref(), Ok(origin));
        }
        for (text, meant) in [
            ("https://app.example.org/", "https://app.example.org"),
            ("https://app.example.org/login?x#y", "https://app.example.org"),
            ("app.example.org", "https://app.example.org"),
            ("app.example.org:8443", "https://app.example.org:8443"),
            ("HTTPS://App.example.org", "https://app.example.org"),
            ("https://app.example.org:443", "https://app.example.org"),
            ("http://app.example.org:80/", "http://app.example.org"),
        ] {
            let refusal = WebOrigin::from_text(text).expect_err(text);
            assert_eq!(refusal.help, format!("browsers send it as \"{meant}\": write that"));
        }
        for text in [
            "",
            "null",
            "https://",
            "https://*.example.org",
            "https://user@example.org",
            "https://bücher.example",
            "https://:443",
            "https://a b",
            "https://a:",
            "https://a:http",
            "://a",
        ] {
            let refusal = WebOrigin::from_text(text).expect_err(text);
            assert!(refusal.help.contains("scheme and host"), "{text}: {}", refusal.help);
        }
    }

    #[test]
    fn auth_jwt_says_where_a_token_may_be() {
        let of = |lines: &str| {
            let text = format!(
                "[signaling]\norigins = [\"https://a.example\"]\n[auth]\nsecrets = [\"{0}\"]\n[auth.jwt]\n\
                 secret = \"{0}\"\n{lines}",
                "a-secret-of-at-least-32-characters-00001"
            );
            let loaded = super::super::parse("t.toml", &text, []).expect("a good config");
            resolve(&loaded.config).signaling.expect("on").tokens
        };
        assert_eq!(of(""), TokenPlaces::default());
        let both = TokenPlaces { query: true, cookie: Some("c".into()) };
        assert_eq!(of("query = true\ncookie = \"c\""), both);
    }

    #[test]
    fn a_mount_path_is_plain_and_hides_no_route() {
        for path in ["/socket.io/", "/socket.io", "/api/socket", "/api/socket/io", "/x/ws"] {
            assert_eq!(path_fault(path), None, "{path}");
        }
        for path in [
            "",
            "/",
            "//",
            "socket.io",
            "/a//b",
            "/a/../b",
            "/a%20b",
            "/{x}",
            "/*x",
            "/a?b",
            "/ä",
            "/a//",
            "/:x",
        ] {
            assert!(path_fault(path).is_some(), "{path}");
        }
        for route in ROUTES {
            for path in [format!("/{route}"), format!("/{route}/"), format!("/{route}/io")] {
                assert!(path_fault(&path).is_some_and(|(what, _)| what.contains("itself")), "{path}");
            }
        }
        assert!(path_fault(&format!("/{}", "a".repeat(PATH_BYTES_MAX))).is_some());
    }
}
