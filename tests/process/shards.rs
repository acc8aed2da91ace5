//! Two workers: the kernel spreads clients over them by port, and nobody can tell.

use crate::caller::{Caller, assert_relays, peer};
use crate::daemon::{Config, Daemon, PATIENCE, eventually};
use std::collections::BTreeMap;
use turnstone::wire::stun::AttributeType;

/// Source ports that are tried so that both workers are met; all on one has chance 2^-39.
const CLIENTS: usize = 40;

#[test]
fn clients_of_both_workers_relay() {
    let daemon = two_workers("allocations_per_user = 100");
    let mut sessions: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (mut caller, peer) = (Caller::new(daemon.server), peer());
            let relayed = caller.allocate();
            assert_eq!(caller.permit(peer.local_addr().unwrap()).code, 0);
            (caller, relayed, peer)
        })
        .collect();
    for (caller, relayed, peer) in &mut sessions {
        assert_relays(caller, *relayed, peer);
    }
    for worker in ["0", "1"] {
        let busy = format!("turnstone_worker_busy_seconds_total{{worker=\"{worker}\"}}");
        daemon.await_metric(&busy, |seconds| seconds > 0.0);
    }
    for (caller, ..) in &mut sessions {
        assert_eq!(caller.refresh(0).code, 0);
    }
    daemon.await_allocations(0);
}

#[test]
fn the_quota_of_a_subject_holds_over_both_workers() {
    let daemon = two_workers("allocations_per_user = 10");
    let mut callers: Vec<_> = (0..CLIENTS).map(|_| Caller::new(daemon.server)).collect();
    let codes: Vec<u16> = callers.iter_mut().map(|caller| caller.try_allocate(&[]).code).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 10, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 486).count(), CLIENTS - 10, "{codes:?}");
    // Another subject has a quota of its own, and one that ends makes room, wherever it was.
    Caller::of(daemon.server, "bob", "bob-password").allocate();
    assert_eq!(callers[0].refresh(0).code, 0);
    assert_eq!(callers[CLIENTS - 1].try_allocate(&[]).code, 0);
    assert_eq!(callers[CLIENTS - 2].try_allocate(&[]).code, 486);
}

#[test] // RFC 8656 section 7.2: a token is good for another 5-tuple
fn a_reserved_port_is_handed_out_by_any_worker() {
    let daemon = two_workers("allocations_per_user = 100");
    let mut first = Caller::new(daemon.server);
    for _ in 0..12 {
        let answer = first.try_allocate(&[(AttributeType::EVEN_PORT, &[0x80])]);
        assert_eq!(answer.code, 0, "{answer:?}");
        let token = answer.token.expect("a reservation was asked for");
        let even = answer.relayed[0];
        assert_eq!(even.port() % 2, 0);
        // Each redeemer has a port of its own, so the workers take turns by chance: 2^-11 for one only.
        let mut second = Caller::new(daemon.server);
        let answer = second.try_allocate(&[(AttributeType::RESERVATION_TOKEN, &token)]);
        assert_eq!(answer.code, 0, "{answer:?}");
        assert_eq!(answer.relayed[0].port(), even.port() + 1);
        let mut third = Caller::new(daemon.server);
        let answer = third.try_allocate(&[(AttributeType::RESERVATION_TOKEN, &token)]);
        assert_eq!(answer.code, 508, "a token is good once");
        assert_eq!(first.refresh(0).code, 0);
        first = Caller::new(daemon.server);
    }
}

#[test] // security Q4
fn a_roaming_client_evicts_its_idle_predecessor_on_either_worker() {
    let daemon = two_workers("allocations_per_user = 8");
    let before: Vec<_> = (0..8)
        .map(|_| {
            let mut caller = Caller::new(daemon.server);
            caller.allocate();
            caller
        })
        .collect();
    // Not idle yet: nobody is pushed out.
    assert_eq!(Caller::new(daemon.server).try_allocate(&[]).code, 486);
    // Ten seconds later the old ones are; each newcomer takes the place of one, on whichever worker.
    for _ in 0..8 {
        let mut roamed = Caller::new(daemon.server);
        eventually(PATIENCE, "room for the roaming client", || {
            (roamed.try_allocate(&[]).code == 0).then_some(())
        });
    }
    daemon
        .await_metric("turnstone_allocations_total{transport=\"udp\",family=\"ipv4\"}", |made| made == 16.0);
    daemon.await_allocations(8);
    drop(before);
}

fn two_workers(limits: &str) -> Daemon {
    Daemon::start(&Config::default().relay("workers = 2").limits(limits))
}

#[test]
fn pinned_workers_have_a_core_each_and_nobody_else_is_held() {
    let daemon = Daemon::start(&Config::default().relay("workers = 2\npin_workers = true"));
    let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let cores: BTreeMap<String, String> = tasks
        .map(|task| {
            let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                line.unwrap_or_default().trim().to_owned()
            };
            (field("Name"), field("Cpus_allowed_list"))
        })
        .collect();
    let both = [&cores["relay-0"], &cores["relay-1"]];
    assert!(both.iter().all(|one| one.parse::<usize>().is_ok()), "{cores:?}");
    let all = &cores["signaling"];
    let is_alone = all.parse::<usize>().is_ok();
    assert_eq!(both[0] == both[1], is_alone, "{cores:?}");
    assert_eq!(all == both[0], is_alone, "only those that relay are pinned: {cores:?}");
}
