//! TLS doors: the same streams under TLS, however records and segments are cut; one port for TURN and HTTP; and
//! certificates that change while connections live.

use crate::client::{Client, Said, await_no_connections, channel_data, closed, config, peer};
use crate::daemon::{Config, Daemon, PATIENCE, eventually};
use crate::skip::skip;
use crate::splits::{PAYLOADS, recorded};
use crate::tls::{self, Link};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use turnstone::base::Random;
use turnstone::wire::stun::Method;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

fn secured(mode: &str) -> Config {
    Config { transports: "\"tcp\", \"tls\"", sections: format!("[tls]\n{mode}\n"), ..config("") }
}

fn self_signed() -> Daemon {
    Daemon::start(&secured("mode = \"self-signed\""))
}

/// What the ten messages must have done, whatever they looked like on the way.
#[track_caller]
fn expect_all_served(client: &mut Client, peer: &UdpSocket, what: &str) {
    for method in [Method::BINDING, Method::ALLOCATE, Method::CREATE_PERMISSION, Method::CHANNEL_BIND] {
        assert_eq!(client.read(), Said::Response(method, 0), "{what}");
    }
    let relayed = client.answers[1].relayed[0];
    let mut buffer = [0; 64];
    for payload in PAYLOADS {
        let (length, from) = peer.recv_from(&mut buffer).expect("a datagram at the peer");
        assert_eq!((&buffer[..length], from), (*payload, relayed), "{what}");
    }
    peer.send_to(b"back!", relayed).unwrap();
    assert_eq!(client.read(), Said::Channel(0x4000, b"back!".to_vec()), "{what}");
    client.round_trip();
}

/// Ascending places within `length`.
fn places(random: &mut Random, count: usize, length: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).map(|_| random.next_u64() as usize % length).collect();
    places.sort_unstable();
    places.push(length);
    places
}

#[test] // records need not be messages, and segments need not be records
fn a_stream_of_ten_messages_is_the_same_however_records_and_segments_are_cut() {
    let daemon = self_signed();
    let mut clock = Client::secure(daemon.server, &TLS13);
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut random = Random::seeded(seed);
    for n in 0..80 {
        let (version, peer) = (VERSIONS[n % 2], peer());
        let mut client = Client::secure(daemon.server, version);
        client.log_in();
        let stream = recorded(&mut client, peer.local_addr().unwrap());
        let (records, segments) = (n % 13, 1 + n % 7);
        let mut wire = Vec::new();
        let mut sealed = 0;
        for at in places(&mut random, records, stream.len()) {
            wire.extend(client.stream.seal(&stream[sealed..at]));
            sealed = at;
        }
        let mut sent = 0;
        for at in places(&mut random, segments, wire.len()) {
            client.stream.socket.write_all(&wire[sent..at]).unwrap();
            sent = at;
            // The runtime has one thread: when it has answered this, it has read that.
            (0..2).for_each(|_| clock.round_trip());
        }
        expect_all_served(&mut client, &peer, &format!("{version:?}, {records} records, {segments} cuts"));
        drop(client);
        daemon.await_allocations(0);
    }
    assert_eq!(daemon.metrics().sum("turnstone_dropped_packets_total{"), 0.0);
    drop(clock);
    await_no_connections(&daemon);
}

#[test]
fn one_record_byte_by_byte_and_one_record_a_byte_are_the_same_stream() {
    let daemon = self_signed();
    for (n, version) in [0, 1].into_iter().zip(VERSIONS) {
        let peer = peer();
        let mut client = Client::secure(daemon.server, version);
        client.log_in();
        let stream = recorded(&mut client, peer.local_addr().unwrap());
        let wire: Vec<u8> = if n == 0 {
            client.stream.seal(&stream)
        } else {
            stream.iter().flat_map(|byte| client.stream.seal(&[*byte])).collect()
        };
        for byte in &wire {
            client.stream.socket.write_all(&[*byte]).unwrap();
        }
        expect_all_served(&mut client, &peer, &format!("{version:?}"));
    }
}

