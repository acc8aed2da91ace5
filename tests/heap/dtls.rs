//! What DTLS takes from the heap. The cryptography's own memory (about a kilobyte a session) is C's and
//! not counted.

use crate::counting::{allocations_in, heap};
use arc_swap::ArcSwap;
use dimpl::{Config, Dtls, DtlsCertificate};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use turnstone::auth::Cookies;
use turnstone::base::{Now, Random, Timestamp, UnixTime};
use turnstone::net::dtls::{DtlsConfig, Host, Inbound, Limits, Output, Path, SessionId, Sessions};
use turnstone::wire::dtls::bare_hello;

const SESSIONS: usize = 200;
const PACKETS: u64 = 1000;

#[test] // security U5
fn hellos_of_strangers_take_nothing_from_the_heap() {
    let mut server = Server::new();
    let hello = bare_hello(&[7; 32], 0);
    let before = heap().live_bytes;
    let taken = allocations_in(|| {
        for n in 0..10_000u32 {
            let inbound = server.sessions.on_datagram(NOW, path(n), &hello, &mut Anybody);
            assert!(matches!(inbound, Inbound::Answer(_)));
        }
    });
    assert_eq!((taken, heap().live_bytes), (0, before));
}

#[test]
fn a_session_takes_less_than_16_kibibytes() {
    let mut server = Server::new();
    let before = heap().live_bytes;
    let mut clients: Vec<_> = (0..SESSIONS as u32).map(|n| server.connect(n)).collect();
    for (client, id) in &mut clients {
        let said = client.say(&[7; 160]);
        server.deliver(client.path, &said);
        assert!(server.sessions.send(*id, &[8; 160]));
        server.drain(*id);
    }
    // What the clients themselves keep goes with them.
    drop(clients);
    let each = (heap().live_bytes - before) as usize / SESSIONS;
    println!("{each} bytes per session after a small datagram each way");
    assert!(each < 16 << 10, "{each}");
}

#[test]
fn a_greedy_client_holds_less_than_the_worst_case_says() {
    let mut server = Server::new();
    let (mut client, id) = server.connect(1);
    let before = heap().live_bytes;
    for _ in 0..20 {
        // Each record of a datagram takes a buffer of its own, and a large one makes it grow for good.
        let large = client.say(&[7; Limits::PLAIN_BYTES_MAX]);
        server.deliver(client.path, &large);
        let small: Vec<_> = (0..8).map(|_| client.say(&[7; 1500])).collect();
        server.deliver(client.path, &small.concat());
        assert!(server.sessions.send(id, &[8; Limits::PLAIN_BYTES_MAX]));
        server.drain(id);
    }
    let more = heap().live_bytes - before;
    println!("{more} bytes more for a greedy session");
    assert!(more < Limits::SESSION_BYTES_MAX as i64, "{more}");
}

#[test]
fn a_handshake_that_stalls_holds_less_than_the_worst_case_says() {
    let mut server = Server::new();
    let mut hello = bare_hello(&[7; 32], 0).to_vec();
    let Inbound::Answer(reply) = server.sessions.on_datagram(NOW, path(1), &hello, &mut Anybody) else {
        panic!("no cookie")
    };
    hello[60] = 32;
    hello.splice(61..61, reply.as_slice()[28..].iter().copied());
    let (record, message) = ((hello.len() - 13) as u16, (hello.len() - 25) as u32);
    hello[11..13].copy_from_slice(&record.to_be_bytes());
    hello[14..17].copy_from_slice(&message.to_be_bytes()[1..]);
    hello[17..19].copy_from_slice(&[0, 1]);
    hello[22..25].copy_from_slice(&message.to_be_bytes()[1..]);
    // The first fragment alone, so that the rest is waited for.
    hello[16] += 1;
    let before = heap().live_bytes;
    assert!(matches!(
        server.sessions.on_datagram(NOW, path(1), &hello, &mut Anybody),
        Inbound::Session(SessionId(1))
    ));
    let mut most = 0;
    for datagram in 1..=16u8 {
        let later: Vec<u8> = (0..8).flat_map(|n| stray(datagram * 8 + n)).collect();
        server.sessions.on_datagram(NOW, path(1), &later, &mut Anybody);
        while server.sessions.poll(NOW, SessionId(1), &mut server.buffer).is_some() {}
        most = most.max(heap().live_bytes - before);
    }
    println!("{most} bytes at most for a stalled handshake");
    assert_eq!(server.sessions.len(), 0, "it fills its queue and is over");
    assert!(most < Limits::HALF_OPEN_BYTES_MAX as i64, "{most}");
}

/// A record with messages of a handshake whose turn has not come.
fn stray(message_seq: u8) -> Vec<u8> {
    let body: Vec<u8> = (0..8)
        .flat_map(|_| [&[16u8, 0, 0, 8, 0, message_seq, 0, 0, 0, 0, 0, 8][..], &[0; 8]].concat())
        .collect();
    let header = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, message_seq, 0, body.len() as u8];
    [&header[..], &body].concat()
}

