//! The package on a machine that systemd runs, in its sandbox; and two builds of it. Minutes, hence `--full`.

use crate::deb::{Other, package, run};
use crate::guest::{self, ADDRESS, Guest};
use crate::skip::skip;
use crate::stalled;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const NEW: &str = "/srv/new.deb";

#[test]
fn the_unit_gets_ready_relays_and_reloads_in_its_sandbox() {
    let Some((guest, _)) = installed("whole::the_unit_gets_ready_relays_and_reloads_in_its_sandbox") else {
        return;
    };
    assert_eq!(property(&guest, "ActiveState"), "active");
    assert_eq!(property(&guest, "Type"), "notify");
    let_peers_in(&guest);
    guest.must("systemctl restart turnstone");
    relay_a_crowd(&guest);
    let before = property(&guest, "MainPID");
    guest.must("echo '# changed' >>/etc/turnstone/turnstone.toml; systemctl reload turnstone");
    assert_eq!(property(&guest, "MainPID"), before);
    guest.must("runuser -u turnstone -- turnstone status");
    guest.must("systemctl stop turnstone");
    assert_eq!(property(&guest, "Result"), "success");
    expect_nothing_denied(&guest);
}

#[test]
fn a_sandbox_that_forbids_pinning_is_told_in_one_line() {
    let Some((guest, _)) = installed("whole::a_sandbox_that_forbids_pinning_is_told_in_one_line") else {
        return;
    };
    guest.must("sed -i 's/^\\[relay\\]/&\\nworkers = 2\\npin_workers = true/' /etc/turnstone/turnstone.toml");
    guest.must("systemctl restart turnstone");
    let told =
        guest.must("journalctl -b -u turnstone --no-pager | grep -c 'relay.pin_workers is without effect'");
    assert_eq!(told.trim(), "1");
    guest.must("runuser -u turnstone -- turnstone status");
}

#[test]
fn a_stop_waits_for_sessions_and_ends_in_time() {
    let Some((guest, _)) = installed("whole::a_stop_waits_for_sessions_and_ends_in_time") else { return };
    let_peers_in(&guest);
    guest.must("sed -i 's/^\\[server\\]/&\\ndrain_timeout = \"3s\"/' /etc/turnstone/turnstone.toml");
    guest.must("systemctl restart turnstone");
    guest.must(&format!(
        "{} >/dev/null 2>&1 & {}",
        client("-n 100000"),
        until("turnstone status | grep -qE 'relay +[1-9]'")
    ));
    guest.must("systemctl stop turnstone");
    assert_eq!(
        (property(&guest, "Result").as_str(), property(&guest, "ActiveState").as_str()),
        ("success", "inactive")
    );
    let journal = guest.must("journalctl -b -u turnstone --no-pager");
    assert!(journal.contains("draining: no new allocations"), "{journal}");
    expect_nothing_denied(&guest);
}

#[test]
fn the_watchdog_restarts_a_daemon_with_a_stalled_shard() {
    let Some((guest, _)) = installed("whole::the_watchdog_restarts_a_daemon_with_a_stalled_shard") else {
        return;
    };
    let before = property(&guest, "MainPID");
    stalled::hold(&guest, before.parse().expect("a number"), "relay-0");
    guest.must(&until(&format!(
        "[ \"$(systemctl show -P MainPID turnstone)\" != {before} ] && systemctl is-active turnstone"
    )));
    assert_eq!(property(&guest, "NRestarts"), "1");
    let journal = guest.must("journalctl -b -u turnstone --no-pager");
    assert!(journal.contains("Watchdog timeout"), "{journal}");
}

#[test]
fn the_watchdog_leaves_a_daemon_with_a_stalled_store_alone() {
    let test = "whole::the_watchdog_leaves_a_daemon_with_a_stalled_store_alone";
    let Some((guest, _)) = installed(test) else { return };
    let before = property(&guest, "MainPID");
    stalled::hold(&guest, before.parse().expect("a number"), "storage");
    let stalled_us: u64 = property(&guest, "WatchdogTimestampMonotonic").parse().expect("a number");
    // It is said, and the watchdog is fed later than its time after the stall.
    guest.must(&until("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:9640/readyz | grep -qx 503"));
    let limit_us = stalled_us + 21_000_000;
    guest.must(&until(&format!(
        "[ \"$(systemctl show -P WatchdogTimestampMonotonic turnstone)\" -gt {limit_us} ]"
    )));
    assert_eq!((property(&guest, "MainPID"), property(&guest, "NRestarts").as_str()), (before, "0"));
}

#[test]
fn an_upgrade_restarts_into_a_good_config_only() {
    let Some((guest, new)) = installed("whole::an_upgrade_restarts_into_a_good_config_only") else { return };
    let upgrade = |version: &str| {
        let other = Other::of(&new, version, "# other\n");
        guest.put(&other.path, NEW);
        guest.must(&format!("dpkg --force-confdef --force-confold -i {NEW}"))
    };
    let first = property(&guest, "MainPID");
    guest.must(
        "cp /etc/turnstone/turnstone.toml /srv/good; echo 'nonsense = ' >>/etc/turnstone/turnstone.toml",
    );
    let said = upgrade("9.0.1");
    assert!(said.contains("was not restarted"), "{said}");
    assert_eq!(
        (property(&guest, "MainPID"), property(&guest, "ActiveState").as_str()),
        (first.clone(), "active")
    );
    guest.must("cp /srv/good /etc/turnstone/turnstone.toml");
    upgrade("9.0.2");
    assert_eq!(property(&guest, "ActiveState"), "active");
    assert_ne!(property(&guest, "MainPID"), first);
    guest.must("dpkg -r turnstone; ! pidof turnstone; ! systemctl is-active turnstone");
}

