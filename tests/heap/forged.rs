//! Allocate requests of sources that do not exist.

use crate::world::{Answer, SERVER_V4, UDP};
use std::net::{Ipv4Addr, SocketAddr};
use turnstone::base::Transport;
use turnstone::turn::ClientAddr;
use turnstone::wire::stun::{AttributeType as A, Class, MessageWriter, Method, TransactionId};

/// What a forged request carries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Bare,
    GarbageNonce,
    /// Of the right form, from nobody.
    ForgedNonce,
    /// The source exists after all and comes back with its nonce, but knows no password.
    AnswersTheChallenge,
}

impl Kind {
    pub(crate) fn of(n: u32) -> Self {
        match n % 8 {
            0..=4 => Self::Bare,
            5 => Self::GarbageNonce,
            6 => Self::ForgedNonce,
            _ => Self::AnswersTheChallenge,
        }
    }
}

/// No two are alike in address or port.
pub(crate) fn source(n: u32) -> ClientAddr {
    let ip = Ipv4Addr::from_bits(0x1400_0000 + n.wrapping_mul(13));
    let port = 1024 + (n % 60_000) as u16;
    ClientAddr {
        remote: SocketAddr::new(ip.into(), port),
        local: SERVER_V4,
        transport: Transport::Udp,
        door: 0,
    }
}

/// `nonce`: one that the server issued; without it the request is the first one of its kind.
pub(crate) fn request(n: u32, kind: Kind, nonce: Option<&[u8]>) -> Vec<u8> {
    let mut id = TransactionId::default();
    id.0[..4].copy_from_slice(&n.to_be_bytes());
    let mut buffer = [0; 512];
    let mut writer = MessageWriter::new(&mut buffer, Class::Request, Method::ALLOCATE, id);
    writer.attribute(A::REQUESTED_TRANSPORT, UDP);
    let made_up = format!("{n:016x}");
    let nonce = match (kind, nonce) {
        (Kind::Bare, _) | (Kind::AnswersTheChallenge, None) => None,
        (Kind::GarbageNonce, _) => Some(&b"\xff\x00 no nonce"[..]),
        (Kind::ForgedNonce, _) => Some(made_up.as_bytes()),
        (Kind::AnswersTheChallenge, nonce) => nonce,
    };
    if let Some(nonce) = nonce {
        let name = if n.is_multiple_of(2) { format!("user-{n}") } else { format!("1900000000:user-{n}") };
        writer.attribute(A::USERNAME, name.as_bytes());
        writer.attribute(A::REALM, b"turn");
        writer.attribute(A::NONCE, nonce);
        writer.attribute(A::MESSAGE_INTEGRITY, &[n as u8; 20]);
    }
    let length = writer.finish().expect("fits");
    buffer[..length].to_vec()
}

pub(crate) fn nonce_of(reply: &[u8]) -> Vec<u8> {
    Answer::read(reply).nonce.expect("a challenge")
}