#[test]
fn a_packet_takes_a_few_allocations() {
    let mut server = Server::new();
    let (mut client, id) = server.connect(1);
    let said: Vec<_> = (0..=PACKETS).map(|_| client.say(&[7; 160])).collect();
    server.deliver(client.path, &said[0]);
    let taken = allocations_in(|| {
        for datagram in &said[1..] {
            server.deliver(client.path, datagram);
        }
    });
    println!("from a client: {taken} heap allocations in {PACKETS} packets");
    assert!(taken <= 8 * PACKETS);
    let taken = allocations_in(|| {
        for _ in 0..PACKETS {
            assert!(server.sessions.send(id, &[8; 160]));
            while server.sessions.poll(NOW, id, &mut server.buffer).is_some() {}
        }
    });
    println!("to a client: {taken} heap allocations in {PACKETS} packets");
    assert!(taken <= 8 * PACKETS);
}

const NOW: Now = Now { at: Timestamp::from_secs(10), unix: UnixTime(1_700_000_000) };

struct Server {
    sessions: Sessions,
    buffer: Vec<u8>,
    at: Instant,
}

struct Anybody;

impl Host for Anybody {
    fn has_allocation(&self, _id: SessionId) -> bool {
        false
    }

    fn admit(&mut self, _path: &Path) -> bool {
        true
    }
}

struct Client {
    dtls: Dtls,
    path: Path,
}

impl Server {
    fn new() -> Self {
        let (leaf, key) = certificate();
        let config = Arc::new(ArcSwap::from_pointee(DtlsConfig::new(leaf, key).unwrap()));
        let at = Instant::now();
        let cookies = Cookies::new([3; 32], NOW.unix);
        let sessions = Sessions::new(config, cookies, Limits::default(), &mut Random::seeded(1), at, NOW);
        Self { sessions, buffer: vec![0; Limits::DATAGRAM_BYTES_MAX], at }
    }

    fn connect(&mut self, n: u32) -> (Client, SessionId) {
        let (certificate, private_key) = certificate();
        let mut dtls =
            Dtls::new_12(Arc::new(Config::default()), DtlsCertificate { certificate, private_key }, self.at);
        dtls.set_active(true);
        dtls.handle_timeout(self.at).unwrap();
        let mut client = Client { dtls, path: path(n) };
        let mut session = None;
        let mut waiting = client.packets();
        while let Some(datagram) = waiting.pop() {
            match self.sessions.on_datagram(NOW, client.path, &datagram, &mut Anybody) {
                Inbound::Answer(reply) => client.dtls.handle_packet(reply.as_slice()).unwrap(),
                Inbound::Session(id) => {
                    session = Some(id);
                    for packet in self.drain(id) {
                        client.dtls.handle_packet(&packet).unwrap();
                    }
                }
                Inbound::Refused(refusal) => panic!("{refusal:?}"),
            }
            // The last in first out: what waits is one flight, and handshakes sort it.
            waiting.extend(client.packets());
        }
        (client, session.unwrap())
    }

    fn deliver(&mut self, path: Path, datagram: &[u8]) {
        let inbound = self.sessions.on_datagram(NOW, path, datagram, &mut Anybody);
        if let Inbound::Session(id) = inbound {
            while self.sessions.poll(NOW, id, &mut self.buffer).is_some() {}
        }
        assert_eq!(self.sessions.next_ended(), None);
    }

    fn drain(&mut self, id: SessionId) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        while let Some(output) = self.sessions.poll(NOW, id, &mut self.buffer) {
            if let Output::Send { length, .. } = output {
                packets.push(self.buffer[..length].to_vec());
            }
        }
        packets
    }
}

impl Client {
    fn say(&mut self, plain: &[u8]) -> Vec<u8> {
        self.dtls.send_application_data(plain).unwrap();
        self.packets().pop().unwrap()
    }

    fn packets(&mut self) -> Vec<Vec<u8>> {
        let (mut packets, mut buffer) = (Vec::new(), [0; 1 << 15]);
        loop {
            match self.dtls.poll_output(&mut buffer) {
                dimpl::Output::Packet(packet) => packets.push(packet.to_vec()),
                dimpl::Output::Timeout(_) => return packets,
                _ => {}
            }
        }
    }
}

fn path(n: u32) -> Path {
    let remote = SocketAddr::from(([198, 51, (n >> 8) as u8, n as u8], 1000));
    Path { door: 0, local: "192.0.2.1:5349".parse().unwrap(), remote }
}

fn certificate() -> (Vec<u8>, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(["turn.example".to_owned()]).unwrap();
    (made.cert.der().to_vec(), made.signing_key.serialize_der())
}