#[test]
fn port_443_by_socket_needs_no_capability() {
    let Some((guest, _)) = installed("whole::port_443_by_socket_needs_no_capability") else { return };
    guest.must(
        "printf '[[listen]]\\naddress = \"[::]:443\"\\ntransports = [\"tls\"]\\n' >>/etc/turnstone/turnstone.toml; \
         sed -i 's/^\\[tls\\]/&\\nmode = \"self-signed\"/' /etc/turnstone/turnstone.toml; \
         install -D -m 644 /usr/share/turnstone/systemd/socket-activation.conf \
             /etc/systemd/system/turnstone.service.d/socket-activation.conf; \
         systemctl daemon-reload; systemctl stop turnstone; systemctl enable --now turnstone.socket; \
         systemctl start turnstone",
    );
    guest.must("grep -qx 'CapEff:\t0000000000000000' /proc/$(systemctl show -P MainPID turnstone)/status");
    guest.must(&until(&format!("curl -sfk https://{ADDRESS}/healthz")));
    guest.must(&until("curl -sfk https://127.0.0.1/healthz"));
    expect_nothing_denied(&guest);
}

#[test]
fn two_builds_in_two_folders_give_the_same_bytes() {
    let Some(first) = package("whole::two_builds_in_two_folders_give_the_same_bytes") else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir_in(root.join("target")).expect("a folder");
    let git = |arguments: &[&str]| run(Command::new("git").current_dir(root).args(arguments));
    for file in git(&["ls-files", "--cached", "--others", "--exclude-standard"]).lines() {
        let to = folder.path().join(file);
        fs::create_dir_all(to.parent().expect("a file is in a folder")).expect("a folder");
        fs::copy(root.join(file), &to).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
    let epoch = git(&["log", "-1", "--format=%ct"]);
    let mut build = Command::new(folder.path().join("packaging/build"));
    let path = std::env::join_paths(
        [root.join("target/tools/bin")]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    build.env("PATH", path.expect("folders")).env("SOURCE_DATE_EPOCH", epoch.trim());
    // What cargo tells a test about itself is not for the cargo below.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_")) {
        if name != "CARGO_HOME" {
            build.env_remove(name);
        }
    }
    run(&mut build);
    let sum = |folder: &Path| {
        fs::read_to_string(folder.join("SHA256SUMS")).expect("packaging/build without --no-build")
    };
    let again = folder.path().join("target/package");
    assert_eq!(sum(&again), sum(first.parent().expect("a folder")));
    println!("twice: {}", sum(&again));
}

/// A booted guest in which the package was installed, and with it the daemon started.
fn installed(test: &str) -> Option<(Guest, PathBuf)> {
    let new = package(test)?;
    let booted = match guest::missing() {
        Some(why) => Err(why.to_owned()),
        None => Guest::booted(),
    };
    let guest = match booted {
        Ok(guest) => guest,
        Err(why) => {
            skip(test, &why);
            return None;
        }
    };
    guest.put(&new, NEW);
    let said = guest.must(&format!("dpkg -i {NEW}"));
    let active = guest.sh("systemctl is-active turnstone");
    let journal =
        || guest.must("systemctl status turnstone --no-pager; journalctl -b -u turnstone --no-pager");
    assert!(active.ok, "{said}{}", journal());
    Some((guest, new))
}

fn property(guest: &Guest, name: &str) -> String {
    guest.must(&format!("systemctl show -P {name} turnstone")).trim().to_owned()
}

/// A line of shell that waits for a condition, for a minute at most.
fn until(condition: &str) -> String {
    format!("n=0; until {condition}; do n=$((n + 1)); [ $n -lt 600 ] || exit 1; sleep 0.1; done")
}

/// The addresses of the guest are for documentation, and denied unless told otherwise.
fn let_peers_in(guest: &Guest) {
    guest.must(
        "sed -i 's/^\\[relay\\]/&\\nlegacy_channels = true/; s|^\\[relay.peers\\]|&\\nallow = [\"192.0.2.0/24\"]|' \
         /etc/turnstone/turnstone.toml",
    );
}

/// coturn's client, with the secret that the installation made.
fn client(options: &str) -> String {
    format!(
        "turnutils_peer -L {ADDRESS} -p 3500 >/dev/null 2>&1 & \
         turnutils_uclient -u carol -W \"$(cat /etc/turnstone/secret)\" -e {ADDRESS} -r 3500 -m 10 -l 300 {options} {ADDRESS}"
    )
}

fn relay_a_crowd(guest: &Guest) {
    let said = guest.must(&format!("({}); kill %1 2>/dev/null; true", client("-n 100")));
    assert!(said.contains("Total lost packets 0"), "{said}");
}

/// The sandbox is in nobody's way: no call was denied, and none missing.
fn expect_nothing_denied(guest: &Guest) {
    let denied = guest.must(
        "journalctl -b --no-pager | grep -iE 'seccomp|turnstone.*(EPERM|not permitted|os error 1\\))' || true",
    );
    assert_eq!(denied, "");
}
