//! The peers of the simulation, and a reference for the peer policy that knows these alone.

use crate::world::{RELAY_V4, RELAY_V6};
use std::net::{IpAddr, SocketAddr};
use turnstone::turn::PeerRules;

/// What the rules can say, each of them one switch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) no_recommended: bool,
    pub(crate) allow_private: bool,
    pub(crate) allow_own: bool,
    pub(crate) allow_all: bool,
    pub(crate) deny_some: bool,
    pub(crate) min_port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Class {
    Public,
    /// Public, and denied by `deny_some`.
    Deniable,
    Private,
    PrivateV6,
    Loopback,
    Never,
    Own,
}

const PEERS: [(&str, Class); 18] = [
    ("8.8.4.1", Class::Deniable),
    ("8.8.4.2", Class::Deniable),
    ("8.8.4.3", Class::Deniable),
    ("9.9.9.9", Class::Public),
    ("2606:4700::1", Class::Public),
    ("2606:4700::2", Class::Public),
    ("10.0.0.5", Class::Private),
    ("::ffff:10.0.0.5", Class::Private),
    ("64:ff9b::a00:5", Class::Private),
    ("fd00::1", Class::PrivateV6),
    ("127.0.0.1", Class::Loopback),
    ("169.254.169.254", Class::Never),
    ("224.0.0.1", Class::Never),
    ("0.0.0.0", Class::Never),
    ("2002:808:808::1", Class::Never),
    ("192.31.196.10", Class::Own),
    ("192.168.7.7", Class::Own),
    ("2620::10", Class::Own),
];

pub(crate) const PORTS: [u16; 4] = [80, 3478, 4001, 5000];
/// The internal relay address of the worlds behind 1:1 NAT; elsewhere nobody names it.
pub(crate) const INTERNAL: &str = "192.168.7.7";

/// All addresses but the own ones.
pub(crate) fn foreign() -> Vec<IpAddr> {
    let foreign = PEERS.iter().filter(|(_, class)| *class != Class::Own);
    foreign.map(|(text, _)| text.parse().expect("a literal")).collect()
}

fn class(ip: IpAddr) -> Class {
    let found = PEERS.iter().find(|(text, _)| text.parse::<IpAddr>().expect("a literal") == ip);
    found.unwrap_or_else(|| panic!("{ip} is no peer of the simulation")).1
}

impl Rules {
    /// One of the sets that a reload switches between.
    pub(crate) fn variant(n: u32) -> Self {
        let rules = Self { min_port: 1, ..Self::default() };
        match n {
            0 | 1 => rules,
            2 => Self { allow_private: true, ..rules },
            3 => Self { deny_some: true, ..rules },
            4 => Self { no_recommended: true, ..rules },
            5 => Self { min_port: 1024, ..rules },
            6 => Self { allow_own: true, ..rules },
            _ => Self { allow_all: true, deny_some: true, min_port: 1024, ..rules },
        }
    }

    pub(crate) fn compiled(self) -> PeerRules {
        let allow: [(bool, &[&str]); 3] = [
            (self.allow_private, &["10.0.0.0/8"]),
            (self.allow_own, &["192.31.196.10/32", "192.168.7.7/32"]),
            (self.allow_all, &["0.0.0.0/0", "::/0"]),
        ];
        let nets = allow.iter().filter(|(on, _)| *on).flat_map(|(_, nets)| *nets);
        PeerRules {
            recommended: !self.no_recommended,
            allow: nets.map(|net| net.parse().expect("a literal")).collect(),
            deny: if self.deny_some { vec!["8.8.4.0/24".parse().expect("a literal")] } else { Vec::new() },
            min_port: self.min_port,
        }
    }

    pub(crate) fn is_own(self, ip: IpAddr) -> bool {
        class(ip) == Class::Own
    }

    pub(crate) fn admits_address(self, ip: IpAddr) -> bool {
        match class(ip) {
            Class::Never => false,
            Class::Own | Class::Public => true,
            Class::Loopback => self.allow_all,
            Class::Deniable => self.allow_all || !self.deny_some,
            Class::Private => self.allow_all || self.allow_private || self.no_recommended,
            Class::PrivateV6 => self.allow_all || self.no_recommended,
        }
    }

    /// `live`: own relay ports with a socket.
    pub(crate) fn admits_port(self, peer: SocketAddr, live: &[SocketAddr]) -> bool {
        let listener = [IpAddr::from(RELAY_V4), IpAddr::from(RELAY_V6)].contains(&peer.ip());
        if listener && peer.port() == 3478 {
            return false;
        }
        if class(peer.ip()) == Class::Own {
            let allowed = self.allow_all || (self.allow_own && peer.is_ipv4());
            return live.contains(&peer) || (allowed && peer.port() >= self.min_port);
        }
        peer.port() >= self.min_port
    }
}
