//! Programs of other packages.

use crate::daemon::{Ended, run_to_end};
use crate::skip::skip;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How long a program may take; most take a moment, `promtool test rules` goes through days of a clock of its own.
const BOUND: Duration = Duration::from_secs(120);

/// A command with nothing of this session but the path to programs; `None`, and said, where there is no such program.
pub(crate) fn tool(test: &str, name: &str, package: &str) -> Option<Command> {
    let folders = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    if !folders.split(':').any(|folder| Path::new(folder).join(name).is_file()) {
        skip(test, &format!("no {name}: apt-get install {package}"));
        return None;
    }
    let mut command = Command::new(name);
    command.env_clear().env("PATH", folders).env("LC_ALL", "C.UTF-8").env("HOME", "/nonexistent");
    Some(command)
}

/// Whether this process may do everything on this machine; says so if not.
pub(crate) fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip(test, "not root");
    }
    root
}

/// Runs a command that has nothing to complain about.
#[track_caller]
pub(crate) fn clean(command: &mut Command) -> Ended {
    let ended = run_to_end(command, BOUND);
    assert_eq!((ended.code, &ended.stderr[..]), (0, ""), "{command:?} {}", ended.stdout);
    ended
}

/// A file of this repository.
pub(crate) fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
