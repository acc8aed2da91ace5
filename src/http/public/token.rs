//! Where a request may carry a token. It is taken from there and judged elsewhere; no log ever has it.

use super::query;
use crate::wire::websocket::tokens;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// In front of a token among the subprotocols of a WebSocket: the one place where a page may put something.
const SUBPROTOCOL: &str = "turnstone.token.";

/// Places that must be allowed first: both end in logs and caches, or come without the page's doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenPlaces {
    /// The query, as `token` (`auth.jwt.query`).
    pub query: bool,
    /// The cookie of this name (`auth.jwt.cookie`).
    pub cookie: Option<String>,
}

/// The token of a request: from `Authorization`, else a subprotocol, else the query, else a cookie. `cookies`: they
/// may be used.
pub(super) fn find(
    headers: &HeaderMap,
    query: &str,
    places: &TokenPlaces,
    cookies: bool,
) -> Option<Box<str>> {
    bearer(headers)
        .or_else(|| subprotocol(headers))
        .or_else(|| places.query.then(|| query::value(query, "token"))?.map(Into::into))
        .or_else(|| cookie(headers, places.cookie.as_deref().filter(|_| cookies)?))
}

/// RFC 6750 section 2.1.
fn bearer(headers: &HeaderMap) -> Option<Box<str>> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().into())
}

/// `turnstone.token.` and the token, in base64url unless it has dots: a JWT is made of nothing else as it is.
fn subprotocol(headers: &HeaderMap) -> Option<Box<str>> {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter();
    let mut offers = lines.filter_map(|line| line.to_str().ok()).flat_map(tokens);
    let token = offers.find_map(|offer| offer.strip_prefix(SUBPROTOCOL))?;
    if token.contains('.') {
        return Some(token.into());
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    String::from_utf8(bytes).ok().map(Into::into)
}

/// RFC 6265 section 5.4.
fn cookie(headers: &HeaderMap, name: &str) -> Option<Box<str>> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value.trim_matches('"').into())
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

    fn found(lines: &[(&'static str, &str)], query: &str, places: &TokenPlaces) -> Option<Box<str>> {
        find(&headers(lines), query, places, true)
    }

    #[test]
    fn the_header_and_the_subprotocol_need_no_permission() {
        let off = TokenPlaces::default();
        for (name, value, token) in [
            ("authorization", "Bearer a.b.c", Some("a.b.c")),
            ("authorization", "bearer  opaque ", Some("opaque")),
            ("authorization", "Basic dTpw", None),
            ("authorization", "Bearer", None),
            ("sec-websocket-protocol", "turnstone.v1.json, turnstone.token.a.b.c", Some("a.b.c")),
            ("sec-websocket-protocol", "turnstone.token.b3BhcXVl,turnstone.v1.json", Some("opaque")),
            ("sec-websocket-protocol", "turnstone.token.!", None),
            ("sec-websocket-protocol", "turnstone.v1.json", None),
        ] {
            assert_eq!(found(&[(name, value)], "", &off).as_deref(), token, "{value}");
        }
    }

    #[test]
    fn the_query_and_the_cookie_count_only_where_the_config_names_them() {
        let lines = [("cookie", "a=1; session=from-cookie"), ("cookie", "other=\"2\"")];
        let query = "EIO=4&token=from%2Dquery";
        assert_eq!(found(&lines, query, &TokenPlaces::default()), None);
        let in_query = TokenPlaces { query: true, cookie: None };
        assert_eq!(found(&lines, query, &in_query).as_deref(), Some("from-query"));
        let in_cookie = TokenPlaces { query: false, cookie: Some("session".into()) };
        assert_eq!(found(&lines, query, &in_cookie).as_deref(), Some("from-cookie"));
        assert_eq!(find(&headers(&lines), query, &in_cookie, false), None, "a foreign page's request");
        let other = TokenPlaces { query: false, cookie: Some("other".into()) };
        assert_eq!(found(&lines, query, &other).as_deref(), Some("2"));
        let none = TokenPlaces { query: false, cookie: Some("sess".into()) };
        assert_eq!(found(&lines, query, &none), None);
    }

    #[test]
    fn what_a_page_sets_itself_goes_before_what_comes_by_itself() {
        let all = TokenPlaces { query: true, cookie: Some("c".into()) };
        let lines = [
            ("authorization", "Bearer 1"),
            ("sec-websocket-protocol", "turnstone.token.2."),
            ("cookie", "c=4"),
        ];
        let order = [0, 1, 2, 3].map(|from| {
            let query = if from <= 2 { "token=3" } else { "" };
            found(&lines[from.min(2)..], query, &all)
        });
        assert_eq!(order.map(|token| token.map(String::from)).map(Option::unwrap), ["1", "2.", "3", "4"]);
    }
}
