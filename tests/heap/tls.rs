//! What TLS takes from the heap: little for a connection that waits, and a bounded number of times per record.

use crate::counting::{allocations_in, heap};
use crate::tls_client::client_config;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConfig, SupportedProtocolVersion};
use std::io::Write;
use std::sync::Arc;
use std::time::SystemTime;
use turnstone::net::tls::{Certificate, Certificates, TlsSession, server_config};

const VERSIONS: [(&str, &SupportedProtocolVersion); 2] =
    [("1.2", &rustls::version::TLS12), ("1.3", &rustls::version::TLS13)];

fn server() -> Arc<ServerConfig> {
    let certificate = Certificate::self_signed(&["turn.example.org".to_owned()], SystemTime::now()).unwrap();
    server_config(Arc::new(Certificates::new(certificate, Vec::new()))).unwrap()
}

/// A session whose handshake is over, and its client.
fn connected(
    config: &Arc<ServerConfig>,
    version: &'static SupportedProtocolVersion,
) -> (TlsSession, ClientConnection) {
    let name = ServerName::try_from("turn.example.org").unwrap();
    let mut client = ClientConnection::new(client_config(version, &[b"stun.turn"]), name).unwrap();
    let mut server = TlsSession::new(config).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut outgoing = Vec::new();
        let mut incoming = from_client(&mut client);
        let received = server.receive(&mut incoming, &mut Vec::new(), &mut outgoing).unwrap();
        assert_eq!(received.consumed, incoming.len());
        let mut rest = &outgoing[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    (server, client)
}

fn from_client(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

#[test] // security.md F11: at most 30 KB of user space for a waiting TLS connection
fn a_waiting_session_takes_less_than_eight_kibibytes() {
    const SESSIONS: usize = 100;
    let config = server();
    for (name, version) in VERSIONS {
        // What is made once, such as the ticket key, is made.
        drop(connected(&config, version));
        let before = heap().live_bytes;
        let sessions: Vec<TlsSession> = (0..SESSIONS).map(|_| connected(&config, version).0).collect();
        let each = (heap().live_bytes - before) as usize / SESSIONS;
        println!("{each} bytes per waiting session of TLS {name}");
        assert!(each < 8 << 10, "{each}");
        drop(sessions);
    }
}

#[test] // DESIGN section 8: bounded per read, printed
fn a_record_takes_a_bounded_number_of_allocations() {
    const RECORDS: u64 = 1000;
    let config = server();
    for (name, version) in VERSIONS {
        let (mut server, mut client) = connected(&config, version);
        let mut records: Vec<Vec<u8>> = (0..RECORDS)
            .map(|_| {
                client.writer().write_all(&[7; 160]).unwrap();
                from_client(&mut client)
            })
            .collect();
        let (mut plain, mut outgoing) = (Vec::with_capacity(1 << 10), Vec::with_capacity(1 << 10));
        let taken = allocations_in(|| {
            for record in &mut records {
                plain.clear();
                server.receive(record, &mut plain, &mut outgoing).unwrap();
                assert_eq!(plain.len(), 160);
            }
        });
        println!("TLS {name}: {taken} heap allocations for {RECORDS} received records");
        assert!(taken <= 2 * RECORDS, "{taken}");
        let taken = allocations_in(|| {
            for _ in 0..RECORDS {
                outgoing.clear();
                server.send(&[7; 160], &mut outgoing).unwrap();
            }
        });
        println!("TLS {name}: {taken} heap allocations for {RECORDS} sent records");
        assert!(taken <= 2 * RECORDS, "{taken}");
    }
}
