//! Several shards: clients are spread by the kernel, and quotas, ports and tokens are common.

use crate::client::{Caller, peer};
use crate::daemon::{Config, Daemon, PATIENCE, eventually};
use turnstone::wire::stun::AttributeType as A;

fn two_shards() -> Config {
    Config::default().relay("workers = 2")
}

#[test]
fn forty_clients_relay_whichever_shard_they_land_on() {
    let daemon = Daemon::start(&two_shards().limits("allocations_per_user = 100"));
    let peer = peer();
    let mut callers: Vec<Caller> = (0..40).map(|_| Caller::new(daemon.server, "alice")).collect();
    let mut buffer = [0; 64];
    for (n, caller) in callers.iter_mut().enumerate() {
        let relayed = caller.allocate();
        assert_eq!(caller.bind(0x4000, peer.local_addr().unwrap()), 0);
        caller.send_channel(0x4000, &[n as u8]);
        assert_eq!(peer.recv_from(&mut buffer).unwrap(), (1, relayed));
        peer.send_to(&[n as u8, 1], relayed).unwrap();
        assert_eq!(caller.receive(), [0x40, 0, 0, 2, n as u8, 1]);
    }
    daemon.await_allocations(40);
    for worker in 0..2 {
        let busy =
            daemon.metrics().get(&format!("turnstone_worker_busy_seconds_total{{worker=\"{worker}\"}}"));
        assert!(busy > 0.0, "worker {worker} never worked");
    }
    for caller in &mut callers {
        assert_eq!(caller.refresh(0), 0);
    }
    daemon.await_allocations(0);
    assert_eq!(daemon.metrics().get("turnstone_relay_ports{state=\"used\"}"), 0.0);
}

#[test]
fn a_quota_holds_over_all_shards_and_comes_back() {
    let daemon = Daemon::start(&two_shards().limits("allocations_per_user = 5"));
    let mut callers: Vec<Caller> = (0..20).map(|_| Caller::new(daemon.server, "alice")).collect();
    let codes: Vec<u16> = callers.iter_mut().map(|caller| caller.try_allocate(&[]).code).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 5, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 486).count(), 15, "{codes:?}");
    for caller in callers.iter_mut().filter(|caller| caller.relayed.is_some()) {
        assert_eq!(caller.refresh(0), 0);
    }
    Caller::new(daemon.server, "alice").allocate();
}

#[test] // point 8
fn a_reserved_port_is_had_from_any_shard() {
    let daemon = Daemon::start(&two_shards().limits("allocations_per_user = 100"));
    for _ in 0..8 {
        let mut first = Caller::new(daemon.server, "alice");
        let answer = first.try_allocate(&[(A::EVEN_PORT, &[0x80])]);
        let token = answer.token.expect("R was set");
        let mut second = Caller::new(daemon.server, "alice");
        let next = second.try_allocate(&[(A::RESERVATION_TOKEN, &token)]);
        assert_eq!(next.code, 0, "{next:?}");
        assert_eq!(second.relayed.unwrap().port(), first.relayed.unwrap().port() + 1);
    }
}

#[test] // security Q4
fn a_roaming_client_evicts_its_idle_predecessor_on_another_shard() {
    let daemon = Daemon::start(&two_shards().limits("allocations_per_user = 2"));
    // Its predecessors stay silent from now on; they are idle ten seconds later.
    let _idle: Vec<Caller> = (0..2)
        .map(|_| {
            let mut caller = Caller::new(daemon.server, "alice");
            caller.allocate();
            caller
        })
        .collect();
    // From several ports, so that some land on the shard without a predecessor of theirs.
    for _ in 0..2 {
        eventually(PATIENCE, "it gets in", || {
            (Caller::new(daemon.server, "alice").try_allocate(&[]).code == 0).then_some(())
        });
    }
    daemon.await_allocations(2);
}
