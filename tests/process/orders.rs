//! Orders by the real verbs while sessions relay: who is meant is cut off, and nobody else loses a datagram.

use crate::daemon::{Config, Daemon};
use crate::traffic::Traffic;
use crate::verbs::ask_json;

/// Rounds of a run in which nothing is ordered.
const QUIET: usize = 20;

#[test]
fn of_50_sessions_the_25_revoked_end_within_a_second_and_the_others_lose_nothing() {
    let daemon = Daemon::start(&Config::default().relay("workers = 2").limits("allocations_per_user = 0"));
    let mut red = Traffic::start(daemon.server, "red", 25);
    let mut blue = Traffic::start(daemon.server, "blue", 25);
    let rounds = std::thread::scope(|scope| {
        let revoked = scope.spawn(|| {
            // They are under way.
            (0..3).for_each(|_| red.round_without_loss());
            let answer = ask_json(&daemon, &["credentials", "revoke", "--label", "red"]);
            // It waits for a second at most.
            assert_eq!(answer["sessions_ended"], 25, "the answer tells of all of them");
            let left = ask_json(&daemon, &["sessions"]);
            assert_eq!((&left["total"], &left["complete"]), (&25.into(), &true.into()), "{left}");
            assert!(left["sessions"].as_array().unwrap().iter().all(|one| one["label"] == "blue"), "{left}");
            red.expect_the_end(401);
        });
        without_loss(&mut blue, || revoked.is_finished())
    });
    println!("{rounds} rounds of 25 sessions beside it, no loss");
    daemon.await_allocations(25);
}

#[test]
fn reload_drain_and_undrain_lose_no_datagram_of_200_sessions() {
    const TIMES: usize = 10;
    let config = Config::default().relay("workers = 2");
    let daemon = Daemon::start(&config.clone().limits("allocations_per_user = 0"));
    let mut traffic = Traffic::start(daemon.server, "all", 200);
    // The same run without them.
    let quiet = without_loss(&mut traffic, || true);
    let rounds = std::thread::scope(|scope| {
        let ordered = scope.spawn(|| {
            for n in 1..=TIMES {
                let limits = format!("allocations_per_user = {n}");
                daemon.write_config(&config.clone().limits(&limits).text());
                let reloaded = ask_json(&daemon, &["reload"]);
                let changed = serde_json::json!(["limits.allocations_per_user"]);
                assert_eq!((&reloaded["changed"], &reloaded["complete"]), (&changed, &true.into()));
                assert_eq!(ask_json(&daemon, &["drain"])["draining"], true);
                assert_eq!(ask_json(&daemon, &["undrain"])["draining"], false);
            }
        });
        without_loss(&mut traffic, || ordered.is_finished())
    });
    println!("200 sessions: {quiet} rounds, then {rounds} while all of that happened {TIMES} times, no loss");
    daemon.await_allocations(200);
}

/// Relays until it is over, and for some rounds at least. Returns how many.
#[track_caller]
fn without_loss(traffic: &mut Traffic, is_over: impl Fn() -> bool) -> usize {
    let mut rounds = 0;
    while rounds < QUIET || !is_over() {
        traffic.round_without_loss();
        rounds += 1;
    }
    rounds
}
