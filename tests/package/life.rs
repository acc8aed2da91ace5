//! A package's life on a machine without a running service manager: what dpkg and our scripts leave behind.

use crate::deb::{Other, package};
use crate::guest::{self, Guest};
use crate::skip::skip;
use std::path::{Path, PathBuf};

/// Where the package lies in a guest.
const NEW: &str = "/srv/new.deb";
const OLD: &str = "/srv/old.deb";

#[test]
fn a_first_installation_makes_user_keys_and_folders_and_nothing_for_others() {
    let Some((guest, _)) =
        guest("life::a_first_installation_makes_user_keys_and_folders_and_nothing_for_others")
    else {
        return;
    };
    let said = guest.must(&format!("dpkg -i {NEW}"));
    let modes = guest.must(
        "cd /; stat -c '%U:%G %a %n' etc/turnstone etc/turnstone/* var/lib/turnstone run/turnstone usr/bin/turnstone",
    );
    let wanted = "root:root 755 etc/turnstone\n\
                  root:turnstone 640 etc/turnstone/admin-key\n\
                  root:turnstone 640 etc/turnstone/secret\n\
                  root:turnstone 640 etc/turnstone/turnstone.toml\n\
                  turnstone:turnstone 700 var/lib/turnstone\n\
                  turnstone:turnstone 750 run/turnstone\n\
                  root:root 755 usr/bin/turnstone\n";
    assert_eq!(modes, wanted);
    let user = guest.must("getent passwd turnstone; id -u turnstone");
    assert!(user.contains(":/usr/sbin/nologin\n"), "{user}");
    guest.must("[ \"$(id -u turnstone)\" -lt 1000 ]");
    guest.must("grep -qxE '[A-Za-z0-9_-]{64}' /etc/turnstone/secret");
    guest.must("grep -qxE 'tsk_[A-Za-z0-9_-]{43}' /etc/turnstone/admin-key");
    guest.must("runuser -u turnstone -- turnstone check-config");
    guest.must("systemctl is-enabled turnstone.service");
    guest.must("! systemctl is-enabled turnstone.socket");
    // What comes next is said in two lines, and nothing else is asked or told.
    assert_eq!(ours(&said).len(), 2, "{said}");
}

#[test]
fn systemd_finds_nothing_wrong_with_the_installed_units() {
    let test = "life::systemd_finds_nothing_wrong_with_the_installed_units";
    let Some((guest, _)) = guest(test) else { return };
    guest.must(&format!("dpkg -i {NEW}"));
    let units = "/usr/lib/systemd/system/turnstone.service /usr/lib/systemd/system/turnstone.socket";
    let said = guest.must(&format!("SYSTEMD_LOG_LEVEL=warning systemd-analyze verify {units}"));
    assert!(!said.contains("turnstone"), "{said}");
    guest.must("d=/etc/systemd/system/turnstone.service.d; \
                install -D -m 644 /usr/share/turnstone/systemd/socket-activation.conf $d/socket-activation.conf");
    let said = guest.must(&format!("SYSTEMD_LOG_LEVEL=warning systemd-analyze verify {units}"));
    assert!(!said.contains("turnstone"), "{said}");
}

#[test]
fn an_upgrade_keeps_a_changed_config_with_its_mode_and_all_keys_and_state() {
    let test = "life::an_upgrade_keeps_a_changed_config_with_its_mode_and_all_keys_and_state";
    let Some((guest, new)) = guest(test) else { return };
    install_older(&guest, &new);
    guest.must("echo '# ours' >>/etc/turnstone/turnstone.toml; chmod 600 /etc/turnstone/turnstone.toml");
    guest.must("chown turnstone: /etc/turnstone/turnstone.toml; touch /var/lib/turnstone/state");
    let keys = "cat /etc/turnstone/secret /etc/turnstone/admin-key";
    let before = guest.must(keys);
    // As unattended upgrades do it: a changed file stays.
    guest.must(&format!("dpkg --force-confdef --force-confold -i {NEW}"));
    guest.must(
        "grep -qx '# ours' /etc/turnstone/turnstone.toml && test -e /etc/turnstone/turnstone.toml.dpkg-dist",
    );
    assert_eq!(guest.must("stat -c '%U %a' /etc/turnstone/turnstone.toml"), "turnstone 600\n");
    assert_eq!(guest.must(keys), before);
    guest.must("test -e /var/lib/turnstone/state");
}

#[test]
fn an_upgrade_from_an_older_version_brings_the_new_config_where_the_old_was_as_delivered() {
    let test = "life::an_upgrade_from_an_older_version_brings_the_new_config_where_the_old_was_as_delivered";
    let Some((guest, new)) = guest(test) else { return };
    let version = install_older(&guest, &new);
    // Whoever has no use for a key takes it away, and it stays away.
    guest.must("rm /etc/turnstone/admin-key");
    guest.must(&format!("dpkg -i {NEW}"));
    assert!(guest.must("dpkg-query -W -f '${Version}' turnstone") != version);
    guest.must("! grep -q 'delivered before' /etc/turnstone/turnstone.toml");
    assert_eq!(guest.must("stat -c '%G %a' /etc/turnstone/turnstone.toml"), "turnstone 640\n");
    guest.must("! test -e /etc/turnstone/admin-key && test -e /etc/turnstone/secret");
}

