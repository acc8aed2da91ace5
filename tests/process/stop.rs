//! Signals: drain, stop, reload.

use crate::client::{Caller, peer};
use crate::daemon::{Config, Daemon, PATIENCE, SECRET, eventually};
use std::time::Duration;
use turnstone::auth::{MintRequest, Secret, Variant, mint};
use turnstone::base::UnixTime;

#[test]
fn sigterm_without_a_session_ends_with_0_at_once() {
    let mut daemon = Daemon::start(&Config::default().server("drain_timeout = \"1h\""));
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.exit_code(PATIENCE), 0);
}

#[test]
fn sigterm_drains_and_ends_with_0_when_the_last_session_is_over() {
    let mut daemon = Daemon::start(&Config::default().server("drain_timeout = \"1h\""));
    let (mut alice, peer) = (Caller::new(daemon.server, "alice"), peer());
    alice.allocate();
    assert_eq!(alice.bind(0x4000, peer.local_addr().unwrap()), 0);
    daemon.signal(libc::SIGTERM);
    eventually(PATIENCE, "readyz is 503", || (daemon.get("/readyz").0 == 503).then_some(()));
    assert!(daemon.get("/readyz").1.contains("draining"));
    assert_eq!(daemon.metrics().get("turnstone_draining"), 1.0);
    assert_eq!(Caller::new(daemon.server, "bob").try_allocate(&[]).code, 508);
    // What lives goes on.
    alice.send_channel(0x4000, b"still here");
    let mut buffer = [0; 64];
    let (length, _) = peer.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"still here");
    assert!(daemon.is_running());
    assert_eq!(alice.refresh(0), 0);
    assert_eq!(daemon.exit_code(PATIENCE), 0);
}

#[test]
fn a_drain_ends_with_0_when_its_time_is_over() {
    let mut daemon = Daemon::start(&Config::default().server("drain_timeout = \"300ms\""));
    Caller::new(daemon.server, "alice").allocate();
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.exit_code(PATIENCE), 0);
    assert!(daemon.logged("time to drain is over"), "{:#?}", daemon.log());
}

#[test]
fn a_second_sigterm_and_a_sigint_end_at_once() {
    for second in [libc::SIGTERM, libc::SIGINT] {
        let mut daemon = Daemon::start(&Config::default().server("drain_timeout = \"1h\""));
        Caller::new(daemon.server, "alice").allocate();
        daemon.signal(libc::SIGTERM);
        eventually(PATIENCE, "it drains", || (daemon.get("/readyz").0 == 503).then_some(()));
        daemon.signal(second);
        assert_eq!(daemon.exit_code(PATIENCE), 0, "{second}");
    }
    let mut daemon = Daemon::start(&Config::default().server("drain_timeout = \"1h\""));
    Caller::new(daemon.server, "alice").allocate();
    daemon.signal(libc::SIGINT);
    assert_eq!(daemon.exit_code(PATIENCE), 0);
}

#[test]
fn sighup_takes_over_secrets_limits_and_peers_and_live_sessions_relay_on() {
    let config = Config::default();
    let daemon = Daemon::start(&config);
    let (mut alice, peer) = (Caller::new(daemon.server, "alice"), peer());
    alice.allocate();
    assert_eq!(alice.bind(0x4000, peer.local_addr().unwrap()), 0);
    let minted = |secret: &str| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let request = MintRequest::new(UnixTime(now), Duration::from_secs(600), "carol");
        let credential = mint(&Secret::new(secret), Variant::Sha1, &request).unwrap();
        Caller::new(daemon.server, "x").with_password(&credential.username, credential.password.expose())
    };
    assert_eq!(minted(SECRET).try_allocate(&[]).code, 0);

    let other = "another-secret-of-at-least-32-characters-0002";
    let changed = Config {
        auth: format!("secrets = [\"{other}\"]\n"),
        limits: "allocations_per_user = 1\n".into(),
        peers: "allow = [\"127.0.0.1/32\"]\ndeny = [\"recommended\", \"8.8.8.0/24\"]\n".into(),
        ..config.clone()
    };
    daemon.write_config(&changed.text());
    daemon.signal(libc::SIGHUP);
    eventually(PATIENCE, "the reload", || daemon.logged("config reloaded").then_some(()));
    eventually(PATIENCE, "the old secret is out", || {
        (minted(SECRET).try_allocate(&[]).code == 401).then_some(())
    });
    let mut first = minted(other);
    // Carol's first allocation lives, and the new limit is one.
    assert_eq!(first.try_allocate(&[]).code, 486);
    let google = "8.8.8.8:53".parse().unwrap();
    assert_eq!(alice.permit(google), 403);
    alice.send_channel(0x4000, b"relays on");
    let mut buffer = [0; 64];
    let (length, _) = peer.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"relays on");
    assert_eq!(daemon.metrics().get("turnstone_config_last_reload_successful"), 1.0);
}

#[test]
fn a_broken_file_keeps_the_old_config_and_says_so() {
    let config = Config::default();
    let daemon = Daemon::start(&config);
    daemon.write_config(&config.text().replace("[limits]", "[limits]\nallocation_per_user = 1\n"));
    daemon.signal(libc::SIGHUP);
    daemon.await_metric("turnstone_config_last_reload_successful", |value| value == 0.0);
    assert!(daemon.logged("unknown key `allocation_per_user`"), "{:#?}", daemon.log());
    assert!(daemon.logged("stays in force"), "{:#?}", daemon.log());
    Caller::new(daemon.server, "alice").allocate();
    // What needs a socket is named, and the rest is taken over.
    let moved = Config { listen: vec![crate::daemon::loopback(crate::daemon::free_port())], ..config };
    daemon.write_config(&moved.text());
    daemon.signal(libc::SIGHUP);
    daemon.await_metric("turnstone_config_last_reload_successful", |value| value == 1.0);
    eventually(PATIENCE, "names what needs a restart", || daemon.logged("need a restart").then_some(()));
    Caller::new(daemon.server, "alice").allocate();
}