#[test]
fn a_hello_that_is_cut_short_or_broken_ends_the_connection_for_a_counted_reason() {
    let daemon = self_signed();
    let mut hello = Vec::new();
    tls::connection(&TLS13, "localhost", &[]).write_tls(&mut hello).unwrap();
    let connect = || Client::on(TcpStream::connect(daemon.server).unwrap());
    // A message may take ten seconds, a handshake five.
    let silent = connect();
    let mut late: Vec<Client> = [1, 5, hello.len() - 1].map(|_| connect()).into();
    for (client, length) in late.iter_mut().zip([1, 5, hello.len() - 1]) {
        client.write(&hello[..length]);
    }
    let mut broken = connect();
    hello[5] ^= 0x40;
    broken.write(&hello);
    broken.await_close(PATIENCE);
    eventually(PATIENCE, "a broken hello", || (closed(&daemon, "tls") == 1.0).then_some(()));
    for client in &mut late {
        client.await_close(PATIENCE);
    }
    silent.stream.socket.set_nonblocking(true).unwrap();
    let still_open = silent.stream.socket.peek(&mut [0]).unwrap_err();
    assert_eq!(still_open.kind(), ErrorKind::WouldBlock, "the handshake has less time than a message");
    eventually(PATIENCE, "hellos cut short", || (closed(&daemon, "handshake_timeout") == 3.0).then_some(()));
}

#[test] // RFC 7443
fn one_port_serves_turn_and_https_with_and_without_a_named_protocol() {
    let daemon = self_signed();
    let connect = |alpn: &[&[u8]]| {
        let socket = TcpStream::connect(daemon.server).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Link::secure(socket, &TLS13, "localhost", alpn)
    };
    // All at the same time, on one port.
    let mut turn = [connect(&[]), connect(&[b"stun.turn"])].map(|link| Client::over(link.unwrap()));
    let peer = peer();
    for client in &mut turn {
        client.allocate();
        client.bind(0x4000, peer.local_addr().unwrap());
    }
    for alpn in [&[][..], &[&b"http/1.1"[..]], &[&b"h2"[..], b"http/1.1"]] {
        let mut link = connect(alpn).expect("shakes hands");
        let wire = link.seal(b"GET /healthz HTTP/1.1\r\nHost: turn\r\nConnection: close\r\n\r\n");
        let (first, rest) = wire.split_at(wire.len() / 2);
        link.socket.write_all(first).unwrap();
        link.socket.write_all(rest).unwrap();
        let mut answer = String::new();
        link.read_to_string(&mut answer).unwrap_or_else(|error| panic!("{error} after {answer}"));
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("ok\n"), "{answer}");
    }
    assert!(connect(&[b"imap"]).is_err(), "nothing else is spoken here");
    for client in &mut turn {
        client.write(&channel_data(0x4000, b"still here"));
        assert_eq!(peer.recv(&mut [0; 64]).unwrap(), 10);
    }
    // HTTP that names TURN, and garbage under TLS, are nothing.
    for (alpn, bytes) in [(&[&b"stun.turn"[..]][..], &b"GET / HTTP/1.1\r\n\r\n"[..]), (&[], b"\xff\xff")] {
        let mut link = connect(alpn).unwrap();
        link.write_all(bytes).unwrap();
        assert!(matches!(link.read(&mut [0; 64]), Ok(0) | Err(_)), "closed without an answer");
    }
    eventually(PATIENCE, "three for HTTP, two for nobody", || {
        (closed(&daemon, "http") == 3.0 && closed(&daemon, "unknown_protocol") == 2.0).then_some(())
    });
}

#[test]
fn curl_is_answered_on_the_turn_port() {
    let daemon = self_signed();
    let mut turn = Client::secure(daemon.server, &TLS12);
    turn.allocate();
    for version in [&["--tlsv1.2", "--tls-max", "1.2"][..], &["--tlsv1.3"], &["--no-alpn"]] {
        let url = format!("https://{}/healthz", daemon.server);
        let curl = Command::new("curl").args(["-ksS", "--max-time", "15"]).args(version).arg(&url).output();
        let curl = match curl {
            Ok(output) => output,
            Err(error) => {
                skip("secure::curl_is_answered_on_the_turn_port", &format!("no `curl` here ({error})"));
                return;
            }
        };
        assert_eq!(String::from_utf8_lossy(&curl.stdout), "ok\n", "{curl:?}");
    }
    turn.round_trip();
}

/// A certificate's two files, replaced as certbot does it: each by a rename.
struct Pair {
    cert: PathBuf,
    key: PathBuf,
}

impl Pair {
    fn in_folder(folder: &Path) -> Self {
        Self { cert: folder.join("fullchain.pem"), key: folder.join("privkey.pem") }
    }

    fn replace(&self, (cert, key): &(String, String)) {
        for (path, text) in [(&self.cert, cert), (&self.key, key)] {
            let fresh = path.with_extension("new");
            std::fs::write(&fresh, text).unwrap();
            std::fs::rename(&fresh, path).unwrap();
        }
    }

