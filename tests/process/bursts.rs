//! Datagrams that leave a sender in one go reach the other side so, each way; with `relay.offload` off they come one by one.

use crate::caller::Caller;
use crate::daemon::{Config, Daemon, PATIENCE, eventually};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use turnstone::net::{Header, Outgoing, RecvBatch, SendScratch, UdpOptions, UdpSocket as Socket};
use turnstone::wire::channel_data::HEADER_BYTES;

const CHANNEL: u16 = 0x4000;
const BURST: usize = 8;

/// Bytes of the nth datagram: the last one is shorter.
fn length(n: usize) -> u16 {
    if n + 1 == BURST { 700 } else { 1000 }
}

/// Sends a burst; the nth datagram is bytes of that value.
fn send(from: &Socket, to: SocketAddr, header: impl Fn(usize) -> Header) {
    let payloads: Vec<u8> = (0..BURST).flat_map(|n| [n as u8; 1000]).collect();
    let datagram = |n: usize| {
        let start = n as u32 * 1000;
        let payload = start..start + u32::from(length(n));
        Outgoing { to, source: None, ecn: 0, header: header(n), slot: 0, payload, pad: 0 }
    };
    let run: Vec<_> = (0..BURST).map(datagram).collect();
    assert_eq!(from.send_run(&mut SendScratch::new(), &payloads[..], &run).sent, BURST);
}

/// Takes a burst. Returns in how many pieces the kernel handed it over.
fn take(at: &Socket, header_bytes: usize) -> usize {
    let mut batch = RecvBatch::new(65_536);
    let (mut taken, mut pieces) = (0, 0);
    while taken < BURST {
        let count = eventually(PATIENCE, "the rest of a burst", || {
            Some(at.recv(&mut batch).unwrap()).filter(|count| *count > 0)
        });
        for i in 0..count {
            let payload = &batch.datagram(i).bytes[header_bytes..];
            assert_eq!(payload, vec![taken as u8; usize::from(length(taken))]);
            taken += 1;
        }
        pieces += batch.slots_used();
    }
    pieces
}

/// Pieces in which a burst arrives at the peer, and at the client.
fn pieces_through(offload: &str) -> [usize; 2] {
    let daemon = Daemon::start(&Config::default().relay(&format!("offload = \"{offload}\"")));
    let open = || Socket::relay(Ipv4Addr::LOCALHOST.into(), 0, UdpOptions::default()).unwrap();
    let (client, peer) = (open(), open());
    let socket = UdpSocket::from(client.as_fd().try_clone_to_owned().unwrap());
    socket.set_nonblocking(false).unwrap();
    let mut caller = Caller::on(socket, daemon.server, "alice", "alice-password");
    let relayed = caller.allocate();
    assert_eq!(caller.bind(CHANNEL, peer.local_addr().unwrap()).code, 0);
    caller.socket.set_nonblocking(true).unwrap();

    send(&client, daemon.server, |n| {
        let [a, b] = CHANNEL.to_be_bytes();
        let [c, d] = length(n).to_be_bytes();
        Header::of(&[a, b, c, d])
    });
    let at_peer = take(&peer, 0);
    send(&peer, relayed, |_| Header::EMPTY);
    [at_peer, take(&client, HEADER_BYTES)]
}

#[test]
fn a_burst_goes_through_in_one_go_each_way() {
    assert_eq!(pieces_through("auto"), [1, 1]);
}

#[test]
fn without_offloads_each_datagram_of_a_burst_comes_alone() {
    assert_eq!(pieces_through("off"), [BURST, BURST]);
}
