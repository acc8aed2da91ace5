//! The way between one client and the server, and what travels on it.

use super::stream::Stream;
use crate::net::{Header, Outgoing, RecvBatch, SendScratch, UdpSocket};
use crate::wire::channel_data;
use crate::wire::stun::{AttributeType, Class, Message, Method};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

/// A client's own socket.
pub(super) enum Link {
    Datagrams(UdpSocket),
    Stream(Box<Stream>),
}

/// What came to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival<'a> {
    /// Payload from its peer.
    Payload(&'a [u8]),
    /// A whole message of the server that is none.
    Message(&'a [u8]),
}

/// What goes in front of each payload from a client, and behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) header: Header,
    pub(super) pad: u8,
}

impl Link {
    /// Sends one message. What the kernel does not take is lost over UDP, and the crate sends it again.
    pub(super) fn send_message(&mut self, server: SocketAddr, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Datagrams(socket) => {
                let _lost_or_sent = socket.send_to(server, None, 0, message);
                Ok(())
            }
            Self::Stream(stream) => {
                stream.queue(&[message]);
                stream.flush()
            }
        }
    }

    /// Sends one burst, whose payloads lie behind each other. Returns how many of them left.
    pub(super) fn send_burst(&mut self, scratch: &mut SendScratch, burst: &Burst) -> io::Result<u32> {
        match self {
            Self::Datagrams(socket) => Ok(burst.send(socket, scratch)),
            Self::Stream(stream) => {
                burst.parts().for_each(|parts| stream.queue(&parts));
                stream.flush().map(|()| burst.count())
            }
        }
    }

    /// Takes what is there; `on_arrival` gets each whole message.
    pub(super) fn receive(
        &mut self,
        batch: &mut RecvBatch,
        mut on_arrival: impl FnMut(Arrival<'_>),
    ) -> io::Result<()> {
        match self {
            Self::Datagrams(socket) => receive(socket, batch, |bytes| on_arrival(Arrival::of(bytes))),
            Self::Stream(stream) => stream.read(|bytes| on_arrival(Arrival::of(bytes))),
        }
    }

    /// Writes what a connection has to write.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Datagrams(_) => Ok(()),
            Self::Stream(stream) => stream.flush(),
        }
    }

    /// Whether a connection has more to write than the kernel took.
    pub(super) fn is_stuck(&self) -> bool {
        match self {
            Self::Datagrams(_) => false,
            Self::Stream(stream) => stream.is_stuck(),
        }
    }

    pub(super) fn datagrams(&self) -> Option<&UdpSocket> {
        match self {
            Self::Datagrams(socket) => Some(socket),
            Self::Stream(_) => None,
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Datagrams(socket) => socket.as_fd(),
            Self::Stream(stream) => stream.as_fd(),
        }
    }
}

/// Takes what is there, at most two batches, since others wait too.
pub(super) fn receive(
    socket: &UdpSocket,
    batch: &mut RecvBatch,
    mut on_datagram: impl FnMut(&[u8]),
) -> io::Result<()> {
    for _ in 0..2 {
        let count = socket.recv(batch)?;
        (0..count).for_each(|i| on_datagram(batch.datagram(i).bytes));
        if !batch.is_full() {
            break;
        }
    }
    Ok(())
}

impl<'a> Arrival<'a> {
    /// Of a datagram, or of one frame of a stream.
    fn of(bytes: &'a [u8]) -> Self {
        match bytes {
            [64..=127, _, high, low, rest @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                // Behind it there is padding at most.
                let payload = rest.get(..length).filter(|_| rest.len() - length < 4);
                payload.map_or(Self::Message(bytes), Self::Payload)
            }
            // A Data indication, without its cookie.
            [0x00, 0x17, ..] => data_of(bytes).map_or(Self::Message(bytes), Self::Payload),
            _ => Self::Message(bytes),
        }
    }
}

fn data_of(bytes: &[u8]) -> Option<&[u8]> {
    let message = Message::parse(bytes).ok()?;
    let is_data = message.class() == Class::Indication && message.method() == Method::DATA;
    message.first(AttributeType::DATA).filter(|_| is_data)
}