#[test]
fn an_upgrade_over_a_broken_config_succeeds_and_says_so_in_one_line() {
    let test = "life::an_upgrade_over_a_broken_config_succeeds_and_says_so_in_one_line";
    let Some((guest, new)) = guest(test) else { return };
    install_older(&guest, &new);
    guest.must("echo 'nonsense = ' >>/etc/turnstone/turnstone.toml");
    let said = guest.must(&format!("dpkg --force-confdef --force-confold -i {NEW}"));
    let lines = ours(&said);
    assert!(
        matches!(lines[..], [line] if line.contains("was not restarted") && line.contains("check-config")),
        "{said}"
    );
    assert_eq!(guest.must("dpkg-query -W -f '${db:Status-Abbrev}' turnstone"), "ii ");
}

#[test]
fn a_removal_keeps_config_keys_and_state_for_the_next_installation() {
    let test = "life::a_removal_keeps_config_keys_and_state_for_the_next_installation";
    let Some((guest, _)) = guest(test) else { return };
    guest.must(&format!("dpkg -i {NEW}"));
    guest.must("echo '# ours' >>/etc/turnstone/turnstone.toml; touch /var/lib/turnstone/state");
    let kept = "sha256sum /etc/turnstone/*; ls -lR /var/lib/turnstone; id turnstone";
    let before = guest.must(kept);
    guest.must("dpkg -r turnstone");
    assert_eq!(guest.must(kept), before);
    guest.must("! test -e /usr/bin/turnstone && ! test -e /usr/lib/systemd/system/turnstone.service");
    guest.must(&format!("dpkg -i {NEW}"));
    assert_eq!(guest.must(kept), before);
    guest.must("systemctl is-enabled turnstone.service");
}

#[test]
fn a_purge_takes_keys_and_state_and_leaves_the_user_and_what_is_not_ours() {
    let test = "life::a_purge_takes_keys_and_state_and_leaves_the_user_and_what_is_not_ours";
    let Some((guest, _)) = guest(test) else { return };
    guest.must(&format!("dpkg -i {NEW}"));
    guest.must("touch /var/lib/turnstone/state /etc/turnstone/of-the-admin");
    guest.must("dpkg -P turnstone");
    assert_eq!(guest.must("ls -A /etc/turnstone"), "of-the-admin\n");
    guest.must("! test -e /var/lib/turnstone && ! test -e /run/turnstone");
    guest.must("id turnstone");
    let left = guest.must("find /etc /var/lib/systemd -name '*turnstone*' -not -path '/etc/turnstone*'");
    assert_eq!(left, "");
    // And again from the beginning, and with nothing left in the folder.
    guest.must("rm /etc/turnstone/of-the-admin");
    guest.must(&format!("dpkg -i {NEW} && test -s /etc/turnstone/secret && dpkg -P turnstone"));
    guest.must("! test -e /etc/turnstone");
}

#[test]
fn the_installed_daemon_is_small_when_idle() {
    let Some((guest, _)) = guest("life::the_installed_daemon_is_small_when_idle") else { return };
    guest.must(&format!("dpkg -i {NEW}"));
    // As the unit starts it, without the sandbox, which needs systemd.
    guest.must(
        "runuser -u turnstone -- turnstone run >/tmp/log 2>&1 & \
                for n in $(seq 150); do turnstone status >/tmp/status 2>&1 && break; sleep 0.1; done; \
                cat /tmp/log /tmp/status; turnstone status >/dev/null",
    );
    let rss = guest.must("awk '/^VmRSS/ { print $2 }' /proc/$(pidof -s turnstone)/status");
    let rss_kib: u64 = rss.trim().parse().expect("a number");
    println!("idle memory: {:.1} MB (goal: 20)", rss_kib as f64 * 1024.0 / 1e6);
    // The goal and a quarter: what the pages of the binary take depends on the kernel.
    assert!(rss_kib * 1024 <= 25_000_000);
}

/// A guest with the package in it, and the package.
fn guest(test: &str) -> Option<(Guest, PathBuf)> {
    let new = package(test)?;
    if let Some(why) = guest::missing() {
        skip(test, why);
        return None;
    }
    let guest = Guest::plain();
    guest.put(&new, NEW);
    Some((guest, new))
}

/// Installs the package under an older number, with another config; returns that number.
fn install_older(guest: &Guest, new: &Path) -> &'static str {
    const VERSION: &str = "0.0.1";
    let other = Other::of(new, VERSION, "# delivered before\n");
    guest.put(&other.path, OLD);
    guest.must(&format!("dpkg -i {OLD}"));
    assert_eq!(guest.must("dpkg-query -W -f '${Version}' turnstone"), VERSION);
    guest.must("grep -q 'delivered before' /etc/turnstone/turnstone.toml");
    VERSION
}

/// Lines of our own scripts.
fn ours(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.starts_with("turnstone: ")).collect()
}
