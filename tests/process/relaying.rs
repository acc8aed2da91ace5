//! Payload through real sockets, and what the kernel adds to the story.

use crate::client::{Caller, is_stun, peer, peer_on};
use crate::daemon::{Config, Daemon, free_port, loopback};
use crate::world::data_indication;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use turnstone::base::Random;
use turnstone::wire::stun::attribute::{self, Icmp};
use turnstone::wire::stun::{AttributeType as A, Class, Message, Method};

#[test]
fn counters_move_within_a_second_while_the_session_lives_and_count_payload_only() {
    let daemon = Daemon::start(&Config::default());
    let (mut alice, peer) = (Caller::new(daemon.server, "alice"), peer());
    let relayed = alice.allocate();
    assert_eq!(alice.bind(0x4000, peer.local_addr().unwrap()), 0);
    let mut buffer = [0; 2000];
    for _ in 0..10 {
        alice.send_channel(0x4000, &[7; 100]);
        assert_eq!(peer.recv_from(&mut buffer).unwrap(), (100, relayed));
        peer.send_to(&[8; 50], relayed).unwrap();
        assert_eq!(alice.receive().len(), 54);
    }
    let sent = Instant::now();
    let bytes = |direction: &str| {
        format!("turnstone_relay_bytes_total{{direction=\"{direction}\",transport=\"udp\"}}")
    };
    for (direction, total) in
        [("from_client", 1000.0), ("to_peer", 1000.0), ("from_peer", 500.0), ("to_client", 500.0)]
    {
        daemon.await_metric(&bytes(direction), |value| value == total);
    }
    // The promise is a second; the machine may be slow, so the bound is on the daemon's own age of data.
    println!("all four counters were right {:?} after the last datagram", sent.elapsed());
    let packets = "turnstone_relay_packets_total{direction=\"to_client\",transport=\"udp\"}";
    assert_eq!(daemon.metrics().get(packets), 10.0);
    assert_eq!(daemon.allocations(), 1.0, "and the session still lives");
}

#[test] // point 2
fn a_wildcard_listener_answers_from_the_address_that_was_asked() {
    let port = free_port();
    let any: SocketAddr = format!("[::]:{port}").parse().unwrap();
    let daemon = Daemon::start(&Config::default().listen(&[any]));
    assert!(daemon.pid() > 0);
    for (server, own) in [("127.0.0.1", "127.0.0.1"), ("127.0.0.2", "127.0.0.3"), ("::1", "::1")] {
        let server = SocketAddr::new(server.parse().unwrap(), port);
        let socket = UdpSocket::bind((own.parse::<IpAddr>().unwrap(), 0)).unwrap();
        // `exchange` takes answers from this very address only.
        let mut caller = Caller::on(socket, server, "alice");
        let mapped = caller.ask(Method::BINDING, &[]).mapped;
        assert_eq!(mapped, caller.socket.local_addr().ok());
        caller.allocate();
        let peer = peer();
        assert_eq!(caller.bind(0x4000, peer.local_addr().unwrap()), 0);
        peer.send_to(b"x", caller.relayed.unwrap()).unwrap();
        assert_eq!(caller.receive(), [0x40, 0, 0, 1, b'x'], "relayed data too");
    }
}

#[test]
fn an_ipv6_client_relays_to_ipv6_peers() {
    let listen: SocketAddr = format!("[::1]:{}", free_port()).parse().unwrap();
    let config = Config::default().listen(&[listen]).relay_addresses("\"127.0.0.1\", \"::1\"");
    let daemon = Daemon::start(&config);
    let mut alice = Caller::new(daemon.server, "alice");
    let answer = alice.try_allocate(&[(A::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0])]);
    assert_eq!(answer.relayed.len(), 2, "{answer:?}");
    for (n, relayed) in answer.relayed.iter().enumerate() {
        let peer = peer_on(relayed.ip());
        assert_eq!(alice.bind(0x4000 + n as u16, peer.local_addr().unwrap()), 0);
        alice.send_channel(0x4000 + n as u16, b"hello");
        let mut buffer = [0; 64];
        assert_eq!(peer.recv_from(&mut buffer).unwrap(), (5, *relayed));
    }
}

#[test] // security R7
fn clients_behind_one_to_one_nat_meet_at_their_public_addresses() {
    let config = Config::default().server("public_address = \"203.0.113.4\"");
    let daemon = Daemon::start(&config);
    let (mut alice, mut bob) = (Caller::new(daemon.server, "alice"), Caller::new(daemon.server, "bob"));
    let (a, b) = (alice.allocate(), bob.allocate());
    assert_eq!(a.ip().to_string(), "203.0.113.4");
    assert_eq!(alice.bind(0x4000, b), 0);
    assert_eq!(bob.permit(a), 0);
    alice.send_channel(0x4000, b"to your public address");
    let (from, payload) = data_indication(&bob.receive());
    assert_eq!((from, &payload[..]), (a, &b"to your public address"[..]));
    bob.send(a, b"and back");
    assert_eq!(alice.receive()[4..], *b"and back");
}

