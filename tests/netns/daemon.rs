//! The real binary in a namespace.

use crate::poll;
use crate::space::Space;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where its metrics are, inside of its namespace.
const ADMIN: &str = "127.0.0.1:9640";

/// A daemon on port 3478 of every address, with the users of [`crate::client::USERS`]; ended when
/// dropped.
#[derive(Debug)]
pub(crate) struct Daemon<'a> {
    space: &'a Space,
    child: Child,
    folder: PathBuf,
}

impl<'a> Daemon<'a> {
    /// Starts in `space` with the relay addresses `relays`, and `more` keys behind those of `[relay]`
    /// and further sections; returns when it is ready.
    pub(crate) fn start(space: &'a Space, relays: &[&str], more: &str) -> Self {
        let folder = folder();
        let config = folder.join("turnstone.toml");
        std::fs::write(&config, text(&folder, relays, more)).expect("a folder of our own");
        let log = File::create(folder.join("log")).expect("a folder of our own");
        let mut command = Command::new(env!("CARGO_BIN_EXE_turnstone"));
        command.arg("run").arg("--config").arg(&config).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("one more descriptor")).stderr(log);
        let child = space.enter(|| command.spawn()).expect("cargo has built the binary");
        let mut daemon = Self { space, child, folder };
        daemon.await_ready();
        daemon
    }

    /// The sum of all series of `family` whose labels contain `label`.
    pub(crate) fn metric(&self, family: &str, label: &str) -> u64 {
        let text = self.get("/metrics").expect("the admin door answers");
        let series = text.lines().filter(|line| !line.starts_with('#'));
        let of_family = series.filter(|line| {
            line.strip_prefix(family).is_some_and(|rest| rest.starts_with([' ', '{'])) && line.contains(label)
        });
        of_family.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
    }

    /// The same, once it is what was `expected`: shards publish their counters a moment later. When
    /// patience is over, as it is.
    pub(crate) fn await_metric(&self, family: &str, label: &str, expected: impl Fn(u64) -> bool) -> u64 {
        let mut value = 0;
        poll::until(poll::PATIENCE, || {
            value = self.metric(family, label);
            expected(value)
        });
        value
    }

    /// Resident memory, KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).expect("our own child lives");
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel says it");
        line.trim_end_matches("kB").trim().parse().expect("a number")
    }

    fn await_ready(&mut self) {
        let ready = poll::until(poll::PATIENCE, || {
            let ended = self.child.try_wait().expect("our own child");
            assert!(ended.is_none(), "the daemon ended with {ended:?}");
            self.get("/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
        });
        assert!(ready, "not ready in time");
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = self.space.enter(|| TcpStream::connect(ADMIN)).ok()?;
        stream.set_read_timeout(Some(poll::PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {ADMIN}\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of the daemon:\n{}", self.log());
        }
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
        let _kept_if_it_fails = std::fs::remove_dir_all(&self.folder);
    }
}

fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("netns-{}-{count}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("cargo's folder for tests");
    folder
}

fn text(folder: &std::path::Path, relays: &[&str], more: &str) -> String {
    let users: String =
        crate::client::USERS.iter().map(|(name, password)| format!("{name} = \"{password}\"\n")).collect();
    let folder = folder.display();
    format!(
        "[server]\nrealm = \"turn\"\n\
         [[listen]]\naddress = \"0.0.0.0:3478\"\ntransports = [\"udp\"]\n\
         [[listen]]\naddress = \"[::]:3478\"\ntransports = [\"udp\"]\n\
         [auth.users]\n{users}\
         [http]\npublic = \"off\"\nadmin = \"{ADMIN}\"\n\
         [storage]\npath = \"{folder}/state\"\n\
         [admin]\nsocket = \"{folder}/admin.sock\"\n\
         [relay]\nworkers = 2\nports = \"50000-50999\"\naddresses = {relays:?}\n{more}\n"
    )
}