impl Frame {
    /// Payload as it is.
    pub(super) const BARE: Self = Self { header: Header::EMPTY, pad: 0 };

    /// ChannelData (RFC 8656 section 12.4), on a stream with its padding (section 12.5).
    pub(super) fn channel(number: u16, payload_bytes: usize, is_stream: bool) -> Self {
        let (number, length) = (number.to_be_bytes(), (payload_bytes as u16).to_be_bytes());
        let pad = if is_stream { channel_data::padding(payload_bytes) as u8 } else { 0 };
        Self { header: Header::of(&[number[0], number[1], length[0], length[1]]), pad }
    }
}

/// Datagrams of one flow that leave together.
pub(super) struct Burst {
    /// Their payloads, behind each other.
    pub(super) payloads: Vec<u8>,
    payload_bytes: usize,
    run: Vec<Outgoing>,
}

impl Burst {
    /// `count` payloads of `payload_bytes` each.
    pub(super) fn new(count: u32, payload_bytes: usize) -> Self {
        let size = payload_bytes as u32;
        let run = (0..count).map(|number| Outgoing {
            to: SocketAddr::from(([0, 0, 0, 0], 0)),
            source: None,
            ecn: 0,
            header: Header::EMPTY,
            slot: 0,
            payload: number * size..(number + 1) * size,
            pad: 0,
        });
        let run: Vec<_> = run.collect();
        Self { payloads: vec![0x5A; run.len() * payload_bytes], payload_bytes, run }
    }

    /// Where they go, and in which frame.
    pub(super) fn address(&mut self, to: SocketAddr, frame: &Frame) {
        for one in &mut self.run {
            (one.to, one.header, one.pad) = (to, frame.header, frame.pad);
        }
    }

    /// Returns how many the kernel took.
    pub(super) fn send(&self, socket: &UdpSocket, scratch: &mut SendScratch) -> u32 {
        socket.send_run(scratch, &*self.payloads, &self.run).sent as u32
    }

    fn count(&self) -> u32 {
        self.run.len() as u32
    }

    /// Header, payload and padding of each.
    fn parts(&self) -> impl Iterator<Item = [&[u8]; 3]> {
        const ZEROS: [u8; 3] = [0; 3];
        self.run
            .iter()
            .zip(self.payloads.chunks_exact(self.payload_bytes))
            .map(|(one, payload)| [one.header.as_slice(), payload, &ZEROS[..usize::from(one.pad)]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_is_found_in_channel_data_and_in_data_indications_and_nowhere_else() {
        assert_eq!(Arrival::of(&[0x40, 0, 0, 2, 7, 8, 0, 0]), Arrival::Payload(&[7, 8]));
        let short = [0x40, 0, 0, 3, 7, 8];
        assert_eq!(Arrival::of(&short), Arrival::Message(&short));
        let long = [0x40, 0, 0, 1, 7, 8, 9, 10, 11];
        assert_eq!(Arrival::of(&long), Arrival::Message(&long));
        let mut data = vec![0x00, 0x17, 0, 8, 0x21, 0x12, 0xA4, 0x42];
        data.extend([1; 12]);
        data.extend([0x00, 0x13, 0, 3, 7, 8, 9, 0]);
        assert_eq!(Arrival::of(&data), Arrival::Payload(&[7, 8, 9]));
        data[1] = 0x16;
        assert_eq!(Arrival::of(&data), Arrival::Message(&data));
        assert_eq!(Arrival::of(&[]), Arrival::Message(&[]));
    }

    #[test]
    fn frames_of_a_burst_are_whole_on_a_stream() {
        let mut burst = Burst::new(2, 5);
        burst.payloads.copy_from_slice(b"abcdefghij");
        burst.address(SocketAddr::from(([127, 0, 0, 1], 1)), &Frame::channel(0x4001, 5, true));
        let bytes: Vec<_> = burst.parts().flatten().flatten().copied().collect();
        assert_eq!(bytes, b"\x40\x01\x00\x05abcde\0\0\0\x40\x01\x00\x05fghij\0\0\0");
    }
}
