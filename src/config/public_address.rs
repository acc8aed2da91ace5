//! `server.public_address`: one address, a list, or pairs of outer and inner address.

use super::report::Report;
use super::section::{Setting, Shown, Table};
use super::tree::{Node, Value};
use std::net::IpAddr;

/// The addresses that clients see, `server.public_address`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicAddress {
    /// The relay's own addresses.
    Auto,
    /// These, at most one without `internal` per address family.
    Fixed(Vec<PublicMapping>),
}

/// An address that clients see, and the one of this host that stands behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicMapping {
    /// What clients see.
    pub external: IpAddr,
    /// The address of this host that a 1:1 NAT maps to it; `None` for all of that family.
    pub internal: Option<IpAddr>,
}

impl Setting for PublicAddress {
    fn read(node: Node, report: &mut Report) -> Option<Self> {
        match node.value {
            Value::Text(ref text) if text == "auto" => Some(Self::Auto),
            Value::Array(_) => Vec::<PublicMapping>::read(node, report).map(Self::Fixed),
            _ => PublicMapping::read(node, report).map(|mapping| Self::Fixed(vec![mapping])),
        }
    }

    fn show(&self) -> Shown {
        match self {
            Self::Auto => Shown::Value("\"auto\"".to_owned()),
            Self::Fixed(mappings) => mappings.show(),
        }
    }
}

impl Setting for PublicMapping {
    fn read(node: Node, report: &mut Report) -> Option<Self> {
        if !matches!(node.value, Value::Table(_)) {
            return IpAddr::read(node, report).map(|external| Self { external, internal: None });
        }
        let (path, place) = (node.path.clone(), node.place);
        let mut table = Table::open(node, report)?;
        let external: Option<IpAddr> = table.take("external", report);
        let internal = table.take("internal", report);
        table.close(&["external", "internal"], report);
        if external.is_none() && !report.has_error(&path) {
            let message = format!("`{path}` has no `external`");
            report.error(
                place,
                &path,
                message,
                "write { external = \"203.0.113.4\", internal = \"10.0.0.4\" }",
            );
        }
        Some(Self { external: external?, internal })
    }

    fn show(&self) -> Shown {
        match self.internal {
            None => self.external.show(),
            Some(internal) => {
                Shown::Value(format!("{{ external = \"{}\", internal = \"{internal}\" }}", self.external))
            }
        }
    }
}
