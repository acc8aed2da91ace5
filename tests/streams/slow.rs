//! Clients that write or read too slowly: each costs a bounded amount for a bounded time.

use crate::client::{Client, Said, channel_data, closed, daemon, peer};
use crate::daemon::{PATIENCE, eventually};
use crate::skip::skip;
use socket2::{Domain, Protocol, SockAddr, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// For the first message, and for each later one of a client without an allocation.
const MESSAGE_DEADLINE: Duration = Duration::from_secs(10);

/// Clients that do not read, so that what each costs is seen.
const CROWD: usize = 8;

/// All at once, since each takes the deadline.
#[test]
fn who_does_not_finish_a_message_in_time_is_closed() {
    let daemon = daemon("");
    let started = Instant::now();
    let mut silent = Client::connect(daemon.server);
    let mut half = Client::connect(daemon.server);
    let request = half.binding();
    half.write(&request[..10]);
    let mut second_half = Client::connect(daemon.server);
    second_half.round_trip();
    second_half.write(&request[..19]);
    let mut dripping = Client::connect(daemon.server);
    let mut relaying = Client::connect(daemon.server);
    let peer = peer();
    relaying.allocate();
    relaying.bind(0x4000, peer.local_addr().unwrap());
    let data = channel_data(0x4000, b"slow but sure");
    relaying.write(&data[..7]);

    // A byte now and then does not buy more time: the whole would take 14 s.
    drip(&mut dripping, &request, Duration::from_millis(700));
    for client in [&mut silent, &mut half, &mut second_half] {
        client.await_close(MESSAGE_DEADLINE);
    }
    let took = started.elapsed();
    assert!(took >= MESSAGE_DEADLINE - Duration::from_secs(1), "closed early, after {took:?}");
    eventually(PATIENCE, "four time-outs", || (closed(&daemon, "message_timeout") == 4.0).then_some(()));
    // Who has an allocation has proven who it is, and keeps its stream.
    relaying.write(&data[7..]);
    assert_eq!(peer.recv(&mut [0; 64]).expect("the message is whole now"), 13);
}

/// Writes byte by byte until the server closes, which must be before the last.
#[track_caller]
fn drip(client: &mut Client, message: &[u8], every: Duration) {
    client.stream.socket.set_read_timeout(Some(every)).unwrap();
    for byte in message {
        if client.stream.write_all(&[*byte]).is_err() {
            return;
        }
        match client.stream.read(&mut [0; 64]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(0) | Err(_) => return,
            Ok(_) => break,
        }
    }
    panic!("the whole message was taken");
}

/// A client that stops to read has its datagrams dropped and counted; its neighbour on the same runtime
/// and the daemon's memory do not notice.
#[test]
fn who_does_not_read_loses_its_own_datagrams_only() {
    let mut daemon = daemon("");
    let (mut deaf, mut lively) = (Client::connect(daemon.server), Client::connect(daemon.server));
    let (flooder, friend) = (peer(), peer());
    let (flooded, relayed) = (deaf.allocate(), lively.allocate());
    deaf.bind(0x4000, flooder.local_addr().unwrap());
    lively.bind(0x4000, friend.local_addr().unwrap());
    let before = resident_bytes(daemon.pid());
    let full = "turnstone_dropped_packets_total{reason=\"tx_full\"}";
    let mut rounds = 0u32;
    while rounds < 300 || daemon.metrics().get(full) < 1000.0 {
        for n in 0..200u32 {
            let payload = [&(rounds * 200 + n).to_be_bytes()[..], &[0x5A; 1196]].concat();
            // A full socket buffer is no matter of this test.
            let _sent = flooder.send_to(&payload, flooded);
        }
        friend.send_to(b"echo", relayed).unwrap();
        assert_eq!(lively.read(), Said::Channel(0x4000, b"echo".to_vec()), "round {rounds}");
        rounds += 1;
        assert!(rounds < 3000, "nothing was dropped: {}", daemon.metrics().get(full));
    }
    let grown = resident_bytes(daemon.pid()).saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes more for one client that does not read");
    // It reads again: whole messages, in order, then what is new.
    let mut last = None;
    flooder.send_to(b"end", flooded).unwrap();
    loop {
        let Said::Channel(0x4000, data) = deaf.read() else { panic!("only data was sent") };
        if data == b"end" {
            break;
        }
        assert_eq!((data.len(), &data[4..8]), (1200, &[0x5A; 4][..]));
        let number = u32::from_be_bytes(data[..4].try_into().unwrap());
        assert!(last.is_none_or(|last| last < number), "{number} after {last:?}");
        if last.is_none() {
            println!("dropped: {}", daemon.metrics().get(full));
        }
        last = Some(number);
        if number % 50 == 0 {
            flooder.send_to(b"end", flooded).unwrap();
        }
    }
    assert!(daemon.is_running());
}

/// Who asks and never reads the answers is read no further: what waits for it stays small.
#[test]
fn who_asks_on_and_never_reads_is_not_heard_any_more() {
    let mut daemon = daemon("");
    let mut clock = Client::connect(daemon.server);
    let mut greedy: Vec<Client> = (0..CROWD).map(|_| Client::connect(daemon.server)).collect();
    // The shortest question with the longest answer.
    let questions = (0..2000).flat_map(|_| clock.bare_allocate()).collect::<Vec<u8>>();
    clock.round_trip();
    let before = resident_bytes(daemon.pid());
    for client in &mut greedy {
        client.stream.socket.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        // Until it is not taken any more, which has to come.
        let written = (0..2000).take_while(|_| client.stream.write_all(&questions).is_ok()).count();
        assert!(written < 2000, "{written} times 60 kB of questions");
        clock.round_trip();
    }
    let each = resident_bytes(daemon.pid()).saturating_sub(before) / CROWD;
    assert!(each < 256 << 10, "{each} bytes wait for each client that does not read");
    assert!(daemon.is_running());
    drop(greedy);
    clock.round_trip();
}

/// Bytes of a process that are in memory.
pub(crate) fn resident_bytes(pid: i32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    kilobytes << 10
}

/// Nor do ICMP errors, which anybody can forge, pile up for who does not read.
#[test]
fn forged_icmp_errors_do_not_pile_up_for_who_does_not_read() {
    let Ok(raw) = socket2::Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)) else {
        skip("slow::forged_icmp_errors_do_not_pile_up_for_who_does_not_read", "raw sockets need root");
        return;
    };
    let mut daemon = daemon("");
    let (mut deaf, mut clock, peer) =
        (Client::connect(daemon.server), Client::connect(daemon.server), peer());
    let relayed = deaf.allocate();
    deaf.bind(0x4000, peer.local_addr().unwrap());
    let forged = port_unreachable(relayed, peer.local_addr().unwrap());
    let anybody = SockAddr::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let before = resident_bytes(daemon.pid());
    let full = "turnstone_dropped_packets_total{reason=\"tx_full\"}";
    let mut sent = 0u32;
    while daemon.metrics().get(full) < 1000.0 {
        for _ in 0..2000 {
            // The daemon may not be heard to have taken it, which is no matter here.
            let _sent = raw.send_to(&forged, &anybody);
        }
        sent += 2000;
        clock.round_trip();
        assert!(sent < 2_000_000, "nothing was dropped of {sent}");
    }
    let grown = resident_bytes(daemon.pid()).saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes more for one client that does not read");
    assert!(daemon.is_running());
}