#[test] // point 24
fn an_unreachable_port_reaches_the_client_and_the_next_peer_is_not_hurt() {
    let daemon = Daemon::start(&Config::default());
    let (mut alice, alive) = (Caller::new(daemon.server, "alice"), peer());
    let relayed = alice.allocate();
    let dead = loopback(free_port());
    assert_eq!(alice.permit(dead), 0);
    alice.send(dead, b"anybody?");
    let told = alice.receive();
    assert!(is_stun(&told, Class::Indication, Method::DATA));
    let message = Message::parse(&told).unwrap();
    let icmp = attribute::decode_icmp(message.first(A::ICMP).unwrap());
    assert_eq!(icmp, Ok(Icmp { icmp_type: 3, code: 3, data: 0 }));
    let named =
        attribute::decode_xor_address(message.first(A::XOR_PEER_ADDRESS).unwrap(), message.transaction_id());
    assert_eq!(named, Ok(dead));
    for round in 0..20u8 {
        alice.send(dead, b"?");
        alice.send(alive.local_addr().unwrap(), &[round]);
        let mut buffer = [0; 8];
        assert_eq!(alive.recv_from(&mut buffer).unwrap(), (1, relayed));
        assert_eq!(buffer[0], round);
    }
}

#[test] // point 25
fn ecn_marks_survive_the_relay_in_both_directions() {
    let daemon = Daemon::start(&Config::default());
    let (mut alice, peer) = (Caller::new(daemon.server, "alice"), peer());
    let relayed = alice.allocate();
    assert_eq!(alice.bind(0x4000, peer.local_addr().unwrap()), 0);
    let (at_peer, at_client) = (socket2::SockRef::from(&peer), socket2::SockRef::from(&alice.socket));
    for socket in [&at_peer, &at_client] {
        socket.set_recv_tos_v4(true).unwrap();
    }
    for ecn in 1..=3u32 {
        at_client.set_tos_v4(ecn).unwrap();
        alice.send_channel(0x4000, b"x");
        assert_eq!(received_tos(&peer) & 3, ecn as u8, "to the peer");
        at_peer.set_tos_v4(ecn).unwrap();
        peer.send_to(b"x", relayed).unwrap();
        assert_eq!(received_tos(&alice.socket) & 3, ecn as u8, "to the client");
    }
}

/// Receives one datagram and its IP_TOS through the daemon's own receive path.
fn received_tos(socket: &UdpSocket) -> u8 {
    use std::os::fd::AsRawFd;
    let mut buffer = [0u8; 64];
    let mut control = [0u64; 16];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: an all-zero msghdr is a valid empty one.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: buffer, part and control outlive the call, and their lengths are their own.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, 0) };
    assert!(received >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the kernel has filled the control buffer up to `msg_controllen`; the headers lie within it.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::IPPROTO_IP && (*header).cmsg_type == libc::IP_TOS {
                return *libc::CMSG_DATA(header);
            }
            header = libc::CMSG_NXTHDR(&message, header);
        }
    }
    panic!("no IP_TOS with the datagram");
}

#[test] // security U6, U13
fn junk_leaves_the_daemon_healthy_quiet_and_without_state() {
    let daemon = Daemon::start(&Config::default());
    let lines_before = daemon.log().len();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut random = Random::seeded(11);
    for n in 0..200_000u32 {
        let mut bytes: Vec<u8> = (0..random.below(120)).map(|_| random.next_u64() as u8).collect();
        if n % 2 == 0 && bytes.len() >= 20 {
            bytes[0] &= 1;
            bytes[4..8].copy_from_slice(&[0x21, 0x12, 0xA4, 0x42]);
        }
        // A full buffer of our own is no matter: junk may be lost.
        let _lost = socket.send_to(&bytes, daemon.server);
    }
    let mut alice = Caller::new(daemon.server, "alice");
    alice.allocate();
    daemon.await_allocations(1);
    assert!(daemon.log().len() < lines_before + 10, "{:#?}", daemon.log());
    assert_eq!(daemon.get("/readyz").0, 200);
    assert!(daemon.metrics().sum("turnstone_dropped_packets_total{") > 1000.0);
}

#[test]
fn an_idle_daemon_sleeps() {
    let daemon = Daemon::start(&Config::default());
    Caller::new(daemon.server, "alice").allocate();
    // The counters of that are published, and then nothing is left to do.
    daemon.await_metric("turnstone_stun_responses_total{method=\"allocate\",code=\"success\"}", |count| {
        count == 1.0
    });
    let before = daemon.cpu_s();
    std::thread::sleep(Duration::from_secs(5));
    let used = daemon.cpu_s() - before;
    assert!(used < 0.05, "{used} s of CPU in 5 s of rest");
}
