//! Opening in a child process first: on some damage sled panics, hangs or aborts, and a daemon must not.
//!
//! The child opens the database, checks it, and says in one line of standard output what it found.

use super::check;
use super::database::Database;
use super::disk::first_line;
use super::fence;
use super::folder::Folder;
use crossbeam_channel::bounded;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

const GOOD: &str = "good";
/// Longest line that is read.
const SAID_BYTES_MAX: u64 = 16 << 10;
/// Bytes of a database that may take a second more.
const BYTES_PER_S: u64 = 16 << 20;

/// How to run a program that calls [`probe`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The program.
    pub program: PathBuf,
    /// Its arguments; the folder of the state is added as the last one.
    pub arguments: Vec<OsString>,
    /// How long it may take for a small database; it gets more for a large one.
    pub time_limit: Duration,
}

impl Probe {
    /// The hidden verb of this very binary, also after its file was replaced.
    pub fn this_binary() -> Self {
        Self {
            program: "/proc/self/exe".into(),
            arguments: vec!["probe-store".into()],
            time_limit: Duration::from_secs(60),
        }
    }
}

/// What the child does: checks the store in this folder of state and prints one line. Nobody else may have the store open.
pub fn probe(path: &Path) {
    // Also a panic on one of sled's threads, after which its others may wait for ever.
    std::panic::set_hook(Box::new(|panic| {
        say(&format!("sled panicked: {}", first_line(&panic.to_string().replace('\n', " "))));
        std::process::exit(1);
    }));
    match check(&Folder::new(path)) {
        Ok(()) => say(GOOD),
        Err(sentence) => say(&sentence),
    }
}

fn check(folder: &Folder) -> Result<(), String> {
    let fenced =
        fence::read(&folder.fence()).map_err(|error| format!("has an unreadable fence file: {error}"))?;
    let database =
        Database::open(&folder.database()).map_err(|error| format!("cannot be opened: {error}"))?;
    let found = check::scan(&database).map_err(|error| format!("cannot be read: {error}"))?;
    found.judge(&fenced).map(drop)
}

fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _nobody_listens = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Runs the child. `Err` is the end of a sentence about the database.
pub(super) fn run(probe: &Probe, folder: &Folder, bytes: u64) -> Result<(), String> {
    let mut child = Command::new(&probe.program)
        .args(&probe.arguments)
        .arg(folder.root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot be checked: {} does not start: {error}", probe.program.display()))?;
    let time_limit = probe.time_limit + Duration::from_secs(bytes / BYTES_PER_S);
    let said = hear(&mut child, time_limit);
    // It has said what it had to say; what it does afterwards is of no interest.
    let killed = child.kill();
    let status = child.wait().map_err(|error| format!("cannot be checked: {error}"))?;
    match said.as_deref() {
        Some(GOOD) => Ok(()),
        Some("") => Err(format!("cannot be opened: the check ended with {status}")),
        Some(sentence) => Err(first_line_of(sentence)),
        None => {
            let seconds = time_limit.as_secs_f32();
            let end = if killed.is_ok() { "" } else { ", and could not be stopped" };
            Err(format!("cannot be opened: the check was not done after {seconds} s{end}"))
        }
    }
}

/// What the child said before it ended; `None` when it took too long.
fn hear(child: &mut Child, time_limit: Duration) -> Option<String> {
    let stdout = child.stdout.take()?;
    let (sender, said) = bounded(1);
    let reader = thread::Builder::new().name("storage-probe".into()).spawn(move || {
        let mut text = Vec::new();
        let _cut_short = stdout.take(SAID_BYTES_MAX).read_to_end(&mut text);
        let _gave_up = sender.send(String::from_utf8_lossy(&text).trim().to_owned());
    });
    reader.ok()?;
    said.recv_timeout(time_limit).ok()
}

fn first_line_of(said: &str) -> String {
    let line = said.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(2000).collect()
}
