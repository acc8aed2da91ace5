//! `turnstone top` on a real terminal.

use crate::caller::Caller;
use crate::daemon::{BINARY, Config, Daemon, PATIENCE, eventually, wait};
use crate::verbs::ask;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

#[test]
fn top_shows_sessions_on_a_terminal_kills_after_a_yes_and_ends_by_q() {
    let daemon = Daemon::start(&Config::default());
    let mut caller = Caller::new(daemon.server);
    caller.allocate();
    let pty = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&pty).unwrap();
    unlockpt(&pty).unwrap();
    tcsetwinsize(&pty, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let name = ptsname(&pty, Vec::new()).unwrap().into_string().unwrap();
    let end = || Stdio::from(OpenOptions::new().read(true).write(true).open(&name).unwrap());
    let mut top = Command::new(BINARY)
        .arg("top")
        .arg("--config")
        .arg(daemon.config_path())
        .env("TERM", "xterm")
        .stdin(end())
        .stdout(end())
        .stderr(end())
        .spawn()
        .unwrap();
    let mut keys = File::from(pty);
    let screen = Arc::<Mutex<Vec<u8>>>::default();
    let (sink, mut output) = (Arc::clone(&screen), keys.try_clone().unwrap());
    let reader = std::thread::spawn(move || {
        let mut piece = [0; 4096];
        // It fails once the other end is closed.
        while let Ok(count @ 1..) = output.read(&mut piece) {
            sink.lock().unwrap().extend_from_slice(&piece[..count]);
        }
    });
    let shows = |words: &str| String::from_utf8_lossy(&screen.lock().unwrap()).contains(words).then_some(());
    eventually(PATIENCE, "the session is on the screen", || shows("alice"));
    keys.write_all(b"k").unwrap();
    eventually(PATIENCE, "it asks first", || shows("end session"));
    keys.write_all(b"y").unwrap();
    daemon.await_allocations(0);
    keys.write_all(b"q").unwrap();
    let status = wait(&mut top, PATIENCE).expect("q ends it");
    assert_eq!(status.code(), Some(0));
    reader.join().unwrap();
    let all = String::from_utf8_lossy(&screen.lock().unwrap()).into_owned();
    assert!(
        all.contains("\u{1b}[?1049h") && all.contains("\u{1b}[?1049l"),
        "the screen before is back: {all:?}"
    );
}

#[test]
fn top_without_a_terminal_says_what_to_use() {
    let daemon = Daemon::start(&Config::default());
    let ended = ask(&daemon, &["top"]);
    assert_eq!((ended.code, ended.stderr.lines().count()), (1, 1), "{ended:#?}");
    assert!(ended.stderr.contains("sessions"), "{}", ended.stderr);
}
