//! The `turn` crate's client against the daemon.

use crate::daemon::{Config, Daemon, PATIENCE};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::time::timeout;
use turn::client::{Client, ClientConfig};
use webrtc_util::Conn;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_turn_crate_allocates_permits_relays_both_ways_refreshes_and_closes() {
    a_whole_session(&Config::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)] // RFC 8489 section 9.2: it knows nothing of it
async fn the_turn_crate_does_all_that_where_sha256_and_anonymity_are_offered() {
    a_whole_session(&Config::default().auth("modern = true")).await;
    a_whole_session(&Config { auth: "modern = true\n".into(), ..Config::default() }).await;
}

async fn a_whole_session(config: &Config) {
    let daemon = Daemon::start(config);
    let client = connect(daemon.server, "alice", "alice-password").await;
    let mapped = timeout(PATIENCE, client.send_binding_request()).await.unwrap().unwrap();
    assert!(mapped.ip().is_loopback());
    let relay = timeout(PATIENCE, client.allocate()).await.unwrap().unwrap();
    let relayed = relay.local_addr().unwrap();
    let before = daemon.metrics();
    assert_eq!(before.get("turnstone_relay_ports{state=\"used\"}"), 1.0);

    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let peer_address = peer.local_addr().unwrap();
    let mut buffer = [0; 2000];
    // The client makes the permission with the first datagram and binds a channel behind our back.
    for round in 0..50u32 {
        let there = format!("to the peer {round}");
        timeout(PATIENCE, relay.send_to(there.as_bytes(), peer_address)).await.unwrap().unwrap();
        let (length, from) = timeout(PATIENCE, peer.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!((&buffer[..length], from), (there.as_bytes(), relayed));
        let back = format!("to the client {round}");
        peer.send_to(back.as_bytes(), relayed).await.unwrap();
        let (length, from) = timeout(PATIENCE, relay.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!((&buffer[..length], from), (back.as_bytes(), peer_address));
    }
    let binds = "turnstone_stun_responses_total{method=\"channel_bind\",code=\"success\"}";
    daemon.await_metric(binds, |count| count >= 1.0);

    // Closing sends Refresh with lifetime zero: the port is gone, and no later datagram passes.
    timeout(PATIENCE, relay.close()).await.unwrap().unwrap();
    timeout(PATIENCE, client.close()).await.unwrap().unwrap();
    daemon.await_allocations(0);
    let after = daemon.metrics();
    assert_eq!(after.get("turnstone_relay_ports{state=\"used\"}"), 0.0);
    assert_eq!(after.get("turnstone_stun_responses_total{method=\"refresh\",code=\"success\"}"), 1.0);
    std::net::UdpSocket::bind(relayed).expect("the relay port is free for others");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_turn_crate_is_refused_with_a_wrong_password() {
    let daemon = Daemon::start(&Config::default());
    let client = connect(daemon.server, "alice", "bobs-password").await;
    let refused = timeout(PATIENCE, client.allocate()).await.unwrap();
    assert!(refused.is_err());
    let _closed = client.close().await;
    daemon.await_metric("turnstone_auth_failures_total{reason=\"bad_integrity\"}", |count| count >= 1.0);
    assert_eq!(daemon.allocations(), 0.0);
}

async fn connect(server: SocketAddr, username: &str, password: &str) -> Client {
    let client = Client::new(ClientConfig {
        stun_serv_addr: server.to_string(),
        turn_serv_addr: server.to_string(),
        username: username.into(),
        password: password.into(),
        realm: "turn".into(),
        software: String::new(),
        rto_in_ms: 0,
        conn: Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap()),
        vnet: None,
    });
    let client = client.await.unwrap();
    client.listen().await.unwrap();
    client
}