    fn section(&self) -> String {
        format!("mode = \"files\"\ncert = \"{}\"\nkey = \"{}\"", self.cert.display(), self.key.display())
    }
}

fn shown(server: SocketAddr) -> Vec<u8> {
    let socket = TcpStream::connect(server).unwrap();
    Link::secure(socket, &TLS13, "localhost", &[]).expect("shakes hands").certificate()
}

/// DER of a certificate in PEM.
fn der(pem: &str) -> Vec<u8> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

#[test]
fn ten_new_certificates_under_two_hundred_live_allocations_cut_none() {
    const CLIENTS: usize = 200;
    let folder = std::env::temp_dir().join(format!("turnstone-certificates-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let pair = Pair::in_folder(&folder);
    pair.replace(&tls::certificate("first.example"));
    let mut daemon = Daemon::start(&secured(&pair.section()));
    let peer = peer();
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|n| {
            let mut client = Client::secure(daemon.server, VERSIONS[n % 2]);
            client.allocate();
            client.bind(0x4000, peer.local_addr().unwrap());
            client
        })
        .collect();
    for round in 0..10u8 {
        let fresh = tls::certificate(&format!("round-{round}.example"));
        pair.replace(&fresh);
        let replaced = Instant::now();
        let wanted = der(&fresh.0);
        let mut sweeps = 0u32;
        // Traffic both ways on every connection, before, during and after the swap.
        while sweeps == 0 || shown(daemon.server) != wanted {
            for client in &mut clients {
                client.write(&channel_data(0x4000, &[round; 100]));
                let (length, from) = peer.recv_from(&mut [0; 200]).expect("relayed");
                assert_eq!(length, 100);
                peer.send_to(&[round; 60], from).unwrap();
                assert_eq!(client.read(), Said::Channel(0x4000, vec![round; 60]), "round {round}");
            }
            sweeps += 1;
            assert!(replaced.elapsed() < PATIENCE, "the new certificate is not served");
        }
        println!("round {round}: served after {:?}, {sweeps} sweeps", replaced.elapsed());
    }
    assert_eq!(closed(&daemon, "tls") + closed(&daemon, "message_timeout"), 0.0);
    // A pair that does not fit keeps the old one, and says so once.
    let (cert, _) = tls::certificate("bad.example");
    let (_, key) = tls::certificate("other.example");
    let before = shown(daemon.server);
    pair.replace(&(cert, key));
    eventually(PATIENCE, "the failure is a metric", || {
        (daemon.metrics().get("turnstone_tls_certificate_reload_successful") == 0.0).then_some(())
    });
    assert_eq!(shown(daemon.server), before);
    clients.iter_mut().for_each(Client::round_trip);
    assert!(daemon.is_running());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_proxy_header_comes_before_tls() {
    let config = secured("mode = \"self-signed\"").listener("proxy_protocol_from = [\"127.0.0.0/8\"]");
    let daemon = Daemon::start(&config);
    let mut socket = TcpStream::connect(daemon.server).unwrap();
    socket.write_all(b"PROXY TCP4 203.0.113.9 192.0.2.2 4711 3478\r\n").unwrap();
    let mut client = Client::over(Link::secure(socket, &TLS13, "localhost", &[]).expect("shakes hands"));
    let request = client.binding();
    client.write(&request);
    assert_eq!(client.read(), Said::Response(Method::BINDING, 0));
    assert_eq!(client.answers[0].mapped, Some("203.0.113.9:4711".parse().unwrap()));
}

#[test]
fn messages_in_front_of_a_close_are_served_however_many_they_are() {
    let daemon = self_signed();
    for version in VERSIONS {
        let sink = peer();
        let mut client = Client::secure(daemon.server, version);
        client.allocate();
        client.bind(0x4000, sink.local_addr().unwrap());
        let relayed = "turnstone_relay_packets_total{direction=\"from_client\",transport=\"tls\"}";
        let before = daemon.metrics().get(relayed);
        // More than one turn, in one read with the close behind it.
        let mut wire = client.stream.seal(&channel_data(0x4000, b"").repeat(1000));
        let tls = client.stream.tls.as_mut().unwrap();
        tls.send_close_notify();
        tls.write_tls(&mut wire).unwrap();
        client.stream.socket.write_all(&wire).unwrap();
        daemon.await_metric(relayed, |now| now == before + 1000.0);
        daemon.await_allocations(0);
    }
}
