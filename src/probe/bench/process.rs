//! What a process has used, as the kernel counts it.

use super::BenchFailed;
use rustix::param::{clock_ticks_per_second, page_size};
use serde::Serialize;
use std::fs;
use std::path::Path;

/// A process of this machine that is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    pid: u32,
}

/// Use of a process since its start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// On a core, in user space and in the kernel, all threads. What the kernel does to deliver a datagram on this
    /// machine it does inside of the send.
    cpu_ns: u64,
    switches: Switches,
}

/// Times that threads left their core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Switches {
    /// Because there was nothing to do.
    pub voluntary: u64,
    /// Because something else was to be done there.
    pub involuntary: u64,
}

/// What a process used during one round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ProcessFigures {
    /// Seconds on a core, user space and kernel.
    pub cpu_seconds: f64,
    /// Memory of the process at the end of the round, with pages of files.
    pub rss_bytes: u64,
    /// Times that its threads left their core.
    pub switches: Switches,
}

impl Process {
    /// # Errors
    /// Nobody has this number, or its counters are not ours to read.
    pub(super) fn of(pid: u32) -> Result<Self, BenchFailed> {
        let process = Self { pid };
        process.usage().map(|_| process)
    }

    pub(super) fn usage(self) -> Result<Usage, BenchFailed> {
        let mut usage = Usage { cpu_ns: 0, switches: Switches::default() };
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).map_err(|error| self.gone(&error))?;
        for thread in threads.flatten() {
            // A thread may end while we read; then it counts no more.
            usage.add(&thread.path());
        }
        if usage.cpu_ns == 0 {
            usage.cpu_ns = self.ticks_ns()?;
        }
        Ok(usage)
    }

    /// Memory in bytes, with pages of files.
    pub(super) fn rss_bytes(self) -> Result<u64, BenchFailed> {
        let text = self.read("statm")?;
        Ok(number(text.split_whitespace().nth(1)) * page_size() as u64)
    }

    /// What it used between two moments.
    pub(super) fn figures(self, before: &Usage, after: &Usage) -> Result<ProcessFigures, BenchFailed> {
        let cpu_ns = after.cpu_ns.saturating_sub(before.cpu_ns);
        let (from, to) = (before.switches, after.switches);
        Ok(ProcessFigures {
            cpu_seconds: cpu_ns as f64 / 1e9,
            rss_bytes: self.rss_bytes()?,
            switches: Switches {
                voluntary: to.voluntary.saturating_sub(from.voluntary),
                involuntary: to.involuntary.saturating_sub(from.involuntary),
            },
        })
    }

    /// Time on a core by the clock ticks that every kernel counts, where it does not count nanoseconds.
    fn ticks_ns(self) -> Result<u64, BenchFailed> {
        let stat = self.read("stat")?;
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u64 = after_name.split_whitespace().skip(11).take(2).map(|word| number(Some(word))).sum();
        Ok(ticks * (1_000_000_000 / clock_ticks_per_second()))
    }

    fn read(self, file: &str) -> Result<String, BenchFailed> {
        fs::read_to_string(format!("/proc/{}/{file}", self.pid)).map_err(|error| self.gone(&error))
    }

    fn gone(self, error: &std::io::Error) -> BenchFailed {
        BenchFailed::Other(format!("pid={}: cannot read what the process uses: {error}", self.pid))
    }
}

impl Usage {
    fn add(&mut self, thread: &Path) {
        let read = |file: &str| fs::read_to_string(thread.join(file)).unwrap_or_default();
        self.cpu_ns += number(read("schedstat").split_whitespace().next());
        let status = read("status");
        let line = |name: &str| number(status.lines().find_map(|line| line.strip_prefix(name)));
        self.switches.voluntary += line("voluntary_ctxt_switches:");
        self.switches.involuntary += line("nonvoluntary_ctxt_switches:");
    }
}

fn number(word: Option<&str>) -> u64 {
    word.and_then(|word| word.trim().parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_busy_process_is_seen_to_use_its_core() {
        let own = Process::of(std::process::id()).unwrap();
        let before = own.usage().unwrap();
        let begun = Instant::now();
        // Until the kernel has counted some of it, which it does tick by tick.
        while own.usage().unwrap().cpu_ns < before.cpu_ns + 5_000_000 {
            assert!(begun.elapsed() < Duration::from_secs(20));
        }
        let figures = own.figures(&before, &own.usage().unwrap()).unwrap();
        assert!(figures.cpu_seconds >= 0.005, "{figures:?}");
        assert!(figures.rss_bytes > 1 << 20, "{figures:?}");
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let error = Process::of(u32::MAX).unwrap_err();
        assert!(error.to_string().contains("pid=4294967295"), "{error}");
    }
}
