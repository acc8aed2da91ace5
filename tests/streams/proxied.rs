//! The PROXY protocol: believed from configured sources, in front of everything else, and from nobody
//! else.

use crate::client::{ANSWER_MAX, Client, await_no_connections, closed, config, mapped};
use crate::daemon::{Daemon, PATIENCE, eventually};
use std::net::{Ipv4Addr, SocketAddr};

const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
const V1: &[u8] = b"PROXY TCP4 203.0.113.9 192.0.2.2 4711 3478\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\xc0\0\x02\x02\x12\x67\x0d\x96";

fn behind_a_balancer() -> Daemon {
    Daemon::start(&config("").listener("proxy_protocol_from = [\"127.0.0.9\"]"))
}

/// What a Binding behind `header`, cut at these places, says about the client.
#[track_caller]
fn seen_behind(daemon: &Daemon, clock: &mut Client, header: &[u8], cuts: &[usize]) -> SocketAddr {
    let mut client = Client::connect_from(BALANCER, daemon.server);
    let stream = [header, &client.binding()].concat();
    let mut sent = 0;
    for cut in cuts.iter().copied().chain([stream.len()]) {
        client.write(&stream[sent..cut]);
        sent = cut;
        // The runtime has one thread: when it has answered this, it has read that.
        clock.round_trip();
    }
    client.read();
    mapped(&client.answers[0])
}

#[test]
fn a_client_behind_a_balancer_is_who_the_balancer_says_however_the_header_is_cut() {
    let daemon = behind_a_balancer();
    let mut clock = Client::connect(daemon.server);
    let client: SocketAddr = "203.0.113.9:4711".parse().unwrap();
    for header in [V1, V2] {
        for cut in 0..=header.len() + 20 {
            assert_eq!(seen_behind(&daemon, &mut clock, header, &[cut]), client, "cut at {cut}");
        }
        let each: Vec<usize> = (1..header.len() + 20).collect();
        assert_eq!(seen_behind(&daemon, &mut clock, header, &each), client);
    }
    let tlvs = [&V2[..14], &[0, 15], &V2[16..], &[0xE0, 0, 0]].concat();
    assert_eq!(seen_behind(&daemon, &mut clock, &tlvs, &[]), client);
}

#[test]
fn a_balancer_that_speaks_for_itself_is_its_own_client() {
    let daemon = behind_a_balancer();
    let mut clock = Client::connect(daemon.server);
    for header in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        assert_eq!(seen_behind(&daemon, &mut clock, header, &[]).ip(), BALANCER);
    }
}

#[test]
fn a_balancer_without_a_header_and_a_stranger_with_one_are_closed() {
    let daemon = behind_a_balancer();
    let mut clock = Client::connect(daemon.server);
    let binding = clock.binding();
    let broken: [&[u8]; 5] = [
        &binding,
        b"GET / HTTP/1.1\r\n\r\n",
        b"PROXY TCP4 203.0.113.9 192.0.2.2 04711 3478\r\n",
        &[V1, V2].concat()[..V1.len() - 2].repeat(3),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c",
    ];
    for bytes in broken {
        let mut client = Client::connect_from(BALANCER, daemon.server);
        client.write(bytes);
        client.await_close(ANSWER_MAX);
    }
    eventually(PATIENCE, "five closed", || (closed(&daemon, "proxy_header") == 5.0).then_some(()));
    for header in [V1, V2] {
        let mut client = Client::connect(daemon.server);
        client.write(header);
        client.await_close(ANSWER_MAX);
    }
    eventually(PATIENCE, "two closed", || (closed(&daemon, "proxy_stranger") == 2.0).then_some(()));
    // A second header is no message.
    let mut client = Client::connect_from(BALANCER, daemon.server);
    client.write(&[V1, V1].concat());
    client.await_close(ANSWER_MAX);
    assert!(daemon.log().len() < 10, "{:#?}", daemon.log());
    drop((client, clock));
    await_no_connections(&daemon);
}
