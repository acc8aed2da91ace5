//! Addresses, networks and ports as the file writes them.

use super::report::Report;
use super::section::{Setting, Shown};
use super::text::{Refusal, TextSetting, whole};
use super::tree::{Node, Value};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

/// A contiguous range of ports, both ends included, `"49152-65535"`. First is never 0 nor above last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// The dynamic ports of RFC 6335, the default of RFC 8656 section 7.2.
    pub const DYNAMIC: Self = Self { first: 49_152, last: 65_535 };

    /// First port.
    pub const fn first(self) -> u16 {
        self.first
    }

    /// Last port.
    pub const fn last(self) -> u16 {
        self.last
    }

    /// How many ports: 1 to 65,535.
    pub const fn count(self) -> u32 {
        self.last as u32 - self.first as u32 + 1
    }
}

/// Where an HTTP listener is: an address, or `"off"`. Port 0 lets the kernel choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpDoor(pub Option<SocketAddr>);

/// An address that relays from: one of this host, or all of its interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayAddress {
    /// Found at start from the interfaces.
    Auto,
    /// This one.
    Ip(IpAddr),
}

/// One entry of `relay.peers.deny`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenyRule {
    /// The recommended set: private, shared, loopback, link-local and special networks.
    Recommended,
    /// Switches the recommended set off.
    Nothing,
    /// This network.
    Network(IpNet),
}

/// How many shards relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One per core.
    Auto,
    /// This many, 1 to [`Workers::MAX`].
    Count(NonZeroU16),
}

impl Workers {
    /// More shards than this would only share cores.
    pub const MAX: u16 = 256;

    /// The number of shards on a machine with this many cores.
    pub fn on(self, cores: usize) -> usize {
        match self {
            Self::Auto => cores.clamp(1, usize::from(Self::MAX)),
            Self::Count(count) => usize::from(count.get()),
        }
    }
}

impl TextSetting for PortRange {
    const WHAT: &'static str = "a range of ports";
    const EXAMPLE: &'static str = "49152-65535";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        let refuse = |help: String| {
            Err(Refusal::new(format!("\"{}\" is not a range of ports", text.escape_debug()), help))
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse::<u16>(), last.trim().parse::<u16>()) {
            (Ok(0), Ok(_)) => refuse("port 0 does not exist: the first port is at least 1".into()),
            (Ok(first), Ok(last)) if first > last => refuse(format!("did you mean \"{last}-{first}\"?")),
            (Ok(first), Ok(last)) => Ok(Self { first, last }),
            _ => refuse("write first and last port, 1 to 65535: \"49152-65535\"".into()),
        }
    }

    fn to_text(&self) -> String {
        format!("{}-{}", self.first, self.last)
    }
}

impl TextSetting for SocketAddr {
    const WHAT: &'static str = "an address with port";
    const EXAMPLE: &'static str = "0.0.0.0:3478";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        text.parse().map_err(|_| refuse_socket_address(text))
    }

    fn to_text(&self) -> String {
        self.to_string()
    }

    fn from_bare(number: i128) -> Option<String> {
        (1..=65_535).contains(&number).then(|| format!("0.0.0.0:{number}"))
    }
}

fn refuse_socket_address(text: &str) -> Refusal {
    let shown = text.escape_debug();
    if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        let example = SocketAddr::new(ip, 3478);
        return Refusal::new(
            format!("\"{shown}\" has no port"),
            format!("add one, such as \"{example}\" (an IPv6 address wears brackets)"),
        );
    }
    if let Some(port) = text.strip_prefix(':').or_else(|| text.strip_prefix("*:"))
        && port.parse::<u16>().is_ok()
    {
        let help = format!("for every address write \"0.0.0.0:{port}\" and \"[::]:{port}\"");
        return Refusal::new(format!("\"{shown}\" has no address"), help);
    }
    if let Some((_, port)) = text.rsplit_once(':')
        && port.parse::<u16>().is_err()
        && !port.is_empty()
    {
        return Refusal::new(
            format!("\"{shown}\" is not an address with port"),
            "write an IP address and a port from 1 to 65535, such as \"0.0.0.0:3478\"",
        );
    }
    Refusal::new(
        format!("\"{shown}\" is not an address with port"),
        "host names are not looked up here: write an IP address, such as \"0.0.0.0:3478\" or \"[::]:3478\"",
    )
}

