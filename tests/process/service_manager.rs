//! What the service manager hears, and what it takes to make it start the daemon anew.

use crate::caller::{Caller, assert_relays, peer};
use crate::daemon::{BINARY, Config, Daemon, Folder, PATIENCE, command, eventually, run_to_end};
use crate::skip::skip;
use std::cell::RefCell;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

/// The service manager kills what feeds it no more often.
const WATCHDOG: Duration = Duration::from_secs(4);

/// The store is told as stalled after ten seconds.
const STALLED_WITHIN: Duration = Duration::from_secs(60);

/// A service manager that listens.
struct Manager {
    socket: UnixDatagram,
    folder: Folder,
    /// What it shows.
    status: RefCell<String>,
}

impl Manager {
    fn new() -> Self {
        let folder = Folder::new();
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        Self { socket, folder, status: RefCell::default() }
    }

    /// A daemon that it starts.
    #[track_caller]
    fn start(&self, config: &Config) -> Daemon {
        let mut command = command();
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        Daemon::start_as(command, config, &config.text(), 200)
    }

    /// The next that it hears within `patience`.
    fn heard(&self, patience: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(patience)).expect("not zero");
        let mut text = [0; 4096];
        let length = self.socket.recv(&mut text).ok()?;
        let text = String::from_utf8_lossy(&text[..length]).into_owned();
        if let Some(status) = text.lines().find_map(|line| line.strip_prefix("STATUS=")) {
            *self.status.borrow_mut() = status.to_owned();
        }
        Some(text)
    }

    /// Waits for what begins so; what comes before it is passed over.
    #[track_caller]
    fn await_words(&self, begin: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut others = Vec::new();
        while Instant::now() < deadline {
            match self.heard(PATIENCE) {
                Some(text) if text.starts_with(begin) => return text,
                other => others.extend(other),
            }
        }
        panic!("never heard: {begin}; but {others:?}");
    }

    /// Whether the watchdog is fed once more before it would bite.
    fn is_fed(&self) -> bool {
        let bites = Instant::now() + WATCHDOG;
        loop {
            let left = bites.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            if self.heard(left).is_some_and(|text| text == "WATCHDOG=1\n") {
                return true;
            }
        }
    }

    /// Waits until it bites.
    #[track_caller]
    fn await_bite(&self) {
        eventually(PATIENCE, "the watchdog starves", || (!self.is_fed()).then_some(()));
    }

    #[track_caller]
    fn assert_fed(&self, times: usize) {
        assert!((0..times).all(|_| self.is_fed()), "the watchdog starved");
    }
}

/// A thread that stands still, by ptrace(2), until this is dropped; by the very thread that stopped it.
struct Frozen(libc::pid_t);

impl Frozen {
    /// Stops the thread of this name. `None`: the system does not let us.
    #[track_caller]
    fn freeze(daemon: &Daemon, name: &str) -> Option<Self> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("it runs");
        let has_name = |task: &std::path::PathBuf| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
        };
        let task = tasks.filter_map(|task| Some(task.ok()?.path())).find(has_name);
        let task = task.unwrap_or_else(|| panic!("no thread {name}"));
        let id = task.file_name().and_then(|id| id.to_str()?.parse().ok()).expect("a number");
        if !ptrace(libc::PTRACE_SEIZE, id) {
            return None;
        }
        assert!(ptrace(libc::PTRACE_INTERRUPT, id), "{}", std::io::Error::last_os_error());
        let mut status = 0;
        // SAFETY: `status` outlives the call, and nobody else waits for a thread that this one traces.
        let stopped = unsafe { libc::waitpid(id, &mut status, libc::__WALL) };
        assert!(stopped == id && libc::WIFSTOPPED(status), "{name} did not stop: {status:#x}");
        Some(Self(id))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // Refused only when the process has ended.
        let _goes_on = ptrace(libc::PTRACE_DETACH, self.0);
    }
}

