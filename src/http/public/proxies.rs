//! Who the client is, where proxies stand in front of us: `Forwarded` (RFC 7239) and `X-Forwarded-For`.
//!
//! Anybody can send these headers. A proxy adds what it knows at the end, so they are read from there, and only as far
//! as every one who added something is trusted: what stands further to the left is never looked at.

use axum::http::HeaderMap;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The other end of a TCP connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// The connection is under TLS.
    pub(super) is_tls: bool,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    /// Its own side was under TLS, as far as we know.
    pub(super) is_secure: bool,
}

impl Peer {
    pub(super) fn new(remote: SocketAddr, is_tls: bool) -> Self {
        Self { address: remote.ip().to_canonical(), is_tls }
    }

    /// Whether it may speak for others.
    pub(super) fn is_trusted(&self, trusted: &[IpNet]) -> bool {
        is_among(self.address, trusted)
    }

    /// The client behind it: itself, unless it is trusted and says otherwise.
    ///
    /// Where both headers are there and name two addresses, a proxy maintains one of them and passes the other on as
    /// the client sent it. Nothing tells which, so neither is believed, and the peer stands for its client as it does
    /// where what a trusted proxy says makes no sense.
    pub(super) fn client(&self, headers: &HeaderMap, trusted: &[IpNet]) -> Client {
        let itself = Client { address: self.address, is_secure: self.is_tls };
        if !self.is_trusted(trusted) {
            return itself;
        }
        let standard = client_behind(headers, "forwarded", trusted, forwarded_hop);
        let usual = client_behind(headers, "x-forwarded-for", trusted, usual_hop);
        let (address, proto) = match (standard, usual) {
            (Named::Nobody, Named::Client(hop)) | (Named::Client(hop), Named::Nobody) => hop,
            (Named::Client(one), Named::Client(other)) if one.0 == other.0 => one,
            (Named::Nobody, Named::Nobody) => (self.address, None),
            _ => return itself,
        };
        let is_https = |proto: &str| proto.eq_ignore_ascii_case("https");
        let usual_proto =
            || elements(headers, "x-forwarded-proto").next().map(|proto| is_https(proto.trim()));
        let is_secure = proto.map(is_https).or_else(usual_proto).unwrap_or(self.is_tls);
        Client { address, is_secure }
    }
}

/// One step of the way, as the proxy at its end tells it: where from, and by which scheme if that is said.
type Hop<'h> = (IpAddr, Option<&'h str>);

/// What a header says of the client.
enum Named<'h> {
    /// There is no such header.
    Nobody,
    /// The nearest who is no trusted proxy, or else the farthest proxy: a request of its own.
    Client(Hop<'h>),
    /// A trusted proxy does not know, or will not tell, or cannot write.
    Unclear,
}

fn client_behind<'h>(
    headers: &'h HeaderMap,
    name: &str,
    trusted: &[IpNet],
    read: fn(&'h str) -> Option<Hop<'h>>,
) -> Named<'h> {
    let mut farthest = Named::Nobody;
    for element in elements(headers, name) {
        let Some(hop) = read(element) else { return Named::Unclear };
        let is_proxy = is_among(hop.0, trusted);
        farthest = Named::Client(hop);
        if !is_proxy {
            break;
        }
    }
    farthest
}

/// The elements of a list over all lines of a header, last one first. A value that is no text is an empty element.
fn elements<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(name).into_iter().rev();
    lines.flat_map(|line| Backwards { rest: Some(line.to_str().unwrap_or_default()) })
}

/// Splits a list at its commas, from the end. What a stranger has put in front, such as a quote that never closes,
/// cannot swallow what a proxy has put behind it.
struct Backwards<'h> {
    rest: Option<&'h str>,
}

impl<'h> Iterator for Backwards<'h> {
    type Item = &'h str;

    fn next(&mut self) -> Option<&'h str> {
        let rest = self.rest?;
        let mut is_quoted = false;
        // No name or address has a quote inside its quotes, so there is no escape to look for.
        let comma = rest.bytes().rposition(|byte| {
            is_quoted ^= byte == b'"';
            byte == b',' && !is_quoted
        });
        self.rest = comma.map(|comma| &rest[..comma]);
        Some(comma.map_or(rest, |comma| &rest[comma + 1..]))
    }
}

/// An element of `X-Forwarded-For`: an address, with a port or without.
fn usual_hop(element: &str) -> Option<Hop<'_>> {
    address(element.trim_matches(BLANK)).map(|address| (address, None))
}

/// An element of `Forwarded` (RFC 7239 section 4). No name in it comes twice.
fn forwarded_hop(element: &str) -> Option<Hop<'_>> {
    let (mut from, mut proto) = (None, None);
    for pair in element.split(';').filter(|pair| !pair.trim_matches(BLANK).is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let value = unquoted(value.trim_matches(BLANK))?;
        let known = match name.trim_matches(BLANK) {
            name if name.eq_ignore_ascii_case("for") => &mut from,
            name if name.eq_ignore_ascii_case("proto") => &mut proto,
            _ => continue,
        };
        if known.replace(value).is_some() {
            return None;
        }
    }
    // `unknown` and names with an underscore (section 6) are no addresses.
    address(from?).map(|from| (from, proto))
}

const BLANK: [char; 2] = [' ', '\t'];

fn unquoted(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').filter(|inner| !inner.contains('"')),
        None => Some(value).filter(|value| !value.contains('"')),
    }
}

/// An address, `192.0.2.1` or `[2001:db8::1]`, with or without a port (section 6), or `2001:db8::1` as many write it.
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = || {
        let (inside, port) = text.strip_prefix('[')?.split_once(']')?;
        is_port(port).then(|| inside.parse::<Ipv6Addr>().ok())?.map(IpAddr::V6)
    };
    let with_port = || {
        let (address, _) = text.split_at(text.find(':').filter(|colon| is_port(&text[*colon..]))?);
        address.parse().ok().map(IpAddr::V4)
    };
    let found = text.parse().ok().or_else(bracketed).or_else(with_port)?;
    Some(found.to_canonical())
}

/// Nothing, or `:` with a port or one that is hidden (section 6.2).
fn is_port(text: &str) -> bool {
    let Some(port) = text.strip_prefix(':') else { return text.is_empty() };
    let is_number = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_hidden = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    is_number || port.strip_prefix('_').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_hidden))
}

fn is_among(address: IpAddr, networks: &[IpNet]) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
#[path = "proxies_tests.rs"]
mod tests;
