//! The machine: who runs on which core, and what a reader has to know about it.

use crate::daemon::run_to_end;
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

/// Where servers run.
pub(crate) const SERVER_CORE: usize = 0;

/// Where the load comes from: the last core, which on a machine of one is the first.
pub(crate) fn load_core() -> usize {
    cores() - 1
}

/// Lets the calling thread, and what it starts from now on, run on one core only.
pub(crate) fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).expect("a core of this machine");
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub(crate) fn describe() -> Value {
    json!({
        "kernel": read("/proc/sys/kernel/osrelease"),
        "cpu": cpu_model(),
        "cores": read("/proc/cpuinfo").matches("processor\t").count(),
        "turnstone": env!("CARGO_PKG_VERSION"),
        "coturn": coturn_version(),
        "load_average": read("/proc/loadavg"),
        "command": std::env::args().skip(1).collect::<Vec<_>>().join(" "),
    })
}

pub(crate) fn print() {
    let facts = describe();
    for (name, value) in facts.as_object().expect("an object") {
        println!("{name}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
}

/// `None` when coturn is not installed.
pub(crate) fn coturn_version() -> Option<String> {
    Command::new("turnserver").arg("--version").output().ok()?;
    let ended = run_to_end(Command::new("turnserver").arg("--version"), Duration::from_secs(10));
    ended.stdout.lines().next().map(str::to_owned)
}

fn cpu_model() -> String {
    let text = read("/proc/cpuinfo");
    let line = text.lines().find_map(|line| line.strip_prefix("model name"));
    line.unwrap_or_default().trim_start_matches([' ', '\t', ':']).to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}
