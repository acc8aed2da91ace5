//! The deploy hook of certbot: run as certbot runs it, beside a daemon that serves what it puts there.

use crate::daemon::{BINARY, Config, Daemon, Ended, Folder, PATIENCE, eventually, run_to_end};
use crate::tls_client::certificate;
use crate::tool::{clean, is_root, tool};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// The group of the daemon, as the machine of this test has it.
const GID: u32 = 64_990;

fn hook() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/certbot-hook")
}

/// A folder as certbot has it: links to what was last issued.
fn lineage(folder: &Folder, round: u32) -> PathBuf {
    let live = folder.path().join("live");
    fs::create_dir_all(&live).unwrap();
    let (cert, key) = certificate("turn.example.org");
    for (name, text) in [("fullchain", cert), ("privkey", key)] {
        let archived = folder.write(&format!("{name}{round}.pem"), &text);
        let link = live.join(format!("{name}.pem"));
        let _first_round = fs::remove_file(&link);
        symlink(archived, link).unwrap();
    }
    live
}

/// A config whose daemon does not run.
fn without_daemon(folder: &Folder) -> PathBuf {
    let socket = folder.path().join("nobody.sock");
    folder.write("turnstone.toml", &format!("[admin]\nsocket = {socket:?}\n"))
}

/// Runs the hook for `lineage` in a mount namespace with an /etc of its own, in which there is the group `turnstone`
/// and, if given, the config of a daemon.
fn deploy(test: &str, lineage: &Path, to: &Path, config: Option<&Path>) -> Ended {
    let folder = Folder::new();
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    symlink(BINARY, bin.join("turnstone")).unwrap();
    let script = format!(
        "mount -t tmpfs none /mnt
        mkdir /mnt/upper /mnt/work
        mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /etc
        sed -i '/^turnstone:/d' /etc/group
        echo turnstone:x:{GID}: >>/etc/group
        mkdir -p /etc/turnstone
        rm -f /etc/turnstone/turnstone.toml
        if [ -n \"$3\" ]; then cp \"$3\" /etc/turnstone/turnstone.toml; fi
        PATH=\"$4:$PATH\"
        exec \"$1\" \"$2\""
    );
    let mut unshare = tool(test, "unshare", "util-linux").unwrap();
    unshare.args(["-m", "sh", "-ec", &script, "sh"]).arg(hook()).arg(to);
    unshare.arg(config.unwrap_or(Path::new(""))).arg(bin).env("RENEWED_LINEAGE", lineage);
    run_to_end(&mut unshare, PATIENCE)
}

fn mode_and_owner(path: &Path) -> (u32, u32, u32) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.mode(), metadata.uid(), metadata.gid())
}

#[test]
fn a_renewed_certificate_is_handed_over_for_the_group_and_served() {
    let test = "admin_files::certbot::a_renewed_certificate_is_handed_over_for_the_group_and_served";
    if !is_root(test) {
        return;
    }
    let folder = Folder::new();
    let to = folder.path().join("tls");
    // No daemon yet, as at the first run of certbot.
    let live = lineage(&folder, 1);
    let first = deploy(test, &live, &to, Some(&without_daemon(&folder)));
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert_eq!(mode_and_owner(&to), (0o040_750, 0, GID));

    let sections = format!(
        "[tls]\nmode = \"files\"\ncert = {0:?}\nkey = {1:?}\n",
        to.join("fullchain.pem"),
        to.join("key.pem")
    );
    let config = Config { transports: "\"udp\", \"tls\"", sections, ..Config::default() };
    // The hook asks by the default config, which lies elsewhere than this one.
    let socket = folder.path().join("admin.sock");
    let text = config.text().replace("\"admin.sock\"", &format!("{socket:?}"));
    let daemon = Daemon::start_text(&config, &text, 200);
    let live = lineage(&folder, 2);
    let second = deploy(test, &live, &to, Some(&daemon.config_path()));
    assert_eq!((second.code, &second.stderr[..], &second.stdout[..]), (0, "", ""));
    daemon.await_logged("config reloaded");
    eventually(PATIENCE, "the new certificate", || daemon.logged("new certificate in use").then_some(()));
    daemon.await_metric("turnstone_tls_certificate_reload_successful", |value| value == 1.0);

    for (from, name) in [("fullchain.pem", "fullchain.pem"), ("privkey.pem", "key.pem")] {
        assert_eq!(fs::read(live.join(from)).unwrap(), fs::read(to.join(name)).unwrap(), "{name}");
        assert_eq!(mode_and_owner(&to.join(name)), (0o100_640, 0, GID), "{name}");
    }
    assert_eq!(fs::read_dir(&to).unwrap().count(), 2, "nothing else is left behind");
}

#[test]
fn half_a_renewal_changes_nothing_and_is_told() {
    let test = "admin_files::certbot::half_a_renewal_changes_nothing_and_is_told";
    if !is_root(test) {
        return;
    }
    let folder = Folder::new();
    let to = folder.path().join("tls");
    let config = without_daemon(&folder);
    assert_eq!(deploy(test, &lineage(&folder, 1), &to, Some(&config)).code, 0);
    let before = fs::read(to.join("key.pem")).unwrap();
    let live = lineage(&folder, 2);
    fs::remove_file(live.join("fullchain.pem")).unwrap();
    let ended = deploy(test, &live, &to, Some(&config));
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("fullchain.pem is missing or empty"), "{}", ended.stderr);
    assert_eq!(fs::read(to.join("key.pem")).unwrap(), before);
}

#[test]
fn a_reload_that_fails_makes_the_hook_fail() {
    let test = "admin_files::certbot::a_reload_that_fails_makes_the_hook_fail";
    if !is_root(test) {
        return;
    }
    let folder = Folder::new();
    // There is no config that would say where the daemon is.
    let ended = deploy(test, &lineage(&folder, 1), &folder.path().join("tls"), None);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("turnstone reload failed with 2"), "{}", ended.stderr);
}

#[test]
fn shellcheck_finds_nothing_in_the_hook() {
    let test = "admin_files::certbot::shellcheck_finds_nothing_in_the_hook";
    let Some(mut shellcheck) = tool(test, "shellcheck", "shellcheck") else { return };
    clean(shellcheck.args(["-s", "sh"]).arg(hook()));
}
