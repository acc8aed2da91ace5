//! Requests as values: the model reads the value, the server its bytes.

use crate::world::{EPOCH, SECRET, xor};
use aws_lc_rs::digest;
use std::net::SocketAddr;
use std::time::Duration;
use turnstone::auth::{MintRequest, Nonces, Secret, Variant, mint};
use turnstone::base::Now;
use turnstone::wire::stun::{
    AttributeType as A, Class, IntegrityAlgorithm, IntegrityKey, MessageWriter, Method, TransactionId,
};

/// A credential.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) username: String,
    password: String,
    pub(crate) subject: String,
    pub(crate) expires: Option<u64>,
    pub(crate) allocations_max: u32,
    pub(crate) exists: bool,
}

impl User {
    /// Static users, two credentials of one subject, and somebody who does not exist.
    pub(crate) fn all() -> Vec<Self> {
        let fixed = |name: &str| Self {
            username: name.into(),
            password: format!("{name}-password"),
            subject: name.into(),
            expires: None,
            allocations_max: u32::MAX,
            exists: name != "mallory",
        };
        let minted = |ttl_s: u64, allocations_max: Option<u32>| {
            let request = MintRequest::new(EPOCH, Duration::from_secs(ttl_s), "carol");
            let request = MintRequest { allocations_max, ..request };
            let credential = mint(&Secret::new(SECRET), Variant::Sha1, &request).expect("a short name");
            Self {
                username: credential.username,
                password: credential.password.expose().into(),
                subject: "carol".into(),
                expires: Some(credential.expires.0),
                allocations_max: allocations_max.unwrap_or(u32::MAX),
                exists: true,
            }
        };
        vec![fixed("alice"), fixed("bob"), minted(2_000, None), minted(100_000, Some(1)), fixed("mallory")]
    }
}

/// A nonce and what is known about it.
#[derive(Clone, Debug)]
pub(crate) struct Nonce {
    pub(crate) bytes: Vec<u8>,
    /// To whom and when it was issued; `None` when nobody did.
    pub(crate) issued: Option<(SocketAddr, u64)>,
}

impl Nonce {
    pub(crate) fn is_good(&self, now: Now, remote: SocketAddr) -> bool {
        let in_time = |issued: u64| now.unix.0 - issued <= Nonces::AGE_S_MAX;
        self.issued.is_some_and(|(to, at)| to == remote && in_time(at))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) client: usize,
    pub(crate) id: TransactionId,
    /// `None`: no integrity at all.
    pub(crate) sign: Option<Sign>,
    pub(crate) body: Body,
    pub(crate) unknown_attribute: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Sign {
    pub(crate) user: usize,
    pub(crate) right_password: bool,
    pub(crate) nonce: Nonce,
    /// USERNAME is left out.
    pub(crate) incomplete: bool,
    pub(crate) style: Style,
}

/// What a client makes of an offer (RFC 8489 section 9.2.5); the outcome must not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Classic,
    Sha256,
    /// With USERHASH, which is for static users.
    Hashed,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Allocate(AllocateSpec),
    Refresh { lifetime_s: Option<Result<u32, ()>>, family: Option<u8> },
    Permit { peers: Vec<SocketAddr> },
    Bind { number: Option<u16>, peer: Option<SocketAddr> },
}

/// A lifetime of `Err` is an attribute of three bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllocateSpec {
    pub(crate) transport: Option<u8>,
    pub(crate) lifetime_s: Option<Result<u32, ()>>,
    pub(crate) family: Option<u8>,
    pub(crate) additional: Option<u8>,
    pub(crate) even_port: Option<bool>,
    pub(crate) token: Option<[u8; 8]>,
    pub(crate) dont_fragment: bool,
}

