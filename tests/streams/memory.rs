//! Ten thousand hostile connections leave nothing behind.

use crate::client::{ANSWER_MAX, Client, await_no_connections, connect_from, daemon};
use crate::daemon::Daemon;
use crate::slow::resident_bytes;
use std::io::Write;
use std::net::{Ipv4Addr, Shutdown};

const CONNECTIONS: u32 = 10_000;
const AT_ONCE: u32 = 250;

#[test]
fn ten_thousand_hostile_connections_cost_no_memory_that_stays() {
    let mut daemon = daemon("");
    let mut clock = Client::connect(daemon.server);
    // What is allocated once, on first use, is allocated before the first look.
    (0..4).for_each(|wave| assault(&daemon, &mut clock, wave));
    let before = resident_bytes(daemon.pid());
    let mut highest = before;
    for wave in 4..4 + CONNECTIONS / AT_ONCE {
        assault(&daemon, &mut clock, wave);
        highest = highest.max(resident_bytes(daemon.pid()));
    }
    println!("{before} bytes before, at most {highest} meanwhile");
    assert!(highest - before < 4 << 20, "from {before} to {highest} bytes");
    assert!(daemon.is_running());
    assert_eq!(daemon.get("/readyz").0, 200);
    assert_eq!(daemon.allocations(), 0.0);
    assert!(daemon.log().len() < 10, "{:#?}", daemon.log());
    drop(clock);
    await_no_connections(&daemon);
}

/// One wave: all connect, all send their first bytes, then all send more and end.
fn assault(daemon: &Daemon, clock: &mut Client, wave: u32) {
    let attacks: [&[&[u8]]; 8] = [
        &[b"GET / HTTP/1.1\r\n", b"Host: turn\r\n\r\n"],
        &[b"SSH-2.0-x\r\n"],
        &[b"\x16\x03\x01\x02\x00\x01", b"\x00\x01\xfc\x03\x03"],
        &[b"\x00\x01\xff", b"\xfc\x21\x12\xa4\x42"],
        &[b"\x00\x16\x07\x00\x21\x12\xa4\x42", &[0; 1700]],
        &[b"\x00\x01\x00\x00\x21\x12\xa4\x42", b"twelve bytes"],
        &[b"PROXY TCP4 192.0.2.1 ", b"192.0.2.2 1 2\r\n"],
        &[b""],
    ];
    let mut open: Vec<_> = (0..AT_ONCE)
        .map(|n| {
            let source = Ipv4Addr::new(127, 0, (wave % 256) as u8, 1 + (n % 250) as u8);
            (attacks[n as usize % attacks.len()], connect_from(source, daemon.server))
        })
        .collect();
    for round in 0..2 {
        for (attack, stream) in &mut open {
            // The server may have had enough already.
            let _closed_already = attack.get(round).map(|bytes| stream.write_all(bytes));
        }
        clock.round_trip();
    }
    for (_, stream) in open {
        let _closed_already = stream.shutdown(Shutdown::Write);
        Client::on(stream).await_close(ANSWER_MAX);
    }
}
