//! What is no TURN, and what is TURN and lies about its length: closed for a counted reason, the same
//! one however it arrives, and without a word in the log.

use crate::client::{ANSWER_MAX, Client, Said, await_no_connections, channel_data, closed, daemon, peer};
use crate::daemon::{Daemon, PATIENCE, eventually};
use std::io::Write;
use std::time::Instant;
use turnstone::wire::stun::Method;

/// What ends a connection: a name, whether a Binding comes first, the bytes, the reason.
fn offences() -> Vec<(&'static str, bool, Vec<u8>, &'static str)> {
    let stun = |length: u16| [&[0, 1][..], &length.to_be_bytes(), b"\x21\x12\xA4\x42", &[7; 12]].concat();
    vec![
        ("HTTP", false, b"GET / HTTP/1.1\r\nHost: turn\r\n\r\n".to_vec(), "unknown_protocol"),
        ("HTTP POST", false, b"POST /turn HTTP/1.1\r\nHost: turn\r\n\r\n".to_vec(), "unknown_protocol"),
        ("SSH", false, b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec(), "unknown_protocol"),
        (
            "TLS where there is none",
            false,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc".to_vec(),
            "unknown_protocol",
        ),
        ("ChannelData before anything", false, b"\x40\0\0\x04abcd".to_vec(), "unknown_protocol"),
        ("bytes above 127", false, vec![0xFF; 30], "unknown_protocol"),
        ("PROXY v1", false, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(), "proxy_stranger"),
        ("PROXY v2", false, b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0".to_vec(), "proxy_stranger"),
        ("STUN of 65,532 bytes", false, stun(65_532), "framing"),
        ("STUN of 65,535 bytes", true, stun(65_535), "framing"),
        ("STUN of 3 bytes", false, stun(3), "framing"),
        ("STUN longer than any request", true, stun(4096), "framing"),
        ("ChannelData of 65,535 bytes", true, b"\x40\0\xff\xff".to_vec(), "framing"),
        ("ChannelData too long for a stranger", true, channel_data(0x4000, &[7; 3000]), "framing"),
        ("TLS behind TURN", true, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc".to_vec(), "framing"),
        ("bytes above 127 behind TURN", true, vec![0xFF; 30], "framing"),
    ]
}

/// Each offence whole, and cut in two within its first bytes.
#[test]
fn whatever_is_not_turn_is_closed_for_one_reason_however_it_is_cut() {
    let daemon = daemon("");
    let mut clock = Client::connect(daemon.server);
    for (name, is_behind_binding, bytes, reason) in offences() {
        let before = closed(&daemon, reason);
        let mut open: Vec<(usize, Client)> = (1..bytes.len().min(24))
            .chain([bytes.len()])
            .map(|cut| {
                let mut client = Client::connect(daemon.server);
                let first = if is_behind_binding { client.binding() } else { Vec::new() };
                client.write(&[&first, &bytes[..cut]].concat());
                (cut, client)
            })
            .collect();
        // One thread reads all connections: when it has answered this, it has read that.
        (0..2).for_each(|_| clock.round_trip());
        for (cut, client) in &mut open {
            // What was written may have been enough to be closed for.
            let _closed_already = client.stream.write_all(&bytes[*cut..]);
            client.await_close(ANSWER_MAX);
        }
        let found = || closed(&daemon, reason) - before;
        let wanted = open.len() as f64;
        eventually_or(&daemon, &format!("{name}: {wanted} closed as {reason}"), || found() == wanted);
    }
    assert!(daemon.log().len() < 10, "{:#?}", daemon.log());
    drop(clock);
    await_no_connections(&daemon);
}

#[test]
fn garbage_behind_good_messages_closes_the_stream_and_frees_its_allocation() {
    let daemon = daemon("");
    let garbage: [&[u8]; 4] = [
        b"\xff\xff\xff\xff",
        b"\x16\x03\x01\x02\x00",
        b"\x80\x00\x00\x00",
        b"\x00\x01\xff\xff\x21\x12\xa4\x42",
    ];
    for (n, garbage) in (1..).zip(garbage) {
        let (mut client, peer) = (Client::connect(daemon.server), peer());
        client.allocate();
        client.bind(0x4000, peer.local_addr().unwrap());
        let stream =
            [&client.binding(), &channel_data(0x4000, b"before"), garbage, &client.binding()].concat();
        client.write(&stream);
        let mut buffer = [0; 64];
        assert_eq!(peer.recv(&mut buffer).expect("what came before the garbage counts"), 6);
        client.await_close(ANSWER_MAX);
        daemon.await_allocations(0);
        eventually_or(&daemon, "closed as framing", || closed(&daemon, "framing") == f64::from(n));
    }
    assert!(daemon.log().len() < 10, "{:#?}", daemon.log());
}

#[test]
fn channel_data_without_data_is_an_empty_datagram_and_nothing_without_a_channel() {
    let daemon = daemon("");
    let (mut client, peer) = (Client::connect(daemon.server), peer());
    // From a stranger it is dropped, and the stream goes on behind it.
    client.round_trip();
    client.write(&channel_data(0x4000, b"").repeat(1000));
    client.round_trip();
    client.allocate();
    client.write(&channel_data(0x4000, b""));
    client.round_trip();
    client.bind(0x4000, peer.local_addr().unwrap());
    client.write(&channel_data(0x4000, b""));
    assert_eq!(peer.recv(&mut [0; 64]).expect("an empty datagram"), 0);
    client.round_trip();
}

#[test]
fn the_longest_messages_are_relayed_whole_once_there_is_an_allocation() {
    let daemon = daemon("");
    let (mut client, peer) = (Client::connect(daemon.server), peer());
    let relayed = client.allocate();
    let peer_address = peer.local_addr().unwrap();
    client.bind(0x4000, peer_address);
    let longest: Vec<u8> = (0..65_507u32).map(|n| n as u8).collect();
    let mut buffer = vec![0; 70_000];
    client.write(&channel_data(0x4000, &longest));
    assert_eq!(peer.recv(&mut buffer).unwrap(), longest.len());
    assert_eq!(buffer[..longest.len()], longest);
    let indication = client.send_indication(peer_address, &longest);
    client.write(&indication);
    assert_eq!(peer.recv(&mut buffer).unwrap(), longest.len());
    peer.send_to(&longest, relayed).unwrap();
    daemon.await_metric("turnstone_relay_packets_total{direction=\"to_client\",transport=\"tcp\"}", |v| {
        v == 1.0
    });
    assert_eq!(client.read(), Said::Channel(0x4000, longest.clone()));
    // A datagram cannot carry more: it is dropped, not truncated, and the stream goes on.
    client.write(&channel_data(0x4000, &[1; 65_535]));
    client.round_trip();
    client.write(&channel_data(0x4000, b"next"));
    assert_eq!(peer.recv(&mut buffer).unwrap(), 4);
}

#[test]
fn a_request_that_is_whole_but_wrong_leaves_the_stream_in_step() {
    let daemon = daemon("");
    let mut client = Client::connect(daemon.server);
    // No cookie, a torn attribute, an unknown method: framing is right, so the next message counts.
    let mut no_cookie = client.binding();
    no_cookie[4] ^= 1;
    let mut torn = client.binding();
    torn[3] = 4;
    torn.extend_from_slice(&[0, 6, 0, 9]);
    for wrong in [no_cookie, torn] {
        client.write(&wrong);
    }
    client.round_trip();
    client.log_in();
    client.known.password = "guessed".into();
    let guess = client.allocate_request();
    client.write(&guess);
    assert_eq!(client.read(), Said::Response(Method::ALLOCATE, 401));
    client.round_trip();
    assert_eq!(daemon.allocations(), 0.0);
}

/// Waits for a condition; when it does not come true, says why connections were closed.
#[track_caller]
fn eventually_or(daemon: &Daemon, what: &str, is_true: impl Fn() -> bool) {
    let started = Instant::now();
    eventually(PATIENCE * 2, what, || {
        if started.elapsed() > PATIENCE / 5 {
            let text = daemon.get("/metrics").1;
            let reasons = text.lines().filter(|line| line.starts_with("turnstone_connections_closed"));
            panic!("not so: {what}: {:#?}", reasons.filter(|line| !line.ends_with(" 0")).collect::<Vec<_>>());
        }
        is_true().then_some(())
    });
}
