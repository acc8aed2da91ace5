//! A TURN client with one channel to one peer, which is a UDP socket of its own.

use crate::connection::{Connection, Identity};
use crate::options::Door;
use crate::server::{PASSWORD, Server, USERNAME};
use crate::world::{self, Answer, UDP};
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use turnstone::wire::channel_data::ChannelNumber;
use turnstone::wire::stun::{AttributeType, Class, Method, TransactionId};

/// Bursts of a slow moment wait here instead of being lost.
const PEER_BUFFER_BYTES: usize = 1 << 20;

pub(crate) const CHANNEL: ChannelNumber = ChannelNumber::FIRST;

pub(crate) struct Client {
    pub(crate) connection: Connection,
    /// Connected to the relayed address.
    pub(crate) peer: UdpSocket,
}

impl Client {
    /// Connects, allocates and binds the channel. Neither socket blocks any more.
    pub(crate) fn open(server: &Server, door: Door, identity: &Identity) -> io::Result<Self> {
        let mut connection = Connection::open(server, door, Ipv4Addr::LOCALHOST, identity)?;
        let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let mut known = world::Client::at(connection.stream().local_addr()?, USERNAME);
        known.password = PASSWORD.into();

        let allocate = [(AttributeType::REQUESTED_TRANSPORT, UDP)];
        let challenge = world::bare(transaction(1), Class::Request, Method::ALLOCATE, &allocate);
        known.nonce = Answer::read(&connection.exchange(&challenge)?).nonce.expect("a challenge has a nonce");
        let request = known.request(transaction(2), Method::ALLOCATE, &allocate);
        let allocated = Answer::read(&connection.exchange(&request)?);
        assert_eq!(allocated.code, 0, "Allocate: {allocated:?}");

        let number = CHANNEL.get().to_be_bytes();
        let address = world::xor(peer.local_addr()?, transaction(3));
        let bind: [(AttributeType, &[u8]); 2] = [
            (AttributeType::CHANNEL_NUMBER, &[number[0], number[1], 0, 0]),
            (AttributeType::XOR_PEER_ADDRESS, &address),
        ];
        let request = known.request(transaction(3), Method::CHANNEL_BIND, &bind);
        let bound = Answer::read(&connection.exchange(&request)?);
        assert_eq!(bound.code, 0, "ChannelBind: {bound:?}");

        peer.connect(allocated.relayed[0])?;
        peer.set_nonblocking(true)?;
        let buffers = socket2::SockRef::from(&peer);
        buffers.set_recv_buffer_size(PEER_BUFFER_BYTES)?;
        buffers.set_send_buffer_size(PEER_BUFFER_BYTES)?;
        connection.set_nonblocking();
        Ok(Self { connection, peer })
    }
}

/// A Binding request.
pub(crate) fn binding() -> Vec<u8> {
    world::bare(transaction(9), Class::Request, Method::BINDING, &[])
}

fn transaction(number: u8) -> TransactionId {
    TransactionId([number; 12])
}
