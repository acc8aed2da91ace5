//! A password that is asked for on a terminal.

use crate::daemon::{BINARY, Config, Daemon, PATIENCE, eventually, wait};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use std::fs::{File, OpenOptions};
use std::process::{Command, Stdio};

#[test]
fn a_password_prompt_that_is_interrupted_leaves_a_terminal_that_shows_what_is_typed() {
    let daemon = Daemon::start(&Config::default());
    let pty = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&pty).unwrap();
    unlockpt(&pty).unwrap();
    let name = ptsname(&pty, Vec::new()).unwrap().into_string().unwrap();
    let open = || OpenOptions::new().read(true).write(true).open(&name).unwrap();
    let terminal: File = open();
    let shows = || tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ECHO);
    assert!(shows());
    let mut prompt = Command::new(BINARY)
        .args(["user", "add", "carol", "--config"])
        .arg(daemon.config_path())
        .stdin(Stdio::from(open()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually(PATIENCE, "what is typed is hidden", || (!shows()).then_some(()));
    kill_process(Pid::from_child(&prompt), Signal::INT).unwrap();
    let status = wait(&mut prompt, PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(1));
    assert!(shows());
}
