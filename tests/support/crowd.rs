//! Many allocations of many users, each with a channel and a permission.
#![allow(dead_code, unreachable_pub)]

use crate::world::{Answer, Client, EPOCH, Options, SECRET, World, bare, xor};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use turnstone::auth::{MintRequest, Secret, Variant, mint};
use turnstone::base::Family;
use turnstone::turn::{ClientAddr, PortRange, RelayId};
use turnstone::wire::channel_data::{self, ChannelNumber};
use turnstone::wire::stun::{AttributeType, Class, Method};

pub struct Crowd {
    pub world: World,
    pub members: Vec<Member>,
}

/// One allocation.
pub struct Member {
    pub address: ClientAddr,
    pub relay: RelayId,
    /// Has channel 0x4000.
    pub bound: SocketAddr,
}

/// A world with room for 50,000 allocations.
pub fn roomy_world() -> World {
    let ports = PortRange { first: 10_000, last: 59_999 };
    World::with(1, Options { ports, quarantine: Duration::ZERO, ..Options::default() })
}

/// The `n`th client, with a time-limited credential of its own.
pub fn client(n: usize) -> Client {
    let subject = format!("user-{n}");
    let request = MintRequest::new(EPOCH, Duration::from_secs(86_400), &subject);
    let credential = mint(&Secret::new(SECRET), Variant::Sha1, &request).expect("a short name");
    let remote =
        SocketAddr::new(Ipv4Addr::from_bits(0x5BC6_0000 + (n as u32 >> 4)).into(), 40_000 + (n as u16 & 15));
    let mut client = Client::at(remote, &credential.username);
    client.password = credential.password.expose().into();
    client
}

pub fn bound_peer(n: usize) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from_bits(0x0909_0000 + n as u32).into(), 5000)
}

impl Crowd {
    /// `allocations` clients that have each allocated and bound a channel, which permits its peer.
    pub fn of(allocations: usize) -> Self {
        let mut world = roomy_world();
        world.sockets.reserve(allocations);
        let mut members = Vec::with_capacity(allocations);
        for n in 0..allocations {
            members.push(Self::join(&mut world, n));
        }
        Self { world, members }
    }

    fn join(world: &mut World, n: usize) -> Member {
        let mut client = client(n);
        let answer = client.allocate(world);
        assert_eq!(answer.relayed.len(), 1);
        let bound = bound_peer(n);
        assert_eq!(client.bind(world, 0x4000, bound).code, 0);
        let (relay, _) = *world.sockets.last().expect("just opened");
        assert_eq!(relay.family, Family::V4);
        world.effects = Vec::new();
        Member { address: client.address, relay, bound }
    }

    /// A permission without a channel, for the first member.
    pub fn permit(&mut self, peer: SocketAddr) {
        let mut client = client(0);
        // A nonce first: then the request for the very peer.
        assert_eq!(client.ask(&mut self.world, Method::REFRESH, &[]).code, 0);
        let answer: Answer = client.permit(&mut self.world, &[peer]);
        assert_eq!(answer.code, 0);
    }
}

/// ChannelData on channel 0x4000.
pub fn channel_data(payload: &[u8]) -> Vec<u8> {
    let mut bytes = channel_data::header(ChannelNumber::FIRST, payload.len() as u16).to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// A Send indication.
pub fn send(world: &mut World, peer: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let id = world.transaction();
    let peer = xor(peer, id);
    let attributes: [(AttributeType, &[u8]); 2] =
        [(AttributeType::XOR_PEER_ADDRESS, &peer), (AttributeType::DATA, payload)];
    bare(id, Class::Indication, Method::SEND, &attributes)
}