impl TextSetting for HttpDoor {
    const WHAT: &'static str = "an address with port, or \"off\"";
    const EXAMPLE: &'static str = "127.0.0.1:9640";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        match text {
            "off" => Ok(Self(None)),
            _ => SocketAddr::from_text(text).map(|address| Self(Some(address))),
        }
    }

    fn to_text(&self) -> String {
        self.0.map_or_else(|| "off".to_owned(), |address| address.to_string())
    }

    fn from_bare(number: i128) -> Option<String> {
        (1..=65_535).contains(&number).then(|| format!("127.0.0.1:{number}"))
    }
}

impl TextSetting for IpNet {
    const WHAT: &'static str = "a network";
    const EXAMPLE: &'static str = "10.0.0.0/8";

    /// CIDR or a single address. Bits behind the prefix are refused: `10.1.2.3/8` can mean two things.
    fn from_text(text: &str) -> Result<Self, Refusal> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(ip.into());
        }
        match text.parse::<Self>() {
            Ok(net) if net.trunc() == net => Ok(net),
            Ok(net) => Err(Refusal::new(
                format!("\"{text}\" has bits set behind its prefix"),
                format!("for the network write \"{}\", for the host \"{}\"", net.trunc(), net.addr()),
            )),
            Err(_) => Err(refuse_network(text)),
        }
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

fn refuse_network(text: &str) -> Refusal {
    let message = format!("\"{}\" is not a network", text.escape_debug());
    let Some((address, prefix)) = text.split_once('/') else {
        return Refusal::new(message, "write CIDR, such as \"10.0.0.0/8\", or a single address");
    };
    let help = match (address.parse::<IpAddr>(), prefix.parse::<u32>()) {
        (Ok(IpAddr::V4(_)), Ok(_)) => "the prefix of an IPv4 network is 0 to 32".to_owned(),
        (Ok(IpAddr::V6(_)), Ok(_)) => "the prefix of an IPv6 network is 0 to 128".to_owned(),
        (Ok(_), Err(_)) => format!("write the prefix as a number of bits, such as \"{address}/24\""),
        (Err(_), _) => "write CIDR, such as \"10.0.0.0/8\" or \"fd00::/8\"".to_owned(),
    };
    Refusal::new(message, help)
}

impl TextSetting for DenyRule {
    const WHAT: &'static str = "\"recommended\", \"none\" or a network";
    const EXAMPLE: &'static str = "recommended";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        match text {
            "recommended" => Ok(Self::Recommended),
            "none" => Ok(Self::Nothing),
            _ if text.starts_with(|c: char| c.is_ascii_alphabetic()) && !text.contains(':') => {
                Err(Refusal::new(
                    format!("\"{}\" is not a network", text.escape_debug()),
                    super::suggest::one_of(text, &["recommended", "none", "10.0.0.0/8"]),
                ))
            }
            _ => IpNet::from_text(text).map(Self::Network),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Recommended => "recommended".to_owned(),
            Self::Nothing => "none".to_owned(),
            Self::Network(net) => net.to_string(),
        }
    }
}

impl TextSetting for IpAddr {
    const WHAT: &'static str = "an IP address";
    const EXAMPLE: &'static str = "203.0.113.4";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        text.parse().map_err(|_| {
            let help = match text.parse::<SocketAddr>() {
                Ok(address) => format!("no port here: write \"{}\"", address.ip()),
                Err(_) => "write it without port or prefix: \"203.0.113.4\" or \"2001:db8::4\"".to_owned(),
            };
            Refusal::new(format!("\"{}\" is not an IP address", text.escape_debug()), help)
        })
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl TextSetting for RelayAddress {
    const WHAT: &'static str = "\"auto\" or an IP address";
    const EXAMPLE: &'static str = "auto";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => IpAddr::from_text(text).map(Self::Ip),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::Ip(ip) => ip.to_string(),
        }
    }
}

impl Setting for Workers {
    fn read(node: Node, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::Text(text) if text == "auto" => Some(Self::Auto),
            Value::Integer(_) => {
                let count = whole(&node, 1..=i128::from(Self::MAX), report)?;
                u16::try_from(count).ok().and_then(NonZeroU16::new).map(Self::Count)
            }
            _ => {
                node.refuse_type("\"auto\" or a number", "write \"auto\" or a number from 1 to 256", report);
                None
            }
        }
    }

    fn show(&self) -> Shown {
        match self {
            Self::Auto => Shown::Value("\"auto\"".to_owned()),
            Self::Count(count) => Shown::Value(count.to_string()),
        }
    }
}
