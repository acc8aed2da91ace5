//! What root does for the daemon's user is done with the rights of that user.

use crate::daemon::{BINARY, Config, Daemon, Ended, Folder, PATIENCE, run_to_end};
use crate::skip::skip;
use crate::verbs::ask;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The user and the group of the daemon, which nothing else on this machine belongs to.
const OWNER: u32 = 54_321;

const NO_ROOT: &str = "only root can give files to another user";

/// A daemon that was stopped, whose state belongs to a user of its own, and a backup that only root can read.
struct Stopped {
    daemon: Daemon,
    folder: Folder,
}

impl Stopped {
    fn new() -> Self {
        let mut daemon = Daemon::start(&Config::default());
        let folder = Folder::new();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        assert_eq!(ask(&daemon, &["backup", folder.path().join("backup").to_str().unwrap()]).code, 0);
        daemon.signal(libc::SIGTERM);
        assert_eq!(daemon.exit_code(PATIENCE), 0);
        let stopped = Self { daemon, folder };
        if is_root() {
            let give = |path: &PathBuf| lchown(path, Some(OWNER), Some(OWNER)).unwrap();
            all_below(&stopped.state()).iter().for_each(give);
        }
        stopped
    }

    fn state(&self) -> PathBuf {
        self.daemon.config_path().with_file_name("state")
    }

    fn restore(&self, more: &[&str]) -> Ended {
        let mut command = Command::new(BINARY);
        command.arg("restore").arg(self.folder.path().join("backup")).args(more);
        run_to_end(command.arg("--config").arg(self.daemon.config_path()), PATIENCE)
    }
}

/// A path and everything below it.
fn all_below(path: &Path) -> Vec<PathBuf> {
    let mut all = vec![path.to_owned()];
    if fs::symlink_metadata(path).unwrap().is_dir() {
        all.extend(fs::read_dir(path).unwrap().flat_map(|entry| all_below(&entry.unwrap().path())));
    }
    all
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn what_root_restores_belongs_to_the_daemons_user() {
    if !is_root() {
        return skip("rights::what_root_restores_belongs_to_the_daemons_user", NO_ROOT);
    }
    let stopped = Stopped::new();
    fs::remove_file(stopped.state().join("store.lock")).unwrap();
    let ended = stopped.restore(&[]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:#?}");
    let all = all_below(&stopped.state());
    assert!(all.iter().any(|path| path.ends_with("store/database/db")), "{all:#?}");
    assert!(all.iter().any(|path| path.ends_with("store.lock")), "{all:#?}");
    for path in all {
        let meta = fs::symlink_metadata(&path).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (OWNER, OWNER), "{path:?}");
    }
}

#[test]
fn root_restores_with_no_more_rights_than_the_daemons_user_has() {
    if !is_root() {
        return skip("rights::root_restores_with_no_more_rights_than_the_daemons_user_has", NO_ROOT);
    }
    let stopped = Stopped::new();
    // As what a restore that was cut short left; this one is root's.
    let private = stopped.state().join("store.restored");
    fs::create_dir(&private).unwrap();
    fs::set_permissions(&private, Permissions::from_mode(0o700)).unwrap();
    fs::write(private.join("precious"), "roots").unwrap();
    let ended = stopped.restore(&[]);
    assert_eq!((ended.code, ended.stderr.lines().count()), (1, 1), "{ended:#?}");
    assert!(ended.stderr.contains("ermission denied"), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(private.join("precious")).unwrap(), "roots");
}

#[test]
fn a_link_in_the_place_of_the_lock_leads_nowhere() {
    let stopped = Stopped::new();
    let lock = stopped.state().join("store.lock");
    let target = stopped.folder.path().join("made-through-a-link");
    fs::remove_file(&lock).unwrap();
    symlink(&target, &lock).unwrap();
    for more in [&["--dry-run"][..], &[]] {
        let ended = stopped.restore(more);
        assert_eq!((ended.code, ended.stderr.lines().count()), (1, 1), "{ended:#?}");
        assert!(ended.stderr.contains("store.lock: is a link"), "{}", ended.stderr);
        assert!(fs::symlink_metadata(&target).is_err(), "{more:?}");
    }
}

/// A daemon whose secrets are in a file of this folder, which belongs to its user.
fn with_secrets(folder: &Folder, name: &str) -> Daemon {
    let file = folder.path().join(name);
    lchown(folder.path(), Some(OWNER), Some(OWNER)).unwrap();
    Daemon::start(&Config { auth: format!("secrets_file = {file:?}\n"), ..Config::default() })
}

#[test]
fn root_rotates_secrets_in_a_folder_of_the_daemons_user_as_that_user() {
    if !is_root() {
        return skip("rights::root_rotates_secrets_in_a_folder_of_the_daemons_user_as_that_user", NO_ROOT);
    }
    let folder = Folder::new();
    let file = folder.write("secret", "an-old-secret-of-at-least-32-characters\n");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    lchown(&file, Some(OWNER), Some(OWNER)).unwrap();
    let daemon = with_secrets(&folder, "secret");
    let ended = ask(&daemon, &["secret", "rotate"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:#?}");
    let meta = fs::symlink_metadata(&file).unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o777), (OWNER, OWNER, 0o600));
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 2);
}

#[test]
fn a_folder_of_the_daemons_user_further_up_leads_root_to_no_other_file() {
    if !is_root() {
        return skip("rights::a_folder_of_the_daemons_user_further_up_leads_root_to_no_other_file", NO_ROOT);
    }
    let (folder, private) = (Folder::new(), Folder::new());
    let file = private.write("secret", "a-line-of-root-with-at-least-32-characters\n");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let before = fs::read_to_string(&file).unwrap();
    symlink(private.path(), folder.path().join("keys")).unwrap();
    let daemon = with_secrets(&folder, "keys/secret");
    let ended = ask(&daemon, &["secret", "rotate"]);
    assert_eq!((ended.code, ended.stderr.lines().count()), (1, 1), "{ended:#?}");
    assert!(ended.stderr.contains("nothing was changed"), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(&file).unwrap(), before);

    // The same with the folder of the state.
    let stopped = Stopped::new();
    let (own, elsewhere) = (Folder::new(), Folder::new());
    lchown(own.path(), Some(OWNER), Some(OWNER)).unwrap();
    let state = own.path().join("state");
    symlink(elsewhere.path(), &state).unwrap();
    let config = own
        .write("turnstone.toml", &format!("[auth.users]\nbob = \"builder\"\n[storage]\npath = {state:?}\n"));
    let mut command = Command::new(BINARY);
    command.arg("restore").arg(stopped.folder.path().join("backup")).arg("--config").arg(config);
    let ended = run_to_end(&mut command, PATIENCE);
    assert_eq!(ended.code, 1, "{ended:#?}");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_link_of_the_daemons_user_leads_root_to_no_other_file() {
    if !is_root() {
        return skip("rights::a_link_of_the_daemons_user_leads_root_to_no_other_file", NO_ROOT);
    }
    let (folder, private) = (Folder::new(), Folder::new());
    let file = private.write("precious", "a-line-of-root-with-at-least-32-characters\n");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let before = fs::read_to_string(&file).unwrap();
    symlink(&file, folder.path().join("secret")).unwrap();
    let daemon = with_secrets(&folder, "secret");
    let ended = ask(&daemon, &["secret", "rotate"]);
    assert_eq!((ended.code, ended.stderr.lines().count()), (1, 1), "{ended:#?}");
    assert!(ended.stderr.contains("nothing was changed"), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    assert_eq!(fs::read_dir(private.path()).unwrap().count(), 1);
}
