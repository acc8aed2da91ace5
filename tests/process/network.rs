//! What only a kernel does: ICMP errors, ECN bits, full receive buffers.

use crate::caller::{Caller, Incoming, assert_relays, peer, receive};
use crate::daemon::{Config, Daemon, PATIENCE, eventually};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use turnstone::net::{RecvBatch, UdpOptions};
use turnstone::wire::channel_data;

#[test] // RFC 8656 section 11.5
fn a_closed_port_of_a_peer_comes_back_as_an_icmp_attribute() {
    let daemon = Daemon::start(&Config::default());
    let mut caller = Caller::new(daemon.server);
    let relayed = caller.allocate();
    let gone = peer().local_addr().unwrap();
    assert_eq!(caller.permit(gone).code, 0);
    caller.send(gone, b"is somebody there?");
    let Incoming::Icmp(from, icmp) = caller.receive() else { panic!("expected an ICMP error") };
    assert_eq!((from, icmp.icmp_type, icmp.code), (gone, 3, 3), "port unreachable");
    // The error belongs to that peer only: the next one is reached at once.
    let peer = peer();
    assert_eq!(caller.permit(peer.local_addr().unwrap()).code, 0);
    assert_relays(&mut caller, relayed, &peer);
}

#[test] // RFC 8656 section 14: the bits are carried over on both legs
fn ecn_bits_survive_in_both_directions() {
    let daemon = Daemon::start(&Config::default());
    let mut caller = Caller::new(daemon.server);
    let relayed = caller.allocate();
    let peer =
        turnstone::net::UdpSocket::relay(Ipv4Addr::LOCALHOST.into(), 0, UdpOptions::default()).unwrap();
    let peer_address = peer.local_addr().unwrap();
    assert_eq!(caller.bind(0x4000, peer_address).code, 0);
    let mut batch = RecvBatch::new(2048);
    for ecn in [0, 1, 2, 3] {
        socket2::SockRef::from(&caller.socket).set_tos_v4(ecn).unwrap();
        caller.send_on(0x4000, b"marked");
        eventually(PATIENCE, "a datagram at the peer", || {
            (peer.recv(&mut batch).unwrap_or(0) == 1).then_some(())
        });
        assert_eq!(u32::from(batch.datagram(0).ecn), ecn, "to the peer");
    }
    socket2::SockRef::from(&caller.socket).set_tos_v4(0).unwrap();

    // Back: a client socket that sees the bits receives what a marking peer sends.
    let listening =
        turnstone::net::UdpSocket::relay(Ipv4Addr::LOCALHOST.into(), 0, UdpOptions::default()).unwrap();
    let socket = UdpSocket::from(listening.as_fd().try_clone_to_owned().unwrap());
    socket.set_nonblocking(false).unwrap();
    let mut client = Caller::on(socket, daemon.server, "bob", "bob-password");
    let relayed_of_client = client.allocate();
    assert_ne!(relayed, relayed_of_client);
    let marking = crate::caller::peer();
    assert_eq!(client.bind(0x4000, marking.local_addr().unwrap()).code, 0);
    client.socket.set_nonblocking(true).unwrap();
    for ecn in [0, 1, 2, 3] {
        socket2::SockRef::from(&marking).set_tos_v4(ecn).unwrap();
        marking.send_to(b"marked", relayed_of_client).unwrap();
        eventually(PATIENCE, "a datagram at the client", || {
            (listening.recv(&mut batch).unwrap_or(0) == 1).then_some(())
        });
        let datagram = batch.datagram(0);
        assert_eq!(&datagram.bytes[channel_data::HEADER_BYTES..], b"marked");
        assert_eq!(u32::from(datagram.ecn), ecn, "to the client");
    }
}

#[test]
fn datagrams_that_the_kernel_drops_are_counted() {
    const SENT: u32 = 20_000;
    // One worker, so that one socket has both the loss and the datagram that tells of it.
    let daemon = Daemon::start(&Config::default().relay("workers = 1"));
    let received = "turnstone_udp_batch_packets_total{op=\"recv\"}";
    let dropped = "turnstone_socket_receive_drops_total";
    let flood = UdpSocket::bind("127.0.0.1:0").unwrap();
    // A process that does not run reads nothing, so its listener's buffer overflows.
    daemon.signal(libc::SIGSTOP);
    for _ in 0..SENT {
        flood.send_to(&[0xff; 1400], daemon.server).unwrap();
    }
    daemon.signal(libc::SIGCONT);
    // The kernel tells its count with the next datagram that it could keep.
    let mut caller = Caller::new(daemon.server);
    assert_eq!(caller.binding().mapped, Some(caller.address()));
    daemon.await_metric(dropped, |count| count > 0.0);
    let all = eventually(PATIENCE, "each datagram was received or counted as dropped", || {
        let metrics = daemon.metrics();
        let sum = metrics.get(received) + metrics.get(dropped);
        (sum >= f64::from(SENT) + 1.0).then_some(sum)
    });
    // The binding may have been sent more than once; nothing else is in the sum.
    assert!(all <= f64::from(SENT) + 10.0, "{all} of {SENT}");
}

#[test]
fn a_burst_through_a_relay_arrives_whole_and_in_order() {
    let daemon = Daemon::start(&Config::default());
    let (mut caller, peer) = (Caller::new(daemon.server), peer());
    let peer_address = peer.local_addr().unwrap();
    let relayed = caller.allocate();
    assert_eq!(caller.bind(0x4000, peer_address).code, 0);
    for burst in 0..50u16 {
        // Lengths of one burst differ, so that segmentation must not merge what does not belong together.
        let payloads: Vec<Vec<u8>> =
            (0..32u16).map(|n| vec![n as u8; usize::from(1 + (burst * 37 + n / 4 * 91) % 1200)]).collect();
        payloads.iter().for_each(|payload| caller.send_on(0x4000, payload));
        for payload in &payloads {
            assert_eq!(receive(&peer), (payload.clone(), relayed), "burst {burst}");
        }
        payloads.iter().for_each(|payload| assert!(peer.send_to(payload, relayed).is_ok()));
        for payload in &payloads {
            assert_eq!(caller.receive(), Incoming::Channel(0x4000, payload.clone()), "burst {burst}");
        }
    }
}
