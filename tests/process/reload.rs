//! SIGHUP: what can change does, a broken file changes nothing, and nobody is cut off.

use crate::caller::{Caller, assert_relays, peer};
use crate::daemon::{Config, Daemon, PATIENCE, SECRET, eventually, loopback};
use std::net::UdpSocket;
use std::time::{Duration, SystemTime};
use turnstone::auth::{MintRequest, Secret, Variant, mint};
use turnstone::base::UnixTime;

const OTHER_SECRET: &str = "another-secret-of-at-least-32-characters";

#[test]
fn a_reload_swaps_secrets_and_live_sessions_relay_on() {
    let config = Config::default();
    let daemon = Daemon::start(&config);
    let (name, password) = minted(SECRET);
    let (mut caller, peer) = (Caller::of(daemon.server, &name, &password), peer());
    let relayed = caller.allocate();
    assert_eq!(caller.permit(peer.local_addr().unwrap()).code, 0);

    let swapped = Config { auth: format!("secrets = [\"{OTHER_SECRET}\"]\n"), ..config };
    reload(&daemon, &swapped.text());
    eventually(PATIENCE, "the old secret is refused", || {
        let mut late = Caller::of(daemon.server, &name, &password);
        let code = late.try_allocate(&[]).code;
        assert!(code == 0 || code == 401, "{code}");
        (code == 401).then_some(()).or_else(|| {
            late.refresh(0);
            None
        })
    });
    let (other_name, other_password) = minted(OTHER_SECRET);
    Caller::of(daemon.server, &other_name, &other_password).allocate();
    assert_relays(&mut caller, relayed, &peer);
    assert_eq!(caller.refresh(600).code, 0, "its key was derived when it allocated");
    assert_relays(&mut caller, relayed, &peer);
}

#[test]
fn a_reload_swaps_limits() {
    let config = Config::default();
    let daemon = Daemon::start(&config.clone().limits("allocations_per_user = 2"));
    let mut callers: Vec<_> = (0..3).map(|_| Caller::new(daemon.server)).collect();
    callers[0].allocate();
    callers[1].allocate();
    assert_eq!(callers[2].try_allocate(&[]).code, 486);
    reload(&daemon, &config.limits("allocations_per_user = 3").text());
    callers[2].allocate();
    assert_eq!(Caller::new(daemon.server).try_allocate(&[]).code, 486);
}

#[test]
fn a_reload_that_denies_a_peer_cuts_it_off_and_leaves_the_others() {
    let config = Config::default();
    let daemon = Daemon::start(&config);
    let mut caller = Caller::new(daemon.server);
    let stays = peer();
    let goes = UdpSocket::bind("127.0.0.2:0").unwrap();
    let relayed = caller.allocate();
    for peer in [&stays, &goes] {
        assert_eq!(caller.permit(peer.local_addr().unwrap()).code, 0);
    }
    assert_relays(&mut caller, relayed, &stays);
    let narrower = Config { peers: "allow = [\"127.0.0.1/32\"]\n".into(), ..config };
    reload(&daemon, &narrower.text());
    eventually(PATIENCE, "the peer is denied", || {
        (caller.permit(goes.local_addr().unwrap()).code == 403).then_some(())
    });
    // Its permission of before is gone as well: what it sends now is dropped and counted.
    let no_permission = "turnstone_dropped_packets_total{reason=\"no_permission\"}";
    let before = daemon.metrics().get(no_permission);
    goes.send_to(b"still here?", relayed).unwrap();
    daemon.await_metric(no_permission, |count| count == before + 1.0);
    assert_relays(&mut caller, relayed, &stays);
}

#[test]
fn a_broken_file_keeps_the_old_config_and_says_so() {
    let config = Config::default();
    let daemon = Daemon::start(&config);
    daemon.write_config(&config.clone().limits("allocations_per_usr = 1").text());
    daemon.signal(libc::SIGHUP);
    daemon.await_metric("turnstone_config_last_reload_successful", |value| value == 0.0);
    daemon.await_logged("stays in force");
    daemon.await_logged("allocations_per_usr");
    Caller::new(daemon.server).allocate();

    reload(&daemon, &config.text());
    daemon.await_metric("turnstone_config_last_reload_successful", |value| value == 1.0);
}

#[test]
fn a_reload_names_the_keys_that_need_a_restart_and_keeps_its_sockets() {
    let config = Config::default();
    let daemon = Daemon::start(&config);
    let moved = config.clone().listen(&[loopback(crate::daemon::free_port())]);
    daemon.write_config(&moved.text());
    daemon.signal(libc::SIGHUP);
    daemon.await_logged("need a restart");
    daemon.await_logged("listen");
    Caller::new(daemon.server).allocate();
}

fn reload(daemon: &Daemon, text: &str) {
    let reloads = || daemon.log().iter().filter(|line| line.contains("config reloaded")).count();
    let before = reloads();
    daemon.write_config(text);
    daemon.signal(libc::SIGHUP);
    eventually(PATIENCE, "reloaded", || (reloads() > before).then_some(()));
}

fn minted(secret: &str) -> (String, String) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let request = MintRequest::new(UnixTime(now), Duration::from_secs(600), "carol");
    let credential = mint(&Secret::new(secret), Variant::Sha1, &request).unwrap();
    (credential.username, credential.password.expose().to_owned())
}
