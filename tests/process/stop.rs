//! SIGTERM, SIGINT and what a drain does.

use crate::caller::{Caller, assert_relays, peer};
use crate::daemon::{Config, Daemon, PATIENCE, eventually};
use std::time::{Duration, Instant};

/// Well below every drain time-out of these tests.
const AT_ONCE: Duration = Duration::from_secs(5);

#[test]
fn sigterm_without_a_session_ends_the_process_at_once_with_zero() {
    let mut daemon = Daemon::start(&Config::default());
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.exit_code(AT_ONCE), 0);
}

#[test]
fn a_drain_refuses_new_allocations_and_ends_when_the_last_session_does() {
    let mut daemon = Daemon::start(&Config::default().server("drain_timeout = \"60s\""));
    let (mut caller, peer) = (Caller::new(daemon.server), peer());
    let relayed = caller.allocate();
    assert_eq!(caller.permit(peer.local_addr().unwrap()).code, 0);
    daemon.signal(libc::SIGTERM);
    let body = eventually(PATIENCE, "readyz says 503", || {
        daemon.try_get("/readyz").filter(|(status, _)| *status == 503).map(|(_, body)| body)
    });
    assert!(body.contains("drain"), "{body}");
    assert_eq!(daemon.get("/healthz").0, 200);
    assert_eq!(daemon.metrics().get("turnstone_draining"), 1.0);

    let mut late = Caller::of(daemon.server, "bob", "bob-password");
    assert_eq!(late.try_allocate(&[]).code, 508);
    assert_relays(&mut caller, relayed, &peer);
    assert_eq!(caller.refresh(600).code, 0);
    assert_relays(&mut caller, relayed, &peer);
    assert!(daemon.is_running());

    assert_eq!(caller.refresh(0).code, 0);
    assert_eq!(daemon.exit_code(AT_ONCE), 0);
}

#[test]
fn a_drain_that_takes_too_long_cuts_the_sessions_and_ends_with_zero() {
    let mut daemon = Daemon::start(&Config::default().server("drain_timeout = \"1s\""));
    Caller::new(daemon.server).allocate();
    let told = Instant::now();
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.exit_code(PATIENCE), 0);
    assert!(told.elapsed() >= Duration::from_secs(1), "the session had its second: {:?}", told.elapsed());
    daemon.await_logged("the time to drain is over");
}

#[test]
fn a_second_sigterm_ends_a_drain_at_once() {
    ends_a_drain(libc::SIGTERM);
}

#[test]
fn sigint_ends_a_drain_at_once() {
    ends_a_drain(libc::SIGINT);
}

#[test]
fn sigint_ends_a_daemon_with_sessions_at_once() {
    let mut daemon = Daemon::start(&Config::default().server("drain_timeout = \"60s\""));
    Caller::new(daemon.server).allocate();
    daemon.signal(libc::SIGINT);
    assert_eq!(daemon.exit_code(AT_ONCE), 0);
}

fn ends_a_drain(signal: i32) {
    let mut daemon = Daemon::start(&Config::default().server("drain_timeout = \"60s\""));
    Caller::new(daemon.server).allocate();
    daemon.signal(libc::SIGTERM);
    daemon.await_logged("draining");
    assert!(daemon.is_running());
    daemon.signal(signal);
    assert_eq!(daemon.exit_code(AT_ONCE), 0);
}
