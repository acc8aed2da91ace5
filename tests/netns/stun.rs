//! STUN and ChannelData from plain bytes: independent of the codec under test.

use aws_lc_rs::hmac;
use md5::{Digest, Md5};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(crate) const BINDING: u16 = 0x001;
pub(crate) const ALLOCATE: u16 = 0x003;
pub(crate) const REFRESH: u16 = 0x004;
pub(crate) const SEND: u16 = 0x016;
pub(crate) const DATA: u16 = 0x017;
pub(crate) const CREATE_PERMISSION: u16 = 0x008;
pub(crate) const CHANNEL_BIND: u16 = 0x009;

const MAGIC_COOKIE: u32 = 0x2112_a442;

pub(crate) mod attribute {
    pub(crate) const USERNAME: u16 = 0x0006;
    pub(crate) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(crate) const ERROR_CODE: u16 = 0x0009;
    pub(crate) const CHANNEL_NUMBER: u16 = 0x000c;
    pub(crate) const LIFETIME: u16 = 0x000d;
    pub(crate) const XOR_PEER_ADDRESS: u16 = 0x0012;
    pub(crate) const DATA: u16 = 0x0013;
    pub(crate) const REALM: u16 = 0x0014;
    pub(crate) const NONCE: u16 = 0x0015;
    pub(crate) const XOR_RELAYED_ADDRESS: u16 = 0x0016;
    pub(crate) const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
    pub(crate) const REQUESTED_TRANSPORT: u16 = 0x0019;
    pub(crate) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub(crate) const ADDITIONAL_ADDRESS_FAMILY: u16 = 0x8000;
}

pub(crate) type Attribute = (u16, Vec<u8>);
pub(crate) type TransactionId = [u8; 12];

/// A message without integrity; `kind` as on the wire (an indication has 0x0010 set).
pub(crate) fn message(kind: u16, id: TransactionId, attributes: &[Attribute]) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend([0, 0]);
    bytes.extend(MAGIC_COOKIE.to_be_bytes());
    bytes.extend(id);
    for (kind, value) in attributes {
        append(&mut bytes, *kind, value);
    }
    bytes
}

/// Puts MESSAGE-INTEGRITY (RFC 8489 section 14.5) under the key of `user` behind `bytes`.
pub(crate) fn sign(bytes: &mut Vec<u8>, user: &str, realm: &str, password: &str) {
    let key = Md5::digest(format!("{user}:{realm}:{password}"));
    let length = bytes.len() - 20 + 24;
    bytes[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
    let tag = hmac::sign(&key, bytes);
    append(bytes, attribute::MESSAGE_INTEGRITY, tag.as_ref());
}

fn append(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    bytes.extend(kind.to_be_bytes());
    bytes.extend((value.len() as u16).to_be_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let length = bytes.len() - 20;
    bytes[2..4].copy_from_slice(&(length as u16).to_be_bytes());
}

/// ChannelData (RFC 8656 section 12.4), unpadded as over UDP.
pub(crate) fn channel_data(number: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The value of an XOR-...-ADDRESS attribute (RFC 8489 section 14.2). `address` is encoded as it is:
/// an IPv4-mapped one has family 2.
pub(crate) fn xor_address(address: SocketAddr, id: TransactionId) -> Vec<u8> {
    let port = address.port() ^ (MAGIC_COOKIE >> 16) as u16;
    let family = if address.is_ipv4() { 1 } else { 2 };
    let mut value = vec![0, family];
    value.extend(port.to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => value.extend((ip.to_bits() ^ MAGIC_COOKIE).to_be_bytes()),
        IpAddr::V6(ip) => value.extend((ip.to_bits() ^ mask(id)).to_be_bytes()),
    }
    value
}

fn plain_address(value: &[u8], id: TransactionId) -> SocketAddr {
    let port = u16::from_be_bytes([value[2], value[3]]) ^ (MAGIC_COOKIE >> 16) as u16;
    let ip = match value[1] {
        1 => {
            let bits = u32::from_be_bytes(value[4..8].try_into().expect("four bytes"));
            Ipv4Addr::from_bits(bits ^ MAGIC_COOKIE).into()
        }
        _ => {
            let bits = u128::from_be_bytes(value[4..20].try_into().expect("sixteen bytes"));
            Ipv6Addr::from_bits(bits ^ mask(id)).into()
        }
    };
    SocketAddr::new(ip, port)
}

fn mask(id: TransactionId) -> u128 {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    bytes[4..].copy_from_slice(&id);
    u128::from_be_bytes(bytes)
}

/// A message as it came.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) kind: u16,
    pub(crate) id: TransactionId,
    attributes: Vec<Attribute>,
}

impl Received {
    /// `None` when `bytes` are no STUN message.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..20).filter(|header| header[0] < 4)?;
        let (kind, id) = (u16::from_be_bytes([header[0], header[1]]), header[8..20].try_into().ok()?);
        let (mut attributes, mut rest) = (Vec::new(), &bytes[20..]);
        while let Some(([a, b, c, d], value)) = rest.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes([*c, *d]));
            attributes.push((u16::from_be_bytes([*a, *b]), value.get(..length)?.to_vec()));
            rest = value.get(length.next_multiple_of(4)..)?;
        }
        Some(Self { kind, id, attributes })
    }

    pub(crate) fn value(&self, kind: u16) -> Option<&[u8]> {
        self.attributes.iter().find(|(k, _)| *k == kind).map(|(_, value)| value.as_slice())
    }

    /// All addresses of this attribute.
    pub(crate) fn addresses(&self, kind: u16) -> Vec<SocketAddr> {
        let values = self.attributes.iter().filter(|(k, _)| *k == kind);
        values.map(|(_, value)| plain_address(value, self.id)).collect()
    }

    /// 0 for a success response, else its ERROR-CODE.
    pub(crate) fn code(&self) -> u16 {
        self.value(attribute::ERROR_CODE).map_or(0, |v| u16::from(v[2]) * 100 + u16::from(v[3]))
    }
}
