//! Live sessions by verb: listed, shown, ended, revoked.

use crate::caller::{Caller, assert_relays, peer};
use crate::daemon::{Config, Daemon, PATIENCE, eventually};
use crate::verbs::{ask, ask_json};
use std::time::{Duration, SystemTime};
use turnstone::auth::{MintRequest, Secret, Variant, mint};
use turnstone::base::UnixTime;

#[test]
fn a_session_is_listed_with_what_it_relayed_shown_with_its_peers_and_ended_by_its_id() {
    let daemon = Daemon::start(&Config::default());
    let (mut alice, mut bob, peer) =
        (Caller::new(daemon.server), Caller::of(daemon.server, "bob", "bob-password"), peer());
    let relayed = alice.allocate();
    let other = bob.allocate();
    for caller in [&mut alice, &mut bob] {
        assert_eq!(caller.permit(peer.local_addr().unwrap()).code, 0);
    }
    assert_relays(&mut alice, relayed, &peer);
    let all = ask_json(&daemon, &["sessions"]);
    assert_eq!((&all["total"], &all["complete"]), (&2.into(), &true.into()), "{all}");
    let listed =
        ask_json(&daemon, &["sessions", "--subject", "alice", "--transport", "udp", "--sort", "bytes"]);
    let session = &listed["sessions"][0];
    assert_eq!(listed["total"], 1, "{listed}");
    assert_eq!(session["relayed"], relayed.to_string());
    assert!(session["bytes_from_client"].as_u64() > Some(0) && session["bytes_from_peer"].as_u64() > Some(0));
    for key in ["label", "call_id", "client", "age_s", "rate_from_client_bps", "rate_from_peer_bps"] {
        assert!(session.get(key).is_some(), "no {key} in {session}");
    }
    assert_eq!(ask_json(&daemon, &["sessions", "--peer", "127.0.0.1"])["total"], 2);
    assert_eq!(ask_json(&daemon, &["sessions", "--peer", "127.0.0.9"])["total"], 0);
    assert_eq!(ask_json(&daemon, &["sessions", "--limit", "1"])["sessions"].as_array().unwrap().len(), 1);

    let id = session["id"].as_str().unwrap();
    let shown = ask_json(&daemon, &["session", "show", id]);
    assert_eq!(shown["peers"], serde_json::json!(["127.0.0.1"]));
    assert!(ask(&daemon, &["session", "show", id]).stdout.contains(&relayed.to_string()));
    let page = ask(&daemon, &["sessions"]).stdout;
    assert!(page.contains(id) && page.lines().all(|line| line.chars().count() <= 80), "{page}");

    assert_eq!(ask(&daemon, &["session", "kill", id]).code, 0);
    daemon.await_allocations(1);
    let again = ask(&daemon, &["session", "kill", id]);
    assert_eq!((again.code, again.stderr.lines().count()), (1, 1), "{again:#?}");
    assert_eq!(alice.refresh(600).code, 437, "its allocation is gone");
    assert_relays(&mut bob, other, &peer);
    let wrong = ask(&daemon, &["sessions", "--transport", "sctp"]);
    assert!(wrong.code == 1 && wrong.stderr.contains("transport: "), "{wrong:#?}");
}

#[test]
fn a_revoked_subject_is_cut_off_and_another_relays_on() {
    let daemon = Daemon::start(&Config::default());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let request = MintRequest::new(UnixTime(now), Duration::from_secs(600), "carol/\u{7f}");
    let credential = mint(&Secret::new(crate::daemon::SECRET), Variant::Sha1, &request).unwrap();
    let mut carol = Caller::of(daemon.server, &credential.username, credential.password.expose());
    let (mut alice, peer) = (Caller::new(daemon.server), peer());
    carol.allocate();
    let relayed = alice.allocate();
    assert_eq!(alice.permit(peer.local_addr().unwrap()).code, 0);
    let answer = ask_json(&daemon, &["credentials", "revoke", "--subject", "carol/\u{7f}"]);
    assert_eq!(answer["target"]["subject"], "carol/\u{7f}");
    daemon.await_allocations(1);
    assert_relays(&mut alice, relayed, &peer);
    eventually(PATIENCE, "a newcomer is refused", || {
        let mut late = Caller::of(daemon.server, &credential.username, credential.password.expose());
        (late.try_allocate(&[]).code == 401).then_some(())
    });
    assert_eq!(ask(&daemon, &["credentials", "revoke"]).code, 2, "nobody is named");
    assert_eq!(ask(&daemon, &["credentials", "revoke", "--subject", "a", "--label", "b"]).code, 2);
}