/// ICMP about a datagram from `from` to `to` (RFC 792), as anybody can write it.
fn port_unreachable(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let mut icmp = vec![3, 3, 0, 0, 0, 0, 0, 0];
    icmp.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
    for number in [from.port(), to.port(), 8, 0] {
        icmp.extend(number.to_be_bytes());
    }
    let sum: u32 = icmp.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xFFFF) + (sum >> 16);
    icmp[2..4].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    icmp
}

/// A client that sends as many messages as it can has its turn and no more: others on its runtime are served
/// all the while.
#[test]
fn who_sends_without_end_keeps_nobody_waiting() {
    let daemon = daemon("");
    let (mut busy, mut other, sink) =
        (Client::connect(daemon.server), Client::connect(daemon.server), peer());
    busy.allocate();
    busy.bind(0x4000, sink.local_addr().unwrap());
    let mut socket = busy.stream.socket.try_clone().unwrap();
    // The shortest messages there are: 16,384 with each write.
    let many = channel_data(0x4000, b"").repeat(1 << 14);
    let flood = std::thread::spawn(move || {
        (0..20).for_each(|_| socket.write_all(&many).expect("the daemon takes them all in the end"));
    });
    let taken =
        || daemon.metrics().get("turnstone_relay_packets_total{direction=\"from_client\",transport=\"tcp\"}");
    let (mut served, mut last) = (0, 0.0);
    while last < 20.0 * 16_384.0 {
        // As many as it likes between two looks at how far the flood is.
        (0..20).for_each(|_| other.round_trip());
        served += 20;
        last = taken();
    }
    flood.join().expect("no panic");
    println!("{served} round trips during 327,680 messages");
    assert!(served >= 200, "only {served} round trips during 327,680 messages");
}