impl Request {
    pub(crate) fn encode(&self, users: &[User]) -> Vec<u8> {
        let mut buffer = [0; 2048];
        let mut writer = MessageWriter::new(&mut buffer, Class::Request, self.body.method(), self.id);
        for (kind, value) in self.body.attributes(self.id) {
            writer.attribute(kind, &value);
        }
        if self.unknown_attribute {
            writer.attribute(A(0x7ABC), b"what?");
        }
        if let Some(sign) = &self.sign {
            sign.write(&users[sign.user], &mut writer);
        }
        let length = writer.finish().expect("requests are small");
        buffer[..length].to_vec()
    }
}

impl Sign {
    fn write(&self, user: &User, writer: &mut MessageWriter<'_>) {
        let (name, hashed) = (user.username.as_bytes(), self.style == Style::Hashed);
        if !self.incomplete && hashed {
            let hash = digest::digest(&digest::SHA256, &[name, b":turn"].concat());
            writer.attribute(A::USERHASH, hash.as_ref());
        } else if !self.incomplete {
            writer.attribute(A::USERNAME, name);
        }
        writer.attribute(A::REALM, b"turn");
        writer.attribute(A::NONCE, &self.nonce.bytes);
        let password = if self.right_password { user.password.as_bytes() } else { b"a guess" };
        if self.style == Style::Classic {
            let key = IntegrityKey::long_term_md5(name, b"turn", password);
            return writer.integrity(IntegrityAlgorithm::Sha1, &key);
        }
        writer.attribute(A::PASSWORD_ALGORITHMS, &[0, 2, 0, 0, 0, 1, 0, 0]);
        writer.attribute(A::PASSWORD_ALGORITHM, &[0, 2, 0, 0]);
        writer
            .integrity(IntegrityAlgorithm::Sha256, &IntegrityKey::long_term_sha256(name, b"turn", password));
    }
}

impl Body {
    fn method(&self) -> Method {
        match self {
            Self::Allocate(_) => Method::ALLOCATE,
            Self::Refresh { .. } => Method::REFRESH,
            Self::Permit { .. } => Method::CREATE_PERMISSION,
            Self::Bind { .. } => Method::CHANNEL_BIND,
        }
    }

    fn attributes(&self, id: TransactionId) -> Vec<(A, Vec<u8>)> {
        let mut list = Vec::new();
        match self {
            Self::Allocate(spec) => spec.attributes(&mut list),
            Self::Refresh { lifetime_s, family } => {
                list.extend(lifetime_s.map(lifetime));
                list.extend(family.map(|f| (A::REQUESTED_ADDRESS_FAMILY, vec![f, 0, 0, 0])));
            }
            Self::Permit { peers } => {
                list.extend(peers.iter().map(|peer| (A::XOR_PEER_ADDRESS, xor(*peer, id))));
            }
            Self::Bind { number, peer } => {
                let value = |n: u16| [n.to_be_bytes(), [0, 0]].concat();
                list.extend(number.map(|n| (A::CHANNEL_NUMBER, value(n))));
                list.extend(peer.map(|peer| (A::XOR_PEER_ADDRESS, xor(peer, id))));
            }
        }
        list
    }
}

impl AllocateSpec {
    fn attributes(&self, list: &mut Vec<(A, Vec<u8>)>) {
        list.extend(self.transport.map(|t| (A::REQUESTED_TRANSPORT, vec![t, 0, 0, 0])));
        list.extend(self.lifetime_s.map(lifetime));
        list.extend(self.family.map(|f| (A::REQUESTED_ADDRESS_FAMILY, vec![f, 0, 0, 0])));
        list.extend(self.additional.map(|f| (A::ADDITIONAL_ADDRESS_FAMILY, vec![f, 0, 0, 0])));
        list.extend(self.even_port.map(|r| (A::EVEN_PORT, vec![u8::from(r) << 7])));
        list.extend(self.token.map(|t| (A::RESERVATION_TOKEN, t.to_vec())));
        list.extend(self.dont_fragment.then(|| (A::DONT_FRAGMENT, Vec::new())));
    }
}

fn lifetime(seconds: Result<u32, ()>) -> (A, Vec<u8>) {
    (A::LIFETIME, seconds.map_or_else(|()| vec![0, 0, 1], |s| s.to_be_bytes().to_vec()))
}
