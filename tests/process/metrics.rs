//! Health, readiness and counters of a live daemon.

use crate::caller::{Caller, Incoming, peer, receive};
use crate::daemon::{Config, Daemon};
use std::time::{Duration, Instant};

#[test]
fn a_fresh_daemon_is_healthy_ready_and_shows_zeros() {
    let daemon = Daemon::start(&Config::default());
    assert_eq!(daemon.get("/healthz").0, 200);
    assert_eq!(daemon.get("/readyz").0, 200);
    assert_eq!(daemon.get("/nothing-here").0, 404);
    let metrics = daemon.metrics();
    assert!(metrics.len() < 600, "{} series", metrics.len());
    assert_eq!(metrics.sum("turnstone_allocations{"), 0.0);
    assert_eq!(metrics.sum("turnstone_relay_bytes_total{"), 0.0);
    assert_eq!(metrics.get("turnstone_relay_ports{state=\"used\"}"), 0.0);
    assert_eq!(metrics.get("turnstone_relay_ports{state=\"free\"}"), 400.0);
    assert_eq!(metrics.get("turnstone_config_last_reload_successful"), 1.0);
}

#[test]
fn counters_move_within_a_second_while_a_session_lives_and_equal_the_payload() {
    let daemon = Daemon::start(&Config::default());
    let (mut caller, peer) = (Caller::new(daemon.server), peer());
    let peer_address = peer.local_addr().unwrap();
    let relayed = caller.allocate();
    assert_eq!(caller.bind(0x4000, peer_address).code, 0);
    let mut sent_bytes = 0;
    let mut sent_packets = 0;
    for length in [0, 1, 3, 160, 1200] {
        // Both ways over the channel, both ways of sending to the peer.
        let payload = vec![0x5a; length];
        caller.send_on(0x4000, &payload);
        assert_eq!(receive(&peer), (payload.clone(), relayed));
        caller.send(peer_address, &payload);
        assert_eq!(receive(&peer), (payload.clone(), relayed));
        for _ in 0..2 {
            peer.send_to(&payload, relayed).unwrap();
            assert_eq!(caller.receive(), Incoming::Channel(0x4000, payload.clone()));
        }
        sent_bytes += 2 * length;
        sent_packets += 2;
    }
    let done = Instant::now();
    let all_there = |metrics: &crate::daemon::Metrics| {
        ["from_client", "to_peer", "from_peer", "to_client"].iter().all(|direction| {
            let labels = format!("{{direction=\"{direction}\",transport=\"udp\"}}");
            metrics.get(&format!("turnstone_relay_bytes_total{labels}")) == sent_bytes as f64
                && metrics.get(&format!("turnstone_relay_packets_total{labels}")) == f64::from(sent_packets)
        })
    };
    // The scrape itself takes a moment; the promise is about what it shows.
    let mut shown = daemon.metrics();
    let mut asked = done.elapsed();
    while !all_there(&shown) && asked < Duration::from_secs(1) {
        asked = done.elapsed();
        shown = daemon.metrics();
    }
    assert!(all_there(&shown), "a second later: {shown:#?}");
    assert_eq!(shown.sum("turnstone_allocations{"), 1.0, "the session lives");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the span is what is measured, not waited for")]
fn an_idle_daemon_hardly_uses_the_cpu() {
    let daemon = Daemon::start(&Config::default().relay("workers = 2"));
    Caller::new(daemon.server).allocate();
    let before = daemon.cpu_s();
    std::thread::sleep(Duration::from_secs(5));
    let used = daemon.cpu_s() - before;
    assert!(used < 0.05, "{used} s of CPU in 5 s");
}
