//! A Node script that drives Chromium, and asks its test for what a page cannot do.

use crate::daemon::{Lines, send_signal, wait};
use crate::skip::skip;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser");

/// How long a whole script may take, on a machine that does other things besides.
const SCRIPT_MAX: Duration = Duration::from_secs(280);

/// Where Chromium is, or a loud word that a browser or its driver is not installed.
pub(crate) fn chromium(test: &str) -> Option<PathBuf> {
    let has_node = Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !has_node {
        skip(test, "no `node`");
        return None;
    }
    if !Path::new(FOLDER).join("node_modules/playwright-core").exists() {
        skip(test, "no node_modules: run `npm ci` in tests/browser");
        return None;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|folder| folder.join("chromium")).find(|file| file.is_file());
    if found.is_none() {
        skip(test, "no `chromium`: apt-get install chromium");
    }
    found
}

/// Runs `name` to its end with these facts. `help` does what it asks for.
///
/// # Panics
/// When the script fails, or takes too long.
#[track_caller]
pub(crate) fn run(name: &str, chromium: &Path, facts: Value, mut help: impl FnMut(&str, &Value) -> Value) {
    // Two of them would be slow, and each suspect the other's slowness.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-logs");
    std::fs::create_dir_all(&pictures).unwrap();
    let mut facts = facts;
    facts["chromium"] = json!(chromium);
    facts["pictures"] = json!(pictures);
    let child = Command::new("node")
        .arg(name)
        .current_dir(FOLDER)
        .env("TURNSTONE_FACTS", facts.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut script = Script(child.expect("node starts"));
    let said = Lines::of(script.0.stderr.take().unwrap());
    let mut input = script.0.stdin.take().unwrap();
    let output = BufReader::new(script.0.stdout.take().unwrap());
    let (sender, asked) = sync_channel(16);
    std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let started = Instant::now();
    // Ends with the script's standard output, or with its time.
    while let Ok(line) = asked.recv_timeout(SCRIPT_MAX.saturating_sub(started.elapsed())) {
        let Ok(order) = serde_json::from_str::<Value>(&line) else { continue };
        let answer = help(order["ask"].as_str().unwrap_or_default(), &order);
        writeln!(input, "{answer}").expect("the script listens");
    }
    let status = wait(&mut script.0, Duration::from_secs(5));
    let said = said.so_far().join("\n");
    println!("{said}");
    let ended = status.unwrap_or_else(|| panic!("{name} did not end within {SCRIPT_MAX:?}:\n{said}"));
    assert!(ended.success(), "{name}: {ended}:\n{said}");
}

/// Ends with the value. A script that is asked to end closes its browser first.
struct Script(Child);

impl Drop for Script {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            send_signal(&self.0, libc::SIGTERM);
            if wait(&mut self.0, Duration::from_secs(5)).is_none() {
                let _ended_already = self.0.kill();
                let _reaped = self.0.wait();
            }
        }
    }
}