fn ptrace(request: libc::c_uint, thread: libc::pid_t) -> bool {
    let nothing = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: these requests take no memory; the thread is one of a child of ours that was not reaped.
    unsafe { libc::ptrace(request, thread, nothing, nothing) == 0 }
}

#[test]
fn the_service_manager_hears_of_start_reloads_drain_and_stop() {
    let manager = Manager::new();
    let mut daemon = manager.start(&Config::default().server("drain_timeout = \"60s\""));
    assert_eq!(manager.await_words("READY=1"), "READY=1\nSTATUS=Serving 0 sessions\n");
    let reloads: [&dyn Fn(); 2] = [&|| daemon.signal(libc::SIGHUP), &|| {
        let mut reload = Command::new(BINARY);
        reload.args(["reload", "--config"]).arg(daemon.config_path());
        assert_eq!(run_to_end(&mut reload, PATIENCE).code, 0);
    }];
    for reload in reloads {
        reload();
        let reloading = manager.await_words("RELOADING=1");
        let since = reloading.lines().nth(1).and_then(|line| line.strip_prefix("MONOTONIC_USEC="));
        assert!(since.is_some_and(|since| since.parse::<u64>().is_ok()), "{reloading}");
        manager.await_words("READY=1");
    }
    daemon.write_config("nonsense");
    daemon.signal(libc::SIGHUP);
    manager.await_words("RELOADING=1");
    assert!(manager.await_words("READY=1").contains("the last reload failed"));

    let mut caller = Caller::new(daemon.server);
    caller.allocate();
    manager.await_words("STATUS=Serving 1 session");
    daemon.signal(libc::SIGTERM);
    assert!(manager.await_words("STOPPING=1").contains("STATUS=Draining: 1 session left, 60 s at most"));
    assert_eq!(caller.refresh(0).code, 0);
    manager.await_words("STOPPING=1\nSTATUS=Stopping");
    assert_eq!(daemon.exit_code(PATIENCE), 0);
}

#[test]
fn the_watchdog_starves_while_a_relay_thread_stands_still_and_is_fed_again_when_it_goes_on() {
    let manager = Manager::new();
    let daemon = manager.start(&Config::default().relay("workers = 2"));
    for thread in ["relay-1", "stream-2"] {
        manager.assert_fed(3);
        let Some(frozen) = Frozen::freeze(&daemon, thread) else {
            return skip(module_path!(), "ptrace is not allowed here");
        };
        manager.await_bite();
        drop(frozen);
        eventually(PATIENCE, "it is fed", || manager.is_fed().then_some(()));
    }
}

#[test]
fn storage_and_signaling_that_stand_still_are_told_while_the_watchdog_is_fed_and_relaying_goes_on() {
    let manager = Manager::new();
    let daemon = manager.start(&Config::default());
    let (mut caller, peer) = (Caller::new(daemon.server), peer());
    let relayed = caller.allocate();
    assert_eq!(caller.permit(peer.local_addr().unwrap()).code, 0);
    let frozen = ["storage", "signaling"].map(|thread| Frozen::freeze(&daemon, thread));
    if frozen.iter().any(Option::is_none) {
        return skip(module_path!(), "ptrace is not allowed here");
    }
    let told = ["storage makes no progress", "signaling_stalled"];
    let started = Instant::now();
    loop {
        assert!(manager.is_fed(), "the watchdog starved");
        let (status, body) = daemon.get("/readyz");
        if status == 503 && told.iter().all(|words| body.contains(words)) {
            break;
        }
        assert!(started.elapsed() < STALLED_WITHIN, "{body}");
    }
    daemon.await_logged("the storage makes no progress");
    assert_relays(&mut caller, relayed, &peer);
    let shows = |words| manager.status.borrow().contains(words);
    let shown = || manager.is_fed() && shows("Serving 1 session; signaling makes no") && shows(told[0]);
    eventually(PATIENCE, "the status says so", || shown().then_some(()));
    manager.assert_fed(3);
    drop(frozen);
    eventually(PATIENCE, "it is ready", || (daemon.get("/readyz").0 == 200).then_some(()));
}
